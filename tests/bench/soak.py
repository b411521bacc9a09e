"""Many feeds at once for a while: what the memory of the server's processes does.

    python tests/bench/soak.py [--feeds 64] [--minutes 10] [--rate 640] [--enhanced 0.25]
                               [--memory-limit 48MB]

One `wardtwin serve` with a listener per feed, one connection to each, each sending courses of
patients that come and go, some in enhanced mode with deferred answers. Half of the connections are
closed and opened again every few seconds. Memory that is the server's and its listening process's
own (RssAnon in /proc: no pages of files) is read twice a second; what counts is the growth from the
end of the warm-up, half of the time, to the end. Two things fill up first: the database keeps what
it has not written yet in memory, up to its own limit, and what is remembered of families is bounded
by their number. The limit is set low, so that both are full after some 24,000 messages; every
minute's figure is told, so that it shows where the curve bends.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 0.5
LONGEST_CONNECTION_S = 8.0
COURSE = (("A01", 0), ("A02", 60), ("A08", 90), ("A03", 180))


def course(feed: int, visit: int, conditions: str) -> list[bytes]:
    """A patient who comes, moves, is described and goes."""
    came = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=200)
    return [
        _message(f"{feed}.{visit}.{n}", trigger, came + timedelta(minutes=later), feed, visit,
                 came, conditions)
        for n, (trigger, later) in enumerate(COURSE)
    ]  # fmt: skip


def _message(
    control: str, trigger: str, at: datetime, feed: int, visit: int, came: datetime, conditions: str
) -> bytes:
    stamp, admitted = f"{at:%Y%m%d%H%M%S+0000}", f"{came:%Y%m%d%H%M%S+0000}"
    place = f"W{feed}^{visit % 10}^{'AB'[trigger == 'A01']}^GENERAL"
    left = f"|{stamp}" if trigger == "A03" else ""
    return "\r".join(
        (
            f"MSH|^~\\&|FEED{feed}|GENERAL|||{stamp}||ADT^{trigger}|{control}|P|2.5.1{conditions}",
            f"EVN|{trigger}|{stamp}",
            f"PID|1||{feed}.{visit}^^^GENERAL^MR||Test^Case||19700101|F",
            f"PV1|1|I|{place}{'|' * 16}{feed}.{visit}^^^GENERAL^VN{'|' * 25}{admitted}{left}",
        )
    ).encode()


async def feed(number: int, port: int, rate: float, enhanced: float, until: float) -> int:
    """Send courses until the time is up; return how many messages were answered."""
    chance, visit, answered = Random(number), 0, 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stay_s = LONGEST_CONNECTION_S if number % 2 else float("inf")
        closes_at = min(until, time.monotonic() + stay_s)
        while time.monotonic() < closes_at:
            conditions = "|||AL|AL" if chance.random() < enhanced else ""
            visit += 1
            for raw in course(number, visit, conditions):
                writer.write(b"\x0b" + raw + b"\x1c\r")
                for _ in range(2 if conditions else 1):
                    answer = await reader.readuntil(b"\x1c\r")
                    if b"MSA|AA|" not in answer and b"MSA|CA|" not in answer:
                        raise RuntimeError("a message was not accepted")
                answered += 1
                await asyncio.sleep(chance.expovariate(rate))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answered


def resident(pid: int) -> int:
    """Bytes in memory that are a process's own."""
    status = Path(f"/proc/{pid}/status").read_text()
    [said] = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(said.split()[1]) * 1024


def listening_process(pid: int) -> int:
    """The process that listens for a server."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in map(int, children):
        if b"api.intake" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    raise RuntimeError("the server has no listening process")


async def watch(pids: dict[str, int], until: float) -> dict[str, list[tuple[float, int]]]:
    """Resident memory of processes over time."""
    seen: dict[str, list[tuple[float, int]]] = {name: [] for name in pids}
    while time.monotonic() < until:
        for name, pid in pids.items():
            seen[name].append((time.monotonic(), resident(pid)))
        await asyncio.sleep(0.5)
    return seen


def growth(seen: list[tuple[float, int]], began: float, until: float) -> tuple[float, float, float]:
    """MiB after the warm-up, MiB at the end, and MiB per minute between (least squares)."""
    after = [(at, n / 2**20) for at, n in seen if at >= began + WARM_UP * (until - began)]
    tenth = max(1, len(after) // 10)
    first = statistics.median(n for _, n in after[:tenth])
    last = statistics.median(n for _, n in after[-tenth:])
    slope, _ = statistics.linear_regression([at / 60 for at, _ in after], [n for _, n in after])
    return first, last, slope


def by_minute(seen: list[tuple[float, int]], began: float) -> list[int]:
    """The last figure of every minute that began."""
    return list({int((at - began) // 60): n for at, n in seen}.values())


async def soak(asked: argparse.Namespace, ports: dict[str, int], pid: int) -> None:
    """Feed every listener, and say what became of the memory."""
    began = time.monotonic()
    until = began + asked.minutes * 60
    pids = {"server": pid, "listening process": listening_process(pid)}
    watching = asyncio.create_task(watch(pids, until))
    rate = asked.rate / len(ports)
    answered = await asyncio.gather(
        *(feed(n, port, rate, asked.enhanced, until) for n, port in enumerate(ports.values()))
    )
    print(f"{len(ports)} feeds, {sum(answered):,} messages answered in {asked.minutes:g} minutes")
    for name, seen in (await watching).items():
        first, last, slope = growth(seen, began, until)
        print(f"{name}: {first:.1f} MiB after the warm-up, {last:.1f} MiB at the end, "
              f"{slope:+.2f} MiB per minute")  # fmt: skip
        print("  minute by minute:", *(f"{n / 2**20:.0f}" for n in by_minute(seen, began)))


def main() -> None:
    """Serve in a folder of its own, and soak."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--feeds", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=640, help="messages per second of all feeds")
    parser.add_argument("--enhanced", type=float, default=0.25, help="share with deferred answers")
    parser.add_argument("--memory-limit", default="48MB", help="the database's own")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wardtwin-soak-") as folder:
        site = Path(folder) / "site.toml"
        feeds = [f'[feeds.f{n:02}]\nport = 0\ntime_zone = "UTC"\n' for n in range(asked.feeds - 1)]
        store = f'[store]\nmemory_limit = "{asked.memory_limit}"\n'
        site.write_text("".join((store, *feeds)))
        command = [sys.executable, "-m", "api", "serve", "--json", "--config", str(site)]
        where = ["--db", str(Path(folder) / "soak.duckdb"), "--mllp-port", "0", "--http-port", "0"]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                [*command, *where], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert server.stdout is not None
        try:
            asyncio.run(soak(asked, json.loads(server.stdout.readline())["feeds"], server.pid))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(120)


if __name__ == "__main__":
    main()
