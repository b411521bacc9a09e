"""The hospital at one instant: every unit, every bed, and who is waiting in the ED.

Now, at T, and at T as known at K are one computation: the histories of the store as known at K
(NULL: as known now), cut at T. `hospital_state` asks three questions of the store and composes the
answers; it holds no state and reads no clock.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import msgspec

Rows = list[dict[str, Any]]
Query = Callable[[str, Mapping[str, object]], Rows]
BedStatus = Literal["occupied", "free", "dirty", "closed", "isolated"]
Spot = tuple[str, str, str, str]
"""Facility, unit, room and bed."""

MINUTE = timedelta(minutes=1)
CLOSED_CODES = frozenset({"C"})
DIRTY_CODES = frozenset({"H", "K"})
ISOLATED_CODES = frozenset({"I"})

# Only physical type `bd` is a bed: a ward or a room never counts as one. Beds that only a stay
# names are beds too. Where a location has a history, the history decides what was true at $at;
# a location without one has only ever had the status it shows.
BEDS = """
WITH history_at AS (
    SELECT location_id,
           arg_max({'operational_status': operational_status, 'staffed': staffed},
                   coalesce(from_at, '-infinity'::TIMESTAMPTZ))
               FILTER (WHERE coalesce(from_at <= $at, true) AND coalesce(to_at > $at, true)) AS held
    FROM history.location_status($known_at) GROUP BY location_id
), stated AS (
    SELECT * FROM history.location($known_at) WHERE kind = 'bd'
), named AS (
    SELECT location_id, facility, unit, room, bed
    FROM history.stay($known_at) WHERE bed IS NOT NULL GROUP BY ALL
)
SELECT l.location_id, l.facility, l.unit, l.room,
       coalesce(l.bed, CASE WHEN l.unit IS NOT NULL THEN l.name END, l.location_id) AS bed,
       CASE WHEN h.location_id IS NULL THEN l.operational_status
            ELSE h.held.operational_status END AS operational_status,
       CASE WHEN h.location_id IS NULL THEN l.staffed ELSE h.held.staffed END AS staffed,
       true AS stated
FROM stated l LEFT JOIN history_at h ON h.location_id = l.location_id
UNION ALL
SELECT n.location_id, n.facility, n.unit, n.room, n.bed, NULL, NULL, false
FROM named n ANTI JOIN stated l ON l.location_id = n.location_id
"""

# The units of the location hierarchy; units that only stays name are added from the stays. A clinic
# that only appointments name is a location without a description, where nobody ever lay.
UNITS = """
WITH lived_in AS (SELECT DISTINCT facility, unit FROM history.stay($known_at))
SELECT l.facility, l.unit, any_value(l.kind) AS kind, any_value(l.name) AS name
FROM history.location($known_at) l
LEFT JOIN lived_in s ON s.facility IS NOT DISTINCT FROM l.facility AND s.unit = l.unit
WHERE l.unit IS NOT NULL AND l.room IS NULL AND l.bed IS NULL AND l.kind NOT IN ('bd', 'ro')
  AND (l.name IS NOT NULL OR s.unit IS NOT NULL)
GROUP BY l.facility, l.unit
"""

# Who is where at $at; class and leave are those of the encounter's histories at $at.
STAYS = """
WITH present AS (
    SELECT * FROM history.stay($known_at)
    WHERE from_at <= $at AND coalesce(to_at > $at, true)
), visit AS (
    SELECT DISTINCT e.encounter_id, e.class, e.service
    FROM history.encounter($known_at) e JOIN present p ON p.encounter_id = e.encounter_id
), class_at AS (
    SELECT c.encounter_id, max_by(c.class, c.from_at) AS class
    FROM history.encounter_class($known_at) c JOIN present p ON p.encounter_id = c.encounter_id
    WHERE c.from_at <= $at AND coalesce(c.to_at > $at, true)
    GROUP BY c.encounter_id
), on_leave AS (
    SELECT DISTINCT encounter_id FROM history.encounter_status($known_at)
    WHERE status = 'onleave' AND from_at <= $at AND coalesce(to_at > $at, true)
)
SELECT p.stay_id, p.encounter_id, p.patient_id, p.facility, p.unit, p.room, p.bed,
       p.location_id, p.from_at, coalesce(c.class, v.class) AS class, v.service,
       l.encounter_id IS NOT NULL AS on_leave
