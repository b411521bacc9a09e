"""A visit that one statement tells is folded as the fold of any facts would."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from twin_core.events import EncounterStated, StatedPeriod, Visit
from twin_core.identifiers import NOWHERE, REFERENCE, Identifier, Place, content_id
from twin_core.settings import PrecedenceSettings
from twin_core.store.facts import Fact, order_of
from twin_core.store.fold.encounter import fold_all, fold_encounter
from twin_core.store.fold.rows import ResolvedPlace, Resolver

AT = st.one_of(st.none(), st.integers(0, 5).map(lambda n: datetime(2026, 3, 1, n, tzinfo=UTC)))
SAID = st.sampled_from([UNSET, None, "", "A"])
STATUSES = st.sampled_from(["", "planned", "arrived", "in-progress", "finished", "cancelled"])
REFERENCES = st.sampled_from("xyz").map(lambda name: Identifier("pas", name, REFERENCE))
NUMBERS = st.builds(Identifier, st.sampled_from(["pas", "urn:vn"]), st.sampled_from("12"))
PLACES = st.one_of(
    st.just(NOWHERE),
    REFERENCES.map(lambda one: Place(reference=one)),
    st.builds(Place, st.just("GH"), st.sampled_from("UV"), st.sampled_from(["", "1"]), st.just("")),
)
PERIODS = st.lists(
    st.builds(StatedPeriod, value=STATUSES, place=PLACES, start=AT, end=AT), max_size=3
).map(tuple)
VISITS = st.builds(
    Visit,
    class_=st.sampled_from([UNSET, None, "", "IMP", "EMER"]),
    service=SAID,
    admit_source=SAID,
    disposition=SAID,
    admitted_at=st.one_of(st.just(UNSET), AT),
    discharged_at=st.one_of(st.just(UNSET), AT),
    attending=SAID,
    consulting=st.sampled_from([UNSET, None, (), ("a",), ("a", "b", "a")]),
    facility=SAID,
)
STATED = st.builds(
    EncounterStated,
    occurred_at=st.just(datetime(2026, 3, 2, tzinfo=UTC)),
    source=st.just("pas"),
    subject=st.just(Identifier("pas", "Encounter/e1", REFERENCE)),
    version=st.just("1"),
    identifiers=st.just(()),
    patient=st.lists(REFERENCES, max_size=1).map(tuple),
    status=STATUSES,
    statuses=PERIODS,
    classes=PERIODS,
    locations=PERIODS,
    milestones=PERIODS,
    visit=VISITS,
    part_of=st.one_of(st.none(), REFERENCES),
)


def place(stated: Place) -> ResolvedPlace:
    known = stated.reference is None or stated.reference.value != "x"
    path = stated.parts if stated.reference is None else ("GH", "U", "1", stated.reference.value)
    return ResolvedPlace(*path, content_id("l", *path), known)


RESOLVER = Resolver(
    place,
    lambda named: (named[0].value, named[0].value != "x") if named else (None, False),
    lambda named: (named.value, named.value != "y"),
    lambda named: (named.value, True),
    lambda named: named.value,
)


@given(STATED, st.lists(NUMBERS, max_size=2, unique=True))
def test_one_statement_is_folded_as_any_facts_are(
    event: EncounterStated, numbers: list[Identifier]
) -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    order = order_of(event, sent_at=at, sequence=0, control="e1", digest=b"d", ordinal=0)
    facts = [Fact(order, event, 7, at, "fhir", "pas")]
    told = (facts, [event.subject, *numbers], RESOLVER, PrecedenceSettings())
    assert fold_encounter(*told) == fold_all(*told)
