"""The ledger at the edges: HTTP, the operator's socket and the command line."""