FROM present p
LEFT JOIN visit v ON v.encounter_id = p.encounter_id
LEFT JOIN class_at c ON c.encounter_id = p.encounter_id
LEFT JOIN on_leave l ON l.encounter_id = p.encounter_id
ORDER BY p.from_at, p.stay_id
"""

# Everyone in the ED at $at: class EMER, arrived and not left. A patient whose class has changed to
# inpatient is a boarder in an ED bed, not on this list. Where they are comes from the stays.
ED = """
WITH present AS (
    SELECT encounter_id, max_by(status, from_at) AS status
    FROM history.encounter_status($known_at)
    WHERE status IN ('arrived', 'triaged', 'in-progress')
      AND from_at <= $at AND coalesce(to_at > $at, true)
    GROUP BY encounter_id
), class_at AS (
    SELECT c.encounter_id, max_by(c.class, c.from_at) AS class
    FROM history.encounter_class($known_at) c JOIN present p ON p.encounter_id = c.encounter_id
    WHERE c.from_at <= $at AND coalesce(c.to_at > $at, true)
    GROUP BY c.encounter_id
)
SELECT p.encounter_id, e.patient_id, e.facility, p.status, coalesce(c.class, e.class) AS class,
       e.admitted_at AS arrived_at
FROM present p
JOIN history.encounter($known_at) e ON e.encounter_id = p.encounter_id
LEFT JOIN class_at c ON c.encounter_id = p.encounter_id
WHERE coalesce(c.class, e.class) = 'EMER'
"""


class Occupant(msgspec.Struct, frozen=True, kw_only=True):
    """A patient at a place: ids only; names stay in the store."""

    stay_id: str
    encounter_id: str
    patient_id: str | None
    class_: str | None = msgspec.field(name="class")
    service: str | None
    since: datetime
    on_leave: bool


class Bed(msgspec.Struct, frozen=True, kw_only=True):
    """A bed at an instant. An open stay makes it occupied, whatever else was said of it.

    `conflict` means that two patients are in it; `isolated` that it is so marked, occupied or not;
    `operational_status` is the HL7 table 0116 code in force, as the source gave it.
    """

    location_id: str | None
    room: str
    bed: str
    status: BedStatus
    isolated: bool
    conflict: bool
    operational_status: str | None
    staffed: bool | None
    occupants: tuple[Occupant, ...]


class BedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many beds are in which status; the five statuses add up to `beds`.

    `staffed` counts open beds stated to be staffed and is null where none of the beds says.
    `on_leave` counts occupied beds held for patients on leave; `conflicts` those with two patients.
    """

    beds: int = 0
    occupied: int = 0
    free: int = 0
    dirty: int = 0
    closed: int = 0
    isolated: int = 0
    staffed: int | None = None
    on_leave: int = 0
    conflicts: int = 0


class UnitState(msgspec.Struct, frozen=True, kw_only=True):
    """A nursing unit or department: its beds, and its patients without a bed.

    `census` counts each patient with an open stay in the unit once, in a bed or not, on leave or
    not.
    """

    facility: str
    unit: str
    kind: str
    name: str
    census: int
    counts: BedCounts
    beds: tuple[Bed, ...]
    without_bed: tuple[Occupant, ...]


class EdPatient(msgspec.Struct, frozen=True, kw_only=True):
    """Someone in the emergency department; `bay` is empty while waiting for a place."""

    encounter_id: str
    patient_id: str | None
    facility: str
    unit: str
    bay: str
    class_: str | None = msgspec.field(name="class")
    status: str
    arrived_at: datetime | None
    waited_minutes: int | None


