"""Which inputs matter, alone or together: elementary effects along random ways (Morris 1991).

A way begins with every input lowered or raised by chance and turns one input after the other, in
random order. Each turn gives an elementary effect of that input, in the midst of whatever the
others happen to be. `importance` is the mean of their absolute values (Campolongo, Cariboni and
Saltelli 2007); `spread` their standard deviation: an input whose effect depends on the others, or
is no straight line, has much of it. All runs have the same patients (common random numbers).
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin_core.errors import UsageError
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.replicate import Advance, Run
from twin_core.simulation.results import Estimate, estimate
from twin_core.simulation.scenario.applying import applied
from twin_core.simulation.scenario.edits import Scenario
from twin_core.simulation.scenario.measures import known
from twin_core.simulation.scenario.sensitivity import Input, inputs, measured
from twin_core.simulation.statistics import Array

FEWEST_WAYS = 2
"""From one way nobody could tell whether an effect depends on the others."""


@dataclass(frozen=True)
class Screened:
    """The elementary effects of one input: half of what lies between it lowered and raised."""

    input: str
    change: str
    effects: Array
    """One for every way."""
    by_chance: float
    """How large an effect may be by chance alone: 1.96 standard errors of one, on average."""

    @property
    def importance(self) -> float:
        """The mean of the absolute effects."""
        return float(np.abs(self.effects).mean())

    @property
    def effect(self) -> Estimate:
        """The mean effect, over ways."""
        return estimate(self.effects)

    @property
    def spread(self) -> float:
        """The standard deviation of the effects: interaction with others, or curvature."""
        return float(self.effects.std(ddof=1))

    def row(self) -> dict[str, Any]:
        """As a flat row."""
        low, high = self.effect.interval
        return {
            "input": self.input,
            "change": self.change,
            "importance": self.importance,
            "effect": self.effect.mean,
            "low": low,
            "high": high,
            "spread": self.spread,
            "by_chance": self.by_chance,
            "ways": len(self.effects),
        }


def screening(
    model: FlowModel,
    run: Run,
    *,
    measure: str,
    unit: str | None = None,
    percent: float = 10.0,
    ways: int = 10,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> list[Screened]:
    """The elementary effects of every input on a measure, the most important first.

    Inputs are those of `sensitivity`. It takes `ways` times the number of inputs and one runs.
    Raises UsageError for a measure or percentage without a meaning, and for fewer than two ways.
    """
    known(measure)
    if not 0 < percent < 100:
        raise UsageError("Inputs are changed by more than 0% and less than 100%.")
    if ways < FEWEST_WAYS:
        raise UsageError("Screening takes two ways or more.", do="Ask for 10 or so.")
    found = list(inputs(model, percent))
    chance = np.random.default_rng(run.seed)
    effects, errors = np.zeros((ways, len(found))), np.zeros((ways, len(found)))
    for way in range(ways):
        raised, order = chance.random(len(found)) < 0.5, chance.permutation(len(found))
        steps = [raised.copy()]
        for turned in order:
            raised[turned] = not raised[turned]
            steps.append(raised.copy())
        values = []
        for done, step in enumerate(steps, 1):
            edited = applied(_together(found, step), model)
            values.append(measured(edited, run, measure, unit, executor))
            if advance is not None:
                advance((way * len(steps) + done) * run.replications)
        for turned, (before, after), up in zip(
            order, pairwise(values), (step[t] for step, t in zip(steps[1:], order, strict=True)),
            strict=True,
        ):  # fmt: skip
            of = estimate((after - before) / (2 if up else -2))
            effects[way, turned], errors[way, turned] = of.mean, of.se
    screened = [
        Screened(one.name, one.change, effects[:, at], float(1.96 * errors[:, at].mean()))
        for at, one in enumerate(found)
    ]
    return sorted(screened, key=lambda one: -one.importance)


def runs_of(model: FlowModel, percent: float, ways: int) -> int:
    """How many runs a screening takes."""
    return ways * (1 + sum(1 for _ in inputs(model, percent)))


def _together(found: list[Input], raised: NDArray[np.bool_]) -> Scenario:
    """One scenario of all inputs, each raised or lowered."""
    parts: dict[str, tuple[Any, ...]] = {}
    for one, up in zip(found, raised, strict=True):
        edits = one.more if up else one.less
        for kind in type(edits).model_fields:
            if kind not in ("name", "prices") and getattr(edits, kind):
                parts[kind] = (*parts.get(kind, ()), *getattr(edits, kind))
    return Scenario.model_validate({"name": "together"} | parts)
