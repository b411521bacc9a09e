"""The demonstration hospital as a patient flow: the same file, run by the kernel."""

import math
from collections.abc import Iterator
from statistics import NormalDist

from twin_core.simulation.flow.arrivals import Arrivals, Present
from twin_core.simulation.flow.durations import Duration
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import EVERY_DAY, Discharge, PatientClass, Route, Unit
from twin_core.simulation.model import DIED, HOME, Hospital, Spread
from twin_core.simulation.model import Unit as DemoUnit

EMERGENCY, PLANNED, DIRECT = "emergency", "planned", "direct"
_URGENT, _LESS_URGENT = 2, 4
_NORMAL = NormalDist()
_GOLDEN = (5**0.5 - 1) / 2
_LONGEST_HOURS = 21 * 24.0
"""As in the demonstration."""
_LIKE_HERE = ("emergency", "intensive", "ward", "day")


def flow_of(hospital: Hospital) -> FlowModel:
    """What moves patients in a demonstration hospital, without its paperwork and mistakes.

    Left out is what neither begins, ends nor delays a stay in a bed: operations (the bed is kept),
    leave, walks to another unit, swaps, and slips; patients leave for the lounge as they leave.
    """
    return FlowModel(
        name=hospital.name,
        facility=hospital.code,
        time_zone=hospital.time_zone,
        swaps="at_once",
        units=tuple(_unit(hospital, unit) for unit in hospital.units if unit.kind in _LIKE_HERE),
        classes=(
            PatientClass(code=EMERGENCY, priority=_URGENT, encounter_class="EMER"),
            PatientClass(code=DIRECT, priority=_URGENT),
            PatientClass(code=PLANNED, priority=_LESS_URGENT),
        ),
        arrivals=(_emergency(hospital), *_planned(hospital), *_direct(hospital)),
        routes=(_through_emergency(hospital),),
        present=tuple(_already_here(hospital)),
    )


def _duration(spread: Spread, unit: str) -> Duration:
    return Duration.model_validate({"median": spread.median, "p90": spread.p90, "unit": unit})


def _unit(hospital: Hospital, unit: DemoUnit) -> Unit:
    names = tuple(f"{place.room}-{place.bed}" for place in unit.places(hospital.code))
    shares = sum(unit.then.values())
    leaving = Discharge.model_validate({"by_hour": hospital.departures.by_hour})
    return Unit.model_validate(
        {
            "code": unit.code,
            "name": unit.name,
            "kind": unit.kind,
            "service": unit.service,
            "beds": len(names),
            "bed_names": names,
            "cleaning": unit.cleaning_minutes and _duration(unit.cleaning_minutes, "minutes"),
            "overflow": unit.overflow,
            "overflow_after_hours": hospital.habits.patience_hours,
            "discharge": leaving if unit.kind in ("ward", "intensive") else None,
            "stay": unit.stay_days and _duration(unit.stay_days, "days"),
            "then": {to: share / shares for to, share in unit.then.items()},
        }
    )


def _already_here(hospital: Hospital) -> Iterator[Present]:
    """Those in the middle of their stay at the start, as evenly spread as they would be on average.

    Longer stays are found under way more often, at any moment of them alike.
    """
    for unit in hospital.units:
        spread = unit.stay_days
        there = round(unit.filled_at_start * sum(1 for _ in unit.places(hospital.code)))
        for at in range(there if spread is not None else 0):
            assert spread is not None  # noqa: S101
            sigma = math.log(spread.p90 / spread.median) / _NORMAL.inv_cdf(0.9)
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
    return Route.model_validate(
        {
            "class": EMERGENCY,
            "unit": ways.unit,
            "stay": _duration(ways.treatment_minutes, "minutes"),
            "then": {HOME: home, DIED: ways.died, **admitted},
            "patience": _duration(ways.leaves_unseen_after_minutes, "minutes"),
            "impatient": ways.leaves_unseen,
        }
    )


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
