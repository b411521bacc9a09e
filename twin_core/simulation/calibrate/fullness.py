"""When units were full: who moved into one may have been ready since it was."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.durations import Array
from twin_core.simulation.calibrate.history import BedPeriod

_ON_THE_WAY_HOURS = 1.0
"""A bed given stands empty until its patient comes: so long at most."""


class Fullness:
    """The times at which no bed of a unit was free: taken, being cleaned or closed."""

    def __init__(
        self, beds: Mapping[str, int], legs: Iterable[Leg], periods: Iterable[BedPeriod], end: float
    ) -> None:
        changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for leg in legs:
            if leg.unit in beds and leg.bedded is not None:
                changes[leg.unit] += _while(leg.bedded, end if leg.ended is None else leg.ended)
        for period in periods:
            if period.spot.unit in beds:
                until = end if period.to_hour is None else period.to_hour
                changes[period.spot.unit] += _while(period.from_hour, until)
        self._runs = {unit: _full_runs(rows, beds[unit]) for unit, rows in changes.items()}

    def since(self, unit: str, at: float) -> float:
        """From when a unit was full until somebody came into it at an hour; that hour if not."""
        starts, ends = self._runs.get(unit, (np.empty(0), np.empty(0)))
        run = int(np.searchsorted(starts, at, "left")) - 1
        if run < 0 or ends[run] < at - _ON_THE_WAY_HOURS:
            return at
        return float(starts[run])


def _while(begins: float, ends: float) -> list[tuple[float, int]]:
    return [(begins, 1), (max(begins, ends), -1)]


def _full_runs(changes: list[tuple[float, int]], beds: int) -> tuple[Array, Array]:
    """Starts and ends of the times with no bed free, those taken together that hardly part."""
    changes.sort()
    times = np.array([at for at, _ in changes])
    taken = np.cumsum([change for _, change in changes])
    full = taken >= beds
    before = np.concatenate([[False], full[:-1]])
    starts, ends = times[full & ~before], times[~full & before]
    if not len(starts):
        return starts, ends
    ends = np.concatenate([ends, np.full(len(starts) - len(ends), np.inf)])
    apart = starts[1:] - ends[:-1] > _ON_THE_WAY_HOURS
    return starts[np.concatenate([[True], apart])], ends[np.concatenate([apart, [True]])]
