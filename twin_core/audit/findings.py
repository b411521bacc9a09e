"""What verification hears, and what it finds."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal[
    "modification",
    "deletion",
    "insertion",
    "reordering",
    "truncation",
    "re-chaining",
    "checkpoint",
    "schema",
    "patients",
    "text",
]


class Finding(NamedTuple):
    """Something that was done to the ledger, between two entries, both included."""

    kind: Kind
    first: int
    last: int
    said: str


class Kept(NamedTuple):
    """What vouches for a ledger: its id, the public key, and signed notes."""

    ledger_id: str
    public: bytes
    notes: Sequence[str] = ()
    tips: Sequence[str] = ()
    """Signed lines, each of where the ledger once ended."""


class Verdict(NamedTuple):
    """What verification found. `covered` entries stand under a checkpoint, the rest in the chain
    alone.
    """

    entries: int
    covered: int
    checkpoints: int
    findings: tuple[Finding, ...]
    patients_digests: Mapping[str, int] = {}
    text_digests: Mapping[int, str] = {}
    last: int = 0
    """The number of the last entry."""
