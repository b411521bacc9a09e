"""What the FHIR bases give back, over HTTP in front of a real store."""

import json
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from adapters.fhir import Release, judge
from adapters.fhir.release import FHIR_VERSIONS
from api.app import create_app
from api.fhir.parameters import Asking, Bound, Kind, Parameter, condition
from api.fhir.reports import REPORTED
from tests.contract.conftest import HEARD, SETTINGS, Caller, StoppedClock, adt
from twin_core.twin import Twin

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hl7v2"
TOLD = ("s12_booked", "r01_blood_count", "r42_pump_started", "a40_two_merges", "a24_link")
GIVEN = (
    "Patient",
    "Encounter",
    "Location",
    "Device",
    "Organization",
    "Practitioner",
    "Appointment",
    "Observation",
    "PractitionerRole",
    "HealthcareService",
    "Procedure",
    "ServiceRequest",
    "Task",
    "Schedule",
    "Slot",
    "DeviceMetric",
)
JSON = {"Content-Type": "application/fhir+json"}
STRICT = {"Prefer": "handling=strict"}
STATED: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Practitioner",
        "id": "d1",
        "name": [{"family": "Okafor", "given": ["Ines"]}],
        "identifier": [{"system": "urn:staff", "value": "77"}],
    },
    {"resourceType": "Organization", "id": "o1", "name": "Northside", "active": True},
    {
        "resourceType": "Device",
        "id": "pump",
        "status": "active",
        "identifier": [{"system": "urn:devices", "value": "9"}],
        "deviceName": [{"name": "Pump nine", "type": "user-friendly-name"}],
        "type": {"coding": [{"code": "PUMP"}]},
        "manufacturer": "Acme",
        "modelNumber": "M2",
        "serialNumber": "S1",
        "location": {"reference": "Location/b9"},
        "patient": {"reference": "Patient/p9"},
    },
    {
        "resourceType": "Patient",
        "id": "p9",
        "birthDate": "1944-02",
        "gender": "female",
        "name": [{"family": "Ångström", "given": ["Åsa"]}],
        "deceasedDateTime": "2026-03-02T10:30:00Z",
        "address": [{"postalCode": "20095"}],
        "identifier": [{"system": "urn:mrn", "value": "4|7,11"}],
    },
    {
        "resourceType": "Location",
        "id": "b9",
        "status": "suspended",
        "operationalStatus": {
            "system": "http://terminology.hl7.org/CodeSystem/v2-0116",
            "code": "K",
        },
        "name": "Bay nine",
        "identifier": [{"system": "urn:wardtwin:path", "value": "GEN/MED/9/1"}],
    },
    {
        "resourceType": "Encounter",
        "id": "e9",
        "status": "planned",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p9"},
        "period": {"start": "2026-03-05T08:00:00Z"},
    },
    {"resourceType": "PractitionerRole", "id": "r1", "code": [{"text": "ward round"}]},
    {"resourceType": "HealthcareService", "id": "h1", "name": "Imaging"},
    {
        "resourceType": "ServiceRequest",
        "id": "sr1",
        "status": "active",
        "intent": "order",
        "priority": "urgent",
        "identifier": [{"system": "urn:orders", "value": "77"}],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "32485007"}]},
        "subject": {"reference": "Patient/p9"},
        "encounter": {"reference": "Encounter/e9"},
        "authoredOn": "2026-03-02T09:00:00Z",
        "occurrenceDateTime": "2026-03-03T09:00:00Z",
        "performer": [{"reference": "Practitioner/d1"}],
    },
    {
        "resourceType": "Task",
        "id": "t1",
        "status": "in-progress",
        "intent": "order",
        "code": {"text": "find a bed"},
        "focus": {"reference": "ServiceRequest/sr1"},
        "for": {"reference": "Patient/p9"},
        "authoredOn": "2026-03-02T09:05:00Z",
        "executionPeriod": {"start": "2026-03-02T09:10:00Z"},
    },
    {
        "resourceType": "Procedure",
        "id": "pr1",
        "status": "completed",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "80146002"}]},
        "subject": {"reference": "Patient/p9"},
        "basedOn": [{"reference": "ServiceRequest/sr1"}],
        "performedPeriod": {"start": "2026-03-02T10:00:00Z", "end": "2026-03-02T11:00:00Z"},
        "location": {"reference": "Location/b9"},
    },
    {
        "resourceType": "Schedule",
        "id": "s1",
        "active": True,
        "serviceType": [{"coding": [{"system": "urn:services", "code": "IMG"}]}],
        "actor": [{"reference": "Location/b9"}, {"reference": "Practitioner/d1"}],
        "planningHorizon": {"start": "2026-03-02T00:00:00Z", "end": "2026-03-09T00:00:00Z"},
    },
    {
        "resourceType": "Slot",
        "id": "sl1",
        "schedule": {"reference": "Schedule/s1"},
        "status": "free",
        "start": "2026-03-03T09:00:00Z",
        "end": "2026-03-03T09:30:00Z",
    },
    {
        "resourceType": "DeviceMetric",
        "id": "m1",
        "type": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "150456"}]},
        "unit": {"coding": [{"code": "%"}]},
        "category": "measurement",
        "operationalStatus": "on",
        "source": {"reference": "Device/pump"},
    },
)


