"""Encryption at rest: where its key comes from, what is derived from it, and how rows are sealed.

A site has one key, kept outside the store. From it come the key of the database, which DuckDB
encrypts itself, and the keys under which single values of the SQLite files beside it are sealed.
"""

from twin_core.encryption.beside import (
    BESIDE,
    Cells,
    hand_over,
    opened_cells,
    read_cells,
    settle_beside,
    unsealed,
)
from twin_core.encryption.files import EXPORTS, PIECE_BYTES, Files, Unsealable
from twin_core.encryption.keys import StoreKey, missing_key, read_key, write_key
from twin_core.encryption.sealing import PLAIN, Plain, Seal, Sealing, new_sealing, sealing_of

__all__ = [
    "BESIDE",
    "EXPORTS",
    "PIECE_BYTES",
    "PLAIN",
    "Cells",
    "Files",
    "Plain",
    "Seal",
    "Sealing",
    "StoreKey",
    "Unsealable",
    "hand_over",
    "missing_key",
    "new_sealing",
    "opened_cells",
    "read_cells",
    "read_key",
    "sealing_of",
    "settle_beside",
    "unsealed",
    "write_key",
]
