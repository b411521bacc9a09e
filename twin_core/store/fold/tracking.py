"""Where a patient is while the assigned bed stays what it is: on the way, in theatre, in imaging.

A09 and A10 follow a patient about; the census does not move with them. Being tracked ends where the
patient is back in the assigned bed, is placed anew, goes on leave or leaves.
"""

from datetime import datetime
from typing import NamedTuple

from twin_core.events import (
    Arrived,
    ClassChanged,
    Departed,
    Discharged,
    EncounterEvent,
    Event,
    LeaveStarted,
    Transferred,
)
from twin_core.identifiers import Place
from twin_core.store.fold.cancels import OPENINGS
from twin_core.store.fold.course import Course, Relocated

_PLACED = (*OPENINGS, Transferred, ClassChanged, Relocated)
_TRACKED: frozenset[type[Event]] = frozenset({Departed, Arrived})


class Tracked(NamedTuple):
    """A patient on the way to a place (departed) or at one (arrived), half-open."""

    status: str
    temporary: bool
    place: Place
    from_at: datetime
    to_at: datetime | None


def tracked(course: Course) -> list[Tracked]:
    """Where the patient was besides the assigned bed, in order."""
    if _TRACKED.isdisjoint(course.kinds):
        return []
    followed = [fact for fact in course.standing if fact.order not in course.ignored]
    marks = [mark for fact in followed for mark in _mark(fact.event, course)]
    # Without any mark (tracking of a cancelled visit is ignored) there is nothing to end.
    ends = [at for at, _ in marks[1:]] + [None] * bool(marks)
    return [
        Tracked(type(event).__name__.lower(), event.temporary, event.destination, at, end)
        for (at, event), end in zip(marks, ends, strict=True)
        if event is not None and (end is None or end > at)
    ]


_Mark = tuple[datetime, Departed | Arrived | None]


def _mark(event: object, course: Course) -> list[_Mark]:
    """An instant at which tracking begins or, with nothing tracked, ends."""
    if isinstance(event, Departed | Arrived):
        home = isinstance(event, Arrived) and not event.temporary and _is_bed(event, course)
        return [(event.occurred_at, event if event.destination and not home else None)]
    if isinstance(event, Discharged | LeaveStarted) or (
        isinstance(event, _PLACED) and isinstance(event, EncounterEvent) and event.place
    ):
        return [(event.occurred_at, None)]
    return []


def _is_bed(event: Arrived, course: Course) -> bool:
    """Whether the patient arrived in the bed that is assigned at that instant."""
    at = event.occurred_at
    held = [s for s in course.stays if s.from_at <= at and (s.to_at is None or at < s.to_at)]
    return any(course.locate(event.destination).agrees_with(stay.place) for stay in held)
