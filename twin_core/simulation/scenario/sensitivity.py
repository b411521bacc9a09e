"""Which input matters most: each changed by itself, up and down, with the same patients.

The effect of an input is half of what lies between it raised and lowered, replication by
replication, so that its interval is that of paired differences.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from twin_core.errors import UsageError
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.steps import steps_of
from twin_core.simulation.replicate import Advance, Run, simulate
from twin_core.simulation.results import Estimate, estimate
from twin_core.simulation.scenario.applying import applied
from twin_core.simulation.scenario.edits import Scenario
from twin_core.simulation.scenario.measures import known, values
from twin_core.simulation.statistics import Array


class Input(NamedTuple):
    """Something that could be otherwise: more of it, and less."""

    name: str
    change: str
    """By how much, for a person."""
    more: Scenario
    less: Scenario


@dataclass(frozen=True)
class Effect:
    """What more of an input does to a measure."""

    input: str
    change: str
    effect: Estimate

    @property
    def clear(self) -> bool:
        """Whether the 95% interval leaves out nought."""
        low, high = self.effect.interval
        return low > 0 or high < 0

    def row(self) -> dict[str, Any]:
        """As a flat row."""
        low, high = self.effect.interval
        return {
            "input": self.input,
            "change": self.change,
            "effect": self.effect.mean,
            "low": low,
            "high": high,
            "clear": self.clear,
            "replications": self.effect.n,
        }


def sensitivity(
    model: FlowModel,
    run: Run,
    *,
    measure: str,
    unit: str | None = None,
    percent: float = 10.0,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> list[Effect]:
    """The effect of every input on a measure, the largest first.

    Arrivals by class, lengths of stay and beds by unit are raised and lowered by `percent` (beds by
    one at least), staff pools by one. Each is changed by itself; `screening` sees inputs that act
    together.
    """
    known(measure)
    if not 0 < percent < 100:
        raise UsageError("Inputs are changed by more than 0% and less than 100%.")
    effects = []
    for done, one in enumerate(inputs(model, percent), 1):
        more, less = (
            measured(applied(edits, model), run, measure, unit, executor)
            for edits in (one.more, one.less)
        )
        effects.append(Effect(one.name, one.change, estimate((more - less) / 2)))
        if advance is not None:
            advance(2 * done * run.replications)
    return sorted(effects, key=lambda one: -abs(one.effect.mean))


def table(effects: list[Effect]) -> pa.Table:
    """Effects as an Arrow table."""
    return pa.Table.from_pylist([one.row() for one in effects])


def inputs(model: FlowModel, percent: float) -> Iterator[Input]:
    """What can be changed in a hospital, one by one."""
    for class_ in dict.fromkeys(s.class_ for s in model.arrivals if not s.saturated):
        yield _in_percent(f"arrivals of {class_}", "arrivals", percent, classes=[class_])
    for unit in dict.fromkeys(unit for _, unit in steps_of(model)):
        yield _in_percent(f"stays in {unit}", "stays", percent, units=[unit])
    for of in model.units:
        if of.beds != "unlimited" and of.beds > (beds := max(1, round(of.beds * percent / 100))):
            edit = {"unit": of.code, "beds": beds}
            more = {"open_beds": [edit]}
            yield _input(f"beds in {of.code}", f"{beds:+d}", more, {"close_beds": [edit]})
    for pool in model.staff:
        fewest = min((s.on_duty for s in pool.shifts), default=pool.on_duty or 0)
        if fewest > 1:
            one_more, one_less = ({"staff": [{"pool": pool.code, "more": by}]} for by in (1, -1))
            yield _input(f"{pool.code} on duty", "+1", one_more, one_less)


def _in_percent(name: str, kind: str, percent: float, **whom: list[str]) -> Input:
    more, less = ({kind: [{"percent": by, **whom}]} for by in (percent, -percent))
    return _input(name, f"{percent:+g}%", more, less)


def _input(name: str, change: str, more: dict[str, Any], less: dict[str, Any]) -> Input:
    made = (Scenario.model_validate({"name": name} | edits) for edits in (more, less))
    return Input(name, change, *made)


def measured(
    model: FlowModel, run: Run, measure: str, unit: str | None, executor: Executor | None
) -> Array:
    """A measure of a model, replication by replication.

    Raises UsageError where it is not counted there.
    """
    found = values(simulate(model, run, executor=executor)).get((measure, unit))
    if found is None:
        raise UsageError(f"{measure} is not counted in {unit or 'the hospital as a whole'}.")
    return found
