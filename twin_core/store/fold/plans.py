"""Plans: admissions, transfers and discharges that are to come, and returns from leave.

A plan is active until what it plans happens (done), another plan of its kind takes its place
(replaced), it is cancelled, or the patient leaves or the visit ends without it (lapsed).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from twin_core.events import (
    AdmissionPending,
    Admitted,
    ClassChanged,
    Discharged,
    DischargePending,
    EncounterEvent,
    Event,
    LeaveEnded,
    LeaveStarted,
    Planned,
    Registered,
    TransferPending,
    Transferred,
)
from twin_core.identifiers import NOWHERE, Place
from twin_core.store.facts import Fact
from twin_core.store.fold.cancels import OPENINGS
from twin_core.store.fold.course import BEDDED_CLASSES, Course, Relocated

ADMISSION, TRANSFER, DISCHARGE, RETURN = "admission", "transfer", "discharge", "return"
ACTIVE, REPLACED, DONE, CANCELLED, LAPSED = "active", "replaced", "done", "cancelled", "lapsed"

_KINDS: dict[type[Event], str] = {
    Planned: ADMISSION,
    AdmissionPending: ADMISSION,
    TransferPending: TRANSFER,
    DischargePending: DISCHARGE,
    LeaveStarted: RETURN,
}
_PLACING = (*OPENINGS, Transferred, ClassChanged, Relocated)
_OVER = frozenset({"finished", "cancelled", "entered-in-error"})
"""Statuses in which nothing is to come any more."""

MILESTONES: dict[type[Event], tuple[str, ...]] = {
    AdmissionPending: ("decision_to_admit", "bed_requested"),
    TransferPending: ("bed_requested",),
    DischargePending: ("discharge_planned",),
}
"""What is reached by stating a plan; a plan of a bed also reaches `bed_assigned`."""


class Plan(NamedTuple):
    """What is to come, and what became of it: `ended_at` is when it stopped being active."""

    kind: str
    stated: Fact
    place: Place
    expected_at: datetime | None
    was_here: bool
    """Whether the patient was in the hospital when it was planned."""
    unit: str
    """The unit that the patient was in then; empty where unknown."""
    status: str = ACTIVE
    ended_at: datetime | None = None


def plans_of(course: Course) -> list[Plan]:
    """Every plan of an encounter, in the order in which they were made."""
    if not any(type(fact.event) in _KINDS for fact in course.live) and not course.undone:
        return []
    plans = list(_followed(course))
    for cancel, target in course.undone:
        if type(target.event) in _KINDS and (plan := _planned(target, False, "")) is not None:
            ended_at = max(cancel.event.occurred_at, target.event.occurred_at)
            plans.append(plan._replace(status=CANCELLED, ended_at=ended_at))
    return sorted(plans, key=lambda plan: plan.stated.order)


def milestones_of(course: Course) -> Iterator[tuple[str, datetime]]:
    """(kind, instant) of what was reached by plans that were not cancelled."""
    for fact in course.live:
        reached = MILESTONES.get(type(fact.event))
        if reached is not None:
            plan = _planned(fact, False, "")
            assigned = plan is not None and plan.place.names_a_bed()
            for kind in (*reached, "bed_assigned") if assigned else reached:
                yield kind, fact.event.occurred_at


def _followed(course: Course) -> Iterator[Plan]:
    active: dict[str, Plan] = {}
    here, unit = False, ""
    for fact in course.standing:
        event = fact.event
        for plan in [one for one in active.values() if _settles(event, one)]:
            yield active.pop(plan.kind)._replace(status=DONE, ended_at=event.occurred_at)
        if isinstance(event, Discharged):
            for plan in active.values():
                yield plan._replace(status=LAPSED, ended_at=event.occurred_at)
            active.clear()
            here, unit = False, ""
        elif isinstance(event, _PLACING):
            here, unit = True, event.place.unit or unit
        if type(event) in _KINDS:
            stated = _planned(fact, here, unit)
            if stated is not None:
                if stated.kind in active:
                    held = active[stated.kind]
                    yield held._replace(status=REPLACED, ended_at=event.occurred_at)
                active[stated.kind] = stated
    for plan in active.values():
        yield _lapsed(plan, course) if course.status in _OVER else plan


def _lapsed(plan: Plan, course: Course) -> Plan:
    ended_at = max(course.statuses[-1][0], plan.stated.event.occurred_at)
    return plan._replace(status=LAPSED, ended_at=ended_at)


def _planned(fact: Fact, here: bool, unit: str) -> Plan | None:
    event = fact.event
    if isinstance(event, Planned | AdmissionPending):
        return Plan(ADMISSION, fact, event.place, event.expected_at, here, unit)
    if isinstance(event, TransferPending):
        return Plan(TRANSFER, fact, event.destination, event.expected_at, here, unit)
    if isinstance(event, DischargePending):
        return Plan(DISCHARGE, fact, NOWHERE, event.expected_at, here, unit)
    if isinstance(event, LeaveStarted) and event.expected_return_at is not None:
        return Plan(RETURN, fact, NOWHERE, event.expected_return_at, here, unit)
    return None


def _settles(event: Event, plan: Plan) -> bool:
    """Whether an event is what was planned."""
    match plan.kind:
        case "discharge":
            return isinstance(event, Discharged)
        case "return":
            return isinstance(event, LeaveEnded)
        case "admission":
            return _admits(event, plan)
    return isinstance(event, _PLACING) and _reaches(event, plan)


def _admits(event: Event, plan: Plan) -> bool:
    if isinstance(event, Transferred):
        # Who waits in the emergency department may be admitted by a transfer to the ward.
        return plan.was_here and _reaches(event, plan)
    if isinstance(event, ClassChanged):
        return event.visit.class_ in BEDDED_CLASSES
    return isinstance(event, Admitted) or (isinstance(event, Registered) and not plan.was_here)


def _reaches(event: EncounterEvent, plan: Plan) -> bool:
    """Whether an event takes the patient into the unit planned, or into another one if none was."""
    unit = event.place.unit
    return bool(unit) and (unit == plan.place.unit if plan.place.unit else unit != plan.unit)
