"""What of a receipt may come in where patients were erased: nothing of them, and all of others.

A message about an erased patient is received like any other, so that its sender does not try for
ever; what is kept of it is when it came, from which feed, and keyed digests by which it is known
when it comes again.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from twin_core.erased import Marks, patients_in, read_mark_key, telling, without, words_in
from twin_core.events import (
    Envelope,
    Event,
    NotedFinding,
    PatientStated,
    Rejection,
    Translation,
)
from twin_core.inbox.deciding import Group
from twin_core.inbox.receipt import EncodedReceipt, Receipt, opened

SCHEMA = "CREATE TABLE IF NOT EXISTS tombstone (mark BLOB PRIMARY KEY) WITHOUT ROWID;"
_NOTED = "SELECT value FROM meta WHERE key = 'erasures'"
_ADD = "INSERT OR IGNORE INTO tombstone VALUES (?)"
ERASED = "erased"
"""Kind of the finding that says so."""
_WHOLLY = NotedFinding(kind=ERASED, detail="It was about an erased patient; nothing of it is kept.")
_PARTLY = NotedFinding(
    kind=ERASED, detail="What it said of an erased patient is not kept, nor its bytes."
)

_NAMED = NotedFinding(kind=ERASED, detail="It named an erased patient; its bytes are not kept.")


def mark_key_path(inbox: Path) -> Path:
    """Where the key is under which the erased of a store are marked."""
    return inbox.with_name(inbox.name.removesuffix(".inbox") + ".erased.key")


def add_tombstones(db: sqlite3.Connection, marks: Sequence[bytes], erasure: str) -> None:
    """Keep out what has these marks, from the next commit of any process on."""
    db.executemany(_ADD, [(mark,) for mark in marks])
    db.execute("INSERT OR REPLACE INTO meta VALUES ('erasures', ?)", (erasure,))


class Threshold:
    """What comes in of what was submitted; where nobody was ever erased, all of it as it is."""

    def __init__(self, inbox: Path) -> None:
        self._key_path = mark_key_path(inbox)
        self._noted: str | None = None
        self._marks = Marks(b"")

    def crossed(self, db: sqlite3.Connection, groups: Sequence[Group]) -> Sequence[Group]:
        """The groups as they may come in; called inside the transaction that stores them."""
        self.look(db)
        if not self._marks:
            return groups
        kept_out = KeptOut(self._marks)
        left = [
            group._replace(receipts=kept_out.receipts(group.receipts, group.received_at))
            for group in groups
        ]
        if kept_out.further:
            db.executemany(_ADD, [(mark,) for mark in kept_out.further])
            self._marks = self._marks.joined(kept_out.further)
        return left

    def look(self, db: sqlite3.Connection) -> None:
        """Learn the marks, where any were added. Raises ConfigurationError without their key."""
        rows = db.execute(_NOTED).fetchall()
        noted = rows[0][0] if rows else None
        if noted != self._noted:
            found = {mark for (mark,) in db.execute("SELECT mark FROM tombstone")}
            self._marks = Marks(read_mark_key(self._key_path), found)
            self._noted = noted


class KeptOut:
    """Receipts as they may come in, and the marks that they add."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self.further: set[bytes] = set()
        """Marks of what dropped statements gave as further identifiers of erased patients."""

    def receipts(
        self, receipts: Sequence[Receipt | EncodedReceipt], received_at: datetime
    ) -> list[Receipt]:
        """The receipts, those about erased patients without them."""
        return [self._receipt(opened(receipt), received_at) for receipt in receipts]

    def _receipt(self, receipt: Receipt, received_at: datetime) -> Receipt:
        outcome = receipt.outcome
        if isinstance(outcome, Rejection) or not outcome.events:
            named = self._marks.covers_any_word(words_in(receipt.raw))
            return self._wholly(receipt, received_at) if named else receipt
        left = tuple(self._left(outcome.events))
        if left == outcome.events:
            return self._told_of_others(receipt, outcome)
        if not left:
            return self._wholly(receipt, received_at)
        envelope = msgspec.structs.replace(
            outcome.envelope, digest=self._marks.digest("body", outcome.envelope.digest.hex())
        )
        told = Translation(envelope=envelope, events=left, findings=(_PARTLY,))
        return msgspec.structs.replace(receipt, raw=b"", outcome=told)

    def _told_of_others(self, receipt: Receipt, outcome: Translation) -> Receipt:
        """What is about others, without the bytes where they name an erased patient.

        Its digest stays, as an erasure leaves it, so that it is known when it comes again.
        """
        if not self._marks.covers_any_word(words_in(receipt.raw)):
            return receipt
        kept = tuple(
            field
            for field in outcome.kept
            if not self._marks.covers_any_word(telling([field.value or ""]))
        )
        told = msgspec.structs.replace(outcome, kept=kept, findings=(*outcome.findings, _NAMED))
        return msgspec.structs.replace(receipt, raw=b"", outcome=told)

    def _left(self, events: Sequence[Event]) -> Iterator[Event]:
        for event in events:
            alike = frozenset(filter(self._marks.covers_alike, patients_in(event)))
            left = without(event, lambda one: one in alike or self._marks.covers(one))  # noqa: B023
            if left is not None:
                yield left
            elif isinstance(event, PatientStated):
                # A server's own id of them; other numbers may stand beside theirs by mistake.
                self.further.add(self._marks.mark(event.subject))
                self.further.add(self._marks.mark_word(event.subject.value))

    def _wholly(self, receipt: Receipt, received_at: datetime) -> Receipt:
        outcome = receipt.outcome
        named, body = (
            (outcome, receipt.raw)
            if isinstance(outcome, Rejection)
            else (outcome.envelope, outcome.envelope.digest)
        )
        digest = self._marks.digest
        control_id = digest("control", receipt.format, named.sender, named.control_id)
        envelope = Envelope(
            feed=receipt.feed,
            sender="",
            control_id=control_id.hex(),
            trigger_event=named.trigger_event,
            sent_at=received_at,
            digest=digest("body", body.hex()),
        )
        told = Translation(envelope=envelope, findings=(_WHOLLY,))
        return msgspec.structs.replace(receipt, raw=b"", outcome=told, origin="", document="")
