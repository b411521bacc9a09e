"""Decisions: the fewest beds that will do, and the best of some scenarios.

Both speak of means over replications, and say what their confidence rests on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from twin_core.errors import UsageError
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.replicate import Advance, Run, grown, simulate
from twin_core.simulation.results import Estimate, Results, estimate, student
from twin_core.simulation.scenario.applying import applied
from twin_core.simulation.scenario.comparing import edited
from twin_core.simulation.scenario.edits import CloseBeds, OpenBeds, Prices, Scenario
from twin_core.simulation.scenario.measures import MEASURES, known, values
from twin_core.simulation.statistics import Array

AS_IT_IS = "as it is"
_FEWEST_REPLICATIONS = 10


@dataclass(frozen=True)
class Target:
    """What is to be kept: the mean of a measure, of the hospital or of a unit, under a limit."""

    measure: str
    under: float
    unit: str | None = None

    def __post_init__(self) -> None:
        known(self.measure)


@dataclass(frozen=True)
class Tried:
    """One number of beds, what came of it, and whether the target is kept with confidence."""

    beds: int
    found: Estimate
    at_most: float
    """The upper confidence bound of the mean."""
    kept: bool


@dataclass(frozen=True)
class BedsNeeded:
    """The fewest beds of a unit that were shown to keep a target; None where none did."""

    unit: str
    target: Target
    confidence: float
    beds: int | None
    tried: tuple[Tried, ...]


def fewest_beds(
    model: FlowModel,
    unit: str,
    target: Target,
    run: Run,
    *,
    between: tuple[int, int],
    confidence: float = 0.95,
    at_most: int = 1_000,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> BedsNeeded:
    """The smallest number of beds of a unit that keeps a mean under a limit, with confidence.

    Found by halving the range, which takes for granted that more beds never make it worse. A number
    of beds is decided when its one-sided bound lies on one side of the limit; until then its
    replications are doubled, up to `at_most`, where it counts as not kept. The confidence is shared
    out over all bounds that may be looked at (Bonferroni), so it holds for the answer as a whole.
    """
    least, most = between
    if not 0 < least <= most:
        raise UsageError("The fewest beds are looked for from 1 bed on, upwards.")
    numbers = ceil(log2(most - least + 1)) + 1
    looks = max(1, ceil(log2(max(1.0, at_most / run.replications))) + 1)
    share = 1 - (1 - confidence) / (numbers * looks)
    tried: dict[int, Tried] = {}

    def keeps(beds: int) -> bool:
        edited_model = applied(_beds(model, unit, beds), model)
        results = simulate(edited_model, run, executor=executor, advance=advance)
        while True:
            found = estimate(_measured(results, target.measure, target.unit, None))
            reach = student(share, found.n - 1) * found.se
            decided = abs(found.mean - target.under) > reach
            done = results.run.replications
            if decided or done >= at_most:
                break
            results = grown(results, min(2 * done, at_most), executor=executor, advance=advance)
        kept = found.mean + reach < target.under
        tried[beds] = Tried(beds, found, found.mean + reach, kept)
        return kept

    answer = _smallest(least, most, keeps)
    order = tuple(tried[beds] for beds in sorted(tried))
    return BedsNeeded(unit, target, confidence, answer, order)


def _smallest(least: int, most: int, keeps: Callable[[int], bool]) -> int | None:
    if not keeps(most):
        return None
    while least < most:
        middle = (least + most) // 2
        if keeps(middle):
            most = middle
        else:
            least = middle + 1
    return most


def _beds(model: FlowModel, unit: str, beds: int) -> Scenario:
    """The edit that gives a unit so many beds."""
    of = next((one for one in model.units if one.code == unit), None)
    if of is None or of.beds == "unlimited":
        raise UsageError(f"There is no unit {unit} with a number of beds.")
    more = beds - of.beds
    name = f"{beds} beds in {unit}"
    if more > 0:
        return Scenario(name=name, open_beds=(OpenBeds.model_validate(
            {"unit": unit, "beds": more}),))  # fmt: skip
    if more < 0:
        return Scenario(name=name, close_beds=(CloseBeds.model_validate(
            {"unit": unit, "beds": -more}),))  # fmt: skip
    return Scenario(name=name)


@dataclass(frozen=True)
class Choice:
    """The best of some scenarios, and how each did."""

    measure: str
    unit: str | None
    indifferent: float
    confidence: float
    best: str
    decided: bool
    """Whether the procedure came to its end; otherwise the cap was reached, and `best` only has the
    best mean of those not ruled out."""
    found: dict[str, Estimate]
    ruled_out_after: dict[str, int]
    """After how many replications a scenario was ruled out."""


def best_of(
    model: FlowModel,
    scenarios: Sequence[Scenario],
    run: Run,
    *,
    measure: str,
    indifferent: float,
    unit: str | None = None,
    confidence: float = 0.95,
    at_most: int = 2_000,
    prices: Prices | None = None,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> Choice:
    """The best of some scenarios and of the hospital as it is, with confidence.

    The fully sequential procedure of Kim and Nelson (2001), which may use common random numbers:
    after a first stage of `run.replications`, whoever is worse than another beyond what chance
    allows is ruled out, replication by replication. For normally distributed means the best is
    chosen with `confidence` where it is better than the second by `indifferent` or more.
    """
    if known(measure).better == "neither":
        raise UsageError(f"Neither more nor less {measure} is better.")
    if run.replications < _FEWEST_REPLICATIONS or not indifferent > 0:
        raise UsageError(
            f"A first stage has {_FEWEST_REPLICATIONS} replications or more, "
            "and the difference that matters is above 0."
        )
    sign = 1.0 if MEASURES[measure].better == "more" else -1.0
    prices = prices or next((s.prices for s in scenarios if s.prices is not None), None)
    results = {
        name or AS_IT_IS: simulate(one, run, executor=executor, advance=advance)
        for name, (one,) in edited((model,), scenarios, run).items()
    }
    if len(results) < 2:
        raise UsageError("There is nothing to choose from.", do="Name a scenario or two.")
    race = Race(indifferent, 1 - confidence, run.replications, len(results))
    while True:
        observed = {
            name: sign * _measured(results[name], measure, unit, prices) for name in results
        }
        done = race.go_on(observed)
        have = max(one.run.replications for one in results.values())
        if done or have >= at_most:
            break
        for name in race.left:
            more = min(2 * have, at_most)
            results[name] = grown(results[name], more, executor=executor, advance=advance)
    found = {name: estimate(sign * of) for name, of in observed.items()}
    best = max(race.left, key=lambda name: sign * found[name].mean)
    return Choice(
        measure, unit, indifferent, confidence, best, done, found, dict(race.ruled_out_after)
    )


class Race:
    """Kim and Nelson's screening, more is better: `go_on` with all that was observed so far."""

    def __init__(self, indifferent: float, error: float, first: int, starters: int) -> None:
        freedom = first - 1
        eta = ((2 * error / (starters - 1)) ** (-2 / freedom) - 1) / 2
        self._spread, self._indifferent = 2 * eta * freedom, indifferent
        self._at, self._first = first, first
        self._variances: dict[tuple[str, str], float] = {}
        self.left: list[str] = []
        self.ruled_out_after: dict[str, int] = {}

    def go_on(self, observed: dict[str, Array]) -> bool:
        """Screen as far as observations reach; whether it is decided."""
        if not self._variances:
            self.left = list(observed)
            self._variances = {
                (a, b): float(np.var((x - y)[: self._first], ddof=1))
                for a, x in observed.items()
                for b, y in observed.items()
                if a != b
            }
        sums = {name: np.cumsum(observed[name]) for name in self.left}
        while len(self.left) > 1:
            if self._at > min(len(sums[name]) for name in self.left):
                return False
            self._screen({name: float(sums[name][self._at - 1]) / self._at for name in self.left})
            if self._at > self._longest():
                break
            self._at += 1
        if len(self.left) > 1:
            ahead = max(self.left, key=lambda name: float(sums[name][self._at - 1]))
            self.ruled_out_after |= {name: self._at for name in self.left if name != ahead}
            self.left = [ahead]
        return True

    def _screen(self, means: dict[str, float]) -> None:
        beaten = [
            a
            for a in self.left
            if any(means[a] < means[b] - self._allowed(a, b) for b in self.left if b != a)
        ]
        self.ruled_out_after |= dict.fromkeys(beaten, self._at)
        self.left = [name for name in self.left if name not in beaten]

    def _allowed(self, a: str, b: str) -> float:
        """How far behind another chance may leave somebody after so many replications."""
        delta = self._indifferent
        reach = self._spread * self._variances[a, b] / delta**2 - self._at
        return float(max(0.0, delta / (2 * self._at) * reach))

    def _longest(self) -> int:
        """After how many replications nobody is allowed to be behind any more."""
        pairs = ((a, b) for a in self.left for b in self.left if a != b)
        widest = max((self._variances[pair] for pair in pairs), default=0.0)
        return int(self._spread * widest / self._indifferent**2)


def _measured(results: Results, measure: str, unit: str | None, prices: Prices | None) -> Array:
    found = values(results, prices).get((measure, unit))
    if found is None:
        raise UsageError(f"{measure} is not counted in {unit or 'the hospital as a whole'}.")
    return found
