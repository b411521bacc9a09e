"""Asking a store for a KPI: the question checked, the answer as typed rows."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from twin_core.errors import UsageError
from twin_core.kpi.catalogue import RESULT_COLUMNS, By, Grain, definition

Query = Callable[[str, Sequence[object]], list[dict[str, Any]]]
"""Runs SQL with positional parameters on a store and gives its rows."""


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
    kpi_id: str,
    start: datetime | str,
    end: datetime | str,
    *,
    grain: str = "day",
    by: str = "unit",
    known_at: datetime | str | None = None,
) -> list[KpiRow]:
    """The rows of one KPI over the window [start, end), in the order of a printed table.

    Instants are aware datetimes or ISO text; text without an offset is UTC. Raises UsageError for
    a KPI, grain or by that does not exist, and for an instant that is none.
    """
    kpi = definition(kpi_id)
    _checked("grain", grain, kpi.grain)
    _checked("by", by, kpi.by)
    window = (_instant("start", start), _instant("end", end))
    if window[0] >= window[1]:
        raise UsageError(
            "The window ends at or before its start.", do="Give an end after the start."
        )
    known = None if known_at is None else _instant("known_at", known_at)
    rows = query(_SELECT.format(kpi_id=kpi.id, grain=grain, by=by), (*window, known))
    return [KpiRow(**row) for row in rows]


def explain(kpi_id: str) -> str:
    """What a KPI means and how it is measured: its front matter in words, then its SQL."""
    kpi = definition(kpi_id)
    return "\n".join(
        (
            f"{kpi.id}: {kpi.title} ({kpi.unit})",
            f"  {kpi.question}",
            f"  numerator    {kpi.numerator}",
            f"  denominator  {kpi.denominator}",
            f"  without      {'; '.join(kpi.exclusions) or 'nothing'}",
            f"  better       {kpi.direction}",
            f"  source       {kpi.source}",
            *(f"  note         {caveat}" for caveat in kpi.caveats),
            "",
            kpi.sql,
        )
    )


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


def _instant(word: str, given: datetime | str) -> datetime:
    """An aware instant; text and datetimes without an offset are UTC."""
    try:
        instant = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise UsageError(
            f"The {word} {given!r} is no instant.", do="Write it like 2026-11-01T06:00+01:00."
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
