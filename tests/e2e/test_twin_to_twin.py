"""A second twin reads the FHIR base of a first one over real HTTP, and comes to know the same."""

import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from fhir_peer import listening

from api.cli import main
from api.fhir.served import SERVED
from api.routes.fhir import fhir_router
from api.translating import translated_hl7
from tests.contract.conftest import HEARD, SETTINGS, StoppedClock, adt
from tests.contract.test_fhir_reading import STATED
from twin_core.inbox import Receipt
from twin_core.twin import Twin

SITE = """\
[feeds.adt]
time_zone = "UTC"
[sources.north]
url = "{base}"
types = {types}
method = "{method}"
page_size = 3
requests_per_second = 0
"""
USUAL = ("Organization", "Location", "Patient", "Device", "Encounter")
CARED = {
    "Procedure": "SELECT status, code, started_at, ended_at, location_id FROM twin.procedure",
    "ServiceRequest": (
        "SELECT patient_id, status, intent, priority, code_system, code, authored_at, starts_at,"
        " performer FROM twin.service_request"
    ),
    "Task": "SELECT patient_id, status, intent, code, authored_at, starts_at FROM twin.task",
    "Schedule": "SELECT status, code_system, code, location_id, from_at, to_at FROM twin.schedule",
    "Slot": "SELECT status, starts_at, ends_at FROM twin.slot",
    "DeviceMetric": "SELECT device_id, status, category, code, unit FROM twin.device_metric",
    "HealthcareService": (
        "SELECT DISTINCT resource_type, name, active FROM twin.directory"
        " WHERE resource_type IN ('HealthcareService', 'PractitionerRole', 'Practitioner')"
        " ORDER BY ALL"
    ),
    "linked": (
        "SELECT t.code AS task, r.code AS request, s.code AS offered FROM twin.task t"
        " JOIN twin.service_request r ON r.service_request_id = t.focus"
        " CROSS JOIN twin.slot JOIN twin.schedule s USING (schedule_id)"
    ),
    "Observation": "SELECT code, value, effective_at, patient_id FROM twin.observation",
    "milestones": 'SELECT kind, "at" FROM twin.encounter_milestone ORDER BY ALL',
    "classes": "SELECT class, from_at, to_at FROM twin.encounter_class ORDER BY ALL",
    "statuses": "SELECT status, from_at, to_at FROM twin.encounter_status ORDER BY ALL",
}
"""What the second twin is to know of what the first was told, without ids that a source decides."""
KNOWN = {
    "encounter": (
        "SELECT encounter_id, patient_id, facility, class, status, admitted_at, discharged_at"
        " FROM twin.encounter ORDER BY ALL"
    ),
    "stay": (
        "SELECT encounter_id, facility, unit, room, bed, from_at, to_at FROM twin.stay ORDER BY ALL"
    ),
    "patient": (
        "SELECT patient_id, birth_date, sex, family_name, merged_into FROM twin.patient"
        " ORDER BY ALL"
    ),
    "census": "FROM twin.census_at('2026-03-02 11:30:00+00') ORDER BY ALL",
    "beds": "SELECT facility, unit, room, bed, kind FROM twin.location ORDER BY ALL",
}


OBSERVED = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
    "subject": {"reference": "Patient/p9"},
    "effectiveDateTime": "2026-03-02T09:30:00Z",
    "valueQuantity": {"value": 71, "unit": "/min"},
}


class Second:
    """The second twin: a store and its settings, and the command line on it."""

    def __init__(
        self, folder: Path, base: str, method: str = "search", types: Sequence[str] = USUAL
    ) -> None:
        self.store, self.config = folder / "second.duckdb", folder / "second.toml"
        told = json.dumps(list(types))
        self.config.write_text(SITE.format(base=base, method=method, types=told))

    def synced(self) -> dict[str, int]:
        """How many resources of each type a sync took as news."""
        out, err = io.StringIO(), io.StringIO()
        words = ["fhir", "sync", "--json", "--db", str(self.store), "--config", str(self.config)]
        assert main(words, environ={}, out=out, err=err) == 0, err.getvalue() + out.getvalue()
        [summary] = json.loads(out.getvalue())
        assert summary["state"] == "in step"
        assert not any(kind["rejected"] for kind in summary["kinds"])
        return {kind["kind"]: kind["accepted"] for kind in summary["kinds"]}

    def known(self) -> dict[str, list[dict[str, object]]]:
        with Twin.open(self.store) as twin:
            return known(twin)


def known(twin: Twin) -> dict[str, list[dict[str, object]]]:
    return {name: twin.query(sql) for name, sql in KNOWN.items()}


def served(twin: Twin) -> FastAPI:
    app = FastAPI()
    app.include_router(fhir_router(twin))
    return app


