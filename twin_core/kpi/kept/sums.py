"""The board's KPIs over a window: what a ledger's contributions add up to.

Each function counts the headline row of one KPI for the whole hospital as one period, as
`kpi.<id>(start, end, grain := 'all', by := 'hospital')` does.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from statistics import median
from typing import NamedTuple

from twin_core.kpi.kept.beds import NOT_CLEAN
from twin_core.kpi.kept.course import Interval
from twin_core.kpi.kept.emergency import EdVisit
from twin_core.kpi.kept.ledger import Ledger
from twin_core.kpi.kept.records import FOREVER, HOUR_US, Instant, instant
from twin_core.kpi.measuring import Window

FOUR_HOURS, LONG_STAY, MINUTE_US = 4 * HOUR_US, 7 * 24 * HOUR_US, HOUR_US / 60


class Counted(NamedTuple):
    """A KPI's headline: as in the row of its macro. None is unknown, never zero."""

    statistic: str
    numerator: float | None
    denominator: float | None
    value: float | None
    came: int = 0
    """Of the net flow: patients who came to a unit, and who went from one."""
    went: int = 0


class Asked(NamedTuple):
    """A window, as far as it is known; seen_to is None where it lies beyond all that is."""

    start: Instant
    end: Instant
    as_of: Instant
    """The latest known instant."""
    scope_end: Instant
    """The window's end, or the latest known instant where that is earlier."""
    seen_to: Instant | None


def counted(ledger: Ledger, kpi_id: str, window: Window, known_at: datetime) -> Counted | None:
    """The headline of one of `COUNTED`; None where the KPI owes no row, as in an empty store."""
    start, end, as_of = instant(window.start), instant(window.end), instant(known_at)
    scope_end = min(end, as_of)
    seen_to = scope_end if as_of > start else None
    return COUNTED[kpi_id](ledger, Asked(start, end, as_of, scope_end, seen_to))


def occ_hourly(ledger: Ledger, asked: Asked) -> Counted | None:
    """Occupied bed-hours over available ones."""
    if not _has_places(ledger, asked):
        return None
    if asked.seen_to is None:
        return Counted("ratio", None, None, None)
    within = (asked.start, asked.seen_to)
    spaces = [c for bed in ledger.beds.values() for c in bed.capacity]
    known = [cut for c in spaces if (cut := _cut((c.from_at, c.to_at), within))]
    open_for = [cut for c in spaces if c.available and (cut := _cut((c.from_at, c.to_at), within))]
    taken = 0
    for key, intervals in ledger.occupied.items():
        unit_known = ledger.known.get(ledger.bed_units[key], [])
        for interval in intervals:
            if cut := _cut(interval, within):
                taken += _shared(cut, unit_known) if known else cut[1] - cut[0]
    return _ratio(taken / HOUR_US, _total(open_for) / HOUR_US if known else None)


def occ_midnight(ledger: Ledger, asked: Asked) -> Counted | None:
    """Occupied beds over available ones at the window's start, which is the midnight."""
    if not _has_places(ledger, asked):
        return None
    if asked.seen_to is None:
        return Counted("ratio", None, None, None)
    at = asked.start
    here = [key for key, times in ledger.occupied.items() if _at(times, at)]
    spaces = [c for bed in ledger.beds.values() for c in bed.capacity if c.from_at <= at < c.to_at]
    if not spaces:
        return _ratio(len(here), None)
    in_known = sum(_at(ledger.known.get(ledger.bed_units[key], []), at) for key in here)
    return _ratio(in_known, sum(c.available for c in spaces))


def beds_available(ledger: Ledger, asked: Asked) -> Counted | None:
    """Free, clean, staffed beds that nobody is promised, at the last known instant."""
    if not _has_places(ledger, asked):
        return None
    at = asked.seen_to
    if at is None:
        return Counted("count", None, None, None)
    free, staffed, unknown = 0, 0, 0
    for key, bed in ledger.beds.items():
        stated = [s for s in bed.statuses if s.from_at < at <= s.to_at]
        unknown += not stated
        taken = _until(ledger.taken.get(key, ()), at)
        for status in stated:
            unknown += status.staffed is None
            if status.staffed and status.status != "C":
                staffed += 1
                held = taken or status.status in NOT_CLEAN or _until(bed.reserved, at)
                free += not held
    return Counted("count", free, None, free if staffed or not unknown else None)


def alos(ledger: Ledger, asked: Asked) -> Counted | None:
    """The mean length of stay, in days, of the inpatients who left."""
    left = [s for s in ledger.spells.values() if asked.start <= s.discharged_at < asked.scope_end]
    if not left and not _has_places(ledger, asked):
        return None
    if asked.seen_to is None:
        return Counted("mean", None, None, None)
    days = [s.days for s in left if s.days is not None]
    return Counted("mean", sum(days), len(days), sum(days) / len(days) if days else None)


def adm_dis_balance(ledger: Ledger, asked: Asked) -> Counted | None:
    """Who came to a unit less who went from one, an hour."""
    if not _has_places(ledger, asked):
        return None
    if asked.seen_to is None:
        return Counted("net", None, None, None)
    came = went = 0
    for times in ledger.presences.values():
        for start, end in times:
            came += asked.start <= start < asked.seen_to
            went += asked.start <= end < asked.seen_to
    hours = (asked.seen_to - asked.start) / HOUR_US
    return Counted("net", came - went, hours, (came - went) / hours, came, went)


