"""What encryption at rest costs: the same messages with a key and without, in turn, in one run.

    python tests/bench/encryption.py --messages 6000 --rounds 3

Processor time counts, because other programs may be running. Messages are received as from a
sender (made durable in the inbox, then applied), the journal is scanned, and the store backed up.
Prints medians and their ratios.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import journeys

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pydantic import SecretStr

from api.translating import translated_hl7
from twin_core import Twin
from twin_core.encryption import StoreKey
from twin_core.inbox import Receipt
from twin_core.settings import EncryptionSettings, Settings

TOGETHER = 200
"""Messages in one commit, as from a busy listener."""
SCANS = 10
SCAN = "SELECT max(payload) AS p FROM core.event"


def main() -> int:
    """Measure both in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    received_at = datetime.now(UTC)
    receipts = [
        Receipt(
            format="hl7v2",
            feed="main",
            raw=raw,
            outcome=translated_hl7(raw, feed="main", settings=Settings(), received_at=received_at),
            origin="bench",
        )
        for raw in journeys.messages(options.messages)
    ]
    taken: dict[tuple[str, bool], list[float]] = {}
    for _ in range(options.rounds):
        for key in (None, StoreKey.drawn()):
            for what, seconds in measured(receipts, key).items():
                taken.setdefault((what, key is not None), []).append(seconds)
    for what in dict.fromkeys(what for what, _ in taken):
        plain, sealed = (median(taken[what, encrypted]) for encrypted in (False, True))
        print(f"{what}: {plain:.2f} open, {sealed:.2f} encrypted, ratio {sealed / plain:.2f}")
    return 0


def measured(receipts: Sequence[Receipt], key: StoreKey | None) -> dict[str, float]:
    """CPU seconds of each step, and the size of the database in MiB."""
    told = SecretStr(key.written()) if key else None
    settings = Settings(encryption=EncryptionSettings(key=told))
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="wardtwin-bench-") as temporary:
        path = Path(temporary) / "x.duckdb"
        Twin.open(path, settings=settings).close()
        twin: list[Twin] = []
        found["open a store, CPU s"] = cpu(lambda: twin.append(Twin.open(path, settings=settings)))
        found["receive and apply, CPU s"] = cpu(lambda: receive(twin[0], receipts))
        found["close, CPU s"] = cpu(twin[0].close)
        found["database, MiB"] = path.stat().st_size / 2**20
        with Twin.open(path, settings=settings) as again:
            found[f"{SCANS} scans of the journal, the first from disk, CPU s"] = cpu(
                lambda: [
                    again.query("SELECT max(payload) AS p FROM core.event") for _ in "x" * SCANS
                ]
            )
            found["backup, CPU s"] = cpu(lambda: again.backup(Path(temporary) / "backup"))
    return found


def receive(twin: Twin, receipts: Sequence[Receipt]) -> None:
    """Take messages in as from a sender, and wait until they can be seen."""
    waiting = [
        twin.submit(receipts[at : at + TOGETHER]) for at in range(0, len(receipts), TOGETHER)
    ]
    for answers in waiting:
        answers.result()
    twin.wait_applied(timeout=600)


def cpu(work: Callable[[], object]) -> float:
    """Processor time of this process over some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
