"""Time of a schedule that messages of one number blocked, and what of it was opened again.

S23 blocks time of a schedule and S24 opens it. Neither need name the time that another message of
the number named: each says how the schedule stands from one instant to another, and nothing of the
rest. So a message changes the time that it names and no other; one that names none is about all.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from twin_core.events import CareStated
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact

Told = tuple[Fact, CareStated]
"""A statement as it stands now, and the fact that it comes from."""


class Span(NamedTuple):
    """Time of a schedule, half-open, and what says how it stands."""

    from_at: datetime
    to_at: datetime | None
    """None where no message says when it ends; then nothing but its beginning is known."""
    told: Told

    def meets(self, from_at: datetime, to_at: datetime | None) -> bool:
        """Whether some of it lies within a period."""
        if to_at is None:
            return self.from_at == from_at
        if self.to_at is None:
            return from_at <= self.from_at < to_at
        return self.from_at < to_at and from_at < self.to_at

    def outside(self, from_at: datetime, to_at: datetime | None) -> Iterator["Span"]:
        """What of it lies before and after a period."""
        if not self.meets(from_at, to_at):
            yield self
            return
        if self.from_at < from_at:
            yield self._replace(to_at=from_at)
        if self.to_at is not None and to_at is not None and to_at < self.to_at:
            yield self._replace(from_at=to_at)


def told_by_messages(facts: Sequence[Fact]) -> bool:
    """Whether facts tell of slots as messages do, and not each slot whole as FHIR servers do."""
    return any(
        fact.format != "fhir"
        and isinstance(fact.event, CareStated)
        and fact.event.resource_type == "Slot"
        for fact in facts
    )


def standing_slots(facts: Sequence[Fact]) -> list[Told]:
    """The slots that the messages of one number leave, given its facts in order.

    Each has a subject of its own: that of the number, and the instant at which the slot begins.
    Where no message says when it is, there is one slot, without a time.
    """
    spans: list[Span] = []
    undated: list[Told] = []
    for fact in facts:
        event = fact.event
        if not isinstance(event, CareStated):
            continue
        if event.starts_at is not None:
            spans = _joined(_after(spans, (fact, event), event.starts_at))
        elif spans:
            spans = _joined(span._replace(told=(fact, event)) for span in spans)
        else:
            undated = [(fact, event)]
    return [_slot(span) for span in spans] or undated


def _after(spans: Sequence[Span], told: Told, from_at: datetime) -> list[Span]:
    """The spans by their beginnings, after a message about the time from an instant on."""
    to_at = told[1].ends_at
    if to_at is None or to_at <= from_at:
        around = (s.to_at for s in spans if s.to_at and s.from_at <= from_at < s.to_at)
        to_at = next(around, None)
    kept = [part for span in spans for part in span.outside(from_at, to_at)]
    return sorted([*kept, Span(from_at, to_at, told)], key=lambda span: span.from_at)


def _joined(spans: Iterator[Span] | Sequence[Span]) -> list[Span]:
    """The spans, those that follow each other and stand alike as one."""
    joined: list[Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and last.to_at == span.from_at and last.told[1].status == span.told[1].status:
            joined[-1] = last._replace(to_at=span.to_at)
        else:
            joined.append(span)
    return joined


def _slot(span: Span) -> Told:
    fact, event = span.told
    known_as = f"{event.subject.value}/{span.from_at.isoformat()}"
    subject = Identifier(event.subject.system, known_as, event.subject.type)
    return fact, replace(event, subject=subject, starts_at=span.from_at, ends_at=span.to_at)
