"""The demonstration hospital as a patient flow: the same file, run by the kernel."""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

from twin_core.simulation.flow.arrivals import Arrivals, Present
from twin_core.simulation.flow.durations import HOURS_PER, Duration
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import EVERY_DAY, Discharge, PatientClass, Route, Theatre, Unit
from twin_core.simulation.model import DESTINATIONS, DIED, HOME, Hospital, PlannedStream, Spread
from twin_core.simulation.model import Unit as DemoUnit

EMERGENCY, PLANNED, DIRECT = "emergency", "planned", "direct"
IN_THEATRE, OPERATED = "in_theatre", "operated"
"""Planned patients while they are operated on, and after: in the bed they keep."""
_URGENT, _LESS_URGENT = 2, 4
_NORMAL = NormalDist()
_GOLDEN = (5**0.5 - 1) / 2
_PLASTIC = (0.7548776662466927, 0.5698402909980532)
"""Multiples of these fill a square evenly (Roberts 2018)."""
_LONGEST_HOURS = 21 * 24.0
"""As in the demonstration."""
_LIKE_HERE = ("emergency", "intensive", "ward", "day")
_AT_DESK, _CALLED, _MAKING_READY = 10.0, 8.0, 5.0
"""Minutes, as in the demonstration: of every treatment; from the waiting room to a bay, on average;
of every cleaning and of every operation, beside what the file says."""
_AGAIN_MINUTES = 17.0
"""Who is in theatre when the stay is over is looked for this often."""
_POINTS, _SHOWN = 2048, 60


def flow_of(hospital: Hospital) -> FlowModel:
    """What moves patients in a demonstration hospital, without its paperwork and mistakes.

    Operations are steps of a stay, in the bed that is kept; walks, leave that outlasts a stay, and
    the demonstration's own minutes lengthen stays by their mean. Left out, because a flow has no
    word for it: closures of single free beds at random, that an outlier becomes a patient of the
    unit that took them in, and swaps of neighbours. Patients leave for the lounge as they leave.
    """
    operating = [stream for stream in hospital.planned if stream.operated]
    return FlowModel(
        name=hospital.name,
        facility=hospital.code,
        time_zone=hospital.time_zone,
        swaps="on_deadlock",
        units=tuple(_unit(hospital, unit) for unit in hospital.units if unit.kind in _LIKE_HERE),
        theatres=(_theatre(hospital),) if operating else (),
        classes=(
            PatientClass(code=EMERGENCY, priority=_URGENT, encounter_class="EMER"),
            PatientClass(code=DIRECT, priority=_URGENT),
            *(PatientClass(code=code, priority=_LESS_URGENT)
              for code in (PLANNED, *((IN_THEATRE, OPERATED) if operating else ()))),
        ),
        arrivals=(_emergency(hospital), *_planned(hospital), *_direct(hospital)),
        routes=(
            _through_emergency(hospital),
            *(route for stream in hospital.planned for route in _booked(hospital, stream)),
        ),
        present=tuple(_already_here(hospital)),
    )  # fmt: skip


def _duration(spread: Spread, unit: str, plus: float = 0.0) -> Duration:
    said = {"median": spread.median, "p90": spread.p90, "unit": unit, "plus": round(plus, 4)}
    return Duration.model_validate(said)


def _sigma(spread: Spread) -> float:
    return math.log(spread.p90 / spread.median) / _NORMAL.inv_cdf(0.9)


def _mean(spread: Spread) -> float:
    return spread.median * math.exp(_sigma(spread) ** 2 / 2)


def _unit(hospital: Hospital, unit: DemoUnit) -> Unit:
    names = tuple(f"{place.room}-{place.bed}" for place in unit.places(hospital.code))
    leaving = Discharge.model_validate({"by_hour": hospital.departures.by_hour})
    cleaning = unit.cleaning_minutes
    return Unit.model_validate(
        {
            "code": unit.code,
            "name": unit.name,
            "kind": unit.kind,
            "service": unit.service,
            "beds": len(names),
            "bed_names": names,
            "cleaning": cleaning and _duration(cleaning, "minutes", _MAKING_READY),
            "overflow": unit.overflow,
            "overflow_after_hours": hospital.habits.patience_hours,
            "discharge": leaving if unit.kind in ("ward", "intensive") else None,
            "stay": _stay(hospital, unit),
            "then": _then(unit),
        }
    )


