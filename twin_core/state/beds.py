"""Beds at an instant: who lies in them, who is to, and their status."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from twin_core.state.plans import Ahead
from twin_core.state.words import Bed, BedCounts, BedStatus, Occupant, Plan, Rows, Spot, spot

CLOSED_CODES = frozenset({"C"})
DIRTY_CODES = frozenset({"H", "K"})
ISOLATED_CODES = frozenset({"I"})


def placed_beds(
    beds: Rows, stays: Rows, planned: Ahead, spots: Mapping[str, Spot]
) -> dict[Spot, Bed]:
    """Every bed by its place, with the patients of the stays in it and those planned into it."""
    patients: dict[Spot, list[Occupant]] = defaultdict(list)
    for stay in stays:
        if stay["bed"]:
            patients[spots.get(stay["location_id"], spot(stay))].append(occupant(stay, planned))
    # Two ids of one place are one bed, and what a resource or a message stated of it counts.
    by_spot = {spot(row): row for row in sorted(beds, key=_word_counts)}
    return {
        place: _bed(row, patients.get(place, []), planned.into_bed.get(place, []))
        for place, row in by_spot.items()
    }


def _word_counts(row: Mapping[str, Any]) -> tuple[bool, str]:
    return bool(row["stated"]), row["location_id"] or ""


def _bed(row: Mapping[str, Any], patients: list[Occupant], coming: list[Plan]) -> Bed:
    code, staffed = row["operational_status"], row["staffed"]
    here = {patient.encounter_id for patient in patients}
    return Bed(
        location_id=row["location_id"],
        room=row["room"] or "",
        bed=row["bed"] or "",
        status=bed_status(code, staffed, occupied=bool(patients)),
        isolated=code in ISOLATED_CODES,
        conflict=len({p.patient_id or p.encounter_id for p in patients}) > 1,
        operational_status=code,
        staffed=staffed,
        occupants=tuple(patients),
        reserved_for=tuple(plan for plan in coming if plan.encounter_id not in here),
    )


def bed_status(code: str | None, staffed: bool | None, *, occupied: bool) -> BedStatus:
    """A bed's status from its table 0116 code, its staffing, and whether someone lies in it."""
    if occupied:
        return "occupied"
    if code in CLOSED_CODES or staffed is False:
        return "closed"
    if code in DIRTY_CODES:
        return "dirty"
    return "isolated" if code in ISOLATED_CODES else "free"


def counted(beds: list[Bed]) -> BedCounts:
    """How many of the beds are in which status."""
    in_status = {
        status: sum(bed.status == status for bed in beds)
        for status in ("occupied", "free", "dirty", "closed", "isolated")
    }
    stated = [b.staffed and b.status != "closed" for b in beds if b.staffed is not None]
    return BedCounts(
        beds=len(beds),
        staffed=sum(stated) if stated else None,
        on_leave=sum(any(p.on_leave for p in bed.occupants) for bed in beds),
        reserved=sum(bool(bed.reserved_for) and bed.status != "occupied" for bed in beds),
        expected_out=sum(any(p.leaving for p in bed.occupants) for bed in beds),
        conflicts=sum(bed.conflict for bed in beds),
        **in_status,
    )


def total(counts: Iterable[BedCounts]) -> BedCounts:
    """The sums over several units; `staffed` is null only where no unit states it."""
    summed: dict[str, int | None] = {}
    for count in counts:
        for name, number in msgspec.structs.asdict(count).items():
            if number is not None:
                summed[name] = (summed.get(name) or 0) + number
    return msgspec.convert(summed, BedCounts)


@lru_cache(maxsize=4096)
def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts `Bed 2` before `Bed 10`, as a ward numbers its beds."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p.casefold()) for p in parts)


def occupant(stay: Mapping[str, Any], planned: Ahead) -> Occupant:
    """The patient of a stay."""
    return Occupant(
        stay_id=stay["stay_id"],
        encounter_id=stay["encounter_id"],
        patient_id=stay["patient_id"],
        class_=stay["class"],
        service=stay["service"],
        since=stay["from_at"],
        on_leave=stay["on_leave"],
        leaving=planned.leaving.get(stay["encounter_id"]),
        away=planned.away.get(stay["encounter_id"]),
    )
