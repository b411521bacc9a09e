"""What becomes of the receipts of one commit: accepted, repeated or rejected.

All digests that the receipts may meet are read with one question before, and everything decided is
written with one statement per table after: asking and writing one by one costs more than deciding.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec

from twin_core.encryption import PLAIN, Sealing
from twin_core.events import Envelope, Rejection, Translation
from twin_core.inbox.receipt import (
    ACCEPTED,
    DUPLICATE,
    REJECTED,
    Answer,
    EncodedReceipt,
    Entry,
    Receipt,
    encoded_head,
    head_of,
    opened,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AT_ONCE = 128
"""Rows that one statement inserts or asks for at most."""
_DIGITS = "0123456789"
_SEPARATOR = "\x1f"
HEAD, RAW = b"head", b"raw"
"""Columns of an entry whose values may be sealed."""

Seen = dict[bytes, int]
"""Digests of bodies that came under one control id, and the position of the first."""
_NOTHING_SEEN: Seen = {}


class Group(NamedTuple):
    """Receipts that become durable as one, and who waits for it."""

    receipts: Sequence[Receipt | EncodedReceipt]
    received_at: datetime
    replay_of: int | None
    from_file: bool
    answered: "Future[list[Answer]]"


class Keys(msgspec.Struct, frozen=True, gc=False):
    """Under which digests a receipt is known; empty where it is not to be known again."""

    control: bytes
    """Format, sender and control id; of a reject from a file, its feed and bytes."""
    body: bytes
    document: bytes = b""
    """Document and place in it, of a resource that has no version of its own."""
    ordered: bool = False
    """Whether it lies beside those that came just before: its sender counts its messages."""


class Into(NamedTuple):
    """A statement that inserts rows, and how many values a row has.

    Bytes are given to it as bytearrays: of those sqlite3 knows what they are, while for bytes and
    None it looks for an adapter each time, which takes longer than a copy. What is NULL is left
    out for the same reason.
    """

    statement: str
    width: int


RECEIVED = Into("INSERT INTO entry (position, received_us, head, raw)", 4)
REPLAYED = Into("INSERT INTO entry (position, received_us, head, raw, replay_of)", 5)
FROM_FILES = Into("INSERT INTO entry (position, received_us)", 2)
DIGESTS = Into("INSERT OR REPLACE INTO digest (control, body, position)", 3)
RECENT_DIGESTS = Into("INSERT OR REPLACE INTO recent_digest (control, body, position)", 3)
RECENT = 20_000
"""Positions after which recent digests are sorted in among the others."""


class Decisions:
    """The decisions of one commit, to be taken inside its transaction.

    `ordered` says whether the inbox keeps digests in the order of control ids (`ordered_digests`).
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        groups: Sequence[Group],
        high: int,
        sealing: Sealing = PLAIN,
        *,
        ordered: bool = True,
    ) -> None:
        self.high = high
        self._seal = None if sealing is PLAIN else sealing.seal
        self._heard: dict[str, int] = {}
        self._received_us = 0
        """When the group that is decided on was received."""
        self.counted: Counter[tuple[str, str]] = Counter()
        self.carried: list[Entry] = []
        """Entries that are durable as files: their rows hold a place only."""
        self._db = db
        self._before = high
        self._keys = [
            [_keys(receipt, group, ordered=ordered) for receipt in group.receipts]
            for group in groups
        ]
        every = [key for its in self._keys for key in its]
        asked = [key.control for key in every if key.control and not key.ordered]
        asked += [key.document for key in every if key.document]
        self._seen: dict[bytes, Seen] = {}
        self._find("digest", asked + [key.control for key in every if key.ordered])
        self._find("recent_digest", asked)
        self._received: list[object] = []
        self._replayed: list[object] = []
        self._from_files: list[object] = []
        self._digests: list[object] = []
        self._recent: list[object] = []
        """Rows to be inserted, one value after the other; see `Into`."""
        self._kept: list[tuple[bytearray, bytearray, int]] = []

    def decide(self, groups: Sequence[Group]) -> list[list[Answer]]:
        """Give every receipt its place, or find out that it has one; the answers of each group.

        The groups are those that these decisions were begun with.
        """
        return [self._of(group, keys) for group, keys in zip(groups, self._keys, strict=True)]

    def write(self) -> None:
        """Write what was decided; nothing of it is durable before the transaction commits."""
        db = self._db
        _insert(db, RECEIVED, self._received)
        _insert(db, REPLAYED, self._replayed)
        _insert(db, FROM_FILES, self._from_files)
        _insert(db, DIGESTS, self._digests)
        _insert(db, RECENT_DIGESTS, self._recent)
        if self.high // RECENT > self._before // RECENT:
            # Sorted, many of them go into each page: one by one a commit would write a page each.
            db.execute("INSERT OR REPLACE INTO digest SELECT * FROM recent_digest")
            db.execute("DELETE FROM recent_digest")
        db.executemany(
            "UPDATE entry SET head = ?, raw = ? WHERE position = ? AND head IS NULL", self._kept
        )
        db.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT (feed, outcome)"
            " DO UPDATE SET messages = messages + excluded.messages",
            [(feed, outcome, n) for (feed, outcome), n in self.counted.items()],
        )
        db.executemany(
            "INSERT INTO heard VALUES (?, ?) ON CONFLICT (feed)"
            " DO UPDATE SET received_us = max(received_us, excluded.received_us)",
            self._heard.items(),
        )

    def _of(self, group: Group, keys: Sequence[Keys]) -> list[Answer]:
        self._received_us = (group.received_at - EPOCH) // _MICROSECOND
        known = zip(group.receipts, keys, strict=True)
        answers = [self._decide(receipt, its, group) for receipt, its in known]
        if group.replay_of is None:  # what is tried again was counted when it was received
            told = zip(group.receipts, answers, strict=True)
            became = [(receipt.feed, answer.status) for receipt, answer in told]
            for one in set(became):
                self.counted[one] += became.count(one)
                self._heard[one[0]] = self._received_us
        return answers

    def _decide(self, receipt: Receipt | EncodedReceipt, keys: Keys, group: Group) -> Answer:
        if isinstance(receipt, EncodedReceipt):
            return self._decide_encoded(receipt, keys, group)
        outcome = receipt.outcome
        if isinstance(outcome, Rejection):
            return self._reject(receipt, outcome, keys, group)
        if keys.document:
            return self._once_per_document(receipt, outcome, keys, group)
        return self._accept(receipt, outcome, keys, group)

    def _decide_encoded(self, receipt: EncodedReceipt, keys: Keys, group: Group) -> Answer:
        control, body = keys.control, keys.body
        if receipt.code != "AA":
            position = self._insert(receipt, group, reused=False)
            return Answer(status=REJECTED, code=receipt.code, position=position)
        seen = self._seen.get(control)
        if seen and body in seen:
            self._keep(receipt, seen[body])
            return Answer(status=DUPLICATE, code="AA", position=seen[body])
        reused = seen is not None
        position = self._insert(receipt, group, reused=reused)
        self._note(control, body, position, ordered=keys.ordered)
        return Answer(status=ACCEPTED, code="AA", position=position, reused_control_id=reused)

    def _once_per_document(
        self, receipt: Receipt, outcome: Translation, keys: Keys, group: Group
    ) -> Answer:
        # A resource without versions repeats when its whole document was read before: otherwise
        # a file that states it twice would, read again, tell of changes that never were.
        first = self._known(keys.document).get(keys.body)
        if first is not None:
            return Answer(status=DUPLICATE, code="AA", position=first)
        answer = self._accept(receipt, outcome, keys, group)
        self._note(keys.document, keys.body, answer.position or self.high)
        return answer

    def _accept(self, receipt: Receipt, outcome: Translation, keys: Keys, group: Group) -> Answer:
        envelope, body = outcome.envelope, keys.body
        seen = self._seen.get(keys.control)
        if seen:
            replayed = body in seen and seen[body] == group.replay_of
            if body in seen and not replayed and _repeats(envelope, body, seen):
                if not group.from_file:
                    self._keep(receipt, seen[body])
                return Answer(status=DUPLICATE, code="AA", position=seen[body])
        reused = bool(seen) and not envelope.unversioned
        position = self._insert(receipt, group, reused=reused)
        first = position if group.replay_of is None else group.replay_of
        self._note(keys.control, body, first, ordered=keys.ordered)
        return Answer(status=ACCEPTED, code="AA", position=first, reused_control_id=reused)

    def _reject(self, receipt: Receipt, outcome: Rejection, keys: Keys, group: Group) -> Answer:
        position = None
        if group.replay_of is None:
            # Read again, a file adds nothing to the quarantine; a sender may try as often as it
            # likes, and each time is kept.
            found = self._known(keys.control).get(keys.body)
            position = found or self._insert(receipt, group, reused=False)
            if keys.control and found is None:
                self._note(keys.control, keys.body, position)
        return Answer(status=REJECTED, code=outcome.code, position=position)

    def _note(self, control: bytes, body: bytes, position: int, *, ordered: bool = False) -> None:
        seen = self._seen.get(control)
        if seen is None:
            self._seen[control] = {body: position}
        else:
            seen[body] = position
        into = self._digests if ordered else self._recent
        into += (bytearray(control), bytearray(body), position)

    def _find(self, table: str, asked: Sequence[bytes]) -> None:
        """Read what is known under some digests; what is recent counts, and is read last."""
        for start, count in _parts(len(asked)):
            some = [bytearray(key) for key in asked[start : start + count]]
            for control, body, position in self._db.execute(_asking(table, count), some):
                self._seen.setdefault(control, {})[body] = position

    def _known(self, control: bytes) -> Seen:
        return self._seen.get(control, _NOTHING_SEEN)

    def _insert(self, receipt: Receipt | EncodedReceipt, group: Group, *, reused: bool) -> int:
        position = self.high = self.high + 1
        if group.from_file:
            carried = head_of(opened(receipt), reused)
            self.carried.append(Entry(position, group.received_at, carried, receipt.raw, None))
            self._from_files += (position, self._received_us)
            return position
        head, raw = self._written(receipt, position, reused=reused)
        if group.replay_of is None:
            self._received += (position, self._received_us, head, raw)
        else:
            self._replayed += (position, self._received_us, head, raw, group.replay_of)
        return position

    def _keep(self, receipt: Receipt | EncodedReceipt, position: int) -> None:
        # The first of it came from a file and may not be applied yet. Who sends it by other means
        # is told that it is durable, so from now on it must be, file or not.
        self._kept.append((*self._written(receipt, position, reused=False), position))

    def _written(
        self, receipt: Receipt | EncodedReceipt, position: int, *, reused: bool
    ) -> tuple[bytearray, bytearray]:
        head, raw, seal = encoded_head(receipt, reused), receipt.raw, self._seal
        if seal is not None:
            head, raw = seal(head, position, HEAD), seal(raw, position, RAW)
        return bytearray(head), bytearray(raw)


