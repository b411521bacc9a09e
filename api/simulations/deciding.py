"""Decisions on the command line: what matters most, what is best, how many beds are enough."""

from typing import Any

from api.commands import Call
from twin_core.errors import UsageError
from twin_core.simulation import FlowModel, Run, load_scenario
from twin_core.simulation.scenario.choosing import Target, best_of, fewest_beds
from twin_core.simulation.scenario.screening import runs_of, screening
from twin_core.simulation.scenario.sensitivity import sensitivity


def decided(call: Call, model: FlowModel, run: Run) -> int:
    """Answer what is asked; exit code 1 where there is no answer with confidence."""
    options = call.options
    if options.sensitivity is not None:
        return _mattering(call, model, run)
    return _best(call, model, run) if options.best is not None else _fewest(call, model, run)


def _mattering(call: Call, model: FlowModel, run: Run) -> int:
    unit, measure = _named(call.options.sensitivity)
    if call.options.ways is not None:
        return _screened(call, model, run)
    effects = sensitivity(model, run, measure=measure, unit=unit, percent=call.options.percent)
    rows = [one.row() for one in effects]
    if call.terminal.as_json:
        call.terminal.json({"measure": measure, "unit": unit, "effects": rows})
        return 0
    columns = ("input", "change", "effect", "low", "high", "clear")
    call.terminal.table(columns, [_rounded(row) for row in rows])
    call.terminal.line(f"What more of each does to {measure}, with 95% intervals.")
    return 0


def _screened(call: Call, model: FlowModel, run: Run) -> int:
    options = call.options
    unit, measure = _named(options.sensitivity)
    total = runs_of(model, options.percent, options.ways) * run.replications
    with call.terminal.progress("screening", total, "replications") as advance:
        found = screening(
            model,
            run,
            measure=measure,
            unit=unit,
            percent=options.percent,
            ways=options.ways,
            advance=lambda done: advance(done, ""),
        )
    rows = [one.row() for one in found]
    if call.terminal.as_json:
        call.terminal.json({"measure": measure, "unit": unit, "screened": rows})
        return 0
    columns = ("input", "change", "importance", "effect", "spread", "by_chance")
    call.terminal.table(columns, [_rounded(row) for row in rows])
    call.terminal.line(
        f"What each does to {measure} amid changes of all others: importance is the mean size, "
        "spread how much it depends on the others."
    )
    return 0


def _best(call: Call, model: FlowModel, run: Run) -> int:
    options = call.options
    named, indifferent = _valued(options.best, "--best", "boarding=0.5")
    unit, measure = _named(named)
    choice = best_of(
        model,
        [load_scenario(name) for name in options.scenario],
        run,
        measure=measure,
        unit=unit,
        indifferent=indifferent,
        at_most=options.at_most,
    )
    rows = [
        {
            "scenario": name,
            measure: found.mean,
            "replications": found.n,
            "ruled out after": choice.ruled_out_after.get(name),
        }
        for name, found in choice.found.items()
    ]
    if call.terminal.as_json:
        said = {"best": choice.best, "decided": choice.decided, "measure": measure, "unit": unit}
        call.terminal.json(said | {"indifferent": indifferent, "scenarios": rows})
    else:
        call.terminal.table((*rows[0],), [_rounded(row) for row in rows])
        call.terminal.line(
            f"Best, with 95% confidence: {choice.best}."
            if choice.decided
            else f"Undecided after {options.at_most:,} replications; ahead is {choice.best}."
        )
    return 0 if choice.decided else 1


def _fewest(call: Call, model: FlowModel, run: Run) -> int:
    options = call.options
    unit, equals, numbers = options.fewest_beds.partition("=")
    least, dash, most = numbers.partition("-")
    if not (equals and dash and least.isdecimal() and most.isdecimal()):
        raise UsageError(f"{options.fewest_beds!r} is no range.", do="Write it as MED=40-70.")
    named, under = _valued(options.under, "--under", "boarding=2")
    of, measure = _named(named)
    target = Target(measure, under, of)
    between = int(least), int(most)
    answer = fewest_beds(model, unit, target, run, between=between, at_most=options.at_most)
    rows = [
        {"beds": one.beds, measure: one.found.mean, "at most": one.at_most, "kept": one.kept,
         "replications": one.found.n}
        for one in answer.tried
    ]  # fmt: skip
    if call.terminal.as_json:
        said = {"unit": unit, "measure": measure, "of": of, "under": under, "beds": answer.beds}
        call.terminal.json(said | {"tried": rows})
    else:
        call.terminal.table((*rows[0],), [_rounded(row) for row in rows])
        call.terminal.line(
            f"{answer.beds} beds in {unit} keep {measure} under {under:g}, with 95% confidence."
            if answer.beds is not None
            else f"It was not shown of {most} beds in {unit} that they keep it."
        )
    return 0 if answer.beds is not None else 1


def _named(asked: str) -> tuple[str | None, str]:
    unit, _, measure = asked.rpartition(":")
    return unit or None, measure


def _valued(asked: str, option: str, example: str) -> tuple[str, float]:
    named, _, value = asked.partition("=")
    try:
        return named, float(value)
    except ValueError:
        raise UsageError(f"{option} {asked!r} has no value.", do=f"Write {example}.") from None


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()
    }
