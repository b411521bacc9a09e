"""Backtest: forecasts from many origins of the past, scored by what came, beside simple forecasts.

At every origin the hospital is known as it stood then, and the model from the history before. The
census forecast of every unit is scored by the continuous ranked probability score (CRPS; Gneiting
and Raftery 2007, in the form that is fair to small ensembles), by how often its intervals cover
what came, by the place of what came in the forecast distribution (PIT), and by its bias. Two
forecasts without a model are scored alike:

- persistence: the census stays as it is; its spread is that of past changes over the same hours
- hour of week: the mean of that hour of the week; its spread is that of the past around its means
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin_core.errors import UsageError
from twin_core.simulation.calibrate import Calibration, History, calibrated
from twin_core.simulation.calibrate.courses import Courses, courses_of
from twin_core.simulation.calibrate.history import hour_of
from twin_core.simulation.forecasting import forecast

HORIZONS = (6, 12, 24, 48, 72, 120, 168)
"""Hours ahead."""
MODEL, PERSISTENCE, HOUR_OF_WEEK = "model", "persistence", "hour of week"
FORECASTERS = (MODEL, PERSISTENCE, HOUR_OF_WEEK)
_LEARNT_DAYS = 14
"""Days of history before the first origin."""
_PAST_DAYS = 56
"""Days whose changes and means the simple forecasts know."""
_APART_HOURS = 30.0
"""Origins are so far apart that they go round the hours of the day."""
_RECALIBRATED_DAYS = 7.0
Array = NDArray[np.float64]


class Score(NamedTuple):
    """One forecast of one unit's census, scored."""

    forecaster: str
    origin: datetime
    horizon: int
    unit: str
    came: int
    mean: float
    crps: float
    covered_50: float
    covered_90: float
    pit: float


@dataclass(frozen=True)
class Plan:
    """What a backtest does: from where, how far, and with how many replications."""

    horizons: tuple[int, ...] = HORIZONS
    apart_hours: float = _APART_HOURS
    learnt_days: float = _LEARNT_DAYS
    recalibrated_days: float = _RECALIBRATED_DAYS
    replications: int = 200
    draws: int = 20
    seed: int = 0
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True)
class Backtest:
    """All scores, and of which history."""

    history: History
    plan: Plan
    units: tuple[str, ...]
    origins: tuple[datetime, ...]
    scores: tuple[Score, ...]

    def mean(self, of: str, forecaster: str, horizon: int, unit: str | None = None) -> float:
        """The mean of a score over origins; over all units together without one."""
        found = [getattr(s, of) for s in self.chosen(forecaster, horizon, unit)]
        return float(np.mean(found)) if found else float("nan")

    def bias(self, forecaster: str, horizon: int, unit: str | None = None) -> float:
        """By how many patients forecasts lie above what came, on average."""
        found = [s.mean - s.came for s in self.chosen(forecaster, horizon, unit)]
        return float(np.mean(found)) if found else float("nan")

    def skill(self, horizon: int, against: str, unit: str | None = None) -> float:
        """By which share the model's CRPS is smaller than a simple forecast's; below 0: worse."""
        base = self.mean("crps", against, horizon, unit)
        return 1 - self.mean("crps", MODEL, horizon, unit) / base if base > 0 else float("nan")

    def chosen(self, forecaster: str, horizon: int, unit: str | None = None) -> list[Score]:
        """The scores of a forecaster at a horizon, of one unit or of all."""
        return [
            s
            for s in self.scores
            if s.forecaster == forecaster and s.horizon == horizon and unit in (None, s.unit)
        ]

    def worse(self) -> list[str]:
        """Where the model does worse than a simple forecast, in words."""
        return [
            f"{unit or 'all units'} at {horizon} h: worse than {base} by {-skill:.0%}"
            for unit in (None, *self.units)
            for horizon in self.plan.horizons
            for base in (PERSISTENCE, HOUR_OF_WEEK)
            if (skill := self.skill(horizon, base, unit)) < 0
        ]


