"""Which encounter a message is about, when its event happened and what its PV1 states."""

import re
from datetime import datetime
from typing import NotRequired, TypedDict

from msgspec import UNSET

from adapters.hl7v2.conventions import remembered
from adapters.hl7v2.fields import CLEARED, Reading, Segment, visit
from adapters.hl7v2.timestamps import Moment, within_unit
from twin_core.events import Instant, Movement, Visit
from twin_core.identifiers import NOWHERE, Identifier, Place

ADMITTED, DISCHARGED = 44, 45
"""The PV1 fields that say when an event happened: admit and discharge date/time."""

_PRIOR_TEMPORARY_LOCATION = 43
_VISIT_NUMBER = re.compile(r"(?=\D*\d).{4,}", re.ASCII)
_DISPLACED_TIME = re.compile(r"(?:19|20)(?:\d{6}|\d{10}|\d{12})", re.ASCII)


class VisitFacts(TypedDict):
    """What every event of an encounter has in common, by the names of `EncounterEvent`."""

    occurred_at: datetime
    encounter: tuple[Identifier, ...]
    patient: tuple[Identifier, ...]
    account: Identifier | None
    entered_at: datetime
    visit: Visit
    place: Place
    movement: NotRequired[Movement]


def visit_facts(
    reading: Reading,
    patient: tuple[Identifier, ...],
    account_field: str,
    pv1: Segment | None,
    *,
    own_time: int = 0,
    sequence: int = 1,
) -> VisitFacts | None:
    """The facts of the visit that PV1 describes; None, with a finding, where it identifies none.

    `account_field` is PID-18, the patient's account number, as sent.
    `own_time` is the PV1 field that says when this kind of event happened, 0 where none does.
    """
    if pv1 is None:
        reading.note("missing_identifier", "The message has no PV1; only the patient is recorded.")
        return None
    conventions, message = reading.conventions, reading.message
    pv1 = _aligned(reading, pv1)
    admitted = reading.moment(pv1[ADMITTED], f"PV1^{sequence}^44")
    discharged = reading.moment(pv1[DISCHARGED], f"PV1^{sequence}^45")
    place = conventions.place(message, pv1[3])
    facility = place.facility or reading.sender.facility
    account = numbered(reading, account_field, "AN")
    encounter = encounter_identifiers(reading, account, pv1, patient[0], admitted, facility)
    if not encounter:
        detail = "No visit is named (PV1-19, PID-18, PV1-44); only the patient is recorded."
        reading.note("missing_identifier", detail)
        return None
    stated = reading.movement
    own = None if stated else {0: None, ADMITTED: admitted, DISCHARGED: discharged}[own_time]
    occurred_at = _occurred_at(reading, own)
    # Not VisitFacts(...), which takes three times as long to make the same dict.
    facts: VisitFacts = {
        "occurred_at": occurred_at,
        "encounter": encounter,
        "patient": patient,
        "account": account,
        "entered_at": reading.recorded_at,
        "visit": visit(
            reading,
            pv1,
            admitted_at=_stated_at(pv1[ADMITTED], admitted, own, occurred_at),
            discharged_at=_stated_at(pv1[DISCHARGED], discharged, own, occurred_at),
            facility=facility or UNSET,
            sequence=sequence,
        ),
        "place": place,
    }
    if stated is not None:
        facts["movement"] = stated
    return facts


def _occurred_at(reading: Reading, own: Moment | None) -> datetime:
    """The event's own field, else EVN-6, else EVN-2, else MSH-7."""
    if own is not None:
        return within_unit(own, reading.recorded_at)
    return reading.event_at or reading.recorded_at


def _aligned(reading: Reading, pv1: Segment) -> Segment:
    """The PV1; one whose sender left out a field before PV1-18 is put right, with a finding.

    Such a PV1 has its admission time in PV1-43, where a location belongs, and its visit number in
    PV1-18. Reading it by position would lose the visit without a word. A location is never named
    like a time, so nothing else is mistaken for it; but only what looks like a number is taken from
    PV1-18, for a patient type there would make one visit of all patients.
    """
    if pv1[ADMITTED] or not _DISPLACED_TIME.fullmatch(pv1[_PRIOR_TEMPORARY_LOCATION]):
        return pv1
    reading.note("displaced_field", "PV1-43 holds a time and PV1-44 nothing; read one field later.")
    right = pv1.copy()
    right[ADMITTED], right[_PRIOR_TEMPORARY_LOCATION] = pv1[_PRIOR_TEMPORARY_LOCATION], ""
    if not right[19] and _VISIT_NUMBER.fullmatch(pv1[18]):
        right[19] = pv1[18]
    return right


def _stated_at(field: str, moment: Moment | None, own: Moment | None, at: datetime) -> Instant:
    """An admission or discharge time as an attribute of the visit.

    A coarse time counts only in the message of its own event, where the instant of recording
    places it: repeated in a later message it would move the admission to midnight.
    """
    if moment is None:
        return None if field == CLEARED else UNSET
    if moment is own:
        return at
    return moment.at if moment.unit_ends_at is None else UNSET


def encounter_identifiers(
    reading: Reading,
    account: Identifier | None,
    pv1: Segment,
    patient: Identifier,
    admitted: Moment | None,
    facility: str,
) -> tuple[Identifier, ...]:
    """The visit number, else the account number, else patient and start of visit; or nothing."""
    named = numbered(reading, pv1[19], "VN") or account
    if named is not None:
        return (named,)
    if admitted is None:
        return ()
    value = f"{patient.system}|{patient.value}|{admitted.at.isoformat()}"
    return (Identifier(f"urn:wardtwin:visit-start:{facility}", value, "start"),)


def numbered(reading: Reading, field: str, kind: str) -> Identifier | None:
    """The first identifier of a CX field, of that type where the field gives none."""
    if not field:
        return None
    message = reading.message
    marks = message.delimiters
    if marks.repetition in field:
        field = field.partition(marks.repetition)[0]
    value, _, rest = field.partition(marks.component)
    if not value.isalnum():
        value = message.text(value).strip()
        if not value or value == CLEARED:
            return None
    system, stated = reading.sender.numbers.get((kind, rest)) or _issued(reading, rest, kind)
    return Identifier(system, value, stated)


def _issued(reading: Reading, rest: str, kind: str) -> tuple[str, str]:
    """System and type of a number of that kind, by what follows it in a CX field."""
    message = reading.message
    _, _, authority, stated = [*rest.split(message.delimiters.component, 4), "", "", "", ""][:4]
    system = reading.conventions.system(message, authority, kind)
    issued = system, message.text(stated).strip() or kind
    if reading.is_remembered(rest):
        remembered(reading.sender.numbers, (kind, rest), issued)
    return issued


def without_place(facts: VisitFacts) -> VisitFacts:
    """The same facts, saying nothing of where the patient is."""
    return {**facts, "place": NOWHERE}
