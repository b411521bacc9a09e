"""Cancels: which earlier event a cancel undoes, and what falls with it.

A cancel undoes the event of its kind that occurred at EVN-6. Where EVN-6 is empty or matches
nothing, it undoes the latest live one that had occurred and had been entered by the time of the
cancel. A cancelled admission takes along the movements that followed it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from twin_core.events import (
    Admitted,
    Cancelled,
    ClassChanged,
    Discharged,
    EncounterEvent,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    Registered,
    Transferred,
)
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import Note

UNDOES: dict[Cancelled, tuple[type[Event], ...]] = {
    Cancelled.ADMISSION: (Admitted, Registered),
    Cancelled.TRANSFER: (Transferred,),
    Cancelled.DISCHARGE: (Discharged,),
}
OPENINGS = (Admitted, Registered)
MOVEMENTS = (Admitted, Registered, Transferred, ClassChanged, LeaveStarted, LeaveEnded, Discharged)


class Undone(NamedTuple):
    """A cancel and the event it undid."""

    cancel: Fact
    target: Fact


class Surviving(NamedTuple):
    """What is left of an encounter's facts after its cancels."""

    live: list[Fact]
    undone: list[Undone]
    cancelled_at: Fact | None
    """The cancel that left the encounter without any admission, if one did."""
    notes: list[Note]


def apply_cancels(facts: Sequence[Fact]) -> Surviving:
    """Undo what was cancelled in a course of facts given in order."""
    cancels = [fact for fact in facts if isinstance(fact.event, EventCancelled)]
    if not cancels:
        return Surviving(list(facts), [], None, [])
    dead: set[int] = set()
    undone: list[Undone] = []
    notes: list[Note] = []
    for cancel in cancels:
        target = _target(cancel, facts, dead)
        if target is not None:
            dead.add(id(target))
            undone.append(Undone(cancel, target))
        else:
            notes.append(Note("cancel_without_target", cancel, "nothing of its kind to cancel"))
        if cancel.event.cancels is Cancelled.ADMISSION:  # type: ignore[attr-defined]
            dead.update(_following(cancel, target, facts))
    live = [fact for fact in facts if id(fact) not in dead]
    return Surviving(live, undone, _without_admission(cancels, live), notes)


def _target(cancel: Fact, facts: Sequence[Fact], dead: set[int]) -> Fact | None:
    event = cancel.event
    assert isinstance(event, EventCancelled)  # noqa: S101  (narrows the type)
    kinds = UNDOES[event.cancels]
    alive = [f for f in facts if isinstance(f.event, kinds) and id(f) not in dead]
    if event.cancelled_at is not None:
        exact = [f for f in alive if f.event.occurred_at == event.cancelled_at]
        if exact:
            return exact[-1]
    earlier = [f for f in alive if _was_known(f.event, event)]
    return earlier[-1] if earlier else None


def _was_known(event: Event, cancel: EventCancelled) -> bool:
    entered = event.entered_at if isinstance(event, EncounterEvent) else event.occurred_at
    return event.occurred_at <= cancel.entered_at and entered <= cancel.entered_at


def _following(cancel: Fact, target: Fact | None, facts: Sequence[Fact]) -> set[int]:
    return {
        id(fact)
        for fact in facts
        if isinstance(fact.event, MOVEMENTS)
        and not isinstance(fact.event, OPENINGS)
        and fact.order < cancel.order
        and (target is None or fact.order > target.order)
    }


def _without_admission(cancels: Sequence[Fact], live: Sequence[Fact]) -> Fact | None:
    admissions = [c for c in cancels if c.event.cancels is Cancelled.ADMISSION]  # type: ignore[attr-defined]
    if not admissions or any(isinstance(fact.event, OPENINGS) for fact in live):
        return None
    return admissions[-1]
