"""A Bulk Data export of many Encounters taken by `wardtwin fhir sync`: its memory, beside its size.

    python tests/bench/bulk_sync.py --resources 1000000 [--files 4] [--memory-limit 256MB]
        [--course course.tsv]

A server of its own gives the export as NDJSON files over HTTP. Prints resources per second, what
the command said of its progress, and the most memory of its own process and of all together, also
in each tenth of the time: whether it goes on growing. That is what the processes hold themselves;
beside it, the same with the files that they have mapped (programs, which the system takes back when
it needs the room): each page shared out among all that have it, other programs of this machine too,
and each counted whole in every process. Without `--memory-limit` the command has
what it gives itself.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from staging import PAIRS, distinct

REACH_MIB = 500
SAMPLED_S, SAMPLES_PER_LINE = 0.2, 25
TRANSACTION_TIME = "2026-11-01T08:00:00Z"
METADATA = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "format": ["json"]}


class Memory(NamedTuple):
    """What processes have in memory at an instant, in MiB."""

    held: float = 0.0
    """What they hold themselves."""
    shared: float = 0.0
    """With files that they have mapped, each page shared out among whoever has it."""
    whole: float = 0.0
    """With each such page counted in every process."""


class Sample(NamedTuple):
    """Memory at an instant: of the command's own process, of those that it began, and of all."""

    at_s: float
    own: float
    others: float
    all: Memory

    @property
    def together(self) -> float:
        """Of all its processes."""
        return self.own + self.others


class Bulk(BaseHTTPRequestHandler):
    """A server that has its export ready."""

    def __init__(self, *given: Any, folder: Path) -> None:
        self.folder = folder
        super().__init__(*given)

    def do_GET(self) -> None:
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        if name == "metadata":
            self._answer(json.dumps(METADATA).encode())
        elif name == "$export":
            base = f"http://{self.headers['Host']}"
            output = [
                {"type": "Encounter", "url": f"{base}/{file.name}"}
                for file in sorted(self.folder.glob("*.ndjson"))
            ]
            manifest = {
                "transactionTime": TRANSACTION_TIME,
                "request": base,
                "requiresAccessToken": False,
                "output": output,
                "error": [],
            }
            self._answer(json.dumps(manifest).encode())
        else:
            self._file(self.folder / name)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, path: Path) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+ndjson")
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        with path.open("rb") as file:
            while some := file.read(1 << 20):
                self.wfile.write(some)

    def log_message(self, *_: object) -> None:
        """Requests are not what is measured."""


def main() -> int:
    """Serve, sync, watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument(
        "--memory-limit", default="", help="one for the database, as a site may set"
    )
    parser.add_argument("--course", type=Path, help="a file for its memory every five seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wardtwin-bench-") as name:
        folder = Path(name)
        write(folder, options.resources, options.files)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Bulk, folder=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        measure(folder, f"http://127.0.0.1:{server.server_address[1]}", options)
        server.shutdown()
    return 0


def write(folder: Path, count: int, files: int) -> None:
    one = json.loads((PAIRS / "encounter.r4.json").read_bytes())
    for number in range(files):
        with (folder / f"{number}.ndjson").open("w") as lines:
            for each in range(number, count, files):
                lines.write(json.dumps(distinct(one, each), separators=(",", ":")) + "\n")


def measure(folder: Path, url: str, options: argparse.Namespace) -> None:
    """Sync once; what it took."""
    count = options.resources
    settings = folder / "wardtwin.toml"
    limited = f'[store]\nmemory_limit = "{options.memory_limit}"\n' if options.memory_limit else ""
    settings.write_text(
        f'[sources.bulk]\nurl = "{url}"\nmethod = "bulk"\ntypes = ["Encounter"]\n'
        f"requests_per_second = 0\n{limited}"
    )
    command = [sys.executable, "-m", "api", "fhir", "sync", "bulk", "--json"]
    command += ["--config", str(settings), "--db", str(folder / "bulk.duckdb")]
    said = folder / "said"
    began = time.monotonic()
    samples: list[Sample] = []
    with said.open("wb") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        while child.poll() is None:
            several = {pid: memory_of(pid) for pid in family(child.pid)}
            whole = Memory(*map(sum, zip(*several.values(), strict=True)))
            own = several[child.pid].held
            samples.append(Sample(time.monotonic() - began, own, whole.held - own, whole))
            if options.course and len(samples) % SAMPLES_PER_LINE == 1:
                note(options.course, samples[-SAMPLES_PER_LINE:], said)
            time.sleep(SAMPLED_S)
        out = child.stdout.read() if child.stdout is not None else b""
    took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    progress = said.read_text().splitlines()
    if not out:
        sys.exit("\n".join(["the command failed:", *progress[-20:]]))
    [summary] = json.loads(out)
    taken = sum(kind["accepted"] for kind in summary["kinds"])
    cpu_us = (used.ru_utime + used.ru_stime) * 1e6 / max(1, taken)
    print(
        f"{taken:,} of {count:,} taken, {summary['state']}, {took:,.0f} s, {count / took:,.0f}/s,"
        f" {cpu_us:,.0f} CPU-microseconds each"
    )
    print(f"said {len(progress)} times how far it was, last: {progress[-1] if progress else '-'}")
    together = max(one.together for one in samples)
    met = "met" if together < REACH_MIB else "MISSED"
    own = max(one.own for one in samples)
    print(f"its process {own:,.0f} MiB, all of its processes {together:,.0f} MiB at once")
    shared, whole = (max(values) for values in zip(*(one.all[1:] for one in samples), strict=True))
    print(f"with mapped files {shared:,.0f} MiB shared out, {whole:,.0f} MiB counted whole")
    tenths = [samples[n * len(samples) // 10 : (n + 1) * len(samples) // 10] for n in range(10)]
    most = (max(one.together for one in tenth) for tenth in tenths if tenth)
    print(f"all, by tenths of the time: {' '.join(f'{mib:,.0f}' for mib in most)}")
    print(f"reach: under {REACH_MIB} MiB: {met}")


def note(course: Path, samples: Sequence[Sample], said: Path) -> None:
    """Add the most memory of some seconds, and what was said last, to a file."""
    told = (said.read_text().splitlines() or ["-"])[-1]
    own, others = max(one.own for one in samples), max(one.others for one in samples)
    with course.open("a") as lines:
        lines.write(f"{samples[-1].at_s:.0f}\t{own:.0f}\t{others:.0f}\t{told}\n")


def family(pid: int) -> list[int]:
    """A process and those that it began."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    for thread in threads:
        try:
            children += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        except OSError:
            continue
    return [pid, *(one for child in set(children) for one in family(int(child)))]


def memory_of(pid: int) -> Memory:
    """What a process has in memory now; nothing where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return Memory()
    told = {
        name: int(rest.split()[0]) / 1024 for name, _, rest in (s.partition(":") for s in lines)
    }
    return Memory(told.get("Anonymous", 0.0), told.get("Pss", 0.0), told.get("Rss", 0.0))


if __name__ == "__main__":
    sys.exit(main())
