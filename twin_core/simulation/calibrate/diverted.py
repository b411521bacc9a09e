"""Patients who asked for one unit and were given a bed of another: pending transfers and bookings.

It shows how a hospital overflows. Its rule is read from that: the units that were given, the most
frequent first, after the shortest usual wait. Messages say which bed was given, never which were
refused, and who had none asked for them (A15 without a bed) is not seen at all.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.history import ADMISSION, TRANSFER, Planned

_FEW = 3
"""Patients of one unit in the beds of another, for it to be a way."""


class Diverted(NamedTuple):
    """How many of those who asked for one unit were given a bed in another, and after how long."""

    wanted: str
    given: str
    patients: int
    of: int
    """Everybody whose bed in the wanted unit was asked for, or booked."""
    after_hours: float
    """The middle of their waits."""
    soonest_hours: float
    """A wait than which a tenth of theirs were shorter."""


class Overflow(NamedTuple):
    """Which units take patients of one, in order, and from which wait on."""

    units: tuple[str, ...]
    after_hours: float


def overflow_of(ways: Iterable[Diverted], units: Collection[str]) -> dict[str, Overflow]:
    """The rule by which patients overflowed between units, by the unit that was asked for."""
    often: dict[str, list[Diverted]] = defaultdict(list)
    for way in ways:
        if way.patients >= _FEW and {way.wanted, way.given} <= set(units):
            often[way.wanted].append(way)
    return {
        unit: Overflow(
            tuple(way.given for way in found), round(min(w.soonest_hours for w in found), 2)
        )
        for unit, found in often.items()
    }


def as_asked(
    plans: Iterable[Planned], legs: Iterable[Leg], rules: Mapping[str, Overflow]
) -> tuple[Leg, ...]:
    """Legs that lead to the unit that was asked for, where a rule gave a bed of another."""
    asked = _asked(plans)

    def wanted(leg: Leg) -> Leg:
        first = _first(asked.get(leg.encounter_id, ()), leg)
        rule = None if first is None else rules.get(first.unit)
        if first is None or rule is None or leg.next not in rule.units:
            return leg
        return leg._replace(next=first.unit)

    return tuple(map(wanted, legs))


def diverted(plans: Iterable[Planned], legs: Sequence[Leg]) -> tuple[Diverted, ...]:
    """Every way in which patients overflowed, the most frequent first."""
    asked, booked = _asked(plans), booked_for(plans, legs)
    wanted, waits = Counter[str](), defaultdict[tuple[str, str], list[float]](list)
    units = {leg.unit for leg in legs}
    for leg in legs:
        plan = booked.get(leg.encounter_id) if leg.enters else None
        if plan is not None and plan.unit in units:
            wanted[plan.unit] += 1
            if leg.unit != plan.unit:
                due = leg.asked if plan.at_hour is None else plan.at_hour
                waits[plan.unit, leg.unit].append(max(0.0, leg.asked - due))
        first = _first(asked.get(leg.encounter_id, ()), leg)
        if first is not None and leg.ended is not None and leg.next in units:
            wanted[first.unit] += 1
            if leg.next != first.unit:
                waits[first.unit, leg.next].append(leg.ended - first.stated)
    found = (
        Diverted(
            unit, given, len(hours), wanted[unit], median(hours), float(np.quantile(hours, 0.1))
        )
        for (unit, given), hours in waits.items()
    )
    return tuple(sorted(found, key=lambda one: (-one.patients, one.wanted, one.given)))


def booked_for(plans: Iterable[Planned], legs: Iterable[Leg]) -> dict[str, Planned]:
    """What was booked last before a patient came, or is booked, by encounter."""
    entered = {leg.encounter_id: leg for leg in legs if leg.enters}
    last: dict[str, Planned] = {}
    for plan in sorted(plans, key=lambda plan: plan.stated):
        leg = entered.get(plan.encounter_id)
        known = plan.kind == ADMISSION and plan.unit and plan.at_hour is not None
        if known and (leg is None or plan.stated < leg.asked):
            last[plan.encounter_id] = plan
    return last


def _asked(plans: Iterable[Planned]) -> dict[str, list[Planned]]:
    """The transfers that were asked for, by encounter, as time went by."""
    asked: dict[str, list[Planned]] = defaultdict(list)
    for plan in sorted(plans, key=lambda plan: plan.stated):
        if plan.kind == TRANSFER:
            asked[plan.encounter_id].append(plan)
    return asked


def _first(plans: Iterable[Planned], leg: Leg) -> Planned | None:
    """The unit that was asked for first while a patient was in another."""
    for plan in plans:
        within = leg.asked <= plan.stated and (leg.ended is None or plan.stated <= leg.ended)
        if within and plan.unit != leg.unit:
            return plan
    return None
