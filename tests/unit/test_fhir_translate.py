"""Each resource type states what its pair in fixtures/fhir says, in every edition."""

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.fhir import (
    TRANSLATORS,
    Release,
    Scope,
    judge,
    retranslate,
    take_body,
    translate_resource,
)
from twin_core.events import (
    EncounterStated,
    LocationStated,
    PatientStated,
    Rejection,
    Translation,
    decode_events,
    encode_events,
)
from twin_core.identifiers import Identifier
from twin_core.settings import FhirSettings, LimitSettings

PAIRS = Path(__file__).parents[2] / "fixtures" / "fhir"
RECEIVED = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
LIMITS = LimitSettings()
SETTINGS = FhirSettings(source="east-wing", facility="EAST", bed_system="urn:example:beds")
CASES = sorted(PAIRS.glob("*.events.json"))


def scope(release=Release.R4, **changed):
    settings = SETTINGS.model_copy(update=changed.pop("settings", {}))
    return Scope(
        source="east-wing", release=release, settings=settings, received_at=RECEIVED, **changed
    )


def translated(resource, release=Release.R4, **changed):
    text = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
    return translate_resource(text, scope(release, **changed), limits=LIMITS)


def an_encounter(**changed):
    return {
        "resourceType": "Encounter",
        "id": "e",
        "status": "in-progress",
        "class": {"code": "IMP"},
        **changed,
    }


def stated(resource, release=Release.R4, **changed):
    outcome = translated(resource, release, **changed)
    assert isinstance(outcome, Translation), outcome
    return outcome.events[0]


def faults(resource, release=Release.R4, **changed):
    outcome = translated(resource, release, **changed)
    assert isinstance(outcome, Rejection), outcome
    return {fault.where: fault.code for fault in outcome.faults}


def findings(resource, release=Release.R4, **changed):
    outcome = translated(resource, release, **changed)
    assert isinstance(outcome, Translation), outcome
    return [finding.kind for finding in outcome.findings]


@pytest.mark.parametrize("expected", CASES, ids=lambda path: path.name.removesuffix(".events.json"))
def test_a_resource_states_what_its_pair_says(expected):
    name, edition = expected.name.split(".")[:2]
    resource = (PAIRS / f"{name}.{edition}.json").read_bytes()
    for release in [Release.R5] if edition == "r5" else [Release.R4, Release.R4B]:
        assert judge(json.loads(resource), release) == []
        outcome = translated(resource, release, settings={"strictness": "strict"})
        assert isinstance(outcome, Translation), outcome
        assert json.loads(encode_events(outcome.events)) == json.loads(expected.read_bytes())
        assert decode_events(encode_events(outcome.events)) == outcome.events


@pytest.mark.parametrize("pair", CASES, ids=lambda path: path.name.removesuffix(".events.json"))
def test_a_file_needs_no_address_to_tell_its_edition(pair):
    resource = (pair.parent / pair.name.replace(".events.", ".")).read_bytes()
    (taken,) = take_body(resource, scope(Release.R4, told=True), LIMITS)
    assert json.loads(encode_events(taken.outcome.events)) == json.loads(pair.read_bytes())


R5_STATUSES = """
planned           planned
in-progress       in-progress
on-hold           onleave
discharged        finished
completed         finished
cancelled         cancelled
discontinued      cancelled
entered-in-error  entered-in-error
unknown           unknown
"""


@pytest.mark.parametrize("row", R5_STATUSES.split("\n")[1:-1])
def test_r5_statuses_are_told_in_r4_codes(row):
    r5, r4 = row.split()
    resource = an_encounter(status=r5, **{"class": [{"coding": [{"code": "IMP"}]}]})
    assert stated(resource, Release.R5).status == r4


@pytest.mark.parametrize(
    ("subject_status", "status"),
    [
        ("arrived", "arrived"),
        ("triaged", "triaged"),
        ("on-leave", "onleave"),
        ("other", "in-progress"),
    ],
)
def test_r5_subject_status_refines_an_encounter_in_progress(subject_status, status):
    resource = an_encounter(
        subjectStatus={"coding": [{"code": subject_status}]},
        **{"class": [{"coding": [{"code": "EMER"}]}]},
    )
    assert stated(resource, Release.R5).status == status


