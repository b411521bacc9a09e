"""The hospital kept up to date, whatever batches say, is what a fresh look at the store gives.

Rows of visits, beds and units are drawn at random and turn into others, one batch each, while the
clock goes on; then messages of three patients arrive in any batches; then a demonstration hospital
does. After each, the kept state is held against `hospital_state` of the same instant.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.hl7v2.encode import encode
from api.demo import demo_settings, plan_check
from twin_core import Twin
from twin_core.settings import Settings
from twin_core.state import hospital_state
from twin_core.state.kept import KeptState
from twin_core.store.database import Database, install_views, migrate
from twin_core.store.projection import BatchApplied
from twin_core.store.writing import BATCH, insert, open_versions

for beside in (Path(__file__).parent, Path(__file__).parents[1] / "unit"):
    sys.path.insert(0, str(beside))

from simulated_store import StoppedClock, hear  # noqa: E402
from test_any_arrival_order import START, messages, receipt  # noqa: E402

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HALF_HOUR, DAY = timedelta(minutes=30), timedelta(days=1)
TABLES = (
    "encounter", "stay", "encounter_class", "encounter_status", "encounter_milestone",
    "encounter_plan", "encounter_tracking", "location", "location_status",
)  # fmt: skip
Drawn = Counter[tuple[str, tuple[object, ...]]]

instants = st.integers(-6, 8).map(lambda n: NOON + n * HALF_HOUR)
known = st.sampled_from(["e1", "e2", "e3"])
# A bed that messages name, two that resources describe (one under two ids), and a ward without bed.
spots = st.sampled_from(
    [
        ("l1", "H", "A", "1", "1"),
        ("l2", "H", "A", "1", "2"),
        ("l3", "H", "ED", "2", "B"),
        ("l4", "H", "ED", "2", "B"),
        (None, "H", "B", "7", "1"),
        ("w", "H", "A", None, None),
        (None, None, "B", None, None),
    ]
)


@st.composite
def periods(draw: st.DrawFn) -> tuple[datetime, datetime | None]:
    start = draw(instants)
    return start, draw(st.one_of(st.none(), instants.filter(lambda end: end > start)))


@st.composite
def visits(draw: st.DrawFn) -> Drawn:
    """All rows of a visit."""
    rows: Drawn = Counter()
    who, patient = draw(known), draw(st.sampled_from(["p1", "p2", None]))
    class_ = draw(st.sampled_from(["EMER", "IMP", None]))
    status = draw(st.sampled_from(["in-progress", "finished"]))
    rows["encounter", (who, patient, "H", class_, status, draw(instants), None, "MED",
                       *[None] * 4, False, None, None)] += 1  # fmt: skip
    for number, (location, *place) in enumerate(draw(st.lists(spots, max_size=2))):
        stay_id = f"s{who}{number}"
        rows["stay", (stay_id, who, patient, *place, location, *draw(periods()), False)] += 1
    for class_ in draw(st.lists(st.sampled_from(["EMER", "IMP"]), max_size=2, unique=True)):
        rows["encounter_class", (who, class_, *draw(periods()))] += 1
    told = ["arrived", "in-progress", "onleave", "finished"]
    for status in draw(st.lists(st.sampled_from(told), max_size=2, unique=True)):
        rows["encounter_status", (who, status, *draw(periods()))] += 1
    marks = ["triaged", "decision_to_admit", "bed_requested"]
    for kind in draw(st.lists(st.sampled_from(marks), max_size=2)):
        rows["encounter_milestone", (who, kind, draw(instants))] += 1
    expected = st.one_of(
        st.none(),
        instants.flatmap(lambda at: st.sampled_from([at, at - DAY, at + DAY])),
        st.just(datetime(9999, 12, 31, tzinfo=UTC)),
    )
    for number, kind in enumerate(draw(st.lists(st.sampled_from(["transfer", "discharge"])))[:2]):
        location, *place = draw(spots)
        stated_at, ended_at = draw(periods())
        rows["encounter_plan", (f"n{who}{number}", who, kind, "active", stated_at, draw(expected),
                                ended_at, *place, location)] += 1  # fmt: skip
    if draw(st.booleans()):
        location, *place = draw(spots)
        rows["encounter_tracking", (who, "arrived", True, *place, location, *draw(periods()))] += 1
    return rows


@st.composite
def hospitals(draw: st.DrawFn) -> Drawn:
    """Every row that holds: at most one of each visit, and what is known of places."""
    rows: Drawn = Counter()
    heard: set[object] = set()
    for visit in draw(st.lists(visits(), max_size=3)):
        who = next(iter(visit))[1][0]
        if who not in heard:
            heard.add(who)
            rows += visit
    codes = st.sampled_from(["U", "H", "C", "I", None])
    staffed = st.sampled_from([True, False, None])
    described = draw(st.sets(st.sampled_from(["w", "b", "l1", "l2", "l3"])))
    for location in sorted(described):
        kind = {"w": "wa", "b": "wa"}.get(location, "bd")
        place = {"w": ("A", None, None), "b": ("B", None, None), "l3": ("ED", "2", "B")}.get(
            location, (draw(st.sampled_from("AB")), "1", draw(st.sampled_from(["1", "2"])))
        )
        name = draw(st.sampled_from(["Somewhere", None]))
        rows["location", (location, kind, "H", *place, name, None, draw(codes),
                          draw(staffed))] += 1  # fmt: skip
        for _ in range(draw(st.integers(0, 2)) if kind == "bd" else 0):
            start, end = draw(periods())
            begun = draw(st.sampled_from([start, start, None]))
            rows["location_status", (location, draw(codes), draw(staffed), begun, end)] += 1
    # Of two periods that begin together either may count, and so of none of them is asked.
    return Counter(_one_of_each_start(rows))


def _one_of_each_start(rows: Drawn) -> Iterator[tuple[str, tuple[object, ...]]]:
    starts: set[tuple[object, ...]] = set()
    place = {"encounter_class": 2, "encounter_status": 2, "location_status": 3}
    for name, row in rows:
        start = (name, row[0], row[place[name]]) if name in place else (name, *row[:3])
        if start not in starts:
            starts.add(start)
            yield name, row


class Followed:
    """A store whose rows are drawn, and the state that is kept of it."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        migrate(self.database.connection)
        install_views(self.database.connection)
        self.begin()

    def begin(self) -> None:
        self.kept, self.sequence, self.held = KeptState(), 0, Counter()
        self.becomes(Counter())

    def becomes(self, rows: Drawn) -> None:
        """One batch after which these rows hold."""
        connection, self.sequence = self.database.connection, self.sequence + 1
        for name in TABLES:
            connection.execute(f"DELETE FROM core.{name}_version")
        opened = [((row,), n, 1) for n, row in enumerate(rows, 1)]
        open_versions(connection, opened, NOON - DAY)
        connection.execute("DELETE FROM core.batch")
        insert(connection, "batch", BATCH, [(self.sequence, self.sequence, NOON, 1)])
        gone, new = self.held - rows, rows - self.held
        self.held = rows
        batch = BatchApplied(self.sequence, NOON, 1)
        self.kept.note(batch._replace(opened=tuple(new), closed=tuple(gone)))

    def agrees(self, at: datetime) -> None:
        fresh = hospital_state(self.database.query, at=at, sequence=self.sequence)
        assert self.kept.state(self.database, lambda: at) == fresh


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    found = Followed(tmp_path_factory.mktemp("drawn") / "drawn.duckdb")
    yield found
    found.database.close()


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_rows_that_turn_into_others_are_followed(followed: Followed, data) -> None:
    followed.begin()
    at = NOON
    for rows in data.draw(st.lists(hospitals(), min_size=2, max_size=3)):
        followed.becomes(rows)
        followed.agrees(at)
        at += data.draw(st.integers(0, 4)) * HALF_HOUR
        followed.agrees(at)
    followed.agrees(at - DAY)


