"""Asking a store for a KPI: the question checked, the answer as typed rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from twin_core.errors import UsageError
from twin_core.kpi.catalogue import RESULT_COLUMNS, By, Definition, Grain, definition

Query = Callable[[str, Sequence[object] | Mapping[str, object]], list[dict[str, Any]]]
"""Runs SQL with positional or named parameters on a store and gives its rows."""


USUAL_DAYS = 7
"""Whole days of a window that nobody gave."""

Edge = date | datetime | str
"""An edge of a window; without an offset it is in the hospital's time zone, a date is midnight."""


class Window(NamedTuple):
    """A half-open window of time, both edges aware."""

    start: datetime
    end: datetime


class KpiRow(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a KPI: for whom, when, what it is, and how much of what it needs is known.

    facility and unit are None where they were aggregated away or never named; stratum is None for
    the KPI itself, a name for a part shown beside it. value is numerator over denominator for
    ratios (times 100 for shares); None is unknown or undefined, never zero. For quantiles the
    denominator is n.
    """

    facility: str | None
    unit: str | None
    period_start: datetime
    period_end: datetime
    stratum: str | None
    statistic: str
    numerator: float | None
    denominator: float | None
    value: float | None
    coverage: float | None
    """Share of the needed inputs that are known, 0 to 1."""


def measure(
    query: Query,
    kpi: str | Definition,
    start: Edge,
    end: Edge,
    *,
    grain: str = "day",
    by: str = "unit",
    known_at: Edge | None = None,
) -> list[KpiRow]:
    """The rows of one KPI over the window [start, end), in the order of a printed table.

    Raises UsageError for a KPI, grain or by that does not exist, and for an instant that is none.
    """
    window, known, _ = asked_for(query, kpi, start, end, grain=grain, by=by, known_at=known_at)
    rows = query(_SELECT.format(kpi_id=definition(kpi).id, grain=grain, by=by), (*window, known))
    return [KpiRow(**row) for row in rows]


def asked_for(
    query: Query,
    kpi: str | Definition,
    start: Edge,
    end: Edge,
    *,
    grain: str,
    by: str,
    known_at: Edge | None,
    within: Edge | None = None,
) -> tuple[Window, datetime | None, datetime | None]:
    """A question with its words checked and its instants placed: window, known_at and `within`.

    Raises UsageError for a KPI, grain or by that does not exist, and for an instant that is none.
    """
    told = definition(kpi)
    _checked("grain", grain, told.grain)
    _checked("by", by, told.by)
    given = {"start": start, "end": end, "known_at": known_at, "period": within}
    edges = {word: _read(word, edge) for word, edge in given.items() if edge is not None}
    placed = dict(zip(edges, _placed(query, list(edges.values())), strict=True))
    window = _window(placed["start"], placed["end"])
    return window, placed.get("known_at"), placed.get("period")


def window_of(query: Query, start: Edge | None, end: Edge | None, now: datetime) -> Window:
    """The window that is meant: by default the last seven whole days of the hospital.

    Raises UsageError for an edge that is no instant, or an end at or before the start.
    """
    if start is not None and end is not None:
        return _window(*_placed(query, [_read("start", start), _read("end", end)]))
    zone = hospital_zone(query)
    until = last_midnight(now, zone) if end is None else _local(_read("end", end), zone)
    if start is not None:
        return _window(_local(_read("start", start), zone), until)
    # Seven days back by the calendar: one of them may be 23 or 25 hours long.
    local = until.astimezone(zone).replace(tzinfo=None) - timedelta(days=USUAL_DAYS)
    return Window(local.replace(tzinfo=zone).astimezone(UTC), until)


def instant_of(query: Query, word: str, given: Edge) -> datetime:
    """An instant as it is meant: without an offset it is in the hospital's time zone.

    Raises UsageError, naming it by `word`, for what is no instant.
    """
    [placed] = _placed(query, [_read(word, given)])
    return placed


def hospital_zone(query: Query) -> ZoneInfo:
    """The time zone that the configured facilities share; UTC where they share none."""
    zones = query("SELECT DISTINCT time_zone FROM core.facility", ())
    return ZoneInfo(str(zones[0]["time_zone"]) if len(zones) == 1 else "UTC")


def last_midnight(now: datetime, zone: ZoneInfo) -> datetime:
    """The local midnight that the hospital's day began with."""
    local = now.astimezone(zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def explain(kpi_id: str) -> str:
    """What a KPI means and how it is measured: its front matter in words, then its SQL."""
    kpi = definition(kpi_id)
    return "\n".join((*explained(kpi), "", kpi.rule))


def explained(kpi: Definition) -> list[str]:
    """What a KPI means, line by line."""
    return [
        f"{kpi.id}: {kpi.title} ({kpi.unit})",
        f"  {kpi.question}",
        f"  numerator    {kpi.numerator}",
        f"  denominator  {kpi.denominator}",
        f"  without      {'; '.join(kpi.exclusions) or 'nothing'}",
        *(f"  apart        {name}: {words}" for name, words in kpi.strata.items()),
        *(f"  statistic    {name}: {words}" for name, words in kpi.statistics.items()),
        f"  better       {kpi.direction}",
        *([f"  supplied by  {kpi.supplied_by}"] if kpi.supplied_by else ()),
        f"  source       {kpi.source}",
        *(f"  note         {caveat}" for caveat in kpi.caveats),
    ]


# grain and by are words of this module, so they may be literals: DuckDB plans better with them.
_SELECT = (
    f"SELECT {', '.join(RESULT_COLUMNS)}"  # noqa: S608 - only names of this module and the catalogue
    " FROM kpi.{kpi_id}(?, ?, grain := '{grain}', \"by\" := '{by}', known_at := ?)"
    " ORDER BY facility NULLS FIRST, unit NULLS FIRST, period_start, stratum NULLS FIRST, statistic"
)


def _checked(word: str, given: str, offered: Iterable[str]) -> None:
    if given not in offered:
        known = get_args(Grain if word == "grain" else By)
        why = "This KPI is not defined that way." if given in known else ""
        raise UsageError(f"There is no {word} {given!r}.", why=why, do=f"Use {', '.join(offered)}.")


def _window(start: datetime, end: datetime) -> Window:
    if start >= end:
        raise UsageError(
            "The window ends at or before its start.", do="Give an end after the start."
        )
    return Window(start, end)


def _read(word: str, given: Edge) -> date | datetime:
    try:
        return datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise UsageError(
            f"The {word} {given!r} is no instant.",
            do="Write it like 2026-11-01, or 2026-11-01T06:00+01:00.",
        ) from None


def _placed(query: Query, edges: Sequence[date | datetime]) -> list[datetime]:
    # Who gives offsets need not be asked where the hospital is.
    aware = all(isinstance(edge, datetime) and edge.tzinfo for edge in edges)
    zone = ZoneInfo("UTC") if aware else hospital_zone(query)
    return [_local(edge, zone) for edge in edges]


def _local(edge: date | datetime, zone: ZoneInfo) -> datetime:
    """An aware instant; without an offset it is local time of the hospital, a date its midnight."""
    if not isinstance(edge, datetime):
        edge = datetime(edge.year, edge.month, edge.day, tzinfo=zone)
    return (edge if edge.tzinfo else edge.replace(tzinfo=zone)).astimezone(UTC)