def test_a_status_of_another_edition_is_refused():
    assert faults(an_encounter(status="completed")) == {"Encounter.status": "103"}
    r5 = an_encounter(status="triaged", **{"class": []})
    assert faults(r5, Release.R5)["Encounter.status"] == "103"


def test_every_fault_of_a_resource_is_told_with_its_place():
    resource = an_encounter(
        status="nonsense",
        period={"start": "2026-03-02T10:00:00Z", "end": "2026-03-01T10:00:00Z"},
        location=[{"location": {"reference": "Location/a"}, "status": "lost"}],
        statusHistory=[{"status": "arrived", "period": {"start": "2026-03-02T10:00:00"}}],
    )
    assert faults(resource) == {
        "Encounter.status": "103",
        "Encounter.period": "102",
        "Encounter.location[0].status": "103",
        "Encounter.statusHistory[0].period.start": "102",
    }


def test_lenient_accepts_the_same_with_findings():
    resource = an_encounter(
        status="nonsense",
        period={"start": "2026-03-02T10:00:00Z", "end": "2026-03-01T10:00:00Z"},
        statusHistory=[{"status": "arrived", "period": {"start": "2026-03-02T10:00:00"}}],
    )
    lenient = {"strictness": "lenient"}
    assert sorted(findings(resource, settings=lenient)) == [
        "no_time_zone",
        "reversed_period",
        "unknown_code",
    ]
    encounter = stated(resource, settings=lenient, zone=ZoneInfo("Europe/Berlin"))
    assert encounter.status == "unknown"
    assert encounter.statuses[0].start == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert encounter.visit.discharged_at == encounter.visit.admitted_at


def test_an_element_of_the_wrong_type_is_refused_whatever_the_strictness():
    for strictness in ("lenient", "standard", "strict"):
        wrong = an_encounter(location=[{"status": 7}])
        found = faults(wrong, settings={"strictness": strictness})
        assert found["Encounter.location[0].status"] == "102"


def test_strict_refuses_what_no_type_defines_and_standard_passes_over_it():
    resource = an_encounter(ward="W1")
    assert faults(resource, settings={"strictness": "strict"}) == {"Encounter": "100"}
    assert isinstance(translated(resource), Translation)


def test_required_elements_are_required():
    assert faults({"resourceType": "Encounter"}) == {
        "Encounter.status": "101",
        "Encounter.class": "101",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"contained": [{"resourceType": {"a": 1}}]},
        {"contained": [{"resourceType": "Nonsense", "id": "x"}]},
        {"class": {"code": ["a"]}},
        {"implicitRules": 7},
        {"extension": [{"url": 0, "valueUrl": 0}]},
    ],
)
def test_what_makes_the_judge_stumble_is_refused_like_any_other_fault(changed):
    assert faults(an_encounter(**changed), settings={"strictness": "strict"})


def test_faults_never_repeat_what_was_sent():
    resource = an_encounter(
        status="CANARY", period={"start": "CANARY"}, CANARY={"CANARY": "CANARY"}, id="e"
    )
    for strictness in ("standard", "strict"):
        outcome = translated(resource, settings={"strictness": strictness})
        assert "CANARY" not in str(outcome.faults)


DAYS = """
2026-03-01             2026-03-01T00:00Z  2026-03-02T00:00Z
2026-02                2026-02-01T00:00Z  2026-03-01T00:00Z
2025                   2025-01-01T00:00Z  2026-01-01T00:00Z
2026-03-01T10:00:00Z   2026-03-01T10:00Z  2026-03-01T10:00Z
"""


@pytest.mark.parametrize("row", DAYS.split("\n")[1:-1])
def test_a_period_reaches_to_the_end_of_a_day_month_or_year(row):
    text, start, end = row.split()
    visit = stated(an_encounter(period={"start": text, "end": text})).visit
    assert visit.admitted_at == datetime.fromisoformat(start)
    assert visit.discharged_at == datetime.fromisoformat(end)


def test_a_day_is_a_day_of_the_hospitals_zone():
    encounter = an_encounter(status="planned", period={"start": "2026-07-01"})
    visit = stated(encounter, zone=ZoneInfo("Europe/Berlin")).visit
    assert visit.admitted_at == datetime(2026, 6, 30, 22, 0, tzinfo=UTC)
    assert findings(encounter) == ["reduced_precision"]


