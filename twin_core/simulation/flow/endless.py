"""Numbers that no hospital has: times below nought, streams without end, ends before beginnings."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from twin_core.simulation.flow.arrivals import Arrivals
from twin_core.simulation.flow.durations import Duration
from twin_core.simulation.flow.steps import Step

if TYPE_CHECKING:
    from twin_core.simulation.flow.model import FlowModel

MOST_BEDS, MOST_PER_HOUR = 100_000, 1e6
MOST_WAITING, MOST_DAY_VARIATION = 1_000_000_000, 10.0
LEAST_SPREAD, MOST_SPREAD, MOST_SIGMA, LEAST_SHAPE = 1e-100, 1e3, 30.0, 0.01
"""Beyond these a number is a slip of the pen, and no computer has room for it."""


def absurd(model: "FlowModel") -> list[str]:
    """What cannot be whatever the rest of the model says, each with its place."""
    return [
        *_times(model),
        *_units(model),
        *(why for stream in model.arrivals for why in _without_end(model, stream)),
        *_whiles(model),
    ]


def nobody_comes(model: "FlowModel") -> bool:
    """Whether nobody is there at the start, and no stream ever brings anybody."""
    return not model.present and not any(map(_brings, model.arrivals))


def timeless(steps: Mapping[tuple[str, str], Step]) -> Iterator[str]:
    """Rings of steps that take no time, in which patients would go round for ever at once."""
    onward = {
        key: [(to.class_, to.unit) for to in step.then if to.unit is not None and to.share > 0]
        for key, step in steps.items()
        if all(map(_never_lasts, filter(None, (step.stay, *step.stay_if.values()))))
    }
    for start, step in steps.items():
        reached, ahead = set[tuple[str, str]](), list(onward.get(start, ()))
        while ahead:
            key = ahead.pop()
            if key not in reached:
                reached.add(key)
                ahead += onward.get(key, ())
        if start in reached:
            yield f"{step.place}: a ring of stays that last no time leads back to it"


def _brings(stream: Arrivals) -> bool:
    if stream.slots is not None or stream.booked is not None:
        return stream.no_show < 1
    return not stream.rated or max(stream.hourly()) > 0


def _times(model: "FlowModel") -> Iterator[str]:
    for place, duration in durations_of(model):
        for part in duration.mix or (duration,):
            if part.family == "normal" and part.mean is not None and part.mean <= 0:
                yield f"{place}: negative on average (a normal of mean {part.mean:g})"
            yield from (f"{place}: {why}" for why in _unheard_of(part))


def _unheard_of(duration: Duration) -> Iterator[str]:
    """Spreads and shapes that no length of time has, and that no number can hold."""
    of = duration
    spread = of.cv if of.sd is None or not of.mean else of.sd / abs(of.mean)
    if spread and not LEAST_SPREAD <= spread <= MOST_SPREAD:
        yield f"a spread of {spread:g} times the mean"
    sigma = of.sigma if of.p90 is None or not of.median else math.log(of.p90 / of.median)
    if sigma is not None and sigma > MOST_SIGMA:
        yield f"a sigma of {sigma:g}"
    if of.shape is not None and of.shape < LEAST_SHAPE:
        yield f"a shape of {of.shape:g}"


def durations_of(model: "FlowModel") -> Iterator[tuple[str, Duration]]:
    """Every length of time that cannot be negative, with its place."""
    for unit in model.units:
        for name in ("stay", "cleaning", "patience"):
            if (duration := getattr(unit, name)) is not None:
                yield f"unit {unit.code}, {name}", duration
    for route in model.routes:
        place = f"route of {route.class_} in {route.unit}"
        for name in ("stay", "patience"):
            if (duration := getattr(route, name)) is not None:
                yield f"{place}, {name}", duration
        for to, duration in route.stay_if.items():
            yield f"{place}, stay_if {to}", duration
    for stream in model.arrivals:
        if stream.interarrival is not None:
            yield f"arrivals {stream.label}, interarrival", stream.interarrival


def _units(model: "FlowModel") -> Iterator[str]:
    try:
        ZoneInfo(model.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"time_zone: there is no time zone {model.time_zone}"
    for unit in model.units:
        if unit.beds != "unlimited" and unit.beds > MOST_BEDS:
            yield f"unit {unit.code}, beds: {unit.beds} are too many (`unlimited` sets no limit)"
        if unit.waiting_places is not None and unit.waiting_places > MOST_WAITING:
            yield f"unit {unit.code}, waiting_places: {unit.waiting_places} are too many"
        if unit.code in unit.overflow:
            yield f"unit {unit.code}, overflow: it cannot help itself out"
    for code, beds in model.being_cleaned.items():
        if beds < 0:
            yield f"being_cleaned, {code}: {beds} beds"


def _without_end(model: "FlowModel", stream: Arrivals) -> Iterator[str]:
    """Streams of which endlessly many come at one instant."""
    place = f"arrivals {stream.label}"
    if stream.interarrival is not None and _never_lasts(stream.interarrival):
        yield f"{place}, interarrival: endlessly many come at once, with no time between them"
    elif stream.interarrival is not None and average_of(stream.interarrival) * MOST_PER_HOUR < 1:
        yield f"{place}, interarrival: {average_of(stream.interarrival):g} h on average are too few"
    if stream.rated and max(stream.hourly()) > MOST_PER_HOUR:
        yield f"{place}: {max(stream.hourly()):g} an hour are too many"
    if stream.day_variation and not LEAST_SPREAD <= stream.day_variation <= MOST_DAY_VARIATION:
        yield f"{place}, day_variation: {stream.day_variation:g} is no hospital's"
    if stream.saturated:
        yield from _always_waiting(model, stream, place)


def _always_waiting(model: "FlowModel", stream: Arrivals, place: str) -> Iterator[str]:
    """Where somebody always waits, waiting has to be possible and to end in a bed for a while."""
    unit = next((unit for unit in model.units if unit.code == stream.unit), None)
    if unit is None:
        return
    route = next(
        (r for r in model.routes if (r.class_, r.unit) == (stream.class_, stream.unit)), None
    )
    stay = (route and route.stay) or unit.stay
    patience = (route and route.patience) or unit.patience
    for wrong, why in (
        (unit.beds == "unlimited", f"{unit.code} has beds without limit"),
        (unit.waiting_places is not None or unit.balking, f"{unit.code} turns patients away"),
        (stay is not None and _never_lasts(stay), "stays last no time"),
        (patience is not None and _never_lasts(patience), "nobody waits any time"),
    ):
        if wrong:
            yield f"{place}, saturated: endlessly many come at once, for {why}"


def average_of(of: Duration) -> float:
    """About how many hours a duration takes; a weibull or lognormal by its median."""
    if of.mix is not None:
        return sum(part.share * average_of(part) for part in of.mix)
    values = of.observed or of.quantiles or of.between or (of.exactly or of.mean or of.median or 0,)
    if of.scale is not None:
        values = (of.scale * (of.shape or 1) if of.family == "gamma" else of.scale * math.log(2),)
    weights = of.weights if of.observed and of.weights else (1.0,) * len(values)
    mean = sum(map(math.prod, zip(values, weights, strict=True))) / sum(weights)
    return (mean + of.plus) * of.hours


def _never_lasts(duration: Duration) -> bool:
    """Whether a duration is always nought."""
    if duration.plus:
        return False
    if duration.mix is not None:
        return all(map(_never_lasts, duration.mix))
    values = duration.observed or duration.quantiles or duration.between
    if values is not None:
        return max(values) == 0 and duration.tail_mean is None
    return duration.exactly == 0


def _whiles(model: "FlowModel") -> Iterator[str]:
    whiles = [
        *((f"closures[{at}]", c.from_hours, c.to_hours) for at, c in enumerate(model.closures, 1)),
        *((f"surges[{at}]", s.from_hours, s.to_hours) for at, s in enumerate(model.surges, 1)),
    ]
    for place, begins, ends in whiles:
        if ends is not None and ends <= begins:
            yield f"{place}: ends at {ends:g} h, before it begins"