def planned(expected: datetime) -> Drawn:
    """A patient in a bed of A, who is to go to B at an instant."""
    rows: Drawn = Counter()
    rows["encounter", ("e1", "p1", "H", "IMP", "in-progress", NOON - DAY, None, "MED",
                       *[None] * 4, False, None, None)] += 1  # fmt: skip
    here, there = ("H", "A", "1", "1", "l1"), ("H", "B", "7", "1", None)
    rows["location", ("b7", "bd", "H", "B", "7", "1", None, None, "U", True)] += 1
    rows["stay", ("s1", "e1", "p1", *here, NOON - DAY, None, False)] += 1
    rows["encounter_plan", ("n1", "e1", "transfer", "active", NOON - DAY, expected, None,
                            *there)] += 1  # fmt: skip
    return rows


def test_a_planned_move_is_shown_from_a_day_ahead_to_a_day_after_and_no_longer(
    followed: Followed,
) -> None:
    expected, tick = NOON + DAY, timedelta(microseconds=1)
    followed.begin()
    followed.becomes(planned(expected))
    # By the clock alone: no batch comes in between.
    for at, shown in (
        (expected - DAY - tick, 0),
        (expected - DAY, 1),
        (expected, 1),
        (expected + DAY, 1),
        (expected + DAY + tick, 0),
    ):
        followed.agrees(at)
        units = followed.kept.state(followed.database, lambda at=at: at).units
        assert [(at, sum(len(unit.expected_in) for unit in units))] == [(at, shown)]