ORDERS = """
2026-03-02            2026-03-01            reversed
2026-03-01            2026-03-01            in order
2026-03               2026-02-28            reversed
2026-03               2026-03-01            in order
2026-03-01            2026-02-28T20:00:00Z  in order
2026-03-01            2026-02-27T20:00:00Z  reversed
2026-03-02T10:00:00Z  2026-03-01            in order
2026-03-03T10:00:00Z  2026-03-01            reversed
2026-03-01T10:00:01Z  2026-03-01T10:00:00Z  reversed
"""


@pytest.mark.parametrize("row", ORDERS.split("\n")[1:-1])
def test_a_period_is_reversed_only_where_no_time_zone_could_put_it_right(row):
    start, end, order = row.split(None, 2)
    outcome = translated(an_encounter(period={"start": start, "end": end}))
    assert isinstance(outcome, Rejection) == (order == "reversed")


def test_a_leap_second_is_the_first_of_the_next_minute():
    visit = stated(an_encounter(period={"start": "2016-12-31T23:59:60Z"})).visit
    assert visit.admitted_at == datetime(2017, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:60Z", "9999-12-31", "9999-12-31T23:59:59-14:00", "9999-12", "9999"]
)
def test_the_end_of_time_is_answered_too(text):
    for element in ("start", "end"):
        outcome = translated(an_encounter(period={element: text}))
        assert isinstance(outcome, Translation | Rejection)


def test_an_end_in_the_year_9999_is_an_open_end():
    period = {"start": "2026-03-01T10:00:00Z", "end": "9999-12-31"}
    assert "discharged_at" not in str(encode_events((stated(an_encounter(period=period)),)))


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01",
        "2026-02-30",
        "2026-03-01T10:00Z",
        "2026-03-01 10:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T10:00:00+15:00",
        "0000-01-01",
        "20260301",
        "yesterday",
        "0001-01-01T00:00:00+10:00",
    ],
)
def test_what_is_no_fhir_time_is_refused(text):
    assert faults(an_encounter(period={"start": text}))["Encounter.period.start"] == "102"


REFERENCES = """
Location/1                        east-wing                    Location/1
Location/1/_history/3             east-wing                    Location/1
https://a.example/fhir/Location/1 https://a.example/fhir       Location/1
https://own.example/Location/1    east-wing                    Location/1
urn:uuid:0b3c                     urn:ietf:rfc:3986            urn:uuid:0b3c
http://169.254.169.254/latest/x   urn:ietf:rfc:3986            http://169.254.169.254/latest/x
Location?identifier=urn:x|77      urn:x                        77
"""


@pytest.mark.parametrize("row", REFERENCES.split("\n")[1:-1])
def test_a_reference_becomes_an_identifier_and_is_never_fetched(row):
    address, system, value = row.split()
    resource = {"resourceType": "Location", "id": "x", "partOf": {"reference": address}}
    location = stated(resource, bases=frozenset({"https://own.example"}))
    assert location.part_of.key == (system, value)


def an_identifier(value, kind="", system=""):
    found = {"value": value, **({"system": system} if system else {})}
    return {**found, "type": {"coding": [{"code": kind}]}} if kind else found


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([("V1", "VN", "urn:v"), ("A1", "AN", "urn:a")], ["V1"]),
        ([("A1", "AN", "urn:a")], ["A1"]),
        ([("V1", "VN", "")], []),
        ([("V1", "", "urn:v"), ("7", "", "")], ["V1"]),
    ],
)
def test_an_encounter_is_known_by_numbers_that_are_its_own(given, kept):
    resource = an_encounter(identifier=[an_identifier(*one) for one in given])
    assert [one.value for one in stated(resource).identifiers] == kept


def test_a_group_is_no_patient():
    assert stated(an_encounter(subject={"reference": "Group/g"})).patient == ()


