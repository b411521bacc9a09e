"""`wardtwin kpi ID --chart`: the run charts of a KPI as a table of points, limits and signals."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.commands import Call
from api.desk import desk
from twin_core.kpi.control import RULES

_COLUMNS = ("period_start", "value", "lower", "centre", "upper", "signals")


def run(call: Call, asked: Mapping[str, Any]) -> int:
    """Print one table per place, and below them what the names of the signals mean."""
    options, terminal = call.options, call.terminal
    with desk(call) as answering:
        charts = answering.ask(
            "kpi_chart", **asked, statistic=options.statistic, baseline=options.baseline
        )
    if terminal.as_json:
        terminal.json(charts)
        return 0
    for chart in charts:
        terminal.line(_title(chart))
        terminal.table(_COLUMNS, [_row(chart, point) for point in chart["points"]])
        terminal.line()
    for text in _notes(charts):
        terminal.note(text)
    return 0


def _title(chart: Mapping[str, Any]) -> str:
    place = " ".join(chart[name] for name in ("facility", "unit", "stratum") if chart[name])
    limits = chart["why_not"] or f"limits from {chart['baseline']} points"
    return f"{place or 'Hospital'}: {chart['statistic']}, {chart['kind']} chart, {limits}"


def _row(chart: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    said = list(point["signals"]) if point["complete"] else ["not complete"]
    return {**point, "centre": chart["centre"], "signals": ", ".join(said)}


def _notes(charts: list[Mapping[str, Any]]) -> Iterator[str]:
    if not charts:
        yield "No rows, and so no chart."
    found = {rule for chart in charts for point in chart["points"] for rule in point["signals"]}
    yield from (f"{rule}: {words}." for rule, words in RULES.items() if rule in found)
