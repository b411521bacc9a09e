"""Movements that were corrected: an update takes the place of what it corrects.

IHE PAM names every movement (ZBE-1); an UPDATE restates the latest statement of that name that was
entered before it, whenever either arrived. What the update leaves empty stays as it was.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import UNSET
from msgspec.structs import asdict, replace

from twin_core.events import EncounterEvent, EventCancelled, Movement, Visit
from twin_core.store.facts import Fact, Order

Entry = tuple[datetime, bool, Order]
"""When a movement was stated: entered at, an update after what it corrects, then the order."""


def corrected(facts: Sequence[Fact]) -> list[Fact]:
    """The facts in order, each update in the place of the statement that it corrects."""
    stated = sorted((fact for fact in facts if _names_a_movement(fact)), key=_entry)
    latest: dict[str, Fact] = {}
    stands: dict[Order, Fact] = {fact.order: fact for fact in facts}
    for fact in stated:
        event = _event(fact)
        movement = event.movement
        assert movement is not None  # noqa: S101  (narrows the type)
        names = movement.identifiers
        if movement.corrects and any(name in latest for name in names):
            before = max((latest[name] for name in names if name in latest), key=_entry)
            del stands[before.order]
            fact = stands[fact.order] = fact._replace(event=_completed(event, _event(before)))
        latest.update(dict.fromkeys(_names_of(_event(fact)), fact))
    return [stands[fact.order] for fact in facts if fact.order in stands]


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