def test_a_bundle_resolves_its_own_addresses():
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": {
                    "resourceType": "Patient",
                    "identifier": [{"system": "urn:mrn", "value": "1"}],
                },
            },
            {
                "fullUrl": "https://ehr.example/r4/Location/w1",
                "resource": {"resourceType": "Location", "id": "w1"},
            },
            {
                "resource": an_encounter(
                    subject={"reference": "urn:uuid:1"},
                    location=[{"location": {"reference": "https://ehr.example/r4/Location/w1"}}],
                )
            },
        ],
    }
    several = take_body(json.dumps(bundle).encode(), scope(), LIMITS)
    patient, location, encounter = (taken.outcome.events[0] for taken in several)
    assert isinstance(patient, PatientStated)
    assert isinstance(location, LocationStated)
    assert isinstance(encounter, EncounterStated)
    assert encounter.patient == (patient.subject,)
    assert encounter.locations[0].place.reference == location.subject


def a_bundle(*resources):
    entries = [{"resource": resource} for resource in resources]
    body = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    return json.dumps(body).encode()


def test_a_bundle_from_quarantine_is_tried_again_as_a_whole():
    whole = retranslate(a_bundle({"resourceType": "Patient"}, an_encounter()), scope(), LIMITS)
    assert [type(event) for event in whole.events] == [PatientStated, EncounterStated]
    broken = retranslate(a_bundle(an_encounter(status="?"), an_encounter()), scope(), LIMITS)
    assert [fault.where for fault in broken.faults] == ["Encounter.status"]
    alone = retranslate(json.dumps(an_encounter()).encode(), scope(), LIMITS)
    assert alone == translated(an_encounter())
    assert isinstance(retranslate(a_bundle(), scope(), LIMITS), Rejection)
    assert isinstance(retranslate(b"{", scope(), LIMITS), Rejection)


def test_without_an_id_the_same_content_gets_the_same_id():
    one = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
    renamed = {**one, "gender": "female"}
    assert stated(one).subject == stated(renamed).subject
    assert stated({"resourceType": "Patient"}).subject != stated(one).subject


def test_a_server_that_only_renews_last_updated_says_nothing_new():
    def told(at):
        meta = {"versionId": "1", "lastUpdated": at}
        return translated(an_encounter(meta=meta)).envelope

    first, again = told("2026-03-01T10:00:00Z"), told("2026-03-04T10:00:00Z")
    assert (first.control_id, first.digest) == (again.control_id, again.digest)
    assert first.control_id == "Encounter/e/1"


def test_a_resource_without_version_stands_for_itself():
    envelope = translated(an_encounter()).envelope
    assert envelope.unversioned
    assert envelope.control_id == "Encounter/e"
    assert envelope.sent_at == RECEIVED


def test_the_order_of_elements_is_no_content():
    turned = dict(reversed(an_encounter().items()))
    assert translated(turned).envelope.digest == translated(an_encounter()).envelope.digest


def test_valid_fhir_that_the_twin_does_not_use_is_received_and_not_applied():
    outcome = translated({"resourceType": "Flag", "id": "o"})
    assert isinstance(outcome, Translation)
    assert outcome.events == ()
    assert outcome.envelope.trigger_event == "FHIR Flag"


@pytest.mark.parametrize(
    ("kind", "release"),
    [("Ward", Release.R5), ("EncounterHistory", Release.R4), ("DeviceUseStatement", Release.R5)],
)
def test_a_type_that_the_edition_does_not_have_is_refused(kind, release):
    assert faults({"resourceType": kind}, release) == {"resourceType": "200"}


def test_a_logical_reference_is_the_identifier_it_names():
    resource = an_encounter(subject={"identifier": {"system": "urn:mrn", "value": "1"}})
    assert stated(resource).patient == (Identifier("urn:mrn", "1"),)


def test_a_bed_that_cannot_be_read_is_no_place():
    resource = {
        "resourceType": "Location",
        "id": "b",
        "identifier": [{"system": "urn:example:beds", "value": "GH"}],
    }
    assert not stated(resource).place
    assert findings(resource) == ["missing_identifier"]


def test_the_reference_page_lists_what_is_used():
    page = (PAIRS.parents[1] / "docs" / "reference" / "fhir.md").read_text()
    listed = page.split("## What is used")[1].split("Every other type")[0]
    rows = [line.split("|")[1].strip() for line in listed.splitlines() if line.startswith("| ")]
    assert set(rows) == {"Resource", *TRANSLATORS}
