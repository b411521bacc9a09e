"""Beds and units as rows, kept up to date from rows of locations and from the places of stays.

The rules are those of BEDS and UNITS in `twin_core.state.questions`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from twin_core.state.kept.visits import Columns, holds, named
from twin_core.state.words import Rows, Spot, spot
from twin_core.store.present import PlaceOfStays

Unit = tuple[str, str]
"""Facility and unit; what is not named is empty."""
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_NO_UNITS = (None, "bd", "ro")


class Places:
    """Every location and place of stays; `beds_of` and `described` are what a unit is made of."""

    def __init__(self, places: Counter[PlaceOfStays], past_statuses: Counter[str]) -> None:
        self._places, self._past = places, past_statuses
        self._locations: dict[str, Columns] = {}
        self._statuses: dict[str, list[Columns]] = defaultdict(list)
        self._named: dict[str | None, set[PlaceOfStays]] = defaultdict(set)
        self._lived_in: Counter[tuple[str | None, str | None]] = Counter()
        for place, number in places.items():
            self._lived_in[place[1:3]] += number
            self._named[place[0]].add(place)
        self.spots: dict[str, Spot] = {}
        """Where each location with beds is."""
        self._beds: dict[str | None, Rows] = {}
        self._in_unit: dict[Unit, set[str | None]] = defaultdict(set)
        self._units: dict[Unit, set[str]] = defaultdict(set)

    def locations(self) -> set[str | None]:
        """Every location, and None for places that have no location of their own."""
        return {*self._locations, *self._named}

    # --- rows --------------------------------------------------------------------------------

    def open(self, table: str, row: Columns) -> None:
        """A row that holds from now on."""
        key = str(row[0])
        if table == "location":
            self._locations[key] = row
            self._describe(row, here=True)
        else:
            self._statuses[key].append(row)

    def close(self, table: str, row: Columns) -> None:
        """A row that held until now. Raises ValueError for one that is not known."""
        key = str(row[0])
        if table == "location":
            if self._locations.get(key) != row:
                raise ValueError("a location that is not known")
            del self._locations[key]
            self._describe(row, here=False)
        elif row in self._statuses[key]:
            self._statuses[key].remove(row)
        elif self._past[key]:
            self._past[key] -= 1
        else:
            raise ValueError("a period of a location that is not known")

    def stayed(self, place: PlaceOfStays, number: int) -> set[Unit]:
        """A stay at a place more, or one less; the units whose description depends on it."""
        self._places[place] += number
        self._lived_in[place[1:3]] += number
        if self._places[place] > 0:
            self._named[place[0]].add(place)
        else:
            self._named[place[0]].discard(place)
        return {(place[1] or "", place[2] or "")}

    def _describe(self, row: Columns, *, here: bool) -> None:
        _, kind, facility, unit, room, bed = row[:6]
        if unit is None or room is not None or bed is not None or kind in _NO_UNITS:
            return
        among = self._units[str(facility or ""), str(unit)]
        among.add(str(row[0])) if here else among.discard(str(row[0]))

    # --- what follows from them --------------------------------------------------------------

    def refresh(self, location: str | None, at: datetime) -> tuple[set[Unit], bool]:
        """Make the beds of a location anew: the units that had or have them, and whether what is
        there must be placed anew."""
        before, after = self._beds.pop(location, []), list(self._bed_rows(location, at))
        units = {_unit(row) for row in (*before, *after)}
        for unit in units:
            self._in_unit[unit].discard(location)
        for row in after:
            self._in_unit[_unit(row)].add(location)
        if after:
            self._beds[location] = after
        if location is None:
            return units, False
        was = self.spots.pop(location, None)
        if after:
            self.spots[location] = max(spot(row) for row in after)
        return units, was != self.spots.get(location)

    def until(self, location: str | None, at: datetime) -> datetime | None:
        """When the status of a location changes by itself."""
        if location is None:
            return None
        rows = named("location_status", self._statuses.get(location, ()))
        edges = (edge for row in rows for edge in (row["from_at"], row["to_at"]))
        return min((edge for edge in edges if edge is not None and edge > at), default=None)

    def beds_of(self, unit: Unit) -> Rows:
        """The rows of a unit's beds."""
        found = (row for location in self._in_unit[unit] for row in self._beds[location])
        return [row for row in found if _unit(row) == unit]

    def described(self, unit: Unit) -> Rows:
        """A unit as the hierarchy describes it: one row, or none."""
        rows = named("location", (self._locations[key] for key in self._units[unit]))
        told = [
            row
            for row in rows
            if row["name"] is not None or self._lived_in[row["facility"], row["unit"]] > 0
        ]
        if not told:
            return []
        said = {
            word: min((row[word] for row in told if row[word] is not None), default=None)
            for word in ("kind", "name")
        }
        return [{"facility": unit[0], "unit": unit[1], **said}]

    def units(self) -> set[Unit]:
        """Every unit that has beds or a description."""
        return {u for u, beds in self._in_unit.items() if beds} | {
            u for u, rows in self._units.items() if rows
        }

    def _bed_rows(self, location: str | None, at: datetime) -> Iterator[dict[str, Any]]:
        stated = self._locations.get(location) if location is not None else None
        if stated is None or stated[1] != "bd":
            for place in self._named.get(location, ()):
                if place[4] is not None:
                    yield _named_only(place)
            return
        [row] = named("location", [stated])
        bed = row["bed"] or (row["name"] if row["unit"] is not None else None) or location
        yield {**row, "bed": bed, "stated": True, **self._status(row, at)}

    def _status(self, row: dict[str, Any], at: datetime) -> dict[str, Any]:
        """What the history says of an instant; the location's own words where it has none."""
        key = row["location_id"]
        rows = named("location_status", self._statuses.get(key, ()))
        if not rows and not self._past[key]:
            return {word: row[word] for word in ("operational_status", "staffed")}
        held = [r for r in rows if holds({**r, "from_at": r["from_at"] or _ALWAYS}, at)]
        last = max(held, key=lambda r: r["from_at"] or _ALWAYS, default={})
        return {word: last.get(word) for word in ("operational_status", "staffed")}


def _unit(row: dict[str, Any]) -> Unit:
    return spot(row)[:2]


def _named_only(place: PlaceOfStays) -> dict[str, Any]:
    words = ("location_id", "facility", "unit", "room", "bed")
    told: dict[str, Any] = dict(zip(words, place, strict=True))
    return {**told, "operational_status": None, "staffed": None, "stated": False}
