"""One unit as its stays show it: how long they last, when they end, and where they lead."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from twin_core.simulation.calibrate.chances import chi_square_p
from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.diverted import Overflow
from twin_core.simulation.calibrate.durations import (
    EXPONENTIAL,
    LOGNORMAL,
    Array,
    Ended,
    Fit,
    ended,
    fitted,
)
from twin_core.simulation.calibrate.fullness import Fullness
from twin_core.simulation.calibrate.history import BedPeriod, Spot
from twin_core.simulation.calibrate.lengths import LengthFit, length_fit
from twin_core.simulation.calibrate.shares import SharesFit, differ, shares_fit
from twin_core.simulation.calibrate.streams import Clock

_RARE = 0.001
"""A difference this improbable by chance is taken as one."""
_ENOUGH = 60
"""Stays from which a class or destination may have a length of stay of its own."""
_PRIOR_LEAVING = 48.0
"""Patients that the hospital's hours of leaving are worth in a unit."""
_DAY = 24.0
_LET_GO = frozenset({"home", "care_home", "transferred"})
"""Exits that wait for the hour of leaving: who dies or leaves against advice does not."""
_SOON_HOURS = 1.0
"""A bed reported as dirty this soon after its patient left was dirty from then on."""


class Stay(NamedTuple):
    """A stay in bed as far as it was observed, in hours."""

    class_: str
    next: str | None
    lasted: float
    """How long in all, or so far."""
    entered: float
    """How long it had lasted at the start of the window; 0 where it began later."""
    ready: float
    """How long it had lasted when it may have been over: since then the next unit was full."""
    hour: float
    """The local hour of the day when it ended, or at the end of the window."""


@dataclass(frozen=True)
class UnitFit:
    """Everything estimated of a unit."""

    code: str
    kind: str
    beds: int | None
    """None where nobody names its beds."""
    bed_names: tuple[str, ...]
    most_in_bed: int
    stay: LengthFit
    then: SharesFit
    leaving: SharesFit | None
    """Shares of the 24 hours of the day at which patients leave the hospital from here."""
    cleaning: LengthFit | None
    patience: LengthFit | None
    walk_hours: float
    """Typical time to a free bed: part of the stay, not of the wait."""
    stays: tuple[Stay, ...]
    observed: Ended
    """The stays as they went into the estimate."""
    routes: Mapping[str, "RouteFit"] = field(default_factory=dict)
    """By class, where one differs."""
    overflow: Overflow | None = None
    """Which units take its patients while it is full."""


@dataclass(frozen=True)
class RouteFit:
    """What holds for one class in one unit, where it differs from the unit."""

    class_: str
    unit: str
    stay: LengthFit | None
    stay_if: Mapping[str, LengthFit]
    then: SharesFit | None


class Waits(NamedTuple):
    """Waits for a first bed: how long, and whether the patient left without one."""

    hours: tuple[float, ...]
    unseen: tuple[bool, ...]


def walk_hours(legs: Iterable[Leg], fullness: Fullness) -> float:
    """The usual time to a first bed while some are free: registration, and the way there."""
    waits = [
        leg.bedded - leg.asked
        for leg in legs
        if leg.bedded is not None and leg.asked < leg.bedded
        if fullness.since(leg.unit, leg.bedded) == leg.bedded
    ]
    return float(np.median(waits)) if len(waits) >= _ENOUGH else 0.0


def stays_of(
    legs: Iterable[Leg], clock: Clock, walk: float, fullness: Fullness
) -> tuple[Stay, ...]:
    """The stays in bed whose beginning is known, that went on at some time of the window."""
    kept = [
        (leg, max(leg.asked, leg.bedded - walk))
        for leg in legs
        if leg.bedded is not None and not leg.inferred
        if leg.ended is None or leg.ended > clock.start
    ]
    seen_until = [clock.end if leg.ended is None else leg.ended for leg, _ in kept]
    hours = clock.hour_of_week(seen_until) % _DAY
    return tuple(
        Stay(
            leg.class_,
            leg.next,
            until - begun,
            max(0.0, clock.start - begun),
            max(0.0, fullness.since(leg.next or "", until) - begun),
            float(hour),
        )
        for (leg, begun), until, hour in zip(kept, seen_until, hours, strict=True)
        if until > begun
    )


