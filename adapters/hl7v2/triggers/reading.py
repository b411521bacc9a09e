"""What translators of a message share: its patient, its visit, its repeating sets."""

from collections.abc import Callable

from adapters.hl7v2.codes import NO_VISIT
from adapters.hl7v2.fields import Person, Reading, Segment
from adapters.hl7v2.visits import VisitFacts, visit_facts
from twin_core.events import Event, PatientDescribed

Events = tuple[Event, ...]
Translator = Callable[[Reading], Events]


def described(reading: Reading, who: Person) -> PatientDescribed:
    """What the message says of the person, as of its recording."""
    return PatientDescribed(
        occurred_at=reading.recorded_at,
        patient=who.identifiers,
        demographics=who.demographics,
        other_identifiers=who.others,
    )


def patient_and_visit(
    reading: Reading, own_time: int = 0
) -> tuple[PatientDescribed, VisitFacts | None]:
    """The person of the message, and what is said of the visit; None where it names no visit.

    `own_time` is the PV1 field that dates the event itself, 0 where EVN alone does.
    """
    patient = reading.patient()
    who = patient.person
    facts = visit_facts(reading, who.identifiers, patient.account, reading.pv1(), own_time=own_time)
    return described(reading, who), facts


def patient_and_any_visit(reading: Reading) -> tuple[PatientDescribed, VisitFacts | None]:
    """A08 and A31 may be about a person only: without a PV1, or with patient class N."""
    pv1 = reading.pv1()
    if pv1 is None or reading.message.code(pv1[2]) == NO_VISIT:
        return described(reading, reading.patient().person), None
    return patient_and_visit(reading)


def pairs(reading: Reading, partner: str) -> list[tuple[Segment, Segment | None]]:
    """Every PID with the first segment of the partner's name that follows it."""
    found: list[tuple[Segment, Segment | None]] = []
    for line in reading.message.lines:
        if line.startswith("PID"):
            found.append((reading.split(line), None))
        elif line.startswith(partner) and found and found[-1][1] is None:
            found[-1] = (found[-1][0], reading.split(line))
    return found
