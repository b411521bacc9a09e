"""Facts: events in the one order in which they are folded, whatever order they arrived in.

The order is (effective instant, rank, MSH-7, MSH-13, MSH-10 in natural order, body digest, place
in the message). Ranks settle what happens first at one instant: plan < open < move < class <
leave < close < identity < cancel.
"""

import re
from datetime import datetime
from typing import NamedTuple

from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    AdmissionPending,
    Admitted,
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentDeleted,
    AppointmentMissed,
    AppointmentModified,
    AppointmentRescheduled,
    Arrived,
    ClassChanged,
    Departed,
    Discharged,
    DischargePending,
    EncounterContinued,
    EncounterMoved,
    EncounterRenumbered,
    EncountersMerged,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientsUnlinked,
    Planned,
    Registered,
    TransferPending,
    Transferred,
    VisitPurged,
)

RANKS: dict[type[Event], int] = {
    Planned: -1,
    AdmissionPending: -1,
    Registered: 0,
    Admitted: 0,
    # Plans of a patient who is there: after the admission, before what they plan.
    TransferPending: 1,
    DischargePending: 1,
    Transferred: 2,
    ClassChanged: 3,
    LeaveStarted: 4,
    LeaveEnded: 4,
    Departed: 4,
    Arrived: 4,
    Discharged: 5,
    PatientsMerged: 6,
    PatientRenumbered: 6,
    PatientIdentifiersMoved: 6,
    PatientsLinked: 6,
    PatientsUnlinked: 6,
    AccountsMerged: 6,
    AccountRenumbered: 6,
    AccountMoved: 6,
    EncountersMerged: 6,
    EncounterRenumbered: 6,
    EncounterMoved: 6,
    EncounterContinued: 6,
    EventCancelled: 7,
    AppointmentBooked: 0,
    AppointmentRescheduled: 2,
    AppointmentModified: 3,
    AppointmentMissed: 5,
    AppointmentCancelled: 6,
    AppointmentDeleted: 7,
    VisitPurged: 7,
}
"""Rank of an event among events of the same instant; descriptions come after what they describe."""
DESCRIPTION = 8

Order = tuple[datetime, int, datetime, int, str, bytes, int]


class Fact(NamedTuple):
    """An event with its place in the order and where it came from. Compares by `order`."""

    order: Order
    event: Event
    message_id: int
    recorded_at: datetime
    format: str
    feed: str = ""


def order_of(
    event: Event, *, sent_at: datetime, sequence: int, control: str, digest: bytes, ordinal: int
) -> Order:
    """Where an event stands among all events; `control` is the control id made `natural`."""
    rank = RANKS.get(type(event), DESCRIPTION)
    return (event.occurred_at, rank, sent_at, sequence, control, digest, ordinal)


_NUMBER = re.compile(r"(\d+)")


def natural(control_id: str) -> str:
    """A control id as text that sorts its numbers by value: `A9` before `A10`."""
    if control_id.isdecimal():
        return control_id.zfill(20)
    name = control_id.rstrip("0123456789")
    if name.isalpha() and name != control_id:
        return name + control_id[len(name) :].zfill(20)
    parts = _NUMBER.split(control_id)
    parts[1::2] = [number.zfill(20) for number in parts[1::2]]
    return "".join(parts)
