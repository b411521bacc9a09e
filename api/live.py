"""The live board: one composed board, and a bounded stream of changes to each client.

A client first gets a snapshot, then deltas. A delta names the sequence it applies to, so a client
that missed one knows and asks again. Nobody is waited for: a client that does not read fast enough
has its queue emptied and is told to ask for a new snapshot.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import msgspec

from api.access.reach import EVERYWHERE, Reach
from api.board import Beside, Board, Composed, Composer, KpiCard, difference
from api.figures import PENDING, Strip
from twin_core.errors import TwinError
from twin_core.twin import BatchApplied, Twin

TICK_S = 5.0
"""A delta at least this often: clock, waits and freshness change without any message."""
HEARTBEAT_S = 10.0
PACE_S, BUSY_PACE_S, LONGEST_PACE_S = 0.02, 0.25, 0.5
"""At most one delta in this time: the shortest while batches are small, since somebody waits for
each message; longer while messages come fast, and while a delta takes long to reach everyone."""
FEW_MESSAGES = 20
BESIDE_S = 1.0
"""How often the figures and the feeds beside the beds are looked at while anyone watches; seldomer
where that takes more than one twentieth of the time."""
BESIDE_SHARE = 20.0
FIRST_KPIS_S = 2.0
"""A server that has just started again owes its watchers the present before the figures."""
OWN_KPIS_S = 20.0
"""How often the KPIs that a site has written itself are measured, for as long as anyone watches."""
LONGEST_S = 900.0
"""How long a stream lasts before its client is told to ask again: a key that was revoked since, a
token that is out of date and an emergency that is over see no more than this."""
REFETCH = b"event: refetch\ndata: {}\n\n"
QUEUE = 32
CLIENTS = 1024
RETRY_MS = 500

log = logging.getLogger(__name__)


class Client:
    """One open stream: what it has still to be sent, never more than `QUEUE` events."""

    def __init__(self, reach: Reach = EVERYWHERE) -> None:
        self.reach = reach
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE + 2)
        self.lagging = False

    def offer(self, event: bytes) -> None:
        """Queue an event, or give the client up: it will be told to ask again."""
        if self.lagging:
            return
        if self._events.qsize() >= QUEUE:
            self.lagging = True
            while not self._events.empty():
                self._events.get_nowait()
            self._events.put_nowait(REFETCH)
            self.end()
            return
        self._events.put_nowait(event)

    def end(self) -> None:
        """Let the stream end after what is queued."""
        if not self._events.full():
            self._events.put_nowait(None)

    async def next(self) -> bytes | None:
        """The next event, a comment when nothing happened for a while, None at the end."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                return await self._events.get()
        except TimeoutError:
            return b": still here\n\n"


