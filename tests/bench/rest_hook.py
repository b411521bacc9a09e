"""From a FHIR server's rest-hook to the twin's row: over HTTP, with its signature, to the table.

    python tests/bench/rest_hook.py [notifications]

Sends one notification after another to a running server process and watches the row with a query of
its own; prints the median and p95 of each way, with a plain POST of the same size to the same
server, which does nothing, as the floor.
"""

import asyncio
import hashlib
import hmac
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from api.serving import Server
from twin_core.settings import Settings

SECRET = "of the hook"  # noqa: S105
REACH_MS = 250.0
PAUSE_S = 0.1


def settings_of(folder: Path) -> Settings:
    subscription = {"secret": SECRET}
    # The source itself is never asked: what is measured is the hook alone.
    source = {"url": "http://127.0.0.1:9/fhir", "subscription": subscription, "interval_s": 3600}
    return Settings.model_validate(
        {
            "store": {"path": folder / "bench.duckdb"},
            "http": {"port": 0},
            "mllp": {"port": 0},
            "sources": {"pas": source},
        }
    )


def an_encounter(number: int) -> bytes:
    return json.dumps(
        {
            "resourceType": "Encounter",
            "id": f"e{number}",
            "meta": {"versionId": "1", "lastUpdated": "2026-11-01T08:00:00Z"},
            "status": "in-progress",
            "class": {"code": "IMP"},
            "identifier": [{"system": "urn:vn", "value": f"V{number}"}],
            "subject": {"reference": f"Patient/p{number}"},
            "period": {"start": "2026-11-01T07:00:00Z"},
        }
    ).encode()


def ways(server: Server, number: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds to the answer, to the row, and of a request that does nothing."""
    answered, seen, floor = [], [], []
    with httpx.Client(base_url=server.url) as client:
        for one in range(number):
            body = an_encounter(one)
            signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            began = time.perf_counter()
            client.post("/hooks/nobody", content=body)
            floor.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            answer = client.post("/hooks/pas", content=body, headers={"X-Signature": signed})
            answered.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
            asked = {"value": f"V{one}"}
            sql = "SELECT 1 FROM twin.encounter_identifier WHERE value = $value"
            while not server.twin.query(sql, asked):
                time.sleep(0.001)
            seen.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_S)
    return answered, seen, floor


def told(name: str, several: list[float]) -> float:
    p95 = statistics.quantiles(several, n=20)[18]
    print(f"{name:28} p50 {statistics.median(several):7.1f} ms   p95 {p95:7.1f} ms")
    return p95


async def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Server(settings_of(Path(folder))) as server:
            # One for the caches: the first query imports, the first fold compiles.
            await asyncio.to_thread(ways, server, 1)
            answered, seen, floor = await asyncio.to_thread(ways, server, number)
    told("a request that does nothing", floor)
    told("rest-hook to its answer", answered)
    p95 = told("rest-hook to the twin's row", seen)
    print(f"reach: p95 under {REACH_MS:.0f} ms: {'met' if p95 < REACH_MS else 'MISSED'}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
