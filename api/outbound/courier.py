"""One destination's courier: takes the next message, sends it until it is settled, goes on.

At most one message is under way. A message is settled when the receiver accepted it, refused it
for good, or nothing can be sent for it; only then does the position move. What else comes back is
held against the messages that were committed earlier, and is never taken for the present one's.
"""

import asyncio
import contextlib
import logging
import os
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from random import Random
from typing import NamedTuple

from adapters.hl7v2.acknowledge import acknowledge
from adapters.hl7v2.answers import Acknowledgement, answers_success
from adapters.hl7v2.conversation import Conversation, tls_context
from adapters.hl7v2.retell import Untellable
from api.outbound.journal import Journalled, following, journalled, received, said
from api.outbound.ledger import Ledger, Parked, Position
from api.outbound.message import Letter, Writer, passed_over, tls_files
from twin_core.errors import FeedError, TwinError
from twin_core.settings import OutboundSettings
from twin_core.twin import Twin

LOG = logging.getLogger("wardtwin.outbound")
CONNECTED, CONNECTING, RETRYING, STOPPED, WAITING, CLOSED = (
    "connected",
    "connecting",
    "retrying",
    "stopped",
    "waiting",
    "closed",
)
LOOK_AGAIN_S = 1.0
"""How long a courier with nothing to send sleeps before it looks for what it was asked."""
SAVE_EVERY, SAVE_AFTER_S = 200, 0.5
"""A position is written down after so many messages or seconds, and whenever there is a pause."""
CHUNK = {"normalized": 100, "raw": 16}
"""Messages whose content is held at once."""
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


