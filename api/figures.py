"""The figures of the board's strip: KPIs over a short window, for the whole hospital."""

from datetime import datetime, timedelta
from typing import NamedTuple

from api.board import KpiCard, Said, card
from twin_core.kpi import KpiRow, hospital_zone, last_midnight
from twin_core.twin import Twin

DASH = "\u2013"
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)


class Figure(NamedTuple):
    """A card of the strip: which KPI and statistic, over which window, in which words."""

    kpi_id: str
    statistic: str
    title: str
    window: str
    unit: str


FIGURES = (
    Figure("occ_midnight", "ratio", "Midnight occupancy", "last midnight", "%"),
    Figure("alos", "mean", "Average stay", "last 7 days", "days"),
    Figure("adm_dis_balance", "net", "Net flow", "since midnight", ""),
)

# What the strip shows until the figures have been counted for the first time.
PENDING = tuple(
    card(f.kpi_id, f.title, "\u2026", "", ("counting", {}), (f.window, {})) for f in FIGURES
)


def figures(twin: Twin) -> tuple[KpiCard, ...]:
    """The cards, each with its value or a dash where the twin cannot know it."""
    now = twin.clock.now()
    midnight = last_midnight(now, hospital_zone(twin.query))
    windows = {
        "last midnight": (midnight, midnight + HOUR),
        "last 7 days": (midnight - WEEK, midnight),
        "since midnight": (midnight, max(now, midnight + timedelta(minutes=1))),
    }
    known = twin.kpis
    return tuple(
        _card(twin, figure, *windows[figure.window]) for figure in FIGURES if figure.kpi_id in known
    )


def headline(rows: list[KpiRow], statistic: str) -> KpiRow | None:
    """The row that answers the KPI's question, without strata."""
    return next((r for r in rows if r.statistic == statistic and r.stratum is None), None)


def figure_words(row: KpiRow | None) -> str:
    """A figure as it stands in a list; a dash where the twin cannot know it."""
    return shown(None if row is None else row.value)


def shown(value: float | None, *, signed: bool = False) -> str:
    """A figure as people read it: whole from a hundred up, else one decimal; a dash if unknown."""
    if value is None:
        return DASH
    rounded = round(value) if abs(value) >= 100 or value == round(value) else round(value, 1)
    text = f"{rounded:+,}" if signed and rounded else f"{rounded:,}"
    return text.replace("-", "\u2212")


def _card(twin: Twin, figure: Figure, start: datetime, end: datetime) -> KpiCard:
    rows = twin.kpi(figure.kpi_id, start, end, grain="all", by="hospital")
    row = headline(rows, figure.statistic)
    value = None if row is None else row.value
    if figure.kpi_id == "adm_dis_balance" and row is not None:
        value = row.numerator
    return card(
        figure.kpi_id,
        figure.title,
        shown(value, signed=figure.kpi_id == "adm_dis_balance"),
        figure.unit if value is not None else "",
        _counted_from(figure, row, rows),
        (figure.window, {}),
    )


def _counted_from(figure: Figure, row: KpiRow | None, rows: list[KpiRow]) -> Said:
    if row is None or row.numerator is None:
        return "not known yet", {}
    if figure.kpi_id == "adm_dis_balance":
        came = _sum(rows, "admissions", "transfers_in")
        went = _sum(rows, "discharges", "deaths", "transfers_out")
        return "{came} in, {went} out", {"came": shown(came), "went": shown(went)}
    if figure.kpi_id == "alos":
        return "{n} discharges", {"n": shown(row.denominator)}
    if row.denominator is None:
        return "{n} in beds, staffing not known", {"n": shown(row.numerator)}
    counted = {"taken": shown(row.numerator), "whole": shown(row.denominator)}
    return "{taken} of {whole} beds", counted


def _sum(rows: list[KpiRow], *statistics: str) -> float:
    return sum(r.numerator or 0.0 for r in rows if r.statistic in statistics and r.stratum is None)
