"""How fast a message is durably acknowledged over MLLP, beside python-hl7's own server.

    python tests/bench/acknowledge.py [--seconds 15] [--connections 32] [--rate 2000]

Both servers run as processes of their own and get the same messages from the same client: first one
connection that waits for every answer, then many connections at a given rate, then as fast as
answers come, then with several messages on their way over each connection. The client is one
process whose loop only counts, compares and writes frames made before; it takes its share of the
processors from both servers alike. wardtwin's answer means that the message is on disk and will be
applied; its projection lag is read from /metrics meanwhile. python-hl7's server parses and
acknowledges. Messages have four segments and 330 bytes, and for the last load twelve segments and
900 bytes, as those of `reader.py` and of most hospitals.
"""

import argparse
import asyncio
import contextlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import journeys  # noqa: E402 - found beside this file

PEER = """
import asyncio, sys, hl7
from hl7.mllp import start_hl7_server
async def serve(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            writer.writemessage(message.create_ack())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    async with await start_hl7_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


DEPTH = 16
CAUGHT_UP_S = 0.05
AFTER_PID = (
    b"|555-0101^WPN^PH|en^English^HL70296|M^Married^HL70002|CAT^Catholic^HL70006|||||"
    b"N^Not Hispanic^HL70189||||||||N\r"
    b"PD1|||FAMILY PRACTICE^^12345|9876^GP^GREGORY^^^DR\r"
    b"NK1|1|TESTER^BEN^B|SPO^SPOUSE^HL70063|1 NOWHERE ST^^TESTVILLE^NH^03601^USA|555-0102"
)
AFTER_PV1 = (
    b"\rPV2||1^SEMI-PRIVATE|^CHEST PAIN||||||||3\r"
    b"AL1|1|DA|^PENICILLIN|SV|RASH\rAL1|2|FA|^PEANUTS|MO|HIVES\r"
    b"DG1|1||R07.9^CHEST PAIN^I10|||A\r"
    b"GT1|1||TESTER^ADA^B||1 NOWHERE ST^^TESTVILLE^NH^03601^USA|555-0100||||P|SEL^SELF^HL70063\r"
    b"IN1|1|HMO1^^L|77^^^PAYER|SOME HEALTH PLAN|PO BOX 1^^TESTVILLE^NH^03601||||G100||||||HMO"
)


class Measured(NamedTuple):
    """Messages answered per second, and how long answers took."""

    rate: float
    p50_ms: float
    p99_ms: float


class Connection(asyncio.Protocol):
    """One MLLP connection that keeps some messages on its way; answers come in their order.

    `due` is when its next message is due, `every` how many seconds lie between two of them; without
    `every` a message is due as soon as another one was answered.
    """

    def __init__(self, frames: Iterator[bytes], depth: int, until: float) -> None:
        self._frames, self._depth, self._until = frames, depth, until
        self._sent: deque[float] = deque()
        self._rest = b""
        self.took: list[float] = []
        self.due, self.every = 0.0, 0.0
        self.over = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def begin(self) -> None:
        """Send the first messages, once they are due."""
        self._send(self._depth)

    def data_received(self, data: bytes) -> None:
        answers, end, self._rest = (self._rest + data).rpartition(b"\x1c\r")
        count = answers.count(b"\x1c\r") + bool(end)
        if answers.count(b"MSA|AA|") != count:
            raise RuntimeError("a message was not accepted")
        now = time.perf_counter()
        for _ in range(count):
            self.took.append(now - self._sent.popleft())
        self._send(count)

    def _send(self, count: int) -> None:
        now = time.perf_counter()
        if now >= self._until:
            if not self._sent and not self.over.done():
                self.over.set_result(None)
            return
        if self.every:
            if self.due > now:
                asyncio.get_running_loop().call_later(self.due - now, self._send, count)
                return
            # Waiting in line counts: latency is from when the message was due.
            self._sent.append(self.due)
            self.due += self.every
        else:
            self._sent.extend([now] * count)
        assert self.transport is not None
        self.transport.write(b"".join([next(self._frames) for _ in range(count)]))


async def load(
    port: int,
    count: int,
    frames: Iterator[bytes],
    seconds: float,
    rate: float | None,
    depth: int = 1,
) -> Measured:
    """Send over several connections for some seconds, at a rate or as fast as answers come.

    `depth` messages are on their way over each connection at a time.
    """
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    opened = [
        (
            await loop.create_connection(
                lambda: Connection(frames, depth, began + seconds), "127.0.0.1", port
            )
        )[1]
        for _ in range(count)
    ]
    for number, connection in enumerate(opened):
        if rate is not None:
            connection.due, connection.every = began + number / rate, count / rate
        connection.begin()
    await asyncio.wait_for(asyncio.gather(*(c.over for c in opened)), seconds + 60)
    elapsed = time.perf_counter() - began
    for connection in opened:
        if connection.transport is not None:
            connection.transport.close()
    took = sorted(one for connection in opened for one in connection.took)
    p99 = took[int(len(took) * 0.99)]
    return Measured(len(took) / elapsed, statistics.median(took) * 1e3, p99 * 1e3)


async def caught_up(http_port: int) -> None:
    """Wait until all that was acknowledged has been applied, so that no load pays for another."""
    for _ in range(600):
        if lag(http_port) < CAUGHT_UP_S:
            return
        await asyncio.sleep(0.2)
    raise RuntimeError("the projection does not catch up")


def lag(http_port: int) -> float:
    """Projection lag in seconds, as /metrics tells it."""
    url = f"http://127.0.0.1:{http_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = re.search(rb"^wardtwin_\w*lag_seconds ([\d.e+-]+)", answer.read(), re.M)
    assert found is not None, "/metrics names no lag"
    return float(found[1])


async def lags(http_port: int, until: asyncio.Event) -> list[float]:
    """Projection lag in seconds, read from /metrics a few times a second."""
    seen: list[float] = []

    while not until.is_set():
        seen.append(await asyncio.to_thread(lag, http_port))
        await asyncio.sleep(0.2)
    return sorted(seen)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ready(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the server did not start")


Load = Callable[[], Awaitable[Measured]]


def loads(port: int, options: argparse.Namespace, seed: int) -> dict[str, Load]:
    """The same loads for both servers, by name."""
    # Made and framed before the clock runs: the client must not be what is measured.
    made = list(journeys.messages(options.messages, seed))
    messages = iter([b"\x0b" + one + b"\x1c\r" for one in made[options.messages // 4 :]])
    longer = iter([b"\x0b" + ordinary(one) + b"\x1c\r" for one in made[: options.messages // 4]])
    many, seconds, rate = options.connections, options.seconds, options.rate
    return {
        "warming up": lambda: load(port, 4, messages, 2.0, None),
        "one connection": lambda: load(port, 1, messages, seconds, None),
        f"{many} connections at {rate:g}/s": lambda: load(port, many, messages, seconds, rate),
        f"{many} connections": lambda: load(port, many, messages, seconds, None),
        f"{many} x {DEPTH} on their way": lambda: load(port, many, messages, seconds, None, DEPTH),
        "... of 900 bytes": lambda: load(port, many, longer, seconds, None, DEPTH),
    }


def ordinary(message: bytes) -> bytes:
    """A message with the further segments that most hospitals send."""
    before, pv1, after = message.partition(b"\rPV1|")
    return before + AFTER_PID + pv1 + after + AFTER_PV1


async def watched(
    port: int, http_port: int, options: argparse.Namespace
) -> tuple[dict[str, Measured], dict[str, list[float]]]:
    """Every load on our server, with the projection lags seen meanwhile."""
    mine, seen = {}, {}
    for name, run in loads(port, options, seed=2).items():
        over = asyncio.Event()
        watching = asyncio.create_task(lags(http_port, over))
        mine[name] = await run()
        over.set()
        seen[name] = await watching
        await caught_up(http_port)
    return mine, seen


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2_000.0)
    parser.add_argument("--messages", type=int, default=800_000, help="made before, for all loads")
    options = parser.parse_args()
    peer_port, port, http_port = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        peer = subprocess.Popen([sys.executable, "-c", PEER, str(peer_port)])
        ports = ["--mllp-port", str(port), "--http-port", str(http_port)]
        ours = subprocess.Popen(
            [sys.executable, "-m", "api", "serve", "--db", f"{folder}/bench.duckdb", *ports],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            await ready(peer_port)
            theirs = {n: await run() for n, run in loads(peer_port, options, seed=1).items()}
            await ready(port)
            mine, behind = await watched(port, http_port, options)
        finally:
            ours.terminate()
            peer.kill()
            ours.wait(timeout=60)
            peer.wait(timeout=10)
    print(f"{'':44}{'rate/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>7}{'lag p99 s':>11}")
    for name, measured in mine.items():
        row = f"{measured.rate:9.0f}{measured.p50_ms:9.1f}{measured.p99_ms:9.1f}"
        waiting = behind[name][int(len(behind[name]) * 0.99)] if behind[name] else 0.0
        print(f"wardtwin, {name:<34}{row}{measured.rate / theirs[name].rate:7.1f}{waiting:11.2f}")
    for name, measured in theirs.items():
        row = f"{measured.rate:9.0f}{measured.p50_ms:9.1f}{measured.p99_ms:9.1f}"
        print(f"python-hl7, {name:<32}{row}{1:7.1f}")


if __name__ == "__main__":
    asyncio.run(main())
