"""Journalled events told again: the inverse of `translate`, one message per message received.

Visits and people are told as ADT, appointments as SIU, results as ORU^R01. What is told is what the
twin understood, in the names that the receiving system expects: its assigning authorities, its unit
codes, its time zone and character set. Translated again, the message gives the same events. A
message whose events have no row in `tables`, or state a field that the tables do not know, is
refused with the reason (`Untellable`): nothing that the twin knows is left out without a word.
"""

from collections.abc import Sequence

import msgspec

from adapters.hl7v2.charsets import CODECS
from adapters.hl7v2.encode import SEGMENT_END, Segment
from adapters.hl7v2.retell import identities, results, schedules, segments
from adapters.hl7v2.retell.fields import cx
from adapters.hl7v2.retell.tables import RESTATED, STRUCTURES, TRIGGERS, kind_of, refuse_untold
from adapters.hl7v2.retell.words import Dialect, Said, Untellable
from twin_core.events import (
    BedStatusChanged,
    ClassChanged,
    EncounterContinued,
    EncounterEvent,
    Event,
    EventCancelled,
    PatientDescribed,
)

__all__ = ["Dialect", "Said", "Untellable", "retell"]


def retell(said: Said, dialect: Dialect, control_id: str) -> bytes:
    """The message that says what `said` meant, unframed, with `control_id` in MSH-10.

    Raises Untellable where HL7 v2, this module or the character set cannot say it.
    """
    for teller in (schedules, results):
        if teller.tells(said):
            # What these fields may hold is so various that reading it again is the only proof.
            raw = _encoded(teller.told(said, identities.plain(dialect, said), control_id), dialect)
            identities.refuse_another_reading(raw, said)
            return _encoded(teller.told(said, dialect, control_id), dialect)
    said = _without_continuations(said)
    for event in said.events:
        refuse_untold(event)
    described = tuple(e for e in said.events if isinstance(e, PatientDescribed))
    rest = said.events[len(described) :]
    if said.events[: len(described)] != described:
        raise Untellable("A patient is described behind another event.")
    if identities.triggers_of(rest):
        raw = _written(said, described, rest, identities.plain(dialect, said), control_id)
        identities.refuse_another_reading(raw, said)
    return _written(said, described, rest, dialect, control_id)


def _without_continuations(said: Said) -> Said:
    """The same without what a change of class says by its prior account (MRG-3)."""
    continued = [event for event in said.events if isinstance(event, EncounterContinued)]
    prior = [(e.prior_account,) for e in said.events if isinstance(e, ClassChanged)]
    if not continued or [event.encounter for event in continued] != prior:
        return said
    rest = tuple(event for event in said.events if event not in continued)
    return msgspec.structs.replace(said, events=rest)


def _written(
    said: Said,
    described: Sequence[PatientDescribed],
    rest: Sequence[Event],
    dialect: Dialect,
    control_id: str,
) -> bytes:
    trigger = _trigger(described, rest, said)
    event, structure = f"ADT^{trigger}", STRUCTURES[trigger]
    message = [
        segments.header(said, dialect, event, structure, control_id),
        segments.event_type(said, trigger, rest[0] if rest else None, dialect),
        *_body(described, rest, dialect),
    ]
    return _encoded(message, dialect)


def _encoded(message: Sequence[Segment], dialect: Dialect) -> bytes:
    text = SEGMENT_END.join([str(segment) for segment in message]) + SEGMENT_END
    try:
        return text.encode(CODECS[dialect.charset])
    except UnicodeEncodeError:
        reason = f"The text has characters that {dialect.charset} does not have."
        raise Untellable(reason) from None


def _trigger(described: Sequence[PatientDescribed], rest: Sequence[Event], said: Said) -> str:
    """The trigger event as received, where it says this; else the usual one."""
    kinds = tuple(dict.fromkeys(map(kind_of, rest)))
    triggers = identities.triggers_of(rest)
    if not triggers and len(kinds) < 2:
        triggers = TRIGGERS.get(kinds[0] if kinds else "", ())
    if not said.events or not triggers:
        said_as = ", ".join(kinds) or said.trigger_event
        raise Untellable(f"No ADT message of ours says this: {said_as}.")
    if any(_corrects(event) for event in rest):
        return RESTATED
    received = said.trigger_event.partition("^")[2]
    trigger = received if received in triggers else triggers[0]
    if trigger == "A31" and any(isinstance(e, EncounterEvent) and e.place for e in rest):
        return "A08"  # an A31 says nothing of places
    if trigger == "A29" and not all(map(_forgotten, described)):
        return "A31"
    return trigger


def _corrects(event: Event) -> bool:
    """Whether an event takes the place of an earlier statement of the same movement."""
    if not isinstance(event, EncounterEvent) or isinstance(event, EventCancelled):
        return False
    return event.movement is not None and event.movement.corrects


def _forgotten(who: PatientDescribed) -> bool:
    known = who.demographics
    return all(getattr(known, name) is None for name in known.__struct_fields__)


def _body(
    described: Sequence[PatientDescribed], rest: Sequence[Event], dialect: Dialect
) -> list[Segment]:
    if not rest:
        people = [segments.patient(who, dialect) for who in described]
        return [*people, Segment("PV1").put(1, "1").put(2, "N")]
    if isinstance(rest[0], BedStatusChanged):
        return [segments.bed(event, dialect) for event in rest if isinstance(event, type(rest[0]))]
    if identities.triggers_of(rest):
        return identities.told(described, rest, dialect)
    if len(described) != len(rest):
        raise Untellable("A visit's event comes without its patient.")
    told = zip(described, rest, strict=True)
    return [
        segment
        for number, (who, event) in enumerate(told, 1)
        for segment in _patient_and_visit(who, event, dialect, number)
    ]


def _patient_and_visit(
    who: PatientDescribed, event: Event, dialect: Dialect, number: int
) -> list[Segment]:
    if not isinstance(event, EncounterEvent) or event.patient != who.patient:
        raise Untellable("A visit's event is about another patient than the one described.")
    named, *prior = event.encounter
    pid, pv1 = segments.patient(who, dialect, number), segments.visit(event, dialect, number)
    by_account = named == event.account
    if event.account is not None:
        pid.put(18, cx(event.account, dialect))
    if not by_account:
        pv1.put(19, cx(named, dialect))
    mrg = []
    account = event.prior_account if isinstance(event, ClassChanged) else None
    if prior or account is not None:
        mrg = [Segment("MRG").put(1, cx(who.patient[0], dialect))]
    if account is not None:
        mrg[0].put(3, cx(account, dialect))
    for identifier in prior:
        field = 3 if by_account and identifier.type == "AN" else 5
        mrg[0].put(field, cx(identifier, dialect))
    plan = segments.expectation(event, dialect)
    return [pid, *mrg, pv1, *plan, *segments.movement(event, kind_of(event), dialect)]