class HospitalState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole hospital at `at`, as known at `known_at` (null: as known now)."""

    at: datetime
    known_at: datetime | None
    sequence: int
    census: int
    counts: BedCounts
    units: tuple[UnitState, ...]
    ed: tuple[EdPatient, ...]


def hospital_state(
    query: Query, *, at: datetime, known_at: datetime | None = None, sequence: int = 0
) -> HospitalState:
    """The hospital at `at` as known at `known_at`, from the histories behind `query`.

    `sequence` is the batch up to which the store had been applied before the question was asked.
    """
    instants = {"at": at, "known_at": known_at}
    stays = query(STAYS, instants)
    units = _units(
        query(UNITS, {"known_at": known_at}), _placed_beds(query(BEDS, instants), stays), stays
    )
    return HospitalState(
        at=at,
        known_at=known_at,
        sequence=sequence,
        census=sum(unit.census for unit in units),
        counts=total(unit.counts for unit in units),
        units=units,
        ed=_ed(query(ED, instants), stays, at),
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


def _placed_beds(beds: Rows, stays: Rows) -> dict[Spot, Bed]:
    spots = {row["location_id"]: _spot(row) for row in beds if row["location_id"]}
    patients: dict[Spot, list[Occupant]] = defaultdict(list)
    for stay in stays:
        if stay["bed"]:
            patients[spots.get(stay["location_id"], _spot(stay))].append(_occupant(stay))
    # Two ids of one place are one bed, and what a resource or a message stated of it counts.
    by_spot = {_spot(row): row for row in sorted(beds, key=lambda row: bool(row["stated"]))}
    return {spot: _bed(row, patients.get(spot, [])) for spot, row in by_spot.items()}


def _bed(row: Mapping[str, Any], patients: list[Occupant]) -> Bed:
    code, staffed = row["operational_status"], row["staffed"]
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


def _units(known: Rows, beds: Mapping[Spot, Bed], stays: Rows) -> tuple[UnitState, ...]:
    described = {(row["facility"] or "", row["unit"]): row for row in known}
    beds_of: dict[tuple[str, str], list[Bed]] = defaultdict(list)
    for spot, bed in beds.items():
        beds_of[spot[:2]].append(bed)
    without_bed: dict[tuple[str, str], list[Occupant]] = defaultdict(list)
    for stay in stays:
        if not stay["bed"]:
            without_bed[_spot(stay)[:2]].append(_occupant(stay))
    keys = sorted({*described, *beds_of, *without_bed}, key=lambda k: (k[0], natural_key(k[1])))
    return tuple(_unit(key, described.get(key, {}), beds_of[key], without_bed[key]) for key in keys)


def _unit(
    key: tuple[str, str], row: Mapping[str, Any], beds: list[Bed], without_bed: list[Occupant]
) -> UnitState:
    beds.sort(key=lambda bed: (natural_key(bed.room), natural_key(bed.bed)))
    patients = [p for bed in beds for p in bed.occupants] + without_bed
    return UnitState(
        facility=key[0],
        unit=key[1],
        kind=row.get("kind") or "",
        name=row.get("name") or "",
        census=len({p.patient_id or p.encounter_id for p in patients}),
        counts=_counts(beds),
        beds=tuple(beds),
        without_bed=tuple(without_bed),
    )


def _counts(beds: list[Bed]) -> BedCounts:
    in_status = {
        status: sum(bed.status == status for bed in beds)
        for status in ("occupied", "free", "dirty", "closed", "isolated")
    }
    stated = [b.staffed and b.status != "closed" for b in beds if b.staffed is not None]
    return BedCounts(
        beds=len(beds),
        staffed=sum(stated) if stated else None,
        on_leave=sum(any(p.on_leave for p in bed.occupants) for bed in beds),
        conflicts=sum(bed.conflict for bed in beds),
        **in_status,
    )


def _ed(rows: Rows, stays: Rows, at: datetime) -> tuple[EdPatient, ...]:
    places = {stay["encounter_id"]: stay for stay in stays}
    patients = [_ed_patient(row, places.get(row["encounter_id"], {}), at) for row in rows]
    patients.sort(key=lambda p: (p.arrived_at or at, p.encounter_id))
    return tuple(patients)


def _ed_patient(row: Mapping[str, Any], stay: Mapping[str, Any], at: datetime) -> EdPatient:
    arrived_at: datetime | None = row["arrived_at"]
    bay = "-".join(filter(None, (stay.get("room"), stay["bed"]))) if stay.get("bed") else ""
    return EdPatient(
        encounter_id=row["encounter_id"],
        patient_id=row["patient_id"],
        facility=stay.get("facility") or row["facility"] or "",
        unit=stay.get("unit") or "",
        bay=bay,
        class_=row["class"],
        status=row["status"],
        arrived_at=arrived_at,
        waited_minutes=None if arrived_at is None else max(0, (at - arrived_at) // MINUTE),
    )


def _occupant(stay: Mapping[str, Any]) -> Occupant:
    return Occupant(
        stay_id=stay["stay_id"],
        encounter_id=stay["encounter_id"],
        patient_id=stay["patient_id"],
        class_=stay["class"],
        service=stay["service"],
        since=stay["from_at"],
        on_leave=stay["on_leave"],
    )


def _spot(row: Mapping[str, Any]) -> Spot:
    return (row["facility"] or "", row["unit"] or "", row["room"] or "", row["bed"] or "")
