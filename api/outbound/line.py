"""One destination's line: a connection, one message at a time, and the answers that come back.

What comes back is held against the message under way by its control id, and against the messages
that were committed earlier; it is never taken for another's.
"""

import contextlib
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import NamedTuple, Protocol

from adapters.hl7v2.acknowledge import acknowledge
from adapters.hl7v2.answers import Acknowledgement, answers_success
from adapters.hl7v2.conversation import Conversation
from api.outbound.journal import Journalled
from api.outbound.message import Letter
from twin_core.clock import Clock
from twin_core.errors import FeedError
from twin_core.settings import OutboundSettings

CONNECTED, CONNECTING, RETRYING, STOPPED, WAITING, CLOSED = (
    "connected",
    "connecting",
    "retrying",
    "stopped",
    "waiting",
    "closed",
)
REMEMBERED = 10_000
"""Committed messages whose application acknowledgement may still come."""
SILENCE_S = 1.0
"""How long a message that asks for no answer is given for a refusal to come all the same."""

DELIVERED, AGAIN, REFUSED = "delivered", "again", "refused"
VERDICTS = {
    # table 0008
    "AA": DELIVERED,
    "CA": DELIVERED,
    "AE": AGAIN,
    "CE": AGAIN,
    "AR": REFUSED,
    "CR": REFUSED,
}


class Settled(NamedTuple):
    """What became of a message: delivered, or refused for good, with the last answer."""

    delivered: bool
    code: str = ""
    reason: str = ""
    attempts: int = 0


class Watcher(Protocol):
    """Who wants to know how the line is doing."""

    async def tell(self, state: str, reason: str = "") -> None:
        """The line is in this state now."""
        ...

    async def save(self) -> None:
        """A pause begins: time to write down how far things are."""
        ...


class Line:
    """The connection of one destination, opened when there is something to send."""

    def __init__(
        self,
        settings: OutboundSettings,
        clock: Clock,
        chance: Random,
        sleep: Callable[[float], Awaitable[None]],
        watcher: Watcher,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tallies: Counter[str] = Counter()
        """What happened since somebody took note of it."""
        self._settings, self._clock, self._watcher = settings, clock, watcher
        self._chance, self._sleep = chance, sleep
        self._tls = tls
        self._conversation: Conversation | None = None
        self._committed: OrderedDict[str, Journalled] = OrderedDict()
        self._late: list[Acknowledgement] = []
        self._owed: list[Acknowledgement] = []

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._conversation is not None

    async def settled(self, letter: Letter) -> Settled:
        """Send a message until the receiver has had its last word on it."""
        rejected = unanswered = 0
        while True:
            conversation = await self._connected()
            try:
                answer = await self._answer(conversation, letter)
            except FeedError as error:
                unanswered += 1
                await self.close()
                if unanswered == self._settings.unanswered_attempts:
                    return Settled(False, "", error.what, unanswered)
                await self._watcher.tell(RETRYING, f"{error.what} {error.why}".strip())
                await self._pause(unanswered)
                continue
            if answer is None:
                return Settled(True)
            verdict = VERDICTS[answer.code]
            if verdict == DELIVERED:
                self._remember(answer, letter)
                await self._watcher.tell(CONNECTED)
                return Settled(True)
            rejected += 1
            self.tallies["rejected"] += 1
            reason = f"{answer.code} {answer.fault}".strip()
            if verdict == REFUSED or rejected >= self._settings.reject_attempts:
                return Settled(False, answer.code, reason, rejected)
            await self._watcher.tell(RETRYING, reason)
            await self._pause(rejected)

    async def _answer(self, conversation: Conversation, letter: Letter) -> Acknowledgement | None:
        """The acknowledgement of a message; None where it asks for none and none came."""
        expected = answers_success(letter.raw)
        timeout_s = self._settings.ack_timeout_s
        if not expected:
            timeout_s = min(timeout_s, SILENCE_S)
        self.tallies["sent"] += 1
        try:
            await self._give_receipts(conversation)
            answer = await conversation.deliver(
                letter.raw, letter.control_id, timeout_s, self._stray
            )
        except FeedError:
            if expected or conversation.ended:
                raise
            return None
        if answer.wants_receipt():
            self._owed.append(answer)
        return answer

    async def _connected(self) -> Conversation:
        """The connection; opened, with growing pauses, until there is one."""
        attempts = 0
        while self._conversation is None or self._conversation.ended:
            await self.close()
            try:
                self._conversation = await Conversation.open(
                    self._settings.host,
                    self._settings.port,
                    tls=self._tls,
                    server_name=(self._settings.tls.name or None) if self._settings.tls else None,
                    timeout_s=self._settings.connect_timeout_s,
                )
            except FeedError as error:
                attempts += 1
                await self._watcher.tell(CONNECTING, f"{error.what} {error.why}")
                await self._pause(attempts)
            else:
                self.tallies["connections"] += 1
                await self._watcher.tell(CONNECTED)
        return self._conversation

    async def close(self) -> None:
        if self._conversation is not None:
            conversation, self._conversation = self._conversation, None
            for late in conversation.unread():
                self._stray(late)
            await conversation.close()

    async def _pause(self, attempts: int) -> None:
        """Wait before another attempt: twice as long each time, and never in step with others."""
        await self._watcher.save()
        await self._sleep(self.pause_s(attempts))

    def pause_s(self, attempts: int) -> float:
        first, longest = self._settings.retry_first_s, self._settings.retry_longest_s
        whole: float = min(longest, first * 2.0 ** min(attempts - 1, 30))
        return whole * self._chance.uniform(0.5, 1.0)

    def _remember(self, answer: Acknowledgement, letter: Letter) -> None:
        if answer.is_commit:
            self._committed[answer.control_id] = letter.message
            if len(self._committed) > REMEMBERED:
                self._committed.popitem(last=False)

    def _stray(self, came: Acknowledgement | None) -> None:
        """An answer that is not about the message under way: about a committed one, or none."""
        if came is not None and came.wants_receipt():
            self._owed.append(came)
        if came is None or came.is_commit or came.control_id not in self._committed:
            self.tallies["unmatched"] += 1
        elif VERDICTS[came.code] == DELIVERED:
            del self._committed[came.control_id]
            self.tallies["applied"] += 1
        else:
            self._late.append(came)

    async def _give_receipts(self, conversation: Conversation) -> None:
        """Acknowledge answers whose sender asks for that (MSH-15 of an answer on its own)."""
        while self._owed:
            came = self._owed.pop(0)
            now = self._clock.now()
            receipt = acknowledge(came.raw, "CA", (), now=now, ack_id=f"R{came.control_id}")
            await conversation.write(receipt, self._settings.ack_timeout_s)

    async def look_after(self) -> None:
        """While there is nothing to send: read what came, and notice an end of the connection."""
        conversation = self._conversation
        if conversation is None:
            return
        for late in conversation.unread():
            self._stray(late)
        with contextlib.suppress(FeedError):
            await self._give_receipts(conversation)
        if conversation.ended:
            await self.close()

    def refused_late(self) -> Iterator[tuple[Journalled, Settled]]:
        """Messages that the receiver's application refused after they were committed."""
        while self._late:
            came = self._late.pop(0)
            message = self._committed.pop(came.control_id, None)
            if message is not None:
                reason = f"{came.code} {came.fault}".strip() + " (after it was committed)"
                yield message, Settled(False, came.code, reason, 1)
