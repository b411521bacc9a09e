"""Cancels: which earlier event a cancel undoes, and what falls with it.

A cancel undoes the event of its kind that occurred at EVN-6; of several, one that had been entered
by the time of the cancel, so that a correction charted for the same instant stands. Where EVN-6 is
empty or matches nothing, it undoes the latest live one that had occurred and had been entered by
then. A cancelled admission takes along the movements that followed it, up to the next admission.
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
from twin_core.store.facts import Fact, Order
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
    notes: list[Note]
    unseen_until: Order | None
    """Where in the order an admission was first reported; None where none was. What stands before
    may be the first sight of a stay, unless it is of an admission known by its cancel only."""


def apply_cancels(facts: Sequence[Fact]) -> Surviving:
    """Undo what was cancelled in a course of facts given in order."""
    cancels = [fact for fact in facts if isinstance(fact.event, EventCancelled)]
    openings = [fact for fact in facts if isinstance(fact.event, OPENINGS)]
    if not cancels:
        return Surviving(list(facts), [], [], _unseen_until(facts, openings, []))
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
        if _cancels_admission(cancel):
            following = _following(cancel, target, facts, openings)
            dead |= following
            undone = [one for one in undone if id(one.target) not in following]
    live = [fact for fact in facts if id(fact) not in dead]
    baseless = [note.fact for note in notes if note.fact and _cancels_admission(note.fact)]
    return Surviving(live, undone, notes, _unseen_until(facts, openings, baseless))


def _target(cancel: Fact, facts: Sequence[Fact], dead: set[int]) -> Fact | None:
    event = cancel.event
    assert isinstance(event, EventCancelled)  # noqa: S101  (narrows the type)
    of_kind = [f for f in facts if isinstance(f.event, UNDOES[event.cancels])]
    known = [f for f in of_kind if _was_known(f.event, event)]
    if event.cancelled_at is not None:
        for among in (known, of_kind):
            exact = [f for f in among if f.event.occurred_at == event.cancelled_at]
            if exact:
                # One that was undone before is named again: there is nothing more to undo.
                return _last_alive(exact, dead)
    return _last_alive(known, dead)


def _last_alive(facts: Sequence[Fact], dead: set[int]) -> Fact | None:
    return next((fact for fact in reversed(facts) if id(fact) not in dead), None)


def _was_known(event: Event, cancel: EventCancelled) -> bool:
    entered = event.entered_at if isinstance(event, EncounterEvent) else event.occurred_at
    return event.occurred_at <= cancel.entered_at and entered <= cancel.entered_at


def _following(
    cancel: Fact, target: Fact | None, facts: Sequence[Fact], openings: Sequence[Fact]
) -> set[int]:
    if target is None:
        # The admission was never reported: what is known follows from it, unless another was.
        if openings and openings[0].order < cancel.order:
            return set()
        end = cancel.order
    else:
        later = (o.order for o in openings if target.order < o.order < cancel.order)
        end = next(later, cancel.order)
    return {
        id(fact)
        for fact in facts
        if isinstance(fact.event, MOVEMENTS)
        and not isinstance(fact.event, OPENINGS)
        and fact.order < end
        and (target is None or fact.order > target.order)
    }


def _cancels_admission(fact: Fact) -> bool:
    event = fact.event
    return isinstance(event, EventCancelled) and event.cancels is Cancelled.ADMISSION


def _unseen_until(
    facts: Sequence[Fact], openings: Sequence[Fact], baseless: Sequence[Fact]
) -> Order | None:
    first = min((fact.order for fact in (*openings, *baseless)), default=None)
    return facts[0].order if any(fact.order == first for fact in baseless) else first
