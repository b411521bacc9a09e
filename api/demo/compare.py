"""The store against the truth, row for row: encounters, stays, patients and hourly census."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from api.demo.plan import PATIENTS, VISITS, DemoPlan, identifier_systems
from twin_core.simulation.truth import TruePeriod

Query = Callable[[str, Sequence[object]], list[dict[str, Any]]]
SHOWN = 5
READY = "U"


class Comparison(NamedTuple):
    """One kind of row: how many there are on each side, and the first differences in words."""

    what: str
    true_rows: int
    rows: int
    differences: list[str]
    different: int


_ENCOUNTERS = """
SELECT v.value AS visit, e.class, e.status, e.admitted_at, e.discharged_at, e.facility,
       string_agg(p.value, ' ' ORDER BY p.value) AS patient
FROM twin.encounter e
LEFT JOIN twin.encounter_identifier v ON v.encounter_id = e.encounter_id AND v.system = ?
LEFT JOIN twin.patient_identifier p ON p.patient_id = e.patient_id AND p.system = ?
GROUP BY ALL
"""
_STAYS = """
SELECT v.value AS visit, s.facility, s.unit, s.room, s.bed, s.from_at, s.to_at
FROM twin.stay s
LEFT JOIN twin.encounter_identifier v ON v.encounter_id = s.encounter_id AND v.system = ?
"""
_CLASSES = """
SELECT v.value AS visit, c.class AS code, c.from_at, c.to_at
FROM twin.encounter_class c
JOIN twin.encounter e ON e.encounter_id = c.encounter_id AND e.status <> 'cancelled'
LEFT JOIN twin.encounter_identifier v ON v.encounter_id = c.encounter_id AND v.system = ?
"""
_LEAVES = """
SELECT v.value AS visit, s.status AS code, s.from_at, s.to_at
FROM twin.encounter_status s
LEFT JOIN twin.encounter_identifier v ON v.encounter_id = s.encounter_id AND v.system = ?
WHERE s.status = 'onleave'
"""
_BEDS = """
SELECT facility, unit, room, bed, operational_status
FROM twin.location WHERE kind = 'bd'
"""
_PATIENTS = """
SELECT i.value AS record_number, coalesce(m.value, p.merged_into) AS merged_into
FROM twin.patient p
LEFT JOIN twin.patient_identifier i ON i.patient_id = p.patient_id AND i.system = ?
LEFT JOIN twin.patient_identifier m ON m.patient_id = p.merged_into AND m.system = ?
"""
_CENSUS = """
SELECT hour, s.unit, count(*) AS census
FROM (SELECT unnest(generate_series(?::TIMESTAMPTZ, ?::TIMESTAMPTZ, INTERVAL 1 HOUR)) AS hour) h
JOIN twin.stay s ON s.from_at <= hour AND (s.to_at IS NULL OR s.to_at > hour)
GROUP BY ALL
"""


def compare(plan: DemoPlan, query: Query) -> list[Comparison]:
    """Everything that can be compared, compared."""
    systems = identifier_systems(plan.model)
    patients, visits = systems[PATIENTS], systems[VISITS]
    return [
        _patients(plan, query(_PATIENTS, [patients, patients])),
        _encounters(plan, query(_ENCOUNTERS, [visits, patients])),
        _stays(plan, query(_STAYS, [visits])),
        _periods("classes", plan.demonstration.truth.classes(), query(_CLASSES, [visits])),
        _periods("leaves", plan.demonstration.truth.leaves(), query(_LEAVES, [visits])),
        _beds(plan, query(_BEDS, [])),
        _census(plan, query),
    ]


def _patients(plan: DemoPlan, found: list[dict[str, Any]]) -> Comparison:
    rows = [(row["record_number"], row["merged_into"]) for row in found]
    true_rows = [tuple(patient) for patient in plan.demonstration.truth.patients()]
    return matched("patients", true_rows, rows)


def _encounters(plan: DemoPlan, found: list[dict[str, Any]]) -> Comparison:
    columns = ("visit", "patient", "class", "status", "admitted_at", "discharged_at")
    rows = [(row["facility"], *(row[column] for column in columns)) for row in found]
    facility = plan.model.code
    true_rows = [(facility, *encounter) for encounter in plan.demonstration.truth.encounters()]
    return matched("encounters", true_rows, rows)


def _stays(plan: DemoPlan, found: list[dict[str, Any]]) -> Comparison:
    columns = ("visit", "facility", "unit", "room", "bed", "from_at", "to_at")
    rows = [tuple(row[column] for column in columns) for row in found]
    return matched("stays", [tuple(s) for s in plan.demonstration.truth.stays()], rows)


def _periods(what: str, periods: Iterable[TruePeriod], found: list[dict[str, Any]]) -> Comparison:
    rows = [(row["visit"], row["code"], row["from_at"], row["to_at"]) for row in found]
    return matched(what, [tuple(period) for period in periods], rows)


def _beds(plan: DemoPlan, found: list[dict[str, Any]]) -> Comparison:
    """The latest housekeeping status of every bed; ready where none was ever sent."""
    stated = plan.demonstration.truth.bed_statuses()
    beds = [p for unit in plan.model.units for p in unit.places(plan.model.code)]
    true_rows = [(p.facility, p.unit, p.room, p.bed, stated.get(p, READY)) for p in beds]
    columns = ("facility", "unit", "room", "bed", "operational_status")
    return matched("beds", true_rows, [tuple(row[c] for c in columns) for row in found])


def _census(plan: DemoPlan, query: Query) -> Comparison:
    start = plan.demonstration.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = int((plan.ends - start) / timedelta(hours=1))
    instants = [start + timedelta(hours=hour) for hour in range(hours)]
    counted = plan.demonstration.truth.census_series(instants)
    true_rows = [
        (at, unit, census)
        for unit, series in counted.items()
        for at, census in zip(instants, series, strict=True)
        if census
    ]
    found = query(_CENSUS, [instants[0], instants[-1]])
    return matched("hourly census", true_rows, [(r["hour"], r["unit"], r["census"]) for r in found])


def matched(
    what: str, true_rows: Iterable[tuple[Any, ...]], rows: Iterable[tuple[Any, ...]]
) -> Comparison:
    """Two collections of rows as multisets; what only one side has, in words."""
    truth, store = Counter(true_rows), Counter(rows)
    missing, surplus = truth - store, store - truth
    lines = [f"truth only: {_words(row)}" for row in _first(missing)]
    lines += [f"store only: {_words(row)}" for row in _first(surplus)]
    different = missing.total() + surplus.total()
    return Comparison(what, truth.total(), store.total(), lines, different)


def _first(rows: Counter[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [str(cell) for cell in row])[:SHOWN]


def _words(row: tuple[Any, ...]) -> str:
    return " ".join(
        cell.astimezone(UTC).isoformat() if isinstance(cell, datetime) else str(cell)
        for cell in row
    )