@pytest.fixture
def base(fresh: Caller) -> Caller:
    """An API in front of a store that a test may change."""
    for raw in HEARD:
        fresh.post("/v1/hl7v2", content=raw)
    settle(fresh)
    return fresh


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """An API in front of a store that knows something of every type."""
    path = tmp_path_factory.mktemp("fhir") / "given.duckdb"
    with Twin.open(path, settings=SETTINGS, clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin))
        for raw in (*HEARD, *(file.read_bytes() for name in TOLD for file in files(name))):
            caller.post("/v1/hl7v2", content=raw)
        for resource in STATED:
            put(caller, resource)
        settle(caller)
        yield caller
        caller.close()


def files(name: str) -> list[Path]:
    found = sorted(FIXTURES.glob(f"{name}*.hl7"))
    assert found, name
    return found


def settle(caller: Caller) -> None:
    caller.app.state.twin.wait_applied()


def hear(caller: Caller, trigger: str, at: str, visit: str) -> None:
    message = adt(trigger, f"{trigger}-{visit}", at, visit, "MED^2^1^GEN")
    assert caller.post("/v1/hl7v2", content=message).status_code == 200


def put(caller: Caller, resource: dict[str, Any]) -> None:
    path = f"/fhir/R4/{resource['resourceType']}/{resource['id']}"
    answer = caller.request("PUT", path, content=json.dumps(resource), headers=JSON)
    assert answer.status_code in (200, 201), answer.text


def ask(caller: Caller, path: str, status: int = 200, **headers: str) -> Any:
    """The answer to a question, which is valid FHIR whatever it is."""
    return asked_in(caller, Release.R4, path, status, **headers)


def asked_in(caller: Caller, release: Release, path: str, status: int = 200, **headers: str) -> Any:
    """The answer of the base of one edition, valid there."""
    answer = caller.get(f"/fhir/{release}/{path}", headers={**headers})
    assert answer.status_code == status, answer.text
    version = FHIR_VERSIONS[release].rpartition(".")[0]
    assert answer.headers["content-type"] == f"application/fhir+json; fhirVersion={version}"
    body = answer.json()
    assert judge(body, release) == []
    return body


def matches(bundle: Any, mode: str = "match") -> list[dict[str, Any]]:
    return [
        entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == mode
    ]


def all_of(caller: Caller, kind: str) -> list[dict[str, Any]]:
    return matches(ask(caller, f"{kind}?_count=1000"))


def ids(resources: list[dict[str, Any]]) -> list[str]:
    return [resource["id"] for resource in resources]


@pytest.mark.parametrize("kind", GIVEN)
def test_everything_that_is_given_is_valid_and_is_read_back_the_same(
    given: Caller, kind: str
) -> None:
    resources = all_of(given, kind)
    assert resources
    in_r5 = matches(asked_in(given, Release.R5, f"{kind}?_count=1000"))
    assert ids(in_r5) == ids(resources)
    assert asked_in(given, Release.R5, f"{kind}/{in_r5[0]['id']}") == in_r5[0]
    for resource in resources:
        assert judge(resource, Release.R4B) == []
        assert resource["resourceType"] == kind
        assert resource["meta"]["source"].startswith("urn:wardtwin:twin:")
        assert ask(given, f"{kind}/{resource['id']}") == resource
        version = resource["meta"]["versionId"]
        assert ask(given, f"{kind}/{resource['id']}/_history/{version}") == resource
        assert ask(given, f"{kind}/{resource['id']}/_history")["entry"][0]["resource"] == resource


def lines(caller: Caller, release: Release) -> dict[str, dict[str, Any]]:
    """What the CapabilityStatement says of each type."""
    statement = caller.get(f"/fhir/{release}/metadata").json()
    assert judge(statement, release) == []
    return {one["type"]: one for one in statement["rest"][0]["resource"]}


