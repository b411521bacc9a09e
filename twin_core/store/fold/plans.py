"""Plans: admissions, transfers and discharges that are to come, and returns from leave.

A plan is active until what it plans happens (done), another plan of its kind takes its place
(replaced), it is cancelled, or the patient leaves or the visit ends without it (lapsed).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from twin_core.events import (
    AdmissionPending,
    Admitted,
    ClassChanged,
    Discharged,
    DischargePending,
    Event,
    LeaveEnded,
    LeaveStarted,
    Planned,
    TransferPending,
    Transferred,
)
from twin_core.identifiers import NOWHERE, Place
from twin_core.store.facts import Fact
from twin_core.store.fold.cancels import ADMISSION_PLANS, OPENINGS
from twin_core.store.fold.course import BEDDED_CLASSES, Course, Relocated

ADMISSION, TRANSFER, DISCHARGE, RETURN = "admission", "transfer", "discharge", "return"
ACTIVE, REPLACED, DONE, CANCELLED, LAPSED = "active", "replaced", "done", "cancelled", "lapsed"

_PLANNING: tuple[type[Event], ...] = (
    *ADMISSION_PLANS,
    TransferPending,
    DischargePending,
    LeaveStarted,
)
_KINDS = frozenset(_PLANNING)
"""Kinds of events that may plan something."""
_PLACING = (*OPENINGS, Transferred, ClassChanged, Relocated)
_PRESENT = frozenset({"arrived", "in-progress", "onleave"})
_OVER = frozenset({"finished", "cancelled", "entered-in-error"})
"""Statuses in which nothing is to come any more."""

MILESTONES: dict[type[Event], tuple[str, ...]] = {
    AdmissionPending: ("decision_to_admit", "bed_requested"),
    TransferPending: ("bed_requested",),
    DischargePending: ("discharge_planned",),
}
"""What is reached by stating a plan; a plan of a bed also reaches `bed_assigned`."""


_Unit = tuple[str, str] | None


class Plan(NamedTuple):
    """What is to come, and what became of it: `ended_at` is when it stopped being active."""

    kind: str
    stated: Fact
    place: Place
    expected_at: datetime | None
    status: str = ACTIVE
    ended_at: datetime | None = None

    @property
    def at(self) -> datetime:
        """When it was planned."""
        return self.stated.event.occurred_at


def plans_of(course: Course) -> list[Plan]:
    """Every plan of an encounter, in the order in which they were made."""
    if not course.undone and _KINDS.isdisjoint(course.kinds):
        return []
    followed = [fact for fact in course.standing if fact.order not in course.ignored]
    plans = [plan for fact in followed if (plan := _planned(fact)) is not None]
    ended = [_ended(plan, plans, followed, course) for plan in plans]
    return sorted([*ended, *_cancelled(course)], key=lambda plan: plan.stated.order)


def milestones_of(course: Course) -> Iterator[tuple[str, datetime]]:
    """(kind, instant) of what was reached by plans that were not cancelled."""
    if MILESTONES.keys().isdisjoint(course.kinds):
        return
    for fact in course.live:
        reached = MILESTONES.get(type(fact.event))
        if reached is not None:
            plan = _planned(fact)
            assigned = plan is not None and plan.place.names_a_bed()
            for kind in (*reached, "bed_assigned") if assigned else reached:
                yield kind, fact.event.occurred_at


def _cancelled(course: Course) -> Iterator[Plan]:
    for cancel, target in course.undone:
        plan = _planned(target)
        if plan is not None:
            ended_at = max(cancel.event.occurred_at, plan.at)
            yield plan._replace(status=CANCELLED, ended_at=ended_at)


def _ended(plan: Plan, plans: Sequence[Plan], followed: Sequence[Fact], course: Course) -> Plan:
    """A plan with what became of it first; at one instant being done goes before the rest."""
    later = [fact for fact in followed if fact.order > plan.stated.order]
    next_one = [p.at for p in plans if p.kind == plan.kind and p.stated.order > plan.stated.order]
    left = [fact.event.occurred_at for fact in later if isinstance(fact.event, Discharged)]
    over = [max(course.statuses[-1][0], plan.at)] if course.status in _OVER else []
    ends = [
        (min(instants), rank, status)
        for rank, (status, instants) in enumerate(
            (
                (DONE, _done_at(plan, later, course)),
                (REPLACED, next_one),
                (LAPSED, [*left, *over]),
            )
        )
        if instants
    ]
    if not ends:
        return plan
    ended_at, _, status = min(ends)
    return plan._replace(status=status, ended_at=ended_at)


def _planned(fact: Fact) -> Plan | None:
    event = fact.event
    if isinstance(event, Planned | AdmissionPending):
        return Plan(ADMISSION, fact, event.place, event.expected_at)
    if isinstance(event, TransferPending):
        return Plan(TRANSFER, fact, event.destination, event.expected_at)
    if isinstance(event, DischargePending):
        return Plan(DISCHARGE, fact, NOWHERE, event.expected_at)
    if isinstance(event, LeaveStarted) and event.expected_return_at is not None:
        return Plan(RETURN, fact, NOWHERE, event.expected_return_at)
    return None


def _done_at(plan: Plan, later: Sequence[Fact], course: Course) -> list[datetime]:
    """When what was planned happened, as often as it did."""
    before = [code for at, code in course.statuses if at < plan.at]
    if plan.kind == ADMISSION and (not before or before[-1] not in _PRESENT):
        return [at for at, code in course.statuses if at >= plan.at and code in _PRESENT]
    unit = _unit_before(plan.at, course)
    return [f.event.occurred_at for f in later if _settles(f.event, plan, unit)]


def _settles(event: Event, plan: Plan, unit: _Unit) -> bool:
    """Whether an event is what was planned for a patient who was in a unit then."""
    if plan.kind == DISCHARGE:
        return isinstance(event, Discharged)
    if plan.kind == RETURN:
        return isinstance(event, LeaveEnded)
    if plan.kind == ADMISSION:
        # Who waits in the emergency department may be admitted by a transfer to the ward.
        if isinstance(event, Admitted):
            return True
        if isinstance(event, ClassChanged):
            return event.visit.class_ in BEDDED_CLASSES
        return isinstance(event, Transferred) and _reaches(event.place, plan, unit)
    return isinstance(event, _PLACING) and _reaches(event.place, plan, unit)


def _reaches(place: Place, plan: Plan, unit: _Unit) -> bool:
    """Whether a place is in the unit planned, or in another than before where none was named."""
    reached = (place.facility, place.unit)
    if plan.place.unit:
        return reached == (plan.place.facility, plan.place.unit)
    return bool(place.unit) and reached != unit


def _unit_before(at: datetime, course: Course) -> _Unit:
    """The facility and unit that the patient was in when an instant came; None where unknown."""
    held = [s for s in course.stays if s.from_at < at and (s.to_at is None or s.to_at >= at)]
    return held[-1].place[:2] if held else None
