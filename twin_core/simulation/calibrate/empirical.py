"""The distribution of a duration without a family: Turnbull's self-consistent estimate on a grid.

Turnbull (1976): the probability of a cell is the share of observations expected in it, where one
that is known to an interval is spread over its cells as they stand, and one that came under
observation late stands for others like it that ended before. On exact and right-censored
observations it is that of Kaplan and Meier.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from twin_core.simulation.calibrate.durations import Array, Ended

_CELLS, _ROUNDS = 40, 200
_OFTEN, _NARROW = 0.05, 0.01


@dataclass(frozen=True)
class Steps:
    """Cumulative probabilities at the edges of cells; the tail beyond has a mean excess."""

    edges: Array
    upto: Array
    tail_mean: float
    n: int

    def surviving(self, hours: Any) -> Array:
        """The share that lasts longer: straight lines between the edges, then exponential."""
        at = np.asarray(hours, float)
        inside: Array = 1.0 - np.interp(at, self.edges, self.upto)
        beyond = (1.0 - self.upto[-1]) * np.exp(-(at - self.edges[-1]) / self.tail_mean)
        return np.where(at > self.edges[-1], beyond, inside)

    def drawn(self, chance: np.random.Generator) -> "Steps":
        """The cells as uncertain as their counts (a Bayesian bootstrap of the cells)."""
        cells = np.diff(np.append(self.upto, 1.0))
        shares = chance.dirichlet(np.maximum(cells * self.n, 1e-3))
        return Steps(self.edges, np.array([0.0, *np.cumsum(shares)[:-1]]), self.tail_mean, self.n)


def self_consistent(of: Ended) -> Steps:
    """The estimate, on cells of about equally many observations."""
    known = np.isfinite(of.high)
    middles = 0.5 * (of.low[known] + of.high[known])
    inner, counts = np.unique(middles, return_counts=True)
    # A length that many have to the second is one, and no room up to it.
    often = inner[counts >= max(2.0, _OFTEN * len(middles))] * (1 - _NARROW)
    if len(inner) > _CELLS:
        inner = np.quantile(middles, np.linspace(0, 1, _CELLS + 1))
    edges = np.unique(np.concatenate([[0.0], inner[inner > 0], often]))
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-3])]
    tops = np.append(edges[1:], np.inf)
    compatible = _overlaps(of, edges, tops)
    hidden = 1.0 - _overlaps(
        of._replace(low=of.entered, high=np.full(len(of.low), np.inf)), edges, tops
    )
    shares = np.full(len(edges), 1.0 / len(edges))
    for _ in range(_ROUNDS):
        seen = _spread(compatible, shares) * of.weight[:, None]
        ghosts = hidden * shares
        late = of.weight / np.maximum(1.0 - ghosts.sum(axis=1), 1e-9)
        total = seen.sum(axis=0) + (ghosts * late[:, None]).sum(axis=0)
        new = total / total.sum()
        if np.abs(new - shares).max() < 1e-7:
            break
        shares = new
    longest = edges[-1]
    return Steps(
        edges, np.array([0.0, *np.cumsum(shares[:-1])]), max(0.1 * longest, 0.01), of.events
    )


def _overlaps(of: Ended, bottoms: Array, tops: Array) -> Array:
    """How much of each cell an observation allows, by observation and cell."""
    low, high = of.low[:, None], of.high[:, None]
    exact = (low == high) & (low > bottoms) & (low <= tops)
    wide = np.where(np.isinf(tops), 1.0, tops - bottoms)
    inside = np.minimum(high, np.where(np.isinf(tops), bottoms + 1.0, tops)) - np.maximum(
        low, bottoms
    )
    share = np.clip(inside / wide, 0.0, 1.0)
    endless = np.isinf(tops) & np.isinf(high)
    allowed: Array = np.where(low == high, exact, np.where(endless, 1.0, share)).astype(float)
    return allowed


def _spread(compatible: Array, shares: Array) -> Array:
    weighted = compatible * shares
    spread: Array = weighted / np.maximum(weighted.sum(axis=1), 1e-12)[:, None]
    return spread
