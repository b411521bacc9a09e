"""Links between patients whose records remain distinct."""

from adapters.hl7v2.fields import Person, Reading, person
from adapters.hl7v2.refusal import SEGMENT_SEQUENCE, TABLE_VALUE, content_fault
from adapters.hl7v2.triggers.reading import Events, Translator, described, pairs
from twin_core.events import PatientsLinked, PatientsUnlinked


def linked(reading: Reading) -> Events:
    """A24: the patients of two PID segments were linked; nothing is merged."""
    one, other = _two(reading)
    link = PatientsLinked(
        occurred_at=reading.event_at or reading.recorded_at,
        one=one.identifiers[0],
        other=other.identifiers[0],
    )
    return (described(reading, one), described(reading, other), link)


def unlinked(reading: Reading) -> Events:
    """A37: the link between the patients of two PID segments was taken back."""
    one, other = _two(reading)
    link = PatientsUnlinked(
        occurred_at=reading.event_at or reading.recorded_at,
        one=one.identifiers[0],
        other=other.identifiers[0],
    )
    return (described(reading, one), described(reading, other), link)


def _two(reading: Reading) -> tuple[Person, Person]:
    pids = [pid for pid, _ in pairs(reading, "PD1")]
    if len(pids) != 2:
        reason = "A link is between exactly two PID segments; send two."
        raise content_fault("PID^2", SEGMENT_SEQUENCE, reason)
    one, other = (person(reading, pid, number) for number, pid in enumerate(pids, start=1))
    if {i.key for i in one.identifiers} & {i.key for i in other.identifiers}:
        reason = "Both PID-3 name the same patient; a record is not linked to itself."
        raise content_fault("PID^2^3", TABLE_VALUE, reason)
    return one, other


TRANSLATORS: dict[str, Translator] = {
    "ADT^A24": linked,
    "ADT^A37": unlinked,
}
