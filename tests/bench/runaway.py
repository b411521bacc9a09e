"""Analysts' queries that run away: how long after their deadline they are gone, and what ingest
notices of them.

    python tests/bench/runaway.py

Each query has a deadline of a second and is asked of a copy of a store in its sidecar, while the
store itself takes in 500 messages a second. Gone means that whoever asked has the answer, and that
nothing of the query goes on using a processor. Beside it, in the same run: messages taken in a
second by the same store while nobody asks anything.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from api.sidecar import Sidecar
from twin_core import Twin
from twin_core.errors import QueryFailed
from twin_core.events import Admitted, Envelope, Translation
from twin_core.identifiers import Identifier, Place
from twin_core.inbox import Receipt
from twin_core.settings import Settings, StoreSettings

DEADLINE_S, SECONDS = 1.0, 3.0
TOGETHER, OFFERED = 25, 500
"""Messages in one group, and offered in a second: a busy hospital, not all that could be taken."""
EIGHT = datetime(2026, 11, 1, 8, tzinfo=UTC)
RUNAWAY = {
    "repeat('x', 2e9)": "SELECT length(repeat('x', 2000000000))",
    "many long strings": "SELECT sum(length(repeat('x', 100000000))) FROM range(100000)",
    "cross join": "SELECT count(*) FROM range(10000000) a, range(10000000) b"
    " WHERE a.range * b.range = 7",
    "recursive CTE": "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t)"
    " SELECT max(i) FROM t",
}


class Sender:
    """Sends admissions, some at a time, as they are due and acknowledged."""

    def __init__(self, twin: Twin) -> None:
        self.twin, self.sent = twin, 0
        self.slowest_s = 0.0

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send until the block ends."""
        ended = threading.Event()
        self.slowest_s = 0.0

        def send() -> None:
            due = time.monotonic()
            while not ended.wait(max(0.0, due - time.monotonic())):
                due += TOGETHER / OFFERED
                receipts = [admission(self.sent + n) for n in range(TOGETHER)]
                began = time.monotonic()
                self.twin.receive(receipts)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.sent += TOGETHER

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def admission(n: int) -> Receipt:
    """One admission of one visit."""
    admitted = Admitted(
        occurred_at=EIGHT,
        entered_at=EIGHT,
        patient=(Identifier("urn:mrn", f"M{n}", "MR"),),
        encounter=(Identifier("urn:visit", f"V{n}", "VN"),),
        place=Place("H", "ICU", "1", str(n % 40)),
    )
    envelope = Envelope(
        feed="main",
        sender="ADT|H",
        control_id=f"A{n}",
        trigger_event="ADT^A01",
        sent_at=EIGHT,
        digest=n.to_bytes(16, "big"),
    )
    outcome = Translation(envelope=envelope, events=(admitted,))
    return Receipt(format="hl7v2", feed="main", raw=b"MSH|", outcome=outcome, origin="bench")


def used_s(sidecar: Sidecar) -> float:
    """CPU seconds of the sidecar's process so far; none where it was killed."""
    child = sidecar._child
    if child is None:
        return 0.0
    try:
        told = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    settings = Settings(store=StoreSettings(query_timeout_s=DEADLINE_S, memory_limit="512MB"))
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "copy.duckdb"
        with Twin.open(Path(name) / "h.duckdb", settings=settings) as twin:
            sender = Sender(twin)
            with sender.sending():
                time.sleep(1.0)
            twin.wait_applied()
            twin.replica_snapshot(copy)
            before, began = sender.sent, time.monotonic()
            with sender.sending():
                time.sleep(SECONDS)
            alone = (sender.sent - before) / (time.monotonic() - began)
            print(f"{'nobody asks':20} {alone:8,.0f} messages/s, slowest {sender.slowest_s:.2f} s")
            for words, sql in RUNAWAY.items():
                beside(words, sql, copy, sender, alone)


def beside(words: str, sql: str, copy: Path, sender: Sender, alone: float) -> None:
    """Ask one query while messages are taken in, and say what became of both."""
    with Sidecar(StoreSettings(query_timeout_s=DEADLINE_S, memory_limit="512MB")) as sidecar:
        sidecar.query(copy, "SELECT 1")
        before = sender.sent
        with sender.sending():
            began = time.monotonic()
            try:
                sidecar.query(copy, sql)
                became = "answered"
            except QueryFailed:
                became = "stopped"
            took = time.monotonic() - began
            left = used_s(sidecar)
            time.sleep(0.5)
            left = used_s(sidecar) - left
        rate = (sender.sent - before) / (time.monotonic() - began)
    print(
        f"{words:20} {rate:8,.0f} messages/s ({rate / alone:.2f}x), slowest"
        f" {sender.slowest_s:.2f} s; {became} {took - DEADLINE_S:+.2f} s from its deadline,"
        f" {left:.2f} CPU-s after that"
    )


if __name__ == "__main__":
    main()
