"""What networks and interface engines do to messages, done on purpose and counted.

Messages are sent twice, hours late, out of order within and across connections, under a control
id that was used before, with line feeds for line ends, with Z segments, and now and then one
arrives that nobody could use. None of it may change what the twin knows in the end.
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple
from zlib import crc32

import msgspec

from adapters.hl7v2.encode import CANCELS, Sender, encode, timestamp
from twin_core.simulation import facts as f

MINUTE, HOUR = 60, 3600


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """How likely each thing is to happen to a message."""

    duplicate: float = 0.008
    late: float = 0.006
    """Delivered one to twelve hours after it was sent."""
    overtaken: float = 0.02
    """Delivered some minutes late, behind messages that were sent after it."""
    stray: float = 0.02
    """Delivered over another connection than the patient's other messages."""
    reused_control_id: float = 0.001
    line_feeds: float = 0.01
    z_segment: float = 0.03
    silent_cancel: float = 0.7
    """Share of cancels that do not say (EVN-6) when the cancelled event occurred."""
    training: float = 0.0004
    """A copy from the training system (MSH-11 T), to be refused."""
    unreadable: float = 0.0004
    """A copy with an impossible date, to be refused."""


UNTOUCHED = Shares(
    duplicate=0, late=0, overtaken=0, stray=0, reused_control_id=0, line_feeds=0, z_segment=0,
    silent_cancel=0, training=0, unreadable=0,
)  # fmt: skip


class Dispatch(NamedTuple):
    """One message on its way: when it is delivered, over which connection, and what is hoped."""

    at: datetime
    order: int
    connection: int
    raw: bytes
    hoped: str
    """AA, AE or AR."""


class Post:
    """Encodes facts, perturbs the messages, and puts them in order of delivery.

    `counts` has the number of messages of each trigger event and of each perturbation so far.
    """

    def __init__(
        self, sender: Sender, chance: Random, connections: int, shares: Shares | None = None
    ) -> None:
        self._sender, self._chance, self._connections = sender, chance, connections
        self._shares = shares or Shares()
        self._numbered = self._ordered = 0
        self._recent: deque[str] = deque(maxlen=400)
        self.counts: Counter[str] = Counter()

    def deliver(self, facts: Iterable[f.Fact]) -> Iterator[Dispatch]:
        """Messages in order of delivery, for facts in the order they occurred; lazy."""
        held: list[Dispatch] = []
        for fact in facts:
            for dispatch in self._sent(fact):
                heapq.heappush(held, dispatch)
            while held[0].at <= fact.occurred_at:
                yield heapq.heappop(held)
        while held:
            yield heapq.heappop(held)

    def _sent(self, fact: f.Fact) -> Iterator[Dispatch]:
        shares = self._shares
        control_id = self._control_id()
        states = not isinstance(fact, CANCELS) or not self._happens(
            "cancel without EVN-6", shares.silent_cancel
        )
        raw = encode(fact, sender=self._sender, control_id=control_id, states_occurrence=states)
        raw = self._disfigured(raw)
        at, connection = self._on_its_way(fact)
        yield self._dispatch(at, connection, raw)
        if self._happens("duplicate", shares.duplicate):
            again = at + timedelta(seconds=self._chance.randrange(1, 6 * HOUR))
            yield self._dispatch(again, self._any_connection(), self._resent(raw, again))
        if isinstance(fact, f.VisitUpdated):
            yield from self._unusable(fact, at)

    def _control_id(self) -> str:
        if self._recent and self._happens("reused control id", self._shares.reused_control_id):
            return self._chance.choice(self._recent)
        self._numbered += 1
        control_id = f"{self._numbered:09d}"
        self._recent.append(control_id)
        return control_id

    def _disfigured(self, raw: bytes) -> bytes:
        if self._happens("Z segment", self._shares.z_segment):
            raw += b"ZDM|1|made by the demo\r"
        if self._happens("line feeds", self._shares.line_feeds):
            raw = raw.replace(b"\r", b"\n")
        return raw

    def _on_its_way(self, fact: f.Fact) -> tuple[datetime, int]:
        at, shares = fact.sent_at, self._shares
        if self._happens("late", shares.late):
            at += timedelta(seconds=self._chance.randrange(HOUR, 12 * HOUR))
        elif self._happens("overtaken", shares.overtaken):
            at += timedelta(seconds=self._chance.randrange(1, 40 * MINUTE))
        if self._happens("other connection", shares.stray):
            return at, self._any_connection()
        return at, crc32(_whose(fact).encode()) % self._connections

    def _resent(self, raw: bytes, at: datetime) -> bytes:
        """The same message again; half of the senders write a new MSH-7."""
        if self._chance.random() < 0.5:
            return raw
        fields = raw.split(b"|", 7)
        fields[6] = timestamp(at, self._sender.zone).encode()
        return b"|".join(fields)

    def _unusable(self, fact: f.VisitUpdated, at: datetime) -> Iterator[Dispatch]:
        if self._happens("training message", self._shares.training):
            trainer = msgspec.structs.replace(self._sender, processing_id="T")
            raw = encode(fact, sender=trainer, control_id=self._control_id())
            yield self._dispatch(at, self._any_connection(), raw, "AR")
        if self._happens("unreadable message", self._shares.unreadable):
            raw = encode(fact, sender=self._sender, control_id=self._control_id())
            head, tail = raw.split(b"\rEVN|A08|", 1)
            raw = head + b"\rEVN|A08|20261345" + tail[tail.index(b"|") :]
            yield self._dispatch(at, self._any_connection(), raw, "AE")

    def _dispatch(self, at: datetime, connection: int, raw: bytes, hoped: str = "AA") -> Dispatch:
        self._ordered += 1
        return Dispatch(at, self._ordered, connection, raw, hoped)

    def _any_connection(self) -> int:
        return self._chance.randrange(self._connections)

    def _happens(self, what: str, share: float) -> bool:
        happened = self._chance.random() < share
        if happened:
            self.counts[what] += 1
        return happened


def _whose(fact: f.Fact) -> str:
    """What the fact is about, so that messages about the same thing share a connection."""
    match fact:
        case f.VisitFact():
            return fact.visit.number
        case f.Swapped():
            return fact.visits[0].number
        case f.BedStatusChanged():
            return "/".join((fact.place.unit, fact.place.room, fact.place.bed))
    return ""
