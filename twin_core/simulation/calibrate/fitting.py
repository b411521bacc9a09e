"""A hospital calibrated: from its history to a model with the uncertainty of every number."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from pydantic import ValidationError

from twin_core.errors import UsageError
from twin_core.simulation.calibrate.announced import Announced, announced_fit
from twin_core.simulation.calibrate.booked import Booked, booked_fit
from twin_core.simulation.calibrate.courses import Courses, Leg, courses_of
from twin_core.simulation.calibrate.diverted import Diverted, as_asked, diverted, overflow_of
from twin_core.simulation.calibrate.durations import Ended, ended
from twin_core.simulation.calibrate.fullness import Fullness
from twin_core.simulation.calibrate.history import PLANNED, BedPeriod, History
from twin_core.simulation.calibrate.lengths import LengthFit, length_fit
from twin_core.simulation.calibrate.streams import Clock, StreamFit, stream_fit
from twin_core.simulation.calibrate.wards import (
    RouteFit,
    Stay,
    UnitFit,
    bed_name,
    cleaning_hours,
    hours_of_leaving,
    leaving_fit,
    most_in_bed,
    observed,
    patience_fit,
    routes_of,
    stays_of,
    then_fit,
    together,
    waits_of,
    walk_hours,
)
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import EXITS, Discharge, PatientClass, Route, Unit
from twin_core.simulation.flow.provenance import Provenance

_URGENT, _LESS_URGENT = 2, 4
_URGENCY = {PLANNED: _LESS_URGENT, "ambulatory": _LESS_URGENT}
_ENCOUNTER = {"emergency": "EMER", "ambulatory": "AMB", "observation": "OBSENC"}
_FEW = 5
"""Stays that must have ended in a unit, for it to be one of the model."""
_FEW_CLEANED = 20
_FEW_CLOSED = 5


@dataclass(frozen=True)
class Calibration:
    """What a window of history says of a hospital.

    `model` is the most likely hospital; `drawn` is one of those the history does not rule out.
    """

    learnt: History
    """The history the numbers were estimated from."""
    history: History
    """The history that ends where a forecast begins."""
    courses: Courses
    units: tuple[UnitFit, ...]
    streams: tuple[StreamFit, ...]
    announced: Announced = field(default_factory=Announced)
    """What announced discharges are worth."""
    booked: Booked = field(default_factory=Booked)
    """What booked admissions are worth."""

    @cached_property
    def model(self) -> FlowModel:
        """The model with every number as estimated, and nobody in it."""
        return self._assembled(None)

    def drawn(self, chance: np.random.Generator) -> FlowModel:
        """The model with every estimated number drawn as uncertain as it is."""
        return self._assembled(chance)

    @property
    def closed(self) -> tuple[BedPeriod, ...]:
        """When beds were closed."""
        return tuple(period for period in self.history.bed_periods if period.status == "C")

    @cached_property
    def diverted(self) -> tuple[Diverted, ...]:
        """Who was given a bed of another unit than was asked for, in the history learnt from."""
        return diverted(self.learnt.plans, self.courses.legs)

    @cached_property
    def closing(self) -> LengthFit | None:
        """How long beds stay closed; None where too few were seen to open again."""
        start, end = self.history.window
        begun = [max(period.from_hour, -1e9) for period in self.closed]
        until = [end if period.to_hour is None else period.to_hour for period in self.closed]
        lasted = np.array(until) - np.array(begun)
        goes_on = np.array([period.to_hour is None for period in self.closed], bool)
        seen = ended(
            lasted, np.where(goes_on, np.inf, lasted), np.maximum(0, start - np.array(begun))
        )
        return length_fit(seen) if seen.events >= _FEW_CLOSED else None

    def lengths(self) -> Iterator[tuple[str, LengthFit]]:
        """Every length of time that was estimated, with what it is of."""
        for unit in self.units:
            yield f"{unit.code} stay", unit.stay
            if unit.cleaning is not None:
                yield f"{unit.code} cleaning", unit.cleaning
            if unit.patience is not None:
                yield f"{unit.code} patience", unit.patience
            for route in unit.routes.values():
                part = f"{route.class_} in {unit.code} stay"
                if route.stay is not None:
                    yield part, route.stay
                for name, length in route.stay_if.items():
                    yield f"{part} if {name}", length

    def unit(self, code: str) -> UnitFit:
        """What was estimated of a unit."""
        return next(unit for unit in self.units if unit.code == code)

    def at(self, instant: datetime, history: History | None = None) -> "Calibration":
        """The same estimates with the hospital as it stood at another instant of a history."""
        until = (history or self.history).until(instant)
        return replace(self, history=until, courses=courses_of(until))

    @cached_property
    def fullness(self) -> Fullness:
        """When units were full, up to where a forecast begins."""
        beds = {unit.code: unit.beds for unit in self.units if unit.beds is not None}
        return fullness_of(beds, self.history, self.courses)

    def _assembled(self, chance: np.random.Generator | None) -> FlowModel:
        streams = tuple(stream.arrivals(chance) for stream in self.streams)
        units = tuple(_unit(unit, chance) for unit in self.units)
        routes = tuple(
            _route(route, chance) for unit in self.units for route in unit.routes.values()
        )
        return _possible(
            name=f"{self.history.facility}, calibrated",
            facility=self.history.facility,
            time_zone=str(self.history.zone),
            swaps="at_once",
            units=units,
            classes=tuple(_class(code) for code in self._classes()),
            arrivals=streams,
            routes=routes,
            calibrated_from=self.provenance,
        )

    @property
    def provenance(self) -> Provenance:
        """Which history the estimates come from."""
        return Provenance(
            window_start=self.learnt.start,
            window_end=self.learnt.end,
            known_at=self.learnt.known_at,
            batches=self.learnt.position,
            version=version("wardtwin"),
            stays=sum(len(unit.stays) for unit in self.units),
        )

    def _classes(self) -> list[str]:
        return sorted({leg.class_ for leg in self.courses.legs})


def calibrated(history: History) -> Calibration:
    """What the history of a window says of a hospital.

    Raises UsageError where it tells of hardly any finished stay in any unit.
    """
    courses, clock = courses_of(history), Clock(history.zone, *history.window)
    by_unit = courses.by_unit()
    named = {
        code: () if code in courses.bedless else history.beds.get(code, ()) for code in by_unit
    }
    most = {code: most_in_bed(legs, clock) for code, legs in by_unit.items()}
    beds = {code: max(len(spots), most[code]) for code, spots in named.items() if spots}
    full = fullness_of(beds, history, courses)
    walks = {code: walk_hours(legs, full) for code, legs in by_unit.items()}
    stays = {code: stays_of(legs, clock, walks[code], full) for code, legs in by_unit.items()}
    usable = {code for code, of in stays.items() if sum(s.next is not None for s in of) >= _FEW}
    rules = overflow_of(diverted(history.plans, courses.legs), usable & beds.keys())
    asked = replace(courses, legs=as_asked(history.plans, courses.legs, rules)).by_unit()
    stays = {
        code: _led(stays_of(asked[code], clock, walks[code], full), usable)
        for code in stays
        if code in usable
    }
    everywhere = sum((hours_of_leaving(of) for of in stays.values()), np.zeros(24))
    cleaned = _cleaned(cleaning_hours(history.bed_periods, courses.legs, clock))
    units = []
    for code in stays:
        legs = by_unit[code]
        leaving = leaving_fit(stays[code], everywhere)
        seen = observed(stays[code], leaving, clock)
        stay, then = length_fit(seen), then_fit(stays[code])
        if stay is None or then is None:
            continue
        units.append(
            UnitFit(
                code=code,
                kind=_kind(legs),
                beds=beds.get(code),
                bed_names=tuple(map(bed_name, named[code])),
                most_in_bed=most[code],
                stay=stay,
                then=then,
                leaving=leaving,
                cleaning=cleaned.get(code) if code in beds else None,
                patience=patience_fit(waits_of(legs, clock, walks[code])),
                walk_hours=walks[code],
                stays=stays[code],
                observed=seen,
                routes=routes_of(code, stays[code], seen, stay),
                overflow=rules.get(code),
            )
        )
    if not units:
        raise UsageError(
            "There is nothing to calibrate from.",
            why=f"In no unit were {_FEW} stays seen to end in the window.",
            do="Give a longer window.",
        )
    return Calibration(
        history, history, courses, tuple(units), tuple(_streams(courses, units, clock)),
        announced_fit(history.plans, courses.legs, clock.end),
        booked_fit(history.plans, courses.legs, clock.start, clock.end, full),
    )  # fmt: skip


def fullness_of(beds: Mapping[str, int], history: History, courses: Courses) -> Fullness:
    """When units with so many beds were full in a history."""
    return Fullness(beds, courses.legs, history.bed_periods, history.window[1])


def _led(stays: Sequence[Stay], usable: set[str]) -> tuple[Stay, ...]:
    """Stays of which those that led to a unit with hardly any stay led out of what is modelled."""
    known = {None, *usable, *EXITS}
    return tuple(
        stay if stay.next in known else stay._replace(next="transferred") for stay in stays
    )


def _cleaned(by_unit: dict[str, Ended]) -> dict[str, LengthFit]:
    """Cleaning by unit; where a unit shows too few, that of all together."""
    if not by_unit:
        return {}
    everywhere = length_fit(together(list(by_unit.values())))
    found = {}
    for unit, of in by_unit.items():
        own = length_fit(of) if of.events >= _FEW_CLEANED else everywhere
        if own is not None:
            found[unit] = own
    return found


def _kind(legs: Sequence[Leg]) -> str:
    came = Counter(leg.class_ for leg in legs if leg.enters)
    most = max(came, key=lambda name: (came[name], name)) if came else ""
    if sum(came.values()) < len(legs) / 2:
        return "ward"
    return {"emergency": "emergency", "ambulatory": "day"}.get(most, "ward")


def _streams(courses: Courses, units: list[UnitFit], clock: Clock) -> Iterable[StreamFit]:
    known = {unit.code for unit in units}
    came: dict[tuple[str, str], list[float]] = {}
    for leg in courses.legs:
        if leg.enters and leg.asked >= clock.start and leg.unit in known:
            came.setdefault((leg.class_, leg.unit), []).append(leg.asked)
    for (class_, unit), at in sorted(came.items()):
        yield stream_fit(class_, unit, at, clock)


def _possible(**said: Any) -> FlowModel:
    try:
        return FlowModel(**said)
    except ValidationError as error:
        reasons = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise UsageError(
            "What the history tells of is no hospital that can be simulated.",
            why=f"{reasons}.",
            do="Give a longer window, or one without gaps in the feed.",
        ) from error


def _class(code: str) -> PatientClass:
    return PatientClass.model_validate(
        {
            "code": code,
            "priority": _URGENCY.get(code, _URGENT),
            "encounter_class": _ENCOUNTER.get(code, "IMP"),
        }
    )


def _unit(of: UnitFit, chance: np.random.Generator | None) -> Unit:
    said: dict[str, Any] = {
        "code": of.code,
        "kind": of.kind,
        "beds": "unlimited" if of.beds is None else of.beds,
        "bed_names": of.bed_names,
        "stay": of.stay.duration(chance),
        "then": of.then.then(chance),
    }
    if of.overflow is not None:
        said["overflow"] = of.overflow.units
        said["overflow_after_hours"] = of.overflow.after_hours
    if of.cleaning is not None:
        said["cleaning"] = of.cleaning.duration(chance)
    if of.patience is not None:
        said["patience"] = of.patience.duration(chance)
    if of.leaving is not None:
        shares = of.leaving.then(chance)
        said["discharge"] = Discharge(by_hour=tuple(shares.get(str(h), 0.0) for h in range(24)))
    return Unit.model_validate(said)


def _route(of: RouteFit, chance: np.random.Generator | None) -> Route:
    said: dict[str, Any] = {"class": of.class_, "unit": of.unit}
    if of.stay is not None:
        said["stay"] = of.stay.duration(chance)
    if of.then is not None:
        said["then"] = of.then.then(chance)
    if of.stay_if:
        said["stay_if"] = {name: fit.duration(chance) for name, fit in of.stay_if.items()}
    return Route.model_validate(said)