WRITES = {"create", "update", "delete"}
READS = {"read", "vread", "history-instance", "history-type", "search-type"}


@pytest.mark.parametrize("release", list(Release))
def test_the_capability_statement_says_which_types_are_given(
    given: Caller, release: Release
) -> None:
    readable = set()
    for kind, told in lines(given, release).items():
        codes = {one["code"] for one in told["interaction"]}
        if kind in REPORTED and "read" in codes:
            assert codes == WRITES | {"read", "search-type"}
            assert {one["name"]: one["type"] for one in told["searchParam"]} == REPORTED[kind]
            assert ("operation" in told) == (kind == "Measure")
            continue
        assert codes in (WRITES, WRITES | READS)
        if READS <= codes:
            readable.add(kind)
            status = 200
        else:
            assert "searchParam" not in told
            status = 404
        base = f"/fhir/{release}/{kind}"
        assert given.get(f"{base}?_count=0&_total=none").status_code == status, kind
        assert given.get(f"{base}/_history?_count=1").status_code == status, kind
        assert given.get(f"{base}/nobody").json()["issue"][0]["code"] == (
            "not-found" if status == 200 else "not-supported"
        )
    assert readable == set(GIVEN)


@pytest.mark.parametrize("release", [Release.R4, Release.R5])
def test_the_capability_statement_says_by_what_a_type_is_searched(
    given: Caller, release: Release
) -> None:
    told = lines(given, release)
    if release is Release.R4:
        assert told.items() >= {kind: lines(given, Release.R4B)[kind] for kind in GIVEN}.items()
    for kind in GIVEN:
        every = [one["name"] for one in told[kind]["searchParam"]]
        # All of them at once: one that is not understood would be refused.
        asked = "&".join(f"{name}:missing=false" for name in every)
        path = f"{kind}?{asked}&_count=0&_total=none"
        found = asked_in(given, release, path, **STRICT)
        assert found["link"][0]["url"].endswith(path)
        values = {"token": "x", "string": "x", "date": "2026", "reference": "x"}
        asked = "&".join(
            f"{one['name']}={values[one['type']]}" for one in told[kind]["searchParam"]
        )
        assert asked_in(given, release, f"{kind}?{asked}", **STRICT)["total"] == 0
        for one in told[kind]["searchParam"]:
            wrong = {"date": "x", "reference": "a_b", "token": "a|b|c"}.get(one["type"])
            if wrong:
                asked_in(given, release, f"{kind}?{one['name']}={wrong}", 400)
        for word, name in (("searchInclude", "_include"), ("searchRevInclude", "_revinclude")):
            along = "".join(f"&{name}={one}" for one in told[kind].get(word, ()))
            asked_in(given, release, f"{kind}?_count=1&_total=none{along}", **STRICT)
    asked_in(given, release, "Encounter?occupation=1", 400, **STRICT)


def test_r5_is_searched_by_its_own_codes(given: Caller) -> None:
    def found(release: Release, asked: str) -> list[str]:
        return ids(matches(asked_in(given, release, f"{asked}&_count=1000", **STRICT)))

    for r5, r4 in (
        ("Encounter?status=completed", "Encounter?status=finished"),
        ("Encounter?status=in-progress", "Encounter?status=in-progress,arrived,triaged,onleave"),
        ("Encounter?subject-status=arrived", "Encounter?status=arrived"),
        ("DeviceMetric?device:missing=false", "DeviceMetric?source:missing=false"),
    ):
        assert found(Release.R5, r5) == found(Release.R4, r4) != [], r5
    assert found(Release.R5, "Encounter?status=finished") == []
    asked_in(given, Release.R5, "Device?patient=x", 400, **STRICT)


def test_r5_has_its_own_elements(given: Caller) -> None:
    (visit,) = matches(asked_in(given, Release.R5, "Encounter?_id=" + _visit_id(given)))
    assert (visit["status"], visit["class"][0]["coding"][0]["code"]) == ("in-progress", "IMP")
    assert visit["actualPeriod"]["start"] == "2026-03-02T09:00:00Z"
    assert [one["status"] for one in visit["location"]] == ["completed", "active"]
    (device,) = matches(asked_in(given, Release.R5, "Device?device-name=Pump nine"))
    assert device["name"] == [{"value": "Pump nine", "type": "user-friendly-name"}]
    (metric,) = matches(asked_in(given, Release.R5, "DeviceMetric"))
    assert metric["device"]["reference"] == f"Device/{device['id']}"


