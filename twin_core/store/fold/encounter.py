"""One encounter, from everything any source said of it.

HL7 v2 movements and FHIR statements meet here. Per field group (movement, status, class) a
configured precedence decides which kind of source counts; a disagreement is a finding.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import UNSET

from twin_core.events import EncounterEvent, EncountersMerged, EncounterStated, Visit
from twin_core.identifiers import Identifier, Place, content_id
from twin_core.settings import PrecedenceSettings
from twin_core.store.facts import Fact
from twin_core.store.fold.belonging import belonging, is_known, last_named
from twin_core.store.fold.course import HAS_COURSE, Course, follow, stated_classes
from twin_core.store.fold.plans import milestones_of, plans_of
from twin_core.store.fold.rows import EntityRow, Note, Resolver, finding_row, text
from twin_core.store.fold.stated import latest_statements
from twin_core.store.fold.telling import (
    VOID_STATUSES,
    Stay,
    Telling,
    began_at,
    encounter_id_of,
    fhir_telling,
    left_open,
    number_row,
    part_of,
    periods,
    stay_rows,
)
from twin_core.store.fold.tracking import tracked
from twin_core.store.fold.visit_stated import fold_stated_visit, is_stated_once


def fold_encounter(
    facts: Sequence[Fact],
    identifiers: Sequence[Identifier],
    resolver: Resolver,
    precedence: PrecedenceSettings,
) -> list[EntityRow]:
    """The rows of one encounter, given its facts in order and the identifiers it is known by."""
    if is_stated_once(facts):
        return fold_stated_visit(facts[0], identifiers, resolver)
    return fold_all(facts, identifiers, resolver, precedence)


def fold_all(
    facts: Sequence[Fact],
    identifiers: Sequence[Identifier],
    resolver: Resolver,
    precedence: PrecedenceSettings,
) -> list[EntityRow]:
    """The rows of an encounter by the rules for any facts; `fold_encounter` has shorter ways."""
    if not is_known(facts):
        return []
    encounter_id = encounter_id_of(identifiers)
    heard = [fact for fact in facts if isinstance(fact.event, EncounterEvent)]
    statements = latest_statements(facts) if len(heard) < len(facts) else []
    course = follow(heard, resolver.place)
    tellings = _tellings(heard, course, statements, resolver)
    movement = _first(tellings, precedence.movement)
    status = _first(tellings, precedence.status)
    classes = _first(tellings, precedence.class_).classes or _any_classes(tellings)
    notes = [
        *course.notes,
        *_disagreements(tellings, statements),
        *left_open(statements, resolver),
    ]
    visit = _visit(course.live or heard, statements)
    admitted_at = _admitted_at(visit, movement, status)
    if len(identifiers) > 1:
        admitted_at = _not_after_beginning(admitted_at, movement, status, facts)
    patient, account = belonging(facts, resolver.account)
    patient_id, _ = resolver.patient(patient)
    stays = () if status.status in VOID_STATUSES else movement.stays
    rows = periods(encounter_id, status, classes)
    rows += stay_rows(encounter_id, patient_id, stays)
    rows.append(
        (
            "encounter",
            (
                encounter_id,
                patient_id,
                text(_facility(visit, movement.stays)),
                classes[-1][1] if classes else None,
                status.status or "unknown",
                admitted_at,
                movement.discharged_at,
                text(visit["service"]),
                text(visit["admit_source"]),
                text(visit["disposition"]),
                part_of(statements, resolver),
                text(visit["attending"]),
                course.inferred,
                account.account_id if account else None,
                account.number if account else None,
            ),
        )
    )
    rows += _milestones(encounter_id, course, statements)
    rows += _plans(encounter_id, course)
    if status.status not in VOID_STATUSES:
        rows += _tracking(encounter_id, course)
    consulting = visit["consulting"]
    if isinstance(consulting, tuple):
        rows += [("encounter_consultant", (encounter_id, doctor)) for doctor in consulting]
    for i in sorted(identifiers, key=lambda i: (i.system, i.value)):
        rows.append(number_row(encounter_id, i))
    rows += [finding_row(note, encounter_id, facts[-1].recorded_at) for note in notes]
    return list(dict.fromkeys(rows)) if statements or notes else rows


def asks_for(facts: Sequence[Fact]) -> tuple[set[Identifier], set[Identifier]]:
    """The patients and the parent encounters that the fold of these facts will resolve."""
    if is_stated_once(facts):
        stated = facts[0].event
        assert isinstance(stated, EncounterStated)  # noqa: S101  (narrows the type)
        return set(stated.patient[:1]), {stated.part_of} if stated.part_of else set()
    patients = set(last_named(facts)[:1])
    parents: set[Identifier] = set()
    for fact in facts:
        event = fact.event
        if isinstance(event, EncounterStated):
            patients.update(event.patient[:1])
            if event.part_of is not None:
                parents.add(event.part_of)
    return patients, parents


def _tellings(
    heard: Sequence[Fact], course: Course, statements: Sequence[Fact], resolver: Resolver
) -> list[Telling]:
    tellings = []
    if heard:
        classes = stated_classes(course.live) or stated_classes(course.known)
        stays = [Stay(s.place, s.from_at, s.to_at, s.inferred) for s in course.stays]
        tellings.append(Telling("hl7v2", stays, course.statuses, classes, course.discharged_at))
    if statements:
        tellings.append(fhir_telling(statements[-1].event, resolver))
    moving = any(isinstance(fact.event, HAS_COURSE) for fact in heard)
    # Updates alone only infer; a FHIR server that reports the movements knows better.
    return tellings if moving or len(tellings) < 2 else tellings[::-1]


def _first(tellings: Sequence[Telling], precedence: Sequence[str]) -> Telling:
    if len(tellings) > 1 and tellings[0].kind == "fhir":
        return tellings[0]
    by_kind = {telling.kind: telling for telling in tellings}
    for kind in precedence:
        if kind in by_kind:
            return by_kind[kind]
    return tellings[0]


def _any_classes(tellings: Sequence[Telling]) -> Sequence[tuple[datetime, str]]:
    return next((telling.classes for telling in tellings if telling.classes), ())


def _disagreements(tellings: Sequence[Telling], statements: Sequence[Fact]) -> Iterator[Note]:
    if len(tellings) < 2:
        return
    (one, other), fact = tellings, statements[-1]
    if one.status != other.status:
        yield Note("source_disagreement", fact, "sources differ on the status")
    if one.classes and other.classes and one.classes[-1][1] != other.classes[-1][1]:
        yield Note("source_disagreement", fact, "sources differ on the class")
    if one.stays and other.stays and not one.stays[-1].place.agrees_with(other.stays[-1].place):
        yield Note("source_disagreement", fact, "sources differ on the location")


_VISIT_FIELDS = (
    "service",
    "admit_source",
    "disposition",
    "admitted_at",
    "attending",
    "consulting",
    "facility",
)


def _visit(heard: Sequence[Fact], statements: Sequence[Fact]) -> dict[str, object]:
    # Last writer wins, field by field; what was undone by a cancel no longer counts.
    said: dict[str, object] = dict.fromkeys(_VISIT_FIELDS)
    previous = None
    facts = sorted([*heard, *statements], key=lambda fact: fact.order) if statements else heard
    for fact in facts:
        visit: Visit = fact.event.visit  # type: ignore[attr-defined]
        if visit != previous:
            for field in _VISIT_FIELDS:
                value = getattr(visit, field)
                if value is not UNSET:
                    said[field] = value
        previous = visit
    return said


def _facility(visit: dict[str, object], stays: Sequence[Stay]) -> object:
    return (stays[-1].place.facility if stays else "") or visit["facility"]


def _admitted_at(visit: dict[str, object], movement: Telling, status: Telling) -> datetime | None:
    stated = visit["admitted_at"]
    if isinstance(stated, datetime):
        return stated
    return began_at(movement, status)


def _not_after_beginning(
    admitted_at: datetime | None, movement: Telling, status: Telling, facts: Sequence[Fact]
) -> datetime | None:
    # Of visits that were merged each goes on stating its own admission; the whole began with the
    # first of them.
    began = began_at(movement, status)
    if admitted_at is None or began is None or began >= admitted_at:
        return admitted_at
    merged = any(isinstance(fact.event, EncountersMerged) for fact in facts)
    return began if merged else admitted_at


def _milestones(
    encounter_id: str, course: Course, statements: Sequence[Fact]
) -> Iterator[EntityRow]:
    for kind, at in dict.fromkeys((*course.milestones, *milestones_of(course))):
        yield ("encounter_milestone", (encounter_id, kind, at))
    for fact in statements:
        for period in getattr(fact.event, "milestones", ()):
            if period.start is not None:
                yield ("encounter_milestone", (encounter_id, period.value, period.start))


def _plans(encounter_id: str, course: Course) -> Iterator[EntityRow]:
    for plan in plans_of(course):
        stated_at = plan.stated.event.occurred_at
        plan_id = content_id("n", encounter_id, plan.kind, plan.stated.order[5].hex())
        ends = (stated_at, plan.expected_at, plan.ended_at)
        where = _spot(course, plan.place)
        row = (plan_id, encounter_id, plan.kind, plan.status, *ends, *where)
        yield ("encounter_plan", row)


def _tracking(encounter_id: str, course: Course) -> Iterator[EntityRow]:
    for one in tracked(course):
        where = _spot(course, one.place)
        row = (encounter_id, one.status, one.temporary, *where, one.from_at, one.to_at)
        yield ("encounter_tracking", row)


def _spot(course: Course, place: Place) -> tuple[object, ...]:
    """Facility, unit, room, bed and location_id of a place; nothing of nowhere."""
    if not place:
        return (None,) * 5
    at = course.locate(place)
    return (text(at.facility), text(at.unit), text(at.room), text(at.bed), at.location_id)
