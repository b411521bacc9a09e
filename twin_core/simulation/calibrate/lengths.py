"""Lengths of stay as a model says them: a family where one fits, else as observed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twin_core.simulation.calibrate.durations import (
    FAMILIES,
    Array,
    Ended,
    Family,
    Fit,
    ended,
    fitted,
)
from twin_core.simulation.calibrate.empirical import Steps, self_consistent
from twin_core.simulation.flow.durations import Duration

_ENOUGH = 20
"""Events from which a family may be refused for its fit."""
_CRITICAL = 1.63
"""Kolmogorov and Smirnov's distance times the root of n, at 1%."""
_SEED = 20260401


@dataclass(frozen=True)
class LengthFit:
    """A duration estimated: its family or steps, and what it was estimated from."""

    way: Fit | Steps
    events: int
    ongoing: int
    late: int
    distance: float
    """Largest distance of the residuals' distribution from that of a perfect fit."""
    critical: float
    """The distance that chance alone exceeds once in a hundred."""

    @property
    def family(self) -> str:
        """`lognormal`, `weibull`, `exponential`, or `observed`."""
        return self.way.family.name if isinstance(self.way, Fit) else "observed"

    def surviving(self, hours: Any) -> Array:
        """The share that lasts longer."""
        return self.way.surviving(hours)

    def duration(self, chance: np.random.Generator | None = None) -> Duration:
        """As a model says it; drawn as uncertain as it is, where there is `chance`."""
        if isinstance(self.way, Steps):
            return _quantiles(self.way if chance is None else self.way.drawn(chance))
        at = self.way.at if chance is None else self.way.draw(chance)
        return _of_family(self.way.family, at)

    def words(self) -> dict[str, float]:
        """The parameters by the names the model gives them, in hours."""
        return words_of(self.duration())


def words_of(duration: Duration) -> dict[str, float]:
    """The numbers of a duration of one family, in hours."""
    scaled = {"median", "mean", "scale"}
    said = duration.model_dump(
        exclude_none=True, include={"median", "sigma", "mean", "shape", "scale"}
    )
    return {
        name: value * duration.hours if name in scaled else value for name, value in said.items()
    }


def length_fit(of: Ended, families: Sequence[Family] = FAMILIES) -> LengthFit | None:
    """The family with the smallest Akaike criterion; observed steps where that does not fit."""
    found = [fit for family in families if (fit := fitted(family, of)) is not None]
    critical = _CRITICAL / math.sqrt(max(1, of.events))
    best = min(found, key=lambda fit: fit.aic) if found else None
    if best is not None:
        distance = residual_distance(best, of)
        if of.events < _ENOUGH or distance <= critical:
            return LengthFit(best, of.events, of.ongoing, of.late, distance, critical)
    if of.events < 5:
        return None
    steps = self_consistent(of)
    return LengthFit(steps, of.events, of.ongoing, of.late, residual_distance(steps, of), critical)


def residual_distance(way: Fit | Steps, of: Ended) -> float:
    """How far residuals are from uniform: 0 for a perfect fit (Cox and Snell 1968).

    The residual of an interval is drawn within it; those that go on are censored residuals.
    """
    entered = np.maximum(way.surviving(of.entered), 1e-12)
    low = np.clip(way.surviving(of.low) / entered, 1e-12, 1.0)
    known = np.isfinite(of.high)
    high = np.where(known, way.surviving(np.where(known, of.high, 0.0)) / entered, 0.0)
    drawn = np.random.default_rng(_SEED).random(len(low))
    residual = -np.log(np.maximum(np.where(known, high + drawn * (low - high), low), 1e-12))
    order = np.argsort(residual, kind="stable")
    at_risk = np.arange(len(order), 0, -1)
    surviving = np.cumprod(np.where(known[order], 1.0 - 1.0 / at_risk, 1.0))
    gap = np.abs(surviving - np.exp(-residual[order]))[known[order]]
    return float(gap.max()) if len(gap) else 0.0


def exact(hours: Sequence[float]) -> Ended:
    """Observations that were seen from beginning to end."""
    return ended(hours, hours)


def _of_family(family: Family, at: Array) -> Duration:
    if family.name == "lognormal":
        median, unit = _in_unit(math.exp(at[0]))
        said: dict[str, Any] = {"median": median, "sigma": _rounded(math.exp(at[1]))}
    elif family.name == "weibull":
        scale, unit = _in_unit(math.exp(at[1]))
        said = {"family": "weibull", "shape": _rounded(math.exp(at[0])), "scale": scale}
    else:
        mean, unit = _in_unit(math.exp(at[0]))
        said = {"family": "exponential", "mean": mean}
    return Duration.model_validate(said | {"unit": unit})


def _quantiles(steps: Steps) -> Duration:
    """At most 21 quantiles, of which a person can see the shape."""
    keep = np.unique(np.linspace(0, len(steps.edges) - 1, 21).round().astype(int))
    upto = np.maximum.accumulate(np.round(steps.upto[keep], 4))
    kept = np.concatenate([[True], np.diff(upto) > 0])
    values, at = steps.edges[keep][kept], upto[kept]
    said: dict[str, Any] = {"quantiles": [_rounded(v) for v in values], "at": at.tolist()}
    if at[-1] < 1:
        said["tail_mean"] = _rounded(steps.tail_mean)
    return Duration.model_validate(said)


def _in_unit(hours: float) -> tuple[float, str]:
    """A length in the unit a person would say it in."""
    if hours < 6:
        return _rounded(hours * 60), "minutes"
    return (_rounded(hours), "hours") if hours < 48 else (_rounded(hours / 24), "days")


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")