def _then(unit: DemoUnit, as_class: str = "") -> dict[str, float]:
    shares = sum(unit.then.values())
    return {
        to if to in DESTINATIONS else to + as_class: share / shares
        for to, share in unit.then.items()
    }


def _stay(hospital: Hospital, unit: DemoUnit) -> Duration | None:
    """With what leave and walks to other units add to it on average."""
    if unit.stay_days is None:
        return None
    return _stay_of(unit.stay_days, _added(hospital, unit))


def _stay_of(spread: Spread, added: float) -> Duration:
    return _duration(spread, "days", added / 24)


def _added(hospital: Hospital, unit: DemoUnit) -> float:
    onward = sum(share for to, share in _then(unit).items() if to not in DESTINATIONS)
    walk = _mean(hospital.habits.transport_minutes) * HOURS_PER["minutes"]
    return _on_leave(hospital, unit) + onward * walk


def _on_leave(hospital: Hospital, unit: DemoUnit) -> float:
    """Hours by which leave lengthens stays on average: it may have begun before the stay is over.

    Leaves begin at a rate; one of length L outlasts the stay by L^2 / 2 hours of beginnings.
    """
    away, sigma = hospital.habits.leave_hours, _sigma(hospital.habits.leave_hours)
    second = away.median**2 * math.exp(2 * sigma**2) + 2 * 2.0 * _mean(away) + 2.0**2
    return unit.leaves_per_patient_day / 24 * second / 2


def _already_here(hospital: Hospital) -> Iterator[Present]:
    """Those in the middle of their stay at the start, as evenly spread as they would be on average.

    Longer stays are found under way more often, at any moment of them alike.
    """
    for unit in hospital.units:
        spread = unit.stay_days
        there = round(unit.filled_at_start * sum(1 for _ in unit.places(hospital.code)))
        for at in range(there if spread is not None else 0):
            assert spread is not None  # noqa: S101
            sigma = _sigma(spread)
            place = _NORMAL.inv_cdf((at + 0.5) / there)
            whole = 24 * spread.median * math.exp(sigma * (sigma + place))
            past = min(whole * (at * _GOLDEN % 1.0), _LONGEST_HOURS)
            yield Present.model_validate(
                {"class": DIRECT, "unit": unit.code, "for_hours": round(past, 2)}
            )


def _through_emergency(hospital: Hospital) -> Route:
    ways = hospital.emergency
    home = 1.0 - ways.admitted - ways.died
    wards = sum(ways.admitted_to.values())
    admitted = {to: ways.admitted * share / wards for to, share in ways.admitted_to.items()}
    in_bay = _AT_DESK + (1 - ways.straight_to_bay) * _CALLED
    and_away = in_bay + 1.0 + _mean(hospital.habits.transport_minutes)
    return Route.model_validate(
        {
            "class": EMERGENCY,
            "unit": ways.unit,
            "stay": _duration(ways.treatment_minutes, "minutes", in_bay),
            "stay_if": dict.fromkeys(
                admitted, _duration(ways.treatment_minutes, "minutes", and_away)
            ),
            "then": {HOME: home, DIED: ways.died, **admitted},
            "patience": _duration(ways.leaves_unseen_after_minutes, "minutes"),
            "impatient": ways.leaves_unseen,
        }
    )


def _theatre(hospital: Hospital) -> Theatre:
    unit = hospital.unit(hospital.theatre.unit)
    beds = sum(1 for _ in unit.places(hospital.code))
    return Theatre(code=unit.code, name=unit.name, theatres=beds)


def _booked(hospital: Hospital, stream: PlannedStream) -> Iterator[Route]:
    """Stays of planned patients: with an operation, until it begins, while it lasts, and the rest.

    Beds are given to planned patients after urgent ones; once they are there, who has to go on is
    as urgent as anybody.
    """
    unit, theatre = hospital.unit(stream.unit), hospital.theatre
    onward = _then(unit, "/" + DIRECT)
    if not stream.operated:
        yield Route.model_validate({"class": PLANNED, "unit": unit.code, "then": onward})
        return
    inside, after = (f"{unit.code}/{code}" for code in (IN_THEATRE, OPERATED))
    course = _course(hospital, stream)
    during = _duration(theatre.operation_minutes, "minutes", _MAKING_READY)
    others = {to: (1 - course.operated) * share for to, share in onward.items()}
    said: tuple[dict[str, Any], ...] = (
        {
            "class": PLANNED,
            "stay": course.without,
            "stay_if": {inside: course.before},
            "then": {inside: course.operated, **others},
        },
        {"class": IN_THEATRE, "stay": during, "then": {after: 1.0}, "needs": {theatre.unit: 1}},
        {"class": OPERATED, "stay": course.rest, "then": onward},
    )
    for one in said:
        yield Route.model_validate({"unit": unit.code} | one)


