"""Segments: each says in its fields what the events of a message state."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec import UNSET

from adapters.hl7v2.codes import CLASSES
from adapters.hl7v2.encode import Segment
from adapters.hl7v2.retell.fields import CLEARED, at, coded, cx, dtm, ei, name, pl, repeated, when
from adapters.hl7v2.retell.fields import text as stated_text
from adapters.hl7v2.retell.tables import STATED_BY, UNKNOWN_CLASS, dates_itself
from adapters.hl7v2.retell.words import Dialect, Said, Untellable
from twin_core.events import (
    AdmissionPending,
    AppointmentEvent,
    Arrived,
    BedStatusChanged,
    Departed,
    DischargePending,
    EncounterEvent,
    Event,
    EventCancelled,
    LeaveStarted,
    PatientDescribed,
    Planned,
    Text,
    TransferPending,
    Transferred,
    VisitPurged,
)

_CLASS_CODES = {meant: code for code, meant in reversed(CLASSES.items()) if meant}
"""v3 ActCode -> table 0004; a class without a code is sent as the ActCode it is."""
_SEXES = {"male": "M", "female": "F", "other": "O", "unknown": "U"}
_INDICATORS = {True: "Y", False: "N", None: CLEARED, UNSET: ""}
_STRUCTURED_FROM = "2.3.1"
"""The first version whose MSH-9 names the message structure."""


def header(said: Said, dialect: Dialect, event: str, structure: str, control_id: str) -> Segment:
    """MSH of a message about an event (`ADT^A01`) in a structure (`ADT_A01`)."""
    kind = f"{event}^{structure}" if dialect.has(_STRUCTURED_FROM) else event
    # Numbered one lower than the standard does: MSH-1 is the separator itself.
    msh = Segment("MSH").put(1, "^~\\&").text(2, dialect.application)
    msh.text(3, sending_facility(said, dialect))
    msh.text(4, dialect.receiving_application).text(5, dialect.receiving_facility)
    msh.put(6, dtm(said.sent_at, dialect.zone)).put(8, kind).text(9, control_id)
    msh.put(10, dialect.processing_id).put(11, dialect.version)
    msh.put(12, str(said.sequence) if said.sequence else "")
    msh.put(14, dialect.accept_ack).put(15, dialect.application_ack)
    return msh.put(17, dialect.charset)


def sending_facility(said: Said, dialect: Dialect) -> str:
    """MSH-4: the facility that the message is about, else the one that it came from."""
    if dialect.facility:
        return dialect.facility
    for event in said.events:
        if isinstance(event, EncounterEvent | AppointmentEvent | BedStatusChanged):
            facility = _about(event)
            return dialect.facilities.get(facility, facility) if isinstance(facility, str) else ""
    return said.sender.partition("|")[2]


def _about(event: EncounterEvent | AppointmentEvent | BedStatusChanged) -> Text:
    if isinstance(event, EncounterEvent):
        return event.visit.facility
    return event.booking.facility if isinstance(event, AppointmentEvent) else event.place.facility


def event_type(said: Said, trigger: str, event: Event | None, dialect: Dialect) -> Segment:
    """EVN: when it was recorded (2), is planned (3), and happened (6).

    In a cancel EVN-6 is when the cancelled event had happened (3.4.1.6).
    """
    evn = Segment("EVN").put(1, trigger).put(2, dtm(_recorded_at(said), dialect.zone))
    if isinstance(event, TransferPending):
        evn.put(3, when(event.expected_at, dialect))
    return evn.put(6, _happened(event, dialect))


def _recorded_at(said: Said) -> datetime:
    for event in said.events:
        if isinstance(event, EncounterEvent):
            return event.entered_at
    return said.events[0].occurred_at


def _happened(event: Event | None, dialect: Dialect) -> str:
    if event is None:
        return ""
    if isinstance(event, EventCancelled) and not dates_itself(event):
        return when(event.cancelled_at, dialect)
    return dtm(event.occurred_at, dialect.zone)


def patient(who: PatientDescribed, dialect: Dialect, number: int = 1) -> Segment:
    """PID."""
    known = who.demographics
    birth_date = known.birth_date
    if isinstance(birth_date, str):
        birth_date = birth_date.replace("-", "")
    pid = Segment("PID").put(1, str(number))
    pid.put(3, "~".join(cx(one, dialect) for one in (*who.patient, *who.other_identifiers)))
    pid.put(5, name(known.family_name, known.given_name)).put(7, stated_text(birth_date))
    pid.put(8, coded(known.sex, _SEXES))
    if known.postal_code is not UNSET:
        pid.put(11, "^^^^" + stated_text(known.postal_code))
    return pid.put(29, at(known.deceased_at, dialect)).put(30, _INDICATORS[known.deceased])


def visit(event: EncounterEvent, dialect: Dialect, number: int = 1) -> Segment:
    """PV1, without the number of the visit."""
    stated, own = event.visit, dialect.classes
    pv1 = Segment("PV1").put(1, str(number))
    pv1.put(2, coded(stated.class_, own if stated.class_ in own else _CLASS_CODES))
    pv1.put(3, pl(event.place, dialect)).put(7, stated_text(stated.attending))
    pv1.put(9, repeated(stated.consulting)).put(10, coded(stated.service, dialect.services))
    pv1.put(14, stated_text(stated.admit_source)).put(36, stated_text(stated.disposition))
    pv1.put(44, at(stated.admitted_at, dialect)).put(45, at(stated.discharged_at, dialect))
    more = _MORE_OF_VISIT.get(type(event))
    if more is not None:
        more(pv1, event, dialect)
    return pv1


def _purged(pv1: Segment, event: VisitPurged, dialect: Dialect) -> None:
    pv1.put(2, UNKNOWN_CLASS)


def _origin(pv1: Segment, event: Transferred, dialect: Dialect) -> None:
    pv1.put(6, pl(event.origin, dialect))


def _left(pv1: Segment, event: EventCancelled, dialect: Dialect) -> None:
    pv1.put(6, pl(event.destination, dialect))


def _pending(pv1: Segment, event: TransferPending, dialect: Dialect) -> None:
    pv1.put(42, pl(event.destination, dialect))


def _tracked(pv1: Segment, event: Departed | Arrived, dialect: Dialect) -> None:
    """Where a tracked patient goes or is: PV1-11 where temporary, else PV1-42 on the way."""
    if event.temporary:
        pv1.put(11, pl(event.destination, dialect))
    elif event.destination != event.place:
        if isinstance(event, Arrived):
            raise Untellable("A patient arrived at a place that is not the assigned one.")
        pv1.put(42, pl(event.destination, dialect))


_MORE_OF_VISIT: dict[type[Event], Callable[[Segment, Any, Dialect], None]] = {
    VisitPurged: _purged,
    Transferred: _origin,
    EventCancelled: _left,
    TransferPending: _pending,
    Departed: _tracked,
    Arrived: _tracked,
}


def expectation(event: EncounterEvent, dialect: Dialect) -> list[Segment]:
    """PV2, where the event says when something is expected."""
    expected = _EXPECTED.get(type(event))
    if expected is None:
        return []
    number, attribute = expected
    expected_at = when(getattr(event, attribute), dialect)
    return [Segment("PV2").put(number, expected_at)] if expected_at else []


_EXPECTED: dict[type[Event], tuple[int, str]] = {
    Planned: (8, "expected_at"),
    AdmissionPending: (8, "expected_at"),
    DischargePending: (9, "expected_at"),
    LeaveStarted: (47, "expected_return_at"),
}


def movement(event: EncounterEvent, kind: str, dialect: Dialect) -> list[Segment]:
    """ZBE (IHE PAM), where the event names a movement of the sender's record."""
    named = event.movement
    if named is None:
        return []
    if kind not in STATED_BY:
        raise Untellable(f"No movement can be stated with this: {kind}.")
    action = "CANCEL" if isinstance(event, EventCancelled) else "INSERT"
    zbe = Segment("ZBE").put(1, "~".join(ei(one, dialect) for one in named.identifiers))
    zbe.put(2, _happened(event, dialect)).put(4, "UPDATE" if named.corrects else action)
    return [zbe.put(5, "N").put(6, STATED_BY[kind])]


def bed(event: BedStatusChanged, dialect: Dialect) -> Segment:
    """NPU."""
    return Segment("NPU").put(1, pl(event.place, dialect)).put(2, event.operational_status)