class Courier:
    """Feeds one destination until it is cancelled. `wake` tells it that there may be news."""

    def __init__(
        self,
        name: str,
        settings: OutboundSettings,
        twin: Twin,
        ledger: Ledger,
        writer: Writer,
        chance: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name, self.settings = name, settings
        self.wake = asyncio.Event()
        self._twin, self._ledger, self._writer = twin, ledger, writer
        self._chance, self._sleep = chance, sleep
        self._tls: ssl.SSLContext | None = None
        if settings.tls is not None:
            self._tls = tls_context(*tls_files(settings))
        self._conversation: Conversation | None = None
        self._tallies: Counter[str] = Counter()
        self._committed: OrderedDict[str, Journalled] = OrderedDict()
        self._late: list[Acknowledgement] = []
        self._owed: list[Acknowledgement] = []
        self._told = ("", "")
        self._unsaved, self._saved_at = 0, 0.0
        self._delivered = False
        last = Position(twin.sequence(), 2**62) if settings.start == "now" else Position(0, 0)
        self._position = ledger.begin(name, last)

    async def run(self) -> None:
        """Deliver what there is and what will come."""
        troubles = 0
        try:
            while True:
                try:
                    await self._settle_requests()
                    if not await self._deliver_page():
                        await self._rest()
                    troubles = 0
                except TwinError as error:
                    # The store or the ledger, not the receiver: nothing is lost, so wait.
                    troubles += 1
                    LOG.error("destination %s waits: %s", self.name, error)
                    await self._sleep(self._pause_s(troubles))
        finally:
            await self._close()
            self._save_now()
            self._ledger.tell(self.name, CLOSED, "", self._twin.clock.now(), os.getpid())

    # --- what to send ------------------------------------------------------------------------

    async def _deliver_page(self) -> bool:
        """Settle the next page of the journal; whether there was one."""
        page = await asyncio.to_thread(following, self._twin, self._position)
        chunk: list[Journalled] = []
        for message in page:
            why_not = passed_over(message, self.settings)
            if why_not:
                chunk = await self._deliver_chunk(chunk)
                self._pass(message, why_not)
            else:
                chunk.append(message)
                if len(chunk) == CHUNK[self.settings.form]:
                    chunk = await self._deliver_chunk(chunk)
        await self._deliver_chunk(chunk)
        return bool(page)

    async def _deliver_chunk(self, chunk: list[Journalled]) -> list[Journalled]:
        """Settle messages in order; returns the next chunk, which is empty."""
        if chunk:
            for message, letter in await asyncio.to_thread(self._letters, chunk):
                await self._deliver(message, letter)
        return []

    def _letters(self, chunk: list[Journalled]) -> list[tuple[Journalled, Letter | str]]:
        """What is sent for each message, or why nothing."""
        normalized = self.settings.form == "normalized"
        meant = said(self._twin, chunk) if normalized else {}
        raw: dict[int, bytes] = {}
        if not normalized or self.settings.untold == "raw":
            raw = received(self._twin, chunk)
        letters: list[tuple[Journalled, Letter | str]] = []
        for message in chunk:
            number = message.message_id
            try:
                letter: Letter | str = self._writer.letter(
                    message, meant.get(number), raw.get(number)
                )
            except Untellable as why_not:
                letter = str(why_not)
            # One message that meets a defect of ours must not hold up all behind it.
            except Exception as defect:
                LOG.error("destination %s: encoding %d failed", self.name, number)
                letter = f"Encoding it met a defect ({type(defect).__name__})."
            letters.append((message, letter))
        return letters

    async def _deliver(self, message: Journalled, letter: Letter | str) -> None:
        """Settle one message, and move the position behind it."""
        if isinstance(letter, str):
            await self._park(message, Settled(False, reason=letter))
            return
        settled = await self._settled(letter)
        while not settled.delivered and self.settings.on_reject == "stop":
            await self._stopped(settled)
            settled = await self._settled(letter)
        if not settled.delivered:
            await self._park(message, settled)
            return
        self._delivered = True
        self._pass(message, DELIVERED)
        await self._save_sometimes()

    # --- sending -----------------------------------------------------------------------------

    async def _settled(self, letter: Letter) -> Settled:
        """Send a message until the receiver has had its last word on it."""
        rejected = unanswered = 0
        while True:
            conversation = await self._connected()
            try:
                answer = await self._answer(conversation, letter)
            except FeedError as error:
                unanswered += 1
                await self._close()
                if unanswered == self.settings.unanswered_attempts:
                    return Settled(False, "", error.what, unanswered)
                await self._tell(RETRYING, f"{error.what} {error.why}".strip())
                await self._pause(unanswered)
                continue
            if answer is None:
                return Settled(True)
            verdict = VERDICTS[answer.code]
            if verdict == DELIVERED:
                self._remember(answer, letter)
                await self._tell(CONNECTED)
                return Settled(True)
            rejected += 1
            self._tallies["rejected"] += 1
            reason = f"{answer.code} {answer.fault}".strip()
            if verdict == REFUSED or rejected >= self.settings.reject_attempts:
                return Settled(False, answer.code, reason, rejected)
            await self._tell(RETRYING, reason)
            await self._pause(rejected)

    async def _answer(self, conversation: Conversation, letter: Letter) -> Acknowledgement | None:
        """The acknowledgement of a message; None where it asks for none and none came."""
        expected = answers_success(letter.raw)
        timeout_s = self.settings.ack_timeout_s
        if not expected:
            timeout_s = min(timeout_s, SILENCE_S)
        self._tallies["sent"] += 1
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
            await self._close()
            try:
                self._conversation = await Conversation.open(
                    self.settings.host,
                    self.settings.port,
                    tls=self._tls,
                    server_name=(self.settings.tls.name or None) if self.settings.tls else None,
                    timeout_s=self.settings.connect_timeout_s,
                )
            except FeedError as error:
                attempts += 1
                await self._tell(CONNECTING, f"{error.what} {error.why}")
                await self._pause(attempts)
            else:
                self._tallies["connections"] += 1
                await self._tell(CONNECTED)
        return self._conversation

    async def _close(self) -> None:
        if self._conversation is not None:
            conversation, self._conversation = self._conversation, None
            for late in conversation.unread():
                self._stray(late)
            await conversation.close()

    async def _pause(self, attempts: int) -> None:
        """Wait before another attempt: twice as long each time, and never in step with others."""
        await self._save()
        await self._sleep(self._pause_s(attempts))

    def _pause_s(self, attempts: int) -> float:
        first, longest = self.settings.retry_first_s, self.settings.retry_longest_s
        whole: float = min(longest, first * 2.0 ** min(attempts - 1, 30))
        return whole * self._chance.uniform(0.5, 1.0)

    # --- answers that nobody waits for -------------------------------------------------------

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
            self._tallies["unmatched"] += 1
        elif VERDICTS[came.code] == DELIVERED:
            del self._committed[came.control_id]
            self._tallies["applied"] += 1
        else:
            self._late.append(came)

    async def _give_receipts(self, conversation: Conversation) -> None:
        """Acknowledge answers whose sender asks for that (MSH-15 of an answer on its own)."""
        while self._owed:
            came = self._owed.pop(0)
            now = self._twin.clock.now()
            receipt = acknowledge(came.raw, "CA", (), now=now, ack_id=f"R{came.control_id}")
            await conversation.write(receipt, self.settings.ack_timeout_s)

    async def _settle_late(self) -> None:
        """Park messages that the receiver's application refused after they were committed."""
        while self._late:
            came = self._late.pop(0)
            message = self._committed.pop(came.control_id, None)
            if message is None:
                continue  # refused twice
            reason = f"{came.code} {came.fault}".strip() + " (after it was committed)"
            await self._put_aside(message, Settled(False, came.code, reason, 1), None)

    # --- where it stands ---------------------------------------------------------------------

    def _pass(self, message: Journalled, outcome: str) -> None:
        self._tallies[outcome] += 1
        self._position = message.position
        self._unsaved += 1

    async def _park(self, message: Journalled, settled: Settled) -> None:
        LOG.warning(
            "destination %s: message %d is parked: %s",
            self.name,
            message.message_id,
            settled.reason,
        )
        self._position = message.position
        await self._put_aside(message, settled, self._position)

    async def _put_aside(
        self, message: Journalled, settled: Settled, position: Position | None
    ) -> None:
        parked = Parked(
            message.message_id,
            message.trigger_event or "",
            self._writer.control_id(message),
            settled.code,
            settled.reason,
            settled.attempts,
            self._twin.clock.now().isoformat(),
        )
        tallies = self._taken_tallies() if position else {}
        await asyncio.to_thread(self._ledger.park, self.name, parked, position, tallies)

    async def _stopped(self, settled: Settled) -> None:
        """Stand still at a message until somebody asks for another try."""
        await self._save()
        await asyncio.to_thread(self._ledger.released, self.name)  # what was asked before is over
        await self._tell(STOPPED, settled.reason)
        while not await asyncio.to_thread(self._ledger.released, self.name):
            await self._sleep(LOOK_AGAIN_S)

    async def _settle_requests(self) -> None:
        """Try parked messages again for which somebody asked."""
        await self._settle_late()
        for parked in await asyncio.to_thread(self._ledger.asked_again, self.name):
            message = await asyncio.to_thread(journalled, self._twin, parked.message_id)
            settled = Settled(False, reason="The message is not in the journal any more.")
            if message is not None:
                [(_, letter)] = await asyncio.to_thread(self._letters, [message])
                settled = Settled(False, reason=letter) if isinstance(letter, str) else settled
                if isinstance(letter, Letter):
                    settled = await self._settled(letter)
            if settled.delivered:
                self._tallies[DELIVERED] += 1
                await asyncio.to_thread(self._ledger.unpark, self.name, parked.message_id)
            else:
                kept = parked._replace(
                    code=settled.code,
                    reason=settled.reason,
                    attempts=parked.attempts + settled.attempts,
                    again=False,
                )
                await asyncio.to_thread(self._ledger.park, self.name, kept, None, {})

    async def _rest(self) -> None:
        """Nothing to send: look after the connection, and wait for news."""
        conversation = self._conversation
        if conversation is not None:
            for late in conversation.unread():
                self._stray(late)
            with contextlib.suppress(FeedError):
                await self._give_receipts(conversation)
            if conversation.ended:
                await self._close()
        await self._settle_late()
        await self._save()
        await self._tell(CONNECTED if self._conversation is not None else WAITING)
        self.wake.clear()
        try:
            await asyncio.wait_for(self.wake.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            return

    async def _tell(self, state: str, reason: str = "") -> None:
        if (state, reason) != self._told:
            self._told = (state, reason)
            now = self._twin.clock.now()
            await asyncio.to_thread(self._ledger.tell, self.name, state, reason, now, os.getpid())

    async def _save_sometimes(self) -> None:
        since_s = asyncio.get_running_loop().time() - self._saved_at
        if self._unsaved >= SAVE_EVERY or since_s >= SAVE_AFTER_S:
            await self._save()

    async def _save(self) -> None:
        if self._unsaved or self._tallies:
            self._saved_at = asyncio.get_running_loop().time()
            await asyncio.to_thread(self._save_now)

    def _save_now(self) -> None:
        delivered_at = self._twin.clock.now() if self._delivered else None
        self._delivered, self._unsaved = False, 0
        self._ledger.advance(self.name, self._position, self._taken_tallies(), delivered_at)

    def _taken_tallies(self) -> dict[str, int]:
        taken, self._tallies = dict(self._tallies), Counter()
        return taken
