"""The listening process: takes HL7 v2 messages in while another process projects and serves.

    python -m api.intake        (started by `wardtwin serve`; not for people)

Reading messages and making them durable keeps one core busy, folding them another; two processes
let both run. This one only writes the inbox. It is told on standard input where the store is, how
it is set and how far messages have been applied, says on standard output which ports it listens on
and how its listeners are doing, and ends when it is told to or when its input ends, so it never
outlives the server that started it.
"""

import asyncio
import contextlib
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from adapters.hl7v2 import ListenerStatus, MllpListener
from api.collector import calm_collector
from api.logs import log_to
from twin_core.clock import SystemClock
from twin_core.encryption.keys import key_of
from twin_core.errors import TwinError
from twin_core.inbox import Answer, EncodedReceipt, Inbox
from twin_core.settings import Settings

STATUS_S = 0.5
SWITCH_S = 0.001
FILES = 65_536
"""Open files and sockets that are asked for."""
HEAVIEST_LINE = 16 * 1024 * 1024
"""Bytes of one line between server and listening process."""


class Task(msgspec.Struct, kw_only=True):
    """The first line that is read: where the inbox is, how all is set, and on which ports."""

    inbox: str
    settings: dict[str, object]
    ports: dict[str, int]
    """Port by feed, 0 for a free one; feeds that are not named have no listener."""
    applied: int
    """Inbox position up to which messages have been applied."""
    key: str | None = None
    """The site's key, where the store is encrypted: it is told here and nowhere else."""


class Applied(msgspec.Struct, kw_only=True, tag="applied"):
    """Told while listening: messages up to a position have been applied, some to no effect."""

    position: int
    not_applied: tuple[int, ...] = ()


class Stop(msgspec.Struct, tag="stop"):
    """Told at last: take nothing more, answer what is under way, and end."""


class Listening(msgspec.Struct, kw_only=True, tag="listening"):
    """The first line that is said: the ports that are listened on, by feed."""

    ports: dict[str, int]


class Doing(msgspec.Struct, kw_only=True, tag="doing"):
    """Said again and again: how every listener is doing, by feed."""

    feeds: dict[str, ListenerStatus]


class Failed(msgspec.Struct, kw_only=True, tag="failed"):
    """Said instead of `Listening`: an error of the errors' tree, by its name."""

    kind: str
    what: str
    why: str
    do: str


_ORDERS = msgspec.json.Decoder(Applied | Stop)


class InboxIntake:
    """What a listener needs of a twin: its settings, its clock, and durable intake."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self.settings, self.clock = settings, SystemClock()
        self._inbox = inbox

    def submit(self, receipts: Sequence[EncodedReceipt]) -> "Future[list[Answer]]":
        """Make receipts durable; see `Twin.submit`."""
        return self._inbox.submit(receipts)

    def applied(self, position: int) -> None:
        """Another process has applied what is durable up to a position."""
        self._inbox.followed_to(position)


async def listen() -> None:
    """Listen until told to stop.

    Raises ConfigurationError, FeedError or StoreError before the first message.
    """
    orders = await _standard_input()
    task = msgspec.json.decode(await orders.readline(), type=Task)
    settings = Settings.model_validate(task.settings)
    inbox = Inbox(
        Path(task.inbox),
        SystemClock(),
        window_ms=settings.store.commit_window_ms,
        key=key_of(task.key, "The key") if task.key else None,
    )
    inbox.start()
    try:
        await _take_in(InboxIntake(settings, inbox), task, orders)
    finally:
        inbox.close()


async def _take_in(intake: InboxIntake, task: Task, orders: asyncio.StreamReader) -> None:
    listeners = [_listener(intake, feed, port) for feed, port in task.ports.items()]
    stopping = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        for listener in listeners:
            listener.applied(task.applied)
            await listener.start()
            stack.push_async_callback(listener.close)
        say(Listening(ports={listener.feed: listener.port for listener in listeners}))
        calm_collector()
        # Orders are obeyed until the end: deferred answers are still due while listeners close.
        for work in (_obey(orders, intake, listeners, stopping), _tell(listeners)):
            stack.callback(asyncio.create_task(work).cancel)
        await stopping.wait()
        await asyncio.gather(*(listener.close() for listener in listeners))
    say(_doing(listeners))


def _listener(intake: InboxIntake, feed: str, port: int) -> MllpListener:
    mllp = intake.settings.listeners()[feed].model_copy(update={"port": port})
    return MllpListener(intake, feed, mllp=mllp)


async def _obey(
    orders: asyncio.StreamReader,
    intake: InboxIntake,
    listeners: Sequence[MllpListener],
    stopping: asyncio.Event,
) -> None:
    try:
        while line := await orders.readline():
            order = _ORDERS.decode(line)
            if isinstance(order, Stop):
                stopping.set()
                continue
            intake.applied(order.position)
            for listener in listeners:
                listener.applied(order.position, order.not_applied)
    finally:
        stopping.set()


async def _tell(listeners: Sequence[MllpListener]) -> None:
    while True:
        say(_doing(listeners))
        await asyncio.sleep(STATUS_S)


def _doing(listeners: Sequence[MllpListener]) -> Doing:
    return Doing(feeds={listener.feed: listener.status() for listener in listeners})


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=HEAVIEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(words: Listening | Doing | Failed) -> None:
    """One line to the server; nobody listens any more once it is gone."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(words) + b"\n")
        sys.stdout.buffer.flush()


def _allow_sockets() -> None:
    # Many systems allow a process 1,024 files unless it asks for more: too few for many feeds.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    """Run until told to stop, or until the server that started it is gone."""
    log_to(sys.stderr)
    _allow_sockets()
    # The thread that has just made messages durable must not wait long for the one that reads.
    sys.setswitchinterval(SWITCH_S)
    try:
        asyncio.run(listen())
    except TwinError as error:
        kind = type(error).__name__
        say(Failed(kind=kind, what=error.what, why=error.why, do=error.do))
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
