"""Every feed's listener, as the server has them: in a process of their own, or in this one."""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from adapters.hl7v2 import ListenerStatus, MllpListener
from api.intake import HEAVIEST_LINE, Applied, Doing, Failed, Listening, Stop, Task
from twin_core import Twin, errors
from twin_core.encryption import StoreKey
from twin_core.errors import FeedError, TwinError
from twin_core.settings import Settings

FIRST_WORDS_S = 30.0
FAREWELL_S = 15.0
AGAIN_S = 0.5

log = logging.getLogger("wardtwin.listening")

_WORDS = msgspec.json.Decoder(Listening | Doing | Failed)


class Listeners(Protocol):
    """Every feed that listens, in this process or in one of its own."""

    @property
    def ports(self) -> dict[str, int]: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def applied(self, position: int, not_applied: tuple[int, ...] = ()) -> None: ...

    def statuses(self) -> dict[str, ListenerStatus]: ...


class ListenersHere:
    """Every feed's listener in this very process."""

    def __init__(self, twin: Twin) -> None:
        self._listeners = {
            feed: MllpListener(twin, feed, mllp=mllp)
            for feed, mllp in twin.settings.listeners().items()
        }

    @property
    def ports(self) -> dict[str, int]:
        """The port of each feed."""
        return {feed: listener.port for feed, listener in self._listeners.items()}

    async def start(self) -> None:
        """Listen, or let go of what was begun and raise why not."""
        try:
            for listener in self._listeners.values():
                await listener.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Answer what is under way, and stop."""
        await asyncio.gather(*(listener.close() for listener in self._listeners.values()))

    def applied(self, position: int, not_applied: tuple[int, ...] = ()) -> None:
        """Messages up to a position have been applied: deferred answers may be due."""
        for listener in self._listeners.values():
            listener.applied(position, not_applied)

    def statuses(self) -> dict[str, ListenerStatus]:
        """Every listener's counters, by feed."""
        return {feed: listener.status() for feed, listener in self._listeners.items()}


class ListeningProcess:
    """A process that listens for every feed with a port and writes the inbox of a store.

    `applied` is the inbox position up to which messages have been applied when it starts.
    """

    def __init__(
        self, settings: Settings, inbox: Path, applied: int, key: StoreKey | None = None
    ) -> None:
        self.ports = {feed: mllp.port for feed, mllp in settings.listeners().items()}
        self._settings, self._inbox, self._applied, self._key = settings, inbox, applied, key
        self._process: Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closing = False
        self._doing: Mapping[str, ListenerStatus] = {}
        self._before: dict[str, ListenerStatus] = {}

    async def start(self) -> None:
        """Listen.

        Raises FeedError where a port is taken, ConfigurationError for unusable certificates or
        peers, StoreError for an unusable inbox.
        """
        self._process = await self._begun()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Let it answer what is under way, and end."""
        self._closing = True
        process = self._process
        if process is not None and process.stdin is not None:
            self._order(Stop())
            try:
                await asyncio.wait_for(process.wait(), FAREWELL_S)
            except TimeoutError:
                log.warning("the listening process did not end in time")
                process.kill()
            process.stdin.close()
        if self._watching is not None:
            await self._watching

    def applied(self, position: int, not_applied: tuple[int, ...] = ()) -> None:
        """Messages up to a position have been applied: deferred answers may be due."""
        self._applied = position
        self._order(Applied(position=position, not_applied=not_applied))

    def statuses(self) -> dict[str, ListenerStatus]:
        """Every listener's counters since the server started, by feed."""
        return {
            feed: self._doing.get(feed, _NOTHING_YET).after(self._before.get(feed, _NOTHING_YET))
            for feed in self.ports
        }

    def _order(self, order: Applied | Stop) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            return
        with contextlib.suppress(ConnectionError, RuntimeError):
            process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def _begun(self) -> Process:
        # A server that is killed must not leave a listener behind: its input ends with it.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "api.intake",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            limit=HEAVIEST_LINE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )
        assert process.stdin is not None  # noqa: S101  (narrows the type)
        assert process.stdout is not None  # noqa: S101  (narrows the type)
        task = Task(
            inbox=str(self._inbox),
            settings=self._settings.model_dump(mode="json", by_alias=True, exclude={"secrets"}),
            ports=self.ports,
            applied=self._applied,
            key=self._key.written() if self._key else None,
        )
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        await process.stdin.drain()
        try:
            line = await asyncio.wait_for(process.stdout.readline(), FIRST_WORDS_S)
        except TimeoutError:
            process.kill()
            raise FeedError("The listening process did not begin to listen.") from None
        said = _WORDS.decode(line) if line else None
        if not isinstance(said, Listening):
            await process.wait()
            raise _told(said)
        self.ports = said.ports
        return process

    async def _watch(self) -> None:
        while not self._closing:
            process = self._process
            assert process is not None and process.stdout is not None  # noqa: S101, PT018
            while line := await process.stdout.readline():
                said = _WORDS.decode(line)
                if isinstance(said, Doing):
                    self._doing = said.feeds
            await process.wait()
            if not self._closing:
                await self._again()

    async def _again(self) -> None:
        log.error("the listening process ended and is started again")
        self._before, self._doing = self.statuses(), {}
        while not self._closing:
            await asyncio.sleep(AGAIN_S)
            with contextlib.suppress(TwinError):
                self._process = await self._begun()
                # What was applied while it was not there to be told.
                self.applied(self._applied)
                return


_NOTHING_YET = ListenerStatus()


def _told(said: Listening | Doing | Failed | None) -> TwinError:
    if isinstance(said, Failed):
        kind = getattr(errors, said.kind, None)
        if isinstance(kind, type) and issubclass(kind, TwinError):
            return kind(said.what, why=said.why, do=said.do)
    return FeedError("The listening process did not begin to listen.", do="See the log.")
