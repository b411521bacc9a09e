"""Units at an instant: their beds, their patients, and who is to come and go."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from twin_core.state.beds import counted, natural_key, occupant
from twin_core.state.plans import Ahead, expected_in, expected_out
from twin_core.state.words import Bed, Occupant, Rows, Spot, UnitState, spot


def placed_units(
    known: Rows, beds: Mapping[Spot, Bed], stays: Rows, planned: Ahead
) -> tuple[UnitState, ...]:
    """Every unit that the hierarchy describes, or that a bed, a stay or a plan names."""
    described = {(row["facility"] or "", row["unit"]): row for row in known}
    beds_of: dict[tuple[str, str], list[Bed]] = defaultdict(list)
    for place, bed in beds.items():
        beds_of[place[:2]].append(bed)
    without_bed: dict[tuple[str, str], list[Occupant]] = defaultdict(list)
    for stay in stays:
        if not stay["bed"]:
            without_bed[spot(stay)[:2]].append(occupant(stay, planned))
    keys = sorted({*described, *beds_of, *without_bed}, key=unit_order)
    return tuple(
        _unit(key, described.get(key, {}), beds_of[key], without_bed[key], planned) for key in keys
    )


def unit_order(key: tuple[str, str]) -> tuple[object, ...]:
    """Units by facility, `Ward 2` before `Ward 10`."""
    return key[0], natural_key(key[1]), key[1]


def _unit(
    key: tuple[str, str],
    row: Mapping[str, Any],
    beds: list[Bed],
    without_bed: list[Occupant],
    planned: Ahead,
) -> UnitState:
    beds.sort(key=lambda bed: (natural_key(bed.room), natural_key(bed.bed), bed.room, bed.bed))
    patients = [p for bed in beds for p in bed.occupants] + without_bed
    census = len({p.patient_id or p.encounter_id for p in patients})
    coming = expected_in(planned.into_unit.get(key, ()), patients)
    going = expected_out(key, patients)
    return UnitState(
        facility=key[0],
        unit=key[1],
        kind=row.get("kind") or "",
        name=row.get("name") or "",
        census=census,
        counts=counted(beds),
        beds=tuple(beds),
        without_bed=tuple(without_bed),
        expected_in=coming,
        expected_out=going,
        census_expected=census + len(coming) - len(going),
    )
