"""Time that S23 blocks and S24 opens, against a clock that is asked about every hour by itself."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from twin_core.events import CareStated
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact, order_of
from twin_core.store.fold.slots import standing_slots

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
SLOT = Identifier("SCHED|HOSP", "Slot/F1/room 1", "reference")
BLOCKED, FREE = "busy-unavailable", "free"


class Said(NamedTuple):
    """What one message says: a status, from one hour on to another."""

    status: str
    from_hour: int
    hours: int


SAID = st.builds(
    Said,
    st.sampled_from([BLOCKED, FREE]),
    st.integers(0, 11),
    st.integers(1, 8),
)


def hour(number: int) -> datetime:
    return MIDNIGHT + timedelta(hours=number)


def fact(number: int, status: str, start: datetime | None, end: datetime | None) -> Fact:
    event = CareStated(
        occurred_at=MIDNIGHT + timedelta(minutes=number),
        source="SCHED|HOSP",
        subject=SLOT,
        resource_type="Slot",
        status=status,
        starts_at=start,
        ends_at=end,
    )
    order = order_of(
        event, sent_at=event.occurred_at, sequence=0, control="", digest=b"", ordinal=0
    )
    return Fact(order, event, number, MIDNIGHT, "hl7v2")


def told(said: list[Said]) -> list[Fact]:
    return [
        fact(n, one.status, hour(one.from_hour), hour(one.from_hour + one.hours))
        for n, one in enumerate(said)
    ]


def slots(facts: list[Fact]) -> list[tuple[str, datetime | None, datetime | None]]:
    return [(event.status, event.starts_at, event.ends_at) for _, event in standing_slots(facts)]


@given(st.lists(SAID, max_size=12))
def test_every_hour_is_as_the_last_message_about_it_says(said: list[Said]) -> None:
    hours: dict[int, str] = {}
    for one in said:
        for at in range(one.from_hour, one.from_hour + one.hours):
            hours[at] = one.status
    found = slots(told(said))
    for at in range(24):
        names = [s for s, start, end in found if start and end and start <= hour(at) < end]
        assert names == ([hours[at]] if at in hours else [])
    assert found == sorted(found, key=lambda slot: (slot[1], slot[2]))
    for (status, _, end), (later, start, _) in pairwise(found):
        assert (status, end) != (later, start), "one stretch of time is one slot"


@given(st.lists(SAID, min_size=1, max_size=8))
def test_what_is_opened_without_a_time_is_all_that_was_blocked(said: list[Said]) -> None:
    facts = told(said)
    was = slots(facts)
    opened = slots([*facts, fact(len(said), FREE, None, None)])
    assert {status for status, _, _ in opened} == {FREE}
    length = sum((end - start for _, start, end in was if start and end), timedelta())
    assert sum((end - start for _, start, end in opened if start and end), timedelta()) == length


def test_an_end_that_nobody_tells_is_that_of_the_time_around_it() -> None:
    block = fact(0, BLOCKED, hour(9), hour(12))
    assert slots([block, fact(1, FREE, hour(9), None)]) == [(FREE, hour(9), hour(12))]
    assert slots([block, fact(1, FREE, hour(11), None)]) == [
        (BLOCKED, hour(9), hour(11)),
        (FREE, hour(11), hour(12)),
    ]
    alone = fact(0, BLOCKED, hour(9), None)
    assert slots([alone]) == [(BLOCKED, hour(9), None)]
    assert slots([alone, fact(1, FREE, hour(9), None)]) == [(FREE, hour(9), None)]
    assert slots([alone, fact(1, FREE, hour(8), hour(10))]) == [(FREE, hour(8), hour(10))]


def test_a_block_without_any_time_is_one_slot() -> None:
    assert slots([fact(0, BLOCKED, None, None)]) == [(BLOCKED, None, None)]
    again = [fact(0, BLOCKED, None, None), fact(1, FREE, None, None)]
    assert slots(again) == [(FREE, None, None)]
