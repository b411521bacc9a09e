"""Cancels of earlier events."""

from msgspec import UNSET
from msgspec.structs import replace

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.reading import Events, Translator, patient_and_visit
from twin_core.events import Cancelled, EventCancelled
from twin_core.identifiers import NOWHERE


def admission_cancelled(reading: Reading) -> Events:
    """A11: an admission (A01) or a registration (A04) was cancelled."""
    return _cancelled(reading, Cancelled.ADMISSION)


def transfer_cancelled(reading: Reading) -> Events:
    """A12: a transfer was cancelled; PV1-3 is where the patient was before it, PV1-6 after it."""
    return _cancelled(reading, Cancelled.TRANSFER)


def discharge_cancelled(reading: Reading) -> Events:
    """A13: a discharge was cancelled; PV1-3 is where the patient is."""
    return _cancelled(reading, Cancelled.DISCHARGE)


def class_change_cancelled(reading: Reading) -> Events:
    """A change of class (A06, A07) was cancelled; only a ZBE segment can say so."""
    return _cancelled(reading, Cancelled.CLASS_CHANGE)


def discharge_plan_cancelled(reading: Reading) -> Events:
    """A25: a pending discharge (A16) was cancelled."""
    return _cancelled(reading, Cancelled.PENDING_DISCHARGE)


def transfer_plan_cancelled(reading: Reading) -> Events:
    """A26: a pending transfer (A15) was cancelled."""
    return _cancelled(reading, Cancelled.PENDING_TRANSFER)


def admission_plan_cancelled(reading: Reading) -> Events:
    """A27: a pending admission (A14) was cancelled."""
    return _cancelled(reading, Cancelled.PENDING_ADMISSION)


def pre_admission_cancelled(reading: Reading) -> Events:
    """A38: a pre-admission (A05) was cancelled."""
    return _cancelled(reading, Cancelled.PRE_ADMISSION)


def arrival_cancelled(reading: Reading) -> Events:
    """A32: the arrival of a tracked patient (A10) was cancelled."""
    return _cancelled(reading, Cancelled.ARRIVAL)


def departure_cancelled(reading: Reading) -> Events:
    """A33: the departure of a tracked patient (A09) was cancelled."""
    return _cancelled(reading, Cancelled.DEPARTURE)


def leave_cancelled(reading: Reading) -> Events:
    """A52: a leave of absence (A21) was cancelled, at EVN-6."""
    return _cancelled(reading, Cancelled.LEAVE)


def return_cancelled(reading: Reading) -> Events:
    """A53: a return from leave (A22) was cancelled, at EVN-6."""
    return _cancelled(reading, Cancelled.RETURN)


def attending_change_cancelled(reading: Reading) -> Events:
    """A55: a change of attending doctor (A54) was cancelled; PV1-7 is who it was before."""
    return _cancelled(reading, Cancelled.ATTENDING)


def consultants_change_cancelled(reading: Reading) -> Events:
    """A62: a change of consulting doctors (A61) was cancelled; PV1-9 is who they were before."""
    return _cancelled(reading, Cancelled.CONSULTANTS)


_DATED_BY_CANCEL = (Cancelled.LEAVE, Cancelled.RETURN)
"""Cancels whose EVN-6 is when they happened themselves (3.3.52, 3.3.53)."""


def _cancelled(reading: Reading, kind: Cancelled) -> Events:
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    cancelled_at = reading.event_at
    facts["occurred_at"] = reading.recorded_at
    if kind in _DATED_BY_CANCEL and reading.movement is None:
        cancelled_at, facts["occurred_at"] = None, reading.event_at or reading.recorded_at
    if kind is Cancelled.DISCHARGE:
        # A sender may repeat the discharge time that it is taking back.
        facts["visit"] = replace(facts["visit"], discharged_at=UNSET)
    destination = NOWHERE
    if kind is Cancelled.TRANSFER:
        pv1 = reading.pv1() or []
        destination = reading.conventions.place(reading.message, pv1[6])  # prior patient location
    return (
        patient,
        EventCancelled(**facts, cancels=kind, cancelled_at=cancelled_at, destination=destination),
    )


TRANSLATORS: dict[str, Translator] = {
    "ADT^A11": admission_cancelled,
    "ADT^A12": transfer_cancelled,
    "ADT^A13": discharge_cancelled,
    "ADT^A25": discharge_plan_cancelled,
    "ADT^A26": transfer_plan_cancelled,
    "ADT^A27": admission_plan_cancelled,
    "ADT^A32": arrival_cancelled,
    "ADT^A33": departure_cancelled,
    "ADT^A38": pre_admission_cancelled,
    "ADT^A52": leave_cancelled,
    "ADT^A53": return_cancelled,
    "ADT^A55": attending_change_cancelled,
    "ADT^A62": consultants_change_cancelled,
}

CANCELLED_BY: dict[str, Translator] = {
    "ADT^A01": admission_cancelled,
    "ADT^A02": transfer_cancelled,
    "ADT^A03": discharge_cancelled,
    "ADT^A04": admission_cancelled,
    "ADT^A05": pre_admission_cancelled,
    "ADT^A06": class_change_cancelled,
    "ADT^A07": class_change_cancelled,
    "ADT^A09": departure_cancelled,
    "ADT^A10": arrival_cancelled,
    "ADT^A14": admission_plan_cancelled,
    "ADT^A15": transfer_plan_cancelled,
    "ADT^A16": discharge_plan_cancelled,
    "ADT^A21": leave_cancelled,
    "ADT^A22": return_cancelled,
    "ADT^A54": attending_change_cancelled,
    "ADT^A61": consultants_change_cancelled,
}
"""The movements that a ZBE segment can state, each with the cancel of its kind."""
