"""What a valid resource says that can hardly be so is a finding, and nothing else is."""

import json
from datetime import UTC, datetime

import pytest

from adapters.fhir import Release, Scope, translate_resource
from twin_core.events import Translation
from twin_core.settings import FhirSettings, LimitSettings

NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
SETTINGS = FhirSettings(source="east")


def noted(resource):
    scope = Scope(source="east", release=Release.R4, settings=SETTINGS, received_at=NOW)
    outcome = translate_resource(json.dumps(resource).encode(), scope, limits=LimitSettings())
    assert isinstance(outcome, Translation), outcome
    return [one.kind for one in outcome.findings if one.kind != "reduced_precision"]


def a_patient(**changed):
    return {"resourceType": "Patient", "id": "p", **changed}


def an_encounter(status, start, end="", *places):
    period = {"start": start, **({"end": end} if end else {})}
    stays = [{"location": {"reference": "Location/a"}, "period": {"start": at}} for at in places]
    return {
        "resourceType": "Encounter",
        "id": "e",
        "status": status,
        "class": {"code": "IMP"},
        "period": period,
        "location": stays,
    }


def an_appointment(status, start=""):
    taking_part = [{"actor": {"reference": "Patient/p"}, "status": "accepted"}]
    stated = {"resourceType": "Appointment", "id": "a", "status": status}
    times = {"start": start, "end": start} if start else {}
    return {**stated, "participant": taking_part, **times}


def an_observation(effective, issued):
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "effectiveDateTime": effective,
        "issued": issued,
    }


def a_procedure(**changed):
    subject = {"reference": "Patient/p"}
    return {"resourceType": "Procedure", "status": "completed", "subject": subject, **changed}


PAST, LATER, FUTURE = "2026-03-01T08:00:00Z", "2026-03-02T08:00:00Z", "2026-04-01T08:00:00Z"
IMPOSSIBLE, CONTRADICTION = ["impossible_date"], ["status_period_mismatch"]


@pytest.mark.parametrize(
    ("resource", "kinds"),
    [
        (a_patient(birthDate="1944-02-01", deceasedDateTime="2026-03-05"), []),
        (a_patient(birthDate="2026-03-06"), []),
        (a_patient(birthDate="2026-03-08"), IMPOSSIBLE),
        (a_patient(birthDate="2027"), IMPOSSIBLE),
        (a_patient(birthDate="1844"), IMPOSSIBLE),
        (a_patient(birthDate="1944-02", deceasedDateTime="1944"), []),
        (a_patient(birthDate="1944-02", deceasedDateTime="1943-12-01"), IMPOSSIBLE),
        (a_patient(deceasedDateTime="2030-01-01"), IMPOSSIBLE),
        (an_encounter("in-progress", PAST), []),
        (an_encounter("finished", PAST, LATER, PAST), []),
        (an_encounter("planned", FUTURE), []),
        (an_encounter("in-progress", FUTURE), IMPOSSIBLE),
        (an_encounter("finished", PAST, FUTURE), IMPOSSIBLE),
        (an_encounter("finished", PAST), CONTRADICTION),
        (an_encounter("arrived", PAST, LATER), CONTRADICTION),
        (an_encounter("in-progress", LATER, "", "2026-02-01T08:00:00Z"), CONTRADICTION),
        (an_appointment("proposed"), []),
        (an_appointment("booked", FUTURE), []),
        (an_appointment("booked"), CONTRADICTION),
        (an_appointment("noshow", FUTURE), CONTRADICTION),
        (an_observation(PAST, LATER), []),
        (an_observation(FUTURE, FUTURE), IMPOSSIBLE),
        (an_observation(LATER, "2026-02-01T08:00:00Z"), CONTRADICTION),
        (a_procedure(performedDateTime=PAST), []),
        (a_procedure(), CONTRADICTION),
        (a_procedure(performedDateTime=FUTURE), IMPOSSIBLE),
    ],
)
def test_what_can_hardly_be_is_a_finding(resource, kinds):
    assert noted(resource) == kinds
