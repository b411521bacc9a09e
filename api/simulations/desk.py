"""Simulations while a server runs: each in a process of its own, a few at a time, told as they go.

The server only starts processes and reads their lines, so that messages are taken as fast as
without them.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import msgspec

from api.live import RETRY_MS, Client
from api.simulations.asked import Task
from api.simulations.ledger import OVER, Ledger, Simulation, State, ledger_path
from api.sources.status import store_id
from twin_core.errors import TwinError, UsageError
from twin_core.settings.simulation import SimulationSettings
from twin_core.twin import Twin

log = logging.getLogger(__name__)

ENDED_WITH_SERVER = "The server ended before it was done."
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME", "SYSTEMROOT", "LD_LIBRARY_PATH",
              "NUMBA_CACHE_DIR")  # fmt: skip


Doing = Literal["", "learning", "compiling", "simulating"]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a simulation is: replications done, of so many at least."""

    id: str
    state: State
    done: int
    of: int
    doing: Doing = ""
    """While it runs: what its process is at. The kernel is compiled once for a machine, in about a
    minute."""


class _Running(NamedTuple):
    child: "subprocess.Popen[bytes]"
    timer: threading.Timer


class SimulationDesk:
    """Takes simulations, runs them one after another, and tells how far they are."""

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        settings: SimulationSettings,
        now: Callable[[], datetime],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._open_ledger, self.settings, self._now = open_ledger, settings, now
        self._ledger: Ledger | None = None
        self._environ = os.environ if environ is None else environ
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._running: dict[str, _Running] = {}
        self._threads: set[threading.Thread] = set()
        self._progress: dict[str, Progress] = {}
        self._clients: dict[str, set[Client]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def ledger(self) -> Ledger:
        """The file of simulations: opened, and made, when it is first needed."""
        with self._opening:
            if self._ledger is None:
                self._ledger = self._open_ledger()
                self._ledger.end_all(ENDED_WITH_SERVER, self._now())
            return self._ledger

    def ask(self, task: Task, title: str, learned: Any, by: str) -> Simulation:
        """Take a simulation; it runs as soon as there is room.

        Raises UsageError where too many wait already.
        """
        with self._lock:
            if self._closed:
                raise UsageError("The server is ending.")
            if len(self.ledger.waiting()) >= self.settings.waiting + self._room():
                raise UsageError(
                    f"{self.settings.waiting} simulations wait already.",
                    do="Ask again when one of them is done, or cancel one.",
                )
            id_ = secrets.token_hex(8)
            self.ledger.ask(id_, task, title, learned, by, self._now())
            self.ledger.forget(self.settings.keep)
            self._progress[id_] = _begun(id_, task)
            self._forget()
        self._start_next()
        found = self.ledger.simulation(id_)
        assert found is not None  # noqa: S101
        return found

    def cancel(self, id_: str) -> bool:
        """End a simulation; whether it was not over already."""
        cancelled = self.ledger.end(id_, "cancelled", "", self._now())
        with self._lock:
            running = self._running.get(id_)
        if running is not None:
            running.child.kill()
        if cancelled:
            self._tell(id_, state="cancelled")
        return cancelled

    def close(self) -> None:
        """End every process; what was not done failed."""
        with self._lock:
            self._closed = True
            running, threads = list(self._running.values()), list(self._threads)
        if self._ledger is not None:
            self._ledger.end_all(ENDED_WITH_SERVER, self._now())
        for one in running:
            one.child.kill()
        for thread in threads:
            thread.join()
        if self._ledger is not None:
            self._ledger.close()

    def end_streams(self) -> None:
        """End every stream, so that the server can stop."""
        for clients in self._clients.values():
            for client in clients:
                client.end()

    @property
    def running(self) -> list[str]:
        """The simulations whose processes run now."""
        with self._lock:
            return list(self._running)

    def progress(self, id_: str) -> Progress | None:
        """How far a simulation of this server is; None for one of an earlier one."""
        return self._progress.get(id_)

    async def stream(self, id_: str) -> AsyncIterator[bytes]:
        """Events `progress` until one says that it is over."""
        self._loop = asyncio.get_running_loop()
        client = Client()
        clients = self._clients.setdefault(id_, set())
        clients.add(client)
        current = self._progress.get(id_)
        if current is not None:
            client.offer(_event(current))
        if current is None or current.state in OVER:
            client.end()
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while (event := await client.next()) is not None:
                yield event
        finally:
            clients.discard(client)

    # ---- running

    def _room(self) -> int:
        return self.settings.at_once - len(self._running)

    def _forget(self) -> None:
        """Keep the progress of as many as results are kept of."""
        over = [id_ for id_, one in self._progress.items() if one.state in OVER]
        for id_ in over[: -self.settings.keep]:
            del self._progress[id_]

    def _start_next(self) -> None:
        """Start whatever there is room for."""
        with self._lock:
            while not self._closed and self._room() > 0 and (waiting := self.ledger.waiting()):
                id_ = waiting[0]
                task = self.ledger.task(id_)
                if task is not None and self.ledger.begin(id_, self._now()):
                    self._start(id_, task)

    def _start(self, id_: str, task: Task) -> None:
        environ = {name: self._environ[name] for name in _PASSED_ON if name in self._environ}
        environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        # -P: a file in the server's working folder must not pass for a module of the product.
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "api.simulations"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        timer = threading.Timer(60 * self.settings.minutes, child.kill)
        timer.daemon = True
        timer.start()
        thread = threading.Thread(target=self._follow, args=(id_, task, child), daemon=True)
        self._running[id_] = _Running(child, timer)
        self._threads.add(thread)
        thread.start()

    def _follow(self, id_: str, task: Task, child: "subprocess.Popen[bytes]") -> None:
        """Give a process its task and note what it says, on a thread of its own."""
        try:
            self._tell(id_, state="running")
            last = _said(child, task, lambda line: self._note(id_, line))
            self._settle(id_, last, child.wait())
        except TwinError:
            log.exception("a simulation cannot be kept")
            self._tell(id_, state="failed")
        finally:
            with self._lock:
                running = self._running.pop(id_)
                self._threads.discard(threading.current_thread())
            running.timer.cancel()
            self._start_next()

    def _note(self, id_: str, line: dict[str, Any]) -> None:
        """What a process says before its answer."""
        if "doing" in line or "done" in line:
            self._tell(id_, **line)
        elif "task" in line:
            ready = msgspec.convert(line["task"], Task)
            self.ledger.learned(id_, ready, line["learned"])

    def _settle(self, id_: str, last: dict[str, Any], status: int) -> None:
        now = self._now()
        if "answer" in last:
            self.ledger.answered(id_, last["answer"], last["versions"], now)
        else:
            late = f"Its process ended (status {status}): too long, or out of memory."
            self.ledger.end(id_, "failed", last.get("fault", late), now)
        found = self.ledger.simulation(id_)
        self._tell(id_, state=found.state if found is not None else "failed")

    def _tell(self, id_: str, **changed: Any) -> None:
        """Note how far a simulation is, and tell whoever follows it."""
        before = self._progress.get(id_)
        if before is None or before.state in OVER:
            return
        if changed.get("state") in OVER:
            changed["doing"] = ""
        now = msgspec.structs.replace(before, **changed)
        self._progress[id_] = msgspec.structs.replace(now, of=max(now.of, now.done))
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._offer, self._progress[id_])

    def _offer(self, progress: Progress) -> None:
        for client in self._clients.get(progress.id, ()):
            client.offer(_event(progress))
            if progress.state in OVER:
                client.end()


