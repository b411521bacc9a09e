"""Courses of patients through units: one leg for every uninterrupted time under one unit's care.

Two kinds of units are left out of courses, because patients keep their place or are leaving
already: those from which nearly everybody comes back to the bed they had (theatres, imaging), and
those through which people only pass on their way out (discharge lounges).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from twin_core.simulation.calibrate.history import EMERGENCY, History, Lay, Spot
from twin_core.simulation.model import HOME

_BACK_IN_BED, _OUT, _COMING = 0.8, 0.9, 0.05
"""Shares from which a unit counts as one patients come back from, or only pass on the way out."""
_FEW = 5
_PASSING_HOURS = 6.0
_LONGEST_WAIT = 24.0
"""Who came longer before their first bed than a day was not waiting for it all the time."""


class Leg(NamedTuple):
    """A patient's time in one unit; hours since 1970."""

    encounter_id: str
    patient: str
    class_: str
    unit: str
    spot: Spot
    """The last place in the unit."""
    asked: float
    """From when the patient was in the unit, in bed or not."""
    bedded: float | None
    """From when in a bed; None while in none."""
    ended: float | None
    next: str | None
    """The unit or exit it led to; None while it lasts, or where nobody said."""
    enters: bool
    """Whether it is the first of the visit."""
    inferred: bool
    """Whether its beginning was not reported."""


@dataclass(frozen=True)
class Courses:
    """The legs of all patients, and which units are in none."""

    legs: tuple[Leg, ...]
    visited: tuple[str, ...]
    """Units patients come back from to their bed: theatres, imaging."""
    on_the_way_out: tuple[str, ...]
    """Units that patients only pass as they leave: a discharge lounge."""
    rare: tuple[str, ...]
    """Units with hardly any stay."""
    bedless: tuple[str, ...]
    """Units whose beds nobody names."""

    def by_unit(self) -> dict[str, list[Leg]]:
        """The legs of every unit."""
        found: dict[str, list[Leg]] = defaultdict(list)
        for leg in self.legs:
            found[leg.unit].append(leg)
        return dict(sorted(found.items()))


def courses_of(history: History) -> Courses:
    """The courses of all patients of a history."""
    visits: dict[str, list[Lay]] = defaultdict(list)
    for lay in history.lays:
        visits[lay.encounter_id].append(lay)
    shape = _shape(visits.values())
    return _Reading(history, *shape).courses(visits)


class _Use(NamedTuple):
    """How a unit is used: runs in it, and how they begin and end."""

    hours: list[float]
    back: list[bool]
    out: list[bool]
    comes: list[bool]
    bedded: list[bool]


def _shape(visits: Iterable[Sequence[Lay]]) -> tuple[set[str], set[str], set[str], set[str]]:
    uses: dict[str, _Use] = defaultdict(lambda: _Use([], [], [], [], []))
    for lays in visits:
        runs = list(_runs(lays))
        for at, run in enumerate(runs):
            use = uses[run[0].spot.unit]
            use.comes.append(at == 0)
            use.bedded.append(any(lay.spot.bed for lay in run))
            if run[-1].to_hour is None:
                continue
            use.hours.append(run[-1].to_hour - run[0].from_hour)
            use.out.append(at == len(runs) - 1)
            before, after = (
                runs[at - 1][-1] if at else None,
                runs[at + 1][0] if at + 1 < len(runs) else None,
            )
            use.back.append(bool(before and after and before.spot == after.spot))
    back = {u for u, use in uses.items() if _share(use.back) >= _BACK_IN_BED}
    out = {
        unit
        for unit, use in uses.items()
        if _share(use.out) >= _OUT
        and _share(use.comes) <= _COMING
        and median(use.hours) < _PASSING_HOURS
    } - back
    rare = {unit for unit, use in uses.items() if len(use.hours) < _FEW} - back - out
    bedless = {unit for unit, use in uses.items() if _share(use.bedded) < 0.5}
    return back, out, rare, bedless


def _share(said: Sequence[bool]) -> float:
    return sum(said) / len(said) if len(said) >= _FEW else 0.0


def _runs(lays: Sequence[Lay]) -> Iterator[list[Lay]]:
    run: list[Lay] = []
    for lay in lays:
        if run and lay.spot.unit != run[-1].spot.unit:
            yield run
            run = []
        run.append(lay)
    if run:
        yield run


class _Reading:
    """The courses of a history, given how its units are used."""

    def __init__(
        self, history: History, back: set[str], out: set[str], rare: set[str], bedless: set[str]
    ) -> None:
        self._history = history
        self._back, self._out, self._rare, self._bedless = back, out, rare, bedless

    def courses(self, visits: dict[str, list[Lay]]) -> Courses:
        legs = [leg for key, lays in visits.items() for leg in self._legs(key, lays)]
        legs += self._never_in_bed(legs, visits)
        names = (tuple(sorted(s)) for s in (self._back, self._out, self._rare, self._bedless))
        return Courses(tuple(legs), *names)

    def _never_in_bed(self, legs: list[Leg], visits: Mapping[str, object]) -> list[Leg]:
        """Emergency patients who have come and have no bed so far, or left without one."""
        came = Counter(leg.unit for leg in legs if leg.enters and leg.class_ == EMERGENCY)
        if not came:
            return []
        unit = max(sorted(came), key=lambda code: came[code])
        return [
            Leg(
                key, of.patient, of.class_, unit, Spot(unit, "", ""), of.came, None, of.left,
                of.exit, True, False,
            )
            for key, of in self._history.visits.items()
            if key not in visits and of.class_ == EMERGENCY and of.came is not None
        ]  # fmt: skip

    def _legs(self, key: str, lays: Sequence[Lay]) -> Iterator[Leg]:
        visit = self._history.visits.get(key)
        gone = lays[-1].to_hour is not None
        left_at = None
        if lays[-1].spot.unit in self._out:
            # On the way out: the bed was left when the patient came to the lounge.
            left_at = next(iter(self._last_run(lays))).from_hour
        kept = [lay for lay in lays if lay.spot.unit not in self._back | self._out]
        runs = list(_runs(kept))
        over = gone or left_at is not None
        for at, run in enumerate(runs):
            last = at + 1 == len(runs)
            if last:
                after = (visit.exit if visit else None) or HOME
                ended = (left_at or lays[-1].to_hour) if over else None
            else:
                after, ended = runs[at + 1][0].spot.unit, runs[at + 1][0].from_hour
            if ended is None or ended > run[0].from_hour:
                yield self._leg(key, run, ended, None if ended is None else after, at == 0)

    @staticmethod
    def _last_run(lays: Sequence[Lay]) -> list[Lay]:
        return list(_runs(lays))[-1]

    def _leg(
        self, key: str, run: list[Lay], ended: float | None, next_: str | None, enters: bool
    ) -> Leg:
        visit, unit = self._history.visits.get(key), run[0].spot.unit
        in_bed = (lay.from_hour for lay in run if lay.spot.bed or unit in self._bedless)
        asked = run[0].from_hour
        if enters and visit and visit.class_ == EMERGENCY and visit.came is not None:
            asked = min(asked, max(visit.came, asked - _LONGEST_WAIT))
        return Leg(
            key,
            visit.patient if visit else "",
            visit.class_ if visit else "direct",
            unit,
            run[-1].spot,
            asked,
            next(in_bed, None),
            ended,
            next_,
            enters,
            run[0].inferred,
        )