class LiveBoard:
    """Composes the board after each batch while anyone watches, and tells everyone the change."""

    def __init__(
        self,
        twin: Twin,
        composer: Composer,
        strip: Strip,
        catalogue: Callable[[], object] = lambda: None,
    ) -> None:
        self._twin, self._composer, self._strip = twin, composer, strip
        self._catalogue = catalogue
        self._clients: set[Client] = set()
        self._composed: Composed | None = None
        self._snapshots: dict[Reach, bytes] = {}
        self._messages = 0
        self._composed_at = 0.0
        self._compose_s = 0.0
        self._beside_due = 0.0
        self._owes_beside = False
        self._kpis: tuple[tuple[KpiCard, ...], Beside] = (PENDING, {})
        self._counting = False
        self._wanted = asyncio.Event()
        self._watched = asyncio.Event()
        self._turn = asyncio.Lock()
        self._stale = True
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return len(self._clients)

    @property
    def compose_seconds(self) -> float:
        """How long composing the board took last time."""
        return self._compose_s

    async def start(self) -> None:
        """Begin to follow the twin; called on the event loop that serves the streams.

        The first board is composed here, so that whoever waited for a server that was started
        again does not also wait for its first, slowest queries.
        """
        loop = asyncio.get_running_loop()

        def applied(batch: BatchApplied) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._batch_applied, batch.messages)

        self._unsubscribe = self._twin.subscribe(applied)
        await self._try_refresh()
        self._tasks = [loop.create_task(self._follow()), loop.create_task(self._count())]

    def end(self) -> None:
        """End every stream, so that the server can stop; safe to call more than once."""
        self._ended = True
        for client in tuple(self._clients):
            client.end()

    async def stop(self) -> None:
        """End every stream and stop following the twin."""
        self.end()
        self._unsubscribe()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def board(self, reach: Reach = EVERYWHERE) -> Board:
        """The board as it is now, for somebody whose rows reach so far; composed again only where
        something may have changed."""
        self._watched.set()
        async with self._turn:
            return (await self._current()).within(reach)

    async def join(self, reach: Reach = EVERYWHERE) -> Client:
        """A new client with a snapshot in its queue; its deltas follow without a gap."""
        client = Client(reach)
        async with self._turn:
            composed = await self._current()
            # Many come at once after a restart: a board is put into words once for all of them.
            if reach not in self._snapshots:
                board = composed.within(reach)
                self._snapshots[reach] = _event("snapshot", board.sequence, board)
            client.offer(self._snapshots[reach])
            self._clients.add(client)
        self._watched.set()
        return client

    async def stream(self, client: Client) -> AsyncIterator[bytes]:
        """A client's server-sent events, until it or the server goes, or it has to ask again."""
        ends = monotonic() + LONGEST_S
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while not self._ended and (event := await client.next()) is not None:
                yield event
                if monotonic() > ends:
                    yield REFETCH
                    return
        finally:
            self._clients.discard(client)

    def _batch_applied(self, messages: int = 0) -> None:
        self._stale = True
        self._messages += messages
        self._wanted.set()

    async def _current(self) -> Composed:
        composed = self._composed
        aged = monotonic() - self._composed_at > TICK_S or (self._owes_beside and not self._clients)
        if composed is None or self._stale or aged:
            return await self._refresh()
        return composed

    async def _refresh(self) -> Composed:
        self._stale = False
        began = monotonic()
        new = await asyncio.to_thread(self._compose)
        self._composed_at = monotonic()
        self._compose_s = self._composed_at - began
        old, self._composed, self._snapshots = self._composed, new, {}
        if old is not None and self._clients:
            for reach in {client.reach for client in self._clients}:
                self._tell(reach, old.within(reach), new.within(reach))
            self._clients = {client for client in self._clients if not client.lagging}
        return new

    def _tell(self, reach: Reach, old: Board, new: Board) -> None:
        event = _event("delta", new.sequence, difference(old, new))
        for client in self._clients:
            if client.reach == reach:
                client.offer(event)

    def _compose(self) -> Composed:
        # Who asks without watching gets everything as it is; a stream gets the rest soon after.
        began = monotonic()
        self._owes_beside = bool(self._clients) and began < self._beside_due
        if not self._owes_beside:
            self._look_beside()
            self._beside_due = monotonic() + max(BESIDE_S, BESIDE_SHARE * (monotonic() - began))
        return self._composer.compose(*self._kpis)

    def _look_beside(self) -> None:
        self._composer.pulse.take(self._twin.clock.now())
        if self._counting:
            try:
                self._kpis = self._strip.cards()
            except TwinError as error:
                log.warning("the figures could not be counted: %s", error.what)

    async def _try_refresh(self) -> None:
        try:
            async with self._turn:
                await self._refresh()
        except TwinError as error:
            # The clients see by the missing tick that they are stale; the next turn may succeed.
            log.warning("the board could not be composed: %s", error.what)

    async def _follow(self) -> None:
        while True:
            if not self._clients:
                self._watched.clear()
                await self._watched.wait()
            try:
                await asyncio.wait_for(self._wanted.wait(), self._patience())
            except TimeoutError:
                self._stale = True
            self._wanted.clear()
            pace = PACE_S if self._messages <= FEW_MESSAGES else BUSY_PACE_S
            self._messages = 0
            began = monotonic()
            await self._try_refresh()
            await _told()
            await asyncio.sleep(min(max(pace, monotonic() - began), LONGEST_PACE_S))

    def _patience(self) -> float:
        """How long to wait for a message: until the next tick, or until figures are owed."""
        return max(0.0, self._beside_due - monotonic()) if self._owes_beside else TICK_S

    async def _count(self) -> None:
        await asyncio.sleep(FIRST_KPIS_S)
        while True:
            try:
                await asyncio.to_thread(self._strip.measure_own)
            except TwinError as error:
                log.warning("the site's figures could not be measured: %s", error.what)
            self._counting = True
            self._batch_applied()
            await asyncio.sleep(OWN_KPIS_S)
            await self._watched.wait()
            await self._try_catalogue()

    async def _try_catalogue(self) -> None:
        """Measure the catalogue once, for the page of key figures that a watcher may open next."""
        measure, self._catalogue = self._catalogue, lambda: None
        try:
            await asyncio.to_thread(measure)
        except TwinError as error:
            log.warning("the catalogue could not be measured: %s", error.what)


async def _told() -> None:
    """Let every stream send what was put into its queue: the loop gives each of them a turn."""
    for _ in range(3):
        await asyncio.sleep(0)


def _event(name: str, sequence: int, content: Any) -> bytes:
    encoded = msgspec.json.encode(content)
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), sequence, encoded)
