"""The KPIs once more, naively: a loop over quarter hours, sharing nothing with the SQL.

Every instant of a drawn hospital is a whole number of quarter hours, so counting ticks is exact.
A figure is (numerator, denominator) under (unit or None, stratum, start of the period).
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

TICK = timedelta(minutes=15)
INPATIENT = {"IMP", "ACUTE", "NONAC"}
Figures = dict[tuple[str | None, str | None, datetime], tuple[float | None, float | None]]


class Stay(NamedTuple):
    encounter: str
    unit: str
    bed: str | None
    start: datetime
    end: datetime | None


class Encounter(NamedTuple):
    name: str
    patient: str
    classes: tuple[tuple[datetime, str], ...]
    """Each class with its first instant; the first one is the start of the visit."""
    discharged: datetime | None
    leave: tuple[tuple[datetime, datetime], ...]


class BedStatus(NamedTuple):
    unit: str
    bed: str
    staffed: bool | None
    status: str
    start: datetime
    end: datetime | None


class Drawn(NamedTuple):
    """A hospital of one facility and the question asked of it."""

    zone: ZoneInfo
    start: datetime
    end: datetime
    as_of: datetime
    grain: str
    by: str
    encounters: dict[str, Encounter]
    stays: tuple[Stay, ...]
    beds: tuple[BedStatus, ...]

    def ticks(self, first: datetime, last: datetime) -> list[datetime]:
        return [first + n * TICK for n in range(int((last - first) / TICK))]

    def periods(self) -> list[tuple[datetime, datetime]]:
        """Runs of ticks that share their local hour and day, day, or nothing."""
        if self.grain == "all":
            return [(self.start, self.end)]
        found: list[list[datetime]] = []
        label = None
        for tick in self.ticks(self.start, self.end):
            local = tick.astimezone(self.zone)
            here = (
                (local.date(), local.hour, local.utcoffset())
                if self.grain == "hour"
                else local.date()
            )
            if here != label:
                found.append([tick, tick])
                label = here
            found[-1][1] = tick + TICK
        return [(first, last) for first, last in found]

    def midnights(self, first: datetime, last: datetime) -> list[datetime]:
        return [
            tick
            for tick in self.ticks(first, last)
            if tick.astimezone(self.zone).date() != (tick - TICK).astimezone(self.zone).date()
        ]

    def class_at(self, encounter: str, at: datetime) -> str:
        course = self.encounters[encounter].classes
        begun = [code for first, code in course if first <= at]
        return begun[-1] if begun else course[0][1]

    def on_leave(self, encounter: str, at: datetime) -> bool:
        return any(first <= at < last for first, last in self.encounters[encounter].leave)

    def real_stays(self) -> list[Stay]:
        return [s for s in self.stays if s.end is None or s.end > s.start]

    def present(self, at: datetime) -> list[Stay]:
        return [s for s in self.real_stays() if s.start <= at and (s.end is None or at < s.end)]

    def emergency_units(self) -> set[str]:
        found = set()
        for unit in {s.unit for s in self.stays}:
            began = [self.class_at(s.encounter, s.start) for s in self.stays if s.unit == unit]
            if 2 * began.count("EMER") >= len(began):
                found.add(unit)
        return found

    def group(self, unit: str) -> str | None:
        return unit if self.by == "unit" else None

    def groups(self) -> set[str | None]:
        seen_to = min(self.end, self.as_of)
        touching = {
            s.unit
            for s in self.real_stays()
            if s.start < seen_to and (s.end is None or s.end >= self.start)
        }
        return {self.group(unit) for unit in touching | {b.unit for b in self.beds}}


class Moment(NamedTuple):
    """Beds of one group at one tick. available is None where no staffing is known."""

    occupied: int
    counted: int
    leave: int
    counted_leave: int
    conflict: int
    counted_conflict: int
    available: int | None


def moment(h: Drawn, group: str | None, at: datetime, without: set[str]) -> Moment:
    beds = [b for b in h.beds if b.start <= at and (b.end is None or at < b.end)]
    beds = [b for b in beds if b.unit not in without and h.group(b.unit) == group]
    stays = [
        s for s in h.present(at) if s.bed and s.unit not in without and h.group(s.unit) == group
    ]
    known_units = {b.unit for b in beds if b.staffed is not None}
    totals = [0] * 6
    for unit, bed in {(s.unit, s.bed) for s in stays}:
        here = [s for s in stays if (s.unit, s.bed) == (unit, bed)]
        lying = [s for s in here if not h.on_leave(s.encounter, at)]
        kinds = (bool(lying), bool(here) and not lying, len(lying) > 1)
        for n, true in enumerate(kinds):
            totals[2 * n] += true
            totals[2 * n + 1] += true and unit in known_units
    available = sum(1 for b in beds if b.staffed and b.status not in ("C", "K"))
    return Moment(*totals, available if known_units else None)


def bed_sums(h: Drawn, ticks: Iterable[datetime], group: str | None, without: set[str]) -> Moment:
    """Moments added up over ticks; numerators follow the known capacity where there is any."""
    moments = [moment(h, group, at, without) for at in ticks]
    known = [m.available for m in moments if m.available is not None]
    sums = [sum(column) for column in list(zip(*moments, strict=True))[:6]] if moments else [0] * 6
    return Moment(*sums, sum(known) if known else None)


def seen(h: Drawn, first: datetime, last: datetime) -> list[datetime]:
    return h.ticks(first, min(last, h.as_of))


def occupancy(
    h: Drawn, ticks_of: Callable[[datetime, datetime], list[datetime] | None], scale: float
) -> Figures:
    """Occupied over available at the ticks of each period, with its strata."""
    found: Figures = {}
    for first, last in h.periods():
        ticks = ticks_of(first, last)
        if ticks is None:
            continue
        for group in h.groups():
            if not ticks:
                found[group, None, first] = (None, None)
                continue
            s = bed_sums(h, ticks, group, set())
            below = None if s.available is None else s.available / scale
            known = s.available is not None
            for stratum, above in (
                (None, s.counted if known else s.occupied),
                ("on_leave", s.counted_leave if known else s.leave),
                ("conflict", s.counted_conflict if known else s.conflict),
            ):
                if stratum is None or above:
                    found[group, stratum, first] = (above / scale, below)
    return found


def occ_hourly(h: Drawn) -> Figures:
    return occupancy(h, lambda first, last: seen(h, first, last), 4)


def occ_midnight(h: Drawn) -> Figures:
    def ticks(first: datetime, last: datetime) -> list[datetime] | None:
        midnights = h.midnights(first, last)
        return [at for at in midnights if at < h.as_of] if midnights else None

    return occupancy(h, ticks, 1)


def occ_peak(h: Drawn) -> Figures:
    found: Figures = {}
    for first, last in h.periods():
        for group in h.groups():
            moments = [moment(h, group, at, set()) for at in seen(h, first, last)]
            rated = [m for m in moments if m.available]
            if not moments:
                found[group, None, first] = (None, None)
            elif rated:
                best = max(rated, key=lambda m: (m.counted / m.available, m.occupied))
                found[group, None, first] = (best.counted, best.available)
            else:
                best = max(moments, key=lambda m: m.occupied)
                above = best.occupied if best.available is None else best.counted
                found[group, None, first] = (above, best.available)
    return found


def adc(h: Drawn) -> Figures:
    found: Figures = {}
    names = {"OBSENC": "observation", "EMER": "emergency"}
    for first, last in h.periods():
        midnights = h.midnights(first, last)
        known = [at for at in midnights if at < h.as_of]
        for group in h.groups() if midnights else ():
            census: dict[str | None, int] = {None: 0}
            for at in known:
                stays = [s for s in h.present(at) if h.group(s.unit) == group]
                for kind, _, _ in {
                    (
                        names.get(h.class_at(s.encounter, at)),
                        h.encounters[s.encounter].patient,
                        s.unit,
                    )
                    for s in stays
                }:
                    census[kind] = census.get(kind, 0) + 1
            for kind, patients in census.items():
                found[group, kind, first] = (patients, len(known)) if known else (None, None)
    return found


def discharges(h: Drawn, first: datetime, last: datetime) -> list[tuple[Encounter, list[Stay]]]:
    """Who left in the period, each with the stays of the encounter in order."""
    return [
        (e, sorted((s for s in h.real_stays() if s.encounter == e.name), key=lambda s: s.start))
        for e in h.encounters.values()
        if e.discharged is not None and first <= e.discharged < min(last, h.as_of)
    ]


def spell_start(e: Encounter) -> datetime:
    return min((at for at, code in e.classes if code in INPATIENT), default=e.classes[0][0])


def local_day(h: Drawn, at: datetime) -> date:
    return at.astimezone(h.zone).date()


def alos(h: Drawn) -> Figures:
    """The mean: days over discharges."""
    found: Figures = {}
    groups = h.groups() | {
        h.group(stays[-1].unit)
        for e, stays in discharges(h, h.start, h.end)
        if e.classes[-1][1] in INPATIENT | {"OBSENC"}
    }
    for first, last in h.periods():
        for group in groups:
            totals: dict[str | None, list[float]] = {None: []}
            for e, stays in discharges(h, first, last):
                code, begun = e.classes[-1][1], spell_start(e)
                if h.group(stays[-1].unit) != group or code not in INPATIENT | {"OBSENC"}:
                    continue
                same_day = local_day(h, begun) == local_day(h, e.discharged)
                kind = "observation" if code == "OBSENC" else "day_case" if same_day else None
                totals.setdefault(kind, []).append((e.discharged - begun) / timedelta(days=1))
            for kind, days in totals.items():
                unknown = first >= h.as_of
                found[group, kind, first] = (None, None) if unknown else (sum(days), len(days))
    return found


def transfers_per_stay(h: Drawn) -> Figures:
    """The mean: moves over discharges."""
    found: Figures = {}
    inpatients = [d for d in discharges(h, h.start, h.end) if d[0].classes[-1][1] in INPATIENT]
    groups = h.groups() | {h.group(stays[-1].unit) for _, stays in inpatients}
    for first, last in h.periods():
        for group in groups:
            moves = []
            for e, stays in discharges(h, first, last):
                if e.classes[-1][1] not in INPATIENT or h.group(stays[-1].unit) != group:
                    continue
                spell = [s.unit for s in stays if s.end > spell_start(e)]
                if spell:
                    moves.append(sum(a != b for a, b in pairwise(spell)))
            unknown = first >= h.as_of
            found[group, None, first] = (None, None) if unknown else (sum(moves), len(moves))
    return found


def departures(h: Drawn, group: str | None, first: datetime, last: datetime) -> int:
    """Exits from a ward by unit, discharges of bed patients not from an ED above it."""
    if h.by != "unit":
        return sum(
            1
            for _, stays in discharges(h, first, last)
            if stays[-1].bed is not None and stays[-1].unit not in h.emergency_units()
        )
    count = 0
    for patient in {e.patient for e in h.encounters.values()}:
        stays = [
            s
            for s in h.real_stays()
            if s.unit == group and h.encounters[s.encounter].patient == patient
        ]
        for end in {
            s.end for s in stays if s.end is not None and first <= s.end < min(last, h.as_of)
        }:
            if any(s.start <= end and (s.end is None or s.end > end) for s in stays):
                continue
            count += any(s.bed for s in stays if s.end == end)
    return count


def turnover(h: Drawn) -> dict[tuple[str | None, datetime], tuple[int | None, Moment, int]]:
    found: dict[tuple[str | None, datetime], tuple[int | None, Moment, int]] = {}
    without = set() if h.by == "unit" else h.emergency_units()
    for first, last in h.periods():
        for group in h.groups():
            ticks = seen(h, first, last)
            known = [at for at in ticks if moment(h, group, at, without).available is not None]
            left = departures(h, group, first, last) if ticks else None
            found[group, first] = (left, bed_sums(h, ticks, group, without), len(known))
    return found


def btr(h: Drawn) -> Figures:
    return {
        (group, None, first): (left, None if s.available is None else s.available / known)
        for (group, first), (left, s, known) in turnover(h).items()
    }


def bti(h: Drawn) -> Figures:
    return {
        (group, None, first): (
            None if s.available is None else (s.available - s.counted) / 96,
            left,
        )
        for (group, first), (left, s, _) in turnover(h).items()
    }


def ed_census(h: Drawn) -> Figures:
    """The headline ratio: patient-hours over space-hours."""
    found: Figures = {}
    eds = h.emergency_units()
    only = next(iter(eds)) if len(eds) == 1 else None

    def patients(at: datetime) -> list[str | None]:
        units = {}
        for e in sorted(h.encounters.values()):
            in_time = e.classes[0][0] <= at and (e.discharged is None or at < e.discharged)
            if in_time and h.class_at(e.name, at) == "EMER" and not h.on_leave(e.name, at):
                own = [s for s in h.present(at) if h.encounters[s.encounter].patient == e.patient]
                latest = max(own, key=lambda s: (s.start, h.stays.index(s)), default=None)
                units[e.patient] = latest.unit if latest else only
        return [unit if h.by == "unit" else None for unit in units.values()]

    seen_ticks = seen(h, h.start, h.end)
    groups = {h.group(unit) for unit in eds} | {unit for at in seen_ticks for unit in patients(at)}
    for first, last in h.periods():
        for group in groups:
            ticks = seen(h, first, last)
            all_hours, hours, spaces = 0, 0, None
            for at in ticks:
                here = sum(unit == group for unit in patients(at))
                bays = [
                    b
                    for b in h.beds
                    if b.unit in eds
                    and h.group(b.unit) == group
                    and b.staffed is not None
                    and b.start <= at
                    and (b.end is None or at < b.end)
                ]
                all_hours += here
                if bays:
                    hours += here
                    free = sum(1 for b in bays if b.staffed and b.status not in ("C", "K"))
                    spaces = (spaces or 0) + free
            if not ticks:
                found[group, None, first] = (None, None)
            elif spaces is None:
                found[group, None, first] = (all_hours / 4, None)
            else:
                found[group, None, first] = (hours / 4, spaces / 4)
    return found


def census_before(h: Drawn, group: str | None, at: datetime) -> int:
    """Patients just before an instant, each once per unit."""
    return len(
        {
            (h.encounters[s.encounter].patient, s.unit)
            for s in h.present(at - TICK)
            if h.group(s.unit) == group
        }
    )


def adm_dis_balance(h: Drawn) -> Figures:
    """The net flow, from the censuses at both ends of each period alone."""
    found: Figures = {}
    for first, last in h.periods():
        for group in h.groups():
            if first >= h.as_of:
                found[group, None, first] = (None, None)
                continue
            end = min(last, h.as_of)
            net = census_before(h, group, end) - census_before(h, group, first)
            found[group, None, first] = (net, (end - first) / timedelta(hours=1))
    return found
