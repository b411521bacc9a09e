"""Scenarios against the hospital as it is, patient for patient the same in both.

Every replication of a scenario has the patients of the same replication of the baseline (common
random numbers), so that the difference of each pair is that of the edits, and intervals are those
of paired differences.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from math import ceil, log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa

from twin_core.errors import UsageError
from twin_core.simulation.drawn import Drawn, grown_drawn, run_drawn
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.replicate import Advance, Run
from twin_core.simulation.results import Estimate, student_95
from twin_core.simulation.scenario.applying import applied
from twin_core.simulation.scenario.checks import late
from twin_core.simulation.scenario.edits import Prices, Scenario
from twin_core.simulation.scenario.measures import MEASURES, known, values
from twin_core.simulation.statistics import Array

MOST_REPLICATIONS = 10_000
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Precision:
    """How sure the answer shall be: the half-width of the 95% interval of one difference.

    A pilot of `run.replications` tells how many are needed in all (Stein 1945), and more are added
    while the interval is wider still, never more than `at_most`. When to stop depends on variances
    alone, so for normally distributed differences the mean and `half_width` to either side cover
    the truth in 95% of such runs or more. For skewed ones it is less, the less the larger the
    pilot; the interval shown, which may be narrower than was asked for, covers a little less, too.
    """

    measure: str
    half_width: float
    unit: str | None = None
    at_most: int = MOST_REPLICATIONS

    def __post_init__(self) -> None:
        known(self.measure)
        if not self.half_width > 0:
            raise UsageError("A half-width is greater than 0.")


@dataclass(frozen=True)
class Difference:
    """One measure of the hospital, or of a unit, as it is and as it would be."""

    scenario: str
    measure: str
    unit: str | None
    baseline: Estimate
    changed: Estimate
    difference: Estimate
    better: float | None
    """Share of the replications in which the scenario does better, ties counted half: how often it
    would help. None where neither more nor less is better."""
    sure: float | None
    """Confidence that it does better on average (one-sided, from Student's t)."""
    replications: int

    @property
    def clear(self) -> bool:
        """Whether the 95% interval of the difference leaves out nought."""
        low, high = self.difference.interval
        return low > 0 or high < 0

    def row(self) -> dict[str, Any]:
        """As a flat row."""
        low, high = self.difference.interval
        return {
            "scenario": self.scenario,
            "measure": self.measure,
            "in": MEASURES[self.measure].unit,
            "unit": self.unit,
            "baseline": self.baseline.mean,
            "changed": self.changed.mean,
            "difference": self.difference.mean,
            "low": low,
            "high": high,
            "probability_better": self.better,
            "confidence_better": self.sure,
            "replications": self.replications,
        }


@dataclass(frozen=True)
class Comparison:
    """Every difference of every scenario, and what they were made of."""

    run: Run
    baseline: Drawn
    changed: Mapping[str, Drawn]
    differences: tuple[Difference, ...]
    precision: Precision | None = None

    @property
    def reached(self) -> bool:
        """Whether the half-width that was asked for was reached."""
        return self.precision is None or all(
            _half_width(one.difference) <= self.precision.half_width
            for one in self.of(self.precision.measure, self.precision.unit)
        )

    def of(self, measure: str, unit: str | None = None) -> list[Difference]:
        """One measure in every scenario."""
        return [one for one in self.differences if (one.measure, one.unit) == (measure, unit)]

    def table(self) -> pa.Table:
        """All differences as an Arrow table."""
        return pa.Table.from_pylist([one.row() for one in self.differences])


def compare(
    model: FlowModel | Sequence[FlowModel],
    scenarios: Sequence[Scenario],
    run: Run,
    *,
    precision: Precision | None = None,
    prices: Prices | None = None,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> Comparison:
    """What scenarios would change, in 95% intervals of paired differences.

    Several models are draws of one hospital, as `forecasting.warm_models` gives them: replications
    are shared out over them, and intervals are those over draws. Prices are those of the first
    scenario that has any, unless they are given. Raises ConfigurationError for a scenario that
    cannot be laid over the hospital, UsageError for two of one name and for edits that begin after
    the run.
    """
    models = (model,) if isinstance(model, FlowModel) else tuple(model)
    changed = edited(models, scenarios, run)
    prices = prices or next((s.prices for s in scenarios if s.prices is not None), None)
    _checked(precision, models[0], prices)
    told = _Told(advance)
    drawn = {
        name: run_drawn(own, run, executor=executor, advance=told) for name, own in changed.items()
    }
    while precision and (needed := _needed(drawn, precision, prices)) > drawn[None].replications:
        drawn = {
            name: grown_drawn(one, needed, executor=executor, advance=told)
            for name, one in drawn.items()
        }
    baseline = drawn.pop(None)
    before = _values(baseline, prices)
    return Comparison(
        run=replace(run, replications=baseline.replications),
        baseline=baseline,
        changed={str(name): one for name, one in drawn.items()},
        differences=tuple(
            difference
            for name, one in drawn.items()
            for difference in differences(str(name), one, before, _values(one, prices))
        ),
        precision=precision,
    )


def edited(
    models: Sequence[FlowModel], scenarios: Sequence[Scenario], run: Run
) -> dict[str | None, tuple[FlowModel, ...]]:
    """The hospital as it is (under None), and as it would be by each scenario."""
    names = [scenario.name for scenario in scenarios]
    if len({*names}) < len(names):
        raise UsageError("Two scenarios have one name.", do="Give each a name of its own.")
    found: dict[str | None, tuple[FlowModel, ...]] = {None: tuple(models)}
    for scenario in scenarios:
        if reasons := late(scenario, run.hours - run.warm_up_hours):
            raise UsageError(f"{scenario.name!r} asks for too much.", why="; ".join(reasons) + ".")
        shifted = scenario.after(run.warm_up_hours)
        found[scenario.name] = tuple(applied(shifted, model) for model in models)
    return found


def _values(drawn: Drawn, prices: Prices | None) -> dict[tuple[str, str | None], Array]:
    """Every measure over the replications of all draws."""
    found = [values(one, prices) for one in drawn.results]
    shared = [key for key in found[0] if all(key in one for one in found)]
    return {key: drawn.joined([one[key] for one in found]) for key in shared}


Found = Mapping[tuple[str, str | None], Array]


def differences(name: str, drawn: Drawn, before: Found, after: Found) -> list[Difference]:
    """Every measure that both have: first of the hospital, then unit by unit."""
    shared = sorted((key for key in after if key in before), key=lambda key: key[1] is not None)
    return [_difference(name, key, drawn, before[key], after[key]) for key in shared]


def _difference(
    name: str, key: tuple[str, str | None], drawn: Drawn, before: Array, after: Array
) -> Difference:
    measure, unit = key
    change = after - before
    of = drawn.estimate(change)
    known_pairs = change[np.isfinite(change)]
    direction = {"less": -1.0, "more": 1.0, "neither": 0.0}[MEASURES[measure].better]
    better = sure = None
    if direction and len(known_pairs):
        better = float(np.mean((np.sign(direction * known_pairs) + 1) / 2))
        sure = _probability_above(direction * of.mean, of.se, of.n - 1)
    return Difference(
        scenario=name,
        measure=measure,
        unit=unit,
        baseline=drawn.estimate(before),
        changed=drawn.estimate(after),
        difference=of,
        better=better,
        sure=sure,
        replications=len(known_pairs),
    )


def _probability_above(mean: float, se: float, freedom: int) -> float | None:
    """Confidence that a mean is above 0, by Wallace's normal score of t (1959)."""
    if freedom < 1:
        return None
    if not se > 0:
        return 0.5 if mean == 0 else float(mean > 0)
    t = mean / se
    score = sqrt(freedom * log(1 + t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return _NORMAL.cdf(score if t > 0 else -score)


def _half_width(of: Estimate) -> float:
    low, high = of.interval
    return (high - low) / 2


def _needed(drawn: Mapping[str | None, Drawn], precision: Precision, prices: Prices | None) -> int:
    """How many replications it takes; no more than there are where more would not help.

    What draws differ in stays, however many replications each has.
    """
    key = precision.measure, precision.unit
    before = _values(drawn[None], prices).get(key)
    if before is None:
        raise UsageError(f"{precision.measure} is not counted in {precision.unit}.")
    needed = 0
    for name, one in drawn.items():
        if name is None:
            continue
        of = one.estimate(_values(one, prices)[key] - before)
        half = student_95(of.n - 1) * of.se / precision.half_width
        if np.isfinite(half) and half > 1:
            needed = max(needed, ceil(half * half * one.replications))
    return min(needed, precision.at_most)


def _checked(precision: Precision | None, model: FlowModel, prices: Prices | None) -> None:
    if precision is None:
        return
    unit, measure = precision.unit, MEASURES[precision.measure]
    if unit is not None and unit not in {of.code for of in model.units}:
        raise UsageError(f"There is no unit {unit}.")
    if not (measure.of_hospital if unit is None else measure.of_units):
        whose = "a unit" if unit is None else "the hospital"
        raise UsageError(f"{measure.name} is a measure of {whose}.")
    if measure.name == "cost" and prices is None:
        raise UsageError("There are no prices.", do="Write [prices] into the scenario.")


class _Told:
    """One account of replications done, over several runs one after another."""

    def __init__(self, advance: Callable[[int], None] | None) -> None:
        self._advance, self._before, self._last = advance, 0, 0

    def __call__(self, done: int) -> None:
        if done <= self._last:
            self._before += self._last
        self._last = done
        if self._advance is not None:
            self._advance(self._before + done)
