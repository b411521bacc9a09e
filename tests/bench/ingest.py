"""How fast `wardtwin ingest` reads files, end to end, and how much memory it takes.

    python tests/bench/ingest.py --messages 1000000 [--keep FOLDER]

Prints one line per run: the first stores everything, the second must change nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import journeys

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Generate, ingest, ingest again; exit 1 where the second run changed anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="keep messages and store in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wardtwin-bench-") as temporary:
        folder = options.keep or Path(temporary)
        if not (folder / "messages").exists():
            size = journeys.write(folder / "messages", options.messages)
            print(f"generated {options.messages:,} messages, {size / 2**20:,.0f} MiB")
        first = run("first ", folder)
        again = run("second", folder)
    unchanged = again["accepted"] == 0 and again["duplicates"] == first["messages"]
    return 0 if unchanged else 1


def run(label: str, folder: Path) -> dict[str, float]:
    """One ingest of the whole folder in a process of its own, watched from outside."""
    command = [sys.executable, "-m", "api", "ingest", str(folder / "messages"), "--json"]
    began = time.monotonic()
    child = subprocess.Popen(
        [*command, "--db", str(folder / "bench.duckdb")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks: dict[int, int] = {}
    while child.poll() is None:
        for pid in tree(child.pid):
            peaks[pid] = max(peaks.get(pid, 0), resident_kib(pid))
        time.sleep(0.2)
    out = child.stdout.read() if child.stdout else ""
    summary: dict[str, float] = json.loads(out)
    elapsed = time.monotonic() - began
    print(
        f"{label}: {summary['messages']:,} messages, {summary['messages'] / elapsed:,.0f}/s "
        f"end to end ({elapsed:.1f} s), peak {sum(peaks.values()) / 1024:,.0f} MiB "
        f"({' + '.join(f'{kib / 1024:,.0f}' for kib in peaks.values())}); "
        f"accepted {summary['accepted']:,}, duplicates {summary['duplicates']:,}, "
        f"rejected {summary['rejected']:,}"
    )
    return summary


def tree(pid: int) -> list[int]:
    """A process and its children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *map(int, children)]


def resident_kib(pid: int) -> int:
    """The most memory a process has had so far."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) if lines else 0


if __name__ == "__main__":
    sys.exit(main())
