"""What a remembered family skips: whom a message says nothing new of is not folded again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from twin_core.events import Demographics, EncounterStated, PatientDescribed, PatientsMerged
from twin_core.identifiers import REFERENCE, Identifier
from twin_core.store.facts import Fact, order_of
from twin_core.store.fold.patient import fold_people, fold_records
from twin_core.store.units import REMEMBERED_FACTS, Unit, Units

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NUMBERS = [Identifier("urn:mrn", str(n), "MR") for n in range(3)]

described = st.builds(
    PatientDescribed,
    occurred_at=st.sampled_from([NOON, NOON + timedelta(hours=1)]),
    patient=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=2, unique=True).map(tuple),
    demographics=st.builds(
        Demographics,
        sex=st.sampled_from([UNSET, None, "female", "male"]),
        birth_date=st.sampled_from([UNSET, "1950-01-01", "1951"]),
    ),
    other_identifiers=st.sampled_from([(), (Identifier("urn:ssn", "1", "SS"),)]),
)
merged = st.builds(
    PatientsMerged,
    occurred_at=st.just(NOON),
    source=st.sampled_from(NUMBERS[:2]),
    target=st.just(NUMBERS[2]),
)


def fact(number: int, event: object, feed: str = "main") -> Fact:
    order = order_of(event, sent_at=NOON, sequence=0, control=f"{number:04}", digest=b"", ordinal=0)
    return Fact(order, event, number, NOON + timedelta(seconds=number), "hl7v2", feed)


def folded(unit: Unit) -> list[object]:
    people = fold_people(unit.facts, NUMBERS)
    return [people.rows, people.survivors]


CHANGES = [
    {},
    {"demographics": Demographics(sex="other")},
    {"demographics": Demographics(birth_date="1960-02-03")},
    {"other_identifiers": (Identifier("urn:ssn", "2", "SS"),)},
    {"patient": (NUMBERS[2],)},
    {"patient": tuple(NUMBERS)},
]


@given(
    st.lists(st.one_of(described, merged), max_size=3),
    described,
    st.sampled_from(CHANGES),
    st.sampled_from(["main", "main", "lab"]),
)
def test_what_is_no_news_of_a_person_changes_nothing(events, last, changed, feed):
    unit = Unit("p", 1)
    last = replace(last, occurred_at=NOON + timedelta(hours=2))
    for number, event in enumerate([*events, last]):
        unit.add(fact(number, event))
    before = folded(unit)
    unit.rows = [(row, number) for number, row in enumerate(before[0])]
    unit.has_news = False
    unit.add(fact(len(events) + 1, replace(last, **changed), feed))
    assert unit.has_news or folded(unit) == before


def test_the_last_of_two_who_disagree_is_news_each_time():
    unit = Unit("p", 1)
    for number, (year, feed) in enumerate([("1950", "lab"), ("1951", "main"), ("1951", "main")]):
        if number == 2:
            before = folded(unit)
            unit.rows = [(row, n) for n, row in enumerate(before[0])]
            unit.has_news = False
        told = Demographics(birth_date=year)
        event = PatientDescribed(occurred_at=NOON, patient=(NUMBERS[0],), demographics=told)
        unit.add(fact(number, event, feed))
    assert folded(unit) != before
    assert unit.has_news


def test_a_repeated_description_is_no_news():
    unit = Unit("p", 1)
    told = PatientDescribed(occurred_at=NOON, patient=(NUMBERS[0],))
    unit.add(fact(1, told))
    assert unit.has_news
    unit.has_news = False
    unit.add(fact(2, told))
    assert not unit.has_news
    unit.add(fact(0, told))
    assert unit.has_news


def test_a_visit_stated_once_weighs_what_its_rows_do():
    unit = Unit("e", 1)
    unit.rows = [(("stay", (n,)), n) for n in range(9)]
    subject = Identifier("pas", "Encounter/1", "reference")
    stated = EncounterStated(occurred_at=NOON, source="pas", subject=subject, version="1")
    unit.add(fact(1, stated))
    assert unit.weight() == 2 + 2 * 9
    # Told of again, it is one of those that are told of again and again.
    unit.add(fact(2, replace(stated, version="2")))
    assert unit.weight() == 3


def test_what_messages_tell_weighs_as_many_messages_as_there_are():
    unit = Unit("p", 1)
    unit.rows = [(("patient", (n,)), n) for n in range(9)]
    unit.add(fact(1, PatientDescribed(occurred_at=NOON, patient=(NUMBERS[0],))))
    assert unit.weight() == 2


NAMED = st.builds(
    Identifier,
    st.sampled_from(["pas", "urn:mrn"]),
    st.sampled_from("12"),
    st.sampled_from([REFERENCE, "MR"]),
)


@given(st.lists(NAMED, min_size=1, max_size=3, unique_by=lambda one: one.key))
def test_whom_nobody_describes_is_folded_as_any_family(known_by):
    short, any_family = fold_people([], known_by), fold_records([], known_by)
    assert (short.rows, short.survivors) == (any_family.rows, any_family.survivors)


def test_the_families_told_of_last_are_remembered_as_far_as_there_is_room():
    units = Units(None, OfNothing())
    large = REMEMBERED_FACTS // 4
    for owner in range(6):
        (unit,) = units.fetch("e", [owner])
        unit.facts = [fact(0, PatientDescribed(occurred_at=NOON, patient=(NUMBERS[0],)))] * large
    units.told_of([1])
    units.begin()
    assert [owner for owner in range(6) if units.held(owner)] == [1, 4, 5]
    units.begin()
    assert [owner for owner in range(6) if units.held(owner)] == [1, 4, 5]


class OfNothing:
    """The nodes of a store that has none yet."""

    def is_new(self, node: int) -> bool:
        return True
