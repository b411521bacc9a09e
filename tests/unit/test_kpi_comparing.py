"""Comparison with the period before: which window that is, and what is unknown in it."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_core.errors import UsageError
from twin_core.kpi import KpiRow
from twin_core.kpi.comparing import compared, moved, step_back
from twin_core.kpi.measuring import Window

BERLIN = ZoneInfo("Europe/Berlin")


def local(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def row(start, value, unit="A"):
    return KpiRow(
        facility="H",
        unit=unit,
        period_start=start,
        period_end=start + timedelta(hours=1),
        stratum=None,
        statistic="mean",
        numerator=None,
        denominator=None,
        value=value,
        coverage=1.0,
    )


@pytest.mark.parametrize(
    ("window", "grain", "compare", "before"),
    [
        # Seven days, the seven before: 25 hours longer or shorter at a change of the clocks.
        ("2026-10-26 2026-11-02", "day", "previous", "2026-10-19 2026-10-26"),
        ("2026-03-29 2026-03-30", "hour", "previous", "2026-03-28 2026-03-29"),
        ("2026-11-02 2026-11-16", "week", "previous", "2026-10-19 2026-11-02"),
        ("2026-11-02 2026-11-05", "week", "previous", "2026-10-26 2026-10-29"),
        ("2026-03-01 2026-04-01", "month", "previous", "2026-02-01 2026-03-01"),
        ("2026-03-01 2026-04-01", "day", "previous", "2026-01-29 2026-03-01"),
        ("2026-04-01 2026-07-01", "all", "previous", "2026-01-01 2026-04-01"),
        ("2026-11-03 2026-11-05", "all", "previous", "2026-11-01 2026-11-03"),
        ("2026-11-03T06:00 2026-11-03T12:00", "hour", "previous",
         "2026-11-03T00:00 2026-11-03T06:00"),
        ("2026-03-01 2026-04-01", "day", "year", "2025-03-01 2025-04-01"),
        ("2028-02-28 2028-02-29", "day", "year", "2027-02-28 2027-03-01"),
        ("2026-11-02 2026-11-09", "week", "year", "2025-11-03 2025-11-10"),
    ],
)  # fmt: skip
def test_the_period_before_is_found_in_the_calendar(window, grain, compare, before):
    asked = []
    start, end = map(local, window.split())
    compared(lambda w: asked.append(w) or [], Window(start, end), grain, compare, BERLIN)
    assert asked[0] == tuple(map(local, before.split()))
    assert asked[1] == (start, end)


def changes(now, then, window, grain, compare="previous"):
    window = Window(*map(local, window.split()))
    rows = compared(lambda w: now if w == window else then, window, grain, compare, BERLIN)
    return [(row.value, row.value_before, row.change) for row in rows]


def test_each_row_stands_beside_its_own_and_unknown_stays_unknown():
    days = "2026-10-26 2026-10-28"
    now = [row(local("2026-10-26"), 5.0), row(local("2026-10-27"), None)]
    now += [row(local("2026-10-26"), 1.0, "B")]
    then = [row(local("2026-10-24"), 2.0), row(local("2026-10-25"), 3.0)]
    assert changes(now, then, days, "day") == [(5, 2, 3), (None, 3, None), (1, None, None)]
    then = [row(local("2026-10-24"), None)]
    assert changes(now[:1], then, days, "day") == [(5, None, None)]


def test_an_hour_that_the_clocks_skipped_compares_with_nothing():
    monday = [row(local(f"2026-03-30T0{hour}:00"), 1.0) for hour in (1, 2, 3)]
    sunday = [row(local(f"2026-03-29T0{hour}:00"), 4.0) for hour in (1, 3)]
    found = changes(monday, sunday, "2026-03-30 2026-03-31", "hour")
    assert found == [(1, 4, -3), (1, None, None), (1, 4, -3)]


def test_the_29th_of_february_has_no_year_before():
    now = [row(local("2028-02-28"), 1.0), row(local("2028-02-29"), 1.0)]
    then = [row(local("2027-02-28"), 4.0)]
    found = changes(now, then, "2028-02-28 2028-03-01", "day", "year")
    assert found == [(1, 4, -3), (1, None, None)]


def test_another_word_is_refused():
    window = Window(local("2026-11-01"), local("2026-11-02"))
    with pytest.raises(UsageError, match="'decade'"):
        step_back(window, "day", "decade", BERLIN)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
        lambda at: at.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=BERLIN)
    ),
    st.integers(1, 60),
)
def test_days_before_end_where_the_days_begin(start, days):
    end = moved(start, step_back(Window(start, start), "day", "year", BERLIN)._replace(
        months=0, days=-days), BERLIN)  # fmt: skip
    step = step_back(Window(start, end), "day", "previous", BERLIN)
    assert moved(end, step, BERLIN) == start
