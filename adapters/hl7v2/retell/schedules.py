"""Appointments told again as SIU: SCH and TQ1 what was booked, PID and PV1 for whom, RGS with what.

Services and resources keep their group and set id, which name them from one message to the next.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import UnsetType

from adapters.hl7v2.encode import Segment, escape
from adapters.hl7v2.retell import segments
from adapters.hl7v2.retell.fields import CLEARED, at, coded, cx, hd, pl
from adapters.hl7v2.retell.fields import text as stated_text
from adapters.hl7v2.retell.tables import UNKNOWN_CLASS
from adapters.hl7v2.retell.words import Dialect, Said, Untellable
from adapters.hl7v2.schedules import FILLER, LAYOUTS, PLACER
from twin_core.events import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentDeleted,
    AppointmentEvent,
    AppointmentMissed,
    AppointmentModified,
    AppointmentRescheduled,
    Attendance,
    Booking,
    Minutes,
    PatientDescribed,
    ResourceBooked,
    Text,
)
from twin_core.identifiers import NOWHERE, Identifier, Place

STRUCTURE = "SIU_S12"
TRIGGERS: dict[type[AppointmentEvent], tuple[str, ...]] = {
    # what happened: the trigger events that say so, the usual one first
    AppointmentBooked: ("S12",),
    AppointmentRescheduled: ("S13",),
    AppointmentModified: ("S14", "S18", "S19", "S20", "S21", "S22", "S27"),
    AppointmentCancelled: ("S15", "S16"),
    AppointmentDeleted: ("S17",),
    AppointmentMissed: ("S26",),
}
_STATUSES = {
    # FHIR Appointment.status -> table 0278; proposed and arrived, which it lacks, are sent as such.
    "pending": "Pending",
    "waitlist": "Waitlist",
    "booked": "Booked",
    "checked-in": "Started",
    "fulfilled": "Complete",
    "cancelled": "Cancelled",
    "entered-in-error": "Deleted",
    "noshow": "Noshow",
}
_TIMED_BY_TQ1 = "2.5"
"""The first version in which TQ1 has the times; before it SCH-11 had them."""
_SEGMENTS = {layout.kind: (name, layout) for name, layout in LAYOUTS.items()}


def told(said: Said, dialect: Dialect, control_id: str) -> list[Segment]:
    """The SIU message of an appointment's event."""
    *described, event = said.events
    if not isinstance(event, AppointmentEvent) or len(described) != len(event.patients):
        raise Untellable("No SIU message of ours says this: several events of an appointment.")
    received = said.trigger_event.partition("^")[2]
    usual = TRIGGERS[type(event)]
    trigger = received if received in usual else usual[0]
    return [
        segments.header(said, dialect, f"SIU^{trigger}", STRUCTURE, control_id),
        *_appointment(event, dialect),
        *_patients(described, event, dialect),
        *_resources(event.resources, dialect),
    ]


def _appointment(event: AppointmentEvent, dialect: Dialect) -> list[Segment]:
    """SCH, and TQ1 where there is such a segment and times to say."""
    booking = event.booking
    sch = Segment("SCH")
    for named in event.appointment:
        sch.put(1 if named.type == PLACER else 2, _entity(named, booking, dialect))
    sch.put(3, "" if isinstance(booking.occurrence, UnsetType) else escape(booking.occurrence))
    sch.put(6, stated_text(booking.event_reason)).put(7, stated_text(booking.reason))
    sch.put(8, stated_text(booking.kind))
    _lasting(sch, 9, booking.duration_minutes)
    starts_at, ends_at = at(booking.starts_at, dialect), at(booking.ends_at, dialect)
    urgency = stated_text(booking.urgency)
    sch.put(25, coded(booking.status, _STATUSES))
    if not (starts_at or ends_at or urgency):
        return [sch]
    if dialect.has(_TIMED_BY_TQ1):
        tq1 = Segment("TQ1").put(1, "1")
        return [sch, tq1.put(7, starts_at).put(8, ends_at).put(9, urgency)]
    timing = f"^^^{starts_at}^{ends_at}^{urgency}".rstrip("^")
    return [sch.put(11, timing)]


