"""Cancels of admissions, transfers and discharges."""

from msgspec import UNSET
from msgspec.structs import replace

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.reading import Events, Translator, patient_and_visit
from twin_core.events import Cancelled, EventCancelled


def admission_cancelled(reading: Reading) -> Events:
    """A11: an admission (A01) or a registration (A04) was cancelled."""
    return _cancelled(reading, Cancelled.ADMISSION)


def transfer_cancelled(reading: Reading) -> Events:
    """A12: a transfer was cancelled; PV1-3 is where the patient was before it."""
    return _cancelled(reading, Cancelled.TRANSFER)


def discharge_cancelled(reading: Reading) -> Events:
    """A13: a discharge was cancelled; PV1-3 is where the patient is."""
    return _cancelled(reading, Cancelled.DISCHARGE)


def _cancelled(reading: Reading, kind: Cancelled) -> Events:
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    facts["occurred_at"] = reading.recorded_at
    if kind is Cancelled.DISCHARGE:
        # A sender may repeat the discharge time that it is taking back.
        facts["visit"] = replace(facts["visit"], discharged_at=UNSET)
    return (patient, EventCancelled(**facts, cancels=kind, cancelled_at=reading.event_at))


TRANSLATORS: dict[str, Translator] = {
    "ADT^A11": admission_cancelled,
    "ADT^A12": transfer_cancelled,
    "ADT^A13": discharge_cancelled,
}
