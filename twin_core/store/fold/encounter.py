"""One encounter, from everything any source said of it.

HL7 v2 movements and FHIR statements meet here. Per field group (movement, status, class) a
configured precedence decides which kind of source counts; a disagreement is a finding.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import UNSET

from twin_core.events import EncounterEvent, EncountersMerged, EncounterStated, Visit
from twin_core.identifiers import Identifier, Place, content_id
from twin_core.settings import PrecedenceSettings
from twin_core.store.facts import Fact
from twin_core.store.fold.belonging import belonging, is_known, last_named
from twin_core.store.fold.course import HAS_COURSE, Course, follow, stated_classes
from twin_core.store.fold.plans import milestones_of, plans_of
from twin_core.store.fold.rows import (
    EntityRow,
    Note,
    ResolvedPlace,
    Resolver,
    canonical,
    finding_row,
    text,
    unresolved,
)
from twin_core.store.fold.stated import changes_of, latest_statements, stated_stays
from twin_core.store.fold.tracking import tracked

VOID_STATUSES = frozenset({"cancelled", "entered-in-error", "planned"})
"""Statuses without occupancy."""


class Stay(NamedTuple):
    """A stay of an encounter before it has an id."""

    place: ResolvedPlace
    from_at: datetime
    to_at: datetime | None
    inferred: bool


class Telling(NamedTuple):
    """What one kind of source tells of an encounter."""

    kind: str
    stays: Sequence[Stay]
    statuses: Sequence[tuple[datetime, str]]
    classes: Sequence[tuple[datetime, str]]
    discharged_at: datetime | None

    @property
    def status(self) -> str:
        """The latest status told."""
        return self.statuses[-1][1] if self.statuses else ""


def fold_encounter(
    facts: Sequence[Fact],
    identifiers: Sequence[Identifier],
    resolver: Resolver,
    precedence: PrecedenceSettings,
) -> list[EntityRow]:
    """The rows of one encounter, given its facts in order and the identifiers it is known by."""
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
        *_unresolved(statements, resolver),
    ]
    visit = _visit(course.live or heard, statements)
    admitted_at = _admitted_at(visit, movement, status)
    if len(identifiers) > 1:
        admitted_at = _not_after_beginning(admitted_at, movement, status, facts)
    patient, account = belonging(facts, resolver.account)
    patient_id, _ = resolver.patient(patient)
    stays = () if status.status in VOID_STATUSES else movement.stays
    rows = list(_periods(encounter_id, status, classes))
    rows += _stay_rows(encounter_id, patient_id, stays)
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
                _part_of(statements, resolver),
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


def encounter_id_of(identifiers: Sequence[Identifier]) -> str:
    """The stable id of an encounter known by these identifiers."""
    named = canonical(identifiers)
    return content_id("e", named.system, named.value)


def number_row(encounter_id: str, number: Identifier) -> EntityRow:
    """A number by which an encounter is known."""
    cells = (encounter_id, number.system, number.value, text(number.type))
    return ("encounter_identifier", cells)


def asks_for(facts: Sequence[Fact]) -> tuple[set[Identifier], set[Identifier]]:
    """The patients and the parent encounters that the fold of these facts will resolve."""
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
        tellings.append(_fhir_telling(statements[-1].event, resolver))
    moving = any(isinstance(fact.event, HAS_COURSE) for fact in heard)
    # Updates alone only infer; a FHIR server that reports the movements knows better.
    return tellings if moving or len(tellings) < 2 else tellings[::-1]


def _fhir_telling(event: object, resolver: Resolver) -> Telling:
    assert isinstance(event, EncounterStated)  # noqa: S101  (narrows the type)
    start, end = _instant(event.visit.admitted_at), _instant(event.visit.discharged_at)
    seen = start or event.occurred_at
    stays = [Stay(*stay, False) for stay in stated_stays(event, resolver.place, start, end)]
    stays.sort(key=lambda stay: (stay.from_at, stay.place))
    class_ = event.visit.class_ if isinstance(event.visit.class_, str) else ""
    statuses = changes_of(event.statuses, event.status, end if event.status == "finished" else seen)
    return Telling(
        "fhir",
        stays,
        statuses or [(seen, event.status)],
        changes_of(event.classes, class_, seen),
        end if event.status not in VOID_STATUSES else None,
    )


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


def _unresolved(statements: Sequence[Fact], resolver: Resolver) -> Iterator[Note]:
    for fact in statements:
        event = fact.event
        if isinstance(event, EncounterStated):
            for period in event.locations:
                at = resolver.place(period.place)
                if not at.known:
                    yield unresolved(fact, "Location", at.location_id)
            if event.part_of is not None:
                encounter_id, known = resolver.encounter(event.part_of)
                if not known:
                    yield unresolved(fact, "Encounter", encounter_id)
            if event.patient:
                patient_id, described = resolver.patient(event.patient)
                if not described:
                    yield unresolved(fact, "Patient", patient_id)


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
    return _began_at(movement, status)


def _began_at(movement: Telling, status: Telling) -> datetime | None:
    if movement.stays:
        return movement.stays[0].from_at
    began = [at for at, code in status.statuses if code not in {*VOID_STATUSES, "unknown"}]
    return began[0] if began else None


def _not_after_beginning(
    admitted_at: datetime | None, movement: Telling, status: Telling, facts: Sequence[Fact]
) -> datetime | None:
    # Of visits that were merged each goes on stating its own admission; the whole began with the
    # first of them.
    began = _began_at(movement, status)
    if admitted_at is None or began is None or began >= admitted_at:
        return admitted_at
    merged = any(isinstance(fact.event, EncountersMerged) for fact in facts)
    return began if merged else admitted_at


def _part_of(statements: Sequence[Fact], resolver: Resolver) -> str | None:
    for fact in reversed(statements):
        event = fact.event
        if isinstance(event, EncounterStated) and event.part_of is not None:
            return resolver.encounter(event.part_of)[0]
    return None


def _periods(
    encounter_id: str, status: Telling, classes: Sequence[tuple[datetime, str]]
) -> Iterator[EntityRow]:
    for entity, told in (("encounter_status", status.statuses), ("encounter_class", classes)):
        changes = _lasting(told)
        ends = [at for at, _ in changes[1:]]
        for (at, code), end in zip(changes, [*ends, None], strict=False):
            if end is None or end > at:
                yield (entity, (encounter_id, code, at, end))


def _lasting(changes: Sequence[tuple[datetime, str]]) -> list[tuple[datetime, str]]:
    # What is over at the instant it began was no period, and what it interrupted went on.
    lasting: list[tuple[datetime, str]] = []
    for at, code in changes:
        if lasting and lasting[-1][0] == at:
            lasting.pop()
        if not lasting or lasting[-1][1] != code:
            lasting.append((at, code))
    return lasting


def _stay_rows(
    encounter_id: str, patient_id: str | None, stays: Sequence[Stay]
) -> Iterator[EntityRow]:
    for stay in stays:
        place = stay.place
        stay_id = content_id("s", encounter_id, place.location_id, stay.from_at.isoformat())
        spot = (text(place.facility), text(place.unit), text(place.room), text(place.bed))
        at = (place.location_id, stay.from_at, stay.to_at, stay.inferred)
        yield ("stay", (stay_id, encounter_id, patient_id, *spot, *at))


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


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
