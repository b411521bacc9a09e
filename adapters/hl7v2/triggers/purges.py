"""Visits deleted from the record."""

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.reading import Events, Translator, patient_and_visit
from twin_core.events import Visit, VisitPurged
from twin_core.identifiers import NOWHERE


def visit_purged(reading: Reading) -> Events:
    """A23: the visit is deleted as entered in error, with its stays; the person stays."""
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    # The message describes what is to be forgotten; only where it was is kept.
    facts["visit"] = Visit(facility=facts["visit"].facility)
    facts["place"] = NOWHERE
    facts["occurred_at"] = reading.recorded_at
    return (patient, VisitPurged(**facts))


TRANSLATORS: dict[str, Translator] = {
    "ADT^A23": visit_purged,
}
