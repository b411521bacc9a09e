"""Run charts of KPIs: which periods are judged, which only shown, and by which kind of chart."""

import pytest
from drawn import instant

from twin_core.errors import UsageError
from twin_core.kpi.catalogue import catalogue, definition
from twin_core.kpi.charting import Baseline, charts, kind_of
from twin_core.kpi.measuring import Window

CENSUS = [4, 5, 3, 6, 4, 5, 4, 3, 5, 4, 6, 5, 4]


def midnight(day):
    return f"11-{day:02}"


def present(hospital, census):
    """As many patients over the midnight that begins each day as drawn, from 11-02 on."""
    hospital.stays(
        "encounter | unit | bed | from | to\n"
        + "\n".join(
            f"E{day}-{n} | A | {n} | 11-{day - 1:02} 20:00 | {midnight(day)} 04:00"
            for day, patients in enumerate(census, 2)
            for n in range(patients)
        )
    )


def charted(hospital, kpi_id, start, end, **how):
    window = Window(instant(start), instant(end))
    return charts(hospital.database.query, kpi_id, window, **how)


def test_a_census_over_days_is_an_xmr_chart(draw):
    hospital = draw()
    present(hospital, CENSUS)
    [chart] = charted(hospital, "adc", "11-02", "11-15")
    assert (chart.unit, chart.kind, chart.baseline) == ("A", "XmR", 13)
    assert [point.value for point in chart.points] == CENSUS
    assert chart.centre == pytest.approx(58 / 13)
    assert chart.moving_range == pytest.approx((1 + 2 + 3 + 2 + 1 + 1 + 1 + 2 + 1 + 2 + 1 + 1) / 12)
    assert chart.points[0].upper == pytest.approx(58 / 13 + 2.66 * 1.5)
    assert not any(point.signals for point in chart.points)


def test_a_period_that_is_cut_or_not_over_is_shown_and_not_judged(draw):
    hospital = draw(known="11-16 12:00")
    present(hospital, [*CENSUS, 30, 4])
    [chart] = charted(hospital, "adc", "11-01 12:00", "11-20")  # the 1st has no midnight
    by_day = {point.period_start.day: point for point in chart.points}
    assert [day for day, point in by_day.items() if not point.complete] == [16, 17, 18, 19]
    assert by_day[15].signals == ("beyond_limits",)
    assert by_day[16].value == 4
    assert (by_day[16].signals, by_day[16].in_baseline) == ((), False)
    assert by_day[18].value is None


def test_the_baseline_may_be_a_period(draw):
    hospital = draw()
    present(hospital, [*CENSUS, *[9] * 5])
    window = Window(instant("11-02"), instant("11-15"))
    [chart] = charted(hospital, "adc", "11-01", "11-20", baseline=Baseline(window=window))
    assert (chart.baseline, chart.centre) == (13, pytest.approx(58 / 13))
    assert chart.points[0].in_baseline is False
    signalled = [point.period_start.day for point in chart.points if point.signals]
    assert signalled == [1, 15, 16, 17, 18, 19]  # the 1st was empty


def test_days_are_the_facilitys_own_when_clocks_change(draw):
    hospital = draw(zone="Europe/Berlin", known="2026-12-01")
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 10-24 08:00 | 10-27 08:00
    """)
    [chart] = charted(hospital, "adc", "2026-10-23 22:00", "2026-10-26 23:00")
    assert [point.complete for point in chart.points] == [True, True, True]
    [chart] = charted(hospital, "adc", "2026-10-23 21:00", "2026-10-26 00:00")
    assert [point.complete for point in chart.points] == [True, True, False]


@pytest.mark.parametrize(
    ("kpi_id", "statistic", "kind"),
    [
        ("nhs4h", "share", "p"),
        ("nhs4h", "count", "XmR"),
        ("outliers", "share", "p"),
        ("req_to_occupied", "share_within", "p"),
        ("req_to_occupied", "median", "XmR"),
        ("transfers_per_stay", "mean", "u"),
        ("transfers_per_stay", "share_3_plus", "p"),
        ("btr", "ratio", "u"),
        ("or_raw", "share", "XmR"),  # minutes over minutes are no counts
        ("occ_midnight", "ratio", "XmR"),
        ("adc", "mean", "XmR"),
    ],
)
def test_what_is_counted_decides_which_chart_it_is(kpi_id, statistic, kind):
    assert kind_of(definition(kpi_id), statistic) == kind


@pytest.mark.parametrize("kpi_id", sorted(catalogue()))
def test_only_statistics_that_exist_are_said_to_count(kpi_id):
    assert set(definition(kpi_id).counts) <= set(definition(kpi_id).statistics)


def test_a_chart_needs_periods_and_a_statistic_that_exists(draw):
    hospital = draw()
    with pytest.raises(UsageError, match="A chart needs periods"):
        charted(hospital, "adc", "11-01", "11-20", grain="all")
    with pytest.raises(UsageError, match="no statistic 'median'"):
        charted(hospital, "adc", "11-01", "11-20", statistic="median")
