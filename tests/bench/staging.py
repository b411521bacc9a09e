"""How fast NDJSON is made durable and applied as by `ingest --stage`, beside fhir.resources.

    python tests/bench/staging.py --resources 100000 [--applied 5000]

Prints staged and applied resources per second, how many fhir.resources validates per second in the
same run, the ratio of both, and the most memory this process had. Of Encounters there are two
kinds: visits as most exports have them, with a status, a class and a period, and stays in hospital
with the history of their statuses, classes and four places.
"""

import argparse
import contextlib
import json
import resource
import sys
import tempfile
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.fhir import Release, judge
from adapters.files import find_files
from api.collector import take_short_turns
from api.desk import LOADING_MEMORY, LOADING_ROOM
from api.ingesting import Handover, Order, handover_of, ingest
from api.staging import begun_for, stage, staged
from api.translating import decode_receipts
from twin_core import Twin
from twin_core.inbox import Answer
from twin_core.settings import Settings, StoreSettings

PAIRS = Path(__file__).resolve().parents[2] / "fixtures" / "fhir"
JUDGED = 300
VISIT = {
    "resourceType": "Encounter",
    "meta": {"versionId": "1", "lastUpdated": "2026-03-01T18:00:00Z"},
    "identifier": [{"use": "official", "system": "urn:oid:1.2.276.0.76.4.2"}],
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    "type": [
        {
            "coding": [{"system": "http://example.org/visits", "code": "17"}],
            "text": "Check-up in the outpatient department",
        }
    ],
    "participant": [{"individual": {"reference": "Practitioner/d-1"}}],
    "period": {"start": "2026-02-27T09:10:00+01:00", "end": "2026-02-27T09:45:00+01:00"},
    "serviceProvider": {"reference": "Organization/GH"},
}
"""What most servers tell of most visits."""


def main() -> int:
    """Stage, apply a part, judge a part, for Encounters and for Observations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=100_000)
    parser.add_argument("--applied", type=int, default=5_000)
    options = parser.parse_args()
    measured = {
        "visits": VISIT,
        "stays": json.loads((PAIRS / "encounter.r4.json").read_bytes()),
        "observations": json.loads((PAIRS / "observation.r4.json").read_bytes()),
    }
    for kind, one in measured.items():
        with tempfile.TemporaryDirectory(prefix="wardtwin-bench-") as folder:
            measure(kind, one, Path(folder), options.resources, options.applied)
    return 0


def measure(kind: str, one: dict[str, Any], folder: Path, count: int, applied: int) -> None:
    """One line of figures for a kind of resource."""
    path = folder / "many.ndjson"
    with path.open("w") as lines:
        for number in range(count):
            lines.write(json.dumps(distinct(one, number), separators=(",", ":")) + "\n")
    settings = Settings(store=StoreSettings(memory_limit=LOADING_MEMORY))
    with Twin.open(folder / "bench.duckdb", settings=settings) as twin:
        twin.load()
        take_short_turns()
        staging, began = twin.staging(), time.perf_counter()
        now = datetime.now(UTC)
        sources = tuple(find_files([str(path)]))
        with begun_for(sources) as reading:
            stage(
                staging,
                sources,
                feed="",
                settings=settings,
                received_at=now,
                report=lambda *_: None,
            )
            durable = count / (time.perf_counter() - began)
            began, used = time.perf_counter(), time.process_time()
            desk = Applying(twin)
            with contextlib.closing(staged(desk, staging, settings, reading)) as several:
                some = (taken for taken in islice(several, max(1, applied // 1_000)))
                order = Order(sources=(), feed=None, settings="", received_at=now)
                done = ingest(desk, order, lambda *_: None, some).messages
                seen = done / (time.perf_counter() - began)
                of_cpu = done / (time.process_time() - used)
    began = time.perf_counter()
    for _ in range(JUDGED):
        judge(one, Release.R4)
    judged = JUDGED / (time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{kind}: staged {durable:,.0f}/s ({durable / judged:,.0f} times fhir.resources, which "
        f"validates {judged:,.0f}/s), applied {seen:,.0f}/s ({of_cpu:,.0f} per CPU-second of the "
        f"process that applies), peak {peak:,.0f} MiB"
    )


class Applying:
    """The store of a command that loads, as `wardtwin ingest` has it."""

    room = LOADING_ROOM

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self.position = twin.position

    def submit(self, receipts: bytes) -> Future[list[Answer]]:
        """Take encoded receipts from files in."""
        return self._twin.submit(decode_receipts(receipts), from_file=True)

    def handover(self) -> Handover | None:
        """How the process that translates makes its receipts durable itself."""
        return handover_of(self._twin)


def distinct(one: dict[str, Any], number: int) -> dict[str, Any]:
    """The resource as one of many: of a visit and a patient of its own, as in any export."""
    told = {name: value for name, value in one.items() if name not in ("partOf", "contained")}
    told |= {"id": f"r{number}", "subject": {"reference": f"Patient/p{number // 3}"}}
    told["identifier"] = [{**each, "value": f"V{number}"} for each in one["identifier"]]
    if "encounter" in one:
        told["encounter"] = {"reference": f"Encounter/r{number // 10}"}
        told["device"] = {"reference": f"Device/d{number % 50}"}
    return told


if __name__ == "__main__":
    sys.exit(main())