def _visit_id(given: Caller) -> str:
    (visit,) = matches(ask(given, "Encounter?identifier=urn:wardtwin:authority:GEN|V2"))
    return str(visit["id"])


def test_requests_and_what_is_done_about_them_refer_to_each_other(given: Caller) -> None:
    (asked,) = matches(ask(given, "ServiceRequest?identifier=urn:orders|77"))
    assert (asked["intent"], asked["priority"]) == ("order", "urgent")
    assert asked["authoredOn"] == "2026-03-02T09:00:00Z"
    assert asked["performer"][0]["identifier"]["value"] == "Practitioner/d1"
    for kind, word in (("Task", "focus"), ("Procedure", "based-on")):
        (one,) = matches(ask(given, f"{kind}?{word}=ServiceRequest/{asked['id']}"))
        pointed = one["focus"] if kind == "Task" else one["basedOn"][0]
        assert pointed == {"reference": f"ServiceRequest/{asked['id']}"}
    (slot,) = matches(ask(given, "Slot?start=2026-03-03&status=free&schedule.service-type=IMG"))
    (schedule,) = matches(ask(given, f"Slot?_id={slot['id']}&_include=Slot:schedule"), "include")
    assert len(schedule["actor"]) == 2
    (patient,) = matches(ask(given, "Patient?_has:Task:patient:focus.priority=urgent"))
    assert asked["subject"]["reference"] == f"Patient/{patient['id']}"
    assert matches(ask(given, "Patient?_has:Task:patient:status=failed", **STRICT)) == []
    nested = "Patient?_has:Encounter:patient:_has:ServiceRequest:encounter:priority=urgent"
    assert ids(matches(ask(given, nested, **STRICT))) == [patient["id"]]


def test_a_visit_has_its_histories_and_its_places(given: Caller) -> None:
    (visit,) = matches(ask(given, "Encounter?identifier=urn:wardtwin:authority:GEN|V2"))
    assert visit["status"] == "in-progress"
    assert visit["class"]["code"] == "IMP"
    assert [one["status"] for one in visit["location"]] == ["completed", "active"]
    assert [one["location"]["display"] for one in visit["location"]] == [
        "GEN MED 1 2",
        "GEN ICU 1 1",
    ]
    assert visit["location"][0]["period"] == {
        "start": "2026-03-02T09:00:00Z",
        "end": "2026-03-02T10:00:00Z",
    }
    assert visit["statusHistory"][-1]["period"] == {"start": "2026-03-02T09:00:00Z"}
    bed = ask(given, visit["location"][1]["location"]["reference"])
    assert bed["operationalStatus"]["code"] == "O"
    assert bed["extension"][0]["extension"] == [{"url": "patients", "valueUnsignedInt": 1}]
    left = ask(given, visit["location"][0]["location"]["reference"])
    assert left["operationalStatus"]["code"] == "U"


def test_a_unit_counts_its_patients_and_its_taken_beds(given: Caller) -> None:
    (icu,) = matches(ask(given, "Location?identifier=urn:wardtwin:path|GEN/ICU//"))
    assert icu["extension"][0]["extension"] == [
        {"url": "patients", "valueUnsignedInt": 1},
        {"url": "bedsTaken", "valueUnsignedInt": 1},
    ]
    (med,) = matches(ask(given, "Location?name=GEN MED&physical-type=wa"))
    assert [one["valueUnsignedInt"] for one in med["extension"][0]["extension"]] == [0, 0]


def test_what_sources_call_a_resource_is_kept_as_an_identifier(given: Caller) -> None:
    (patient,) = matches(ask(given, "Patient?identifier=urn:wardtwin:source:fhir:id|Patient/p9"))
    told = {(one["system"], one["value"]) for one in patient["identifier"]}
    assert told == {("urn:mrn", "4|7,11"), ("urn:wardtwin:source:fhir:id", "Patient/p9")}
    assert patient["birthDate"] == "1944-02"
    (device,) = matches(ask(given, f"Device?patient={patient['id']}"))
    assert device["location"]["reference"].startswith("Location/l")
    assert ask(given, device["location"]["reference"])["status"] == "suspended"


