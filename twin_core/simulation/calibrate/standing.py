"""Who and what is there at the end of a history: the start of a forecast from that instant."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.fitting import Calibration
from twin_core.simulation.calibrate.history import ADMISSION, DISCHARGE, TRANSFER, Planned
from twin_core.simulation.calibrate.lengths import LengthFit
from twin_core.simulation.calibrate.wards import UnitFit, bed_name
from twin_core.simulation.flow.arrivals import Arrivals, Closure, Present
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.model import HOME


def standing(
    calibration: Calibration, model: FlowModel, chance: np.random.Generator | None = None
) -> FlowModel:
    """A model that starts as the hospital stands at the end of the calibration's history.

    Patients lie where they lie, as long as they have, and keep their bed on leave; those who wait
    for a first bed wait; pending transfers are known; beds being cleaned and closed ones are not
    free. Who is booked comes, or waits since the time that was booked. Who is announced to leave
    leaves as late after that time as others did. How late, who keeps a booking, and how long closed
    beds stay closed, is drawn where there is `chance`.
    """
    coming, waiting = _booked(calibration, model, chance)
    begun = {
        "arrivals": (*calibration.booked.streams(model.arrivals), *coming),
        "present": (*_present(calibration, model, chance), *waiting),
        "being_cleaned": _being_cleaned(calibration, model),
        "closures": (*model.closures, *_closures(calibration, model, chance)),
    }
    return FlowModel(**{**{name: getattr(model, name) for name in FlowModel.model_fields}, **begun})


def _booked(
    calibration: Calibration, model: FlowModel, chance: np.random.Generator | None
) -> tuple[list[Arrivals], list[Present]]:
    """Who is booked and has not come, as streams to come and as patients who wait."""
    here = {leg.encounter_id for leg in calibration.courses.legs}
    units = calibration.booked.units(model.arrivals)
    plans = [
        plan
        for plan in calibration.history.plans
        if plan.kind == ADMISSION and plan.ended is None and plan.encounter_id not in here
        if plan.unit in units
    ]
    now, full = calibration.history.window[1], calibration.fullness
    return calibration.booked.coming(plans, now, full, chance)


def _present(
    calibration: Calibration, model: FlowModel, chance: np.random.Generator | None
) -> Iterator[Present]:
    known = {unit.code for unit in model.units}
    pending: dict[str, dict[str, Planned]] = defaultdict(dict)
    for plan in calibration.history.plans:
        if plan.ended is None:
            pending[plan.encounter_id][plan.kind] = plan
    for leg in calibration.courses.legs:
        if leg.ended is None and leg.unit in known:
            unit = calibration.unit(leg.unit)
            here = _here(calibration, unit, leg, pending.get(leg.encounter_id, {}), chance)
            yield Present.model_validate(here)


def _here(
    calibration: Calibration,
    unit: UnitFit,
    leg: Leg,
    pending: Mapping[str, Planned],
    chance: np.random.Generator | None,
) -> dict[str, Any]:
    now = calibration.history.window[1]
    here: dict[str, Any] = {"class": leg.class_, "unit": leg.unit, "patient": leg.patient}
    if leg.bedded is None:
        return here | {"waiting": True, "for_hours": _hours(now - leg.asked)}
    begun = max(leg.asked, leg.bedded - unit.walk_hours)
    here |= {"for_hours": _hours(now - begun)}
    if unit.beds is not None and leg.spot.bed:
        here["bed"] = bed_name(leg.spot)
    if TRANSFER in pending:
        return here | _to_come(calibration, unit, pending[TRANSFER], now)
    return here | _to_leave(calibration, unit, pending.get(DISCHARGE), now, chance)


def _to_leave(
    calibration: Calibration,
    unit: UnitFit,
    plan: Planned | None,
    now: float,
    chance: np.random.Generator | None,
) -> dict[str, Any]:
    """When a patient leaves of whom it is announced; of others, whether that says anything."""
    announced = calibration.announced
    if plan is None:
        return {"goes_on": True} if announced.tells(unit.code, chance) else {}
    rest = announced.rest(plan, now, chance)
    return {} if rest is None else {"stay_over": True, "next": HOME, "rest_hours": _hours(rest)}


def _to_come(calibration: Calibration, unit: UnitFit, plan: Planned, now: float) -> dict[str, Any]:
    """What a pending transfer says of the rest of a stay."""
    if plan.unit == unit.code or plan.unit not in {of.code for of in calibration.units}:
        return {}
    if plan.at_hour is None or plan.at_hour <= now:
        return {"stay_over": True, "next": plan.unit}
    return {"next": plan.unit, "rest_hours": _hours(plan.at_hour - now)}


def _hours(hours: float) -> float:
    return round(max(0.0, hours), 4)


def _being_cleaned(calibration: Calibration, model: FlowModel) -> dict[str, int]:
    cleaned = {unit.code for unit in model.units if unit.cleaning is not None}
    taken = {leg.spot for leg in calibration.courses.legs if leg.ended is None}
    dirty = {
        period.spot
        for period in calibration.history.bed_periods
        if period.to_hour is None and period.status != "C" and period.spot not in taken
    }
    return dict(Counter(spot.unit for spot in sorted(dirty) if spot.unit in cleaned))


def _closures(
    calibration: Calibration, model: FlowModel, chance: np.random.Generator | None
) -> Iterator[Closure]:
    limited = {unit.code for unit in model.units if unit.beds != "unlimited"}
    now, closed = calibration.history.window[1], calibration.closed
    for period in closed:
        if period.to_hour is None and period.spot.unit in limited:
            passed = now - period.from_hour
            rest = _rest(calibration.closing, passed, chance)
            yield Closure(unit=period.spot.unit, beds=1, from_hours=0.0, to_hours=rest)


def _rest(fit: LengthFit | None, passed: float, chance: np.random.Generator | None) -> float | None:
    """What is left of a closure: drawn, or what half of them last; None where nothing is known."""
    if fit is None:
        return None
    aim = (0.5 if chance is None else chance.random()) * float(fit.surviving(passed))
    low, high = passed, passed + 1.0
    while float(fit.surviving(high)) > aim and high < passed + 1e5:
        low, high = high, 2 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(fit.surviving(middle)) > aim else (low, middle)
    return max(0.01, high - passed)
