"""Appointments: booked, moved, changed, cancelled, missed, deleted; and their resources."""

from adapters.hl7v2.conventions import remembered
from adapters.hl7v2.fields import Person, Reading, Segment, person
from adapters.hl7v2.schedules import (
    LAYOUTS,
    Change,
    Group,
    aligned,
    appointment_identifiers,
    booking,
    resource,
    visit_named,
)
from adapters.hl7v2.triggers.reading import Events, Translator, described
from twin_core.events import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentDeleted,
    AppointmentEvent,
    AppointmentMissed,
    AppointmentModified,
    AppointmentRescheduled,
    Attendance,
    ResourceBooked,
)

_LISTED = Change()
_ADDED = Change("A")
_UPDATED = Change("U")
_CANCELLED = Change("U", "cancelled")
_DELETED = Change("U", "entered-in-error")


def booked(reading: Reading) -> Events:
    """S12: an appointment was booked."""
    return _appointment(reading, AppointmentBooked)


def rescheduled(reading: Reading) -> Events:
    """S13: an appointment was moved to another time."""
    return _appointment(reading, AppointmentRescheduled)


def modified(reading: Reading) -> Events:
    """S14, S27: something of an appointment but its time changed, or all of it is told again."""
    return _appointment(reading, AppointmentModified)


def cancelled(reading: Reading) -> Events:
    """S15, S16: an appointment will not be, or what is left of it will not be."""
    return _appointment(reading, AppointmentCancelled)


def deleted(reading: Reading) -> Events:
    """S17: an appointment had been booked in error."""
    return _appointment(reading, AppointmentDeleted)


def resources_added(reading: Reading) -> Events:
    """S18: services or resources were added."""
    return _appointment(reading, AppointmentModified, _ADDED)


def resources_modified(reading: Reading) -> Events:
    """S19: services or resources changed."""
    return _appointment(reading, AppointmentModified, _UPDATED)


def resources_cancelled(reading: Reading) -> Events:
    """S20, S21: the services or resources named will not be needed, or not any longer."""
    return _appointment(reading, AppointmentModified, _CANCELLED)


def resources_deleted(reading: Reading) -> Events:
    """S22: the services or resources named had been booked in error."""
    return _appointment(reading, AppointmentModified, _DELETED)


def missed(reading: Reading) -> Events:
    """S26: the patient did not come."""
    return _appointment(reading, AppointmentMissed)


def _appointment(
    reading: Reading, event: type[AppointmentEvent], change: Change = _LISTED
) -> Events:
    sch = aligned(reading, reading.segment("SCH"))
    people, resources = _groups(reading, change)
    pv1 = people[0][2] if people else None
    return (
        *(described(reading, who) for who, _, _ in people),
        event(
            occurred_at=reading.event_at or reading.recorded_at,
            appointment=appointment_identifiers(reading, sch),
            patients=tuple(
                Attendance(who.identifiers, visit_named(reading, pid, pv1))
                for who, pid, pv1 in people
            ),
            booking=booking(reading, sch, resources, pv1),
            resources=resources,
        ),
    )


def resources_named(reading: Reading) -> tuple[ResourceBooked, ...]:
    """The services and resources of a message that is about no appointment."""
    return _groups(reading, _LISTED)[1]


def _group(reading: Reading, line: str, change: Change) -> tuple[Group, str]:
    """The group that an RGS opens, and its key; hardly any two of a feed are told apart."""
    known: dict[tuple[str, Change], tuple[Group, str]] = reading.conventions.groups
    found = known.get((line, change))
    if found is None or not reading.message.is_standard:
        _, number, action = [*line.split(reading.message.delimiters.field, 3), "", ""][:3]
        group = Group(change, number, action)
        found = group, group.key
        if reading.is_remembered(line):
            remembered(known, (line, change), found)
    return found


_Patients = list[tuple[Person, Segment, Segment | None]]


def _groups(reading: Reading, change: Change) -> tuple[_Patients, tuple[ResourceBooked, ...]]:
    """Every patient with the PV1 that follows, and every resource within its group (RGS)."""
    pids: list[tuple[Segment, Segment | None]] = []
    resources: list[ResourceBooked] = []
    group = Group(change)
    key = group.key
    message = reading.message
    for name, line in zip(message.shape.names, message.lines, strict=True):
        if name in LAYOUTS:
            found = resource(reading, line, LAYOUTS[name], group, key)
            if found is not None:
                resources.append(found)
        elif name == "RGS":
            group, key = _group(reading, line, change)
        elif name == "PID":
            pids.append((message.fields(line), None))
        elif name == "PV1" and pids and pids[-1][1] is None:
            pids[-1] = (pids[-1][0], message.fields(line))
    people = [(person(reading, pid, n), pid, pv1) for n, (pid, pv1) in enumerate(pids, start=1)]
    return people, tuple(resources)


TRANSLATORS: dict[str, Translator] = {
    "SIU^S12": booked,
    "SIU^S13": rescheduled,
    "SIU^S14": modified,
    "SIU^S15": cancelled,
    "SIU^S16": cancelled,
    "SIU^S17": deleted,
    "SIU^S18": resources_added,
    "SIU^S19": resources_modified,
    "SIU^S20": resources_cancelled,
    "SIU^S21": resources_cancelled,
    "SIU^S22": resources_deleted,
    "SIU^S26": missed,
    "SIU^S27": modified,
}
