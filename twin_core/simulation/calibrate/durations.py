"""Durations from incomplete observations: families by maximum likelihood, with their uncertainty.

An observation is an interval (low, high] in which something ended, after `entered` hours had
already passed when it came under observation. An exact one has low = high; one that still goes on
has high = infinity (right-censored); who was there before the window has entered > 0
(left-truncated). The likelihood of one is [S(low) - S(high)] / S(entered), or f(low) / S(entered):
Klein and Moeschberger, Survival Analysis (2003), chapter 3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_TINY = 1e-290
_SHORTEST = 1 / 3600
"""A second: nothing is shorter."""
_SQRT2 = math.sqrt(2.0)
_erfc: Any = np.frompyfunc(math.erfc, 1, 1)


class Ended(NamedTuple):
    """Observations of one duration, in hours."""

    low: Array
    high: Array
    entered: Array
    weight: Array

    @property
    def events(self) -> int:
        """How many ended while observed."""
        return int(np.isfinite(self.high).sum())

    @property
    def ongoing(self) -> int:
        """How many still went on at the end of the window (right-censored)."""
        return len(self.high) - self.events

    @property
    def late(self) -> int:
        """How many had begun before the window (left-truncated)."""
        return int((self.entered > 0).sum())

    def where(self, which: NDArray[Any]) -> "Ended":
        """Some of them."""
        return Ended(*(column[which] for column in self))


def ended(low: Any, high: Any, entered: Any = 0.0) -> Ended:
    """Observations from sequences of hours; who is known not to have ended any later is exact."""
    lows = np.maximum(np.asarray(low, float), 0.0)
    highs = np.maximum(np.asarray(high, float), _SHORTEST)
    exact = highs - lows < _SHORTEST
    lows = np.where(exact, highs, lows)
    before = np.broadcast_to(np.maximum(np.asarray(entered, float), 0.0), lows.shape)
    return Ended(lows, highs, np.minimum(before, lows).astype(float), np.ones(len(lows)))


@dataclass(frozen=True)
class Family:
    """A family of durations with one or two parameters on the whole real line."""

    name: str
    parameters: int
    log_surviving: Callable[[Array, Array], Array]
    """Of hours, given the parameters."""
    log_density: Callable[[Array, Array], Array]
    start: Callable[[Array], Array]
    """Rough parameters from lengths."""


def _lognormal_surviving(hours: Array, at: Array) -> Array:
    z = (np.log(np.maximum(hours, _SHORTEST / 1e3)) - at[0]) / math.exp(at[1])
    shares: Array = np.log(np.maximum(0.5 * np.asarray(_erfc(z / _SQRT2), float), _TINY))
    return shares


def _lognormal_density(hours: Array, at: Array) -> Array:
    z = (np.log(hours) - at[0]) / math.exp(at[1])
    density: Array = -0.5 * z * z - at[1] - np.log(hours) - 0.5 * math.log(2 * math.pi)
    return density


def _weibull_surviving(hours: Array, at: Array) -> Array:
    shares: Array = -((hours / math.exp(at[1])) ** math.exp(at[0]))
    return shares


def _weibull_density(hours: Array, at: Array) -> Array:
    shape, scaled = math.exp(at[0]), hours / math.exp(at[1])
    density: Array = at[0] - at[1] + (shape - 1) * np.log(scaled) - scaled**shape
    return density


def _exponential_surviving(hours: Array, at: Array) -> Array:
    shares: Array = -hours * math.exp(-at[0])
    return shares


def _exponential_density(hours: Array, at: Array) -> Array:
    density: Array = -at[0] - hours * math.exp(-at[0])
    return density


def _lognormal_start(hours: Array) -> Array:
    logs = np.log(hours)
    return np.array([logs.mean(), math.log(max(0.1, float(logs.std())))])


def _weibull_start(hours: Array) -> Array:
    return np.array([0.0, math.log(float(hours.mean()))])


def _exponential_start(hours: Array) -> Array:
    return np.array([math.log(float(hours.mean()))])


LOGNORMAL = Family(
    "lognormal",
    2,
    _lognormal_surviving,
    _lognormal_density,
    _lognormal_start,
)
WEIBULL = Family(
    "weibull",
    2,
    _weibull_surviving,
    _weibull_density,
    _weibull_start,
)
EXPONENTIAL = Family(
    "exponential",
    1,
    _exponential_surviving,
    _exponential_density,
    _exponential_start,
)
FAMILIES = (LOGNORMAL, WEIBULL, EXPONENTIAL)


@dataclass(frozen=True)
class Fit:
    """A family fitted: its parameters, their covariance, and how well it fits."""

    family: Family
    at: Array
    covariance: Array
    log_likelihood: float

    @property
    def aic(self) -> float:
        """Akaike's criterion; the smaller the better."""
        return 2.0 * (self.family.parameters - self.log_likelihood)

    def surviving(self, hours: Any, at: Array | None = None) -> Array:
        """The share that lasts longer."""
        at = self.at if at is None else at
        shares: Array = np.exp(self.family.log_surviving(np.asarray(hours, float), at))
        return shares

    def draw(self, chance: np.random.Generator) -> Array:
        """Parameters as uncertain as they are (their asymptotic normal distribution)."""
        drawn: Array = chance.multivariate_normal(self.at, self.covariance, method="svd")
        return drawn


