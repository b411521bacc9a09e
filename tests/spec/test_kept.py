"""The board's KPIs, kept up to date batch by batch, are what the table macros count.

A hospital drawn at random turns into others, one batch each: visits come, go, change their class,
their patient, or their past, and what was known of beds and plans changes with them. After each,
the kept figures are held against the macros over the same store.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import courses
import pytest
import test_courses_oracle
import test_oracle
from drawn import Hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin_core.kpi.catalogue import catalogue
from twin_core.kpi.kept import COUNTED, KeptKpis, Site
from twin_core.kpi.live import LiveKpis
from twin_core.kpi.measuring import Window
from twin_core.settings import KpiSettings
from twin_core.store.database import Database
from twin_core.store.projection import BatchApplied
from twin_core.store.tables import BY_NAME

MACROS = LiveKpis({kpi_id: catalogue()[kpi_id] for kpi_id in COUNTED})
TABLES = (
    "encounter", "encounter_class", "encounter_status", "encounter_milestone", "encounter_plan",
    "stay", "location", "location_status",
)  # fmt: skip
TICK, HOUR = timedelta(minutes=15), timedelta(hours=1)
OLD = datetime(2026, 1, 1, tzinfo=UTC)


def rows(database: Database) -> Counter[tuple[str, tuple[object, ...]]]:
    """Every row that holds now, with its table."""
    found: Counter[tuple[str, tuple[object, ...]]] = Counter()
    for name in TABLES:
        columns = ", ".join(f'"{column.name}"' for column in BY_NAME[name].columns)
        for row in database.connection.execute(
            f"SELECT {columns} FROM core.{name}_version"
        ).fetchall():
            found[name, row] += 1
    return found


class Follower:
    """Kept figures that are told what each drawing changed."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        psychiatric = frozenset(KpiSettings().psychiatric_services)
        self.database, self.kept = database, KeptKpis(Site({"H": zone}, psychiatric))
        self.sequence, self.held = 0, rows(database)

    def hears(self, known_at: datetime) -> None:
        """One batch that made the store what it is now."""
        held, self.held = self.held, rows(self.database)
        self.sequence += 1
        number = ("UPDATE core.batch SET batch_no = ?", [self.sequence])
        self.database.connection.execute(*number)
        batch = BatchApplied(self.sequence, known_at, 1)
        opened, closed = self.held - held, held - self.held
        self.kept.note(
            batch._replace(opened=tuple(opened.elements()), closed=tuple(closed.elements()))
        )

    def agrees(self, window: Window, kpis: set[str]) -> None:
        """The kept figures are those of the macros."""
        macros = MACROS.measure(self.database, window)
        measured = self.kept.measure(self.database, dict.fromkeys(kpis, window))
        assert measured.sequence == self.sequence
        for kpi_id in sorted(kpis):
            kept = measured.figures[kpi_id]
            statistic = kept.statistic if kept else next(iter(catalogue()[kpi_id].statistics))
            own = [r for r in macros[kpi_id] if r.stratum is None and r.statistic == statistic]
            told = [] if kept is None else [tuple(map(rounded, kept[1:4]))]
            expected = [tuple(map(rounded, (r.numerator, r.denominator, r.value))) for r in own]
            assert told == expected, kpi_id
        balance = {r.statistic: r.numerator for r in macros["adm_dis_balance"]}
        flow = measured.figures["adm_dis_balance"]
        if flow is not None and flow.numerator is not None:
            assert flow.came == balance["admissions"] + balance["transfers_in"]
            assert flow.went == sum(balance[w] for w in ("discharges", "deaths", "transfers_out"))


def rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 9)


def further(
    hospital: Hospital, draw: st.DataObject, origin: datetime, encounters: list[str]
) -> None:
    """Plans for beds, visits that are part of others, and services, which the others never draw."""
    instants = st.integers(-100, 180).map(lambda n: origin + n * TICK)
    some = st.sampled_from(encounters)
    plan = st.tuples(some, st.sampled_from(["admission", "transfer", "discharge"]), instants,
                     st.one_of(st.none(), instants), st.sampled_from("AB"))  # fmt: skip
    head = "encounter | kind | status | stated | ended | unit | bed"
    lines = [
        test_oracle.row(who, kind, "active", min(at, end or at), end and max(at, end), unit, "1")
        for who, kind, at, end, unit in draw.draw(st.lists(plan, max_size=3))
    ]
    hospital.plans("\n".join((head, *lines)))
    for part, whole in draw.draw(st.lists(st.tuples(some, some), max_size=2)):
        linked = "UPDATE core.encounter_version SET part_of = ? WHERE encounter_id = ?"
        hospital.connection.execute(linked, [whole, part])
    if draw.draw(st.booleans()):
        served = "UPDATE core.encounter_version SET service = 'PSY' WHERE encounter_id = ?"
        hospital.connection.execute(served, [draw.draw(some)])
    if draw.draw(st.booleans()):
        gone = "UPDATE core.encounter_version SET status = 'cancelled' WHERE encounter_id = ?"
        hospital.connection.execute(gone, [draw.draw(some)])


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_kept_figures_equal_the_macros_after_any_batch(database, data):
    kind = data.draw(st.sampled_from(["stays", "courses"]), "kind")
    zone = data.draw(st.sampled_from(sorted(test_oracle.DAYS)))
    if kind == "stays":
        drawings = test_oracle.hospitals(zone, data.draw(st.sampled_from(test_oracle.DAYS[zone])))
        paint = test_oracle.paint
    else:
        drawings, paint = test_courses_oracle.questions(zone), test_courses_oracle.paint
    first = data.draw(drawings, "hospital")
    origin = courses.midnight(first.start, first.zone).astimezone(UTC)
    # The midnight that a window of less than a day begins with is the only one in it.
    window = Window(origin, origin + data.draw(st.integers(1, 22)) * HOUR)
    kpis = set(COUNTED)
    if data.draw(st.booleans(), "longer"):
        window, kpis = Window(first.start, first.end), kpis - {"occ_midnight"}
    Hospital(database, first.zone.key, first.as_of.isoformat())
    follower = Follower(database, first.zone)
    for drawn in (first, *data.draw(st.lists(drawings, min_size=1, max_size=2), "then")):
        # Everything is drawn around one day of one zone, and becomes known later and later.
        known_at = max(first.as_of, drawn.as_of) + follower.sequence * TICK
        drawn = drawn._replace(as_of=known_at)
        hospital = paint(database, drawn)
        names = [row["encounter"] for row in hospital.encounters_drawn.values()]
        if names:
            further(hospital, data, origin, names)
        follower.hears(known_at)
        follower.agrees(window, kpis)
