"""A hospital kept up to date: visits and beds that are put into units again only when touched."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from twin_core.state.beds import placed_beds, total
from twin_core.state.emergency import MINUTE, ed_patients
from twin_core.state.kept.places import Places, Unit
from twin_core.state.kept.visits import Columns, Kept, Share, plan_order, share, stay_order
from twin_core.state.plans import COMING, ahead
from twin_core.state.units import placed_units, unit_order
from twin_core.state.words import EdPatient, HospitalState, UnitState, spot
from twin_core.store.fold.rows import EntityRow
from twin_core.store.present import VISITS, Present

IDLE_VISITS = 5_000
"""Visits that are remembered though nothing of them is shown: outpatients, most of them."""
_OVER = frozenset({"finished", "cancelled", "entered-in-error"})
_NOTHING = Share([], [], [], None, None)


class Hospital:
    """Rows of the present in memory, and the state that follows from them."""

    def __init__(self, found: Present, at: datetime) -> None:
        self.at = at
        self._rows: dict[str, dict[str, list[Columns]]] = {}
        self._shares: dict[str, Share] = {}
        self._idle: dict[str, None] = {}
        self._placed: dict[str, set[Unit]] = {}
        """The units that each visit is in or is to come into."""
        self._in_unit: dict[Unit, set[str]] = defaultdict(set)
        self._at_location: dict[str, set[str]] = defaultdict(set)
        self._emergency: dict[str, EdPatient | None] = {}
        self._units: dict[Unit, UnitState] = {}
        self._ordered: list[Unit] = []
        self._due: list[tuple[datetime, str, str]] = []
        self._places = Places(found.places, found.past_statuses)
        self._visits: set[str] = set()
        self._locations: set[str | None] = set()
        self._touched: set[Unit] = set()
        for row in found.rows:
            self._open(row)
        self._locations |= self._places.locations()
        self._touched |= self._places.units()

    # --- what a batch changes ----------------------------------------------------------------

    def missing(self, opened: Iterable[EntityRow], closed: Iterable[EntityRow]) -> set[str]:
        """The visits of which a batch changed something and nothing is remembered."""
        begun = [(name, _key(row)) for row in opened if (name := row[0]) in VISITS]
        ended = {_key(row) for row in closed if row[0] in VISITS}
        new = {key for name, key in begun if name == "encounter"} - ended
        return {key for _, key in begun}.union(ended) - self._rows.keys() - new

    def apply(
        self, opened: Iterable[EntityRow], closed: Iterable[EntityRow], late: Iterable[EntityRow]
    ) -> None:
        """Take in a batch; `late` are the rows, after it, of the visits that were missing.

        Raises ValueError where what is remembered is not what the batch changes.
        """
        opened, closed = list(opened), list(closed)
        absent = self.missing(opened, closed)
        for row, number in (*((row, -1) for row in closed), *((row, 1) for row in opened)):
            if row[0] == "stay":
                self._stayed(row[1], number)
            if row[0] not in VISITS or _key(row) not in absent:
                self._open(row) if number > 0 else self._close(row)
        for row in late:
            self._open(row)

    def _stayed(self, row: Columns, number: int) -> None:
        place = row[3:8]
        self._touched |= self._places.stayed((place[4], *place[:4]), number)  # type: ignore[arg-type]
        self._locations.add(place[4])  # type: ignore[arg-type]

    def _open(self, row: EntityRow) -> None:
        name, columns = row
        if name in VISITS:
            rows = self._rows.setdefault(_key(row), {})
            rows.setdefault(name, []).append(columns)
            self._visits.add(_key(row))
        elif name in ("location", "location_status"):
            self._places.open(name, columns)
            self._place_touched(name, columns)

    def _close(self, row: EntityRow) -> None:
        name, columns = row
        if name in VISITS:
            self._rows[_key(row)][name].remove(columns)
            self._visits.add(_key(row))
        elif name in ("location", "location_status"):
            self._places.close(name, columns)
            self._place_touched(name, columns)

    def _place_touched(self, name: str, columns: Columns) -> None:
        self._locations.add(str(columns[0]))
        if name == "location" and columns[3] is not None:
            self._touched.add((str(columns[2] or ""), str(columns[3])))

    # --- the state ---------------------------------------------------------------------------

    def state(self, at: datetime, sequence: int) -> HospitalState:
        """The hospital at an instant, which is not before that of the last question."""
        self.at = at
        while self._due and self._due[0][0] <= at:
            _, kind, key = heapq.heappop(self._due)
            (self._visits if kind == "visit" else self._locations).add(key)
        self._place_beds()
        self._place_visits()
        self._place_units()
        units = tuple(self._units[key] for key in self._ordered)
        return HospitalState(
            at=at,
            known_at=None,
            sequence=sequence,
            census=sum(unit.census for unit in units),
            counts=total(unit.counts for unit in units),
            units=units,
            ed=self._ed(),
        )

    def _place_beds(self) -> None:
        locations, self._locations = self._locations, set()
        for location in locations:
            units, moved = self._places.refresh(location, self.at)
            self._touched |= units
            if moved and location is not None:
                self._visits |= self._at_location[location]
            until = self._places.until(location, self.at)
            if until is not None and location is not None:
                heapq.heappush(self._due, (until, "location", location))

    def _place_visits(self) -> None:
        visits, self._visits = self._visits, set()
        for key in visits:
            before = self._shares.pop(key, _NOTHING)
            self._touched |= self._leave(key, before)
            rows = self._rows.get(key)
            if rows is None:
                continue
            now = share(rows, self.at)
            self._touched |= self._enter(key, now)
            if now.until is not None:
                heapq.heappush(self._due, (now.until, "visit", key))
            self._remember(key, rows, now)

    def _remember(self, key: str, rows: Kept, now: Share) -> None:
        """Keep what a visit shows; of what shows nothing only so many, and nothing that is over."""
        self._idle.pop(key, None)
        if now.stays or now.plans or now.emergency or now.until:
            self._shares[key] = now
            return
        visit = next(iter(rows.get("encounter", ())), None)
        if visit is None or visit[4] in _OVER:
            del self._rows[key]
            return
        self._idle[key] = None
        if len(self._idle) > IDLE_VISITS:
            oldest = next(iter(self._idle))
            del self._idle[oldest], self._rows[oldest]

    def _enter(self, key: str, now: Share) -> set[Unit]:
        units = self._placed[key] = set(self._units_of(now))
        for unit in units:
            self._in_unit[unit].add(key)
        for row in (*now.stays, *now.plans):
            if row["location_id"] is not None:
                self._at_location[row["location_id"]].add(key)
        if now.emergency is not None:
            self._emergency[key] = None
        return units

    def _leave(self, key: str, before: Share) -> set[Unit]:
        units = self._placed.pop(key, set())
        for unit in units:
            self._in_unit[unit].discard(key)
        for row in (*before.stays, *before.plans):
            if row["location_id"] is not None:
                self._at_location[row["location_id"]].discard(key)
        self._emergency.pop(key, None)
        return units

    def _units_of(self, one: Share) -> Iterable[Unit]:
        for stay in one.stays:
            yield self._unit_of(stay)
        for plan in one.plans:
            if plan["kind"] in COMING and plan["unit"]:
                yield self._places.spots.get(plan["location_id"], spot(plan))[:2]

    def _unit_of(self, stay: Mapping[str, Any]) -> Unit:
        """Where a stay counts: at its bed's place, or in the unit that it names."""
        if not stay["bed"]:
            return spot(stay)[:2]
        return self._places.spots.get(stay["location_id"], spot(stay))[:2]

    def _place_units(self) -> None:
        units, self._touched = self._touched, set()
        known = self._units.keys() & units
        for key in units:
            found = self._unit(key)
            if found is not None:
                self._units[key] = found
            else:
                self._units.pop(key, None)
        if known != self._units.keys() & units:
            self._ordered = sorted(self._units, key=unit_order)

    def _unit(self, key: Unit) -> UnitState | None:
        shares = [self._shares[visit] for visit in self._in_unit[key]]
        stays = sorted(
            (stay for one in shares for stay in one.stays if self._unit_of(stay) == key),
            key=stay_order,
        )
        planned = ahead(
            sorted((plan for one in shares for plan in one.plans), key=plan_order),
            [row for one in shares for row in one.away],
            self._places.spots,
        )
        beds = placed_beds(self._places.beds_of(key), stays, planned, self._places.spots)
        return next(iter(placed_units(self._places.described(key), beds, stays, planned)), None)

    def _ed(self) -> tuple[EdPatient, ...]:
        patients = [self._patient(key, known) for key, known in self._emergency.items()]
        return tuple(sorted(patients, key=lambda p: (p.arrived_at or self.at, p.encounter_id)))

    def _patient(self, key: str, known: EdPatient | None) -> EdPatient:
        """Someone in the ED as before, where only time has passed."""
        if known is None:
            one = self._shares[key]
            assert one.emergency is not None  # noqa: S101  (narrows the type)
            planned = ahead(one.plans, one.away, self._places.spots)
            [patient] = ed_patients([one.emergency], one.stays, planned, self.at)
        else:
            patient = _waited(known, self.at)
        self._emergency[key] = patient
        return patient


def _waited(patient: EdPatient, at: datetime) -> EdPatient:
    minutes = [
        None if since is None else max(0, (at - since) // MINUTE)
        for since in (patient.arrived_at, patient.boards_from)
    ]
    if minutes == [patient.waited_minutes, patient.boarding_minutes]:
        return patient
    waited, boarding = minutes
    return msgspec.structs.replace(patient, waited_minutes=waited, boarding_minutes=boarding)


def _key(row: EntityRow) -> str:
    name, columns = row
    return str(columns[1] if name in ("stay", "encounter_plan") else columns[0])
