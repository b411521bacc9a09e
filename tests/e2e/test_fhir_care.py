"""FHIR results and appointments into a real store, in whatever order they come."""

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.files import Found
from api.translating import Reader
from twin_core import Twin
from twin_core.settings import FhirSettings, Settings

SETTINGS = Settings(fhir=FhirSettings(facility="GH", bed_system="urn:example:beds"))
NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)

PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female"}
ROOM = {
    "resourceType": "Location",
    "id": "or1",
    "identifier": [{"system": "urn:example:beds", "value": "GH/OR/1"}],
}
ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "in-progress",
    "class": {"code": "IMP"},
    "subject": {"reference": "Patient/p1"},
}


def meta(version):
    return {"versionId": str(version), "lastUpdated": f"2026-03-01T08:00:{version:02}Z"}


def an_observation(version=1, **changed):
    return {
        "resourceType": "Observation",
        "id": "o1",
        "meta": meta(version),
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2026-03-01T07:00:00Z",
        "valueQuantity": {"value": 72, "code": "/min", "system": "http://unitsofmeasure.org"},
        **changed,
    }


def an_appointment(version=1, **changed):
    actors = ("Patient/p1", "Location/or1", "Practitioner/d1")
    return {
        "resourceType": "Appointment",
        "id": "a1",
        "meta": meta(version),
        "status": "booked",
        "identifier": [{"system": "GH", "value": "F-1"}],
        "start": "2026-03-09T08:00:00Z",
        "end": "2026-03-09T09:30:00Z",
        "created": "2026-02-20T10:00:00Z",
        "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in actors],
        **changed,
    }


def a_deletion(subject, second):
    told = {"status": "204", "lastModified": f"2026-03-01T08:00:{second:02}.000Z"}
    gone = {"request": {"method": "DELETE", "url": subject}, "response": told}
    return {"resourceType": "Bundle", "type": "history", "entry": [gone]}


def take(twin, *resources):
    for resource in resources:
        text = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
        kind = "hl7v2" if text.startswith(b"MSH") else "fhir"
        receipts = list(Reader(SETTINGS, None, NOW).receipts(Found(text, 0, kind), "x"))
        for answer in twin.receive(receipts):
            assert answer.status in ("accepted", "duplicate"), receipts
        twin.wait_applied()


@pytest.fixture
def twin(tmp_path):
    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as opened:
        yield opened


def rows(twin, sql):
    return [tuple(row.values()) for row in twin.query(sql)]


def open_references(twin):
    asked = "SELECT detail FROM twin.finding WHERE kind = 'unresolved_reference'"
    return sorted(detail.partition(" nobody")[0] for (detail,) in rows(twin, asked))


RESULT = "SELECT code, status, value, value_number, unit FROM twin.observation ORDER BY ALL"


def test_a_result_is_that_of_its_latest_version_and_its_components_are_results(twin):
    take(twin, an_observation(2, status="amended", valueQuantity={"value": 75.5, "unit": "bpm"}))
    take(twin, an_observation(1))
    assert rows(twin, RESULT) == [("8867-4", "amended", "75.5", 75.5, "bpm")]
    code = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}
    component = [{"code": code, "valueInteger": 140}, {"code": code, "valueString": "x" * 300}]
    panel = {**an_observation(3), "component": component}
    del panel["valueQuantity"]
    take(twin, panel)
    assert rows(twin, "SELECT sub_id, value, withheld FROM twin.observation ORDER BY ALL") == [
        ("1", "140", None),
        ("2", None, "narrative"),
    ]
    take(twin, a_deletion("Observation/o1", 4))
    assert rows(twin, RESULT) == []


def test_open_references_are_listed_until_they_resolve_in_any_order(tmp_path):
    resources = [an_observation(), an_appointment(), PATIENT, ENCOUNTER, ROOM]
    seen = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(resources), 0, 120, 29)):
        with Twin.open(tmp_path / f"{number}.duckdb", settings=SETTINGS) as twin:
            take(twin, *order[:3])
            take(twin, *order[3:])
            assert open_references(twin) == []
            ids = "SELECT patient_id, encounter_id FROM twin.observation"
            place = "SELECT patient_id, unit, location_id, booked_at FROM twin.appointment"
            seen.add((*rows(twin, ids), *rows(twin, place)))
    assert len(seen) == 1


def test_what_nobody_describes_is_a_finding_and_so_is_what_was_deleted(twin):
    take(twin, an_observation(), an_appointment())
    assert open_references(twin) == ["a Location", "a Patient", "a Patient", "an Encounter"]
    take(twin, {**PATIENT, "meta": meta(1)}, ROOM, ENCOUNTER)
    assert open_references(twin) == []
    take(twin, a_deletion("Patient/p1", 2))
    assert open_references(twin) == ["a Patient", "a Patient", "a Patient"]


def test_a_reference_to_another_record_than_the_visits_own_resolves_too(twin):
    admission = (
        b"MSH|^~\\&|ADT|GH|T|T|20260301090000||ADT^A01|1|P|2.5\rEVN||20260301090000\r"
        b"PID|||4711^^^MRN\rPV1||I|W1^42^1^GH||||||||||||||||V1^^^VN\r"
    )
    take(twin, admission)
    (visit,) = twin.query("SELECT system, value FROM twin.encounter_identifier")
    take(twin, {**ENCOUNTER, "meta": meta(1), "identifier": [visit]})
    assert open_references(twin) == ["a Patient"]
    take(twin, PATIENT)
    assert open_references(twin) == []


BOOKED = "SELECT status, starts_at, duration_minutes, unit, room, service FROM twin.appointment"


