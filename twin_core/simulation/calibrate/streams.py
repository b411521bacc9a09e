"""How patients come: rates by hour of the week, drawn together where counts are small.

A rate is a mean, a factor for the weekday and one for the hour of the day; where the 168 hours of
the week differ from that by more than chance, each has a rate of its own. Factors and cells are
drawn towards 1 by as much as chance explains how they differ (a gamma prior whose spread is
estimated from the counts themselves: empirical Bayes). Arrivals are Poisson unless days differ by
more than that; then a day has a factor of its own (`day_variation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from twin_core.simulation.calibrate.chances import chi_square_p
from twin_core.simulation.calibrate.durations import Array
from twin_core.simulation.calibrate.history import at_hour
from twin_core.simulation.flow.arrivals import Arrivals
from twin_core.simulation.flow.parts import EVERY_DAY

_RARE = 0.001
"""A test this improbable by chance is taken as a difference."""
_FEW_DAYS = 7
_FEW = 28
"""Patients from which the hours and weekdays of a stream are looked at."""


@dataclass(frozen=True)
class Clock:
    """The local hour of the week of every hour of a window."""

    zone: ZoneInfo
    start: float
    end: float

    def hour_of_week(self, hours: Sequence[float]) -> Array:
        """Local hours since Monday 00:00 of hours since 1970."""
        return np.array([self._local(hour) for hour in hours], float)

    def _local(self, hour: float) -> float:
        at = at_hour(hour).astimezone(self.zone)
        return 24.0 * at.weekday() + at.hour + at.minute / 60 + at.second / 3600

    def exposure(self) -> Array:
        """How often each of the 168 hours was in the window."""
        begins = np.arange(self.start, self.end, 1.0, dtype=float)
        lasts = np.minimum(begins + 1.0, self.end) - begins
        cells = self.hour_of_week((begins + lasts / 2).tolist()).astype(int)
        return np.bincount(cells, lasts, 168).astype(float)

    def days(self) -> list[tuple[float, float, int]]:
        """The whole local days of the window: from, to and weekday."""
        at = at_hour(self.start).astimezone(self.zone)
        day = datetime(at.year, at.month, at.day, tzinfo=self.zone)
        found: list[tuple[float, float, int]] = []
        while True:
            after = (day + timedelta(days=1, hours=12)).replace(hour=0)
            begins, ends = (
                day.astimezone(UTC).timestamp() / 3600,
                after.astimezone(UTC).timestamp() / 3600,
            )
            if ends > self.end:
                return found
            if begins >= self.start:
                found.append((begins, ends, day.weekday()))
            day = after


@dataclass(frozen=True)
class StreamFit:
    """The arrivals of one class to one unit."""

    class_: str
    unit: str
    n: int
    per_day: float
    weekdays: Array
    """Factors of Monday to Sunday, 1 on average."""
    hours: Array
    """Factors of the 24 hours, 1 on average."""
    cells: Array | None
    """Factors of the 168 hours on top, where they differ by more than chance."""
    weekday_weight: float
    """Patients the prior is worth in each weekday; infinite where weekdays do not differ."""
    hour_weight: float
    day_variation: float
    dispersion: float
    """Variance of daily counts over what Poisson would give."""
    dispersion_p: float
    """How probable so much is by chance alone."""
    counted: Array
    """Patients per hour as counted, in each hour of the week."""

    def rates(self) -> Array:
        """Patients per hour in each hour of the week."""
        base = np.outer(self.weekdays, self.hours).ravel() * self.per_day / 24
        return base if self.cells is None else base * self.cells

    def arrivals(self, chance: np.random.Generator | None = None) -> Arrivals:
        """As a model says it; drawn as uncertain as it is, where there is `chance`."""
        of = self if chance is None else self.drawn(chance)
        said: dict[str, Any] = {"class": of.class_, "unit": of.unit}
        if of.cells is not None:
            said["rates"] = [_rounded(rate) for rate in of.rates()]
        else:
            said["per_day"] = _rounded(of.per_day)
            if np.ptp(of.hours) > 0:
                said["by_hour"] = [_rounded(weight) for weight in of.hours]
            if np.ptp(of.weekdays) > 0:
                weights = map(_rounded, of.weekdays)
                said["by_weekday"] = dict(zip(EVERY_DAY, weights, strict=True))
        if of.day_variation:
            said["day_variation"] = _rounded(of.day_variation)
        return Arrivals.model_validate(said)

    def drawn(self, chance: np.random.Generator) -> "StreamFit":
        """The stream with every number as uncertain as it is."""
        per_day, weekdays, hours = self.draws(chance, 1)
        return replace(self, per_day=float(per_day[0]), weekdays=weekdays[0], hours=hours[0])

    def draws(self, chance: np.random.Generator, count: int) -> tuple[Array, Array, Array]:
        """Means, factors of weekdays and of hours as uncertain as they are, by draw."""
        extra = max(1.0, self.dispersion) if self.day_variation else 1.0
        level = chance.gamma((self.n + 0.5) / extra, size=count) * extra / (self.n + 0.5)
        return (
            self.per_day * level,
            _factors(chance, self.weekdays, self.n / 7, self.weekday_weight, count),
            _factors(chance, self.hours, self.n / 24, self.hour_weight, count),
        )


def _factors(
    chance: np.random.Generator, factors: Array, expected: float, weight: float, count: int
) -> Array:
    if not np.isfinite(weight):
        return np.tile(factors, (count, 1))
    shape = np.maximum(factors * (expected + weight), 1e-3)
    drawn = chance.gamma(shape, size=(count, len(factors)))
    scaled: Array = drawn / np.maximum(drawn.mean(axis=1), 1e-12)[:, None]
    return scaled


def stream_fit(class_: str, unit: str, came: Sequence[float], clock: Clock) -> StreamFit:
    """The stream of those who came at these hours (since 1970) of the clock's window."""
    cells, exposure = clock.hour_of_week(came).astype(int), clock.exposure()
    counts = np.bincount(cells, minlength=168).astype(float)
    n, hours_seen = float(len(came)), exposure.sum()
    mean = n / hours_seen
    weekdays, weekday_weight = np.ones(7), np.inf
    hours, hour_weight = np.ones(24), np.inf
    for _ in range(4 if n >= _FEW else 0):
        fitted = mean * exposure.reshape(7, 24) * hours
        weekdays, weekday_weight = drawn_together(counts.reshape(7, 24).sum(1), fitted.sum(1))
        fitted = mean * exposure.reshape(7, 24) * weekdays[:, None]
        hours, hour_weight = drawn_together(counts.reshape(7, 24).sum(0), fitted.sum(0))
        weekdays, hours = weekdays / weekdays.mean(), hours / hours.mean()
        mean = n / float((exposure.reshape(7, 24) * np.outer(weekdays, hours)).sum())
    expected = mean * np.outer(weekdays, hours).ravel() * exposure
    own = None
    if _p_of_difference(counts, expected, 168 - 30) < _RARE:
        own, _ = drawn_together(counts, expected)
    fitted_cells = expected * (1.0 if own is None else own)
    rates = np.divide(fitted_cells, exposure, out=np.zeros(168), where=exposure > 0)
    days = _days_differ(came, rates, clock)
    return StreamFit(
        class_, unit, len(came), 24 * mean, weekdays, hours, own, weekday_weight, hour_weight,
        *days, np.divide(counts, exposure, out=np.zeros(168), where=exposure > 0),
    )  # fmt: skip


