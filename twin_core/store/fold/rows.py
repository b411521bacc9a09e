"""What folds give and what they may ask: rows of entities, findings, and how others resolve."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from twin_core.identifiers import Identifier, Place, content_id
from twin_core.store.facts import Fact, Order

EntityRow = tuple[str, tuple[object, ...]]
"""Name of an entity in `tables.ENTITIES`, and its columns in order."""


class ResolvedPlace(NamedTuple):
    """Where a place is in the hospital; empty parts are unknown.

    `known` is False for a reference to a Location that no source has described yet.
    """

    facility: str
    unit: str
    room: str
    bed: str
    location_id: str
    known: bool = True

    def agrees_with(self, other: "ResolvedPlace") -> bool:
        """Whether two statements can be about one place: what both of them say is equal."""
        pairs = zip(self[:4], other[:4], strict=True)
        return all(mine == theirs for mine, theirs in pairs if mine and theirs)


class AccountMove(NamedTuple):
    """From a place in the order of facts on, an account is this patient's."""

    order: Order
    patient: tuple[Identifier, ...]


class Account(NamedTuple):
    """An account as a message names it: which one that is now, and whose it became when."""

    account_id: str
    number: str
    moves: Sequence[AccountMove] = ()


def plain_account(named: Identifier) -> Account:
    """An account of which nothing is known but its number."""
    return Account(content_id("b", named.system, named.value), named.value)


class VisitNamed(NamedTuple):
    """A visit as a message names it; `described` by any message; `ambiguous` if others may fit."""

    encounter_id: str
    described: bool
    ambiguous: bool = False


class Resolver(NamedTuple):
    """What an encounter's fold asks of the rest of the store."""

    place: Callable[[Place], ResolvedPlace]
    patient: Callable[[Sequence[Identifier]], tuple[str | None, bool]]
    """The surviving patient_id of whom the first identifier names, and whether anyone described
    that person."""
    encounter: Callable[[Identifier], tuple[str, bool]]
    """encounter_id for an identifier, and whether that encounter has been described."""
    location: Callable[[Identifier], tuple[str, bool]]
    device: Callable[[Identifier], str]
    """device_id for an identifier of a device."""
    account: Callable[[Identifier], Account] = plain_account
    of_account: Callable[[Identifier, str | None, datetime | None], VisitNamed] | None = None
    """The visit of an account and a patient at an instant, for messages that name no other."""
    device_known: Callable[[Identifier], bool] = lambda _: True
    """Whether anyone described a device, or it is known by a number of its own."""
    care: Callable[[Identifier], bool] = lambda _: True
    """Whether anyone described a request, a task, a procedure or a schedule."""

    def visit(self, named: Identifier, patient_id: str | None, at: datetime | None) -> VisitNamed:
        """The visit that a message about a patient and an instant names by a number."""
        if named.type == "AN" and self.of_account is not None:
            return self.of_account(named, patient_id, at)
        return VisitNamed(*self.encounter(named))


class Note(NamedTuple):
    """A finding of a fold, before it is given an id."""

    kind: str
    fact: Fact | None
    detail: str


def nobody_described(kind: str, id_: str | None) -> str:
    """The words of a finding about a reference: which kind of resource, and the id it has here."""
    return f"{'an' if kind[0] in 'AEO' else 'a'} {kind} nobody has described: {id_}"


def unresolved(fact: Fact, kind: str, id_: str | None) -> Note:
    """A reference to something that no source has described, or that was deleted."""
    return Note("unresolved_reference", fact, nobody_described(kind, id_))


def finding_row(note: Note, subject: str, found_at: datetime) -> EntityRow:
    """A finding as a row. Its id comes from what it says, so a refold gives the same one."""
    fact = note.fact
    origin = fact.order[5].hex() if fact else ""
    return (
        "fold_finding",
        (
            content_id("f", note.kind, subject, origin, note.detail),
            note.kind,
            subject,
            fact.message_id if fact else None,
            fact.recorded_at if fact else found_at,
            note.detail,
        ),
    )


_TYPE_RANK = {"start": 3, "reference": 2, "path": 2}


def canonical(identifiers: Sequence[Identifier]) -> Identifier:
    """The identifier that names an entity: business identifiers before references."""
    return min(identifiers, key=lambda i: (_TYPE_RANK.get(i.type, 0), i.system, i.value))


def text(value: object) -> object:
    """Empty text as NULL."""
    return value or None
