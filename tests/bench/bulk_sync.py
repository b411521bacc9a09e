"""A Bulk Data export of many Encounters taken by `wardtwin fhir sync`: its memory, beside its size.

    python tests/bench/bulk_sync.py --resources 1000000 [--files 4] [--memory-limit 256MB]

A server of its own gives the export as NDJSON files over HTTP. Prints resources per second, what
the command said of its progress, and the most memory of its largest process and of all together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from staging import PAIRS, distinct

REACH_MIB = 500
TRANSACTION_TIME = "2026-11-01T08:00:00Z"
METADATA = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "format": ["json"]}


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
    parser.add_argument("--memory-limit", default="256MB", help="the database's own")
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
    settings.write_text(
        f'[sources.bulk]\nurl = "{url}"\nmethod = "bulk"\ntypes = ["Encounter"]\n'
        "requests_per_second = 0\n"
        f'[store]\nmemory_limit = "{options.memory_limit}"\n'
    )
    command = [sys.executable, "-m", "api", "fhir", "sync", "bulk", "--json"]
    command += ["--config", str(settings), "--db", str(folder / "bulk.duckdb")]
    said = folder / "said"
    began = time.monotonic()
    with said.open("wb") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        highest: dict[int, float] = {}
        together = 0.0
        while child.poll() is None:
            now = {pid: resident_mib(pid) for pid in family(child.pid)}
            together = max(together, sum(now.values()))
            highest = {pid: max(highest.get(pid, 0.0), mib) for pid, mib in now.items()} | {
                pid: mib for pid, mib in highest.items() if pid not in now
            }
            time.sleep(0.5)
        out = child.stdout.read() if child.stdout is not None else b""
    took = time.monotonic() - began
    [summary] = json.loads(out)
    progress = said.read_text().splitlines()
    taken = sum(kind["accepted"] for kind in summary["kinds"])
    print(f"{taken:,} of {count:,} taken, {summary['state']}, {count / took:,.0f}/s")
    print(f"said {len(progress)} times how far it was, last: {progress[-1] if progress else '-'}")
    main_process = highest.get(child.pid, 0.0)
    met = "met" if together < REACH_MIB else "MISSED"
    print(f"its process {main_process:,.0f} MiB, all of its processes {together:,.0f} MiB at once")
    print(f"reach: under {REACH_MIB} MiB: {met}")


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


def resident_mib(pid: int) -> float:
    """What a process has in memory now, shared pages of its files left out."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    told = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    return int(told.get("RssAnon", "0 kB").split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