ENCOUNTERS = {
    "status=in-progress": lambda e: e["status"] == "in-progress",
    "status=planned,finished": lambda e: e["status"] in ("planned", "finished"),
    "status:not=finished": lambda e: e["status"] != "finished",
    "class=http://terminology.hl7.org/CodeSystem/v3-ActCode|EMER": lambda e: (
        e["class"]["code"] == "EMER"
    ),
    "class=|EMER": lambda e: False,
    "location:missing=true": lambda e: "location" not in e,
    "date=ge2026-03-02T09:00:00Z": lambda e: (
        (e.get("period", {}).get("end", "9") >= "2026-03-02T09:00")
        and "start" in e.get("period", {})
    ),
    "date=lt2026-03-02T09:00:00Z": lambda e: (
        e.get("period", {}).get("start", "9") < "2026-03-02T09:00"
    ),
    "date=sa2026-03-02": lambda e: e.get("period", {}).get("start", "0") >= "2026-03-03",
    "date=eb2026-03-02T11:30:00Z": lambda e: (
        e.get("period", {}).get("end", "9") < "2026-03-02T11:30"
    ),
    "date=2026-03-02": lambda e: (
        e.get("period", {}).get("start", "0") >= "2026-03-02"
        and e.get("period", {}).get("end", "9") < "2026-03-03"
    ),
    "part-of:missing=false": lambda e: "partOf" in e,
    "patient.family=quis": lambda e: "subject" in e and e["id"] != "never",
}


@pytest.mark.parametrize("asked", ENCOUNTERS)
def test_a_search_gives_what_a_reader_of_all_would_choose(given: Caller, asked: str) -> None:
    every = all_of(given, "Encounter")
    if asked.startswith("patient."):
        named = {
            f"Patient/{one['id']}"
            for one in all_of(given, "Patient")
            if "name" in one and one["name"][0]["family"].lower().startswith("quis")
        }
        wanted = [one for one in every if one.get("subject", {}).get("reference") in named]
    else:
        wanted = [one for one in every if ENCOUNTERS[asked](one)]
    found = ask(given, f"Encounter?{asked}&_count=1000", **STRICT)
    assert matches(found) == wanted
    assert found["total"] == len(wanted)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("name=ang", ["Ångström"]),
        ("family:exact=Ångström", ["Ångström"]),
        ("family:exact=angström", []),
        ("family:contains=STRO", ["Ångström"]),
        ("birthdate=1944", ["TESTER", "Ångström"]),
        ("birthdate=1944-02", ["TESTER", "Ångström"]),
        ("birthdate=1944-02-29", ["TESTER"]),
        ("birthdate=lt1944-03&gender=female", ["TESTER", "Ångström"]),
        ("birthdate=lt1944-02", []),
        ("death-date=2026-03-02&deceased=true", ["Ångström"]),
        ("identifier=urn:mrn|4\\|7\\,11", ["Ångström"]),
        ("identifier=urn:mrn|", ["Ångström"]),
        ("address-postalcode=2009", ["Ångström"]),
        ("_id=nobody", []),
    ],
)
def test_people_are_found(given: Caller, asked: str, names: list[str]) -> None:
    found = matches(ask(given, f"Patient?{asked}", **STRICT))
    assert sorted(one["name"][0]["family"] for one in found) == names


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("nobody,urn:mrn|4\\|7\\,11", ["Ångström"]),
        ("nobody,4\\|7\\,11,nothing", ["Ångström"]),
        ("urn:other|4\\|7\\,11,urn:other|x", []),
        ("urn:other|4\\|7\\,11,urn:mrn|x,urn:mrn|", ["Ångström"]),
        ("|4\\|7\\,11,|x", []),
    ],
)
def test_any_of_several_codes_will_do(given: Caller, asked: str, names: list[str]) -> None:
    found = matches(ask(given, f"Patient?identifier={asked}", **STRICT))
    assert sorted(one["name"][0]["family"] for one in found) == names
    others = [one["id"] for one in all_of(given, "Patient") if one not in found]
    left = matches(ask(given, f"Patient?identifier:not={asked}"))
    assert sorted(one["id"] for one in left) == sorted(others)


def test_thousands_are_asked_for_in_one_join(given: Caller) -> None:
    """A test for each of them would be made of every row of a large store."""
    visits = all_of(given, "Encounter")
    ids = {one["id"] for one in visits}
    people = {one["subject"]["reference"] for one in visits if "subject" in one}
    assert len(ids) > 1 < len(people)
    more = [f"n{number}" for number in range(1_500)]
    tested = []
    for name, kind, asked in (
        ("_id", Kind.TOKEN, [*more, *ids]),
        ("subject", Kind.REFERENCE, [*more, *people, *(f"Group/{one}" for one in more)]),
    ):
        body = {name: ",".join(asked), "_count": "1000"}
        found = matches(given.post("/fhir/R4/Encounter/_search", data=body).json())
        assert found == [one for one in visits if name == "_id" or "subject" in one]
        bound = Bound()
        parameter = Parameter(name, kind, "SELECT 1", ("Patient", "Group"))
        tested.append(condition(parameter, "", body[name], Asking(bound, UTC, "")))
        assert len(bound.values) <= 5
    assert max(map(len, tested)) < 500


