"""How fast a server is asked: so many requests in a second, and so many at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class Pace:
    """Gives out turns, evenly spaced; `hold` keeps everybody waiting for a while."""

    def __init__(
        self,
        per_second: float,
        at_once: int,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._gap_s = 1.0 / per_second if per_second > 0 else 0.0
        self._room = asyncio.Semaphore(at_once)
        self._monotonic, self._sleep = monotonic, sleep
        self._next = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One request's turn: entered when it may be sent, left when it was answered."""
        async with self._room:
            await self._wait()
            yield

    def hold(self, pause_s: float) -> None:
        """Nobody asks before `pause_s` seconds have passed."""
        self._next = max(self._next, self._monotonic() + pause_s)

    async def _wait(self) -> None:
        # The turn is taken before sleeping, so that those who wait get different ones.
        while True:
            now, at = self._monotonic(), self._next
            if at <= now:
                self._next = now + self._gap_s
                return
            if self._gap_s:
                self._next = at + self._gap_s
                await self._sleep(at - now)
                return
            await self._sleep(at - now)
