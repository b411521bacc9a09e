"""Bulk Data export of the twin's own view, over HTTP in front of a real store."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from adapters.fhir import Release, judge
from tests.contract.conftest import HEARD, Caller, adt

ASYNC = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
KINDS = ("Patient", "Encounter", "Location", "Organization")


@pytest.fixture
def heard_of(fresh: Caller) -> Caller:
    for raw in HEARD:
        fresh.post("/v1/hl7v2", content=raw)
    fresh.app.state.twin.wait_applied()
    return fresh


def kicked_off(caller: Caller, query: str = "", level: str = "") -> Any:
    """The manifest of an export."""
    begun = caller.get(f"/fhir/R4/{level}$export{query}", headers=ASYNC)
    assert begun.status_code == 202, begun.text
    status = caller.get(begun.headers["Content-Location"])
    assert (status.status_code, status.headers["content-type"]) == (200, "application/json")
    assert caller.request("DELETE", begun.headers["Content-Location"]).status_code == 202
    return status.json()


def rows_of(caller: Caller, file: Any) -> list[Any]:
    answer = caller.get(file["url"])
    assert answer.headers["content-type"].startswith("application/fhir+ndjson")
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert len(found) == file["count"]
    return found


def searched(caller: Caller, kind: str, query: str = "") -> list[Any]:
    bundle = caller.get(f"/fhir/R4/{kind}?_count=1000{query}").json()
    return [entry["resource"] for entry in bundle.get("entry", ())]


def test_an_export_has_what_searches_give(heard_of: Caller) -> None:
    told = kicked_off(heard_of)
    assert told["request"] == "http://localhost/fhir/R4/$export"
    assert (told["error"], told["deleted"]) == ([], [])
    files = {file["type"]: rows_of(heard_of, file) for file in told["output"]}
    assert set(files) == set(KINDS)
    for kind, resources in files.items():
        assert resources == searched(heard_of, kind)


def test_an_export_shows_one_instant_whatever_arrives_meanwhile(heard_of: Caller) -> None:
    told = kicked_off(heard_of)
    before = searched(heard_of, "Encounter")
    heard_of.post("/v1/hl7v2", content=adt("A01", "40", "11:50", "V9", "MED^1^1^GEN"))
    heard_of.app.state.twin.wait_applied()
    assert len(searched(heard_of, "Encounter")) == len(before) + 1
    (file,) = [file for file in told["output"] if file["type"] == "Encounter"]
    assert rows_of(heard_of, file) == before


def test_the_next_export_has_what_changed_since_the_last(heard_of: Caller) -> None:
    visit = {"resourceType": "Encounter", "id": "x", "status": "planned", "class": {"code": "AMB"}}
    path, headers = "/fhir/R4/Encounter/x", {"Content-Type": "application/fhir+json"}
    heard_of.request("PUT", path, content=json.dumps(visit), headers=headers)
    heard_of.app.state.twin.wait_applied()
    (old,) = searched(heard_of, "Encounter", "&status=planned")
    since = kicked_off(heard_of)["transactionTime"]
    numbered = {**visit, "identifier": [{"system": "urn:vn", "value": "X1"}]}
    heard_of.request("PUT", path, content=json.dumps(numbered), headers=headers)
    heard_of.post("/v1/hl7v2", content=adt("A03", "41", "11:50", "V2", "ICU^1^1^GEN"))
    heard_of.app.state.twin.wait_applied()
    told = kicked_off(heard_of, f"?_since={quote(since)}&_type=Encounter,Location")
    assert told["transactionTime"] > since
    files = {file["type"]: rows_of(heard_of, file) for file in told["output"]}
    assert {one["status"] for one in files["Encounter"]} == {"planned", "finished"}
    # The bed and the unit that V2 has left.
    assert {one["name"] for one in files["Location"]} == {"GEN ICU", "GEN ICU 1 1"}
    (gone,) = told["deleted"]
    (bundle,) = rows_of(heard_of, gone)
    assert judge(bundle, Release.R4) == []
    assert [one["request"] for one in bundle["entry"]] == [
        {"method": "DELETE", "url": f"Encounter/{old['id']}"}
    ]


def test_types_and_filters_narrow_an_export(heard_of: Caller) -> None:
    filters = [quote(f"Encounter?status={status}") for status in ("finished", "arrived")]
    query = f"?_type=Encounter&_typeFilter={filters[0]}&_typeFilter={filters[1]}"
    (file,) = kicked_off(heard_of, query)["output"]
    assert {one["status"] for one in rows_of(heard_of, file)} == {"finished", "arrived"}
    told = kicked_off(heard_of, level="Patient/")
    assert told["request"].endswith("/Patient/$export")
    assert {file["type"] for file in told["output"]} == {"Patient", "Encounter"}


@pytest.mark.parametrize(
    ("asked", "headers", "status"),
    [
        ("$export", {}, 400),
        ("$export?_outputFormat=csv", ASYNC, 400),
        ("$export?_since=then", ASYNC, 400),
        ("$export?_type=Ward", ASYNC, 400),
        ("$export?_colour=red", ASYNC, 400),
        ("$export?_typeFilter=Ward%3Fname=x", ASYNC, 400),
        ("$export?_typeFilter=Encounter%3Fcolour=x", ASYNC, 400),
        ("$export?_typeFilter=Encounter%3Fdate=then", ASYNC, 400),
        ("Patient/$export?_type=Location", ASYNC, 400),
        ("$export-status", {}, 404),
        ("$export-status?types=Ward&at=1", {}, 404),
        ("$export-file?types=Patient&at=1&kind=Encounter", {}, 404),
        ("$export-file?types=Patient&at=x&kind=Patient", {}, 404),
        ("Encounter/$export", ASYNC, 404),
    ],
)
def test_what_cannot_be_exported_is_said_in_fhir(
    api: Caller, asked: str, headers: dict[str, str], status: int
) -> None:
    answer = api.get(f"/fhir/R4/{asked}", headers=headers)
    assert answer.status_code == status, answer.text
    assert judge(answer.json(), Release.R4) == []


def test_a_lenient_export_passes_over_what_is_not_known(api: Caller) -> None:
    lenient = {"Prefer": "respond-async, handling=lenient"}
    begun = api.get("/fhir/R4/$export?_colour=red&_type=Patient,Ward", headers=lenient)
    assert begun.status_code == 202


def test_the_capability_statement_names_exports(api: Caller) -> None:
    told = api.get("/fhir/R4/metadata").json()["rest"][0]
    assert [one["name"] for one in told["operation"]] == ["export"]
    named = {
        one["type"]
        for one in told["resource"]
        if any(operation["name"] == "export" for operation in one.get("operation", ()))
    }
    assert named == {"Patient"}
    assert told["operation"] == api.get("/fhir/R5/metadata").json()["rest"][0]["operation"]
