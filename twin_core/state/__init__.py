"""The hospital at one instant: every unit, every bed, who is waiting in the ED, what is planned.

Now, at T, and at T as known at K are one computation: the histories of the store as known at K
(NULL: as known now), cut at T. `hospital_state` asks the store and composes the answers; it holds
no state and reads no clock.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from twin_core.state import questions
from twin_core.state.beds import bed_status, natural_key, placed_beds, total
from twin_core.state.emergency import ed_patients
from twin_core.state.narrowing import narrowed
from twin_core.state.plans import ahead
from twin_core.state.units import placed_units
from twin_core.state.words import (
    Away,
    Bed,
    BedCounts,
    BedStatus,
    EdPatient,
    HospitalState,
    Occupant,
    Plan,
    Rows,
    UnitState,
    spot,
)

__all__ = [
    "Away",
    "Bed",
    "BedCounts",
    "BedStatus",
    "EdPatient",
    "HospitalState",
    "Occupant",
    "Plan",
    "UnitState",
    "bed_status",
    "hospital_state",
    "narrowed",
    "natural_key",
    "total",
]

Query = Callable[[str, Mapping[str, object]], Rows]


def hospital_state(
    query: Query, *, at: datetime, known_at: datetime | None = None, sequence: int = 0
) -> HospitalState:
    """The hospital at `at` as known at `known_at`, from the histories behind `query`.

    `sequence` is the batch up to which the store had been applied before the question was asked.
    """
    instants = {"at": at, "known_at": known_at}
    stays, beds = query(questions.STAYS, instants), query(questions.BEDS, instants)
    spots = {row["location_id"]: spot(row) for row in sorted(beds, key=spot) if row["location_id"]}
    planned = ahead(query(questions.PLANS, instants), query(questions.AWAY, instants), spots)
    placed = placed_beds(beds, stays, planned, spots)
    units = placed_units(query(questions.UNITS, {"known_at": known_at}), placed, stays, planned)
    return HospitalState(
        at=at,
        known_at=known_at,
        sequence=sequence,
        census=sum(unit.census for unit in units),
        counts=total(unit.counts for unit in units),
        units=units,
        ed=ed_patients(query(questions.ED, instants), stays, planned, at),
    )
