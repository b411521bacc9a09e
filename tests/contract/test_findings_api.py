"""Data-quality findings as callers of the API see them."""

import json
from typing import Any

import pytest

ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "finished",
    "class": {"code": "IMP"},
    "subject": {"reference": "Patient/p1"},
    "period": {"start": "2026-03-01T08:00:00Z"},
}
JSON = {"Content-Type": "application/fhir+json"}


def post(api: Any, resource: dict[str, Any], status: int) -> None:
    body = json.dumps(resource).encode()
    answer = api.post(f"/fhir/R4/{resource['resourceType']}", content=body, headers=JSON)
    assert answer.status_code == status, answer.text


@pytest.fixture
def api(fresh: Any, twin: Any) -> Any:
    post(fresh, ENCOUNTER, 201)
    post(fresh, {**ENCOUNTER, "id": "e2", "status": "nonsense"}, 422)
    reversed_period = {"start": "2026-03-02", "end": "2026-03-01"}
    post(fresh, {**ENCOUNTER, "id": "e3", "period": reversed_period}, 422)
    twin.wait_applied()
    return fresh


def kinds(api: Any) -> set[str]:
    return set(api.get("/v1/findings").json()["counts"])


def test_findings_are_listed_and_counted_by_kind(api: Any) -> None:
    page = api.get("/v1/findings").json()
    assert page["counts"] == {
        "reversed_period": 1,
        "status_period_mismatch": 1,
        "unknown_code": 1,
        "unresolved_reference": 1,
    }
    assert not page["more"]
    (unknown,) = api.get("/v1/findings", params={"kind": "unknown_code"}).json()["findings"]
    assert unknown["detail"].startswith("Encounter.status: ")
    assert unknown["message_id"] == int(unknown["subject"])
    assert api.get("/v1/findings", params={"limit": 1}).json()["more"]
    asked = {"subject": unknown["subject"]}
    assert api.get("/v1/findings", params=asked).json()["findings"] == [unknown]


def test_a_finding_that_no_longer_holds_is_gone(api: Any, twin: Any) -> None:
    post(api, {"resourceType": "Patient", "id": "p1"}, 201)
    twin.wait_applied()
    assert kinds(api) == {"reversed_period", "status_period_mismatch", "unknown_code"}


def test_findings_are_counted_in_the_metrics(api: Any) -> None:
    lines = api.get("/metrics").text.splitlines()
    assert 'wardtwin_findings{kind="unresolved_reference"} 1' in lines
