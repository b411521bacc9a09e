"""A comparison of scenarios as a person reads it: one table for each, the hospital first."""

from collections.abc import Iterator
from typing import Any

from api.terminal import Terminal
from twin_core.simulation.scenario.comparing import Comparison, Difference
from twin_core.simulation.scenario.measures import MEASURES

COLUMNS = ("measure", "in", "unit", "baseline", "changed", "difference", "95% from", "to", "better")


def write(terminal: Terminal, comparison: Comparison, *, all_units: bool) -> None:
    """Every difference of the hospital, and those of units that are clear, or all."""
    for name in comparison.changed:
        terminal.line(terminal.styled(name, "1", terminal.out))
        shown = [
            one
            for one in comparison.differences
            if one.scenario == name and (one.unit is None or all_units or one.clear)
        ]
        terminal.table(COLUMNS, [_row(one) for one in shown])
        terminal.line()
    for line in footnotes(comparison):
        terminal.line(line)


def footnotes(comparison: Comparison) -> Iterator[str]:
    """How sure this is, and what was asked for and not reached."""
    run = comparison.run
    yield (
        f"{run.replications:,} replications of each, seed {run.seed}, with the same patients; "
        "`better`: the share of them in which the scenario does better."
    )
    asked = comparison.precision
    if asked is not None and not comparison.reached:
        yield (
            f"The half-width {asked.half_width:g} of {asked.measure} was not reached with "
            f"{asked.at_most:,} replications."
        )


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON."""
    asked = comparison.precision
    return {
        "replications": comparison.run.replications,
        "seed": comparison.run.seed,
        "half_width_reached": None if asked is None else comparison.reached,
        "differences": [one.row() for one in comparison.differences],
    }


def _row(one: Difference) -> dict[str, Any]:
    low, high = one.difference.interval
    form = ".3f" if MEASURES[one.measure].unit == "share" else ".2f"
    return {
        "measure": one.measure,
        "in": MEASURES[one.measure].unit,
        "unit": one.unit or "(hospital)",
        "baseline": format(one.baseline.mean, form),
        "changed": format(one.changed.mean, form),
        "difference": format(one.difference.mean, f"+{form}"),
        "95% from": format(low, f"+{form}"),
        "to": format(high, f"+{form}"),
        "better": "" if one.better is None else format(one.better, ".0%"),
    }
