"""Growing tables of records: rows appended one by one, taken as one array at the end."""

from collections.abc import Iterable
from math import lgamma
from typing import Any

import numpy as np

from twin_core.simulation.flow.durations import Duration
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel.layout import Records

_P90 = 1.2815515655446004


class Table:
    """Rows of one record type; what a row does not name is 0."""

    def __init__(self, kind: np.dtype[Any]) -> None:
        self._kind = kind
        self._rows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, **row: Any) -> int:
        """Append a row; its index."""
        self._rows.append(row)
        return len(self._rows) - 1

    def also(self, at: int, **fields: Any) -> None:
        """More fields of a row."""
        self._rows[at].update(fields)

    def array(self) -> Records:
        """The rows as one array, with a row of zeros where there are none: nothing is empty."""
        table = np.zeros(max(1, len(self._rows)), self._kind)
        for at, row in enumerate(self._rows):
            for name, value in row.items():
                table[at][name] = value
        return table


class Numbers:
    """Plain numbers, in stretches."""

    def __init__(self, kind: str) -> None:
        self._kind, self._numbers = kind, list[float]()

    def add(self, numbers: Iterable[float]) -> tuple[int, int]:
        """Append a stretch; where it begins and how long it is."""
        first = len(self._numbers)
        self._numbers.extend(numbers)
        return first, len(self._numbers) - first

    def array(self) -> Records:
        """All of them, or one 0."""
        return np.array(self._numbers or [0], self._kind)


class Lengths:
    """The durations of a model as records, each written once."""

    def __init__(self) -> None:
        self.table, self.points = Table(lay.LENGTH), Table(lay.POINT)
        self._known: dict[Duration, int] = {}

    def add(self, duration: Duration | None) -> int:
        """The index of a duration; -1 for none."""
        if duration is None:
            return -1
        if duration not in self._known:
            self._known[duration] = self._write(duration)
        return self._known[duration]

    def _write(self, d: Duration) -> int:
        at = self._written(d)
        self.table.also(at, plus=d.plus * d.hours)
        return at

    def _written(self, d: Duration) -> int:
        hours = d.hours
        if d.exactly is not None:
            return self.table.add(kind=lay.FIXED, a=d.exactly * hours)
        if d.mean is not None:
            return self._of_mean(d, d.mean * hours)
        if d.median is not None:
            sigma = d.sigma if d.sigma is not None else np.log((d.p90 or 0) / d.median) / _P90
            return self._lognormal(float(np.log(d.median * hours)), float(sigma))
        if d.scale is not None:
            kind = lay.WEIBULL if d.family == "weibull" else lay.GAMMA
            return self.table.add(kind=kind, a=d.shape, b=d.scale * hours)
        if d.between is not None:
            return self._between(d)
        if d.mix is not None:
            return self._mix(d)
        return self._of_points(d)

    def _of_mean(self, d: Duration, mean: float) -> int:
        sd = (d.sd or 0) * d.hours if d.cv is None else d.cv * abs(mean)
        if d.family == "exponential":
            return self.table.add(kind=lay.EXPONENTIAL, a=mean)
        if d.family == "weibull":
            shape = d.shape or 1.0
            scale = mean / float(np.exp(lgamma(1 + 1 / shape)))
            return self.table.add(kind=lay.WEIBULL, a=shape, b=scale)
        if sd == 0:
            return self.table.add(kind=lay.FIXED, a=mean)
        if d.family == "lognormal":
            variance = float(np.log1p((sd / mean) ** 2))
            return self._lognormal(float(np.log(mean)) - variance / 2, variance**0.5)
        if d.family == "gamma":
            return self.table.add(kind=lay.GAMMA, a=(mean / sd) ** 2, b=sd * sd / mean)
        return self.table.add(kind=lay.NORMAL, a=mean, b=sd)

    def _lognormal(self, mu: float, sigma: float) -> int:
        if sigma == 0:
            return self.table.add(kind=lay.FIXED, a=float(np.exp(mu)))
        return self.table.add(kind=lay.LOGNORMAL, a=mu, b=sigma)

    def _between(self, d: Duration) -> int:
        low, high = (end * d.hours for end in d.between or (0, 0))
        if low == high:
            return self.table.add(kind=lay.FIXED, a=low)
        if d.mode is None:
            return self.table.add(kind=lay.UNIFORM, a=low, b=high)
        return self.table.add(kind=lay.TRIANGLE, a=low, b=high, c=d.mode * d.hours)

    def _mix(self, d: Duration) -> int:
        parts = [(self._write(part), part.share) for part in d.mix or ()]
        first, upto = len(self.points), 0.0
        for which, share in parts:
            upto += share
            self.points.add(value=which, upto=upto)
        return self.table.add(kind=lay.MIX, first=first, count=len(parts))

    def _of_points(self, d: Duration) -> int:
        if d.observed is not None:
            kind, weights = lay.OBSERVED, np.array(d.weights or [1.0] * len(d.observed))
            order = np.argsort(d.observed, kind="stable")
            values = np.array(d.observed)[order]
            upto = np.cumsum(weights[order]) / weights.sum()
            upto[-1] = 1.0
        else:
            kind, values = lay.QUANTILES, np.array(d.quantiles)
            upto = np.array(d.at) if d.at is not None else np.linspace(0, 1, len(values))
        first = len(self.points)
        for value, share in zip(values, upto, strict=True):
            self.points.add(value=value * d.hours, upto=share)
        tail = (d.tail_mean or 0.0) * d.hours
        return self.table.add(kind=kind, first=first, count=len(values), a=tail)
