"""Patients who asked for one unit and were given a bed of another, as pending transfers tell.

It shows how a hospital overflows, and is no estimate of its rule: messages say which bed was given,
never which were refused, and who had none asked for them (A15 without a bed) is not seen at all.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.history import TRANSFER, Planned


class Diverted(NamedTuple):
    """How many of those who asked for one unit were given a bed in another, and after how long."""

    wanted: str
    given: str
    patients: int
    of: int
    """Everybody whose bed in the wanted unit was asked for."""
    after_hours: float
    """The middle of their waits."""


def diverted(plans: Iterable[Planned], legs: Sequence[Leg]) -> tuple[Diverted, ...]:
    """Every way in which patients overflowed, the most frequent first."""
    asked: dict[str, list[Planned]] = defaultdict(list)
    for plan in sorted(plans, key=lambda plan: plan.stated):
        if plan.kind == TRANSFER:
            asked[plan.encounter_id].append(plan)
    wanted, waits = Counter[str](), defaultdict[tuple[str, str], list[float]](list)
    units = {leg.unit for leg in legs}
    for leg in legs:
        first = _first(asked.get(leg.encounter_id, ()), leg)
        if first is not None and leg.ended is not None and leg.next in units:
            wanted[first.unit] += 1
            if leg.next != first.unit:
                waits[first.unit, leg.next].append(leg.ended - first.stated)
    found = (
        Diverted(unit, given, len(hours), wanted[unit], median(hours))
        for (unit, given), hours in waits.items()
    )
    return tuple(sorted(found, key=lambda one: (-one.patients, one.wanted, one.given)))


def _first(plans: Iterable[Planned], leg: Leg) -> Planned | None:
    """The unit that was asked for first while a patient was in another."""
    for plan in plans:
        within = leg.asked <= plan.stated and (leg.ended is None or plan.stated <= leg.ended)
        if within and plan.unit != leg.unit:
            return plan
    return None
