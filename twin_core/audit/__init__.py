"""The ledger of accesses: who saw which patients, why, when, from where, and what came of it.

Entries form a hash chain with their numbers inside what is hashed. Signed checkpoints, kept
elsewhere, hold the RFC 6962 root of all entries so far: a chain alone can be cut short or chained
anew. Patients stand in it by keyed pseudonyms only, so that an erasure leaves it verifiable.
"""

from twin_core.audit.access import Access, Actor, Beside, Entry, Outcome, Purpose, counted
from twin_core.audit.checkpoint import Checkpoint, Forged, opened, public_key, signed, verifier_line
from twin_core.audit.file import copy_ledger, forget_texts, texts_before
from twin_core.audit.findings import Finding, Kept, Verdict
from twin_core.audit.keeping import FolderKeeper, Keeper, notes_in
from twin_core.audit.keys import AuditKeys, keys_of
from twin_core.audit.ledger import Cadence, Ledger, ledger_path
from twin_core.audit.reading import LedgerReader, Sought
from twin_core.audit.verify import Row, judged, verified

__all__ = [
    "Access",
    "Actor",
    "AuditKeys",
    "Beside",
    "Cadence",
    "Checkpoint",
    "Entry",
    "Finding",
    "FolderKeeper",
    "Forged",
    "Keeper",
    "Kept",
    "Ledger",
    "LedgerReader",
    "Outcome",
    "Purpose",
    "Row",
    "Sought",
    "Verdict",
    "copy_ledger",
    "counted",
    "forget_texts",
    "judged",
    "keys_of",
    "ledger_path",
    "notes_in",
    "opened",
    "public_key",
    "signed",
    "texts_before",
    "verified",
    "verifier_line",
]