def _insert(db: sqlite3.Connection, into: Into, values: Sequence[object]) -> None:
    """Insert rows, many with one statement.

    SQLite lets other threads run during each statement; where one of them is busy, a statement for
    each row waits for it once for each row.
    """
    for start, rows in _parts(len(values) // into.width):
        first = start * into.width
        db.execute(_inserting(into, rows), values[first : first + rows * into.width])


def _parts(count: int) -> Iterator[tuple[int, int]]:
    """Where parts begin and how long they are, each a power of two.

    A few statements, which are prepared once, then serve any number of rows.
    """
    start = 0
    while start < count:
        together = min(_AT_ONCE, 1 << (count - start).bit_length() - 1)
        yield start, together
        start += together


@lru_cache(maxsize=64)
def _inserting(into: Into, rows: int) -> str:
    row = f"({', '.join('?' * into.width)})"
    return f"{into.statement} VALUES {', '.join([row] * rows)}"


@lru_cache(maxsize=32)
def _asking(table: str, count: int) -> str:
    marks = ", ".join("?" * count)
    return f"SELECT control, body, position FROM {table} WHERE control IN ({marks})"  # noqa: S608


def ordered_digests(db: sqlite3.Connection) -> bool:
    """Whether an inbox keeps digests in the order of control ids: all that begin now do.

    To be asked inside the transaction that writes the first digests.
    """
    noted = db.execute("SELECT 1 FROM meta WHERE key = 'ordered_digests'").fetchall()
    if not noted and not db.execute("SELECT 1 FROM digest LIMIT 1").fetchall():
        db.execute("INSERT INTO meta VALUES ('ordered_digests', '1')")
        return True
    return bool(noted)


def _keys(receipt: Receipt | EncodedReceipt, group: Group, *, ordered: bool) -> Keys:
    control_digest = _in_order if ordered else _digest
    ordered = ordered and receipt.format == "hl7v2"
    if isinstance(receipt, EncodedReceipt):
        if receipt.code != "AA":
            return Keys(b"", b"")
        control = control_digest(receipt.format, receipt.sender, receipt.control_id)
        return Keys(control, receipt.digest, b"", ordered)
    outcome = receipt.outcome
    if isinstance(outcome, Rejection):
        named = group.from_file or receipt.document
        return _keys_of_reject(receipt) if named else Keys(b"", b"")
    envelope = outcome.envelope
    control = control_digest(receipt.format, envelope.sender, envelope.control_id)
    if not (receipt.document and envelope.unversioned):
        return Keys(control, envelope.digest, b"", ordered)
    place = receipt.origin.rpartition("@")[2]
    document = _digest(receipt.document, place, envelope.control_id)
    return Keys(control, envelope.digest, document, ordered)


def _keys_of_reject(receipt: Receipt) -> Keys:
    # The body is part of it: thousands of rejects of one feed must not be looked through.
    body = hashlib.blake2b(receipt.raw, digest_size=16).digest()
    return Keys(_digest("rejected", receipt.feed, body.hex()), body)


def _digest(*parts: str) -> bytes:
    return _begun(*parts).digest()


def _begun(*parts: str) -> "hashlib.blake2b":
    named = _SEPARATOR.join(parts)
    return hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=12)


