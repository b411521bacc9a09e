"""Links between people whose records remain two (A24), until they are taken back (A37)."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from twin_core.events import PatientsLinked, PatientsUnlinked
from twin_core.store.facts import Fact
from twin_core.store.fold.records import Key
from twin_core.store.fold.rows import EntityRow

_Pair = tuple[str, str]


def links(facts: Sequence[Fact], survivors: dict[Key, str]) -> Iterator[EntityRow]:
    """The links of a family of people as rows, from both sides, between records that survived."""
    open_since: dict[_Pair, datetime] = {}
    periods: list[tuple[_Pair, datetime, datetime | None]] = []
    for fact in facts:
        event = fact.event
        if not isinstance(event, PatientsLinked | PatientsUnlinked):
            continue
        one, other = sorted((survivors[event.one.key], survivors[event.other.key]))
        pair, at = (one, other), event.occurred_at
        if isinstance(event, PatientsLinked):
            open_since.setdefault(pair, at)
        elif pair in open_since:
            periods.append((pair, open_since.pop(pair), at))
    periods += [(pair, since, None) for pair, since in open_since.items()]
    for (one, other), since, until in periods:
        if one != other and until != since:
            yield ("patient_link", (one, other, since, until))
            yield ("patient_link", (other, one, since, until))