def test_references_are_asked_for_in_every_form(given: Caller) -> None:
    visit = next(one for one in all_of(given, "Encounter") if "subject" in one)
    patient = visit["subject"]["reference"]
    id_ = patient.partition("/")[2]
    for asked in (
        f"subject={patient}",
        f"patient={id_}",
        f"subject:Patient={id_}",
        f"subject=http://localhost/fhir/R4/{patient}",
        f"subject:Patient._id={id_}",
    ):
        assert visit in matches(ask(given, f"Encounter?{asked}", **STRICT)), asked
    assert matches(ask(given, f"Encounter?subject=http://elsewhere/fhir/{patient}")) == []
    ask(given, "Encounter?subject:Device=x", 400)


def test_what_is_referred_to_comes_along(given: Caller) -> None:
    asked = "identifier=urn:wardtwin:authority:GEN|V2"
    bundle = ask(
        given,
        f"Encounter?{asked}&_include=Encounter:location&_include=Encounter:patient"
        "&_include:iterate=Location:partof&_include=Encounter:service-provider",
    )
    along = matches(bundle, "include")
    kinds = sorted(
        f"{one['resourceType']} {one.get('name', '')}" for one in along if "gender" not in one
    )
    assert kinds == [
        "Location GEN ICU",
        "Location GEN ICU 1",
        "Location GEN ICU 1 1",
        "Location GEN MED",
        "Location GEN MED 1",
        "Location GEN MED 1 2",
        "Organization GEN",
    ]
    patient = next(one for one in along if one["resourceType"] == "Patient")
    back = ask(given, f"Patient?_id={patient['id']}&_revinclude=Encounter:subject")
    assert matches(back, "include") == matches(bundle)
    every = ask(given, f"Encounter?{asked}&_include=*")
    assert len(matches(every, "include")) == 4


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("Encounter?occupation=1", 400),
        ("Encounter?status:above=x", 400),
        ("Encounter?date=yesterday", 400),
        ("Encounter?date=xx2026", 400),
        ("Encounter?status:missing=perhaps", 400),
        ("Encounter?_count=many", 400),
        ("Encounter?_sort=occupation", 400),
        ("Encounter?_cursor=abc", 400),
        ("Encounter?_cursor=WzEsMiwzLDRd", 400),
        ("Encounter?_include=Encounter:date", 400),
        ("Encounter?_include=Ward:bed", 400),
        ("Encounter?_summary=text", 400),
        ("Encounter?identifier=a|b|c", 400),
        ("Encounter?subject.occupation=1", 400),
        ("Encounter?status.code=1", 400),
        ("Encounter?subject=Patient/a_b", 400),
        ("Encounter/_history?status=planned", 400),
        ("Encounter?_format=xml", 406),
        ("Patient?_has:Encounter:location:status=planned", 400),
        ("Patient?_has:Encounter:patient:occupation=1", 400),
        ("Patient?_has:Encounter=1", 400),
        ("Ward", 404),
        ("Condition", 404),
        ("Encounter/nobody", 404),
        ("Encounter/nobody/_history", 404),
        ("Encounter/nobody/_history/1", 404),
        ("Encounter/a_b", 404),
        ("Encounter/a/b/c", 404),
    ],
)
def test_what_cannot_be_answered_is_said_in_fhir(given: Caller, asked: str, status: int) -> None:
    outcome = ask(given, asked, status, **STRICT)
    assert outcome["resourceType"] == "OperationOutcome"
    assert "occupation" not in json.dumps(outcome)


def test_a_lenient_reader_is_told_what_was_passed_over(given: Caller) -> None:
    bundle = ask(given, "Encounter?occupation=1&status=finished&class=")
    (outcome,) = matches(bundle, "outcome")
    assert outcome["issue"][0]["severity"] == "warning"
    assert bundle["link"][0]["url"].endswith("Encounter?status=finished")
    assert {one["status"] for one in matches(bundle)} == {"finished"}


def test_a_search_in_a_form_gives_the_same(given: Caller) -> None:
    form = {"status": "finished,planned", "_count": "1"}
    answer = given.post("/fhir/R4/Encounter/_search", data=form)
    assert answer.json() == ask(given, "Encounter?status=finished,planned&_count=1")
    sent = given.post("/fhir/R4/Encounter/_search", content=b"{}", headers=JSON)
    assert sent.status_code == 415


