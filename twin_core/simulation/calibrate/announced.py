"""Announced discharges: how much later than announced patients leave, and where they are announced.

Both are learned from the hospital's own announcements (A16, PV2-9): every one of the window beside
when its patient left the bed. Who is still there has not left so far, which counts as much as is
known of it (Kaplan and Meier 1958).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.durations import Array
from twin_core.simulation.calibrate.history import DISCHARGE, Planned

ANNOUNCED_EXITS = frozenset({"home", "care_home", "transferred"})
"""Nobody announces that a patient dies, or leaves against advice."""
_ENOUGH = 20
"""Announcements that must have come true, for others to be believed."""
_DAY = 24.0


@dataclass(frozen=True)
class Lateness:
    """Hours from the time announced to leaving the bed, below 0 for earlier, and their shares."""

    hours: Array
    shares: Array
    n: int

    def beyond(self, passed: float, chance: np.random.Generator | None) -> float | None:
        """How late one leaves who has not left so long after the time: drawn, or the median.

        None where nobody was ever so late.
        """
        later = self.hours > passed
        if not later.any():
            return None
        upto = np.cumsum(self.shares[later])
        aim = (0.5 if chance is None else chance.random()) * upto[-1]
        return float(self.hours[later][min(int(np.searchsorted(upto, aim)), int(later.sum()) - 1)])


@dataclass(frozen=True)
class Announced:
    """What announcements are worth; without any, nothing is made of them."""

    near: Lateness | None = None
    """Of times within a day of the announcement."""
    far: Lateness | None = None
    """Of times further away."""
    untimed: Lateness | None = None
    """Of announcements without a time: hours since they were made."""
    share: Mapping[str, float] = field(default_factory=dict)
    """By unit, the share of those who left alive whose leaving had been announced."""

    def rest(self, plan: Planned, now: float, chance: np.random.Generator | None) -> float | None:
        """Hours until a patient leaves of whom it is announced; None where that says nothing."""
        lateness = self._of(plan)
        due = plan.stated if plan.at_hour is None else plan.at_hour
        late = None if lateness is None else lateness.beyond(now - due, chance)
        return None if late is None else due + late - now

    def _of(self, plan: Planned) -> Lateness | None:
        if plan.at_hour is None:
            return self.untimed
        soon, other = (self.near, self.far) if _is_near(plan) else (self.far, self.near)
        return soon or other

    def tells(self, unit: str, chance: np.random.Generator | None) -> bool:
        """Whether a patient of a unit of whom nothing is announced is not about to leave."""
        share = self.share.get(unit, 0.0)
        return share >= 0.5 if chance is None else bool(chance.random() < share)


def announced_fit(plans: Iterable[Planned], legs: Sequence[Leg], end: float) -> Announced:
    """What the announcements of a window were worth, given when patients left their beds."""
    discharges = [plan for plan in plans if plan.kind == DISCHARGE]
    if not discharges:
        return Announced()
    last = {leg.encounter_id: leg for leg in sorted(legs, key=lambda leg: leg.asked)}
    timed = [plan for plan in discharges if plan.at_hour is not None]
    return Announced(
        near=_lateness([plan for plan in timed if _is_near(plan)], last, end),
        far=_lateness([plan for plan in timed if not _is_near(plan)], last, end),
        untimed=_lateness([plan for plan in discharges if plan.at_hour is None], last, end),
        share=_shares(discharges, last),
    )


def _is_near(plan: Planned) -> bool:
    return plan.at_hour is not None and plan.at_hour - plan.stated <= _DAY


def _lateness(plans: Sequence[Planned], last: Mapping[str, Leg], end: float) -> Lateness | None:
    """The estimate of Kaplan and Meier; None where too few came true."""
    late, left = [], []
    for plan in plans:
        leg = last.get(plan.encounter_id)
        if leg is not None and (leg.ended is None or leg.ended >= plan.stated):
            due = plan.stated if plan.at_hour is None else plan.at_hour
            late.append((end if leg.ended is None else leg.ended) - due)
            left.append(leg.ended is not None)
    if sum(left) < _ENOUGH:
        return None
    order = np.lexsort((~np.array(left), np.array(late)))
    hours, gone = np.array(late)[order], np.array(left)[order]
    at_risk = np.arange(len(hours), 0, -1)
    staying = np.cumprod(np.where(gone, 1.0 - 1.0 / at_risk, 1.0))
    shares = -np.diff(staying, prepend=1.0)
    return Lateness(hours[gone], shares[gone], int(gone.sum()))


def _shares(discharges: Iterable[Planned], last: Mapping[str, Leg]) -> dict[str, float]:
    told = {plan.encounter_id: plan.stated for plan in discharges}
    left, announced = Counter[str](), Counter[str]()
    for key, leg in last.items():
        if leg.ended is not None and leg.next in ANNOUNCED_EXITS:
            left[leg.unit] += 1
            announced[leg.unit] += key in told and told[key] <= leg.ended
    return {unit: announced[unit] / count for unit, count in left.items() if count >= _ENOUGH}
