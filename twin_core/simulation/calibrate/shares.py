"""Where stays lead: shares of competing destinations, some stays still going on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twin_core.simulation.calibrate.chances import chi_square_p
from twin_core.simulation.calibrate.durations import Array


@dataclass(frozen=True)
class SharesFit:
    """The shares of destinations and from how many stays they are."""

    names: tuple[str, ...]
    shares: Array
    n: int

    def then(self, chance: np.random.Generator | None = None) -> dict[str, float]:
        """As a model says it; drawn as uncertain as it is, where there is `chance`."""
        shares = self.shares
        if chance is not None:
            shares = self.drawn(chance, 1)[0]
        whole = np.round(shares, 4)
        whole[int(np.argmax(whole))] += 1.0 - whole.sum()
        said = zip(self.names, whole.tolist(), strict=True)
        return {name: round(share, 4) for name, share in said if share > 0}

    def drawn(self, chance: np.random.Generator, count: int) -> Array:
        """Shares as uncertain as their counts: draws by destination (a Dirichlet posterior)."""
        weights = np.maximum(self.shares * self.n, 1e-3) + 0.5 / len(self.shares)
        drawn: Array = chance.dirichlet(weights, count)
        return drawn


def shares_fit(
    next_: Sequence[str | None], low: Sequence[float], entered: Sequence[float]
) -> SharesFit | None:
    """The cumulative incidence of each destination, as Aalen and Johansen (1978) estimate it.

    A stay lasted `low` hours so far or in all, was first seen after `entered`, and led to `next_`
    (None: goes on). What no stay lasted long enough to show is shared out like the rest.
    """
    names = tuple(sorted({name for name in next_ if name is not None}))
    if not names:
        return None
    lasted, late = np.asarray(low, float), np.asarray(entered, float)
    led = np.array([-1 if name is None else names.index(name) for name in next_])
    order = np.lexsort((led < 0, lasted))
    times, led = lasted[order], led[order]
    ends = led >= 0
    come = np.searchsorted(np.sort(late), times, "left")
    at_risk = np.maximum(come - np.arange(len(times)), 1)
    alive, found = 1.0, np.zeros(len(names))
    for at in np.flatnonzero(ends):
        hazard = 1.0 / at_risk[at]
        found[led[at]] += alive * hazard
        alive *= 1.0 - hazard
        if alive <= 0:
            break
    return SharesFit(names, found / found.sum(), int(ends.sum()))


def differ(groups: Sequence[Sequence[str]]) -> float:
    """The probability that groups of destinations differ so much by chance (Pearson's test)."""
    names = sorted({name for group in groups for name in group})
    table = np.array([[list(group).count(name) for name in names] for group in groups], float)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    # Destinations too rare for the test are taken together.
    rare = expected.min(axis=0) < 2
    if rare.any():
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
        expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    known = expected.sum(axis=0) > 0
    square = ((table - expected)[:, known] ** 2 / expected[:, known]).sum()
    return chi_square_p(float(square), (len(groups) - 1) * (int(known.sum()) - 1))
