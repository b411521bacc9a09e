"""Durable intake: what was received, byte for byte, before anyone is told that it was."""

from twin_core.inbox.file import Tally
from twin_core.inbox.from_files import Beside, FileIntake, Prepared, Stored, decode_entries
from twin_core.inbox.intake import Inbox
from twin_core.inbox.keeping_out import ERASED
from twin_core.inbox.receipt import (
    Answer,
    EncodedReceipt,
    Entry,
    Receipt,
    encoded,
    faults_of,
    opened,
)

__all__ = [
    "ERASED",
    "Answer",
    "Beside",
    "EncodedReceipt",
    "Entry",
    "FileIntake",
    "Inbox",
    "Prepared",
    "Receipt",
    "Stored",
    "Tally",
    "decode_entries",
    "encoded",
    "faults_of",
    "opened",
]
