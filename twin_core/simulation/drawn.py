"""A hospital in several models, each drawn as uncertain as its estimates are, run as one.

Replications of one draw have its numbers in common, so means are judged over draws: that is what
makes an interval as wide as the history leaves it open.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.replicate import Advance, Run, grown, simulate
from twin_core.simulation.results import Estimate, Results, estimate
from twin_core.simulation.statistics import Array, Values

_APART = 1_000_003
"""Seeds of runs are this far apart, so that draws of neighbouring ones share none."""


@dataclass(frozen=True)
class Drawn:
    """The replications of every draw, one draw after another; of one draw they are its own."""

    results: tuple[Results, ...]

    @property
    def units(self) -> tuple[str, ...]:
        """The units, as every draw has them."""
        return self.results[0].units

    @property
    def replications(self) -> int:
        """How many there are, of all draws together."""
        return sum(one.run.replications for one in self.results)

    @property
    def events(self) -> int:
        """Events handled in all replications."""
        return sum(one.events for one in self.results)

    @cached_property
    def unit_values(self) -> Values:
        """Statistics by unit: arrays of replications by unit."""
        return {
            name: self.joined([one.unit_values[name] for one in self.results])
            for name in self.results[0].unit_values
        }

    def census(self, what: str = "census") -> NDArray[np.int32]:
        """`census`, `waiting` or `boarding`: replications by sample time by unit."""
        return self.joined([one.census(what) for one in self.results])

    def sample_times(self) -> NDArray[np.float64]:
        """Hours after the start at which the census was sampled."""
        return self.results[0].sample_times()

    def estimate(self, values: Array) -> Estimate:
        """The mean of one value for every replication, judged over draws where there are some."""
        if len(self.results) == 1:
            return estimate(values)
        ends = np.cumsum([one.run.replications for one in self.results])[:-1]
        known = [part[np.isfinite(part)] for part in np.split(values, ends)]
        return estimate(np.array([part.mean() if len(part) else np.nan for part in known]))

    @staticmethod
    def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """What every draw has, one after another."""
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def seed_of_draw(seed: int, number: int) -> int:
    """The seed of a numbered draw, given that of the whole run."""
    return (seed * _APART + number) % 2**63


def run_drawn(
    models: Sequence[FlowModel],
    run: Run,
    *,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> Drawn:
    """Run every model, with replications shared out evenly, and never fewer than one each.

    One model has the seed of the run; of several each has one of its own.
    """
    if len(models) == 1:
        return Drawn((simulate(models[0], run, executor=executor, advance=advance),))
    each = replace(run, replications=-(-run.replications // len(models)))
    results: list[Results] = []
    for number, model in enumerate(models):
        own = replace(each, seed=seed_of_draw(run.seed, number))
        results.append(simulate(model, own, executor=executor))
        if advance is not None:
            advance(each.replications * len(results))
    return Drawn(tuple(results))


def grown_drawn(
    drawn: Drawn,
    replications: int,
    *,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> Drawn:
    """The same with so many replications in all, or a few more: as many of every draw."""
    each = -(-replications // len(drawn.results))
    return Drawn(
        tuple(grown(one, each, executor=executor, advance=advance) for one in drawn.results)
    )
