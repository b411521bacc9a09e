"""The ledger: durable entries a second, and entries verified a second.

    python tests/bench/audit.py

Entries are written by clients that each wait for theirs, as requests do. Beside it, in the same
run, what the disk itself does: one small write and fsync after the other.
"""

import os
import tempfile
import threading
import time
from pathlib import Path

from twin_core.audit import Access, Actor, AuditKeys, Ledger, verified
from twin_core.clock import SystemClock

CLIENTS, SECONDS = 16, 6.0


def fsyncs(folder: Path) -> float:
    """Small writes with fsync, one after the other, a second."""
    done, until = 0, time.monotonic() + 2.0
    with (folder / "peer").open("wb") as file:
        while time.monotonic() < until:
            file.write(b"x" * 400)
            file.flush()
            os.fsync(file.fileno())
            done += 1
    return done / 2.0


def recorded(book: Ledger) -> int:
    """How many entries the clients together wrote."""
    said = Access(
        who=Actor(id="n7", kind="person", roles=("operations",)),
        act="read",
        what="GET /v1/encounters/{encounter_id}",
        outcome="success",
        status=200,
        address="10.1.2.3",
        patients=("p" + "0" * 24,),
        text="GET /v1/encounters/e000000000000000000000000",
    )
    counts = [0] * CLIENTS

    def client(number: int) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            book.record(said)
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = AuditKeys.made()
        peer = fsyncs(folder)
        with Ledger(folder / "audit", keys, SystemClock()) as book:
            written = recorded(book)
        rate = written / SECONDS
        print(f"one write and fsync after the other {peer:10,.0f} /s")
        print(f"durable entries, {CLIENTS} clients       {rate:10,.0f} /s  ({rate / peer:.2f}x)")
        began = time.process_time()
        verdict = verified(folder / "audit", keys=keys)
        spent = time.process_time() - began
        assert verdict.findings == (), verdict.findings
        print(f"verified                            {verdict.entries / spent:10,.0f} /CPU-s")
        print(f"({verdict.entries:,} entries, {verdict.checkpoints:,} checkpoints)")


if __name__ == "__main__":
    main()