def ed_census(ledger: Ledger, asked: Asked) -> Counted | None:
    """Patients in EDs at the last known instant, for each treatment space."""
    within = (asked.start, asked.scope_end)
    present = [
        (ledger.visits[key].patient, cut)
        for key, times in ledger.emergency.items()
        for one in times
        if (cut := _cut(one, within))
    ]
    if not present and not ledger.ed_units:
        return None
    at = asked.seen_to
    if at is None:
        return Counted("at_end", None, None, None)
    patients = len({patient for patient, (start, end) in present if start < at <= end})
    spaces = [
        c
        for bed in ledger.beds.values()
        if bed.unit in ledger.ed_units
        for c in bed.capacity
        if c.from_at < at <= c.to_at
    ]
    found = _ratio(patients, sum(c.available for c in spaces) if spaces else None)
    return found._replace(statistic="at_end")


def ed_boarders(ledger: Ledger, asked: Asked) -> Counted | None:
    """ED patients whose admission is decided and who have reached no ward."""
    rows = [row for visit in _visits_of(ledger, asked) for row in _waiting(visit)]
    if not rows and not ledger.ed_units:
        return None
    at = asked.seen_to
    if at is None:
        return Counted("count", None, None, None)
    boarders = sum(boards for (start, end), boards in rows if start < at <= end)
    return Counted("count", boarders, None, boarders)


def nhs4h(ledger: Ledger, asked: Asked) -> Counted | None:
    """The share of ED visits that ended, or passed four hours, that ended within them."""
    within = total = 0
    any_row = False
    for v in _visits_of(ledger, asked):
        ended = asked.as_of if v.departed_at is None else v.departed_at
        in_time = ended - v.arrived_at <= FOUR_HOURS
        if v.departed_at is None and in_time:
            continue
        any_row = True
        at = v.arrived_at + FOUR_HOURS if v.departed_at is None else v.departed_at
        if asked.seen_to is not None and asked.start <= at < asked.seen_to:
            total, within = total + 1, within + in_time
    if not any_row and not ledger.ed_units:
        return None
    if asked.seen_to is None:
        return Counted("share", None, None, None)
    return _ratio(within, total)._replace(statistic="share")


def boarding(ledger: Ledger, asked: Asked) -> Counted | None:
    """The median wait, in minutes, of admitted patients from the decision to the departure."""
    left = [v for v in _visits_of(ledger, asked) if v.admitted and not v.psychiatric]
    if not left and not ledger.ed_units:
        return None
    if asked.seen_to is None:
        return Counted("median", None, None, None)
    waits = [
        max(0.0, (v.departed_at - v.decided_at) / MINUTE_US)
        for v in left
        if v.departed_at is not None
        and asked.start <= v.departed_at < asked.seen_to
        and v.decided_at is not None
    ]
    return Counted("median", None, len(waits), median(waits) if waits else None)


def los_elapsed_long(ledger: Ledger, asked: Asked) -> Counted | None:
    """Inpatients who have been here for a week or longer at the last known instant."""
    if not _has_places(ledger, asked):
        return None
    at = asked.seen_to
    if at is None:
        return Counted("count", None, None, None)
    long = 0
    for times in ledger.lying.values():
        for start, end, began in times:
            if start < at <= end:
                long += end == FOREVER if began is None else began + LONG_STAY < at
    return Counted("count", long, None, long)


COUNTED: dict[str, Callable[[Ledger, Asked], Counted | None]] = {
    "occ_hourly": occ_hourly,
    "occ_midnight": occ_midnight,
    "beds_available": beds_available,
    "alos": alos,
    "adm_dis_balance": adm_dis_balance,
    "ed_census": ed_census,
    "ed_boarders": ed_boarders,
    "nhs4h": nhs4h,
    "boarding": boarding,
    "los_elapsed_long": los_elapsed_long,
}
"""The board's KPIs by id, and how each is counted."""


def _has_places(ledger: Ledger, asked: Asked) -> bool:
    """Whether the hospital has beds, or had patients in the window (as `kpi_part.places`)."""
    return bool(ledger.beds) or any(
        start < asked.scope_end and end >= asked.start
        for times in ledger.presences.values()
        for start, end in times
    )


def _visits_of(ledger: Ledger, asked: Asked) -> Iterator[EdVisit]:
    """The ED visits that touch a window."""
    for visit in ledger.ed_visits.values():
        late = visit.discharged_at is not None and visit.discharged_at < asked.start
        if visit.arrived_at < asked.scope_end and not late:
            yield visit


def _waiting(visit: EdVisit) -> list[tuple[Interval, bool]]:
    """When a visit's patient was in the ED, and whether as a boarder."""
    left = FOREVER if visit.departed_at is None else visit.departed_at
    boards = visit.boards_at
    before = (visit.arrived_at, left if boards is None else min(left, boards))
    rows = [(before, False)]
    if boards is not None and boards < left:
        rows.append(((boards, left), True))
    return [row for row in rows if row[0][0] < row[0][1]]


def _ratio(above: float, below: float | None) -> Counted:
    return Counted("ratio", above, below, 100 * above / below if below else None)


def _cut(one: Interval, within: Interval) -> Interval | None:
    start, end = one
    first, last = within
    start, end = (first if first > start else start), (last if last < end else end)
    return (start, end) if start < end else None


def _shared(one: Interval, others: Iterable[Interval]) -> int:
    """How long an interval lasts within others that do not overlap."""
    return _total(cut for other in others if (cut := _cut(one, other)))


def _total(intervals: Iterable[Interval]) -> int:
    return sum(end - start for start, end in intervals)


def _at(intervals: Iterable[Interval], at: Instant) -> bool:
    return any(start <= at < end for start, end in intervals)


def _until(intervals: Iterable[Interval], at: Instant) -> bool:
    """Whether one holds just before an instant."""
    return any(start < at <= end for start, end in intervals)
