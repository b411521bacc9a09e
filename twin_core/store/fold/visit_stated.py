"""A visit of which nothing is known but one statement of one source: what a first load consists of.

The rows are those that the fold of any facts gives (a test holds both against each other), without
asking for movements, plans, cancels and other sources that there cannot be.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import UNSET

from twin_core.events import EncounterStated
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import EntityRow, Resolver, finding_row, text
from twin_core.store.fold.telling import (
    VOID_STATUSES,
    began_at,
    encounter_id_of,
    fhir_telling,
    left_open,
    number_row,
    part_of,
    periods,
    stay_rows,
)


def is_stated_once(facts: Sequence[Fact]) -> bool:
    """Whether one statement is all that is known."""
    return len(facts) == 1 and type(facts[0].event) is EncounterStated


def fold_stated_visit(
    fact: Fact, identifiers: Sequence[Identifier], resolver: Resolver
) -> list[EntityRow]:
    """The rows of an encounter that one statement tells."""
    event = fact.event
    assert isinstance(event, EncounterStated)  # noqa: S101  (narrows the type)
    visit, statements = event.visit, (fact,)
    encounter_id = encounter_id_of(identifiers)
    telling = fhir_telling(event, resolver)
    stated_at, stays = visit.admitted_at, telling.stays
    patient_id = resolver.patient(event.patient)[0]
    rows = periods(encounter_id, telling, telling.classes)
    if telling.status not in VOID_STATUSES:
        rows += _once(stay_rows(encounter_id, patient_id, stays))
    rows.append(
        (
            "encounter",
            (
                encounter_id,
                patient_id,
                (stays[-1].place.facility if stays else "") or _said(visit.facility),
                telling.classes[-1][1] if telling.classes else None,
                telling.status or "unknown",
                stated_at if isinstance(stated_at, datetime) else began_at(telling, telling),
                telling.discharged_at,
                _said(visit.service),
                _said(visit.admit_source),
                _said(visit.disposition),
                part_of(statements, resolver),
                _said(visit.attending),
                False,
                None,
                None,
            ),
        )
    )
    rows += _once(
        [
            ("encounter_milestone", (encounter_id, period.value, period.start))
            for period in event.milestones
            if period.start is not None
        ]
    )
    if isinstance(visit.consulting, tuple):
        rows += _once([("encounter_consultant", (encounter_id, one)) for one in visit.consulting])
    numbers = sorted(identifiers, key=_place_in_list) if len(identifiers) > 1 else identifiers
    rows += [number_row(encounter_id, number) for number in numbers]
    found_at = fact.recorded_at
    notes = left_open(statements, resolver)
    rows += _once([finding_row(note, encounter_id, found_at) for note in notes])
    return rows


def _once(rows: list[EntityRow]) -> list[EntityRow]:
    """Rows of one kind, each once. Hashing all rows of a visit takes as long as folding half."""
    if len(rows) < 2 or (len(rows) == 2 and rows[0] != rows[1]):
        return rows
    return list(dict.fromkeys(rows))


def _place_in_list(number: Identifier) -> tuple[str, str]:
    return (number.system, number.value)


def _said(value: object) -> object:
    """What a field says, as a cell: nothing where it says nothing."""
    return None if value is UNSET else text(value)