def copied_simulations(twin: Twin, folder: Path) -> list[Path]:
    """Copy the file of simulations into a backup's folder, if there is one; the file written."""
    path = ledger_path(twin.path)
    if not path.exists():
        return []
    with contextlib.closing(Ledger(path, store_id(twin), twin.key)) as ledger:
        return [ledger.copied_into(folder, path.name)]


def opened_desk(twin: Twin) -> SimulationDesk:
    """The desk of a store that is open."""
    return SimulationDesk(
        lambda: Ledger(ledger_path(twin.path), store_id(twin), twin.key),
        twin.settings.simulation,
        twin.clock.now,
    )


def _begun(id_: str, task: Task) -> Progress:
    # How many forecasts a backtest makes is known once its history has been read.
    of = 1 if task.testing is not None else task.run["replications"] * task.hospitals
    return Progress(id=id_, state="waiting", done=0, of=of)


def _said(
    child: "subprocess.Popen[bytes]", task: Task, note: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """The last line of a process, each of them noted as it comes; {} where there is none."""
    stdin, stdout = child.stdin, child.stdout
    assert stdin is not None  # noqa: S101
    assert stdout is not None  # noqa: S101
    _give(stdin, msgspec.json.encode(task))
    last: dict[str, Any] = {}
    with stdout:
        for line in stdout:
            try:
                last = msgspec.json.decode(line)
            except msgspec.DecodeError:
                return {}  # Killed in the middle of a line.
            note(last)
    return last


def _give(stdin: IO[bytes], task: bytes) -> None:
    try:
        with stdin:
            stdin.write(task)
    except BrokenPipeError:
        return  # It ended before it was told; its status says why.


def _event(progress: Progress) -> bytes:
    return b"event: progress\ndata: " + msgspec.json.encode(progress) + b"\n\n"
