"""The run chart of a KPI: its rows as one series per place, with control limits and signals."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from twin_core.errors import UsageError
from twin_core.kpi.catalogue import Definition, definition
from twin_core.kpi.control import BASELINE, Kind, Observed, Rule, control_chart
from twin_core.kpi.measuring import Edge, KpiRow, Query, Window, instant_of, measure

COUNTED_BY_SHAPE = {
    ("shares", "share"): "p",
    ("snapshots", "share"): "p",
    ("amounts", "share_within"): "p",
}
"""Statistics that are shares of counted events because of the shape of their KPI."""


class Baseline(NamedTuple):
    """What the limits are computed from: the periods within a window, else the first known ones."""

    points: int = BASELINE
    window: Window | None = None


class ChartPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One period on the chart: its figure, its limits, and the rules by which it is a signal.

    A period that is not complete (cut by the window, or not over at the latest known instant) is
    shown but not judged. A value that is not known breaks every run.
    """

    period_start: datetime
    period_end: datetime
    value: float | None
    numerator: float | None
    denominator: float | None
    complete: bool
    lower: float | None
    upper: float | None
    moving_range: float | None
    in_baseline: bool
    signals: tuple[Rule, ...]


class KpiChart(msgspec.Struct, frozen=True, kw_only=True):
    """The chart of one statistic for one place (or class, in `stratum`).

    centre is None where there are no limits; `why_not` says why.
    """

    facility: str | None
    unit: str | None
    stratum: str | None
    statistic: str
    kind: Kind
    centre: float | None
    moving_range: float | None
    moving_range_upper: float | None
    baseline: int
    why_not: str
    points: tuple[ChartPoint, ...]


def kind_of(kpi: Definition, statistic: str) -> Kind:
    """The chart for a statistic: p for a share of counted events, u for a count per exposure, XmR
    for anything else, which needs no assumption about where the figure comes from."""
    by_shape = COUNTED_BY_SHAPE.get((kpi.shape, statistic))
    if "p" in (by_shape, kpi.counts.get(statistic)):
        return "p"
    return "u" if kpi.counts.get(statistic) == "u" else "XmR"


def charts(
    query: Query,
    asked: str | Definition,
    window: Window,
    *,
    grain: str = "day",
    by: str = "unit",
    known_at: Edge | None = None,
    statistic: str | None = None,
    baseline: Baseline | None = None,
    rows: Sequence[KpiRow] | None = None,
) -> list[KpiChart]:
    """A chart per place or class, in the order of the KPI's rows; its first statistic by default.

    `rows` are those of the KPI for the same question, where they have been measured already.
    Parts shown beside the KPI (its strata) have no chart of their own. Raises UsageError for a
    statistic that the KPI does not have, and for grain `all`, which has nothing to run over.
    """
    kpi = definition(asked)
    shown = statistic or next(iter(kpi.statistics))
    _checked(kpi, shown, grain)
    if rows is None:
        rows = measure(query, kpi, *window, grain=grain, by=by, known_at=known_at)
    known = None if known_at is None else instant_of(query, "known_at", known_at)
    whole = _whole_periods(query, window, grain, by, known)
    return [
        _chart(kpi, series, _aligned(series, rows), whole, baseline or Baseline())
        for series in _series(kpi, shown, rows)
    ]


class _Period(NamedTuple):
    start: datetime
    end: datetime
    row: KpiRow | None


def _checked(kpi: Definition, statistic: str, grain: str) -> None:
    if statistic not in kpi.statistics:
        raise UsageError(
            f"KPI {kpi.id} has no statistic {statistic!r}.",
            do=f"Use {', '.join(kpi.statistics)}.",
        )
    if grain == "all":
        raise UsageError(
            "A chart needs periods.", do="Use a grain other than all, such as day or week."
        )


def _series(kpi: Definition, statistic: str, rows: Iterable[KpiRow]) -> Iterator[list[KpiRow]]:
    found: dict[tuple[str | None, ...], list[KpiRow]] = {}
    for row in rows:
        apart = (row.stratum or "").split("/")[-1] in kpi.strata
        if row.statistic == statistic and not apart:
            found.setdefault((row.facility, row.unit, row.stratum), []).append(row)
    yield from found.values()


def _aligned(series: Sequence[KpiRow], rows: Iterable[KpiRow]) -> list[_Period]:
    """Every period that some row of the facility has: one without a row here is not known."""
    own = {row.period_start: row for row in series}
    ends = {row.period_start: row.period_end for row in rows if row.facility == series[0].facility}
    return [_Period(start, ends[start], own.get(start)) for start in sorted(ends)]


def _chart(
    kpi: Definition,
    series: Sequence[KpiRow],
    periods: Sequence[_Period],
    whole: set[tuple[str | None, datetime]],
    baseline: Baseline,
) -> KpiChart:
    first = series[0]
    complete = [(first.facility, period.start) in whole for period in periods]
    observed = [
        Observed(period.row.value, period.row.numerator, period.row.denominator)
        if period.row is not None and over
        else Observed(None)
        for period, over in zip(periods, complete, strict=True)
    ]
    kind = kind_of(kpi, first.statistic)
    judged = control_chart(
        observed, kind, baseline=_chosen(periods, baseline), scale=100.0 if kind == "p" else 1.0
    )
    return KpiChart(
        facility=first.facility,
        unit=first.unit,
        stratum=first.stratum,
        statistic=first.statistic,
        kind=kind,
        centre=judged.centre,
        moving_range=judged.moving_range,
        moving_range_upper=judged.moving_range_upper,
        baseline=judged.baseline,
        why_not=judged.why_not,
        points=tuple(
            ChartPoint(
                period_start=period.start,
                period_end=period.end,
                value=None if period.row is None else period.row.value,
                numerator=None if period.row is None else period.row.numerator,
                denominator=None if period.row is None else period.row.denominator,
                complete=over,
                **msgspec.structs.asdict(point),
            )
            for period, over, point in zip(periods, complete, judged.points, strict=True)
        ),
    )


def _chosen(periods: Sequence[_Period], baseline: Baseline) -> Sequence[bool] | int:
    if baseline.window is None:
        return baseline.points
    start, end = baseline.window
    return [period.start >= start and period.end <= end for period in periods]


def _whole_periods(
    query: Query, window: Window, grain: str, by: str, known_at: datetime | None
) -> set[tuple[str | None, datetime]]:
    """Facility and start of every period that the window does not cut and that is over."""
    rows = query(_WHOLE.format(grain=grain, by=by), (*window, known_at, *window, known_at))
    return {(row["facility"], row["period_start"]) for row in rows}


# grain and by were checked by `measure`: they are words of the catalogue.
_WHOLE = """\
WITH boundary AS (FROM kpi_part.boundaries(?, ?, '{grain}', '{by}', ?))
SELECT DISTINCT kpi_part.shown(p.facility) AS facility, p.period_start
FROM kpi_part.periods(?, ?, '{grain}', '{by}', ?) p
JOIN boundary s ON s.zone = p.zone AND s.starts_at = p.period_start
JOIN boundary e ON e.zone = p.zone AND e.starts_at = p.period_end
WHERE p.seen_to = p.period_end
  AND (p.facility = '*') = ('{by}' NOT IN ('facility', 'building', 'unit'))
"""
