"""An appointment as a FHIR Appointment, with everything that takes part in it."""

from collections.abc import Iterable
from typing import Any

from adapters.fhir.encode.words import (
    Json,
    Parts,
    Row,
    absent,
    code,
    identifiers,
    instant,
    named,
    reference,
    source_system,
    text,
    worded,
)

_ENDED = frozenset({"cancelled", "noshow", "entered-in-error"})


def appointment(parts: Parts) -> Json:
    """The appointment. It has a start and an end, or neither; an end that nobody told is absent
    with its reason."""
    (row,) = parts["appointment"]
    minutes = row["duration_minutes"]
    return {
        "resourceType": "Appointment",
        "identifier": identifiers(parts["appointment_identifier"]),
        "status": code(row["status"]),
        "cancelationReason": worded(row["cancel_reason"]) if row["status"] in _ENDED else None,
        "serviceType": [worded(row["service"])],
        "appointmentType": worded(row["appointment_type"]),
        "reasonCode": [worded(row["reason"])],
        **_times(row),
        "minutesDuration": minutes if minutes and minutes > 0 else None,
        "created": instant(row["booked_at"]),
        "participant": list(_participants(parts, row)),
    }


def _times(row: Row) -> Json:
    start, end = row["starts_at"], row["ends_at"]
    told: dict[str, Any] = {"start": instant(start), "end": instant(end)}
    for name, this, other in (("_start", start, end), ("_end", end, start)):
        if this is None and other is not None:
            told[name] = absent()
    return told


def _participants(parts: Parts, row: Row) -> Iterable[Json]:
    """Patients, then places, staff, services and devices; at least one, as FHIR has it."""
    found = [*_patients(parts), *_resources(parts)]
    if row["location_id"] and not any(one["location_id"] for one in parts["appointment_resource"]):
        found.append(_taking_part(reference("Location", row["location_id"])))
    yield from found or [{"type": [{"text": "unknown"}], "status": "needs-action"}]


def _patients(parts: Parts) -> Iterable[Json]:
    for id_ in sorted({row["patient_id"] for row in parts["appointment_patient"]} - {None}):
        yield _taking_part(reference("Patient", id_))


def _resources(parts: Parts) -> Iterable[Json]:
    for row in sorted(parts["appointment_resource"], key=_place_in_list):
        actor = _ACTORS.get(row["kind"], _service)(row)
        if actor is not None:
            yield {**_taking_part(actor), "type": [worded(row["role"])]}


def _place_in_list(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("position", "kind", "system", "code"))


def _taking_part(actor: Json | None) -> Json:
    return {"actor": actor, "status": "accepted"}


def _location(row: Row) -> Json | None:
    return reference("Location", row["location_id"]) or _coded("Location", row)


def _staff(row: Row) -> Json | None:
    # The name of a member of staff stays with those who may know it.
    return named("Practitioner", _system(row, "staff"), row["code"])


def _service(row: Row) -> Json | None:
    return _coded("HealthcareService", row)


def _device(row: Row) -> Json | None:
    return _coded("Device", row)


def _coded(kind: str, row: Row) -> Json | None:
    found = named(kind, _system(row, "resource"), row["code"]) or {"type": kind}
    found["display"] = text(row["name"])
    return found if found["display"] or "identifier" in found else None


def _system(row: Row, otherwise: str) -> str:
    system = text(row["system"])
    return system if ":" in system else source_system(system or otherwise)


_ACTORS = {"location": _location, "personnel": _staff, "service": _service, "general": _device}