def _in_order(format_: str, sender: str, control_id: str) -> bytes:
    """A digest whose first bytes follow the number that a control id ends with.

    Most senders count: what comes together then lies together in the table, and a commit writes a
    few of its pages instead of one for each message. Only MSH-10 is such a number: what names a
    FHIR resource may be a patient's, and nothing of it is to be read here.
    """
    own, begun = _of_sender(format_, sender)
    counted = control_id if format_ == "hl7v2" else ""
    number = counted[len(counted.rstrip(_DIGITS)) :][-15:]
    place = (int(number or 0) >> 6) & 0xFF_FFFF_FFFF
    digest = begun.copy()
    digest.update(control_id.encode("utf-8", "surrogatepass"))
    return own + place.to_bytes(5, "big") + digest.digest()


@lru_cache(maxsize=1_000)
def _of_sender(format_: str, sender: str) -> "tuple[bytes, hashlib.blake2b]":
    """What a sender's digests begin with, and `_digest` of them but for the control id."""
    return _digest(format_, sender)[:3], _begun(format_, sender, "")


def _repeats(envelope: Envelope, body: bytes, seen: Seen) -> bool:
    # A resource without versions may go back to an earlier content: only the latest repeats.
    return not envelope.unversioned or seen[body] == max(seen.values())