def waits_of(legs: Iterable[Leg], clock: Clock, walk: float) -> Waits:
    """Waits for a first bed that began in the window."""
    hours, unseen = [], []
    for leg in legs:
        if leg.asked < clock.start or leg.bedded == leg.asked:
            continue
        until = leg.bedded or leg.ended or clock.end
        hours.append(max(0.0, until - leg.asked - (walk if leg.bedded else 0.0)))
        unseen.append(leg.bedded is None and leg.ended is not None)
    return Waits(tuple(hours), tuple(unseen))


def patience_fit(waits: Waits) -> LengthFit | None:
    """How long patients wait for a bed before they leave unseen; None where hardly any does."""
    if sum(waits.unseen) < 5:
        return None
    low = np.maximum(np.array(waits.hours), 1e-3)
    return length_fit(ended(low, np.where(waits.unseen, low, np.inf)), (EXPONENTIAL,))


def hours_of_leaving(stays: Iterable[Stay]) -> Array:
    """Patients who left the hospital, by the hour of the day."""
    left = [int(stay.hour) % 24 for stay in stays if stay.next in _LET_GO]
    return np.bincount(left, minlength=24).astype(float)


def leaving_fit(stays: Sequence[Stay], everywhere: Array) -> SharesFit | None:
    """The hours at which patients leave, where it is those that decide, and not the length of stay.

    Where patients leave by the hour of the day a stay is over at some time of the 24 hours before;
    the likelihoods of the hours of leaving both ways decide by Akaike's criterion.
    """
    counts = hours_of_leaving(stays)
    if counts.sum() < _ENOUGH:
        return None
    prior = (everywhere + 0.5) / (everywhere + 0.5).sum()
    shares = (counts + _PRIOR_LEAVING * prior) / (counts.sum() + _PRIOR_LEAVING)
    out = [stay for stay in stays if stay.next in _LET_GO]
    lasted, entered = (np.array([getattr(s, n) for s in out]) for n in ("lasted", "entered"))
    by_length = fitted(LOGNORMAL, ended(lasted, lasted, entered))
    by_hour = fitted(LOGNORMAL, ended(lasted - _DAY, lasted, entered - _DAY / 2))
    if by_length is None or by_hour is None:
        return None
    hours = by_hour.log_likelihood + float((counts * np.log(shares)).sum())
    if by_length.log_likelihood >= hours - 23:
        return None
    return SharesFit(tuple(map(str, range(24))), shares, int(counts.sum()))


def observed(stays: Sequence[Stay], leaving: SharesFit | None, clock: Clock) -> Ended:
    """Stays as observations of how long a patient needs to stay.

    Where patients leave by the hour of the day, who left had been ready at some time of the day
    before, and who is still there may have been ready since the last hours of leaving.
    """
    lasted = np.array([stay.lasted for stay in stays])
    entered = np.array([stay.entered for stay in stays])
    ready = np.array([stay.ready for stay in stays])
    goes_on = np.array([stay.next is None for stay in stays])
    if leaving is None:
        low = np.where(goes_on, lasted, ready)
        return ended(low, np.where(goes_on, np.inf, lasted), np.minimum(entered, low))
    out = np.array([stay.next in _LET_GO for stay in stays])
    leaves = float(out.sum()) / max(1, int((~goes_on).sum()))
    since = _since_leaving(leaving.shares)
    now = since[np.array([int(stay.hour) % 24 for stay in stays])] * leaves
    at_start = since[int(clock.hour_of_week([clock.start])[0]) % 24] * leaves
    low = np.where(goes_on, lasted - now, np.where(out, lasted - _DAY, ready))
    before = np.where(entered > 0, np.maximum(entered - at_start, 0), 0)
    return ended(low, np.where(goes_on, np.inf, lasted), np.minimum(before, np.maximum(low, 0)))


def _since_leaving(shares: Array) -> Array:
    """For each hour of the day, how long ago on average the last drawn hour of leaving was."""
    hours = np.arange(24)
    ago = (hours[:, None] + 0.5 - (hours[None, :] + 0.5)) % _DAY
    mean: Array = (ago * shares).sum(axis=1)
    return mean


def split(groups: Mapping[str, Ended], pooled: LengthFit) -> dict[str, LengthFit]:
    """Lengths of stay of their own for groups that differ (a likelihood ratio test)."""
    able = {name: of for name, of in groups.items() if of.events >= _ENOUGH}
    if len(able) < 1 or len(groups) < 2:
        return {}
    family = pooled.way.family if isinstance(pooled.way, Fit) else LOGNORMAL
    rest = [of for name, of in groups.items() if name not in able]
    parts = [*able.values(), *([together(rest)] if rest else [])]
    parts = [part for part in parts if part.events >= 5]
    own = [fitted(family, part) for part in parts]
    whole = fitted(family, together(parts)) if len(parts) > 1 else None
    if whole is None or any(fit is None for fit in own):
        return {}
    gained = sum(fit.log_likelihood for fit in own if fit is not None) - whole.log_likelihood
    if chi_square_p(2 * gained, family.parameters * (len(parts) - 1)) > _RARE:
        return {}
    fits = {name: length_fit(of) for name, of in able.items()}
    return {name: fit for name, fit in fits.items() if fit is not None}


