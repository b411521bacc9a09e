"""Leaves of absence."""

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.plans import EXPECTED_RETURN, expected
from adapters.hl7v2.triggers.reading import Events, Translator, patient_and_visit
from twin_core.events import LeaveEnded, LeaveStarted


def leave_started(reading: Reading) -> Events:
    """A21: the patient went on leave, expected back at PV2-47; the bed stays assigned."""
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    return (patient, LeaveStarted(**facts, expected_return_at=expected(reading, EXPECTED_RETURN)))


def leave_ended(reading: Reading) -> Events:
    """A22: the patient came back from leave."""
    patient, facts = patient_and_visit(reading)
    return (patient, LeaveEnded(**facts)) if facts else (patient,)


TRANSLATORS: dict[str, Translator] = {
    "ADT^A21": leave_started,
    "ADT^A22": leave_ended,
}
