"""The server's side of the listening process: starts it, watches it, starts it again."""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

from twin_core import errors
from twin_core.errors import FeedError, TwinError
from twin_core.settings import Settings

FIRST_WORDS_S = 30.0
FAREWELL_S = 10.0
AGAIN_S = 0.5

log = logging.getLogger("wardtwin.listening")


class ListeningProcess:
    """A process that listens for one feed and writes the inbox of a store."""

    def __init__(self, settings: Settings, inbox: Path, feed: str) -> None:
        self.feed = feed
        self.host = settings.mllp.host
        self.port = settings.mllp.port
        self._settings, self._inbox = settings, inbox
        self._process: Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closing = False
        self._status: dict[str, Any] = {}
        self._before: dict[str, int] = {}

    async def start(self) -> None:
        """Listen. Raises FeedError where the port is taken, StoreError for an unusable inbox."""
        self._process = await self._begun()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Let it answer what is under way, and end."""
        self._closing = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), FAREWELL_S)
            except TimeoutError:
                log.warning("feed %s did not end in time", self.feed)
                self._process.kill()
        if self._watching is not None:
            await self._watching

    def status(self) -> dict[str, Any]:
        """The listener's counters since the server started; empty before the first second."""
        counted = {name: self._status.get(name, 0) + n for name, n in self._before.items()}
        return self._status | counted

    async def _begun(self) -> Process:
        # A server that is killed must not leave a listener behind: its input ends with it.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "api.intake",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )
        assert process.stdin is not None  # noqa: S101  (narrows the type)
        assert process.stdout is not None  # noqa: S101  (narrows the type)
        settings = self._settings.model_dump(mode="json", by_alias=True, exclude={"secrets"})
        settings["mllp"]["port"] = self.port
        told = {"inbox": str(self._inbox), "feed": self.feed, "settings": settings}
        process.stdin.write(json.dumps(told).encode() + b"\n")
        await process.stdin.drain()
        try:
            line = await asyncio.wait_for(process.stdout.readline(), FIRST_WORDS_S)
        except TimeoutError:
            process.kill()
            raise FeedError(f"Feed {self.feed} did not begin to listen.") from None
        said = json.loads(line or b"{}")
        if "port" not in said:
            await process.wait()
            raise _told(said, self.feed)
        self.port = int(said["port"])
        return process

    async def _watch(self) -> None:
        while not self._closing:
            process = self._process
            assert process is not None and process.stdout is not None  # noqa: S101, PT018
            while line := await process.stdout.readline():
                self._status = json.loads(line)
            await process.wait()
            if not self._closing:
                await self._again()

    async def _again(self) -> None:
        log.error("feed %s: the listening process ended and is started again", self.feed)
        self._before = {
            name: self._before.get(name, 0) + n
            for name, n in self._status.items()
            if isinstance(n, int) and name != "connections"
        }
        self._status = {}
        while not self._closing:
            await asyncio.sleep(AGAIN_S)
            with contextlib.suppress(TwinError):
                self._process = await self._begun()
                return


def _told(said: dict[str, Any], feed: str) -> TwinError:
    kind = getattr(errors, str(said.get("error")), None)
    if isinstance(kind, type) and issubclass(kind, TwinError):
        return kind(said["what"], why=said["why"], do=said["do"])
    return FeedError(f"Feed {feed} did not begin to listen.", do="See the log.")
