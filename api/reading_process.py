"""The process beside this one that reads and translates, told frame by frame what to read.

It is begun before there is anything to read where that is known to come: it takes half a second to
be ready. Whoever begins it ends it.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from api.frames import receive_frame, write_frame
from twin_core import errors
from twin_core.errors import FeedError, TwinError
from twin_core.inbox import Stored


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the reading process says: receipts, or what it made durable itself; in the end that it
    is over, or could not go on."""

    receipts: bytes = b""
    stored: Stored | None = None
    bytes_read: int = 0
    over: bool = False
    kind: str = ""
    """Kind of the fault, by its name among the errors."""
    fault: str = ""
    why: str = ""
    do: str = ""


class ReadingProcess:
    """A reading process from its begin to its end."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "api.ingest_worker"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=theirs.fileno(),
                cwd=Path.cwd(),
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
                # Who interrupts means whoever begins it, and it cannot look away from the start.
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        """The process, to be ended with the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, whatever it is doing."""
        self.end()

    def end(self) -> None:
        """End it, whatever it is doing; ended before, nothing happens."""
        self._child.kill()
        self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._connection.close()

    def said(self, told: Iterable[bytes]) -> Generator[Said, None, None]:
        """What it says of the frames that it is told: an order, and what follows it.

        Raises what it could not go on for.
        """
        # It may say something while it is told something: neither waits for the other.
        with ThreadPoolExecutor(1, "lines") as telling:
            done = telling.submit(self._tell, told)
            try:
                yield from self._heard()
            finally:
                self._child.kill()
        done.result()

    def _tell(self, told: Iterable[bytes]) -> None:
        stream = self._child.stdin
        assert stream is not None  # noqa: S101  (narrows the type)
        with stream, contextlib.suppress(BrokenPipeError):
            for frame in told:
                write_frame(stream, frame)

    def _heard(self) -> Generator[Said, None, None]:
        while (frame := receive_frame(self._connection)) is not None:
            said = msgspec.msgpack.decode(frame, type=Said)
            if said.fault:
                kind: type[TwinError] = getattr(errors, said.kind, FeedError)
                raise kind(said.fault, why=said.why, do=said.do)
            if said.over:
                return
            yield said
        raise FeedError(
            "The process that reads the files ended before it was done.",
            why="It was killed, or the machine is out of memory.",
            do="Run the command again: what was stored already counts as duplicates.",
        )
