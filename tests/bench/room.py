"""What the benchmarks of the operations room share: a served hospital, a feed into it, viewers.

The hospital is made by messages over MLLP, as every other is. Movements are transfers into beds
that have been free for the longest time, so that every message has one bed that shows it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
TICKS = os.sysconf("SC_CLK_TCK")


def options(told: str, viewers: int) -> argparse.Namespace:
    """How many watch, for how long, and how much is told them; `told` opens with what is shown."""
    parser = argparse.ArgumentParser(description=told.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=viewers)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=20.0, help="messages per second")
    return parser.parse_args()


class Served:
    """`wardtwin serve` in a process of its own, on free ports and an empty store."""

    def __init__(self, folder: Path, core: int | None = None) -> None:
        command = [sys.executable, "-m", "api", "serve", "--json", "--db", str(folder / "r.duckdb")]
        site = folder / "site.toml"
        site.write_text('[feeds.adt]\ntime_zone = "UTC"\n')
        self.log = folder / "log"
        pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*pinned, *command, "--config", str(site), "--http-port", "0", "--mllp-port", "0"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        self.http_port = int(said["http_port"])
        self.mllp_port = int(said["mllp_port"])
        self.url = f"http://127.0.0.1:{self.http_port}"

    def cpu_s(self) -> float:
        """CPU seconds of the server and of its children so far."""
        pids = [self.process.pid]
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text().split()
            pids += [int(child) for child in children]
        return sum(_cpu_s(pid) for pid in pids)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=120)


@contextlib.contextmanager
def served(core: int | None = None) -> Iterator[Served]:
    """A server until the block ends."""
    with tempfile.TemporaryDirectory(prefix="wardtwin-room-") as folder:
        server = Served(Path(folder), core)
        try:
            yield server
        finally:
            server.stop()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Movement(NamedTuple):
    """A transfer: its message, the unit and bed that will show it."""

    raw: bytes
    unit: str
    bed: str


class Hospital:
    """Units with beds, most of them taken; knows which beds are free, the longest free first."""

    def __init__(self, units: int, beds: int, share: float = 0.8) -> None:
        places = [
            (f"W{unit:02}", str(bed // 4 + 1), str(bed % 4 + 1))
            for unit in range(1, units + 1)
            for bed in range(beds)
        ]
        taken = round(len(places) * share)
        step = max(1, len(places) // taken)
        order = [*places[::step], *(p for n, p in enumerate(places) if n % step)]
        self.where = dict(enumerate(order[:taken]))
        self.free = deque(order[taken:])
        self.sent = 0
        self._turn = deque(self.where)

    def admissions(self) -> Iterator[bytes]:
        """A message for everybody who is there at first, and one that frees each other bed."""
        for place in self.free:
            visit = f"F{'-'.join(place)}"
            yield self._message("A01", visit, place)
            yield self._message("A03", visit, place)
        for visit, place in self.where.items():
            yield self._message("A01", f"V{visit}", place)

    def movement(self) -> Movement:
        """The next patient goes into the bed that has been free for the longest time."""
        visit = self._turn.popleft()
        self._turn.append(visit)
        before, place = self.where[visit], self.free.popleft()
        self.free.append(before)
        self.where[visit] = place
        raw = self._message("A02", f"V{visit}", place)
        return Movement(raw, f"GEN/{place[0]}", f"{place[1]}-{place[2]}")

    def _message(self, trigger: str, visit: str, place: Sequence[str]) -> bytes:
        self.sent += 1
        # The store is told the present: a second for every two hundred messages of the past.
        at = time.time() if trigger == "A02" else time.time() - 3600 + self.sent / 200
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}+0000"
        left = f"|{stamp}" if trigger == "A03" else ""
        came = stamp if trigger == "A01" else ""
        return "\r".join(
            (
                rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||ADT^{trigger}|{self.sent}|P|2.5.1",
                f"EVN|{trigger}|{stamp}",
                f"PID|1||P{visit}^^^GEN^MR||Test^Case||19700101|F",
                f"PV1|1|I|{'^'.join(place)}^GEN{'|' * 16}{visit}^^^GEN^VN{'|' * 25}{came}{left}",
            )
        ).encode()


class Feed:
    """One MLLP connection; answers are read and must accept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Feed":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, raw: bytes) -> float:
        """Send one message; the wall clock just before its first byte left."""
        began = time.time()
        self.writer.write(b"\x0b" + raw + b"\x1c\r")
        answer = await self.reader.readuntil(b"\x1c\r")
        if b"MSA|AA|" not in answer:
            raise RuntimeError(answer.decode("utf-8", "replace"))
        return began

    async def fill(self, hospital: Hospital) -> None:
        """Everybody who is there at first, several messages on their way at a time."""
        waiting = 0
        for raw in hospital.admissions():
            self.writer.write(b"\x0b" + raw + b"\x1c\r")
            waiting += 1
            if waiting >= 64:
                await self._answered()
                waiting -= 1
        for _ in range(waiting):
            await self._answered()

    async def _answered(self) -> None:
        answer = await self.reader.readuntil(b"\x1c\r")
        if b"MSA|AA|" not in answer:
            raise RuntimeError(answer.decode("utf-8", "replace"))

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def paced(rate: float, seconds: float) -> AsyncIterator[float]:
    """The moments at which something is due, by the event loop's clock."""
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while number < rate * seconds:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        yield due
        number += 1


async def request(port: int, path: str, *headers: str) -> bytes:
    """An answer as it travels, head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", *headers)
    writer.write("\r\n".join((*lines, "", "")).encode())
    answer = await reader.read()
    writer.close()
    return answer


async def settled(server: Served, patients: int) -> None:
    """Wait until the board shows everybody."""
    while True:
        answer = await request(server.http_port, "/v1/board")
        board: dict[str, Any] = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        if board["totals"]["census"] == patients:
            return
        await asyncio.sleep(0.2)


class Viewer:
    """One client of the event stream: how many events it got, and when it got which sequence."""

    def __init__(self) -> None:
        self.events = 0
        self.refetched = 0
        self.sequence = -1
        self.heard_at: dict[int, float] = {}

    async def watch(self, port: int) -> None:
        """Read until the connection or the task ends. Raises RuntimeError where it is refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        writer.write(f"GET /v1/deltas HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(head.decode())
        try:
            while line := await reader.readline():
                self._line(line)
        finally:
            writer.close()

    def _line(self, line: bytes) -> None:
        if line.startswith(b"id: "):
            self.events += 1
            self.sequence = int(line[4:])
            self.heard_at.setdefault(self.sequence, time.time())
        elif line.startswith(b"event: refetch"):
            self.refetched += 1


def p95(values: Sequence[float]) -> float:
    """The value that nineteen in twenty do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else float("nan")


def told(what: str, figure: str, target: str, reached: bool) -> None:
    """A figure beside its target."""
    print(f"{what:<58} {figure:>16}   target {target:<14} {'reached' if reached else 'MISSED'}")


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values) if values else float("nan")


def load() -> str:
    """What else the machine does: its load over one minute, and how many processors it has."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
