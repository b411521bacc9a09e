"""Cancels: which earlier event a cancel undoes, and what falls with it.

A cancel undoes the event of its kind that occurred at EVN-6; of several, one that had been stated
before the cancel, so that a correction charted for the same instant stands. Where EVN-6 is empty or
matches nothing, it undoes the latest live one that had occurred and had been stated by then; of
transfers the latest that led from PV1-3 of the cancel to its PV1-6, if any may have. What
was entered in one minute (EVN-2) was stated in the order of MSH-7, MSH-13 and MSH-10. A cancel that
names its movement (IHE PAM ZBE-1) undoes that one and no other that has a name. A cancelled
discharge takes along earlier reports of it, and a cancelled admission the movements that
followed it, up to the next admission.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from twin_core.events import (
    AdmissionPending,
    Admitted,
    Arrived,
    Cancelled,
    ClassChanged,
    Departed,
    Discharged,
    DischargePending,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    Movement,
    Planned,
    Registered,
    TransferPending,
    Transferred,
    VisitPurged,
)
from twin_core.identifiers import Place
from twin_core.store.facts import Fact, Order
from twin_core.store.fold.corrections import UNDOES, corrected, stated
from twin_core.store.fold.rows import Note

OTHERWISE: dict[Cancelled, tuple[type[Event], ...]] = {
    # Senders that pre-admit by one event and cancel by the other's cancel mean the same admission.
    Cancelled.PRE_ADMISSION: (AdmissionPending,),
    Cancelled.PENDING_ADMISSION: (Planned,),
}
"""What a cancel undoes of an encounter that never had an event of its own kind."""
OPENINGS = (Admitted, Registered)
ADMISSION_PLANS = (Planned, AdmissionPending)
MOVEMENTS = (Admitted, Registered, Transferred, ClassChanged, LeaveStarted, LeaveEnded, Discharged)
OF_AN_ADMISSION = (
    *(kind for kind in MOVEMENTS if kind not in OPENINGS),
    *(TransferPending, DischargePending, Departed, Arrived),
)
"""What means nothing once the admission that it belongs to was cancelled."""


class Undone(NamedTuple):
    """A cancel and the event it undid."""

    cancel: Fact
    target: Fact


class Surviving(NamedTuple):
    """What is left of an encounter's facts after its cancels."""

    known: Sequence[Fact]
    """What was not deleted, corrections in the place of what they correct."""
    live: list[Fact]
    undone: list[Undone]
    notes: list[Note]
    unseen_until: Order | None
    """Where in the order an admission was first reported; None where none was. What stands before
    may be the first sight of a stay, unless it is of an admission known by its cancel only."""


def apply_cancels(facts: Sequence[Fact]) -> Surviving:
    """Undo what was cancelled in a course of facts given in order."""
    purges = [fact for fact in facts if isinstance(fact.event, VisitPurged)]
    if not purges:
        return _surviving(facts)
    purge = max(purges, key=stated)
    later = [fact for fact in facts if stated(fact) > stated(purge)]
    anew = _surviving(later)
    begun = any(isinstance(fact.event, (*OPENINGS, *ADMISSION_PLANS)) for fact in anew.live)
    return anew if begun else _deleted(purge, later)


def _surviving(facts: Sequence[Fact]) -> Surviving:
    notes: list[Note] = []
    if any(fact.event.movement is not None for fact in facts):  # type: ignore[attr-defined]
        facts, unheeded = corrected(facts)
        notes += unheeded
    cancels = [fact for fact in facts if isinstance(fact.event, EventCancelled)]
    openings = [fact for fact in facts if isinstance(fact.event, OPENINGS)]
    if not cancels:
        return Surviving(facts, list(facts), [], notes, _unseen_until(facts, openings, []))
    dead: set[int] = set()
    undone: list[Undone] = []
    for cancel in cancels:
        target = _target(cancel, facts, dead)
        if target is not None:
            dead.add(id(target))
            dead |= _repeated(cancel, target, facts, dead)
            undone.append(Undone(cancel, target))
        else:
            notes.append(Note("cancel_without_target", cancel, "nothing of its kind to cancel"))
        if _cancels_admission(cancel):
            following = _following(cancel, target, facts, openings)
            dead |= following
            undone = [one for one in undone if id(one.target) not in following]
    live = [fact for fact in facts if id(fact) not in dead]
    baseless = [note.fact for note in notes if note.fact and _cancels_admission(note.fact)]
    return Surviving(facts, live, undone, notes, _unseen_until(facts, openings, baseless))


