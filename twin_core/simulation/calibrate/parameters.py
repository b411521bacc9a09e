"""Every number of a calibration: its estimate, its interval, and from how many patients it is."""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from twin_core.simulation.calibrate.durations import Array, Fit
from twin_core.simulation.calibrate.fitting import Calibration
from twin_core.simulation.calibrate.lengths import LengthFit
from twin_core.simulation.calibrate.shares import SharesFit
from twin_core.simulation.calibrate.streams import StreamFit
from twin_core.simulation.calibrate.wards import UnitFit
from twin_core.simulation.flow.parts import EVERY_DAY

_DRAWS = 4000
_NAMES = {
    "lognormal": ("median_hours", "sigma"),
    "weibull": ("shape", "scale_hours"),
    "exponential": ("mean_hours",),
}


class Parameter(NamedTuple):
    """One estimated number."""

    part: str
    """What it is of, such as `MED stay` or `ED then`."""
    name: str
    estimate: float
    low: float
    high: float
    n: int
    """Patients, stays or beds it was estimated from."""


def parameters(calibration: Calibration, level: float = 0.95) -> list[Parameter]:
    """All numbers that were estimated, each with its central interval of a level.

    Intervals of shares and rates are those of 4,000 draws; of lengths, of their normal
    approximation on the logarithmic scale.
    """
    chance = np.random.default_rng(0)
    return [
        *(one for stream in calibration.streams for one in _of_stream(stream, level, chance)),
        *(one for unit in calibration.units for one in _of_unit(unit, level, chance)),
    ]


def _of_stream(of: StreamFit, level: float, chance: np.random.Generator) -> Iterator[Parameter]:
    part = f"{of.class_} to {of.unit}"
    ends = (1 - level) / 2, (1 + level) / 2
    per_day, weekdays, hours = (
        np.quantile(drawn, ends, axis=0) for drawn in of.draws(chance, _DRAWS)
    )
    yield _sure(part, "per_day", of.per_day, per_day, of.n)
    for n, day in enumerate(EVERY_DAY if np.isfinite(of.weekday_weight) else ()):
        yield _sure(part, day, of.weekdays[n], weekdays[:, n], of.n)
    for n in range(24 if np.isfinite(of.hour_weight) else 0):
        yield _sure(part, f"{n:02}:00", of.hours[n], hours[:, n], of.n)


def _sure(part: str, name: str, at: float, ends: Array, n: int) -> Parameter:
    return Parameter(part, name, float(at), float(ends[0]), float(ends[1]), n)


def _of_unit(of: UnitFit, level: float, chance: np.random.Generator) -> Iterator[Parameter]:
    yield from _of_length(f"{of.code} stay", of.stay, level)
    yield from _of_shares(f"{of.code} then", of.then, level, chance)
    for name, length in (("cleaning", of.cleaning), ("patience", of.patience)):
        if length is not None:
            yield from _of_length(f"{of.code} {name}", length, level)
    if of.leaving is not None:
        yield from _of_shares(f"{of.code} hour of leaving", of.leaving, level, chance)
    for route in of.routes.values():
        part = f"{route.class_} in {of.code}"
        if route.stay is not None:
            yield from _of_length(f"{part} stay", route.stay, level)
        if route.then is not None:
            yield from _of_shares(f"{part} then", route.then, level, chance)
        for name, length in route.stay_if.items():
            yield from _of_length(f"{part} stay if {name}", length, level)


def _of_length(part: str, of: LengthFit, level: float) -> Iterator[Parameter]:
    if not isinstance(of.way, Fit):
        return
    z = NormalDist().inv_cdf((1 + level) / 2)
    spread = np.sqrt(np.diag(of.way.covariance))
    for name, at, sd in zip(_NAMES[of.family], of.way.at, spread, strict=True):
        low, high = math.exp(at - z * sd), math.exp(at + z * sd)
        yield Parameter(part, name, math.exp(at), low, high, of.events)


def _of_shares(
    part: str, of: SharesFit, level: float, chance: np.random.Generator
) -> Iterator[Parameter]:
    drawn = of.drawn(chance, _DRAWS)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    for n, name in enumerate(of.names):
        yield _sure(part, name, of.shares[n], np.array([low[n], high[n]]), of.n)
