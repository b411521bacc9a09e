"""Persons without a visit."""

from msgspec.structs import replace

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.reading import Events, Translator, described, patient_and_any_visit
from adapters.hl7v2.visits import without_place
from twin_core.events import Demographics, EncounterUpdated


def person_added(reading: Reading) -> Events:
    """A28: a person became known; there is no visit."""
    return (described(reading, reading.patient().person),)


def person_updated(reading: Reading) -> Events:
    """A31: person information changed; a visit's attributes may come along, its place never."""
    patient, facts = patient_and_any_visit(reading)
    return (patient, EncounterUpdated(**without_place(facts))) if facts else (patient,)


def person_deleted(reading: Reading) -> Events:
    """A29: what was known of the person is deleted; the identifiers still lead to the visits."""
    who = reading.patient().person
    return (described(reading, replace(who, demographics=_FORGOTTEN)),)


_FORGOTTEN = Demographics(
    birth_date=None,
    sex=None,
    deceased_at=None,
    deceased=None,
    family_name=None,
    given_name=None,
    postal_code=None,
)

TRANSLATORS: dict[str, Translator] = {
    "ADT^A28": person_added,
    "ADT^A29": person_deleted,
    "ADT^A31": person_updated,
}