def together(parts: Sequence[Ended]) -> Ended:
    """All observations of several parts."""
    return Ended(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def routes_of(
    unit: str, stays: Sequence[Stay], seen: Ended, stay: LengthFit
) -> dict[str, RouteFit]:
    """What holds for single classes of a unit, where they differ by more than chance."""
    classes = sorted({one.class_ for one in stays})
    of_class = {name: np.array([one.class_ == name for one in stays]) for name in classes}
    own = split({name: seen.where(which) for name, which in of_class.items()}, stay)
    known = {
        name: [one.next for one in stays if one.class_ == name and one.next is not None]
        for name in classes
    }
    big = {name: led for name, led in known.items() if len(led) >= _ENOUGH}
    rest = [led for name, led in known.items() if name not in big and led]
    groups = [*big.values(), *([list(chain(*rest))] if rest else [])]
    leads = len(groups) > 1 and differ(groups) < _RARE
    routes = {}
    for name in classes:
        those = [one for one in stays if one.class_ == name]
        then = then_fit(those) if leads and name in big else None
        towards = _by_destination(those, seen.where(of_class[name]), own.get(name, stay))
        if name in own or then or towards:
            routes[name] = RouteFit(name, unit, own.get(name), towards, then)
    return routes


def then_fit(stays: Sequence[Stay]) -> SharesFit | None:
    """Where stays lead; None where none has ended."""
    return shares_fit(
        [one.next for one in stays], [one.lasted for one in stays], [one.entered for one in stays]
    )


def _by_destination(stays: Sequence[Stay], seen: Ended, stay: LengthFit) -> dict[str, LengthFit]:
    """Lengths of stay by destination; stays that go on count for each by how likely it is."""
    led = np.array([one.next or "" for one in stays], object)
    names = [name for name in sorted(set(led) - {""})]
    groups = {name: seen.where(led == name) for name in names}
    fits = split(groups, stay)
    if not fits:
        return {}
    going = seen.where(led == "")
    counts = {name: float((led == name).sum()) for name in names}
    for _ in range(3):
        alive = {n: counts[n] * fits.get(n, stay).surviving(going.low) for n in names}
        total = np.maximum(sum(alive.values()), 1e-12)
        for name in list(fits):
            weighed = going._replace(weight=alive[name] / total)
            again = length_fit(together([groups[name], weighed]))
            fits[name] = again or fits[name]
    return fits


def cleaning_hours(
    periods: Iterable[BedPeriod], legs: Iterable[Leg], clock: Clock
) -> dict[str, Ended]:
    """By unit, how long beds are not ready after their patients have left."""
    left: dict[Spot, list[float]] = defaultdict(list)
    for leg in legs:
        if leg.ended is not None:
            left[leg.spot].append(leg.ended)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for period in periods:
        if period.status == "C" or period.from_hour < clock.start:
            continue
        since = [at for at in left[period.spot] if 0 <= period.from_hour - at <= _SOON_HOURS]
        begun = max(since) if since else period.from_hour
        until = clock.end if period.to_hour is None else period.to_hour
        found[period.spot.unit].append(
            (until - begun, np.inf if period.to_hour is None else until - begun)
        )
    return {
        unit: ended([low for low, _ in rows], [high for _, high in rows])
        for unit, rows in found.items()
    }


def most_in_bed(legs: Iterable[Leg], clock: Clock) -> int:
    """The most patients in beds of a unit at once, in the window."""
    changes = []
    for leg in legs:
        if leg.bedded is not None and (leg.ended is None or leg.ended > clock.start):
            changes.append((max(leg.bedded, clock.start), 1))
            changes.append((clock.end if leg.ended is None else leg.ended, -1))
    changes.sort()
    return int(np.cumsum([change for _, change in changes]).max(initial=0))


def bed_name(spot: Spot) -> str:
    """A bed as models name it: `room-bed`."""
    return f"{spot.room}-{spot.bed}" if spot.room else spot.bed