def test_an_appointment_is_one_whichever_way_it_arrives(twin):
    booking = (
        b"MSH|^~\\&|SCH|GH|T|T|20260220080000||SIU^S12|1|P|2.5\r"
        b"SCH||F-1^GH|||||||||^^90^20260309080000\rPID|||4711^^^MRN\rRGS|1\r"
        b"AIS|1||HIP^Hip replacement^L\rAIL|1||OR^1^^GH\r"
    )
    take(twin, booking)
    (identifier,) = rows(twin, "SELECT system, value FROM twin.appointment_identifier")
    named = [{"system": identifier[0], "value": identifier[1]}]
    take(twin, ROOM, an_appointment(1, identifier=named, status="cancelled"))
    start = datetime(2026, 3, 9, 8, tzinfo=UTC)
    assert rows(twin, BOOKED) == [("cancelled", start, 90, "OR", "1", "HIP")]
    assert rows(twin, "SELECT count(*) FROM twin.appointment_identifier") == [(2,)]
    take(twin, a_deletion("Appointment/a1", 30))
    assert rows(twin, BOOKED) == [("booked", start, 90, "OR", "1", "HIP")]


def test_a_deleted_appointment_was_entered_in_error(twin):
    take(twin, an_appointment(1), a_deletion("Appointment/a1", 2))
    assert rows(twin, "SELECT status FROM twin.appointment") == [("entered-in-error",)]
    take(twin, an_appointment(3, status="arrived"))
    assert rows(twin, "SELECT status FROM twin.appointment") == [("arrived",)]


def test_a_cancelled_appointment_keeps_when_it_was_cancelled_through_later_versions(twin):
    versions = [an_appointment(1), an_appointment(5, status="cancelled")]
    later = an_appointment(9, status="cancelled", description="told again")
    take(twin, later, *versions)
    asked = "SELECT status, cancelled_at, booked_at FROM twin.appointment"
    booked = datetime(2026, 2, 20, 10, tzinfo=UTC)
    assert rows(twin, asked) == [("cancelled", datetime(2026, 3, 1, 8, 0, 5, tzinfo=UTC), booked)]


PAIRS = Path(__file__).parents[2] / "fixtures" / "fhir"


def a_pair(name):
    return (PAIRS / f"{name}.r4.json").read_bytes()


KINDS = ("slot", "schedule", "task", "servicerequest", "procedure", "devicemetric")


@pytest.mark.parametrize("kinds", [KINDS, KINDS[::-1]])
def test_requests_tasks_procedures_and_capacity_have_tables(twin, kinds):
    take(twin, *(a_pair(kind) for kind in kinds))
    schedule = rows(twin, "SELECT schedule_id, code, performer FROM twin.schedule")
    assert [row[1:] for row in schedule] == [("EYE", "Practitioner/d1")]
    starts = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert rows(twin, "SELECT schedule_id, status, starts_at FROM twin.slot") == [
        (schedule[0][0], "free", starts)
    ]
    ((request,),) = rows(twin, "SELECT service_request_id FROM twin.service_request")
    assert rows(twin, "SELECT focus, status, priority FROM twin.task") == [
        (request, "completed", "urgent")
    ]
    done = "SELECT requested_by, code, started_at FROM twin.procedure"
    assert rows(twin, done) == [(request, "52734007", starts)]
    assert rows(twin, "SELECT status, category, code, unit FROM twin.device_metric") == [
        ("on", "measurement", "150456", "262688")
    ]
    assert set(open_references(twin)) == {"a Device", "a Location", "a Patient", "an Encounter"}
    take(twin, PATIENT, ENCOUNTER, {**ROOM, "id": "or1"})
    assert open_references(twin) == ["a Device"]
    take(twin, {"resourceType": "Device", "id": "d1", "meta": meta(1)})
    assert open_references(twin) == []
    told = {"status": "204", "lastModified": "2026-03-02T10:00:00.000Z"}
    gone = {"request": {"method": "DELETE", "url": "ServiceRequest/s1"}, "response": told}
    take(twin, {"resourceType": "Bundle", "type": "history", "entry": [gone]})
    assert open_references(twin) == ["a ServiceRequest", "a ServiceRequest"]
    take(twin, a_deletion("Device/d1", 2))
    assert open_references(twin) == ["a Device", "a ServiceRequest", "a ServiceRequest"]


def test_a_requested_admission_is_a_milestone_for_as_long_as_the_request_stands(twin):
    reached = (
        'SELECT kind, "at" FROM twin.encounter_milestone JOIN twin.encounter USING (encounter_id)'
    )
    take(twin, a_pair("servicerequest"))
    take(twin, ENCOUNTER, PATIENT)
    asked_at = datetime(2026, 3, 2, 6, tzinfo=UTC)
    assert rows(twin, reached) == [("bed_requested", asked_at)]
    revoked = json.loads(a_pair("servicerequest"))
    revoked["status"], revoked["meta"]["lastUpdated"] = "revoked", "2026-03-02T07:00:00Z"
    take(twin, revoked)
    assert rows(twin, reached) == []
    # The visit turns out to have a number: its milestones follow it.
    take(twin, a_pair("task"))
    number = [{"system": "urn:visits", "value": "V1"}]
    take(twin, {**ENCOUNTER, "identifier": number, "meta": meta(9)})
    assert [kind for kind, _ in rows(twin, reached)] == ["discharge_ready"]


def test_roles_and_services_are_in_the_directory(twin):
    role = {"resourceType": "PractitionerRole", "id": "r1", "code": [{"text": "Surgeon"}]}
    service = {"resourceType": "HealthcareService", "id": "h1", "name": "Eye clinic"}
    take(twin, role, service)
    listed = "SELECT resource_type, name, active FROM twin.directory ORDER BY ALL"
    assert rows(twin, listed) == [
        ("HealthcareService", "Eye clinic", True),
        ("PractitionerRole", "Surgeon", True),
    ]
