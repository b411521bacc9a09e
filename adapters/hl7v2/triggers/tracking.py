"""Where patients are while their bed waits: on the way, in theatre, in imaging."""

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.reading import Events, Translator, patient_and_visit
from twin_core.events import Arrived, Departed
from twin_core.identifiers import Place

_ASSIGNED, _TEMPORARY, _PENDING = 3, 11, 42
"""The PV1 fields that can hold where a tracked patient goes or is."""


def departed(reading: Reading) -> Events:
    """A09: the patient left for PV1-11 (temporary), else PV1-42 (in transit), else PV1-3."""
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    destination = _first_named(reading, _TEMPORARY, _PENDING, _ASSIGNED)
    temporary = bool(_first_named(reading, _TEMPORARY))
    return (patient, Departed(**facts, destination=destination, temporary=temporary))


def arrived(reading: Reading) -> Events:
    """A10: the patient arrived at PV1-11 (temporary), else at PV1-3."""
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    destination = _first_named(reading, _TEMPORARY, _ASSIGNED)
    temporary = bool(_first_named(reading, _TEMPORARY))
    return (patient, Arrived(**facts, destination=destination, temporary=temporary))


def _first_named(reading: Reading, *fields: int) -> Place:
    pv1 = reading.pv1() or []
    places = [reading.conventions.place(reading.message, pv1[field]) for field in fields]
    return next((place for place in places if place), places[-1])


TRANSLATORS: dict[str, Translator] = {
    "ADT^A09": departed,
    "ADT^A10": arrived,
}
