"""Who is who and whose is what, told by living through it: one naive world, one event at a time.

The twin folds every patient, account and visit by itself from whatever names it. Here nothing is
folded: a single world holds persons, accounts and visits as objects that know each other, and every
event changes it at once. What the twin shows must be what this world has become.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from adt_oracle import Message

from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    EncounterEvent,
    EncounterMoved,
    EncounterRenumbered,
    EncountersMerged,
    Event,
    PatientDescribed,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientsUnlinked,
)
from twin_core.identifiers import Identifier

NAMING = (EncountersMerged, EncounterRenumbered, EncounterMoved)
_ABOUT_IDENTITY = (
    *NAMING,
    PatientsMerged,
    PatientRenumbered,
    PatientIdentifiersMoved,
    PatientsLinked,
    PatientsUnlinked,
    AccountsMerged,
    AccountRenumbered,
    AccountMoved,
)
_FIRST_OF_AN_INSTANT = ("Planned", "Admitted", "Transferred", "Discharged")


class Holder:
    """A person or an account: its numbers, and the number that it was merged into, and when."""

    def __init__(self, numbers: set[Identifier]) -> None:
        self.numbers = numbers
        self.gone: tuple[int, Identifier] | None = None


class Register:
    """Holders by number."""

    def __init__(self) -> None:
        self.of: dict[Identifier, Holder] = {}
        self.apart: set[frozenset[Identifier]] = set()
        self.merges = 0

    def holder(self, number: Identifier) -> Holder:
        return self.of.setdefault(number, Holder({number}))

    def trail(self, holder: Holder) -> Iterator[Holder]:
        """A holder and those it became, until it comes round."""
        first = holder
        yield holder
        while holder.gone is not None:
            holder = self.holder(holder.gone[1])
            yield holder
            if holder is first:
                return

    def now(self, number: Identifier) -> Holder:
        return list(self.trail(self.holder(number)))[-1]

    def are_one(self, one: Identifier, other: Identifier) -> None:
        a, b = self.holder(one), self.holder(other)
        if self.now(one) is self.now(other):
            return
        both = Holder(a.numbers | b.numbers)
        both.gone = max((g for g in (a.gone, b.gone) if g is not None), default=None)
        for number in both.numbers:
            self.of[number] = both

    def listed(self, numbers: Sequence[Identifier]) -> None:
        for other in numbers[1:]:
            if frozenset((numbers[0], other)) not in self.apart:
                self.are_one(numbers[0], other)

    def merged(self, source: Identifier, target: Identifier) -> None:
        gone, kept = self.holder(source), self.holder(target)
        if gone is kept:
            return
        if gone in list(self.trail(kept)):
            kept.gone = None
        gone.gone = (self.merges, target)
        self.merges += 1

    def moved(self, numbers: Sequence[Identifier], target: Identifier) -> None:
        home = Holder(set()) if target in numbers else self.holder(target)
        for number in numbers:
            left = self.holder(number)
            if left is not home:
                stayed = left.numbers - set(numbers)
                self.apart |= {frozenset((number, other)) for other in stayed}
        for number in numbers:
            self.holder(number).numbers.discard(number)
            home.numbers.add(number)
            self.of[number] = home
        if home.gone is not None and list(self.trail(home))[-1] is home:
            home.gone = None


class Visit:
    """A visit: its numbers, and what was last said of whose it is."""

    def __init__(self) -> None:
        self.numbers: set[Identifier] = set()
        self.known = False
        self.patient: Identifier | None = None
        self.account: Identifier | None = None


class World:
    """Everything after the last event."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.people, self.accounts = Register(), Register()
        self.links: list[tuple[datetime, bool, Identifier, Identifier]] = []
        self.sexes: list[tuple[Identifier, str | None]] = []
        self.new_numbers: list[Identifier] = []
        events = _in_order(messages)
        self.visits = _visits(events)
        for event in events:
            self._live(event)

    def _live(self, event: Event) -> None:
        people, accounts = self.people, self.accounts
        match event:
            case PatientDescribed():
                people.listed(event.patient)
                if isinstance(event.demographics.sex, str | None):
                    self.sexes.append((event.patient[0], event.demographics.sex))
            case PatientsMerged():
                people.merged(event.source, event.target)
            case PatientRenumbered():
                people.are_one(event.target, event.source)
            case PatientIdentifiersMoved():
                people.moved(event.identifiers, event.target)
            case PatientsLinked() | PatientsUnlinked():
                linked = isinstance(event, PatientsLinked)
                self.links.append((event.occurred_at, linked, event.one, event.other))
            case AccountsMerged():
                accounts.merged(event.source, event.target)
            case AccountRenumbered():
                accounts.are_one(event.target, event.source)
                self.new_numbers.append(event.target)
            case AccountMoved():
                for visit in self.visits:
                    if visit.account and accounts.now(visit.account) is accounts.now(event.account):
                        visit.patient = event.patient[0]
            case EncounterEvent():
                visit = next(v for v in self.visits if event.encounter[0] in v.numbers)
                visit.known = visit.known or not isinstance(event, NAMING)
                visit.patient = event.patient[0] if event.patient else visit.patient
                visit.account = event.account or visit.account

    # --- what can be asked -------------------------------------------------------------------

    def owner(self, visit: Visit) -> frozenset[Identifier] | None:
        """The numbers of the person whose visit it is."""
        if visit.patient is None:
            return None
        return frozenset(self.people.now(visit.patient).numbers)

    def billed(self, visit: Visit) -> tuple[frozenset[Identifier], str] | None:
        """Every number that leads to the account of a visit, and the number it goes by."""
        if visit.account is None:
            return None
        account = self.accounts.now(visit.account)
        numbers = frozenset(n for n in list(self.accounts.of) if self.accounts.now(n) is account)
        changed = [n for n in self.new_numbers if n in account.numbers]
        present = changed[-1] if changed else min(account.numbers, key=lambda n: n.key)
        return numbers, present.value

    def linked(self, at: datetime) -> set[frozenset[frozenset[Identifier]]]:
        """The pairs of persons who are linked at an instant."""
        latest: dict[frozenset[frozenset[Identifier]], bool] = {}
        for since, linked, one, other in self.links:
            if since <= at:
                people = (self.people.now(one), self.people.now(other))
                if people[0] is not people[1]:
                    latest[frozenset(frozenset(p.numbers) for p in people)] = linked
        return {pair for pair, linked in latest.items() if linked}

    def in_dispute(self) -> set[frozenset[Identifier]]:
        """The persons of whose sex the records that became theirs say different things."""
        last = {id(self.people.holder(n)): (n, sex) for n, sex in self.sexes}
        said: dict[frozenset[Identifier], set[str]] = {}
        for number, sex in last.values():
            if sex not in (None, "unknown"):
                said.setdefault(frozenset(self.people.now(number).numbers), set()).add(sex)
        return {person for person, sexes in said.items() if len(sexes) > 1}


def _visits(events: Sequence[Event]) -> list[Visit]:
    # Two numbers of one visit are two numbers of it from the first: the visit did not change.
    groups: list[set[Identifier]] = []
    for event in events:
        if isinstance(event, EncounterEvent):
            group = set(event.encounter)
            for other in [g for g in groups if g & group]:
                group |= other
                groups.remove(other)
            groups.append(group)
    visits = []
    for group in groups:
        visit = Visit()
        visit.numbers = group
        visits.append(visit)
    return visits


def _in_order(messages: Iterable[Message]) -> list[Event]:
    def position(message: Message) -> tuple[datetime, int, datetime, int, int]:
        event, name = message.event, type(message.event).__name__
        if isinstance(event, _ABOUT_IDENTITY):
            rank = 10
        elif name in _FIRST_OF_AN_INSTANT:
            rank = _FIRST_OF_AN_INSTANT.index(name)
        else:
            rank = 20
        return (event.occurred_at, rank, message.sent_at, message.control, message.ordinal)

    return [message.event for message in sorted(messages, key=position)]