def backtest(
    history: History, plan: Plan | None = None, advance: Callable[[int], None] | None = None
) -> Backtest:
    """Score forecasts from origins rolled over a history.

    Raises UsageError where the history is too short for one.
    """
    asked = plan or Plan()
    begins = list(origins(history, asked))
    if not begins:
        raise UsageError(
            "The history is too short for a backtest.",
            why=f"It needs {asked.learnt_days:g} days to learn from and {max(asked.horizons)} h.",
            do="Give a longer window, or shorter horizons.",
        )
    courses = courses_of(history)
    census = Census(history, courses)
    scores: list[Score] = []
    model: Calibration | None = None
    learnt_at = begins[0]
    for number, origin in enumerate(begins):
        if model is None or origin - learnt_at >= timedelta(days=asked.recalibrated_days):
            model, learnt_at = calibrated(history.until(origin)), origin
        scores += _scored(model.at(origin, history), census, asked, origin, number)
        if advance is not None:
            advance(number + 1)
    units = tuple(sorted({score.unit for score in scores}))
    return Backtest(history, asked, units, tuple(begins), tuple(scores))


def origins(history: History, plan: Plan) -> Iterator[datetime]:
    """From where forecasts are made: instants with enough history before and after them."""
    first = plan.first or history.start + timedelta(days=plan.learnt_days)
    last = plan.last or history.end
    at, end = first, min(last, history.end - timedelta(hours=max(plan.horizons)))
    while at <= end:
        yield at
        at += timedelta(hours=plan.apart_hours)


class Census:
    """How many patients were in the beds of each unit, at any hour of a history."""

    def __init__(self, history: History, courses: Courses) -> None:
        self._zone, self._start = history.zone, history.window[0]
        self._begun: dict[str, Array] = {}
        self._ended: dict[str, Array] = {}
        for unit, legs in courses.by_unit().items():
            bedded = [leg for leg in legs if leg.bedded is not None]
            self._begun[unit] = np.sort([leg.bedded for leg in bedded]).astype(float)
            self._ended[unit] = np.sort([leg.ended for leg in bedded if leg.ended]).astype(float)

    def at(self, unit: str, hours: Sequence[float] | Array) -> Array:
        """Patients in beds at hours since 1970."""
        begun = np.searchsorted(self._begun[unit], hours, "right")
        ended = np.searchsorted(self._ended[unit], hours, "right")
        there: Array = (begun - ended).astype(float)
        return there

    def persistence(self, unit: str, origin: float, horizon: int) -> Array:
        """The census as it is, with past changes from the same hour of the day."""
        ends: Array = np.arange(origin, self._start + horizon, -24.0)[: _PAST_DAYS + 1].astype(
            float
        )
        changes = self.at(unit, ends) - self.at(unit, ends - horizon)
        now = float(self.at(unit, [origin])[0])
        return np.maximum(now + changes, 0.0).astype(float) if len(changes) else np.array([now])

    def hour_of_week(self, unit: str, origin: float, horizon: int) -> Array:
        """The mean of the hour of the week, with how the past lay around such means."""
        at = origin + horizon
        back = np.arange(1, _PAST_DAYS + 1) * 24.0
        days = at - back
        days = days[(days <= origin) & (days >= self._start)]
        if not len(days):
            return self.at(unit, [origin])
        values, weekday = self.at(unit, days.tolist()), ((at - days) % 168.0).round()
        means = {day: values[weekday == day].mean() for day in np.unique(weekday)}
        around = values - np.array([means[day] for day in weekday])
        own = means.get(0.0, values.mean())
        spread: Array = np.maximum(own + around, 0.0).astype(float)
        return spread


