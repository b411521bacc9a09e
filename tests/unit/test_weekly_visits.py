"""Visits by unit and week: people are counted, not visits, and no two releases differ by a few."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.simulated_store import KEYS, hear
from twin_core import Twin
from twin_core.kpi.disclosure import HOSPITAL
from twin_core.kpi.measuring import Window
from twin_core.kpi.weekly_visits import weekly_visits
from twin_core.settings import FeedSettings, Settings

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
LEAST = 11
SETTINGS = Settings(
    deid=KEYS.model_copy(update={"cell": LEAST}), feeds={"adt": FeedSettings(time_zone="UTC")}
)


class Clock:
    """A clock that a test sets forward."""

    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at


def visit(number: int, patient: int, unit: str, begun: datetime) -> list[bytes]:
    """A visit of two hours."""
    told = []
    for trigger, at in (("A01", begun), ("A03", begun + timedelta(hours=2))):
        stamp = at.strftime("%Y%m%d%H%M%S+0000")
        pv1 = [""] * 46
        pv1[0], pv1[2], pv1[3], pv1[19] = "PV1", "I", f"{unit}^1^{number}^GEN", f"V{number}"
        pv1[44 if trigger == "A01" else 45] = stamp
        lines = (
            rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||ADT^{trigger}|{trigger}{number}|P|2.5.1",
            f"EVN|{trigger}|{stamp}",
            f"PID|1||P{patient}^^^GEN^MR||QUISENBERRY^ADA||19700101|F",
            "|".join(pv1),
        )
        told.append("\r".join(lines).encode())
    return told


def some(numbers, unit, week=0, patient=None):
    """Visits one after the other, of one patient or of as many."""
    return [
        message
        for at, number in enumerate(numbers)
        for message in visit(
            number,
            patient or number,
            unit,
            MONDAY + timedelta(weeks=week, hours=8 + 3 * (at % 40), minutes=at // 40),
        )
    ]


@pytest.fixture(scope="module")
def clock():
    return Clock(MONDAY + timedelta(weeks=3, days=2))


@pytest.fixture(scope="module")
def twin(tmp_path_factory, clock):
    path = tmp_path_factory.mktemp("visits") / "h.duckdb"
    with Twin.open(path, settings=SETTINGS, clock=clock) as twin:
        hear(
            twin,
            some(range(100, 142), "MED")  # 42 people
            + some(range(200, 212), "AGAIN", patient=200)  # twelve times one
            + some(range(300, 311), "SURG")  # eleven people
            # One patient a week in each of three weeks, and eleven others in the last of them.
            + [m for week in range(3) for m in some([400 + week], "ONE", week, patient=400)]
            + some(range(500, 530), "MED", 1),
        )
        yield twin


def cube(twin, folder, name, profile="limited"):
    path = folder / f"{name}.duckdb"
    twin.publish(path, profile)
    with duckdb.connect(str(path), read_only=True) as release:
        rows = release.execute("FROM deid.visits_by_unit_and_week").fetchall()
    return {(unit, week): visits for unit, week, visits in rows}


def test_people_are_counted_and_visits_are_told_in_fives(twin, tmp_path):
    told = cube(twin, tmp_path, "first")
    first = "2026-03-02"
    assert told["GEN/MED", first] == 40  # of 42
    # Two people in two units that nobody may name; the least of the others is hidden with them.
    assert {unit for unit, _ in told} == {"(all)", "(rare)", "GEN/MED", "GEN/SURG"}
    assert told["(rare)", first] is None
    assert told["GEN/SURG", first] is None
    assert told["(all)", first] == 65  # of 42 + 12 + 11 + 1
    assert 12 not in told.values()
    assert "(all)" not in {week for _, week in told}


def test_a_patient_more_makes_no_two_releases_differ(twin, tmp_path, clock):
    before = cube(twin, tmp_path, "before")
    # 42 becomes 43, which rounding would tell; SURG passes what is hidden.
    hear(twin, some(range(142, 143), "MED") + some(range(311, 340), "SURG"))
    assert cube(twin, tmp_path, "after", "shifted") == before
    moved = clock.at
    clock.at = moved + timedelta(weeks=1)
    later = cube(twin, tmp_path, "later")
    clock.at = moved
    assert {key: later[key] for key in before} == before
    assert {week for _, week in later} - {week for _, week in before} == {"2026-03-23"}


def test_building_the_store_again_publishes_no_week_again(tmp_path):
    clock = Clock(MONDAY + timedelta(weeks=1, days=2))
    with Twin.open(tmp_path / "h.duckdb", settings=SETTINGS, clock=clock) as twin:
        hear(twin, some(range(100, 112), "MED"))
        before = cube(twin, tmp_path, "before")
        hear(twin, some(range(112, 130), "MED"))
        twin.rebuild()
        assert cube(twin, tmp_path, "after") == before == dict.fromkeys(before, 10)


def asked(stays):
    """The rows that a store would give for stays of (unit, person), all of one week."""

    def query(sql, parameters):
        if "core.facility" in sql:
            return [{"time_zone": "UTC"}]
        if "AS week" in sql:
            week = MONDAY.replace(tzinfo=None)
            return [
                {"week": week, "facility": "G", "unit": unit, "person": who, "visits": n}
                for (unit, who), n in Counter(stays).items()
            ]
        people = Counter(unit for unit, _ in set(stays))
        return [{"facility": "G", "unit": unit, "people": n} for unit, n in people.items()]

    return query


SIX_IN_TWO_UNITS = [(unit, str(who)) for unit in "AB" for who in range(6)]
ENOUGH = [("C", str(who)) for who in range(30)] + [("D", str(who)) for who in range(40)]


@settings(deadline=None)
@example(SIX_IN_TWO_UNITS + ENOUGH)
@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(0, 25).map(str)), max_size=150))
def test_nothing_that_is_told_or_left_over_is_of_a_few_people(stays):
    weeks = Window(MONDAY, MONDAY + timedelta(weeks=1))
    rows = list(weekly_visits(asked(stays), weeks, LEAST, ("A", "B")))
    told = {(row[2], row[3]): (row[9], row[11]) for row in rows}
    whose = {}
    for unit, who in stays:
        place = ("G", unit) if ("G", unit) in told else (None, "(rare)")
        whose.setdefault(place, set()).add(who)
        whose.setdefault(HOSPITAL, set()).add(who)
    for place, (visits, hidden) in told.items():
        people = whose.get(place, ())
        assert hidden or not 0 < len(people) < LEAST
        assert hidden == (visits is None)
        assert hidden or visits % 5 == 0
    left = [whose.get(p, set()) for p, (_, hidden) in told.items() if hidden and p != HOSPITAL]
    if left and not told[HOSPITAL][1]:
        # What the hospital has more than its units that are shown.
        assert len(set().union(*left)) >= LEAST
        assert len(left) > 1
