"""A FHIR server as a source: searched, exported, asked what was deleted, with patience.

`connected` gives a `FhirServer`; `capability` says what it can do; `searched`, `deletions` and
`Export` read it. Nothing here stores anything: who calls keeps the checkpoints that are yielded.
"""
