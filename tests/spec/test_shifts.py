"""Figures per shift: local times of the hospital, whatever the clocks do."""

import pytest
from pydantic import ValidationError

from twin_core.errors import UsageError
from twin_core.settings import KpiSettings

BED = """
unit | bed | staffed | status | from       | to
A    | 1   | yes     | U      | 2026-01-01 | -
"""
FULL = """
encounter | unit | bed | from             | to
E1        | A    | 1   | 2026-03-01 00:00 | 2026-12-01 00:00
"""


def occupied(draw, start, end, drawing, *shifts):
    hospital = draw(zone="Europe/Berlin")
    hospital.beds(BED)
    hospital.stays(FULL)
    if shifts:
        hospital.set(KpiSettings(shifts=shifts))
    hospital.shows("occ_hourly", start, end, drawing, grain="shift")


def test_shifts_begin_at_their_local_times_and_the_night_spans_midnight(draw):
    occupied(
        draw,
        "2026-11-01 22:00",  # 23:00 in Berlin
        "2026-11-02 22:00",
        """
        unit | period_start | period_end  | numerator
        A    | 11-01 22:00  | 11-02 06:00 | 8
        A    | 11-02 06:00  | 11-02 14:00 | 8
        A    | 11-02 14:00  | 11-02 22:00 | 8
        """,
    )


def test_the_night_in_which_clocks_go_back_has_nine_hours(draw):
    occupied(
        draw,
        "2026-10-24 13:00",  # 15:00, summer time
        "2026-10-25 22:00",  # 23:00, winter time
        """
        unit | period_start | period_end  | numerator | denominator | value
        A    | 10-24 13:00  | 10-24 21:00 | 8         | 8           | 100
        A    | 10-24 21:00  | 10-25 06:00 | 9         | 9           | 100
        A    | 10-25 06:00  | 10-25 14:00 | 8         | 8           | 100
        A    | 10-25 14:00  | 10-25 22:00 | 8         | 8           | 100
        """,
    )


def test_the_night_in_which_clocks_go_forward_has_seven_hours(draw):
    occupied(
        draw,
        "2026-03-28 22:00",  # 23:00, winter time
        "2026-03-29 13:00",  # 15:00, summer time
        """
        unit | period_start | period_end  | numerator | denominator
        A    | 03-28 22:00  | 03-29 05:00 | 7         | 7
        A    | 03-29 05:00  | 03-29 13:00 | 8         | 8
        """,
    )


def test_a_shift_that_would_begin_in_the_hour_that_is_skipped_begins_after_it(draw):
    occupied(
        draw,
        "2026-03-28 13:30",
        "2026-03-29 13:30",
        """
        unit | period_start | period_end  | numerator
        A    | 03-28 13:30  | 03-29 01:30 | 12
        A    | 03-29 01:30  | 03-29 12:30 | 11
        A    | 03-29 12:30  | 03-29 13:30 | 1
        """,
        "02:30",
        "14:30",
    )


def test_the_window_cuts_shifts_and_a_hospital_may_have_one_a_day(draw):
    occupied(
        draw,
        "2026-11-01 12:00",
        "2026-11-02 12:00",
        """
        unit | period_start | period_end  | numerator
        A    | 11-01 12:00  | 11-02 07:00 | 19
        A    | 11-02 07:00  | 11-02 12:00 | 5
        """,
        "08:00",
    )


def test_midnights_belong_to_the_night_they_fall_into(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.stays(FULL)
    hospital.shows(
        "adc",
        "2026-11-01 14:00",
        "2026-11-02 14:00",
        """
        unit | period_start | value
        A    | 11-01 22:00  | 1
        """,
        grain="shift",
    )


def test_what_is_defined_per_day_only_has_no_shifts(draw):
    with pytest.raises(UsageError, match="not defined that way"):
        draw().kpi("readm30", "11-01", "11-02", grain="shift")


@pytest.mark.parametrize("shifts", [(), ("7:00",), ("24:00",), ("15:00", "07:00"), ("07:00",) * 2])
def test_shifts_are_times_of_a_day_in_order(shifts):
    with pytest.raises(ValidationError, match="from early to late"):
        KpiSettings(shifts=shifts)
