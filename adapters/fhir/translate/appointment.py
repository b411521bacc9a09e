"""A FHIR Appointment as a statement of who meets whom, where and when."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import UNSET

from adapters.fhir import codes
from adapters.fhir.faults import DATA_TYPE
from adapters.fhir.reading import Reading, words_of
from adapters.fhir.shapes import CodeableConcept
from adapters.fhir.shapes_scheduling import Appointment, AppointmentParticipant, Named
from adapters.fhir.times import ends_before
from adapters.fhir.translate.people import of_patient
from adapters.fhir.translate.place import place_in
from adapters.fhir.translate.statement import Stated
from twin_core.events import AppointmentStated, Attendance, Booking, Event, ResourceBooked
from twin_core.identifiers import REFERENCE, Identifier, Place


def appointment(resource: Appointment, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """The Appointment itself."""
    created = reading.moment(resource.created, "created")
    return (
        AppointmentStated(
            occurred_at=stated.occurred_at,
            source=stated.source,
            subject=stated.subject,
            version=stated.version,
            identifiers=reading.connecting(resource.identifier),
            booked_at=created.at if created is not None else None,
            patients=tuple(_patients(resource, reading)),
            booking=_booking(resource, reading),
            resources=tuple(_resources(resource, reading)),
        ),
    )


def _booking(resource: Appointment, reading: Reading) -> Booking:
    reading.require(resource.status, "status")
    start = reading.moment(resource.start, "start")
    end = reading.moment(resource.end, "end")
    if start is not None and end is not None and ends_before(start, end):
        reading.object_to("end", DATA_TYPE, "It ends before it starts.", "reversed_period")
        end = None
    reasons = [words_of(one) for one in resource.reason_code] + [
        named(r)[1] for r in resource.reason
    ]
    ended = resource.cancelation_reason or resource.cancellation_reason
    minutes = resource.minutes_duration
    return Booking(
        status=reading.known(resource.status, codes.APPOINTMENT_STATUS, "status") or UNSET,
        starts_at=start.at if start is not None else UNSET,
        duration_minutes=float(minutes) if minutes is not None and end is None else UNSET,
        ends_at=end.at if end is not None else UNSET,
        kind=words_of(resource.appointment_type) or UNSET,
        urgency=_urgency(resource.priority) or UNSET,
        reason=next((reason for reason in reasons if reason), UNSET),
        event_reason=words_of(ended) or UNSET,
        facility=reading.scope.settings.facility or UNSET,
    )


def _urgency(stated: int | CodeableConcept | None) -> str:
    return words_of(stated) if isinstance(stated, CodeableConcept) else str(stated or "")


def named(stated: Named) -> tuple[str, str, str]:
    """System, code and text of a concept, whichever way the edition writes it."""
    concept = stated.concept or stated
    shown = next(iter(concept.coding), None)
    if shown is None:
        return "", concept.text, concept.text
    return shown.system, shown.code or concept.text, concept.text or shown.display


def _patients(resource: Appointment, reading: Reading) -> Iterable[Attendance]:
    seen: set[Identifier] = set()
    stated = [(f"participant[{n}].actor", one.actor) for n, one in enumerate(resource.participant)]
    for where, actor in [*stated, ("subject", resource.subject)]:
        patient = of_patient(actor, reading, where) if _is(actor, reading, "Patient") else ()
        if patient and patient[0] not in seen:
            seen.add(patient[0])
            yield Attendance(patient)


def _is(actor: Any, reading: Reading, kind: str) -> bool:
    return _kind(actor, reading) == kind


def _kind(actor: Any, reading: Reading) -> str:
    """The resource type that an actor is, as far as the reference says."""
    target = reading.reference(actor, "participant.actor") if actor is not None else None
    if target is None:
        return actor.type if actor is not None else ""
    if target.type == REFERENCE and "/" in target.value and "://" not in target.value:
        return target.value.partition("/")[0]
    return str(actor.type)


def _resources(resource: Appointment, reading: Reading) -> Iterable[ResourceBooked]:
    for number, service in enumerate(resource.service_type, 1):
        system, code, name = named(service)
        if code:
            yield ResourceBooked(
                kind="service", position=f"1.{number}", system=system, code=code, name=name or UNSET
            )
    for number, one in enumerate(resource.participant, 1):
        where = f"participant[{number - 1}]"
        reading.require(one.status, f"{where}.status")
        reading.known(one.status, codes.PARTICIPATION_STATUS, f"{where}.status")
        booked = _BOOKED.get(_kind(one.actor, reading))
        target = reading.reference(one.actor, f"{where}.actor")
        if booked is not None and target is not None:
            yield booked(one, target, f"2.{number}", reading)


def _said(one: AppointmentParticipant, reading: Reading, position: str) -> dict[str, Any]:
    span = reading.span(one.period, "participant.period")
    return {
        "position": position,
        "role": next((words_of(kind) for kind in one.type), "") or UNSET,
        "status": "cancelled" if one.status == "declined" else UNSET,
        "starts_at": span.start or UNSET,
    }


def _place(
    one: AppointmentParticipant, target: Identifier, position: str, reading: Reading
) -> ResourceBooked:
    place = place_in(target, reading) or Place(reference=target)
    said = _said(one, reading, position)
    return ResourceBooked(
        kind="location", system=target.system, code=target.value, place=place, **said
    )


def _other(
    kind: str,
) -> Callable[[AppointmentParticipant, Identifier, str, Reading], ResourceBooked]:
    def booked(
        one: AppointmentParticipant, target: Identifier, position: str, reading: Reading
    ) -> ResourceBooked:
        said = _said(one, reading, position)
        return ResourceBooked(kind=kind, system=target.system, code=target.value, **said)

    return booked


_BOOKED: dict[str, Callable[[AppointmentParticipant, Identifier, str, Reading], ResourceBooked]] = {
    "Location": _place,
    "Practitioner": _other("personnel"),
    "PractitionerRole": _other("personnel"),
    "CareTeam": _other("personnel"),
    "Device": _other("general"),
    "HealthcareService": _other("general"),
}
