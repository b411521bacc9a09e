"""One destination's courier: takes the next message, sends it until it is settled, goes on.

At most one message is under way. A message is settled when the receiver accepted it, refused it
for good, or nothing can be sent for it; only then does the position move.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from random import Random

from adapters.hl7v2.retell import Untellable
from api.outbound.journal import Journalled, following, journalled, received, said
from api.outbound.ledger import Ledger, Parked, Position
from api.outbound.line import CLOSED, CONNECTED, DELIVERED, STOPPED, WAITING, Line, Settled
from api.outbound.message import Letter, Writer, passed_over, secured
from twin_core.errors import StoreMismatch, TwinError
from twin_core.settings import OutboundSettings
from twin_core.twin import Twin

LOG = logging.getLogger("wardtwin.outbound")
LOOK_AGAIN_S = 1.0
"""How long a courier with nothing to send sleeps before it looks for what it was asked."""
SAVE_EVERY, SAVE_AFTER_S = 200, 0.5
"""A position is written down after so many messages or seconds, and whenever there is a pause."""
CHUNK = {"normalized": 100, "raw": 16}
"""Messages whose content is held at once."""


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
        self._sleep = sleep
        self._line = Line(settings, twin.clock, chance, sleep, self, secured(name, settings))
        self._told = ("", "")
        self._unsaved, self._saved_at = 0, 0.0
        self._delivered = False
        last = Position(twin.sequence(), 2**62) if settings.start == "now" else Position(0, 0)
        self._position = ledger.begin(name, last)
        if self._position.batch_no > twin.sequence():
            raise StoreMismatch(
                f"The destination {name} was sent more than the store holds.",
                why="The store is older than the file that says how far destinations are.",
                do=f"Restore both from one backup, or remove {ledger.path.name} to begin anew.",
            )

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
                    await self._sleep(self._line.pause_s(troubles))
        finally:
            await self._line.close()
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
        settled = await self._line.settled(letter)
        while not settled.delivered and self.settings.on_reject == "stop":
            await self._stopped(settled)
            settled = await self._line.settled(letter)
        if not settled.delivered:
            await self._park(message, settled)
            return
        self._delivered = True
        self._pass(message, DELIVERED)
        await self._save_sometimes()

    async def _settle_late(self) -> None:
        """Park messages that the receiver's application refused after they were committed."""
        for message, settled in self._line.refused_late():
            await self._put_aside(message, settled, None)

    # --- where it stands ---------------------------------------------------------------------

    def _pass(self, message: Journalled, outcome: str) -> None:
        self._line.tallies[outcome] += 1
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
        await self.save()
        await asyncio.to_thread(self._ledger.released, self.name)  # what was asked before is over
        await self.tell(STOPPED, settled.reason)
        while not await asyncio.to_thread(self._ledger.released, self.name):
            await self._sleep(LOOK_AGAIN_S)
        await self.tell(WAITING)

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
                    settled = await self._line.settled(letter)
            if settled.delivered:
                self._line.tallies[DELIVERED] += 1
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
        await self._line.look_after()
        await self._settle_late()
        await self.save()
        await self.tell(CONNECTED if self._line.is_open else WAITING)
        self.wake.clear()
        try:
            await asyncio.wait_for(self.wake.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            return

    async def tell(self, state: str, reason: str = "") -> None:
        """Write down how the line is doing, where that is news."""
        if (state, reason) != self._told:
            self._told = (state, reason)
            now = self._twin.clock.now()
            await asyncio.to_thread(self._ledger.tell, self.name, state, reason, now, os.getpid())

    async def _save_sometimes(self) -> None:
        since_s = asyncio.get_running_loop().time() - self._saved_at
        if self._unsaved >= SAVE_EVERY or since_s >= SAVE_AFTER_S:
            await self.save()

    async def save(self) -> None:
        """Write down how far the destination has come."""
        if self._unsaved or self._line.tallies:
            self._saved_at = asyncio.get_running_loop().time()
            await asyncio.to_thread(self._save_now)

    def _save_now(self) -> None:
        delivered_at = self._twin.clock.now() if self._delivered else None
        self._delivered, self._unsaved = False, 0
        self._ledger.advance(self.name, self._position, self._taken_tallies(), delivered_at)

    def _taken_tallies(self) -> dict[str, int]:
        taken = dict(self._line.tallies)
        self._line.tallies.clear()
        return taken
