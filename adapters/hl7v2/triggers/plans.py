"""What is going to happen: pending admissions, transfers and discharges, and when."""

from datetime import datetime

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.reading import Events, Translator, patient_and_visit
from adapters.hl7v2.visits import VisitFacts
from twin_core.events import (
    AdmissionPending,
    DischargePending,
    PatientDescribed,
    Planned,
    TransferPending,
)

EXPECTED_ADMISSION, EXPECTED_DISCHARGE, EXPECTED_RETURN = 8, 9, 47
"""The PV2 fields that say when something is expected to happen."""


def planned(reading: Reading) -> Events:
    """A05: an admission was planned, for PV2-8."""
    patient, facts = _patient_and_plan(reading)
    if facts is None:
        return (patient,)
    return (patient, Planned(**facts, expected_at=_planned_for(reading, EXPECTED_ADMISSION)))


def admission_pending(reading: Reading) -> Events:
    """A14: an admission is pending, for PV2-8; PV1-3 is the bed that is reserved, if any."""
    patient, facts = _patient_and_plan(reading)
    if facts is None:
        return (patient,)
    return (
        patient,
        AdmissionPending(**facts, expected_at=_planned_for(reading, EXPECTED_ADMISSION)),
    )


def transfer_pending(reading: Reading) -> Events:
    """A15: the patient in PV1-3 is to move to PV1-42; nobody has moved."""
    patient, facts = _patient_and_plan(reading)
    if facts is None:
        return (patient,)
    pending = (reading.pv1() or [])[42]  # pending location
    destination = reading.conventions.place(reading.message, pending)
    expected_at = _planned_for(reading)
    return (patient, TransferPending(**facts, destination=destination, expected_at=expected_at))


def discharge_pending(reading: Reading) -> Events:
    """A16: the patient is to leave, about PV2-9; the bed is not free yet."""
    patient, facts = _patient_and_plan(reading)
    if facts is None:
        return (patient,)
    return (
        patient,
        DischargePending(**facts, expected_at=_planned_for(reading, EXPECTED_DISCHARGE)),
    )


def _patient_and_plan(reading: Reading) -> tuple[PatientDescribed, VisitFacts | None]:
    """The facts of a plan, which was made when it was recorded, or before.

    Some senders give the time that is planned where another event has its own (ZBE-2, EVN-6).
    """
    patient, facts = patient_and_visit(reading)
    if facts is not None:
        facts["occurred_at"] = min(facts["occurred_at"], reading.recorded_at)
    return patient, facts


def _planned_for(reading: Reading, field: int = 0) -> datetime | None:
    """When what is planned is expected: as in `expected`, else a ZBE-2 or EVN-6 still to come."""
    at = reading.event_at
    later = at if at is not None and at > reading.recorded_at else None
    return expected(reading, field) or later


def expected(reading: Reading, field: int = 0) -> datetime | None:
    """When a plan is expected to happen: its own field of PV2, else EVN-3 (planned event)."""
    for name, number in (("PV2", field), ("EVN", 3)):
        segment = reading.message.segment(name) if number else None
        if segment is not None:
            moment = reading.moment(segment[number], f"{name}^1^{number}")
            if moment is not None:
                return moment.at
    return None


TRANSLATORS: dict[str, Translator] = {
    "ADT^A05": planned,
    "ADT^A14": admission_pending,
    "ADT^A15": transfer_pending,
    "ADT^A16": discharge_pending,
}