def log_likelihood(family: Family, of: Ended, at: Array) -> float:
    """The log-likelihood of observations; minus infinity where it cannot be computed."""
    with np.errstate(all="ignore"):
        exact = of.low == of.high
        total = (of.weight[exact] * family.log_density(of.low[exact], at)).sum()
        rest = of.where(~exact)
        before = family.log_surviving(rest.low, at)
        after = np.where(np.isinf(rest.high), -np.inf, 0.0)
        finite = np.isfinite(rest.high)
        after[finite] = family.log_surviving(rest.high[finite], at)
        inside = before + np.log(-np.expm1(np.minimum(after - before, -1e-300)))
        total += (rest.weight * np.maximum(inside, math.log(_TINY))).sum()
        late = of.entered > 0
        total -= (of.weight[late] * family.log_surviving(of.entered[late], at)).sum()
    return float(total) if math.isfinite(total) else -math.inf


def fitted(family: Family, of: Ended) -> Fit | None:
    """The family's most likely parameters; None where there is no maximum to be found."""
    middles = np.where(np.isfinite(of.high), 0.5 * (of.low + np.minimum(of.high, 1e9)), of.low)
    at = family.start(np.maximum(middles, _SHORTEST))
    value = log_likelihood(family, of, at)
    for _ in range(60):
        slope, curve = _derivatives(family, of, at, value)
        step = _uphill(slope, curve)
        scale = 1.0
        while scale > 1e-6:
            beyond = log_likelihood(family, of, at + scale * step)
            if beyond >= value:
                break
            scale /= 2
        else:
            break
        gained, at, value = beyond - value, at + scale * step, beyond
        if gained < 1e-9 * (1 + abs(value)) and np.abs(scale * step).max() < 1e-4:
            break
    _, curve = _derivatives(family, of, at, value)
    try:
        covariance: Array = np.linalg.inv(-curve).astype(float)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(covariance).all() or np.linalg.eigvalsh(covariance).min() <= 0:
        return None
    return Fit(family, at, covariance, value)


def _derivatives(family: Family, of: Ended, at: Array, here: float) -> tuple[Array, Array]:
    """Gradient and Hessian by central differences."""
    n, h = len(at), 1e-3
    eye = np.eye(n) * h
    up = np.array([log_likelihood(family, of, at + eye[i]) for i in range(n)])
    down = np.array([log_likelihood(family, of, at - eye[i]) for i in range(n)])
    slope: Array = (up - down) / (2 * h)
    curve = np.diag((up - 2 * here + down) / h**2)
    for i in range(n):
        for j in range(i):
            both = log_likelihood(family, of, at + eye[i] + eye[j])
            none = log_likelihood(family, of, at - eye[i] - eye[j])
            mixed = (both + none + 2 * here - up[i] - down[i] - up[j] - down[j]) / (2 * h**2)
            curve[i, j] = curve[j, i] = mixed
    return slope, curve


def _uphill(slope: Array, curve: Array) -> Array:
    """Newton's step where the top is near, else a step along the slope; at most 1 long."""
    values, vectors = np.linalg.eigh(-curve) if np.isfinite(curve).all() else (None, None)
    if values is None or vectors is None:
        step = slope
    else:
        step = vectors @ ((vectors.T @ slope) / np.maximum(np.abs(values), 1e-6))
    longest = float(np.abs(step).max())
    return step / longest if longest > 1 else step
