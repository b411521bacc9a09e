"""Figures that may be published: whole weeks, small cells hidden, and never published again."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.replica import Replica
from tests.unit.simulated_store import KEYS, hear
from twin_core import Twin
from twin_core.deid import rules
from twin_core.deid.releasing import publish
from twin_core.kpi.catalogue import definition
from twin_core.kpi.disclosure import (
    HOSPITAL,
    Behind,
    due,
    hidden_places,
    numbers_shown,
    rounded,
)
from twin_core.kpi.measuring import KpiRow
from twin_core.settings import FeedSettings, Settings

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
LEAST = 11
DEID = KEYS.model_copy(update={"cell": LEAST, "known": ("ICU",)})
UNITS = {"MED": 14, "SURG": 23, "ICU": 3, "ODD": 2}
PUBLISHED = ("alos", "dbn")


class Clock:
    """A clock that a test sets forward."""

    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at


def stay(number: int, unit: str, week: int, days: int = 1) -> list[bytes]:
    """A visit that began on the Tuesday of a week and ended some days later, at ten."""
    begun = MONDAY + timedelta(weeks=week, days=1, hours=8, minutes=number % 60)
    ended = begun.replace(hour=10) + timedelta(days=days)
    told = []
    for trigger, at in (("A01", begun), ("A03", ended)):
        stamp = at.strftime("%Y%m%d%H%M%S+0000")
        pv1 = [""] * 46
        pv1[0], pv1[2], pv1[3], pv1[19] = "PV1", "I", f"{unit}^1^{number}^GEN", f"V{number}"
        pv1[44 if trigger == "A01" else 45] = stamp
        lines = (
            rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||ADT^{trigger}|{trigger}{number}|P|2.5.1",
            f"EVN|{trigger}|{stamp}",
            f"PID|1||P{number}^^^GEN^MR||QUISENBERRY^ADA||19700101|F",
            "|".join(pv1),
        )
        told.append("\r".join(lines).encode())
    return told


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    path = tmp_path_factory.mktemp("figures") / "h.duckdb"
    settings = Settings(deid=DEID, feeds={"adt": FeedSettings(time_zone="UTC")})
    clock = Clock(MONDAY + timedelta(weeks=1, days=2))
    few = rules()._replace(published=PUBLISHED)
    with (
        pytest.MonkeyPatch.context() as patched,
        Twin.open(path, settings=settings, clock=clock) as twin,
    ):
        patched.setattr("twin_core.twin.rules", lambda: few)
        numbers = iter(range(1, 1000))
        for unit, visits in UNITS.items():
            hear(twin, [m for _ in range(visits) for m in stay(next(numbers), unit, 0)])
        yield twin


def figures(twin, where="true"):
    return twin.query(f"SELECT * FROM core.published_figure WHERE {where} ORDER BY ALL")


def test_small_cells_are_hidden_and_so_is_what_would_give_them_away(twin):
    assert twin.publish_figures() == MONDAY + timedelta(weeks=1)
    told = {row["unit"]: row for row in figures(twin, "kpi = 'alos' AND statistic = 'mean'")}
    # ODD is nobody's word and nobody was in it often enough to name it.
    assert set(told) == {"MED", "SURG", "ICU", None}
    assert [told[unit]["suppressed"] for unit in ("ICU", "MED", "SURG", None)] == [
        True,
        True,
        False,
        False,
    ]
    assert told["ICU"]["value"] is None
    assert told["MED"]["numerator"] is None
    exact = {
        row.unit: row
        for row in twin.kpi("alos", MONDAY, MONDAY + timedelta(weeks=1), grain="week")
        if row.stratum is None and row.statistic == "mean"
    }
    assert exact["SURG"].denominator == 23
    assert told["SURG"]["denominator"] == 25
    assert told["SURG"]["value"] == pytest.approx(exact["SURG"].value, abs=0.06)
    assert told["SURG"]["numerator"] == float(f"{25 * told['SURG']['value']:.2g}")
    assert told[None]["denominator"] == 40  # of 42


def test_a_figure_is_hidden_where_all_but_a_few_are_alike(twin):
    twin.publish_figures()
    by_noon = figures(twin, "kpi = 'dbn' AND unit = 'SURG'")
    assert {row["suppressed"] for row in by_noon} == {False}
    assert Behind(30, 25, 5).is_small(LEAST)
    assert Behind(30, 5, 25).is_small(LEAST)
    assert not Behind(30, 30, 0).is_small(LEAST)
    assert not Behind(0, 0, 0).is_small(LEAST)


def test_a_week_is_published_once_and_only_when_it_has_settled(twin, tmp_path):
    twin.publish_figures()
    before = figures(twin)
    hear(twin, [m for n in range(500, 515) for m in stay(n, "SURG", 0)])
    twin.publish_figures()
    assert figures(twin) == before
    until = MONDAY + timedelta(weeks=1)
    for hours, weeks in ((23, None), (24, (until, until + timedelta(weeks=1)))):
        now = until + timedelta(weeks=1, hours=hours)
        assert due(twin.query, now, until) == weeks


def test_the_published_weeks_can_be_asked_in_sql_and_say_what_they_are(twin, tmp_path):
    twin.publish_figures()
    replica = Replica(twin, "aggregates")
    inside = "'2026-03-04 08:00:00+00', '2026-03-04 09:00:00+00'"
    try:
        rows = replica.query(f"FROM kpi.alos({inside}) WHERE statistic = 'mean' ORDER BY unit")
        assert [row["unit"] for row in rows.rows] == ["ICU", "MED", "SURG"]
        assert rows.rows[2]["period_start"] == "2026-03-02T00:00:00Z"
        assert {row["source"] for row in rows.rows} == {"suppressed aggregates of whole weeks"}
        whole = replica.query(f"FROM kpi.alos({inside}, \"by\" := 'hospital', grain := 'hour')")
        assert {row["unit"] for row in whole.rows} == {None}
        tables = replica.query("SELECT table_name FROM duckdb_tables() ORDER BY 1").rows
        assert [row["table_name"] for row in tables] == ["figure", "release"]
    finally:
        replica.close()


@pytest.mark.parametrize("profile", ["shifted", "safe_harbor"])
def test_a_release_tells_what_it_cannot_count_as_it_was_published(twin, tmp_path, profile):
    twin.publish_figures()
    path = tmp_path / "release.duckdb"
    publish(twin._database, path, profile, twin.settings, twin.clock.now())
    with duckdb.connect(str(path), read_only=True) as release:
        told = release.execute(
            "SELECT facility, unit, value, source FROM"
            " kpi.dbn('2026-03-02 00:00:00+00', '2026-03-09 00:00:00+00') WHERE NOT suppressed"
        ).fetchall()
    [shown] = [
        row["value"]
        for row in figures(twin, "kpi = 'dbn' AND unit = 'SURG' AND statistic = 'share'")
    ]
    facility = None if profile == "safe_harbor" else "GEN"
    assert (facility, "SURG", shown, "suppressed aggregates of whole weeks") in told


def shown(kpi, statistic, numerator, denominator, value, coverage=1.0):
    row = KpiRow(
        facility="GEN",
        unit="SURG",
        period_start=MONDAY,
        period_end=MONDAY + timedelta(weeks=1),
        stratum=None,
        statistic=statistic,
        numerator=numerator,
        denominator=denominator,
        value=value,
        coverage=coverage,
    )
    return numbers_shown(definition(kpi), row)


def cell(count):
    """Every count that is published as this one is."""
    return [other for other in range(count - 4, count + 5) if rounded(other) == rounded(count)]


def published(counts):
    """Those of them that are not hidden for being small."""
    return [count for count in counts if count >= LEAST]


PARTS = st.integers(LEAST, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(PARTS)
def test_no_published_share_or_count_tells_a_count_more_exactly(parts):
    def both(above, below):
        return (
            shown("dbn", "share", above, below, 100 * above / below),
            shown("dbn", "count", above, None, float(above)),
            shown("occ_midnight", "ratio", above, below, 100 * above / below),
            shown("adc", "mean", above, 7, above / 7),
        )

    above, below = parts
    alike = [(n, d) for n in cell(above) for d in cell(below) if 0 <= n]
    assert {both(n, d) for n, d in alike} == {both(above, below)}


@given(st.integers(LEAST, 60), st.integers(0, 400))
def test_no_published_mean_of_whole_nights_or_minutes_tells_how_many_there_were(count, total):
    for kpi, statistic in (("alos", "mean_nights"), ("op18", "mean")):
        told = shown(kpi, statistic, total, count, total / count)
        for other in published(cell(count)):
            nearest = round(told[2] * other)
            sums = range(max(nearest - other, 0), nearest + other + 1)
            assert any(told == shown(kpi, statistic, n, other, n / other) for n in sums), other


@given(st.integers(LEAST, 60), st.integers(0, 60))
def test_no_published_coverage_tells_how_many_there_were(known, unknown):
    def told(count, events):
        return shown("op18", "median", None, count, 61.0, count / events)

    for other in cell(known):
        assert any(
            told(other, events) == told(known, known + unknown)
            for events in range(other, 9 * other)
        )


def test_published_values_stay_near_what_was_measured():
    assert shown("adc", "mean", 24, 7, 24 / 7) == (25, 7, 3.6, 1.0)
    assert shown("dbn", "share", 12, 23, 1200 / 23) == (10, 25, 40, 1.0)
    assert shown("dbn", "count", 12, None, 12.0) == (10, None, 10, 1.0)
    assert shown("op18", "median", None, 23, 8.5) == (None, 25, 8, 1.0)
    assert shown("alos", "mean", 60, 23, 60 / 23) == (65, 25, 2.6, 1.0)
    assert shown("dbn", "share", 0, 0, None) == (0, 0, None, 1.0)


PLACES = st.dictionaries(
    st.tuples(st.just("GEN"), st.text("ABCDE", min_size=1, max_size=1)),
    st.integers(0, 30),
    min_size=1,
)


@given(PLACES)
def test_no_hidden_figure_can_be_computed_from_the_others(units):
    people = {**units, HOSPITAL: sum(units.values())}
    small = {place for place, n in people.items() if 0 < n < LEAST}
    hidden = hidden_places(people, small, LEAST)
    assert small <= hidden
    within = [people[place] for place in hidden if place != HOSPITAL]
    if HOSPITAL not in hidden and within:
        # What is left of the hospital belongs to several units and to enough people.
        assert len(within) > 1
        assert sum(within) >= LEAST
    if HOSPITAL in hidden:
        assert within, "the hospital would be the sum of its units"
    if not small:
        assert not hidden