def _entity(named: Identifier, booking: Booking, dialect: Dialect) -> str:
    """An EI without the occurrence, which SCH-3 says."""
    if named.type not in (PLACER, FILLER):
        raise Untellable("An appointment has an identifier that is neither placer's nor filler's.")
    value = named.value
    if isinstance(booking.occurrence, str):
        value = value.removesuffix(f"#{booking.occurrence}")
    return f"{escape(value)}^{hd(named.system, dialect).replace('&', '^')}"


def _patients(described: Sequence[Any], event: AppointmentEvent, dialect: Dialect) -> list[Segment]:
    """PID of every patient, and PV1 where it names a visit or says where the appointment is."""
    found = []
    for number, (who, attendance) in enumerate(zip(described, event.patients, strict=True), 1):
        if not isinstance(who, PatientDescribed) or who.patient != attendance.patient:
            raise Untellable("An appointment is for another patient than the one described.")
        found.append(segments.patient(who, dialect, number))
        place = event.booking.place if number == 1 else NOWHERE
        found += _visit(number, attendance, place, dialect)
    return found


def _visit(number: int, attendance: Attendance, place: Place, dialect: Dialect) -> list[Segment]:
    if attendance.visit is None and not place:
        return []
    pv1 = Segment("PV1").put(1, str(number)).put(2, UNKNOWN_CLASS).put(3, pl(place, dialect))
    return [pv1.put(19, cx(attendance.visit, dialect) if attendance.visit else "")]


def _resources(resources: Sequence[ResourceBooked], dialect: Dialect) -> list[Segment]:
    """RGS before the services and resources of each group; one group at least (10.3.1)."""
    found: list[Segment] = []
    group = None
    for resource in resources:
        of, _, number = resource.position.partition(".")
        if of != group:
            found.append(Segment("RGS").put(1, of))
            group = of
        found.append(_resource(resource, number, dialect))
    return found or [Segment("RGS").put(1, "1")]


def _resource(resource: ResourceBooked, number: str, dialect: Dialect) -> Segment:
    """AIS, AIG, AIL or AIP."""
    name, layout = _SEGMENTS[resource.kind]
    segment = Segment(name).put(1, number).put(2, resource.action)
    segment.put(3, _named(resource, dialect))
    if layout.role:
        segment.put(layout.role, stated_text(resource.role))
    segment.put(layout.start, at(resource.starts_at, dialect))
    _lasting(segment, layout.start + 1, resource.offset_minutes)
    _lasting(segment, layout.start + 3, resource.duration_minutes)
    return segment.put(layout.status, coded(resource.status, _STATUSES))


def _named(resource: ResourceBooked, dialect: Dialect) -> str:
    """Field 3: a place (PL), a person (XCN) or a code (CWE)."""
    if resource.kind == "location":
        return pl(resource.place, dialect)
    if resource.kind == "personnel":
        family, _, given = _plain(resource.name).partition(", ")
        authority = hd(resource.system, dialect) if resource.system else ""
        named = f"{escape(resource.code)}^{escape(family)}^{escape(given)}^^^^^^{authority}"
    else:
        text = _plain(resource.name)
        named = f"{escape(resource.code)}^{escape(text)}^{escape(resource.system)}"
    return named.rstrip("^")


def _plain(text: Text) -> str:
    return text if isinstance(text, str) else ""


def _lasting(segment: Segment, number: int, minutes: Minutes) -> None:
    """A duration and its unit: minutes, or seconds where it is no whole number of minutes."""
    if isinstance(minutes, UnsetType):
        return
    if minutes is None:
        segment.put(number, CLEARED)
    elif minutes == int(minutes):
        segment.put(number, str(int(minutes))).put(number + 1, "min")
    else:
        segment.put(number, str(round(minutes * 60))).put(number + 1, "s")


def tells(said: Said) -> bool:
    """Whether a message is about an appointment."""
    return any(isinstance(event, AppointmentEvent) for event in said.events)