def hear(twin: Twin, *messages: bytes) -> None:
    receipts = [
        Receipt(
            format="hl7v2",
            feed="adt",
            raw=raw,
            outcome=translated_hl7(
                raw, feed="adt", settings=SETTINGS, received_at=StoppedClock().now()
            ),
            origin="test",
        )
        for raw in messages
    ]
    twin.receive(receipts)
    twin.wait_applied()


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Twin]:
    with Twin.open(tmp_path / "first.duckdb", settings=SETTINGS, clock=StoppedClock()) as twin:
        hear(twin, *HEARD)
        yield twin


@pytest.mark.parametrize("method", ["search", "bulk"])
def test_a_second_twin_comes_to_know_the_same_and_stays_in_step(
    first: Twin, tmp_path: Path, method: str
) -> None:
    with listening(served(first)) as address:
        second = Second(tmp_path, f"{address}/fhir/R4", method)
        assert second.synced()["Encounter"] == 3
        assert second.known() == known(first)
        assert set(second.synced().values()) == {0}
        hear(
            first,
            adt("A03", "20", "11:20", "V2", "ICU^1^1^GEN"),
            adt("A01", "21", "11:25", "V5", "MED^1^1^GEN"),
        )
        taken = second.synced()
        assert taken["Encounter"] == 2
        assert taken["Patient"] == 1
        assert second.known() == known(first)


@pytest.mark.parametrize(("release", "method"), [("R4", "bulk"), ("R5", "search")])
def test_everything_that_is_given_can_be_taken_by_another_twin(
    first: Twin, tmp_path: Path, release: str, method: str
) -> None:
    types = sorted(SERVED)
    with listening(served(first)) as address:
        for resource in (*STATED, OBSERVED):
            path = f"{address}/fhir/R4/{resource['resourceType']}/{resource['id']}"
            assert httpx.put(path, json=resource).status_code == 201
        first.wait_applied()
        second = Second(tmp_path, f"{address}/fhir/{release}", method, types)
        taken = second.synced()
        assert [kind for kind in types if not taken[kind]] == ["Appointment"]
        told = {name: first.query(sql) for name, sql in CARED.items()}
        assert all(told.values())
        with Twin.open(second.store) as twin:
            assert {name: twin.query(sql) for name, sql in CARED.items()} == told
            assert twin.query("SELECT kind FROM twin.finding WHERE kind = 'unknown_code'") == []
            with listening(served(twin)) as back:
                for kind in ("Task", "Slot", "Observation", "HealthcareService", "Practitioner"):
                    (entry,) = httpx.get(f"{back}/fhir/{release}/{kind}").json()["entry"]
                    own = httpx.get(f"{address}/fhir/R4/Task").json()["entry"][0]["resource"]
                    # What only the first has spoken of is given back as the first one's.
                    assert entry["resource"]["meta"]["source"] == own["meta"]["source"], kind
                    identifiers = entry["resource"]["identifier"]
                    assert any(one["value"].startswith(f"{kind}/") for one in identifiers), kind
        assert set(second.synced().values()) == {0}


def test_what_comes_back_from_another_twin_is_no_news(first: Twin, tmp_path: Path) -> None:
    with listening(served(first)) as address:
        second = Second(tmp_path, f"{address}/fhir/R4")
        second.synced()
        visits = f"{address}/fhir/R4/Encounter"
        before = httpx.get(visits).json()["entry"]
        own = before[0]["resource"]["meta"]["source"]
        with Twin.open(second.store, settings=SETTINGS) as twin:
            # Of V5 nobody but the second twin knows; of V2 it knows something more.
            hear(
                twin,
                adt("A01", "30", "11:25", "V5", "MED^1^1^GEN"),
                adt("A02", "31", "11:30", "V2", "MED^1^2^GEN"),
            )
            with listening(served(twin)) as back:
                told = httpx.get(f"{back}/fhir/R4/Encounter").json()["entry"]
        returned = [one["resource"] for one in told if one["resource"]["meta"]["source"] == own]
        others = [one["resource"] for one in told if one["resource"]["meta"]["source"] != own]
        assert [len(returned), len(others)] == [2, 2]
        assert len({one["meta"]["source"] for one in others}) == 1
        for resource in returned:
            answer = httpx.put(f"{visits}/{resource['id']}?source=south", json=resource)
            assert answer.status_code == 201
        first.wait_applied()
        assert httpx.get(visits).json()["entry"] == before
        journal = "SELECT status, sender FROM twin.message WHERE feed = 'south'"
        assert {tuple(row.values()) for row in first.query(journal)} == {("journalled", own)}
        for resource in others:
            httpx.put(f"{visits}/{resource['id']}?source=south", json=resource)
        first.wait_applied()
        assert len(httpx.get(visits).json()["entry"]) == 4
