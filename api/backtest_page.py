"""The report of a backtest: one HTML file with its verdict, plots and every figure."""

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from api.plots import COLOURS, Plot
from twin_core.simulation.backtest import (
    FORECASTERS,
    HOUR_OF_WEEK,
    MODEL,
    PERSISTENCE,
    Backtest,
    document,
)

_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:75em;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2em .7em;text-align:right}"
    "th{border-bottom:1px solid #555}td:nth-child(2),th:nth-child(2){text-align:left}"
    ".worse{color:#a3151b;font-weight:bold}svg{margin:.4em}"
)
_COLUMNS = (
    "horizon", "unit", "crps", PERSISTENCE, f"better than {PERSISTENCE}", HOUR_OF_WEEK,
    f"better than {HOUR_OF_WEEK}", "90%", "50%", "bias",
)  # fmt: skip


def page(found: Backtest) -> str:
    """The report as HTML that needs nothing else."""
    said = document(found)
    title = f"Backtest of {said['facility']}"
    first, last = found.origins[0], found.origins[-1]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>"
        + "".join(_verdict(said))
        + f"<p>{len(found.origins)} origins from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} "
        f"UTC, {found.plan.replications} replications of each forecast over {found.plan.draws} "
        "drawn models. CRPS is in patients; smaller is better. Persistence and hour of week are "
        "given the spread of their own past errors.</p>"
        + "".join(plot.svg() for plot in plots(found))
        + "<h2>Every figure</h2>"
        + _table(said["table"])
        + "</html>\n"
    )


def _verdict(said: dict[str, Any]) -> Iterator[str]:
    for line in said["verdict"]:
        kind = ' class="worse"' if "WORSE" in line.upper().split(":")[0] else ""
        yield f"<p{kind}>{escape(line)}</p>"


def plots(found: Backtest) -> Iterator[Plot]:
    """CRPS, coverage and bias by horizon, PIT a day ahead, and CRPS by unit."""
    horizons = found.plan.horizons
    furthest = float(max(horizons))
    scores = {f: [found.mean("crps", f, h) for h in horizons] for f in FORECASTERS}
    top = 1.1 * max(max(values) for values in scores.values())
    crps = Plot("CRPS, all units", "hours ahead", "patients", (0, furthest), (0, top))
    for colour, (forecaster, values) in zip(COLOURS, scores.items(), strict=False):
        crps.line(list(zip(horizons, values, strict=True)), forecaster, colour)
    yield crps
    covered = Plot("What intervals held", "hours ahead", "share", (0, furthest), (0, 1))
    for colour, (level, name) in zip(COLOURS, ((0.9, "90%"), (0.5, "50%")), strict=False):
        of = [found.mean(f"covered_{name[:2]}", MODEL, h) for h in horizons]
        covered.line(list(zip(horizons, of, strict=True)), name, colour)
        covered.line([(0, level), (furthest, level)], colour=colour, dash="4 3")
    yield covered
    for horizon in (h for h in (24, 72, 168) if h in horizons):
        pits = [score.pit for score in found.chosen(MODEL, horizon)]
        counts = np.histogram(pits, np.linspace(0, 1, 11))[0] / max(1, len(pits)) * 10
        top = 1.1 * max(2.0, float(counts.max()))
        pit = Plot(f"PIT {horizon} h ahead (level: well calibrated)", "place", "", (0, 1), (0, top))
        pit.bars(np.linspace(0, 1, 11).tolist(), counts.tolist())
        pit.line([(0, 1), (1, 1)], colour=COLOURS[1], dash="4 3")
        yield pit
    for unit in found.units:
        yield _of_unit(found, unit, furthest)


def _of_unit(found: Backtest, unit: str, furthest: float) -> Plot:
    horizons = found.plan.horizons
    scores = {f: [found.mean("crps", f, h, unit) for h in horizons] for f in FORECASTERS}
    top = 1.1 * max(max(values) for values in scores.values())
    plot = Plot(f"CRPS, {unit}", "hours ahead", "patients", (0, furthest), (0, max(top, 0.1)))
    for colour, (forecaster, values) in zip(COLOURS, scores.items(), strict=False):
        plot.line(list(zip(horizons, values, strict=True)), forecaster, colour)
    return plot


def _table(rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{''.join(_cell(row, name) for name in _COLUMNS)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(row: dict[str, Any], name: str) -> str:
    worse = name.startswith("better than") and row[name] < 0
    marked = ' class="worse"' if worse else ""
    return f"<td{marked}>{escape(str(row[name]))}</td>"
