"""What calibration reads of a store: who was where, which beds there are, and what became of them.

Instants are hours since 1970 (UTC); `None` is what has not happened yet. Nothing here asks a clock.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from twin_core.errors import UsageError
from twin_core.simulation.calibrate import questions
from twin_core.simulation.flow.parts import EXITS

Row = dict[str, Any]
Query = Callable[[str, Mapping[str, object]], list[Row]]
"""Runs SQL with named parameters on a store and gives its rows; instants are aware."""

USUAL_DAYS = 91
"""Days of history that count where nobody gives a window: a quarter of a year."""
_FEW = 0.5
"""A day on which less than half as many left as usual is not fully known."""
EMERGENCY = "emergency"
CLASSES = {"EMER": EMERGENCY, "AMB": "ambulatory", "OBSENC": "observation"}
"""Patient classes by the class of the encounter as it began; others are planned or direct."""
PLANNED, DIRECT = "planned", "direct"
TRANSFER, DISCHARGE, ADMISSION = "transfer", "discharge", "admission"
"""What may be planned for a patient who is there, or who is not there yet."""
_CARE_HOMES = frozenset({"03", "04", "06", "61", "63", "64", "long", "snf", "rehab"})
_EXIT_OF_SETTING = {
    "died": "died",
    "transferred_out": "transferred",
    "left_unseen": "left",
    "left_against_advice": "left",
}


class Spot(NamedTuple):
    """A bed, or a place without one."""

    unit: str
    room: str
    bed: str


class Lay(NamedTuple):
    """One uninterrupted stay at one place."""

    encounter_id: str
    spot: Spot
    from_hour: float
    to_hour: float | None
    inferred: bool


class Visit(NamedTuple):
    """When a patient came, as what, and how they left; `exit` is None before that."""

    patient: str
    class_: str
    came: float | None
    left: float | None
    exit: str | None

    def until(self, end: float) -> "Visit":
        """What was known of it at an earlier hour."""
        if self.left is None or self.left <= end:
            return self
        return self._replace(left=None, exit=None)


class BedPeriod(NamedTuple):
    """A bed was being cleaned (H, K) or closed (C)."""

    spot: Spot
    status: str
    from_hour: float
    to_hour: float | None


class Planned(NamedTuple):
    """An admission, transfer or discharge to come: since when, until when, for when, where to."""

    encounter_id: str
    stated: float
    ended: float | None
    at_hour: float | None
    unit: str
    """Where to; empty for a discharge."""
    kind: str = "transfer"


@dataclass(frozen=True)
class History:
    """The stays of one facility in a window, as they were known at an instant."""

    facility: str
    zone: ZoneInfo
    start: datetime
    end: datetime
    known_at: datetime | None
    lays: tuple[Lay, ...]
    visits: Mapping[str, Visit]
    beds: Mapping[str, tuple[Spot, ...]]
    """The beds of every unit, those that are or were closed included."""
    bed_periods: tuple[BedPeriod, ...]
    plans: tuple[Planned, ...] = ()
    position: int = 0
    """How many batches the store had applied."""

    @property
    def window(self) -> tuple[float, float]:
        """Start and end in hours."""
        return hour_of(self.start), hour_of(self.end)

    def until(self, at: datetime) -> "History":
        """What an observer would have known at an earlier instant, had nothing come late."""
        end = hour_of(at)
        lays = tuple(
            lay if lay.to_hour is None or lay.to_hour <= end else lay._replace(to_hour=None)
            for lay in self.lays
            if lay.from_hour < end
        )
        visits = {
            key: visit.until(end)
            for key, visit in self.visits.items()
            if visit.came is None or visit.came < end
        }
        periods = tuple(
            of if of.to_hour is None or of.to_hour <= end else of._replace(to_hour=None)
            for of in self.bed_periods
            if of.from_hour < end
        )
        plans = tuple(
            of if of.ended is None or of.ended <= end else of._replace(ended=None)
            for of in self.plans
            if of.stated <= end
        )
        return replace(self, end=at, lays=lays, visits=visits, bed_periods=periods, plans=plans)


def hour_of(at: datetime) -> float:
    """Hours since 1970."""
    return at.timestamp() / 3600.0


def at_hour(hour: float) -> datetime:
    """The instant of an hour since 1970."""
    return datetime.fromtimestamp(hour * 3600.0, UTC)


def read_history(
    query: Query,
    *,
    end: datetime,
    start: datetime | None = None,
    known_at: datetime | None = None,
    facility: str | None = None,
    position: int = 0,
) -> History:
    """The history of a facility from `start` to `end`, as known at `known_at` (None: now).

    Without `start` it begins when about as many patients left as later on, at most 91 days before
    the end. Without `facility` it is the one with most stays. Raises UsageError where
    there is nothing to calibrate from.
    """
    zone = _zone(query)
    begun = start or _known_from(query, end, known_at, zone)
    asked = {"start": begun, "end": end, "known_at": known_at}
    stays = query(questions.STAYS, asked)
    where = facility or _most_frequent(stays)
    own = [row for row in stays if (row["facility"] or "") == where]
    if not own:
        raise UsageError(
            "There is nothing to calibrate from.",
            why=f"No stay is known between {begun:%Y-%m-%d} and {end:%Y-%m-%d}.",
            do="Give a window in which the feed was alive.",
        )
    lays = tuple(map(_lay, own))
    if (last := max(lay.from_hour for lay in lays)) < hour_of(begun):
        raise UsageError(
            "There is nothing to calibrate from.",
            why=f"Nobody came to {where} between {begun:%Y-%m-%d} and {end:%Y-%m-%d}; the last "
            f"stay that is known began at {at_hour(last):%Y-%m-%d %H:%M} UTC.",
            do="Give a window in which the feed was alive (`--to`, or `--at` with `--from-now`).",
        )
    visits = _visits(query, asked, where)
    known = {"known_at": known_at}
    beds = _beds([*query(questions.BEDS, known), *(row for row in own if row["bed"])], where)
    periods = tuple(
        BedPeriod(_spot(row), row["status"], hour_of(row["from_at"]), _hour(row["to_at"]))
        for row in query(questions.BED_STATUS, asked)
        if (row["facility"] or "") == where
    )
    plans = tuple(
        Planned(
            row["encounter_id"],
            hour_of(row["stated_at"]),
            _hour(row["ended_at"]),
            _hour(row["expected_at"]),
            unit_code(row["unit"] or ""),
            row["kind"],
        )
        for row in query(questions.PLANS, asked)
        if (row["facility"] or where) == where
    )
    whole = History(
        where, zone, begun, end, known_at, lays, visits, beds, periods, plans, position=position
    )
    return whole.until(end)


def _zone(query: Query) -> ZoneInfo:
    zones = query(questions.ZONES, {})
    return ZoneInfo(str(zones[0]["time_zone"]) if len(zones) == 1 else "UTC")


def _known_from(query: Query, end: datetime, known_at: datetime | None, zone: ZoneInfo) -> datetime:
    """The first local midnight of a day on which about as many patients left as usual."""
    earliest = end - timedelta(days=USUAL_DAYS)
    rows = query(questions.DEPARTURES, {"start": earliest, "end": end, "known_at": known_at})
    days = Counter(row["left_at"].astimezone(zone).date() for row in rows)
    whole = sorted(count for day, count in days.items() if day < end.astimezone(zone).date())
    usual = whole[len(whole) * 3 // 4] if whole else 0
    for day in sorted(days):
        if days[day] >= _FEW * usual:
            midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
            return max(midnight, earliest)
    return earliest


def _most_frequent(rows: list[Row]) -> str:
    counts = Counter(row["facility"] or "" for row in rows)
    return max(sorted(counts), key=lambda name: counts[name]) if counts else ""


def unit_code(name: str) -> str:
    """A unit as models call it: without a slash, and unlike the ways out of the hospital."""
    code = name.replace("/", "-")
    return f"{code} (unit)" if code in EXITS else code


def _spot(row: Row) -> Spot:
    return Spot(unit_code(row["unit"]), row["room"] or "", row["bed"] or row.get("name") or "")


def _hour(at: datetime | None) -> float | None:
    return None if at is None else hour_of(at)


def _lay(row: Row) -> Lay:
    spot = _spot(row)._replace(bed=row["bed"] or "")
    ended = _hour(row["to_at"])
    return Lay(
        row["encounter_id"], spot, hour_of(row["from_at"]), ended, bool(row["start_inferred"])
    )


def _visits(query: Query, asked: Mapping[str, object], facility: str) -> dict[str, Visit]:
    exits = {r["value"]: _EXIT_OF_SETTING[r["name"]] for r in query(questions.DISPOSITIONS, {})}
    return {
        row["encounter_id"]: Visit(
            row["patient_id"] or row["encounter_id"],
            CLASSES.get(row["class"] or "", PLANNED if row["planned"] else DIRECT),
            _hour(row["admitted_at"]),
            _hour(row["discharged_at"]),
            None if row["discharged_at"] is None else _exit(exits, row["disposition"]),
        )
        for row in query(questions.ENCOUNTERS, asked)
        if (row["facility"] or facility) == facility
    }


def _exit(exits: Mapping[str, str], disposition: str | None) -> str:
    said = disposition or ""
    return exits.get(said) or ("care_home" if said in _CARE_HOMES else "home")


def _beds(rows: list[Row], facility: str) -> dict[str, tuple[Spot, ...]]:
    found: dict[str, set[Spot]] = {}
    for row in rows:
        if (row["facility"] or "") == facility:
            found.setdefault(unit_code(row["unit"]), set()).add(_spot(row))
    return {unit: tuple(sorted(spots)) for unit, spots in sorted(found.items())}
