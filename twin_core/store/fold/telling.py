"""What one kind of source tells of an encounter, and the rows that follow from it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from twin_core.events import EncounterStated
from twin_core.identifiers import Identifier, content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import (
    EntityRow,
    Note,
    ResolvedPlace,
    Resolver,
    canonical,
    text,
    unresolved,
)
from twin_core.store.fold.stated import changes_of, stated_stays

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


def encounter_id_of(identifiers: Sequence[Identifier]) -> str:
    """The stable id of an encounter known by these identifiers."""
    named = canonical(identifiers)
    return content_id("e", named.system, named.value)


def number_row(encounter_id: str, number: Identifier) -> EntityRow:
    """A number by which an encounter is known."""
    cells = (encounter_id, number.system, number.value, text(number.type))
    return ("encounter_identifier", cells)


def fhir_telling(event: object, resolver: Resolver) -> Telling:
    """What the latest statement of a FHIR Encounter tells."""
    assert isinstance(event, EncounterStated)  # noqa: S101  (narrows the type)
    start, end = _instant(event.visit.admitted_at), _instant(event.visit.discharged_at)
    seen = start or event.occurred_at
    stays = [Stay(*stay, False) for stay in stated_stays(event, resolver.place, start, end)]
    if len(stays) > 1:
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


def left_open(statements: Sequence[Fact], resolver: Resolver) -> Iterator[Note]:
    """What the statements refer to and nobody has described."""
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


def began_at(movement: Telling, status: Telling) -> datetime | None:
    """When the visit began, as far as its stays and statuses tell."""
    if movement.stays:
        return movement.stays[0].from_at
    began = [at for at, code in status.statuses if code not in {*VOID_STATUSES, "unknown"}]
    return began[0] if began else None


def part_of(statements: Sequence[Fact], resolver: Resolver) -> str | None:
    """The encounter that this one is part of, as stated last."""
    for fact in reversed(statements):
        event = fact.event
        if isinstance(event, EncounterStated) and event.part_of is not None:
            return resolver.encounter(event.part_of)[0]
    return None


def periods(
    encounter_id: str, status: Telling, classes: Sequence[tuple[datetime, str]]
) -> list[EntityRow]:
    """The status and class histories as periods."""
    rows: list[EntityRow] = []
    for entity, told in (("encounter_status", status.statuses), ("encounter_class", classes)):
        changes = _lasting(told) if len(told) > 1 else told
        for (at, code), (end, _) in pairwise(changes):
            if end > at:
                rows.append((entity, (encounter_id, code, at, end)))
        if changes:
            at, code = changes[-1]
            rows.append((entity, (encounter_id, code, at, None)))
    return rows


def _lasting(changes: Sequence[tuple[datetime, str]]) -> list[tuple[datetime, str]]:
    # What is over at the instant it began was no period, and what it interrupted went on.
    lasting: list[tuple[datetime, str]] = []
    for at, code in changes:
        if lasting and lasting[-1][0] == at:
            lasting.pop()
        if not lasting or lasting[-1][1] != code:
            lasting.append((at, code))
    return lasting


def stay_rows(encounter_id: str, patient_id: str | None, stays: Sequence[Stay]) -> list[EntityRow]:
    """The stays as rows, each under an id that follows from visit, place and instant."""
    rows: list[EntityRow] = []
    for (facility, unit, room, bed, location_id, _), from_at, to_at, inferred in stays:
        stay_id = content_id("s", encounter_id, location_id, from_at.isoformat())
        spot = (facility or None, unit or None, room or None, bed or None, location_id)
        cells = (stay_id, encounter_id, patient_id, *spot, from_at, to_at, inferred)
        rows.append(("stay", cells))
    return rows


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
