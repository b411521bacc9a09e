"""Encryption at rest: where its key comes from, what is derived from it, and how rows are sealed.

A site has one key, kept outside the store. From it come the key of the database, which DuckDB
encrypts itself, and the keys under which single values of the SQLite files beside it are sealed.
"""

from twin_core.encryption.keys import StoreKey, missing_key, read_key, write_key
from twin_core.encryption.sealing import PLAIN, Plain, Seal, Sealing, new_sealing, sealing_of

__all__ = [
    "PLAIN",
    "Plain",
    "Seal",
    "Sealing",
    "StoreKey",
    "missing_key",
    "new_sealing",
    "read_key",
    "sealing_of",
    "write_key",
]
