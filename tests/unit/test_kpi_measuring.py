"""Asking for a KPI: what is refused before any SQL runs, and what reaches the store."""

from datetime import UTC, date, datetime, timedelta

import pytest

from twin_core.errors import UsageError
from twin_core.kpi import KpiRow
from twin_core.kpi.measuring import measure, window_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def utc(month, day, hour=0):
    return datetime(2026, month, day, hour, tzinfo=UTC)


ROW = {
    "facility": "H",
    "unit": "A",
    "period_start": NOON,
    "period_end": NOON + timedelta(days=1),
    "stratum": None,
    "statistic": "ratio",
    "numerator": 1.0,
    "denominator": 2.0,
    "value": 50.0,
    "coverage": 1.0,
}


class Asked(list):
    """A store in these time zones that answers one row and remembers the questions."""

    def __init__(self, *zones):
        super().__init__()
        self.zones = zones

    def __call__(self, sql, parameters):
        if "core.facility" in sql:
            return [{"time_zone": zone} for zone in self.zones]
        self.append((sql, parameters))
        return [ROW]


def test_rows_come_back_typed():
    assert measure(Asked(), "occ_hourly", NOON, "2026-11-03") == [KpiRow(**ROW)]


def test_days_and_times_without_an_offset_are_the_hospitals_own():
    store = Asked("Europe/Berlin")
    measure(store, "adc", date(2026, 10, 25), "2026-10-26", known_at="2026-11-03T00:00+01:00")
    measure(store, "adc", "2026-10-25T12:00", "2026-10-26T12:00:00Z")
    (_, (start, end, known_at)), (_, (noon, noon_utc, _)) = store
    assert (start, end) == (utc(10, 24, 22), utc(10, 25, 23))  # 25 hours: the clocks go back
    assert known_at == utc(11, 2, 23)
    assert (noon, noon_utc) == (utc(10, 25, 11), utc(10, 26, 12))


@pytest.mark.parametrize("zones", [(), ("Europe/Berlin", "Europe/London")])
def test_facilities_that_share_no_time_zone_are_asked_about_in_utc(zones):
    store = Asked(*zones)
    measure(store, "adc", "2026-11-01", "2026-11-02")
    assert store[0][1][:2] == (utc(11, 1), utc(11, 2))


def test_the_usual_window_is_the_last_seven_whole_days_of_the_hospital():
    store = Asked("Europe/Berlin")
    late = datetime(2026, 10, 28, 23, 30, tzinfo=UTC)  # the 29th has begun in Berlin
    assert window_of(store, None, None, late) == (utc(10, 21, 22), utc(10, 28, 23))
    assert window_of(store, None, "2026-10-27", late) == (utc(10, 19, 22), utc(10, 26, 23))
    assert window_of(store, "2026-10-27", None, late) == (utc(10, 26, 23), utc(10, 28, 23))


@pytest.mark.parametrize(
    ("asked", "how", "said"),
    [
        (("occ", NOON, NOON), {}, "occ_hourly"),
        (("adc", NOON, "soon"), {}, "'soon' is no instant"),
        (("adc", NOON, NOON), {}, "ends at or before its start"),
        (("adc", NOON, "2026-11-02"), {"grain": "year"}, "hour, shift, day, week, month, all"),
        (("adc", NOON, "2026-11-02"), {"by": "ward"}, "hospital, facility, building, unit, class"),
        (("bti", NOON, "2026-11-02"), {"by": "class"}, "not defined that way"),
        (("adc", NOON, "2026-11-02"), {"grain": "day'; DROP TABLE x; --"}, "There is no grain"),
        (("adc", NOON, "2026-11-02"), {"known_at": "then"}, "'then' is no instant"),
    ],
)
def test_a_wrong_question_is_refused_before_it_reaches_the_store(asked, how, said):
    store = Asked()
    with pytest.raises(UsageError, match=said):
        measure(store, *asked, **how)
    assert store == []
