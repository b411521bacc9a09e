"""FHIR over HTTP into a real store: what analysts find in the tables afterwards."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from adapters.files import Found
from api.routes.fhir import fhir_router
from api.translating import Reader
from twin_core import Twin
from twin_core.settings import FhirSettings, Settings

SETTINGS = Settings(fhir=FhirSettings(facility="GH", bed_system="urn:example:beds"))
ADMITTED = "2026-03-01T08:00:00+00:00"


@pytest.fixture
def twin(tmp_path):
    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as opened:
        yield opened


def send(twin, *requests, headers=None):
    """Requests (method, path, body) one after another to one application, then the answers."""
    app = FastAPI()
    app.include_router(fhir_router(twin))

    async def all_of_them():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://twin.test") as client:
            return [
                await client.request(method, path, json=body, headers=headers)
                for method, path, body in requests
            ]

    answers = asyncio.run(all_of_them())
    twin.wait_applied()
    return answers


def put(resource):
    address = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": address}}


def a_location(id_, kind, part_of="", bed="", **changed):
    resource = {
        "resourceType": "Location",
        "id": id_,
        "status": "active",
        "physicalType": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/location-physical-type",
                    "code": kind,
                }
            ]
        },
        **changed,
    }
    if part_of:
        resource["partOf"] = {"reference": f"Location/{part_of}"}
    if bed:
        resource["identifier"] = [{"system": "urn:example:beds", "value": bed}]
    return resource


def an_encounter(*locations, status="in-progress", end=None, **changed):
    period = {"start": ADMITTED, **({"end": end} if end else {})}
    return {
        "resourceType": "Encounter",
        "id": "e1",
        "status": status,
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/p1"},
        "identifier": [{"system": "urn:vn", "value": "V1"}],
        "period": period,
        "location": list(locations),
        **changed,
    }


def was_at(place, start, end=None):
    period = {"start": start, **({"end": end} if end else {})}
    status = "completed" if end else "active"
    return {"location": {"reference": f"Location/{place}"}, "status": status, "period": period}


HOSPITAL = [
    put(a_location("w1", "wa", bed="GH/W1")),
    put(a_location("r42", "ro", part_of="w1", bed="GH/W1/42")),
    put(a_location("b1", "bd", part_of="r42", bed="GH/W1/42/1")),
    put(a_location("b2", "bd", part_of="r42", bed="GH/W1/42/2")),
]
PERSON = {
    "resourceType": "Patient",
    "id": "p1",
    "gender": "female",
    "birthDate": "1944-02",
    "identifier": [{"system": "urn:mrn", "value": "4711"}],
}


def bundle(*entries, kind="transaction"):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def test_a_hospital_a_patient_and_a_stay(twin):
    moved = "2026-03-02T09:30:00+00:00"
    encounter = an_encounter(was_at("b1", ADMITTED, moved), was_at("b2", moved))
    (answer,) = send(twin, ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON), put(encounter))))
    assert answer.status_code == 200
    assert {one["response"]["status"] for one in answer.json()["entry"]} == {"201 Created"}

    (patient,) = twin.query("SELECT patient_id, sex, birth_date_precision FROM twin.patient")
    assert (patient["sex"], patient["birth_date_precision"]) == ("female", "month")
    (row,) = twin.query(
        'SELECT patient_id, facility, "class", status, admitted_at, discharged_at '
        "FROM twin.encounter"
    )
    assert row == {
        "patient_id": patient["patient_id"],
        "facility": "GH",
        "class": "IMP",
        "status": "in-progress",
        "admitted_at": datetime(2026, 3, 1, 8, 0, tzinfo=UTC),
        "discharged_at": None,
    }
    stays = twin.query(
        "SELECT facility, unit, room, bed, from_at, to_at FROM twin.stay ORDER BY from_at"
    )
    at, then = datetime(2026, 3, 1, 8, 0, tzinfo=UTC), datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    assert [tuple(stay.values()) for stay in stays] == [
        ("GH", "W1", "42", "1", at, then),
        ("GH", "W1", "42", "2", then, None),
    ]


def test_a_later_version_supersedes_the_earlier_one(twin):
    end = "2026-03-03T12:00:00+00:00"
    send(
        twin,
        ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON))),
        ("PUT", "/fhir/R4/Encounter/e1", an_encounter(was_at("b1", ADMITTED))),
        (
            "PUT",
            "/fhir/R4/Encounter/e1",
            an_encounter(was_at("b1", ADMITTED, end), status="finished", end=end),
        ),
    )
    (row,) = twin.query("SELECT status, discharged_at FROM twin.encounter")
    assert row == {"status": "finished", "discharged_at": datetime(2026, 3, 3, 12, 0, tzinfo=UTC)}
    (stay,) = twin.query("SELECT bed, to_at FROM twin.stay")
    assert stay == {"bed": "1", "to_at": datetime(2026, 3, 3, 12, 0, tzinfo=UTC)}


def test_a_bed_goes_dirty_and_clean_again(twin):
    def bed(code):
        return a_location("b1", "bd", bed="GH/W1/42/1", operationalStatus={"code": code})

    answers = send(twin, *[("PUT", "/fhir/R4/Location/b1", bed(code)) for code in "UHUU"])
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    assert answers[3].headers["ETag"] == answers[2].headers["ETag"]
    (row,) = twin.query("SELECT operational_status FROM twin.location WHERE bed = '1'")
    assert row["operational_status"] == "U"
    history = twin.query(
        "SELECT operational_status, staffed FROM twin.location_status ORDER BY from_at NULLS FIRST"
    )
    # An active bed was there before it was first stated, in a condition that nobody knows.
    assert [one["operational_status"] for one in history] == [None, "U", "H", "U"]
    assert [one["staffed"] for one in history] == [True] * 4


def test_if_none_exist_finds_what_the_store_knows(twin):
    created, found, other = (
        send(twin, ("POST", "/fhir/R4/Patient", person), headers={"If-None-Exist": asked})[0]
        for person, asked in (
            (PERSON, "identifier=urn:mrn|4711"),
            ({**PERSON, "id": "p2"}, "identifier=urn:mrn|4711"),
            ({**PERSON, "id": "p3"}, "identifier=urn:mrn|9999"),
        )
    )
    assert (created.status_code, found.status_code, other.status_code) == (201, 200, 201)
    assert found.headers["Location"] == "http://twin.test/fhir/R4/Patient/p1"
    people = twin.query("SELECT value FROM twin.patient_identifier WHERE type = 'reference'")
    assert sorted(str(one["value"]) for one in people) == ["Patient/p1", "Patient/p3"]


def test_a_put_after_a_restart_is_still_an_update(tmp_path):
    path = tmp_path / "twin.duckdb"
    for status in (201, 200):
        with Twin.open(path, settings=SETTINGS) as twin:
            person = {**PERSON, "active": status == 201}
            (answer,) = send(twin, ("PUT", "/fhir/R4/Patient/p1", person))
            assert answer.status_code == status


def test_an_r5_encounter_gives_the_same_stay(twin):
    encounter = {
        "resourceType": "Encounter",
        "id": "e5",
        "status": "completed",
        "class": [{"coding": [{"code": "IMP"}]}],
        "subject": {"reference": "Patient/p1"},
        "actualPeriod": {"start": ADMITTED, "end": "2026-03-02T08:00:00Z"},
        "location": [was_at("b2", ADMITTED, "2026-03-02T08:00:00Z")],
    }
    bed = a_location("b2", "bd", bed="GH/W1/42/2")
    bed["form"] = bed.pop("physicalType")
    (answer,) = send(twin, ("POST", "/fhir/R5", bundle(put(bed), put(PERSON), put(encounter))))
    assert answer.status_code == 200, answer.text
    (row,) = twin.query("SELECT status FROM twin.encounter")
    assert row["status"] == "finished"
    (stay,) = twin.query("SELECT unit, bed FROM twin.stay")
    assert stay == {"unit": "W1", "bed": "2"}


def test_a_refused_transaction_changes_nothing(twin):
    broken = an_encounter(status="nonsense")
    (answer,) = send(twin, ("POST", "/fhir/R4", bundle(put(PERSON), put(broken))))
    assert answer.status_code == 422
    assert twin.query("SELECT * FROM twin.patient") == []
    (message,) = twin.quarantined()
    assert message.trigger_event == "FHIR Bundle"


def test_a_merge_leads_to_the_surviving_patient(twin):
    old = {
        **PERSON,
        "id": "p0",
        "active": False,
        "identifier": [{"system": "urn:mrn", "value": "0815"}],
        "link": [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}],
    }
    encounter = an_encounter(was_at("b1", ADMITTED), subject={"reference": "Patient/p0"})
    send(twin, ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON), put(encounter), put(old))))
    (row,) = twin.query(
        "SELECT i.value FROM twin.encounter e JOIN twin.patient p USING (patient_id) "
        "JOIN twin.patient_identifier i USING (patient_id) "
        "WHERE p.merged_into IS NULL AND i.value = '4711'"
    )
    assert row["value"] == "4711"
    merged = twin.query("SELECT merged_into FROM twin.patient WHERE merged_into IS NOT NULL")
    assert len(merged) == 1


def test_a_ward_of_beds_is_taken_and_stated_again_in_one_bundle(twin):
    beds = [put(a_location(f"b{n}", "bd", part_of="w1", bed=f"GH/W1/1/{n}")) for n in range(1_200)]
    first, again = send(twin, *[("POST", "/fhir/R4", bundle(*beds, kind="batch"))] * 2)
    assert {one["response"]["status"] for one in first.json()["entry"]} == {"201 Created"}
    assert first.content == again.content
    (row,) = twin.query("SELECT count(*) AS beds FROM twin.location WHERE kind = 'bd'")
    assert row["beds"] == 1_200
    tallies = {(tally.feed, tally.outcome): tally.messages for tally in twin.tallies()}
    assert tallies == {("fhir", "accepted"): 1_200, ("fhir", "duplicate"): 1_200}


def census(twin):
    return twin.query("SELECT bed FROM twin.stay WHERE to_at IS NULL")


def state_of(twin):
    (row,) = twin.query("SELECT status, class, discharged_at FROM twin.encounter")
    return row["status"], row["class"], row["discharged_at"]


def versioned(version, **changed):
    meta = {"versionId": str(version), "lastUpdated": f"2026-03-01T08:00:0{version}Z"}
    return an_encounter(was_at("b1", ADMITTED), meta=meta, **changed)


def test_a_deleted_encounter_leaves_the_census_and_stays_in_the_journal(twin):
    send(twin, ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON))))
    send(twin, ("PUT", "/fhir/R4/Encounter/e1", versioned(1)))
    assert [row["bed"] for row in census(twin)] == ["1"]
    send(twin, ("DELETE", "/fhir/R4/Encounter/e1?source=another", None))
    assert [row["bed"] for row in census(twin)] == ["1"]
    (answer,) = send(twin, ("DELETE", "/fhir/R4/Encounter/e1", None))
    assert answer.status_code == 204
    assert census(twin) == []
    assert state_of(twin) == ("entered-in-error", "IMP", None)
    assert twin.query("SELECT * FROM twin.encounter_identifier WHERE value = 'V1'")
    told = twin.query(
        "SELECT kind FROM twin.event WHERE encounter_id IS NOT NULL ORDER BY event_id"
    )
    assert [row["kind"] for row in told] == ["EncounterStated", "Withdrawn"]


def test_a_later_version_revives_a_deleted_encounter_and_an_earlier_one_does_not(twin):
    send(twin, ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON))))
    send(twin, ("PUT", "/fhir/R4/Encounter/e1", versioned(2)))
    send(twin, ("DELETE", "/fhir/R4/Encounter/e1", None))
    send(twin, ("PUT", "/fhir/R4/Encounter/e1", versioned(1, status="arrived")))
    assert state_of(twin)[0] == "entered-in-error"
    send(twin, ("PUT", "/fhir/R4/Encounter/e1", versioned(4)))
    assert state_of(twin)[0] == "in-progress"
    assert [row["bed"] for row in census(twin)] == ["1"]
    send(twin, ("DELETE", "/fhir/R4/Encounter/e1", None))
    assert census(twin) == []


def test_a_delete_withdraws_nothing_that_hl7_said(twin):
    admission = (
        b"MSH|^~\\&|ADT|GH|T|T|20260301080000||ADT^A01|1|P|2.5\r"
        b"EVN||20260301080000\rPID|||4711^^^MRN\rPV1||I|W1^42^1^GH||||||||||||||||V1^^^VN\r"
    )
    reader = Reader(SETTINGS, None, datetime(2026, 3, 1, 8, 1, tzinfo=UTC))
    (answer,) = twin.receive(list(reader.receipts(Found(admission, 0, "hl7v2"), "x")))
    assert answer.code == "AA"
    twin.wait_applied()
    visit = twin.query("SELECT system, value FROM twin.encounter_identifier")[0]
    send(twin, ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON))))
    same = versioned(1, status="finished", identifier=[visit])
    send(twin, ("PUT", "/fhir/R4/Encounter/e1", same))
    assert twin.query("SELECT kind FROM twin.finding WHERE kind = 'source_disagreement'")
    send(twin, ("DELETE", "/fhir/R4/Encounter/e1", None))
    assert state_of(twin)[0] == "in-progress"
    assert [row["bed"] for row in census(twin)] == ["1"]
    assert not twin.query("SELECT kind FROM twin.finding WHERE kind = 'source_disagreement'")


def test_a_deleted_patient_bed_and_device_are_gone_and_what_named_them_says_so(twin):
    device = {"resourceType": "Device", "id": "d1", "serialNumber": "9"}
    device["identifier"] = [{"system": "urn:serial", "value": "9"}]
    send(twin, ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON), put(device))))
    send(twin, ("PUT", "/fhir/R4/Encounter/e1", versioned(1)))
    assert not twin.query("SELECT * FROM twin.finding WHERE kind = 'unresolved_reference'")
    for gone in ("Patient/p1", "Location/b2", "Location/b1", "Device/d1"):
        send(twin, ("DELETE", f"/fhir/R4/{gone}", None))
    assert twin.query("FROM twin.patient") == []
    assert twin.query("FROM twin.patient_identifier") == []
    assert twin.query("FROM twin.device") == []
    beds = twin.query("SELECT bed FROM twin.location WHERE kind = 'bd'")
    assert beds == []
    details = twin.query("SELECT detail FROM twin.finding WHERE kind = 'unresolved_reference'")
    assert {str(row["detail"]).partition(":")[0] for row in details} == {
        "a Patient nobody has described",
        "a Location nobody has described",
    }
    again = {**PERSON, "birthDate": "1950"}
    send(
        twin,
        ("PUT", "/fhir/R4/Patient/p1", again),
        ("PUT", "/fhir/R4/Location/b1", HOSPITAL[2]["resource"] | {"name": "Bed 1"}),
    )
    assert [row["bed"] for row in census(twin)] == ["1"]
    assert not twin.query("SELECT * FROM twin.finding WHERE kind = 'unresolved_reference'")
    assert len(twin.query("FROM twin.patient")) == 1


def test_deletes_outlive_a_restart_and_a_rebuild(tmp_path):
    path = tmp_path / "twin.duckdb"
    with Twin.open(path, settings=SETTINGS) as twin:
        send(twin, ("POST", "/fhir/R4", bundle(*HOSPITAL, put(PERSON))))
        send(twin, ("PUT", "/fhir/R4/Encounter/e1", versioned(1)))
        send(twin, ("DELETE", "/fhir/R4/Location/b2", None))
        send(twin, ("DELETE", "/fhir/R4/Encounter/e1", None))
    with Twin.open(path, settings=SETTINGS) as twin:
        beds = twin.query("SELECT bed FROM twin.location WHERE kind = 'bd'")
        assert [row["bed"] for row in beds] == ["1"]
        send(twin, ("PUT", "/fhir/R4/Encounter/e1", versioned(1, status="arrived")))
        assert state_of(twin)[0] == "entered-in-error"
        before = {
            table: twin.query(f"FROM {table}") for table in ("twin.encounter", "twin.location")
        }
        twin.rebuild()
        for table, rows in before.items():
            assert twin.query(f"FROM {table}") == rows
