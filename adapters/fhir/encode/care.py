"""Procedures, requests, tasks, schedules, slots and metrics as the FHIR resources they came as."""

from collections.abc import Iterable
from datetime import datetime

from adapters.fhir.encode.words import (
    Json,
    Parts,
    Row,
    absent,
    code,
    concept,
    identifiers,
    instant,
    local,
    named,
    period,
    reference,
    source_system,
    text,
)
from twin_core.identifiers import REFERENCE

_ACTORS = frozenset(
    "Practitioner PractitionerRole Organization CareTeam Patient RelatedPerson Device "
    "HealthcareService Location".split()
)


def procedure(parts: Parts) -> Json:
    """What was done to a patient, when and where."""
    (row,) = parts["procedure"]
    actor = _actor(parts, row)
    return {
        "resourceType": "Procedure",
        "identifier": identifiers(parts["care_identifier"]),
        "basedOn": list(_linked(parts, "ServiceRequest")),
        **_required("status", row["status"]),
        "code": _concept(row),
        **_whose(row),
        **_when("performed", row["started_at"], row["ended_at"]),
        "performer": [{"actor": actor}] if actor else [],
        "location": reference("Location", row["location_id"]),
    }


def service_request(parts: Parts) -> Json:
    """What was asked for."""
    (row,) = parts["service_request"]
    return {
        "resourceType": "ServiceRequest",
        "identifier": identifiers(parts["care_identifier"]),
        "basedOn": list(_linked(parts, "ServiceRequest")),
        **_asked(row),
        "code": _concept(row),
        **_whose(row),
        **_when("occurrence", row["starts_at"], row["ends_at"]),
        "authoredOn": instant(row["authored_at"]),
        "performer": [_actor(parts, row)],
    }


def task(parts: Parts) -> Json:
    """What somebody is to do, and how far it is."""
    (row,) = parts["task"]
    return {
        "resourceType": "Task",
        "identifier": identifiers(parts["care_identifier"]),
        **_asked(row),
        "code": _concept(row),
        "focus": next(iter(_linked(parts)), None),
        "for": reference("Patient", row["patient_id"]),
        "encounter": reference("Encounter", row["encounter_id"]),
        "executionPeriod": period(row["starts_at"], row["ends_at"]),
        "authoredOn": instant(row["authored_at"]),
        "owner": _actor(parts, row),
    }


def schedule(parts: Parts) -> Json:
    """Whose time, or which room's, can be booked; somebody or something always."""
    (row,) = parts["schedule"]
    actors = [reference("Location", row["location_id"]), _actor(parts, row)]
    return {
        "resourceType": "Schedule",
        "identifier": identifiers(parts["care_identifier"]),
        "active": row["status"] != "inactive",
        "serviceType": [_concept(row)],
        "actor": [one for one in actors if one] or [absent()],
        "planningHorizon": period(row["from_at"], row["to_at"]),
    }


def slot(parts: Parts) -> Json:
    """A time of a schedule that can be booked, or is."""
    (row,) = parts["slot"]
    return {
        "resourceType": "Slot",
        "identifier": identifiers(parts["care_identifier"]),
        "serviceType": [_concept(row)],
        "schedule": reference("Schedule", row["schedule_id"]) or absent(),
        **_required("status", row["status"]),
        **_required("start", instant(row["starts_at"])),
        **_required("end", instant(row["ends_at"])),
    }


def device_metric(parts: Parts) -> Json:
    """What a device measures or lets be set."""
    (row,) = parts["device_metric"]
    return {
        "resourceType": "DeviceMetric",
        "identifier": identifiers(parts["care_identifier"]),
        "type": _concept(row) or absent(),
        "unit": local(row["unit"]),
        "source": reference("Device", row["device_id"]),
        "operationalStatus": code(row["status"]),
        **_required("category", row["category"]),
    }


def _required(name: str, told: object) -> Json:
    """An element that the resource must have; where nobody has told it, with the reason."""
    return {name: code(told)} if code(told) else {f"_{name}": absent()}


def _asked(row: Row) -> Json:
    priority = {"priority": code(row["priority"])}
    return {**_required("status", row["status"]), **_required("intent", row["intent"]), **priority}


def _whose(row: Row) -> Json:
    return {
        "subject": reference("Patient", row["patient_id"]) or absent(),
        "encounter": reference("Encounter", row["encounter_id"]),
    }


def _when(name: str, start: datetime | None, end: datetime | None) -> Json:
    if end is None:
        return {f"{name}DateTime": instant(start)}
    return {f"{name}Period": period(start, end)}


def _concept(row: Row) -> Json | None:
    """What it is: a code of a system, or the words of the source."""
    if text(row["code_system"]):
        return concept(row["code_system"], row["code"], row["display"])
    told = local(row["code"])
    if told is not None and text(row["display"]):
        told["text"] = text(row["display"])
    return told


def _actor(parts: Parts, row: Row) -> Json | None:
    """Who does it, by the id or the number that the source gave; no more of them is kept."""
    who = text(row["performer"])
    kind, slash, _ = who.partition("/")
    if not slash or kind not in _ACTORS:
        return named("Practitioner", source_system("staff"), who)
    sources = sorted(
        str(one["system"]) for one in parts["care_identifier"] if one["type"] == REFERENCE
    )
    return named(kind, source_system(sources[0] if sources else "staff"), who)


def _linked(parts: Parts, *kinds: str) -> Iterable[Json]:
    """References to other resources of these kinds that somebody has described."""
    for one in sorted(parts["linked"], key=lambda row: str(row["target"])):
        found = reference(str(one["type"]), one["target"])
        if found is not None and (not kinds or one["type"] in kinds):
            yield found