@pytest.mark.parametrize("sort", ["", "&_sort=-date", "&_sort=status,-_lastUpdated"])
def test_pages_follow_each_other_whatever_arrives_in_between(base: Caller, sort: str) -> None:
    for number in range(20, 27):
        base.post(
            "/v1/hl7v2", content=adt("A01", f"c{number}", "09:30", f"W{number}", "MED^2^1^GEN")
        )
    settle(base)
    wanted = matches(ask(base, f"Encounter?_count=1000{sort}"))
    page = ask(base, f"Encounter?_count=3{sort}")
    found, number = matches(page), 0
    assert page["total"] == len(wanted)
    while len(page["link"]) > 1:
        number += 1
        base.post(
            "/v1/hl7v2", content=adt("A03", f"d{number}", "11:45", f"W{19 + number}", "MED^2^1^GEN")
        )
        base.post(
            "/v1/hl7v2", content=adt("A01", f"n{number}", "11:50", f"A{number}", "MED^3^1^GEN")
        )
        settle(base)
        page = ask(base, page["link"][1]["url"].removeprefix("http://localhost/fhir/R4/"))
        assert page["total"] == len(wanted)
        found += matches(page)
    assert number == 3
    assert found == wanted


def test_sorting_puts_what_has_none_last(given: Caller) -> None:
    starts = [one.get("period", {}).get("start", "") for one in all_of(given, "Encounter")]
    for sort, downwards in (("date", False), ("-date", True)):
        found = matches(ask(given, f"Encounter?_sort={sort}&_count=1000"))
        got = [one.get("period", {}).get("start", "") for one in found]
        known = sorted((one for one in starts if one), reverse=downwards)
        assert got == known + [""] * (len(starts) - len(known))


def test_totals_and_summaries(given: Caller) -> None:
    every = len(all_of(given, "Encounter"))
    counted = ask(given, "Encounter?_summary=count")
    assert (counted["total"], "entry" in counted) == (every, False)
    assert "total" not in ask(given, "Encounter?_total=none&_count=1")
    assert ask(given, "Encounter?_count=0")["total"] == every
    for one in matches(ask(given, "Encounter?_elements=subject")):
        assert set(one) <= {"resourceType", "id", "meta", "status", "class", "subject"}
        assert one["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_a_change_makes_a_new_version_and_the_old_one_can_be_read(base: Caller) -> None:
    (before,) = matches(ask(base, "Encounter?identifier=V3"))
    base.post("/v1/hl7v2", content=adt("A03", "9", "11:40", "V3", "ED^^^GEN", kind="E"))
    settle(base)
    after = ask(base, f"Encounter/{before['id']}")
    assert (before["status"], after["status"]) == ("arrived", "finished")
    assert after["meta"]["versionId"] > before["meta"]["versionId"]
    history = ask(base, f"Encounter/{before['id']}/_history")
    assert [entry["resource"] for entry in history["entry"]] == [after, before]
    assert history["total"] == 2
    old = ask(base, f"Encounter/{before['id']}/_history/{before['meta']['versionId']}")
    assert old == before
    since = before["meta"]["lastUpdated"]
    changed = ask(base, f"Encounter?_lastUpdated=gt{since}")
    assert matches(changed) == [after]
    first = ask(base, "Encounter/_history?_count=1")
    assert first["entry"][0]["resource"] == after
    second = ask(base, first["link"][1]["url"].removeprefix("http://localhost/fhir/R4/"))
    assert second["entry"][0]["resource"]["meta"]["versionId"] < after["meta"]["versionId"]


def test_a_unit_changes_when_someone_leaves_it(base: Caller) -> None:
    (before,) = matches(ask(base, "Location?identifier=GEN/ICU//"))
    base.post("/v1/hl7v2", content=adt("A03", "9", "11:40", "V2", "ICU^1^1^GEN"))
    settle(base)
    after = ask(base, f"Location/{before['id']}")
    assert after["meta"]["lastUpdated"] > before["meta"]["lastUpdated"]
    assert [one["extension"][0]["extension"][0]["valueUnsignedInt"] for one in (before, after)] == [
        1,
        0,
    ]


def test_what_is_no_more_is_gone_and_its_history_says_so(base: Caller) -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "x1",
        "status": "planned",
        "class": {"code": "AMB"},
    }
    put(base, visit)
    settle(base)
    (old,) = matches(ask(base, "Encounter?status=planned"))
    # A number of its own gives the visit the id that follows from the number.
    put(base, {**visit, "identifier": [{"system": "urn:vn", "value": "X1"}]})
    settle(base)
    (new,) = matches(ask(base, "Encounter?status=planned"))
    assert new["id"] != old["id"]
    ask(base, f"Encounter/{old['id']}", 410)
    history = ask(base, f"Encounter/{old['id']}/_history")["entry"]
    assert [entry["request"]["method"] for entry in history] == ["DELETE", "PUT"]
    ask(base, f"Encounter/{old['id']}/_history/{old['meta']['versionId']}")
    gone = history[0]["response"]["etag"][3:-1]
    ask(base, f"Encounter/{old['id']}/_history/{gone}", 410)


