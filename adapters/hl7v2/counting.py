"""What a listener counts: messages, answers and their delays, rejects by reason, who is connected.

Counters only grow while a listener lives; `ListenerStatus.after` adds those of the listener that
was there before it, so that a restarted process does not begin at nought.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

DELAY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the delays that are told apart; longer ones are the last class of all."""


LISTED = 100
"""Connections of a feed that are told one by one, the latest."""


class OpenConnection(msgspec.Struct, frozen=True, kw_only=True):
    """One sender that is connected now."""

    peer: str
    since: datetime
    heard_at: datetime
    """When anything last came from it."""
    messages: int
    outstanding: int
    """Messages that wait for an answer, deferred ones included."""
    client: str = ""
    """Name in its certificate, where it had to show one."""


class ListenerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a listener has done since it started."""

    connections: int = 0
    """Open now."""
    handshakes: int = 0
    """Connections whose TLS handshake is under way."""
    outstanding: int = 0
    """Messages of all connections that wait for an answer, deferred ones included."""
    refused_connections: int = 0
    """Not among the peers, no proper certificate, or one too many."""
    received: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    not_stored: int = 0
    """The store refused them; their senders were told to send them again."""
    acknowledgements: int = 0
    """ACK messages that answer one of ours; they are taken and never answered."""
    stray_acknowledgements: int = 0
    """ACK messages that answer nothing that was sent here; likewise."""
    undelivered: int = 0
    """Deferred answers whose connection was gone before they were due."""
    dropped_bytes: int = 0
    """Bytes that belonged to no frame, or to none that was finished."""
    rejects: dict[str, int] = {}
    """Rejected messages by the code of their first reason, HL7 table 0357."""
    answers: dict[str, int] = {}
    """Answers by code, HL7 table 0008."""
    delays: tuple[int, ...] = (0,) * (len(DELAY_BOUNDS_S) + 1)
    """Messages by the time from their last byte to their first answer, see `DELAY_BOUNDS_S`."""
    delays_s: float = 0.0
    """The sum of those times."""
    last_message_at: datetime | None = None
    certificate_expires_at: datetime | None = None
    open: tuple[OpenConnection, ...] = ()

    def after(self, before: "ListenerStatus") -> "ListenerStatus":
        """This status with the counters of an earlier listener of the same feed added."""
        summed = {name: getattr(self, name) + getattr(before, name) for name in _NUMBERS}
        delays = tuple(a + b for a, b in zip(self.delays, before.delays, strict=True))
        return msgspec.structs.replace(
            self,
            **summed,
            rejects=dict(Counter(before.rejects) + Counter(self.rejects)),
            answers=dict(Counter(before.answers) + Counter(self.answers)),
            delays=delays,
            last_message_at=self.last_message_at or before.last_message_at,
        )


_NUMBERS = (
    "refused_connections",
    "received",
    "accepted",
    "rejected",
    "duplicates",
    "not_stored",
    "acknowledgements",
    "stray_acknowledgements",
    "undelivered",
    "dropped_bytes",
    "delays_s",
)


class Counts:
    """The running counters behind a `ListenerStatus`."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.delays = [0] * (len(DELAY_BOUNDS_S) + 1)
        self.delays_s = 0.0
        self.last_message_at: datetime | None = None

    def delayed(self, delay_s: float, messages: int) -> None:
        """Messages were answered after this long."""
        self.delays[bisect_left(DELAY_BOUNDS_S, delay_s)] += messages
        self.delays_s += delay_s * messages

    def status(
        self,
        connections: Sequence[OpenConnection],
        *,
        handshakes: int,
        certificate_expires_at: datetime | None,
    ) -> ListenerStatus:
        """The counters, with what is true at this moment."""
        numbers: dict[str, Any] = dict(self.numbers)
        return ListenerStatus(
            **numbers,
            connections=len(connections),
            handshakes=handshakes,
            outstanding=sum(one.outstanding for one in connections),
            rejects=dict(self.rejects),
            answers=dict(self.answers),
            delays=tuple(self.delays),
            delays_s=self.delays_s,
            last_message_at=self.last_message_at,
            certificate_expires_at=certificate_expires_at,
            open=tuple(connections[-LISTED:]),
        )
