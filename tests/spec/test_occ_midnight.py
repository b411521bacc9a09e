"""Midnight occupancy: who is in bed at local 00:00, over the beds open then."""

import pytest

BEDS = """
unit | bed | staffed | status | from       | to
A    | 1   | yes     | U      | 2026-01-01 | -
A    | 2   | yes     | U      | 2026-01-01 | -
"""


def test_leaving_at_midnight_is_gone_arriving_at_midnight_is_there(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 10:00 | 11-02 00:00
        E2        | A    | 1   | 11-02 00:00 | 11-02 10:00
        E3        | A    | 2   | 11-01 00:01 | 11-01 23:59
    """)
    hospital.shows(
        "occ_midnight",
        "11-01",
        "11-04",
        """
        unit | period_start | numerator | denominator | value | coverage
        A    | 11-01        | 0         | 2           | 0     | 1
        A    | 11-02        | 1         | 2           | 50    | 1
        A    | 11-03        | 0         | 2           | 0     | 1
        """,
    )
    # Over all three nights together the patients of one bed do not meet at midnight either.
    hospital.shows(
        "occ_midnight",
        "11-01",
        "11-04",
        "numerator | denominator | value\n 1 | 6 | 50/3",
        grain="all",
    )


def test_a_period_is_the_sum_of_its_nights_never_the_mean_of_their_rates(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | status | from       | to
        A    | 1   | yes     | U      | 2026-01-01 | -
        A    | 2   | yes     | U      | 2026-01-01 | 11-02 12:00
        A    | 2   | yes     | C      | 11-02 12:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-02 20:00 | 11-03 08:00
    """)
    # 0 of 2, 0 of 2, 1 of 1: one bed-day of five. The mean of the rates would be a third.
    hospital.shows(
        "occ_midnight",
        "11-01",
        "11-04",
        "numerator | denominator | value\n 1 | 5 | 20",
        grain="all",
    )


def test_a_move_over_midnight_leave_and_a_double_bed(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
        A    | 2   | yes     | 2026-01-01 | -
        B    | 1   | yes     | 2026-01-01 | -
    """)
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 10:00 | 11-03 10:00 | no
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E1        | onleave | 11-01 20:00 | 11-02 20:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 10:00 | 11-03 10:00
        E2        | B    | 1   | 11-01 10:00 | 11-02 00:00
        E2        | A    | 2   | 11-02 00:00 | 11-02 10:00
        E3        | A    | 2   | 11-01 22:00 | 11-02 01:00
    """)
    hospital.shows(
        "occ_midnight",
        "11-02",
        "11-03",
        """
        unit | stratum  | numerator | denominator | value
        A    | -        | 1         | 2           | 50
        A    | on_leave | 1         | 2           | 50
        A    | conflict | 1         | 2           | 50
        B    | -        | 0         | 1           | 0
        """,
    )


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Berlin", "2026-03-28T00:00+01:00", "2026-03-31T00:00+02:00"),
        ("Europe/Berlin", "2026-10-24T00:00+02:00", "2026-10-27T00:00+01:00"),
        ("America/New_York", "2026-03-07T00:00-05:00", "2026-03-10T00:00-04:00"),
        ("America/New_York", "2026-10-31T00:00-04:00", "2026-11-03T00:00-05:00"),
    ],
)
def test_every_day_has_one_midnight_even_when_the_clocks_change(draw, zone, start, end):
    hospital = draw(zone=zone)
    hospital.beds(BEDS)
    hospital.stays(f"""
        encounter | unit | bed | from    | to
        E1        | A    | 1   | {start} | {end}
    """)
    rows = hospital.kpi("occ_midnight", start, end)
    assert [(row.numerator, row.denominator) for row in rows] == [(1, 2)] * 3
    hospital.shows(
        "occ_midnight",
        start,
        end,
        "numerator | denominator | value\n 3 | 6 | 50",
        grain="all",
    )


def test_midnight_is_local(draw):
    hospital = draw(zone="America/New_York")
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from                   | to
        E1        | A    | 1   | 2026-11-10T22:00-05:00 | 2026-11-11T02:00-05:00
        E2        | A    | 2   | 2026-11-10T18:00-05:00 | 2026-11-10T21:00-05:00
    """)
    hospital.shows(
        "occ_midnight",
        "2026-11-11T00:00-05:00",
        "2026-11-12T00:00-05:00",
        "numerator | denominator\n 1 | 2",
    )


def test_a_midnight_nobody_knows_yet_is_unknown(draw):
    hospital = draw(known="11-02 18:00")
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 10:00 | -
    """)
    hospital.shows(
        "occ_midnight",
        "11-02",
        "11-04",
        """
        period_start | numerator | denominator | value | coverage
        11-02        | 1         | 2           | 50    | 1
        11-03        | -         | -           | -     | 0
        """,
    )
    hospital.shows(
        "occ_midnight",
        "11-02",
        "11-04",
        "numerator | denominator | value | coverage\n 1 | 2 | 50 | 0.5",
        grain="all",
    )


def test_known_at_tells_what_was_believed_and_cancelled_is_not_counted(draw):
    hospital = draw(known="11-03")
    hospital.beds(BEDS)
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged | known_from  | known_to
        E1        | IMP   | -         | 11-01 10:00 | -          | 11-01 10:00 | 11-02 09:00
        E1        | IMP   | cancelled | 11-01 10:00 | -          | 11-02 09:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to | known_from  | known_to
        E1        | A    | 1   | 11-01 10:00 | -  | 11-01 10:00 | 11-02 09:00
    """)
    hospital.shows("occ_midnight", "11-02", "11-03", "numerator | value\n 0 | 0")
    hospital.shows(
        "occ_midnight", "11-02", "11-03", "numerator | value\n 1 | 50", known_at="11-02 08:00"
    )


def test_without_known_staffing_or_open_beds_there_is_no_rate(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | -       | 2026-01-01 | -
        B    | 1   | no      | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 10:00 | 11-02 10:00
        E2        | B    | 1   | 11-01 10:00 | 11-02 10:00
    """)
    hospital.shows(
        "occ_midnight",
        "11-02",
        "11-03",
        """
        unit | numerator | denominator | value | coverage
        A    | 1         | -           | -     | 0
        B    | 1         | 0           | -     | 1
        """,
    )