def _target(cancel: Fact, facts: Sequence[Fact], dead: set[int]) -> Fact | None:
    event = cancel.event
    assert isinstance(event, EventCancelled)  # noqa: S101  (narrows the type)
    of_kind = [f for f in facts if isinstance(f.event, UNDOES[event.cancels])]
    if not of_kind and event.cancels in OTHERWISE:
        of_kind = [f for f in facts if isinstance(f.event, OTHERWISE[event.cancels])]
    if event.movement is not None:
        of_kind = _named(of_kind, event.movement)
    known = [f for f in of_kind if _was_known(f, cancel)]
    if event.cancelled_at is not None:
        for among in (known, of_kind):
            exact = [f for f in among if event.cancelled_at in _times_of(f.event)]
            if exact:
                # One that was undone before is named again: there is nothing more to undo.
                return _last_alive(exact, dead)
    if event.cancels is Cancelled.TRANSFER:
        return _last_alive(_between_its_places(known, event, dead), dead)
    return _last_alive(known, dead)


def _between_its_places(
    transfers: Sequence[Fact], cancel: EventCancelled, dead: set[int]
) -> Sequence[Fact]:
    """The transfers that may have led to PV1-6 of an A12 from its PV1-3; all where none may."""
    if not (cancel.destination or cancel.place):
        return transfers
    fitting = [
        fact
        for fact in transfers
        if id(fact) not in dead
        and isinstance(fact.event, Transferred)
        and _may_be_one(fact.event.place, cancel.destination)
        and _may_be_one(fact.event.origin, cancel.place)
    ]
    return fitting or transfers


def _may_be_one(one: Place, other: Place) -> bool:
    """Whether two places are equal in all that both name."""
    pairs = zip(one.parts, other.parts, strict=True)
    return all(mine == theirs for mine, theirs in pairs if mine and theirs)


def _times_of(event: Event) -> tuple[datetime | None, ...]:
    """By which times a cancel may name an event: of a plan also the one that is planned."""
    return (event.occurred_at, getattr(event, "expected_at", None))


def _named(facts: Sequence[Fact], movement: Movement) -> list[Fact]:
    """The movements of that name; where none has it, those that have no name at all."""
    wanted = set(movement.identifiers)
    named = [(fact, fact.event.movement) for fact in facts]  # type: ignore[attr-defined]
    found = [fact for fact, own in named if own is not None and wanted & set(own.identifiers)]
    return found or [fact for fact, own in named if own is None]


def _last_alive(facts: Sequence[Fact], dead: set[int]) -> Fact | None:
    return next((fact for fact in reversed(facts) if id(fact) not in dead), None)


def _was_known(fact: Fact, cancel: Fact) -> bool:
    occurred = fact.event.occurred_at <= cancel.event.occurred_at
    return occurred and stated(fact) <= stated(cancel)


def _deleted(purge: Fact, later: Sequence[Fact]) -> Surviving:
    notes = [
        Note("movement_after_purge", fact, "a movement of a visit that was deleted is ignored")
        for fact in later
        if isinstance(fact.event, MOVEMENTS)
    ]
    return Surviving([purge], [purge], [], notes, None)


def _repeated(cancel: Fact, target: Fact, facts: Sequence[Fact], dead: set[int]) -> set[int]:
    """Earlier reports of the discharge that a cancel undoes: a patient leaves once.

    An A13 that says where the patient is (PV1-3) leaves nobody discharged: an earlier report, which
    the one undone had replaced, does not come back. One that says nothing of it, or names its
    movement, undoes what it means and no more.
    """
    event = cancel.event
    assert isinstance(event, EventCancelled)  # noqa: S101  (narrows the type)
    if event.cancels is not Cancelled.DISCHARGE or event.movement is not None or not event.place:
        return set()
    repeated: set[int] = set()
    for fact in reversed(facts):
        if fact.order < target.order and id(fact) not in dead:
            if isinstance(fact.event, OPENINGS):
                break
            if isinstance(fact.event, Discharged) and _was_known(fact, cancel):
                repeated.add(id(fact))
    return repeated


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
        if isinstance(fact.event, OF_AN_ADMISSION)
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
