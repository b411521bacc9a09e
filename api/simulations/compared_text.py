"""A comparison of scenarios as a person reads it: one table for each, the hospital first."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.commands import Call
from api.terminal import Terminal
from twin_core.errors import UsageError
from twin_core.simulation import FlowModel, Precision, Run, Scenario, compare
from twin_core.simulation.scenario.comparing import Comparison, Difference
from twin_core.simulation.scenario.measures import MEASURES

COLUMNS = ("measure", "in", "unit", "baseline", "changed", "difference", "95% from", "to", "better")


def answered(
    call: Call,
    models: Sequence[FlowModel],
    scenarios: Sequence[Scenario],
    run: Run,
    about: Mapping[str, Any],
) -> int:
    """Compare as the command's options ask, and print it; `about` says what is compared."""
    options, terminal = call.options, call.terminal
    if options.stays is not None or options.kpi:
        raise UsageError("--stays and --kpi are of one run.", do="Leave out --scenario.")
    total = run.replications * (1 + len(scenarios))
    with terminal.progress("simulating", total, "replications") as advance:
        comparison = compare(
            models,
            scenarios,
            run,
            precision=precision_of(options.half_width, options.at_most),
            advance=lambda done: advance(min(done, total), ""),
        )
    if terminal.as_json:
        named = {"scenarios": [scenario.name for scenario in scenarios]}
        terminal.json({**about, **named, **document(comparison)})
    else:
        write(terminal, comparison, all_units=options.all_units)
    return 0


def precision_of(asked: str | None, at_most: int) -> Precision | None:
    """`boarding=0.2`, or `ED:wait=1` in one unit. Raises UsageError for anything else."""
    if asked is None:
        return None
    named, _, width = asked.partition("=")
    unit, _, measure = named.rpartition(":")
    try:
        half_width = float(width)
    except ValueError:
        raise UsageError(
            f"{asked!r} is no half-width.", do="Write it as boarding=0.2 or ED:wait=1."
        ) from None
    return Precision(measure, half_width, unit or None, at_most)


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
