"""Peak occupancy: the fullest moment of a period and when it was."""

import pytest

BEDS = """
unit | bed | staffed | status | from        | to
A    | 1   | yes     | U      | 2026-01-01  | -
A    | 2   | yes     | U      | 2026-01-01  | -
A    | 3   | yes     | U      | 2026-01-01  | -
A    | 4   | yes     | U      | 2026-01-01  | -
"""


def peaks(hospital, *window, **how):
    """(beds, available, %, instant of the peak) of each period."""
    rows = hospital.kpi("occ_peak", *window, **how)
    instants = {(r.unit, r.period_start): r.value for r in rows if r.statistic == "peak_at"}
    return [
        (
            row.numerator,
            row.denominator,
            row.value,
            None
            if instants[row.unit, row.period_start] is None
            else (instants[row.unit, row.period_start] - row.period_start.timestamp()) / 3600,
        )
        for row in rows
        if row.statistic == "max"
    ]


def test_the_peak_and_its_first_instant_ignoring_moves_without_duration(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 06:00 | 11-01 12:00
        E2        | A    | 2   | 11-01 10:00 | 11-01 14:00
        E3        | A    | 3   | 11-01 12:00 | 11-01 13:00
        E4        | A    | 4   | 11-01 11:00 | 11-01 11:00
    """)
    # A bed freed at 12:00 and another one filled at 12:00 are never both full.
    assert peaks(hospital, "11-01", "11-02") == [(2, 4, 50, 10)]


def test_a_bed_that_closes_can_make_the_peak(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | status | from        | to
        A    | 1   | yes     | U      | 2026-01-01  | -
        A    | 2   | yes     | U      | 2026-01-01  | 11-01 08:00
        A    | 2   | yes     | C      | 11-01 08:00 | 11-01 09:00
        A    | 2   | yes     | U      | 11-01 09:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 02:00 | 11-01 20:00
    """)
    assert peaks(hospital, "11-01", "11-02") == [(1, 1, 100, 8)]


def test_leave_and_double_beds_do_not_raise_the_peak(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 00:00 | 11-02 00:00 | no
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E1        | onleave | 11-01 08:00 | 11-01 16:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-02 00:00
        E2        | A    | 2   | 11-01 09:00 | 11-01 12:00
        E3        | A    | 2   | 11-01 10:00 | 11-01 12:00
    """)
    assert peaks(hospital, "11-01", "11-02") == [(1, 4, 25, 0)]


def test_the_peak_of_the_hospital_is_not_the_sum_of_the_units_peaks(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
        B    | 1   | yes     | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 12:00
        E1        | B    | 1   | 11-01 12:00 | 11-01 20:00
    """)
    assert peaks(hospital, "11-01", "11-02") == [(1, 1, 100, 8), (1, 1, 100, 12)]
    assert peaks(hospital, "11-01", "11-02", by="hospital") == [(1, 2, 50, 8)]


@pytest.mark.parametrize(
    ("zone", "start", "end", "hour"),
    [
        ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00", 22),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", 24),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", 22),
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00", 24),
    ],
)
def test_the_last_hour_of_a_day_with_a_clock_change_belongs_to_it(draw, zone, start, end, hour):
    hospital = draw(zone=zone)
    hospital.beds(BEDS)
    late = end.replace("T00:00", "T01:00")
    day_end_offset = end[-6:]
    eleven = f"{start[:10]}T23:00{day_end_offset}"
    hospital.stays(f"""
        encounter | unit | bed | from     | to
        E1        | A    | 1   | {eleven} | {late}
    """)
    assert peaks(hospital, start, end) == [(1, 4, 25, hour)]


def test_empty_closed_unknown_and_future_days(draw):
    hospital = draw(known="11-02")
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
        B    | 1   | -       | 2026-01-01 | -
        C    | 1   | no      | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | B    | 1   | 11-01 05:00 | 11-01 06:00
        E2        | C    | 1   | 11-01 07:00 | 11-01 08:00
    """)
    assert peaks(hospital, "11-01", "11-03") == [
        (0, 1, 0, None),
        (None, None, None, None),
        (1, None, None, 5),
        (None, None, None, None),
        (1, 0, None, 7),
        (None, None, None, None),
    ]


def test_a_late_message_changes_a_past_peak_but_not_what_was_known(draw):
    hospital = draw(known="11-02")
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from
        E1        | A    | 1   | 11-01 05:00 | 11-01 06:00 | 11-01 06:00
        E2        | A    | 2   | 11-01 05:30 | 11-01 05:40 | 11-01 20:00
    """)
    assert peaks(hospital, "11-01", "11-02") == [(2, 4, 50, 5.5)]
    assert peaks(hospital, "11-01", "11-01 12:00", known_at="11-01 12:00") == [(1, 4, 25, 5)]
