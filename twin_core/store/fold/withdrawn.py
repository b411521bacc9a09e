"""What is left of the facts about something once deleted resources are taken out of them.

A deletion withdraws what its own source stated of that resource, and nothing else. What the source
states of it later counts again. The facts themselves stay in the journal.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from twin_core.events import (
    AppointmentStated,
    EncounterStated,
    PatientsMerged,
    Statement,
    Withdrawn,
)
from twin_core.store.facts import Fact
from twin_core.store.fold.belonging import is_known
from twin_core.store.fold.records import Key
from twin_core.store.fold.stated import Version, version_of

_SECOND = timedelta(seconds=1)


class _Deleted(NamedTuple):
    """The deletions of one resource: the newest dated one, and those known by receipt only."""

    dated: Fact | None
    by_receipt: Sequence[Version]
    """Of each of the others the newest version that had been received before."""


def standing(facts: Sequence[Fact]) -> list[Fact]:
    """The facts that no deletion has withdrawn, without the deletions, in their order."""
    kept, _ = _parted(facts)
    return kept


def standing_of_encounter(facts: Sequence[Fact]) -> list[Fact]:
    """`standing`; an encounter of which nothing else is left was entered in error.

    Such an encounter keeps its row, as a cancelled one does, with the last that was stated of it.
    """
    kept, gone = _parted(facts)
    stated = [fact for fact in gone if isinstance(fact.event, EncounterStated)]
    if is_known(kept) or not stated:
        return kept
    last = max(stated, key=version_of)
    return sorted([*kept, last._replace(event=_in_error(last.event))], key=lambda f: f.order)


def standing_of_appointment(facts: Sequence[Fact]) -> list[Fact]:
    """`standing`; an appointment of which nothing else is left was entered in error."""
    kept, gone = _parted(facts)
    if kept or not gone:
        return kept
    *before, last = sorted(gone, key=version_of)
    event = last.event
    assert isinstance(event, AppointmentStated)  # noqa: S101  (nothing else of one is a statement)
    booking = msgspec.structs.replace(event.booking, status="entered-in-error")
    return [*before, last._replace(event=msgspec.structs.replace(event, booking=booking))]


def _in_error(event: object) -> EncounterStated:
    assert isinstance(event, EncounterStated)  # noqa: S101  (narrows the type)
    return msgspec.structs.replace(
        event, status="entered-in-error", statuses=(), locations=(), milestones=(), part_of=None
    )


def _parted(facts: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
    deleted = _deletions(facts)
    kept: list[Fact] = []
    gone: list[Fact] = []
    for fact in facts:
        if not isinstance(fact.event, Withdrawn):
            (gone if _is_void(fact, deleted) else kept).append(fact)
    return _without_merges(kept, gone), gone


def _deletions(facts: Sequence[Fact]) -> dict[Key, _Deleted]:
    of: dict[Key, list[Fact]] = defaultdict(list)
    stated: dict[Key, list[Fact]] = defaultdict(list)
    for fact in facts:
        event = fact.event
        if isinstance(event, Withdrawn):
            of[event.subject.key].append(fact)
        elif isinstance(event, Statement):
            stated[event.subject.key].append(fact)
    return {key: _deleted(gone, stated[key]) for key, gone in of.items()}


def _deleted(gone: Sequence[Fact], stated: Sequence[Fact]) -> _Deleted:
    dated = [fact for fact in gone if _withdrawal(fact).dated]
    by_receipt: list[Version] = []
    for fact in gone:
        if not _withdrawal(fact).dated:
            before = [version_of(s) for s in stated if s.message_id < fact.message_id]
            by_receipt += [max(before)] if before else []
    return _Deleted(max(dated, key=version_of, default=None), by_receipt)


def _is_void(fact: Fact, deleted: dict[Key, _Deleted]) -> bool:
    event = fact.event
    if not isinstance(event, Statement) or event.subject.key not in deleted:
        return False
    found = deleted[event.subject.key]
    if found.dated is not None and _precedes(event, _withdrawal(found.dated)):
        return True
    return any(version_of(fact)[:2] <= newest[:2] for newest in found.by_receipt)


def _precedes(stated: Statement, deletion: Withdrawn) -> bool:
    """Whether a statement is older than a deletion that its source has dated.

    Some sources date to the second: within one second their version numbers decide, if they count.
    """
    apart = stated.occurred_at - deletion.occurred_at
    if -_SECOND < apart < _SECOND and stated.version.isdecimal() and deletion.version.isdecimal():
        return int(stated.version) <= int(deletion.version)
    return stated.occurred_at <= deletion.occurred_at


def _without_merges(kept: list[Fact], gone: Iterable[Fact]) -> list[Fact]:
    """Without the merges that a withdrawn Patient told of (link.type replaces)."""
    told = {(fact.message_id, _key(fact)) for fact in gone}

    def stands(fact: Fact) -> bool:
        event = fact.event
        if not isinstance(event, PatientsMerged):
            return True
        return (fact.message_id, event.target.key) not in told

    return [fact for fact in kept if stands(fact)] if told else kept


def _key(fact: Fact) -> Key:
    event = fact.event
    assert isinstance(event, Statement)  # noqa: S101  (only statements are withdrawn)
    return event.subject.key


def _withdrawal(fact: Fact) -> Withdrawn:
    event = fact.event
    assert isinstance(event, Withdrawn)  # noqa: S101  (narrows the type)
    return event


STANDING: dict[str, Callable[[Sequence[Fact]], list[Fact]]] = {
    "e": standing_of_encounter,
    "a": standing_of_appointment,
}
"""What is left of the facts of a kind of entity, where it is not `standing`."""
