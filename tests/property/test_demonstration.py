"""The demonstration hospital obeys the rules of a hospital, whatever the dice say."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from random import Random

import pytest

from twin_core.simulation import facts as f
from twin_core.simulation.demonstration import Demonstration, in_sent_order
from twin_core.simulation.model import load_hospital

RIVERSIDE = load_hospital("riverside")
START = datetime(2026, 3, 20, tzinfo=UTC)
DAYS = 14


class Lived:
    """One simulated fortnight (with a clock change in it)."""

    def __init__(self, seed: int, days: int = DAYS) -> None:
        # Every third life begins in the middle of a day.
        start = START + timedelta(hours=14, minutes=37) * (seed % 3 == 0)
        self.until = START + timedelta(days=days)
        self.demonstration = Demonstration(RIVERSIDE, Random(seed), start, self.until)
        self.facts = list(self.demonstration.facts())
        self.truth = self.demonstration.truth
        self.stays = self.truth.stays()


SEEDS = (1, 2, 3)
fortnight = cache(Lived)


@pytest.fixture(scope="module", params=SEEDS)
def lived(request):
    return fortnight(request.param)


def test_a_seed_gives_the_same_hospital_again():
    one, same, other = Lived(4, 3), Lived(4, 3), Lived(5, 3)
    assert one.facts == same.facts
    assert one.stays == same.stays
    assert one.facts != other.facts


def test_a_bed_holds_one_patient_at_a_time(lived):
    by_bed = defaultdict(list)
    for stay in lived.stays:
        by_bed[stay.unit, stay.room, stay.bed].append(stay)
    for stays in by_bed.values():
        stays.sort(key=lambda stay: stay.from_at)
        for earlier, later in pairwise(stays):
            assert earlier.to_at is not None
            assert earlier.to_at <= later.from_at


def test_the_stays_of_a_visit_follow_each_other_without_gap(lived):
    ends = {e.visit: e for e in lived.truth.encounters()}
    by_visit = defaultdict(list)
    for stay in lived.stays:
        by_visit[stay.visit].append(stay)
    for visit, stays in by_visit.items():
        for stay in stays:
            assert stay.to_at is None or stay.from_at < stay.to_at
        for earlier, later in pairwise(stays):
            assert earlier.to_at == later.from_at
            assert earlier[1:5] != later[1:5]
        assert stays[-1].to_at == ends[visit].discharged_at
        assert stays[0].from_at >= ends[visit].admitted_at


def test_census_changes_only_by_arrivals_and_departures(lived):
    hours = [START + timedelta(hours=hour) for hour in range(DAYS * 24)]
    counted = lived.truth.census_series(hours)
    moves = defaultdict(Counter)
    for stay in lived.stays:
        moves[stay.unit][_hour_after(stay.from_at)] += 1
        if stay.to_at is not None:
            moves[stay.unit][_hour_after(stay.to_at)] -= 1
    assert sum(counted["MED"]) > 0
    for unit, series in counted.items():
        for (earlier, later), at in zip(pairwise(series), hours[1:], strict=True):
            assert later == earlier + moves[unit][at]


def _hour_after(at: datetime) -> datetime:
    whole = at.replace(minute=0, second=0, microsecond=0)
    return whole if whole == at else whole + timedelta(hours=1)


def test_no_unit_holds_more_than_its_beds(lived):
    hours = [START + timedelta(hours=hour) for hour in range(DAYS * 24)]
    counted = lived.truth.census_series(hours)
    for unit in RIVERSIDE.units:
        assert max(counted.get(unit.code, [0])) <= len(list(unit.places(RIVERSIDE.code)))


def test_wards_are_as_full_as_a_busy_hospital_from_the_first_day():
    hours = [START + timedelta(hours=hour) for hour in range(1, DAYS * 24)]
    shares = []
    for seed in SEEDS:
        counted = fortnight(seed).truth.census_series(hours)
        wards = [u for u in RIVERSIDE.units if u.kind == "ward"]
        beds = sum(len(list(u.places(RIVERSIDE.code))) for u in wards)
        total = [sum(counted[u.code][hour] for u in wards) / beds for hour in range(len(hours))]
        assert 0.78 < sum(total[15:39]) / 24 < 0.98
        shares.append(sum(total) / len(total))
    assert 0.85 < sum(shares) / len(SEEDS) < 0.95


def test_everything_a_feed_can_say_is_said(lived):
    said = {type(fact) for fact in lived.facts}
    kinds = {
        kind
        for kind in vars(f).values()
        if isinstance(kind, type) and issubclass(kind, f.Fact) and kind not in (f.Fact, f.VisitFact)
    }
    assert said == kinds


def test_facts_come_in_order_and_are_entered_after_they_happened(lived):
    assert all(a.occurred_at <= b.occurred_at for a, b in pairwise(lived.facts))
    for fact in lived.facts:
        assert fact.occurred_at <= fact.recorded_at < fact.sent_at
    sent = list(in_sent_order(lived.facts))
    assert len(sent) == len(lived.facts)
    assert all(a.sent_at <= b.sent_at for a, b in pairwise(sent))


def test_no_two_facts_of_a_visit_share_an_instant(lived):
    instants = Counter(
        (visit.number, fact.occurred_at)
        for fact in lived.facts
        for visit in (fact.visits if isinstance(fact, f.Swapped) else _visits(fact))
    )
    assert max(instants.values()) == 1


def _visits(fact):
    return (fact.visit,) if isinstance(fact, f.VisitFact) else ()


def test_every_mistake_is_taken_back_and_leaves_no_stay(lived):
    cancelled = [fact for fact in lived.facts if isinstance(fact, f.AdmissionCancelled)]
    with_stays = {stay.visit for stay in lived.stays}
    ends = {e.visit: e for e in lived.truth.encounters()}
    assert cancelled
    for fact in cancelled:
        assert ends[fact.visit.number].status == "cancelled"
        assert fact.visit.number not in with_stays
    wrong = [x for x in lived.facts if isinstance(x, f.DischargeCancelled | f.TransferCancelled)]
    said = {(x.visit.number, x.occurred_at) for x in lived.facts if isinstance(x, f.VisitFact)}
    for fact in wrong:
        assert (fact.visit.number, fact.cancelled_at) in said
        number, at = fact.visit.number, fact.occurred_at
        here = [s for s in lived.stays if s.visit == number and s.from_at <= at]
        assert (here[-1].room, here[-1].bed) == (fact.visit.place.room, fact.visit.place.bed)


def test_a_merged_record_leads_to_one_that_is_not_merged(lived):
    merged = {p.record_number: p.merged_into for p in lived.truth.patients()}
    targets = [target for target in merged.values() if target is not None]
    assert targets
    assert all(merged[target] is None for target in targets)
    assert {e.patient for e in lived.truth.encounters()}.isdisjoint(
        number for number, target in merged.items() if target is not None
    )


def test_the_hospital_can_go_on_for_ever():
    endless = Demonstration(RIVERSIDE, Random(9), START)
    facts = list(islice(in_sent_order(endless.facts()), 5_000))
    assert len(facts) == 5_000
    endless.truth.forget_before(START + timedelta(days=365))
    assert all(e.discharged_at is None for e in endless.truth.encounters())


def test_who_is_expected_to_leave_leaves_no_earlier(lived):
    left_at = {one.visit: one.discharged_at for one in lived.truth.encounters()}
    expected = [fact for fact in lived.facts if isinstance(fact, f.DischargeExpected)]
    assert len(expected) > 100
    for fact in expected:
        assert fact.occurred_at < fact.expected_at < fact.occurred_at + timedelta(days=2)
        gone_at = left_at[fact.visit.number]
        assert gone_at is None or gone_at >= fact.expected_at


def test_a_bed_that_is_kept_for_somebody_is_theirs_next(lived):
    kept = [
        fact
        for fact in lived.facts
        if isinstance(fact, f.TransferExpected)
        and fact.destination.bed
        and fact.occurred_at < lived.until - timedelta(days=1)
    ]
    assert len(kept) > 100
    came = {(stay.visit, stay.unit, stay.room, stay.bed) for stay in lived.stays}
    for fact in kept:
        assert fact.visit.place != fact.destination
        assert (fact.visit.number, *fact.destination.parts[1:]) in came