def test_periods_of_a_bed_that_are_over_count_until_they_are_taken_back(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    bed: Drawn = Counter()
    bed["location", ("l1", "bd", "H", "A", "1", "1", None, None, "U", True)] += 1
    first = ("location_status", ("l1", "C", False, NOON - 2 * DAY, NOON - DAY))
    second = ("location_status", ("l1", "H", True, NOON - DAY, NOON - HALF_HOUR))
    followed.begin()
    # With a history that says nothing of now, nothing is stated; without one, its own words are.
    stated = []
    for rows in (bed + Counter([first, second]), bed + Counter([second]), bed):
        followed.becomes(rows)
        followed.agrees(NOON)
        [unit] = followed.kept.state(followed.database, lambda: NOON).units
        stated += [(one.operational_status, one.staffed) for one in unit.beds]
    assert stated == [(None, None), (None, None), ("U", True)]
    assert "read again" not in caplog.text


@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    histories=st.lists(messages(), min_size=2, max_size=24),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
)
def test_any_batches_of_any_messages_are_followed(tmp_path_factory, histories, sizes) -> None:
    clock = StoppedClock(START)
    left = [receipt(n, events) for n, events in enumerate(histories)]
    with Twin.open(tmp_path_factory.mktemp("kept") / "kept.duckdb", clock=clock) as twin:
        assert twin.present() == twin.state()
        while left:
            for size in sizes:
                group, left = left[:size], left[size:]
                if group:
                    twin.receive(group)
                    twin.wait_applied()
            clock.at += timedelta(hours=1)
            assert twin.present() == twin.state()
        twin.rebuild()
        assert twin.present() == twin.state()


def test_a_demonstration_hospital_is_followed(tmp_path: Path) -> None:
    plan = plan_check(days=0.25, seed=7)
    sent = [
        encode(fact, sender=plan.sender, control_id=str(n))
        for n, fact in enumerate(plan.demonstration.facts())
    ]
    clock = StoppedClock(plan.ends - timedelta(hours=4))
    settings = demo_settings(plan.model, Settings())
    with Twin.open(tmp_path / "demo.duckdb", settings=settings, clock=clock) as twin:
        assert twin.present() == twin.state()
        # The last quarter comes before the third, as late messages do.
        quarter = len(sent) // 4 + 1
        parts = [sent[n : n + quarter] for n in range(0, len(sent), quarter)]
        for part in (parts[0], parts[1], parts[3], parts[2]):
            hear(twin, part)
            clock.at += timedelta(hours=1)
            assert twin.present() == twin.state()
        assert twin.present().census > 0
