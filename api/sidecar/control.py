"""The parent's side of the sidecar: start it, ask it, kill it when it does not answer."""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import msgspec

from api.frames import read_frame, write_frame
from api.sidecar.words import Ask, Reply
from twin_core.errors import QueryFailed, StoreBusy, StoreError, TwinError, UsageError
from twin_core.settings import StoreSettings

GRACE_S = 1.2
"""What the child may take beyond the deadline before it is killed: to be interrupted, to encode."""
OPENING_S = 120.0
"""How long the child may take to start and to open the file, which no query can prolong."""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")


class Rows(NamedTuple):
    """The answer to a query: column names, rows as objects, and whether the cap cut them."""

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    cut: bool


class Stream(NamedTuple):
    """The answer to a query as an Arrow IPC stream, and whether the cap cut its rows."""

    content: bytes
    cut: bool


class Sidecar:
    """A killable process that answers SQL over one DuckDB file. One question at a time.

    `key` is what the file is encrypted by; the process is told it over its pipe, never otherwise.
    """

    def __init__(
        self,
        settings: StoreSettings | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
    ) -> None:
        self._key = key
        self._settings = settings or StoreSettings()
        self._environ = os.environ if environ is None else environ
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def query(self, path: Path, sql: str, *, opened: int = 0) -> Rows:
        """The rows of one SELECT over the file at `path`.

        `opened` changes when the file was replaced. Raises UsageError for a statement that is
        wrong or refused, QueryFailed for one that ran out of time or memory.
        """
        reply = self._answered(self._asking(str(path.absolute()), sql, opened))
        return Rows(reply.columns, msgspec.json.decode(reply.content), reply.cut)

    def arrow(self, path: Path, sql: str, *, opened: int = 0) -> Stream:
        """The same rows as an Arrow IPC stream, with the types that DuckDB has them in."""
        asking = self._asking(str(path.absolute()), sql, opened)
        reply = self._answered(msgspec.structs.replace(asking, form="arrow"))
        return Stream(reply.content, reply.cut)

    def release(self) -> None:
        """Let go of the file, so that it can be written; the next query opens it again."""
        with self._lock:
            if self._child is not None:
                self._ask(msgspec.structs.replace(self._asking("", "", 0), release=True))

    def _answered(self, ask: Ask) -> Reply:
        with self._lock:
            reply = self._ask(ask)
        if reply.blame:
            raise _explained(reply)
        return reply

    def _asking(self, path: str, sql: str, opened: int) -> Ask:
        return Ask(
            path=path,
            opened=opened,
            sql=sql,
            rows=self._settings.query_rows,
            timeout_s=self._settings.query_timeout_s,
            memory_limit=self._settings.memory_limit,
            key=self._key,
        )

    def close(self) -> None:
        """End the child process, whatever it is doing."""
        with self._lock:
            self._kill()

    def __enter__(self) -> "Sidecar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, ask: Ask) -> Reply:
        child = self._running()
        if child.stdin is None or child.stdout is None:
            raise QueryFailed("The query process has no pipes.", do="Run the query again.")
        try:
            write_frame(child.stdin, msgspec.msgpack.encode(ask))
            reply = _reply(child.stdout, OPENING_S)
            if not (reply.blame or ask.release):
                reply = _reply(child.stdout, ask.timeout_s + GRACE_S)
        except TimeoutError:
            self._kill()
            late = f"It ran longer than {ask.timeout_s:g} s and its process was killed."
            return Reply(fault=late, blame="limits")
        except (BrokenPipeError, EOFError):
            self._kill()
            died = "Its process died, most likely because it needed too much memory."
            return Reply(fault=died, blame="limits")
        except BaseException:
            # An answer nobody waited for would be taken for the answer to the next question.
            self._kill()
            raise
        return reply

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._kill()
            environ = {name: self._environ[name] for name in _PASSED_ON if name in self._environ}
            environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
            self._child = subprocess.Popen(
                [sys.executable, "-m", "api.sidecar"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environ,
            )
        return self._child

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    _close_quietly(pipe)
            self._child = None


def _reply(answers: IO[bytes], patience_s: float) -> Reply:
    """The next reply. Raises TimeoutError where it does not come, EOFError where none will."""
    ready, _, _ = select.select([answers], [], [], patience_s)
    if not ready:
        raise TimeoutError
    # Unbuffered: a reply that was read ahead could not be waited for.
    with open(answers.fileno(), "rb", buffering=0, closefd=False) as unread:
        frame = read_frame(unread)
    if frame is None:
        raise EOFError
    return msgspec.msgpack.decode(frame, type=Reply)


def _close_quietly(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # Unsent bytes of a question to a child that is gone.


def _explained(reply: Reply) -> TwinError:
    if reply.blame == "query":
        return UsageError("The query cannot be run.", why=reply.fault)
    if reply.blame == "store" and "lock" in reply.fault.lower():
        return StoreBusy(
            "The store cannot be read: another program holds it.",
            do="End that program, or let it finish, and run the query again.",
        )
    if reply.blame == "store":
        return StoreError("The store cannot be read.", why=reply.fault)
    return QueryFailed(
        "The query was stopped.",
        why=reply.fault,
        do="Narrow it down, or raise store.query_timeout_s or store.memory_limit.",
    )
