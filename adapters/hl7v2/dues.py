"""What a listener owes one sender: every answer, in the order of the messages, never unbounded."""

import logging
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from adapters.hl7v2.acknowledge import acknowledgement, plain_acceptance, stamped
from adapters.hl7v2.counting import Counts
from adapters.hl7v2.header import Header, peek
from adapters.hl7v2.mllp import framed
from adapters.hl7v2.modes import answering
from adapters.hl7v2.refusal import INTERNAL_ERROR
from twin_core.clock import Clock
from twin_core.events import Fault
from twin_core.inbox import Answer, EncodedReceipt, faults_of

LOG = logging.getLogger("wardtwin.mllp")

OUTSTANDING = 256
"""Messages of one connection that may wait for their answer; beyond it nothing is read."""
DEFERRED = 2_048
"""Application answers of one connection that may be due later; beyond it nothing is read."""

_NO_HEADER = Header()
_RESEND = Fault(
    where="MSH^1",
    code=INTERNAL_ERROR,
    reason="The message could not be stored and nothing of it was kept; send it again.",
)
_NOT_APPLIED = Fault(
    where="MSH^1",
    code=INTERNAL_ERROR,
    reason="The message was accepted but could not be applied, and is in quarantine.",
)


class Ledger(Protocol):
    """What answers need of their listener."""

    counts: Counts

    @property
    def clock(self) -> Clock: ...

    def next_ack_id(self) -> str: ...

    def defers(self) -> bool: ...

    def verdict(self, position: int) -> str: ...


class Turn:
    """Messages that were submitted together, and their answers once there are any."""

    __slots__ = ("count", "deferred", "receipts", "since", "written")

    def __init__(self, receipts: Sequence[EncodedReceipt], since: float) -> None:
        self.receipts, self.since = receipts, since
        self.count = len(receipts)
        self.written: bytes | None = None
        self.deferred: list[Deferred] = []


class Deferred(NamedTuple):
    """An application answer that is due once the message at a position has been applied."""

    position: int
    header: Header


class Answers:
    """The answers of one connection: `begin` a turn, `settle` or `refuse` it, write what is `due`.

    Answers go out turn by turn. A deferred application answer goes out after the accept answer of
    its own message, behind the deferred ones before it.
    """

    def __init__(self, ledger: Ledger, peer: str) -> None:
        self._ledger, self._peer = ledger, peer
        self._turns: deque[Turn] = deque()
        self._deferred: deque[Deferred] = deque()
        self._unanswered = 0
        self.unheard = False
        """A message was lost whose sender wants no answer."""

    @property
    def outstanding(self) -> int:
        """Messages that are owed an answer, now or later."""
        return self._unanswered + len(self._deferred)

    @property
    def full(self) -> bool:
        """Whether the sender must be answered before it is heard again."""
        return self._unanswered >= OUTSTANDING or len(self._deferred) >= DEFERRED

    @property
    def room(self) -> int:
        """How many messages may be taken before there is an answer."""
        return 0 if len(self._deferred) >= DEFERRED else OUTSTANDING - self._unanswered

    def begin(self, receipts: Sequence[EncodedReceipt], since: float) -> Turn:
        """Messages were submitted; `since` is the loop's time of their last byte."""
        turn = Turn(receipts, since)
        self._turns.append(turn)
        self._unanswered += turn.count
        return turn

    def settle(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """The messages of a turn are durable."""
        ledger, counts = self._ledger, self._ledger.counts
        now = ledger.clock.now()
        at, plainly = stamped(now), 0
        written = []
        for receipt, answer in zip(turn.receipts, answers, strict=True):
            plain = None
            if answer.code == "AA":
                plain = plain_acceptance(receipt.raw, at, ledger.next_ack_id())
            written.append(plain or self._first_answer(turn, receipt, answer, now))
            plainly += plain is not None
        if plainly:
            counts.answers["AA"] += plainly
        became = [answer.status for answer in answers]
        for status in set(became):
            counts.numbers[_COUNTED[status]] += became.count(status)
        counts.last_message_at = now
        turn.written = b"".join(written)

    def refuse(self, turn: Turn) -> None:
        """Nothing of a turn could be stored: it may be sent again."""
        now = self._ledger.clock.now()
        self._ledger.counts.numbers["not_stored"] += turn.count
        written = []
        for receipt in turn.receipts:
            header = peek(receipt.raw) or _NO_HEADER
            accept, application, _ = answering(header, "AE")
            code = accept or application
            self.unheard = self.unheard or not code
            written.append(self._answer(header, code, (_RESEND,), now) if code else b"")
        turn.written = b"".join(written)

    def due(self, at: float) -> bytes:
        """Every answer whose turn has come, `at` being the loop's time."""
        written = []
        while self._turns and (first := self._turns[0]).written is not None:
            self._turns.popleft()
            self._unanswered -= first.count
            self._deferred.extend(first.deferred)
            self._ledger.counts.delayed(at - first.since, first.count)
            written.append(first.written)
        while self._deferred and (code := self._ledger.verdict(self._deferred[0].position)):
            header = self._deferred.popleft().header
            faults = () if code == "AA" else (_NOT_APPLIED,)
            written.append(self._answer(header, code, faults, self._ledger.clock.now()))
        return b"".join(written)

    def abandon(self) -> None:
        """The connection has gone: what is still due cannot be delivered."""
        self._ledger.counts.numbers["undelivered"] += len(self._deferred)
        self._deferred.clear()

    def _first_answer(
        self, turn: Turn, receipt: EncodedReceipt, answer: Answer, now: datetime
    ) -> bytes:
        faults = faults_of(receipt)
        if faults:
            self._ledger.counts.rejects[faults[0].code] += 1
            self._tell(answer.code, faults[0])
        header = peek(receipt.raw) or _NO_HEADER
        accept, application, later = answering(header, answer.code)
        written = self._answer(header, accept, faults, now) if accept else b""
        if not application:
            return written
        if later and answer.position is not None and self._ledger.defers():
            turn.deferred.append(Deferred(answer.position, header))
            return written
        return written + self._answer(header, application, faults, now)

    def _answer(self, header: Header, code: str, faults: Sequence[Fault], now: datetime) -> bytes:
        self._ledger.counts.answers[code] += 1
        ack_id = self._ledger.next_ack_id()
        return framed(acknowledgement(header, code, faults, now=now, ack_id=ack_id))

    def _tell(self, code: str, fault: Fault) -> None:
        LOG.warning(
            "rejected a message from %s: %s %s at %s", self._peer, code, fault.code, fault.where
        )


_COUNTED = {"accepted": "accepted", "duplicate": "duplicates", "rejected": "rejected"}
