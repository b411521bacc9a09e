"""Movements that were corrected: an update takes the place of what it corrects.

IHE PAM names every movement (ZBE-1); an UPDATE restates the latest statement of that name that was
entered before it, whenever either arrived. What the update leaves empty stays as it was. A movement
that was cancelled is no more: an update of it entered after that changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import UNSET
from msgspec.structs import asdict, replace

from twin_core.events import (
    AdmissionPending,
    Admitted,
    Arrived,
    AttendingChanged,
    Cancelled,
    ClassChanged,
    ConsultantsChanged,
    Departed,
    Discharged,
    DischargePending,
    EncounterEvent,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    Movement,
    Planned,
    Registered,
    TransferPending,
    Transferred,
    Visit,
)
from twin_core.store.facts import Fact, Order
from twin_core.store.fold.rows import Note

Entry = tuple[datetime, bool, Order]
"""When a movement was stated: entered at, an update after what it corrects, then the order."""


UNDOES: dict[Cancelled, tuple[type[Event], ...]] = {
    Cancelled.ADMISSION: (Admitted, Registered),
    Cancelled.TRANSFER: (Transferred,),
    Cancelled.DISCHARGE: (Discharged,),
    Cancelled.CLASS_CHANGE: (ClassChanged,),
    Cancelled.PRE_ADMISSION: (Planned,),
    Cancelled.PENDING_ADMISSION: (AdmissionPending,),
    Cancelled.PENDING_TRANSFER: (TransferPending,),
    Cancelled.PENDING_DISCHARGE: (DischargePending,),
    Cancelled.DEPARTURE: (Departed,),
    Cancelled.ARRIVAL: (Arrived,),
    Cancelled.LEAVE: (LeaveStarted,),
    Cancelled.RETURN: (LeaveEnded,),
    Cancelled.ATTENDING: (AttendingChanged,),
    Cancelled.CONSULTANTS: (ConsultantsChanged,),
}


def corrected(facts: Sequence[Fact]) -> tuple[list[Fact], list[Note]]:
    """The facts in order, each update in the place of the statement that it corrects; findings."""
    named = sorted((fact for fact in facts if _names_a_movement(fact)), key=_entry)
    cancels = [fact for fact in facts if _cancels_a_movement(fact)]
    latest: dict[str, Fact] = {}
    stands: dict[Order, Fact] = {fact.order: fact for fact in facts}
    notes: list[Note] = []
    for fact in named:
        event = _event(fact)
        movement = event.movement
        assert movement is not None  # noqa: S101  (narrows the type)
        if movement.corrects:
            known = [latest[name] for name in movement.identifiers if name in latest]
            before = max(known, key=_entry) if known else None
            if any(_cancelled_before(fact, before, cancel) for cancel in cancels):
                del stands[fact.order]
                detail = "it was cancelled before: the update changes nothing"
                notes.append(Note("update_of_cancelled_movement", fact, detail))
                continue
            if before is not None:
                del stands[before.order]
                fact = stands[fact.order] = fact._replace(event=_completed(event, _event(before)))
        latest.update(dict.fromkeys(_names_of(_event(fact)), fact))
    return [stands[fact.order] for fact in facts if fact.order in stands], notes


def _cancelled_before(update: Fact, before: Fact | None, cancel: Fact) -> bool:
    """Whether a cancel of the movement was stated before its update, and nothing of it between."""
    event, undoing = _event(update), cancel.event
    assert isinstance(undoing, EventCancelled)  # noqa: S101  (narrows the type)
    return (
        isinstance(event, UNDOES[undoing.cancels])
        and not set(_names_of(event)).isdisjoint(_names_of(undoing))
        and stated(cancel) < stated(update)
        and (before is None or stated(before) < stated(cancel))
    )


def stated(fact: Fact) -> tuple[datetime, *tuple[object, ...]]:
    """Where a fact stands among all that was said: entered at, then what tells messages apart."""
    event = fact.event
    entered_at = event.entered_at if isinstance(event, EncounterEvent) else event.occurred_at
    return (entered_at, *fact.order[2:])


def _completed(update: EncounterEvent, before: EncounterEvent) -> EncounterEvent:
    """An update with what it does not say taken from what it corrects."""
    said = asdict(before.visit)
    said.update({name: value for name, value in asdict(update.visit).items() if value is not UNSET})
    names = tuple(dict.fromkeys((*_names_of(update), *_names_of(before))))
    return replace(
        update,
        visit=Visit(**said),
        place=update.place or before.place,
        movement=Movement(identifiers=names, corrects=True),
    )


def _names_a_movement(fact: Fact) -> bool:
    event = _event(fact)
    return event.movement is not None and not isinstance(event, EventCancelled)


def _cancels_a_movement(fact: Fact) -> bool:
    event = fact.event
    return isinstance(event, EventCancelled) and event.movement is not None


def _names_of(event: EncounterEvent) -> tuple[str, ...]:
    return event.movement.identifiers if event.movement is not None else ()


def _entry(fact: Fact) -> Entry:
    event = _event(fact)
    corrects = event.movement is not None and event.movement.corrects
    return (event.entered_at, corrects, fact.order)


def _event(fact: Fact) -> EncounterEvent:
    event = fact.event
    assert isinstance(event, EncounterEvent)  # noqa: S101  (narrows the type)
    return event
