"""FHIR servers as live sources: their checkpoints, their syncs, and how each is doing.

`Ledger` keeps how far each is read; `SourceSync` reads one until it is in step; `Sources` does so
for a running server.
"""
