"""What becomes of the receipts of one commit: accepted, repeated or rejected.

All digests that the receipts may meet are read with one question before, and everything decided is
written with one statement per table after: asking and writing one by one costs more than deciding.
"""

import hashlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import NamedTuple

from twin_core.encryption import PLAIN, Sealing
from twin_core.events import Envelope, Rejection, Translation
from twin_core.inbox.receipt import (
    ACCEPTED,
    DUPLICATE,
    REJECTED,
    Answer,
    Entry,
    Head,
    Receipt,
    encode_head,
    head_of,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ASKED_AT_ONCE = 500
HEAD, RAW = b"head", b"raw"
"""Columns of an entry whose values may be sealed."""

Seen = dict[bytes, int]
"""Digests of bodies that came under one control id, and the position of the first."""


class Group(NamedTuple):
    """Receipts that become durable as one, and who waits for it."""

    receipts: Sequence[Receipt]
    received_at: datetime
    replay_of: int | None
    from_file: bool
    answered: "Future[list[Answer]]"


class Keys(NamedTuple):
    """Under which digests a receipt is known; empty where it is not to be known again."""

    control: bytes
    """Format, sender and control id; of a reject from a file, its feed and bytes."""
    body: bytes
    document: bytes = b""
    """Document and place in it, of a resource that has no version of its own."""


class Decisions:
    """The decisions of one commit, to be taken inside its transaction."""

    def __init__(
        self,
        db: sqlite3.Connection,
        groups: Sequence[Group],
        high: int,
        sealing: Sealing = PLAIN,
    ) -> None:
        self.high, self._sealing = high, sealing
        self.counted: Counter[tuple[str, str]] = Counter()
        self._heard: dict[str, int] = {}
        self.carried: list[Entry] = []
        """Entries that are durable as files: their rows hold a place only."""
        self._db = db
        self._keys = [[_keys(receipt, group) for receipt in group.receipts] for group in groups]
        every = chain.from_iterable(self._keys)
        self._seen = _seen(db, (key for k in every for key in (k.control, k.document) if key))
        self._entries: list[tuple[int, int, bytes | None, bytes | None, int | None]] = []
        self._digests: list[tuple[bytes, bytes, int]] = []
        self._kept: list[tuple[bytes, bytes, int]] = []

    def decide(self, groups: Sequence[Group]) -> list[list[Answer]]:
        """Give every receipt its place, or find out that it has one; the answers of each group.

        The groups are those that these decisions were begun with.
        """
        return [self._of(group, keys) for group, keys in zip(groups, self._keys, strict=True)]

    def write(self) -> None:
        """Write what was decided; nothing of it is durable before the transaction commits."""
        db = self._db
        db.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", self._entries)
        db.executemany("INSERT OR REPLACE INTO digest VALUES (?, ?, ?)", self._digests)
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
        known = zip(group.receipts, keys, strict=True)
        answers = [self._decide(receipt, its, group) for receipt, its in known]
        if group.replay_of is None:  # what is tried again was counted when it was received
            self.counted.update(
                (receipt.feed, answer.status)
                for receipt, answer in zip(group.receipts, answers, strict=True)
            )
            received_us = (group.received_at - EPOCH) // _MICROSECOND
            self._heard.update(dict.fromkeys((r.feed for r in group.receipts), received_us))
        return answers

    def _decide(self, receipt: Receipt, keys: Keys, group: Group) -> Answer:
        outcome = receipt.outcome
        if isinstance(outcome, Rejection):
            return self._reject(receipt, outcome, keys, group)
        if keys.document:
            return self._once_per_document(receipt, outcome, keys, group)
        return self._accept(receipt, outcome, keys, group)

    def _once_per_document(
        self, receipt: Receipt, outcome: Translation, keys: Keys, group: Group
    ) -> Answer:
        # A resource without versions repeats when its whole document was read before: otherwise
        # a file that states it twice would, read again, tell of changes that never were.
        first = self._seen[keys.document].get(keys.body)
        if first is not None:
            return Answer(status=DUPLICATE, code="AA", position=first)
        answer = self._accept(receipt, outcome, keys, group)
        self._note(keys.document, keys.body, answer.position or self.high)
        return answer

    def _accept(self, receipt: Receipt, outcome: Translation, keys: Keys, group: Group) -> Answer:
        envelope, body = outcome.envelope, keys.body
        seen = self._seen[keys.control]
        if seen:
            replayed = body in seen and seen[body] == group.replay_of
            if body in seen and not replayed and _repeats(envelope, body, seen):
                if not group.from_file:
                    self._keep(receipt, seen[body])
                return Answer(status=DUPLICATE, code="AA", position=seen[body])
        reused = bool(seen) and not envelope.unversioned
        position = self._insert(receipt, group, reused=reused)
        first = position if group.replay_of is None else group.replay_of
        self._note(keys.control, body, first)
        return Answer(status=ACCEPTED, code="AA", position=first, reused_control_id=reused)

    def _reject(self, receipt: Receipt, outcome: Rejection, keys: Keys, group: Group) -> Answer:
        position = None
        if group.replay_of is None:
            # Read again, a file adds nothing to the quarantine; a sender may try as often as it
            # likes, and each time is kept.
            found = self._seen[keys.control].get(keys.body) if keys.control else None
            position = found or self._insert(receipt, group, reused=False)
            if keys.control and found is None:
                self._note(keys.control, keys.body, position)
        return Answer(status=REJECTED, code=outcome.code, position=position)

    def _note(self, control: bytes, body: bytes, position: int) -> None:
        self._seen[control][body] = position
        self._digests.append((control, body, position))

    def _insert(self, receipt: Receipt, group: Group, *, reused: bool) -> int:
        self.high += 1
        head = raw = None
        if group.from_file:
            carried = head_of(receipt, reused)
            self.carried.append(Entry(self.high, group.received_at, carried, receipt.raw, None))
        else:
            head, raw = self._sealed(head_of(receipt, reused), receipt.raw, self.high)
        received_us = (group.received_at - EPOCH) // _MICROSECOND
        self._entries.append((self.high, received_us, head, raw, group.replay_of))
        return self.high

    def _keep(self, receipt: Receipt, position: int) -> None:
        # The first of it came from a file and may not be applied yet. Who sends it by other means
        # is told that it is durable, so from now on it must be, file or not.
        head = head_of(receipt, reused_control_id=False)
        self._kept.append((*self._sealed(head, receipt.raw, position), position))

    def _sealed(self, head: Head, raw: bytes, position: int) -> tuple[bytes, bytes]:
        sealing = self._sealing
        return sealing.seal(encode_head(head), position, HEAD), sealing.seal(raw, position, RAW)


def _seen(db: sqlite3.Connection, controls: Iterable[bytes]) -> defaultdict[bytes, Seen]:
    seen: defaultdict[bytes, Seen] = defaultdict(dict)
    asked = list(controls)
    for start in range(0, len(asked), _ASKED_AT_ONCE):
        some = asked[start : start + _ASKED_AT_ONCE]
        marks = ", ".join("?" * len(some))
        question = f"SELECT control, body, position FROM digest WHERE control IN ({marks})"  # noqa: S608
        for control, body, position in db.execute(question, some):
            seen[control][body] = position
    return seen


def _keys(receipt: Receipt, group: Group) -> Keys:
    outcome = receipt.outcome
    if isinstance(outcome, Rejection):
        named = group.from_file or receipt.document
        return _keys_of_reject(receipt) if named else Keys(b"", b"")
    envelope = outcome.envelope
    control = _digest(receipt.format, envelope.sender, envelope.control_id)
    if not (receipt.document and envelope.unversioned):
        return Keys(control, envelope.digest)
    place = receipt.origin.rpartition("@")[2]
    document = _digest(receipt.document, place, envelope.control_id)
    return Keys(control, envelope.digest, document)


def _keys_of_reject(receipt: Receipt) -> Keys:
    # The body is part of it: thousands of rejects of one feed must not be looked through.
    body = hashlib.blake2b(receipt.raw, digest_size=16).digest()
    return Keys(_digest("rejected", receipt.feed, body.hex()), body)


def _digest(*parts: str) -> bytes:
    named = "\x1f".join(parts)
    return hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _repeats(envelope: Envelope, body: bytes, seen: Seen) -> bool:
    # A resource without versions may go back to an earlier content: only the latest repeats.
    return not envelope.unversioned or seen[body] == max(seen.values())