def test_what_a_reader_has_already_is_not_sent_again(given: Caller) -> None:
    one = all_of(given, "Encounter")[0]
    path = f"/fhir/R4/Encounter/{one['id']}"
    whole = given.get(path)
    tag, modified = whole.headers["ETag"], whole.headers["Last-Modified"]
    assert tag == f'W/"{one["meta"]["versionId"]}"'
    for headers in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"other", {tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": modified},
    ):
        answer = given.get(path, headers=headers)
        assert (answer.status_code, answer.content) == (304, b""), headers
        assert answer.headers["ETag"] == tag
    for headers in (
        {"If-None-Match": 'W/"1"', "If-Modified-Since": modified},
        {"If-Modified-Since": "Sun, 01 Mar 2026 12:00:00 GMT"},
        {"If-Modified-Since": "whenever"},
    ):
        assert given.get(path, headers=headers).status_code == 200, headers


def test_a_batch_reads_as_its_sender_could_by_itself(given: Caller) -> None:
    visit = all_of(given, "Encounter")[0]
    one, every = f"Encounter/{visit['id']}", "Encounter?status=finished&_count=2"
    urls = [
        one,
        every,
        f"{one}/_history",
        "Encounter/nobody",
        "../R5/Patient",
        "Encounter?status:x=y",
    ]
    entries: list[dict[str, Any]] = [{"request": {"method": "GET", "url": url}} for url in urls]
    known = {"method": "GET", "url": one, "ifNoneMatch": f'W/"{visit["meta"]["versionId"]}"'}
    entries += [{"request": known}, {"request": {"method": "GET", "url": "metadata"}}]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = given.post("/fhir/R4", content=json.dumps(bundle), headers=JSON)
    assert judge(answer.json(), Release.R4) == []
    told = answer.json()["entry"]
    statuses = [entry["response"]["status"][:3] for entry in told]
    assert statuses == ["200", "200", "200", "404", "400", "400", "304", "200"]
    for entry, url in zip(told[:3], urls, strict=False):
        assert entry["resource"] == ask(given, url)
    assert told[0]["response"]["etag"] == known["ifNoneMatch"]
    assert told[0]["response"]["lastModified"] == visit["meta"]["lastUpdated"]
    assert told[3]["response"]["outcome"]["issue"][0]["code"] == "not-found"
    whole = {**bundle, "type": "transaction"}
    refused = given.post("/fhir/R4", content=json.dumps(whole), headers=JSON)
    assert refused.status_code == 422


def test_a_batch_reads_so_many_times_and_no_more(given: Caller) -> None:
    asked = {"request": {"method": "GET", "url": "Slot?_summary=count"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [asked] * 102}
    told = given.post("/fhir/R4", content=json.dumps(bundle), headers=JSON).json()["entry"]
    assert [one["response"]["status"][:3] for one in told] == ["200"] * 100 + ["400"] * 2


def test_head_answers_like_get(given: Caller) -> None:
    one = all_of(given, "Encounter")[0]
    for path, status in ((f"Encounter/{one['id']}", 200), ("Encounter/nobody", 404)):
        answer = given.request("HEAD", f"/fhir/R4/{path}")
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("application/fhir+json")


@pytest.mark.parametrize("accepted", ["json", "application/json", "application/fhir+json"])
def test_json_is_asked_for_in_any_of_its_names(given: Caller, accepted: str) -> None:
    ask(given, f"Encounter?_count=1&_format={accepted}", Accept="application/fhir+xml")


def test_an_empty_store_has_nothing_to_give(fresh: Caller) -> None:
    for kind in GIVEN:
        assert ask(fresh, kind)["total"] == 0
        assert "entry" not in ask(fresh, f"{kind}/_history")
