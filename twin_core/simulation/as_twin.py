"""Simulated stays as the tables of a twin: visits, their classes and milestones, stays, beds.

Every replication is a facility of its own, called `RIVERSIDE#0`, `RIVERSIDE#1` and so on, so that
one store holds them all and whatever tells facilities apart tells replications apart.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from twin_core.errors import UsageError
from twin_core.simulation.flow.parts import EXITS, Unit
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.results import Results

A_MONDAY = date(2024, 1, 1)
"""When runs begin that begin at no particular time: local midnight of a Monday in winter."""
_EMERGENCY = ("emergency", "clinic")
_US_PER_HOUR = 3_600_000_000
_AT = pa.timestamp("us", "UTC")
_DISPOSITIONS = {"home": "01", "care_home": "03", "died": "20", "transferred": "02", "left": "07"}
"""Exits as discharge dispositions of the NUBC, as the KPIs' settings know them."""
LEFT_UNSEEN = "LWBS"

_TABLES: dict[str, tuple[str, ...]] = {
    "patient": ("patient_id",),
    "encounter": (
        "encounter_id", "patient_id", "facility", "class", "status", "admitted_at",
        "discharged_at", "service", "disposition",
    ),
    "encounter_class": ("encounter_id", "class", "from_at", "to_at"),
    "encounter_status": ("encounter_id", "status", "from_at", "to_at"),
    "encounter_milestone": ("encounter_id", "kind", "at"),
    "stay": (
        "stay_id", "encounter_id", "patient_id", "facility", "unit", "room", "bed", "location_id",
        "from_at", "to_at",
    ),
    "location": ("location_id", "kind", "facility", "unit", "room", "bed", "staffed"),
    "location_status": ("location_id", "operational_status", "staffed", "from_at", "to_at"),
}  # fmt: skip
_INSTANTS = ("at", "from_at", "to_at", "admitted_at", "discharged_at")
Rows = dict[str, list[tuple[Any, ...]]]


class Simulated(NamedTuple):
    """The tables, and when what they tell begins and ends; statistics count from `counted_from`."""

    tables: dict[str, pa.Table]
    facilities: tuple[str, ...]
    time_zone: str
    start: datetime
    counted_from: datetime
    end: datetime


def as_twin(results: Results, start: datetime | None = None) -> Simulated:
    """The stays of a run as the tables of a twin, by the names of its entities.

    Without `start` the run begins in the first week of 2024, at its hour of the week. Emergency
    patients count as inpatients from their first bed outside an emergency department on; the
    decision to admit falls at the end of the emergency stay, and whoever has a bay is being seen.
    Raises UsageError for a run that kept no stays.
    """
    if not results.run.stays:
        raise UsageError("The run kept no stays.", do="Ask for them: Run(..., stays=True).")
    zone = results.model.time_zone
    if start is None:
        monday = datetime.combine(A_MONDAY, time(), ZoneInfo(zone))
        start = monday + timedelta(hours=results.run.hour_of_week)
    rows: Rows = {name: [] for name in _TABLES}
    writer = _Writer(results, rows)
    for visit in _visits(results):
        writer.visit(visit)
    first, count = results.run.first, results.run.replications
    replications = range(first, first + count)
    for replication in replications:
        writer.beds(replication)
    return Simulated(
        tables={name: _table(name, of, start) for name, of in rows.items()},
        facilities=tuple(map(writer.facility, replications)),
        time_zone=zone,
        start=start,
        counted_from=start + timedelta(hours=results.run.warm_up_hours),
        end=start + timedelta(hours=results.run.hours),
    )


def _visits(results: Results) -> Iterator[list[Any]]:
    """The rows of every patient, in order of time."""
    rows = results.rows
    order = np.lexsort((rows["from_hours"], rows["number"], rows["replication"]))
    for _, visit in groupby(rows[order], key=lambda row: (row["replication"], row["number"])):
        yield list(visit)


def _table(name: str, rows: list[tuple[Any, ...]], start: datetime) -> pa.Table:
    """Rows as an Arrow table; hours become instants, to the microsecond."""
    began_us = round(start.timestamp() * 1e6)
    columns = list(zip(*rows, strict=True)) or [()] * len(_TABLES[name])
    made: dict[str, Any] = {}
    for column, values in zip(_TABLES[name], columns, strict=True):
        if column in _INSTANTS:
            instants = (None if h is None else began_us + round(h * _US_PER_HOUR) for h in values)
            made[column] = pa.array(instants, _AT)
        else:
            kind = pa.bool_() if column == "staffed" else pa.string()
            made[column] = pa.array(values, kind)
    return pa.table(made)


