"""The child process: reads questions from its standard input, answers on its standard output.

It imports neither the twin nor the web, holds no key but that of the file it reads and no network,
and gives itself limits
before it opens anything: no core dumps (they would hold patients), a bounded address space and a
bounded processor time per question, and its own end when its parent is gone.
"""

import contextlib
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import duckdb
import msgspec

from api.frames import read_frame, write_frame
from api.sidecar.rows import distinct, encode_rows
from api.sidecar.words import Ask, Reply
from twin_core.errors import TwinError
from twin_core.store.cipher import attach
from twin_core.store.permit import Refused, permitted

ADDRESS_SPACE_BYTES = 2 * 1024**3
HEAVIEST_ANSWER = 64 * 1024 * 1024
_PARENT_CHECK_S = 1.0


def main() -> int:
    """Answer questions until the parent closes the pipe."""
    _limit_self()
    answering = _Answering()
    asks = msgspec.msgpack.Decoder(Ask)
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        ask = asks.decode(frame)
        # Two replies: what came of opening the file, and then, if it is open, the rows. So the
        # parent can tell a slow start, which it bears with, from a query that is late.
        opened = answering.open(ask)
        _say(opened)
        if not (opened.blame or ask.release):
            _say(answering.answer(ask))
    return 0


def _say(reply: Reply) -> None:
    write_frame(sys.stdout.buffer, msgspec.msgpack.encode(reply))


def _limit_self() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(0)


class _Answering:
    """One open file and the questions put to it."""

    def __init__(self) -> None:
        self._opened: tuple[str, int] | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._spill = tempfile.TemporaryDirectory(prefix="wardtwin-sql-")

    def open(self, ask: Ask) -> Reply:
        """Open the file of a question, or let go of it; what was wrong, where something was."""
        if ask.release:
            self._close()
            return Reply()
        try:
            self._open(ask)
        except (duckdb.Error, TwinError) as error:
            return Reply(fault=str(error), blame="store")
        return Reply()

    def answer(self, ask: Ask) -> Reply:
        """The rows of one statement, or what was wrong with it; never an exception."""
        connection = self._open(ask)
        try:
            statement = permitted(connection, ask.sql)
            with _deadline(connection, ask.timeout_s):
                return _read(connection, statement, ask)
        except Refused as refusal:
            return Reply(fault=str(refusal), blame="query")
        except duckdb.InterruptException:
            return Reply(fault=f"It ran longer than {ask.timeout_s:g} s.", blame="limits")
        except (duckdb.OutOfMemoryException, MemoryError):
            return Reply(fault=f"It needed more memory than {ask.memory_limit}.", blame="limits")
        except (duckdb.InternalException, duckdb.FatalException) as error:
            self._opened = None
            return Reply(fault=str(error), blame="limits")
        except duckdb.Error as error:
            return Reply(fault=str(error), blame="query")

    def _open(self, ask: Ask) -> duckdb.DuckDBPyConnection:
        if self._connection is None or self._opened != (ask.path, ask.opened):
            self._close()
            self._connection = _connect(ask, self._spill.name)
            self._opened = (ask.path, ask.opened)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._opened = None


def _connect(ask: Ask, spill: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": ask.memory_limit,
            "threads": 2,
            "temp_directory": spill,
            "max_temp_directory_size": "4GB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    attach(connection, ask.path, "wardtwin", key=ask.key, read_only=True)
    for statement in (
        "USE wardtwin",
        "SET TimeZone = 'UTC'",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)
    return connection


@contextlib.contextmanager
def _deadline(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    """Interrupt a statement that runs too long; the parent kills what cannot be interrupted."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    budget = int(spent.ru_utime + spent.ru_stime + (timeout_s + 2) * (os.cpu_count() or 1)) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (budget, hard))
    timer = threading.Timer(timeout_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, ask: Ask) -> Reply:
    cursor = connection.execute(statement)
    if ask.form == "arrow":
        # Loaded for the first question that wants it: it takes longer than most questions.
        from api.sidecar.arrow import read_stream

        columns, content, cut = read_stream(cursor, ask.rows, HEAVIEST_ANSWER)
    else:
        columns = distinct([column[0] for column in cursor.description or []])
        rows = cursor.fetchmany(ask.rows + 1)
        cut = len(rows) > ask.rows
        content = encode_rows(columns, rows[: ask.rows])
    if len(content) > HEAVIEST_ANSWER:
        return Reply(
            fault=f"The answer is larger than {HEAVIEST_ANSWER // 2**20} MiB.", blame="limits"
        )
    return Reply(columns=columns, content=content, cut=cut)


if __name__ == "__main__":
    sys.exit(main())