class _Course(NamedTuple):
    """A stay with an operation, and one without."""

    operated: float
    without: Duration
    before: Duration
    rest: Duration


def _course(hospital: Hospital, stream: PlannedStream) -> _Course:
    """Stays divided by operations; who would have left before theirs leaves without it."""
    unit, theatre = hospital.unit(stream.unit), hospital.theatre
    assert unit.stay_days is not None  # noqa: S101
    added, minute = _added(hospital, unit), HOURS_PER["minutes"]
    before, rest, gone = [], [], []
    for n in range(_POINTS):
        early, late = ((0.5 + n * step) % 1.0 for step in _PLASTIC)
        whole = 24 * _drawn(unit.stay_days, (n + 0.5) / _POINTS) + added
        begins = (1.0 + _drawn(theatre.begins_after_minutes, early)) * minute
        lasts = (_MAKING_READY + _drawn(theatre.operation_minutes, late)) * minute
        if whole < begins:
            gone.append(whole)
            continue
        before.append(begins)
        left = whole - begins - lasts
        rest.append(left if left > 0 else late * _AGAIN_MINUTES * minute)
    operated = stream.operated * len(before) / _POINTS
    without: dict[str, Any] = _stay_of(unit.stay_days, added).model_dump(exclude_unset=True)
    if gone:
        never = (1 - stream.operated) / (1 - operated)
        short = _as_drawn(sorted(gone)).model_dump(exclude_unset=True)
        without = {"mix": [without | {"share": never}, short | {"share": 1 - never}]}
    return _Course(
        round(operated, 6),
        Duration.model_validate(without),
        _as_drawn(sorted(before)),
        _as_drawn(sorted(rest)),
    )


def _drawn(spread: Spread, share: float) -> float:
    return spread.median * math.exp(_sigma(spread) * _NORMAL.inv_cdf(share))


def _as_drawn(hours: list[float]) -> Duration:
    """Ordered durations as quantiles; the last hundredth as a tail."""
    last = len(hours) * 99 // 100
    shown = [round(hours[last * n // _SHOWN], 3) for n in range(_SHOWN + 1)]
    beyond = hours[last:]
    said = {
        "quantiles": shown,
        "at": [round(0.99 * n / _SHOWN, 6) for n in range(_SHOWN + 1)],
        "tail_mean": round(sum(beyond) / len(beyond) - shown[-1], 3),
    }
    return Duration.model_validate(said)


def _emergency(hospital: Hospital) -> Arrivals:
    ways = hospital.emergency
    weekdays = {day: ways.by_weekday.get(day, 1.0) for day in EVERY_DAY}
    return Arrivals.model_validate(
        {
            "class": EMERGENCY,
            "unit": ways.unit,
            "per_day": ways.arrivals_per_day * sum(weekdays.values()) / 7,
            "by_hour": ways.by_hour,
            "by_weekday": weekdays,
        }
    )


def _planned(hospital: Hospital) -> list[Arrivals]:
    return [
        Arrivals.model_validate(
            {
                "class": PLANNED,
                "unit": stream.unit,
                "per_day": sum(stream.by_weekday.values()) / 7,
                "by_weekday": stream.by_weekday,
                "by_hour": [float(_within(hour, stream.arrive_between)) for hour in range(24)],
            }
        )
        for stream in hospital.planned
    ]


def _within(hour: int, between: tuple[int, int]) -> bool:
    return between[0] <= hour < between[1]


def _direct(hospital: Hospital) -> list[Arrivals]:
    return [
        Arrivals.model_validate({"class": DIRECT, "unit": stream.unit, "per_day": stream.per_day})
        for stream in hospital.direct
    ]
