"""What is planned at an instant: who is to come into a unit or a bed, and who is to leave."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from twin_core.state.words import Away, Occupant, Plan, Rows, Spot, spot

COMING = frozenset({"admission", "transfer"})
LEAVING = frozenset({"transfer", "discharge"})


class Ahead(NamedTuple):
    """Plans and whereabouts at an instant, by the place or the encounter they are about."""

    into_bed: Mapping[Spot, list[Plan]]
    into_unit: Mapping[tuple[str, str], list[Plan]]
    leaving: Mapping[str, Plan]
    """The next transfer or discharge of an encounter."""
    away: Mapping[str, Away]


def ahead(plans: Rows, whereabouts: Rows, spots: Mapping[str, Spot]) -> Ahead:
    """What the rows of PLANS and AWAY say; `spots` are the places of the known locations."""
    into_bed: dict[Spot, list[Plan]] = defaultdict(list)
    into_unit: dict[tuple[str, str], list[Plan]] = defaultdict(list)
    leaving: dict[str, Plan] = {}
    for row in plans:
        plan, place = _plan(row), spots.get(row["location_id"], spot(row))
        if plan.kind in LEAVING:
            leaving.setdefault(plan.encounter_id, plan)
        if plan.kind in COMING and plan.unit:
            into_unit[place[:2]].append(plan)
            if plan.bed:
                into_bed[place].append(plan)
    away = {row["encounter_id"]: _away(row) for row in whereabouts}
    return Ahead(into_bed, into_unit, leaving, away)


def expected_in(coming: Iterable[Plan], patients: Iterable[Occupant]) -> tuple[Plan, ...]:
    """The plans of who is not in the unit yet, each patient once."""
    here = {patient.encounter_id for patient in patients}
    first: dict[str, Plan] = {}
    for plan in coming:
        if plan.encounter_id not in here:
            first.setdefault(plan.encounter_id, plan)
    return tuple(first.values())


def expected_out(unit: tuple[str, str], patients: Iterable[Occupant]) -> tuple[Plan, ...]:
    """The plans of who is to leave the unit; a transfer to another of its beds is none."""
    plans = {p.encounter_id: p.leaving for p in patients if p.leaving is not None}
    return tuple(
        plan
        for plan in plans.values()
        if plan.kind == "discharge" or (plan.facility or unit[0], plan.unit) != unit
    )


def _plan(row: Mapping[str, Any]) -> Plan:
    facility, unit, room, bed = spot(row)
    return Plan(
        encounter_id=row["encounter_id"],
        patient_id=row["patient_id"],
        kind=row["kind"],
        stated_at=row["stated_at"],
        expected_at=row["expected_at"],
        facility=facility,
        unit=unit,
        room=room,
        bed=bed,
    )


def _away(row: Mapping[str, Any]) -> Away:
    facility, unit, room, bed = spot(row)
    return Away(
        status=row["status"],
        facility=facility,
        unit=unit,
        room=room,
        bed=bed,
        since=row["from_at"],
    )
