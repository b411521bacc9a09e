"""Sending over several connections at once, each waiting for its own acknowledgement."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from api.demo.perturb import Dispatch
from twin_core.errors import FeedError

WAITING = 8
"""Messages that may wait for one connection before the demo stops producing more."""
WINDOW = 8
"""Messages that may be on their way over one connection before the first is answered."""
ATTEMPTS = 5
FIRST_PAUSE_S = 0.02
SURPRISES_KEPT = 10


class Sending(Protocol):
    """One MLLP connection: a message goes out, its acknowledgement comes back."""

    async def send(self, raw: bytes) -> bytes:
        """The acknowledgement of a message."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


Connect = Callable[[], Awaitable[Sending]]


@dataclass(slots=True)
class Tally:
    """What was sent and what was answered."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    """Answers that were not hoped for: `hoped AA, answered AE: <MSA and ERR>`, the first few."""
    began: float = field(default_factory=time.monotonic)

    def rate(self) -> float:
        """Acknowledged messages per second so far."""
        return self.sent / max(time.monotonic() - self.began, 1e-9)

    def rejected(self) -> int:
        """Messages that were not accepted."""
        return self.sent - self.answers["AA"]


def answer_code(acknowledgement: bytes) -> str:
    """MSA-1 of an acknowledgement; empty where it has none."""
    for segment in acknowledgement.replace(b"\n", b"\r").split(b"\r"):
        if segment.startswith(b"MSA|"):
            return segment.split(b"|")[1].decode("ascii", "replace")
    return ""


class Feeder:
    """Keeps several connections busy. Use as an async context manager."""

    def __init__(self, connect: Connect, connections: int, tally: Tally) -> None:
        self._connect, self._tally = connect, tally
        self._queues: list[asyncio.Queue[Dispatch]] = [
            asyncio.Queue(WAITING) for _ in range(connections)
        ]
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Feeder":
        self._workers = [asyncio.create_task(self._work(queue)) for queue in self._queues]
        return self

    async def __aexit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def put(self, dispatch: Dispatch) -> None:
        """Hand a message to its connection; waits while that one is far behind."""
        queue = self._queues[dispatch.connection]
        if queue.full():
            await self._unless_broken(queue.put(dispatch))
        else:
            queue.put_nowait(dispatch)

    async def all_answered(self) -> None:
        """Wait until everything handed over so far is acknowledged."""
        await self._unless_broken(asyncio.gather(*(queue.join() for queue in self._queues)))

    async def _unless_broken(self, awaited: Awaitable[object]) -> None:
        waiting = asyncio.ensure_future(awaited)
        try:
            await asyncio.wait([waiting, *self._workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in self._workers:
                if worker.done():
                    worker.result()
            await waiting
        finally:
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting

    async def _work(self, queue: "asyncio.Queue[Dispatch]") -> None:
        connection = await self._connect()
        try:
            while True:
                due = [await queue.get()]
                while len(due) < WINDOW and not queue.empty():
                    due.append(queue.get_nowait())
                taken, attempt = len(due), 0
                while due:
                    attempt += 1
                    due, connection = await self._attempt(connection, due, attempt)
                for _ in range(taken):
                    queue.task_done()
        finally:
            await connection.close()

    async def _attempt(
        self, connection: Sending, due: list[Dispatch], attempt: int
    ) -> tuple[list[Dispatch], Sending]:
        """Send some messages one behind the other; those to be sent again, and over what."""
        answers = await asyncio.gather(
            *(connection.send(dispatch.raw) for dispatch in due), return_exceptions=True
        )
        again = []
        for dispatch, answer in zip(due, answers, strict=True):
            if isinstance(answer, bytes) and (attempt == ATTEMPTS or not _busy(answer)):
                self._count(dispatch, answer)
            elif isinstance(answer, BaseException) and (
                attempt == ATTEMPTS or not isinstance(answer, FeedError)
            ):
                raise answer
            else:
                # Whether it was stored may be unknown: sent again, it is at worst a duplicate.
                again.append(dispatch)
        if again:
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
        if any(isinstance(answer, FeedError) for answer in answers):
            await connection.close()
            connection = await self._connect()
        return again, connection

    def _count(self, dispatch: Dispatch, answer: bytes) -> None:
        tally, code = self._tally, answer_code(answer)
        tally.sent += 1
        tally.answers[code] += 1
        if code != dispatch.hoped and len(tally.unexpected) < SURPRISES_KEPT:
            tally.unexpected.append(f"hoped for {dispatch.hoped}, answered {_short(answer)}")


def _busy(answer: bytes) -> bool:
    """Whether the receiver says that it could not store the message now (table 0357: 207)."""
    return b"|207" in answer


def _short(answer: bytes) -> str:
    segments = answer.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return " ".join(s for s in segments if s.startswith(("MSA", "ERR"))) or "nothing readable"


class Stream:
    """Dispatches taken one by one, with a look at the next."""

    def __init__(self, dispatches: Iterable[Dispatch]) -> None:
        self._rest: Iterator[Dispatch] = iter(dispatches)
        self._next: Dispatch | None = next(self._rest, None)

    def peek(self) -> Dispatch | None:
        """The next one, still there afterwards; None at the end."""
        return self._next

    def take(self) -> Dispatch:
        """The next one."""
        taken = self._next
        if taken is None:
            raise FeedError("The demo has no more messages.")
        self._next = next(self._rest, None)
        return taken
