"""Messages that name a visit by nothing but its account, brought to the visit they are about.

Some systems send PV1-19 in every message and others only PID-18. A message that names only an
account is about the visit of that account and patient which other messages name by a number of its
own, where one fits; of several, about the one that is open at its time, and a cancelled discharge
(A13) about the one that had been discharged.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from twin_core.events import (
    Admitted,
    Cancelled,
    Discharged,
    EncounterContinued,
    EncounterEvent,
    Event,
    EventCancelled,
    Planned,
    Registered,
)
from twin_core.store.facts import Fact
from twin_core.store.fold.belonging import NAMING_ONLY
from twin_core.store.fold.rows import Note

_BEGINNINGS = (Admitted, Registered, Planned)


class NumberedVisit(NamedTuple):
    """A visit with a number of its own, as the messages that give the number tell it."""

    owner: int
    patient_id: str | None
    from_at: datetime | None
    to_at: datetime | None

    def is_open(self, at: datetime) -> bool:
        """Whether the visit had begun and not ended before an instant."""
        return (self.from_at is None or self.from_at <= at) and not self.is_over(at)

    def is_over(self, at: datetime) -> bool:
        """Whether the visit had ended before an instant."""
        return self.to_at is not None and self.to_at < at


class Shared(NamedTuple):
    """What an account's own messages are about: facts by owner of the visit, the rest, findings."""

    given: dict[int, list[Fact]]
    kept: list[Fact]
    notes: list[Note]
    continued: list[tuple[int, Fact]]
    """Owners of visits that went on under another number, each with the fact that says so."""
    unsure: list[Note]
    """Of facts that say so where several visits may be meant."""


def names_only_account(event: Event) -> bool:
    """Whether an event names its visit by the account alone (PID-18 without PV1-19)."""
    return isinstance(event, EncounterEvent) and event.encounter == (event.account,)


def is_of_account(facts: Sequence[Fact]) -> bool:
    """Whether nothing but its account ever named a visit."""
    return all(names_only_account(f.event) or isinstance(f.event, NAMING_ONLY) for f in facts)


def share(
    facts: Sequence[Fact],
    visits: Sequence[NumberedVisit],
    whose: Callable[[Event], str | None],
    own: int = 0,
) -> Shared:
    """Facts in order that name only an account, each given to the visit of its patient that fits.

    A beginning after a visit had ended begins another one, which keeps what follows. `own` is the
    owner of the visit that only the account names.
    """
    shared = Shared({}, [], [], [], [])
    known = {visit.owner: visit for visit in visits}
    ends = [(whose(f.event), f.event.occurred_at) for f in facts if _ends(f.event)]
    apart: set[str | None] = set()
    for fact in facts:
        patient_id = whose(fact.event)
        at = fact.event.occurred_at
        if isinstance(fact.event, EncounterContinued):
            _continue(shared, fact, [v for v in known.values() if v.patient_id == patient_id], own)
            shared.kept.append(fact)
            if shared.continued and shared.continued[-1][1] is fact:
                gone = shared.continued[-1][0]
                if gone in known:  # what names this account later is rather about another visit
                    known[gone] = known[gone]._replace(to_at=at)
            continue
        over = [end for who, end in ends if who == patient_id and at <= end]
        fitting = [
            visit
            for visit in known.values()
            if visit.patient_id == patient_id and _fits(visit, fact.event, over)
        ]
        if isinstance(fact.event, NAMING_ONLY) or patient_id in apart:
            fitting = []
        elif not fitting and isinstance(fact.event, _BEGINNINGS):
            apart.add(patient_id)
        chosen = fitting if len(fitting) < 2 else _meant(fitting, fact.event)
        if len(chosen) != 1:
            shared.kept.append(fact)
            if fitting:
                detail = "several visits of the account that it names may be meant"
                shared.notes.append(Note("ambiguous_account", fact, detail))
            continue
        [visit] = chosen
        shared.given.setdefault(visit.owner, []).append(fact)
        if _ends(fact.event):
            known[visit.owner] = visit._replace(to_at=at)
        elif _cancels_end(fact.event):
            known[visit.owner] = visit._replace(to_at=None)
    return shared


def _continue(shared: Shared, fact: Fact, visits: Sequence[NumberedVisit], own: int) -> None:
    """Find the visit that goes on under another number: the one that is open then."""
    at = fact.event.occurred_at
    going_on = [visit.owner for visit in visits if visit.is_open(at)]
    patient = getattr(fact.event, "patient", ())
    if _is_under_way(kept for kept in shared.kept if getattr(kept.event, "patient", ()) == patient):
        going_on.append(own)
    if len(going_on) == 1:
        shared.continued.append((going_on[0], fact))
    elif going_on:
        detail = "several visits of the prior account may go on under the new number"
        shared.unsure.append(Note("ambiguous_account", fact, detail))


def _is_under_way(facts: Iterable[Fact]) -> bool:
    known = [fact.event for fact in facts if not isinstance(fact.event, NAMING_ONLY)]
    return bool(known) and not _ends(known[-1])


def _meant(visits: Sequence[NumberedVisit], event: Event) -> list[NumberedVisit]:
    """Which of several visits an event may be about."""
    at = event.occurred_at
    if isinstance(event, EventCancelled) and _cancels_end(event):
        ended = [visit for visit in visits if visit.to_at is not None and visit.to_at <= at]
        last = max((visit.to_at for visit in ended if visit.to_at is not None), default=None)
        for told in (event.cancelled_at, last):
            if found := [visit for visit in ended if visit.to_at == told]:
                return found
    return [visit for visit in visits if visit.is_open(at)]


def _cancels_end(event: Event) -> bool:
    return isinstance(event, EventCancelled) and event.cancels is Cancelled.DISCHARGE


def _ends(event: Event) -> bool:
    return isinstance(event, Discharged)


def _fits(visit: NumberedVisit, event: Event, over: Sequence[datetime]) -> bool:
    if isinstance(event, _BEGINNINGS) and visit.is_over(event.occurred_at):
        return False
    # What was over before the visit began was another visit.
    return visit.from_at is None or not any(end < visit.from_at for end in over)
