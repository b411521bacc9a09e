"""Time slots of a schedule: blocked, so that nothing can be booked in them, and opened again.

They are about no appointment. Every resource that a message names has a schedule, and what was
blocked of it is a slot of that schedule: FHIR Slot.status busy-unavailable, and free once opened.
A slot is known by the number of its message (SCH-2, else SCH-1) and the resource.
"""

from datetime import datetime, timedelta

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.schedules import aligned, appointment_identifiers, booking
from adapters.hl7v2.triggers.reading import Events, Translator
from adapters.hl7v2.triggers.scheduling import resources_named
from twin_core.events import Booking, CareStated, ResourceBooked
from twin_core.identifiers import REFERENCE, Identifier

BLOCKED, FREE = "busy-unavailable", "free"


def blocked(reading: Reading) -> Events:
    """S23: time slots of a schedule were blocked; nothing can be booked in them."""
    return _slots(reading, BLOCKED)


def opened(reading: Reading) -> Events:
    """S24: time slots of a schedule that were blocked were opened again."""
    return _slots(reading, FREE)


def _slots(reading: Reading, status: str) -> Events:
    sch = aligned(reading, reading.segment("SCH"))
    number = appointment_identifiers(reading, sch)[-1]
    resources = resources_named(reading)
    if not resources:
        reading.note("missing_element", "Time slots of no resource are kept; nothing is blocked.")
    whole = booking(reading, sch, resources, None)
    return tuple(
        event for resource in resources for event in _slot(reading, number, whole, resource, status)
    )


def _slot(
    reading: Reading, number: Identifier, whole: Booking, resource: ResourceBooked, status: str
) -> Events:
    """The schedule of a resource, and the slot of it."""
    message = reading.message
    source = f"{message.text(message.header[2])}|{message.text(message.header[3])}"
    at = reading.event_at or reading.recorded_at
    name = resource.name if isinstance(resource.name, str) else ""
    employed = resource.kind == "personnel"
    which = "/".join((resource.kind, resource.place.facility, resource.system, resource.code))
    schedule = Identifier(source, f"Schedule/{which}", REFERENCE)
    starts_at, ends_at = _period(whole, resource)
    return (
        CareStated(
            occurred_at=at,
            source=source,
            subject=schedule,
            resource_type="Schedule",
            status="active",
            system="" if employed else resource.system,
            code="" if employed else resource.code,
            display=name,
            place=resource.place,
            performer=Identifier(resource.system, resource.code) if employed else None,
        ),
        CareStated(
            occurred_at=at,
            source=source,
            subject=Identifier(source, f"Slot/{number.system}/{number.value}/{which}", REFERENCE),
            resource_type="Slot",
            status=status,
            starts_at=starts_at,
            ends_at=ends_at,
            of=schedule,
        ),
    )


def _period(whole: Booking, resource: ResourceBooked) -> tuple[datetime | None, datetime | None]:
    """From when to when: as the resource's own segment says, else the message as a whole."""
    starts_at = resource.starts_at if isinstance(resource.starts_at, datetime) else None
    minutes = resource.duration_minutes
    if starts_at is None and isinstance(whole.starts_at, datetime):
        starts_at = whole.starts_at
        if isinstance(resource.offset_minutes, float):
            starts_at += timedelta(minutes=resource.offset_minutes)
    if not isinstance(minutes, float):
        if isinstance(whole.ends_at, datetime):
            return starts_at, whole.ends_at
        minutes = whole.duration_minutes
    if starts_at is None or not isinstance(minutes, float):
        return starts_at, None
    return starts_at, starts_at + timedelta(minutes=minutes)


TRANSLATORS: dict[str, Translator] = {"SIU^S23": blocked, "SIU^S24": opened}
