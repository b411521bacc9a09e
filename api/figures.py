"""The figures of the board's strip: KPIs over a short window, for the whole hospital."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from api.board import Beside, KpiCard, Said, card
from twin_core.kpi import KpiRow, hospital_zone, last_midnight
from twin_core.kpi.kept import Counted
from twin_core.kpi.measuring import Window
from twin_core.twin import Twin

DASH = "\u2013"
WEEK = timedelta(days=7)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


class Figure(NamedTuple):
    """A card of the strip: which KPI and statistic, over which window, in which words."""

    kpi_id: str
    statistic: str
    title: str
    window: str
    unit: str


FIGURES = (
    Figure("occ_midnight", "ratio", "Midnight occupancy", "last midnight", "%"),
    Figure("beds_available", "count", "Beds available", "now", "beds"),
    Figure("alos", "mean", "Average stay", "last 7 days", "days"),
    Figure("los_elapsed_long", "count", "Long stays", "now", "patients"),
    Figure("adm_dis_balance", "net", "Net flow", "since midnight", ""),
    Figure("ed_boarders", "count", "Boarders in the ED", "now", "patients"),
    Figure("boarding", "median", "Boarding time", "last 24 hours", "min"),
    Figure("nhs4h", "share", "Within four hours", "last 24 hours", "%"),
)
COUNTED_FROM: dict[str, tuple[str, dict[str, str]]] = {
    "occ_midnight": (
        "{taken} of {whole} beds",
        {"taken": "numerator", "whole": "denominator"},
    ),
    "beds_available": ("staffed, clean, not promised", {}),
    "alos": ("{n} discharges", {"n": "denominator"}),
    "los_elapsed_long": ("inpatients of a week or longer", {}),
    "adm_dis_balance": ("{came} in, {went} out", {"came": "came", "went": "went"}),
    "ed_boarders": ("admitted, waiting for a bed", {}),
    "boarding": ("median of {n} admissions", {"n": "denominator"}),
    "nhs4h": ("{n} of {all} visits", {"n": "numerator", "all": "denominator"}),
}
"""What each figure was counted from: words, and which part of it stands where in them."""
BESIDE = {"occ_hourly": "last 24 hours", "ed_census": "now"}
"""What is shown on the cards that follow from the hospital's state, and its window."""

# What the strip shows until the figures have been counted for the first time.
PENDING = tuple(
    card(f.kpi_id, f.title, "\u2026", "", ("counting", {}), (f.window, {})) for f in FIGURES
)


class Strip:
    """The figures of a board, counted again after every batch at little cost.

    The KPIs that a site has written itself are measured by their SQL, when `measure_own` is called.
    """

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        own = {kpi for kpi, known in twin.kpis.items() if known.origin == "site"}
        self._own = tuple(figure for figure in FIGURES if figure.kpi_id in own)
        self._measured = {card.kpi_id: card for card in PENDING}

    def cards(self) -> tuple[tuple[KpiCard, ...], Beside]:
        """The cards, each with its value or a dash where the twin cannot know it, and what the
        cards of the hospital's state say beside their own."""
        windows = self._windows()
        own = {figure.kpi_id for figure in self._own}
        asked = {f.kpi_id: windows[f.window] for f in FIGURES if f.kpi_id not in own}
        asked |= {kpi_id: windows[window] for kpi_id, window in BESIDE.items()}
        kept = self._twin.kpis_kept(asked).figures
        return (
            tuple(
                self._measured[f.kpi_id] if f.kpi_id in own else _kept_card(f, kept[f.kpi_id])
                for f in FIGURES
            ),
            beside(kept),
        )

    def measure_own(self) -> None:
        """Measure the KPIs that the site has written itself."""
        windows = self._windows()
        for figure in self._own:
            start, end = windows[figure.window]
            rows = self._twin.kpi(figure.kpi_id, start, end, grain="all", by="hospital")
            row = headline(rows, figure.statistic)
            self._measured[figure.kpi_id] = _own_card(figure, row)

    def _windows(self) -> dict[str, Window]:
        now = self._twin.clock.now()
        midnight = last_midnight(now, hospital_zone(self._twin.query))
        return {
            "last midnight": Window(midnight, midnight + HOUR),
            "last 7 days": Window(midnight - WEEK, midnight),
            "since midnight": Window(midnight, max(now, midnight + MINUTE)),
            "last 24 hours": Window(now - DAY, now),
            "now": Window(now - HOUR, now),
        }


def beside(kept: Mapping[str, Counted | None]) -> Beside:
    """What the cards of the hospital's state say beside their own, by KPI."""
    found: Beside = {}
    occupancy, ed = kept.get("occ_hourly"), kept.get("ed_census")
    if occupancy is not None and occupancy.value is not None:
        said = {"share": shown(occupancy.value)}
        found["occ_hourly"] = (("{share} % over the last 24 hours", said),)
    if ed is not None and ed.denominator is not None:
        found["ed_census"] = (("{n} treatment spaces", {"n": shown(ed.denominator)}),)
    return found


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


def _kept_card(figure: Figure, kept: Counted | None) -> KpiCard:
    value = None if kept is None else kept.value
    is_flow = figure.kpi_id == "adm_dis_balance"
    if is_flow and kept is not None:
        value = kept.numerator
    return card(
        figure.kpi_id,
        figure.title,
        shown(value, signed=is_flow),
        figure.unit if value is not None else "",
        _counted_from(figure, kept),
        (figure.window, {}),
    )


def _own_card(figure: Figure, row: KpiRow | None) -> KpiCard:
    value = None if row is None else row.value
    unit = figure.unit if value is not None else ""
    return card(figure.kpi_id, figure.title, shown(value), unit, (figure.window, {}))


def _counted_from(figure: Figure, kept: Counted | None) -> Said:
    if kept is None or (kept.numerator is None and kept.denominator is None):
        return "not known yet", {}
    if figure.kpi_id == "occ_midnight" and kept.denominator is None:
        return "{n} in beds, staffing not known", {"n": shown(kept.numerator)}
    words, parts = COUNTED_FROM[figure.kpi_id]
    return words, {place: shown(getattr(kept, part)) for place, part in parts.items()}
