"""Asking for a KPI: what is refused before any SQL runs, and what reaches the store."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from twin_core.errors import UsageError
from twin_core.kpi import KpiRow
from twin_core.kpi.measuring import measure

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
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
    """A store that answers one row and remembers the questions."""

    def __call__(self, sql, parameters):
        self.append((sql, parameters))
        return [ROW]


def test_rows_come_back_typed():
    assert measure(Asked(), "occ_hourly", NOON, "2026-11-03") == [KpiRow(**ROW)]


def test_instants_are_utc_where_they_have_no_offset():
    store = Asked()
    measure(store, "adc", "2026-11-01", datetime(2026, 11, 2), known_at="2026-11-03T00:00+01:00")  # noqa: DTZ001
    (_, (start, end, known_at)), *_ = store
    assert start == datetime(2026, 11, 1, tzinfo=UTC)
    assert end == datetime(2026, 11, 2, tzinfo=UTC)
    assert known_at == datetime(2026, 11, 3, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("asked", "how", "said"),
    [
        (("occ", NOON, NOON), {}, "occ_hourly"),
        (("adc", NOON, "soon"), {}, "'soon' is no instant"),
        (("adc", NOON, NOON), {}, "ends at or before its start"),
        (("adc", NOON, "2026-11-02"), {"grain": "year"}, "hour, day, week, month, all"),
        (("adc", NOON, "2026-11-02"), {"by": "ward"}, "hospital, facility, unit, class"),
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
