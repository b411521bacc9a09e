"""FHIR statements of one resource: which one counts, and what its periods amount to."""

from collections.abc import Callable, Sequence
from datetime import datetime

from twin_core.events import EncounterStated, StatedPeriod, Statement
from twin_core.identifiers import Place
from twin_core.store.facts import Fact, Order, natural
from twin_core.store.fold.rows import ResolvedPlace


def latest_statements(facts: Sequence[Fact]) -> list[Fact]:
    """Per source and resource the latest version, in order of the facts.

    A version supersedes by meta.lastUpdated, then meta.versionId in natural order, then the
    order of facts.
    """
    if len(facts) == 1:
        return [facts[0]] if isinstance(facts[0].event, Statement) else []
    latest: dict[tuple[str, str, str], Fact] = {}
    for fact in facts:
        event = fact.event
        if isinstance(event, Statement):
            key = (event.source, event.subject.system, event.subject.value)
            held = latest.get(key)
            if held is None or version_of(fact) >= version_of(held):
                latest[key] = fact
    return sorted(latest.values(), key=lambda fact: fact.order)


Version = tuple[datetime, str, Order]
"""When a statement was made, its version in natural order, and its place among the facts."""


def version_of(fact: Fact) -> Version:
    """What makes one statement of a resource later than another."""
    event = fact.event
    assert isinstance(event, Statement)  # noqa: S101  (narrows the type)
    return (event.occurred_at, natural(event.version), fact.order)


def changes_of(
    periods: Sequence[StatedPeriod], now_value: str, start: datetime | None
) -> list[tuple[datetime, str]]:
    """Status or class history as (instant, code) changes, ending in the current value."""
    if not periods:
        return [(start, now_value)] if now_value and start is not None else []
    dated = [(p.start, p.value) for p in periods if p.start is not None]
    changes: list[tuple[datetime, str]] = []
    for at, value in sorted(dated):
        if not changes or changes[-1][1] != value:
            changes.append((at, value))
    if now_value and (not changes or changes[-1][1] != now_value):
        ends = [p.end for p in periods if p.end is not None]
        at_latest = max(ends) if ends else start
        if at_latest is not None:
            changes.append((at_latest, now_value))
    return changes


def stated_stays(
    event: EncounterStated,
    locate: Callable[[Place], ResolvedPlace],
    start: datetime | None,
    end: datetime | None,
) -> list[tuple[ResolvedPlace, datetime, datetime | None]]:
    """The stays of a FHIR Encounter: its most specific locations, with the encounter's own ends."""
    if not event.locations:
        return []
    found = []
    for period in event.locations:
        from_at = period.start or start
        to_at = period.end or end
        if from_at is None or (to_at is not None and to_at <= from_at):
            continue
        found.append((locate(period.place), from_at, to_at))
    if len(found) < 2:
        return found
    return [stay for stay in found if not any(_covers(other, stay) for other in found)]


_Stay = tuple[ResolvedPlace, datetime, datetime | None]


def _covers(finer: _Stay, coarser: _Stay) -> bool:
    # A ward listed beside one of its beds for the same time is the same stay said twice.
    if finer is coarser or not _overlap(finer, coarser):
        return False
    inside, outside = finer[0][:4], coarser[0][:4]
    if not coarser[0].known or inside == outside:
        return False
    return all(o == i or not o for i, o in zip(inside, outside, strict=True))


def _overlap(one: _Stay, other: _Stay) -> bool:
    starts_before = one[2] is None or other[1] < one[2]
    return starts_before and (other[2] is None or one[1] < other[2])
