"""Booked admissions: who is to come, how many of them do, how late, and how long they are known.

Bookings are pending admissions that name a unit and a time (A05, A14 with PV2-8). What they are
worth is learned from those whose day has passed. A forecast lets everybody come who is booked, and
beside them only as many more as used to be booked no sooner than so long before they came.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import Any, NamedTuple

import numpy as np

from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.diverted import booked_for
from twin_core.simulation.calibrate.durations import Array
from twin_core.simulation.calibrate.fullness import Fullness
from twin_core.simulation.calibrate.history import Planned
from twin_core.simulation.flow.arrivals import Arrivals, Present

_ENOUGH = 20
"""Bookings that must have come true, for others to be believed."""
_DAY = 24.0
_EARLIEST, _LATEST = -12.0, 72.0
"""Who came earlier or later than so many hours after the time booked, came for another reason."""
_RECENT_DAYS, _AHEAD_DAYS = 28, 28
_HARDLY = 0.02


class Kept(NamedTuple):
    """How bookings are kept."""

    hours: Array
    """From the time booked to coming, where beds were free; rising."""
    waited: Array
    """The same, with those for whom a bed had to become free."""
    missed: Array
    """Of bookings to which nobody came: how long before their time they were cancelled, 0 for the
    others; rising."""

    def missed_from(self, ahead: float) -> int:
        """How many of those still booked so many hours before, and a day before, were missed."""
        return int(np.searchsorted(self.missed, max(ahead, _DAY)))

    def missing(self, missed: int, chance: np.random.Generator | None) -> float:
        """The share that does not come: drawn as uncertain as it is, or estimated."""
        came = len(self.waited)
        if chance is None:
            return missed / max(1, missed + came)
        return float(chance.beta(missed + 0.5, came + 0.5))


@dataclass(frozen=True)
class Booked:
    """What bookings are worth; without enough, nothing is made of them."""

    kept: Mapping[str, Kept] = field(default_factory=dict)
    """By unit, where it has enough of its own."""
    everywhere: Kept | None = None
    comes_as: Mapping[str, str] = field(default_factory=dict)
    """By unit to which most who were booked came, their class."""
    leads: Mapping[tuple[str, str], Array] = field(default_factory=dict)
    """By class and unit, for each who came: hours from booking to coming (0: not booked), and since
    the window began."""

    def of(self, unit: str) -> Kept | None:
        """How bookings to a unit are kept."""
        return self.kept.get(unit, self.everywhere)

    def not_yet_known(self, class_: str, unit: str, day: int) -> float:
        """The share of those who come so many days ahead that is not booked by now."""
        leads = self.leads.get((class_, unit))
        if self.everywhere is None or leads is None:
            return 1.0
        # Who came in the first days cannot have been booked earlier than these.
        days = leads[leads[:, 1] >= _DAY * (day + 1), 0] / _DAY
        return float(np.clip(day + 1 - days, 0.0, 1.0).mean()) if len(days) else 1.0

    def units(self, streams: Iterable[Arrivals]) -> set[str]:
        """The units to which the booked come in a model: it has them at random, and only so.

        Where a model of one's own says when patients come, these are the booked themselves.
        """
        rated, otherwise = set[tuple[str, str]](), set[tuple[str, str]]()
        for stream in streams:
            (rated if stream.rated else otherwise).add((stream.class_, stream.unit))
        found = rated - otherwise
        return {unit for unit, class_ in self.comes_as.items() if (class_, unit) in found}

    def streams(self, streams: Sequence[Arrivals]) -> Iterator[Arrivals]:
        """Streams without those of whom it is known already that they come, day by day."""
        by_itself = set(self.comes_as) - self.units(streams)
        for stream in streams:
            if not stream.rated or stream.unit in by_itself:
                yield stream
                continue
            shares = [
                self.not_yet_known(stream.class_, stream.unit, day) for day in range(_AHEAD_DAYS)
            ]
            yield from [stream] if min(shares) > 1 - _HARDLY else _by_day(stream, shares)

    def coming(
        self,
        plans: Iterable[Planned],
        now: float,
        full: Fullness,
        chance: np.random.Generator | None,
    ) -> tuple[list[Arrivals], list[Present]]:
        """Who is booked from now on, and who is waiting since a time that was booked."""
        ahead, due_now = (
            defaultdict[tuple[str, int], list[float]](list),
            defaultdict[str, list[float]](list),
        )
        waiting: list[Present] = []
        for plan in sorted(plans, key=lambda plan: (plan.unit, plan.at_hour or 0.0)):
            kept = self.of(plan.unit)
            if plan.unit not in self.comes_as or kept is None or plan.at_hour is None:
                continue
            passed = now - plan.at_hour
            if passed < kept.hours[0]:
                ahead[plan.unit, kept.missed_from(-passed)].append(-passed)
            elif self._comes(kept, passed, chance):
                if passed > 0 and full.since(plan.unit, now) < now:
                    waiting.append(self._waiting(plan.unit, passed))
                else:
                    due_now[plan.unit].append(_rest(kept, passed, chance))
        booked = [
            self._booked(unit, hours, missed, chance)
            for (unit, missed), hours in sorted(ahead.items())
        ]
        late = [self._due_now(unit, hours) for unit, hours in sorted(due_now.items())]
        return [*booked, *late], waiting

    def _comes(self, kept: Kept, passed: float, chance: np.random.Generator | None) -> bool:
        """Whether one comes who has not come so long after the time booked (Bayes)."""
        missing = kept.missing(kept.missed_from(0.0), chance)
        later = (1 - missing) * float((kept.waited > passed).mean())
        if not later:
            return False
        return later / (later + missing) > (0.5 if chance is None else chance.random())

    def _booked(
        self, unit: str, hours: Sequence[float], missed: int, chance: np.random.Generator | None
    ) -> Arrivals:
        kept = self.of(unit)
        assert kept is not None  # noqa: S101
        # Lateness is not negative in a model: the earliest are due that much earlier.
        first = float(kept.hours[0])
        late = [round(float(hour) - first, 3) for hour in kept.hours]
        said: dict[str, Any] = {
            "booked": [round(max(0.0, hour + first), 3) for hour in sorted(hours)],
            "early_at_most_hours": 0.0,
            "no_show": round(kept.missing(missed, chance), 4),
        }
        if late[-1] > 0:
            said["lateness"] = {"observed": late}
        return self._arrivals(unit, "booked", said)

    def _due_now(self, unit: str, hours: Iterable[float]) -> Arrivals:
        return self._arrivals(
            unit, "due now", {"booked": [round(rest, 3) for rest in sorted(hours)]}
        )

    def _arrivals(self, unit: str, how: str, said: Mapping[str, Any]) -> Arrivals:
        class_ = self.comes_as[unit]
        return Arrivals.model_validate(
            {"class": class_, "unit": unit, "name": f"{class_} to {unit}, {how}", **said}
        )

    def _waiting(self, unit: str, passed: float) -> Present:
        return Present.model_validate(
            {"class": self.comes_as[unit], "unit": unit, "waiting": True, "for_hours": passed}
        )


def _rest(kept: Kept, passed: float, chance: np.random.Generator | None) -> float:
    """Hours until one comes who is late by so much; at once where nobody was ever so late."""
    later = kept.hours[kept.hours > passed]
    if not len(later):
        return 0.0
    at = len(later) // 2 if chance is None else int(chance.integers(len(later)))
    return float(later[at]) - passed


def _by_day(stream: Arrivals, shares: Sequence[float]) -> Iterator[Arrivals]:
    """A stream in spans of days of which about the same share is not known yet."""
    begun = 0
    for day in range(1, len(shares) + 1):
        last = day == len(shares)
        if not last and abs(shares[day] - shares[begun]) < _HARDLY:
            continue
        begins = max(_DAY * begun, stream.begins_after_hours)
        ends = min(inf if last else _DAY * day, stream.ends_after_hours or inf)
        if shares[begun] > _HARDLY / 4 and begins < ends:
            yield _thinned(stream, shares[begun], begins, ends)
        begun = day


def _thinned(stream: Arrivals, share: float, begins: float, ends: float) -> Arrivals:
    fewer: dict[str, Any] = {
        "name": f"{stream.label}, not booked before day {begins / _DAY:.0f}",
        "begins_after_hours": begins,
        "ends_after_hours": None if ends == inf else ends,
    }
    for rate in ("per_day", "per_hour"):
        if (mean := getattr(stream, rate)) is not None:
            fewer[rate] = mean * share
    if stream.rates is not None:
        fewer["rates"] = tuple(rate * share for rate in stream.rates)
    return stream.model_copy(update=fewer)


def booked_fit(
    plans: Iterable[Planned], legs: Iterable[Leg], start: float, end: float, full: Fullness
) -> Booked:
    """What the bookings of a window were worth, given who came."""
    entered = {leg.encounter_id: leg for leg in legs if leg.enters}
    last = booked_for(plans, entered.values())
    hours, waited = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    missed, comes_as = defaultdict[str, list[float]](list), defaultdict[str, Counter[str]](Counter)
    for plan in last.values():
        due, leg = plan.at_hour or 0.0, entered.get(plan.encounter_id)
        if not start <= due <= end - _DAY:
            continue
        if leg is None:
            missed[plan.unit].append(0.0 if plan.ended is None else max(0.0, due - plan.ended))
        elif _EARLIEST <= leg.asked - due <= _LATEST:
            waited[plan.unit].append(leg.asked - due)
            if leg.unit == plan.unit:
                comes_as[plan.unit][leg.class_] += 1
                if full.since(leg.unit, leg.asked) == leg.asked:
                    hours[plan.unit].append(leg.asked - due)
    # A booking to a unit where hardly any of them come does not say who comes where.
    believed = {
        unit: classes.most_common(1)[0][0]
        for unit, classes in comes_as.items()
        if classes.total() >= len(waited[unit]) / 2
    }
    kept = {unit: _kept(hours[unit], waited[unit], missed[unit]) for unit in believed}
    together = _kept(
        *(list(chain.from_iterable(of[u] for u in believed)) for of in (hours, waited, missed))
    )
    if len(together.waited) < _ENOUGH:
        return Booked()
    return Booked(
        {unit: of for unit, of in kept.items() if len(of.waited) >= _ENOUGH},
        together,
        believed,
        _leads(
            {key: plan for key, plan in last.items() if plan.unit in believed},
            entered.values(), start, end,
        ),
    )  # fmt: skip


def _kept(hours: Sequence[float], waited: Sequence[float], missed: Sequence[float]) -> Kept:
    """Where beds were hardly ever free, the others are the best that is known."""
    free = hours if len(hours) >= _ENOUGH // 2 else waited
    return Kept(*(np.sort(np.array(of, float)) for of in (free, waited, missed)))


def _leads(
    last: Mapping[str, Planned], entered: Iterable[Leg], start: float, end: float
) -> dict[tuple[str, str], Array]:
    """How long before they came patients were booked, of those who came lately."""
    since = max(start, end - _DAY * _RECENT_DAYS)
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for leg in entered:
        if leg.asked >= since:
            plan = last.get(leg.encounter_id)
            lead = 0.0 if plan is None else leg.asked - plan.stated
            found[leg.class_, leg.unit].append((lead, leg.asked - start))
    return {key: np.array(leads) for key, leads in found.items()}
