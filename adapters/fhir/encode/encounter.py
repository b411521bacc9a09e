"""A visit as a FHIR Encounter, with the histories of its status, its class and its places."""

from collections.abc import Iterable

from adapters.fhir.codes import ACT_CODE, ATTENDER
from adapters.fhir.encode.words import (
    Json,
    Parts,
    Row,
    absent,
    code,
    coding,
    facility,
    identifiers,
    instant,
    local,
    named,
    period,
    reference,
    source_system,
    text,
)
from adapters.fhir.extensions import MILESTONE

PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
CONSULTANT = "CON"


def encounter(parts: Parts) -> Json:
    """The visit. Beds that are planned stand beside those that were taken, as planned."""
    (row,) = parts["encounter"]
    return {
        "resourceType": "Encounter",
        "extension": [
            _milestone(one, own=one.get("owner") == row.get("owner"))
            for one in _in_order(parts["encounter_milestone"], "at")
        ],
        "identifier": identifiers(parts["encounter_identifier"]),
        "status": code(row["status"]) or "unknown",
        "statusHistory": [
            {"status": one["status"], "period": period(one["from_at"], one["to_at"])}
            for one in _in_order(parts["encounter_status"], "from_at")
        ],
        "class": _class(row["class"]),
        "classHistory": [
            {"class": _class(one["class"]), "period": period(one["from_at"], one["to_at"])}
            for one in _in_order(parts["encounter_class"], "from_at")
        ],
        "serviceType": local(row["service"]),
        "subject": reference("Patient", row["patient_id"]),
        "participant": list(_participants(row, parts)),
        "period": period(row["admitted_at"], row["discharged_at"]),
        "hospitalization": {
            "admitSource": local(row["admit_source"]),
            "dischargeDisposition": local(row["disposition"]),
        },
        "location": [*_stays(parts), *_planned(parts)],
        "serviceProvider": facility(row["facility"]),
        "partOf": reference("Encounter", row["part_of"]),
    }


def _in_order(rows: Iterable[Row], name: str) -> list[Row]:
    """Rows by an instant; those that have none cannot be told as history."""
    return sorted((row for row in rows if row[name] is not None), key=lambda row: str(row[name]))


def _class(value: object) -> Json:
    return coding(ACT_CODE, value) if code(value) else absent()


def _milestone(row: Row, *, own: bool) -> Json:
    """A milestone; one that follows from a request or a task says so, for these tell it, too."""
    told = [
        {"url": "kind", "valueCode": code(row["kind"])},
        {"url": "at", "valueDateTime": instant(row["at"])},
    ]
    if not own:
        told.append({"url": "elsewhere", "valueBoolean": True})
    return {"url": MILESTONE, "extension": told}


def _participants(row: Row, parts: Parts) -> Iterable[Json]:
    if text(row["attending"]):
        yield _participant(ATTENDER, row["attending"])
    for one in sorted(parts["encounter_consultant"], key=lambda each: str(each["practitioner"])):
        yield _participant(CONSULTANT, one["practitioner"])


def _participant(role: str, who: object) -> Json:
    """Someone of the staff by the number that the feed gave; whose number it is, is not kept."""
    return {
        "type": [{"coding": [coding(PARTICIPATION, role)]}],
        "individual": named("Practitioner", source_system("staff"), who),
    }


def _stays(parts: Parts) -> Iterable[Json]:
    for row in _in_order(parts["stay"], "from_at"):
        yield {
            "location": _place(row),
            "status": "active" if row["to_at"] is None else "completed",
            "period": period(row["from_at"], row["to_at"]),
        }


def _planned(parts: Parts) -> Iterable[Json]:
    for row in _in_order(parts["encounter_plan"], "stated_at"):
        if row["status"] == "active" and row["location_id"]:
            yield {
                "location": _place(row),
                "status": "planned",
                "period": period(row["expected_at"], None),
            }


def _place(row: Row) -> Json | None:
    path = (text(row[level]) for level in ("facility", "unit", "room", "bed"))
    return reference("Location", row["location_id"], " ".join(part for part in path if part))