def drawn_together(counts: Array, expected: Array) -> tuple[Array, float]:
    """Factors of cells on what was expected, each drawn to 1 as far as chance explains it.

    Returns the factors and the weight of the prior in expected counts, infinite where the cells
    do not differ (the moment estimate of DerSimonian and Laird 1986, for Poisson counts).
    """
    seen = expected > 0
    total = expected[seen].sum()
    if not total or seen.sum() < 2:
        return np.ones(len(counts)), np.inf
    square = ((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum()
    spread = (square - (seen.sum() - 1)) / (total - (expected[seen] ** 2).sum() / total)
    if spread <= 0:
        return np.ones(len(counts)), np.inf
    weight = 1.0 / spread
    factors: Array = (counts + weight) / (expected + weight)
    return factors, float(weight)


def _p_of_difference(counts: Array, expected: Array, freedom: int) -> float:
    seen = expected >= 1.0
    if seen.sum() < 100:
        return 1.0
    square = ((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum()
    return chi_square_p(float(square), int(freedom - (168 - seen.sum())))


def _days_differ(came: Sequence[float], rates: Array, clock: Clock) -> tuple[float, float, float]:
    """Coefficient of variation of days, dispersion index, and its probability by chance."""
    days = clock.days()
    if len(days) < _FEW_DAYS + 3:
        return 0.0, 1.0, 1.0
    edges = [day[0] for day in days] + [days[-1][1]]
    counts = np.histogram(came, edges)[0].astype(float)
    by_weekday = rates.reshape(7, 24).sum(1)
    expected = np.array([by_weekday[day[2]] * (day[1] - day[0]) / 24 for day in days])
    known = expected > 0.1
    square = float(((counts[known] - expected[known]) ** 2 / expected[known]).sum())
    freedom = max(1, int(known.sum()) - 7)
    p = chi_square_p(square, freedom)
    variance = max(0.0, (square - freedom) / float(expected[known].sum())) if p < 0.01 else 0.0
    return variance**0.5, square / freedom, p


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")
