"""A history as plain JSON values, without anything that tells who the patients are.

So a store can be held by one program and calibrated from by another; what leaves the first are
visits by number.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from twin_core.simulation.calibrate.history import BedPeriod, History, Lay, Planned, Spot, Visit

Plain = dict[str, Any]


def plain(history: History) -> Plain:
    """A history as JSON values; visits are numbered, patients have no identifiers."""
    keys = {
        *history.visits,
        *(lay.encounter_id for lay in history.lays),
        *(plan.encounter_id for plan in history.plans),
    }
    number = {key: str(at) for at, key in enumerate(sorted(keys))}
    return {
        "facility": history.facility,
        "zone": str(history.zone),
        "start": history.start.isoformat(),
        "end": history.end.isoformat(),
        "known_at": history.known_at and history.known_at.isoformat(),
        "lays": [[number[lay[0]], *lay[1], *lay[2:]] for lay in history.lays],
        "visits": {number[key]: [*of[1:]] for key, of in history.visits.items()},
        "beds": {unit: [[*spot] for spot in spots] for unit, spots in history.beds.items()},
        "bed_periods": [[*period[0], *period[1:]] for period in history.bed_periods],
        "plans": [[number[plan[0]], *plan[1:]] for plan in history.plans],
        "position": history.position,
    }


def history_from(said: Mapping[str, Any]) -> History:
    """The history that `plain` wrote."""
    known_at = said["known_at"]
    return History(
        facility=said["facility"],
        zone=ZoneInfo(said["zone"]),
        start=datetime.fromisoformat(said["start"]),
        end=datetime.fromisoformat(said["end"]),
        known_at=None if known_at is None else datetime.fromisoformat(known_at),
        lays=tuple(Lay(row[0], Spot(*row[1:4]), *row[4:]) for row in said["lays"]),
        visits={key: Visit("", *row) for key, row in said["visits"].items()},
        beds={unit: tuple(Spot(*row) for row in rows) for unit, rows in said["beds"].items()},
        bed_periods=tuple(BedPeriod(Spot(*row[:3]), *row[3:]) for row in said["bed_periods"]),
        plans=tuple(Planned(*row) for row in said["plans"]),
        position=said["position"],
    )