def _scored(
    calibration: Calibration, census: Census, plan: Plan, origin: datetime, number: int
) -> Iterator[Score]:
    ahead = forecast(
        calibration,
        hours=float(max(plan.horizons)),
        replications=plan.replications,
        draws=plan.draws,
        seed=plan.seed + number,
    )
    simulated, start = ahead.census(), hour_of(origin)
    chance = np.random.default_rng([plan.seed, number])
    for u, unit in enumerate(ahead.units):
        for horizon in plan.horizons:
            came = int(census.at(unit, [start + horizon])[0])
            for forecaster, ensemble in (
                (MODEL, simulated[:, horizon, u].astype(float)),
                (PERSISTENCE, census.persistence(unit, start, horizon)),
                (HOUR_OF_WEEK, census.hour_of_week(unit, start, horizon)),
            ):
                numbers = score(ensemble, came, chance.random())
                yield Score(forecaster, origin, horizon, unit, came, *numbers)


def score(ensemble: Array, came: float, chance: float) -> tuple[float, float, float, float, float]:
    """Mean, CRPS, whether the central 50% and 90% cover what came, and its PIT.

    Counts have ties: what came is covered in the share in which an interval would cover it whose
    ends are drawn among equals, as the PIT is drawn between the shares below and up to it.
    """
    members = np.sort(ensemble)
    n = len(members)
    distance = float(np.abs(members - came).mean())
    spread = 0.0
    if n > 1:
        spread = float((2 * np.arange(1, n + 1) - n - 1) @ members) * 2 / (n * (n - 1))
    below, upto = (members < came).mean(), (members <= came).mean()
    pit = float(below + chance * (upto - below))
    inside = [float((1 - level) / 2 <= pit <= (1 + level) / 2) for level in (0.5, 0.9)]
    return float(members.mean()), distance - spread / 2, inside[0], inside[1], pit


def document(found: Backtest) -> dict[str, Any]:
    """A backtest as plain JSON values: what it says on its face, and every figure by unit."""
    day = 24 if 24 in found.plan.horizons else found.plan.horizons[0]
    return {
        "facility": found.history.facility,
        "window": [found.history.start.isoformat(), found.history.end.isoformat()],
        "origins": [origin.isoformat() for origin in found.origins],
        "replications": found.plan.replications,
        "draws": found.plan.draws,
        "seed": found.plan.seed,
        "verdict": verdict(found, day),
        "worse": found.worse(),
        "table": [
            figures(found, horizon, unit)
            for horizon in found.plan.horizons
            for unit in (None, *found.units)
        ],
    }


def verdict(found: Backtest, horizon: int) -> list[str]:
    """What is to be known first: how much better than simple forecasts, and where worse."""
    skills = {base: found.skill(horizon, base) for base in (PERSISTENCE, HOUR_OF_WEEK)}
    said = [
        f"{horizon} h ahead the model's CRPS is {abs(skill):.0%} "
        f"{'smaller' if skill >= 0 else 'LARGER (the model is worse)'} than that of {base}."
        for base, skill in skills.items()
    ]
    covered = found.mean("covered_90", MODEL, horizon)
    said.append(
        f"Its 90% intervals held {covered:.0%} of what came ({len(found.origins)} origins)."
    )
    if worse := found.worse():
        said.append(f"WORSE THAN A SIMPLE FORECAST in {len(worse)} places: " + "; ".join(worse))
    return said


def figures(found: Backtest, horizon: int, unit: str | None) -> dict[str, Any]:
    """The figures of a horizon, of one unit or of all."""
    row: dict[str, Any] = {"horizon": horizon, "unit": unit or "all"}
    row["crps"] = round(found.mean("crps", MODEL, horizon, unit), 3)
    for base in (PERSISTENCE, HOUR_OF_WEEK):
        row[base] = round(found.mean("crps", base, horizon, unit), 3)
        row[f"better than {base}"] = round(found.skill(horizon, base, unit), 3)
    row["90%"] = round(found.mean("covered_90", MODEL, horizon, unit), 3)
    row["50%"] = round(found.mean("covered_50", MODEL, horizon, unit), 3)
    row["bias"] = round(found.bias(MODEL, horizon, unit), 3)
    return row