class _Writer:
    """Writes visits and beds as rows."""

    def __init__(self, results: Results, rows: Rows) -> None:
        self._results, self._rows = results, rows
        self._units = results.model.units
        self._classes = results.model.classes

    def facility(self, replication: int) -> str:
        """What a replication is called."""
        return f"{self._results.model.facility}#{replication}"

    def visit(self, rows: list[Any]) -> None:
        """A patient's visit; whoever was turned away at the door was never there."""
        first, last = rows[0], rows[-1]
        lying = [row for row in rows if row["in_unit"] >= 0]
        if not lying and last["end"] == lay.AWAY:
            return
        id_ = f"{first['replication']}-{first['number']}"
        came = float(first["from_hours"])
        if first["in_unit"] >= 0:
            came -= float(first["wait_hours"])
        left = None if last["end"] == lay.OPEN else float(last["to_hours"])
        facility = self.facility(first["replication"])
        unit_of_care = self._units[last["unit"]]
        status = self._statuses(id_, lying, came, left, unit_of_care)
        self._rows["patient"].append((id_,))
        self._rows["encounter"].append(
            (id_, id_, facility, self._class_periods(id_, lying, first, came), status, came, left,
             unit_of_care.service or None, _disposition(last, unit_of_care))
        )  # fmt: skip
        self._stays(id_, facility, lying)
        self._milestones(id_, lying)

    def _statuses(
        self, id_: str, lying: list[Any], came: float, left: float | None, unit: Unit
    ) -> str:
        began = float(lying[0]["from_hours"]) if lying else None
        periods = [("arrived", came, left if began is None else began)]
        if began is not None:
            periods.append(("in-progress", began, left))
        if left is not None:
            gone = "finished" if lying or unit.kind in _EMERGENCY else "cancelled"
            periods.append((gone, left, None))
        self._rows["encounter_status"] += [
            (id_, *period) for period in periods if period[1] != period[2]
        ]
        return periods[-1][0]

    def _class_periods(self, id_: str, lying: list[Any], first: Any, came: float) -> str:
        """The classes of a visit; the last of them."""
        own: str = self._classes[first["class_"]].encounter_class
        admitted = None
        if own == "EMER":
            wards = (r for r in lying if self._units[r["unit"]].kind not in _EMERGENCY)
            admitted = next((float(row["from_hours"]) for row in wards), None)
        if admitted is None:
            self._rows["encounter_class"].append((id_, own, came, None))
            return own
        if admitted > came:
            self._rows["encounter_class"].append((id_, own, came, admitted))
        self._rows["encounter_class"].append((id_, "IMP", admitted, None))
        return "IMP"

    def _stays(self, id_: str, facility: str, lying: list[Any]) -> None:
        """Steps in one bed one after another are one stay."""
        at = 0
        while at < len(lying):
            row, until = lying[at], at
            while until + 1 < len(lying) and _goes_on(lying[until], lying[until + 1]):
                until += 1
            end = lying[until]
            unit, bed = self._units[row["in_unit"]], int(row["bed"])
            room, name = self._bed_name(unit, bed)
            self._rows["stay"].append(
                (f"{id_}-{at + 1}", id_, id_, facility, unit.code, room, name,
                 _location(facility, unit, bed), float(row["from_hours"]),
                 None if end["end"] == lay.OPEN else float(end["to_hours"]))
            )  # fmt: skip
            at = until + 1

    def _milestones(self, id_: str, lying: list[Any]) -> None:
        marks = self._rows["encounter_milestone"]
        emergency = [row for row in lying if self._units[row["unit"]].kind in _EMERGENCY]
        if emergency:
            marks.append((id_, "seen_by_provider", float(emergency[0]["from_hours"])))
        for row in emergency:
            decided = row["end"] == lay.MOVED or (row["end"] == lay.OPEN and row["blocked_hours"])
            if decided and self._units[row["next"]].kind not in _EMERGENCY:
                marks.append((id_, "decision_to_admit", _over(row)))
                break
        if lying and lying[-1]["end"] == lay.WENT and lying[-1] not in emergency:
            marks.append((id_, "discharge_ready", _over(lying[-1])))

    def beds(self, replication: int) -> None:
        """The beds of a replication, and when each of them was open.

        The kernel closes beds by their number, whichever they are: here the last ones are closed.
        """
        facility = self.facility(replication)
        changes = self._results.plan.changes
        for at, unit in enumerate(self._units):
            if unit.beds == "unlimited":
                continue
            own = changes[changes["resource"] == at]
            capacity = [(float(c["at"]), int(c["capacity"])) for c in own]
            for bed in range(int(self._results.plan.units[at]["beds"])):
                room, name = self._bed_name(unit, bed)
                id_ = _location(facility, unit, bed)
                self._rows["location"].append(
                    (id_, "bd", facility, unit.code, room, name, bed < capacity[-1][1])
                )
                self._rows["location_status"] += [
                    (id_, None if is_open else "C", True, from_hour, to_hour)
                    for is_open, from_hour, to_hour in _open_periods(capacity, bed)
                ]

    @staticmethod
    def _bed_name(unit: Unit, bed: int) -> tuple[str | None, str | None]:
        if bed < 0:
            return None, None
        named = unit.bed_names[bed] if bed < len(unit.bed_names) else str(bed + 1)
        room, _, own = named.rpartition("-")
        return room or None, own


def _open_periods(
    capacity: list[tuple[float, int]], bed: int
) -> Iterator[tuple[bool, float, float | None]]:
    """When a bed is among those that are open, and when it is not."""
    began, state = capacity[0][0], bed < capacity[0][1]
    for hour, beds in capacity[1:]:
        if (bed < beds) != state:
            yield state, began, hour
            began, state = hour, bed < beds
    yield state, began, None


def _goes_on(here: Any, after: Any) -> bool:
    return bool(
        here["in_unit"] == after["in_unit"]
        and here["bed"] == after["bed"]
        and here["to_hours"] == after["from_hours"]
    )


def _location(facility: str, unit: Unit, bed: int) -> str | None:
    return None if bed < 0 else f"{facility}/{unit.code}/{bed + 1}"


def _over(row: Any) -> float:
    """When a stay was over, whether or not the bed could be left."""
    return float(row["to_hours"] - row["blocked_hours"])


def _disposition(last: Any, unit: Unit) -> str | None:
    if last["end"] == lay.WENT:
        return _DISPOSITIONS[EXITS[last["next"]]]
    if last["end"] == lay.UNSEEN and unit.kind in _EMERGENCY:
        return LEFT_UNSEEN
    return None
