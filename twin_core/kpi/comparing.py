"""A KPI beside itself: every figure with that of the same period before, or a year ago.

Periods are moved by the calendar of the hospital, not by elapsed time: the day before a change of
the clocks is compared as a day, and a month with the month before it, however long each is.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from twin_core.errors import UsageError
from twin_core.kpi.measuring import KpiRow, Window

Compare = Literal["previous", "year"]

YEAR_OF_WEEKS = 52
"""A year ago, in weeks: the same days of the week lie 364 days back."""


MIDNIGHT = time()


class ComparedRow(KpiRow, frozen=True, kw_only=True):
    """One figure with that of the period before it; unknown there or here, so is the change."""

    value_before: float | None
    change: float | None
    """value minus value_before, in the unit of the KPI."""


class Step(NamedTuple):
    """How far back the period lies that one is compared with."""

    months: int = 0
    days: int = 0
    elapsed: timedelta = timedelta()


def step_back(window: Window, grain: str, compare: str, zone: ZoneInfo) -> Step:
    """From a window to the one it is compared with.

    `previous` is as many whole months for grain month, whole weeks for week, and otherwise as many
    local days as the window has; a window of other than whole days moves by its own length.
    `year` is 12 months, or 52 weeks for grain week. Raises UsageError for another word.
    """
    if compare not in get_args(Compare):
        raise UsageError(
            f"There is nothing to compare with called {compare!r}.",
            do=f"Use {' or '.join(get_args(Compare))}.",
        )
    if compare == "year":
        return Step(days=7 * YEAR_OF_WEEKS) if grain == "week" else Step(months=12)
    start, end = (edge.astimezone(zone).replace(tzinfo=None) for edge in window)
    months = _whole_months(start, end)
    if grain == "month" or (grain == "all" and months):
        return Step(months=months or _months(start, end))
    days = -(-(end - start) // timedelta(days=1))
    if grain == "week":
        return Step(days=7 * -(-days // 7))
    if grain == "day" or start.time() == end.time():
        return Step(days=days)
    return Step(elapsed=window.end - window.start)


def moved(at: datetime, step: Step, zone: ZoneInfo) -> datetime:
    """The instant as far back, at the same local time; the last of a month that is too short."""
    local = at.astimezone(zone)
    year, month = divmod(12 * local.year + local.month - 1 - step.months, 12)
    wall = _in_month(local.replace(tzinfo=None), year, month + 1) - timedelta(days=step.days)
    return wall.replace(tzinfo=zone, fold=local.fold).astimezone(UTC) - step.elapsed


def compared(
    measured: Callable[[Window], list[KpiRow]],
    window: Window,
    grain: str,
    compare: str,
    zone: ZoneInfo,
) -> list[ComparedRow]:
    """The rows of a window, each beside the row of the same place, part and statistic before.

    `measured` gives the rows of a window. A period without a counterpart (29 February a year ago,
    the hour that the clocks skipped) has nothing before it, an hour that the clocks repeated has
    the same one twice, and places that only were there before have no row.
    """
    step = step_back(window, grain, compare, zone)
    earlier = Window(moved(window.start, step, zone), _moved_end(window.end, step, zone))
    before = {_key(row, row.period_start): row.value for row in measured(earlier)}
    return [_beside(row, before, step, zone) for row in measured(window)]


def _beside(
    row: KpiRow, before: dict[tuple[object, ...], float | None], step: Step, zone: ZoneInfo
) -> ComparedRow:
    start = moved(row.period_start, step, zone)
    # What was moved there must come from there: the last of February stands for no other day.
    same = _same_wall(row.period_start, start, step, zone)
    value = before.get(_key(row, start)) if same else None
    change = None if row.value is None or value is None else row.value - value
    return ComparedRow(**msgspec.structs.asdict(row), value_before=value, change=change)


def _key(row: KpiRow, period_start: datetime) -> tuple[object, ...]:
    return (row.facility, row.unit, row.stratum, row.statistic, period_start)


def _same_wall(at: datetime, earlier: datetime, step: Step, zone: ZoneInfo) -> bool:
    if step.elapsed:
        return True
    here, there = at.astimezone(zone), earlier.astimezone(zone)
    return here.time() == there.time() and (not step.months or here.day == there.day)


def _moved_end(end: datetime, step: Step, zone: ZoneInfo) -> datetime:
    # An end is exclusive: where its day does not exist, what precedes it ends with the month.
    earlier = moved(end, step, zone)
    if not step.months or earlier.astimezone(zone).day == end.astimezone(zone).day:
        return earlier
    return moved(earlier, Step(days=-1), zone)


def _whole_months(start: datetime, end: datetime) -> int:
    """How many calendar months lie between two local midnights of a first; 0 for anything else."""
    first = all(at.day == 1 and at.time() == MIDNIGHT for at in (start, end))
    return _months(start, end) if first else 0


def _months(start: datetime, end: datetime) -> int:
    """The fewest months that reach from a start to an end or beyond."""
    apart = 12 * (end.year - start.year) + end.month - start.month
    reached = (end.day, end.time()) <= (start.day, start.time())
    return apart if reached else apart + 1


def _in_month(wall: datetime, year: int, month: int) -> datetime:
    last = (datetime(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day  # noqa: DTZ001
    return wall.replace(year=year, month=month, day=min(wall.day, last))
