"""Bed turnover rate: departures per mean available bed."""

import pytest

BEDS = """
unit | bed | staffed | status | from        | to
A    | 1   | yes     | U      | 2026-01-01  | -
A    | 2   | yes     | U      | 2026-01-01  | 11-02 00:00
A    | 2   | yes     | C      | 11-02 00:00 | -
B    | 1   | yes     | U      | 2026-01-01  | -
"""


def test_ward_exits_by_unit_hospital_discharges_above(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 16:00
        E1        | B    | 1   | 11-01 16:00 | 11-02 10:00
        E2        | A    | 2   | 11-01 08:00 | 11-01 20:00
        E3        | A    | -   | 11-01 08:00 | 11-01 20:00
    """)
    # A has 2 beds on the first day and 1 on the second; E3 never held a bed.
    window = ("btr", "11-01", "11-03")
    hospital.shows(
        *window,
        """
        unit | numerator | denominator | value | coverage
        A    | 2         | 1.5         | 4/3   | 1
        B    | 1         | 1           | 1     | 1
        """,
        grain="all",
    )
    hospital.shows(
        *window,
        "unit | numerator | denominator | value\n - | 2 | 2.5 | 0.8",
        grain="all",
        by="hospital",
    )


def test_a_move_within_the_ward_frees_no_ward_bed(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 12:00
        E1        | A    | 2   | 11-01 12:00 | 11-01 16:00
    """)
    hospital.shows("btr", "11-01", "11-02", "unit | numerator\n A | 1\n B | 0")


def test_deaths_count_cancelled_and_open_stays_do_not(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged  | disposition
        E1        | IMP   | -         | 11-01 08:00 | 11-01 16:00 | exp
        E2        | IMP   | cancelled | 11-01 08:00 | 11-01 16:00 | -
        E3        | IMP   | -         | 11-01 17:00 | -           | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 16:00
        E3        | A    | 1   | 11-01 17:00 | -
    """)
    hospital.shows("btr", "11-01", "11-02", "unit | numerator\n A | 1\n B | 0")
    hospital.shows("btr", "11-01", "11-02", "numerator\n 1", by="facility")


def test_the_ed_has_its_own_turnover_and_is_left_out_of_the_hospitals(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        ED   | 1   | yes     | 2026-01-01 | -
        A    | 1   | yes     | 2026-01-01 | -
    """)
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | EMER  | 11-01 08:00 | 11-01 10:00
        E2        | EMER  | 11-01 10:00 | 11-01 12:00
        E3        | IMP   | 11-01 10:00 | 11-01 12:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 10:00
        E2        | ED   | 1   | 11-01 10:00 | 11-01 12:00
        E3        | A    | 1   | 11-01 10:00 | 11-01 12:00
    """)
    hospital.shows(
        "btr",
        "11-01",
        "11-02",
        "unit | numerator | denominator\n A | 1 | 1\n ED | 2 | 1",
    )
    hospital.shows(
        "btr", "11-01", "11-02", "numerator | denominator | value\n 1 | 1 | 1", by="hospital"
    )
    hospital.shows("btr", "11-01", "11-02", "stratum | value\n IMP | 1", by="class")


def test_without_beds_there_is_no_rate_but_there_are_departures(draw):
    hospital = draw(known="11-02")
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | -       | 2026-01-01 | -
        B    | 1   | no      | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 16:00
        E2        | B    | 1   | 11-01 08:00 | 11-01 16:00
    """)
    hospital.shows(
        "btr",
        "11-01",
        "11-03",
        """
        unit | period_start | numerator | denominator | value | coverage
        A    | 11-01        | 1         | -           | -     | 0
        B    | 11-01        | 1         | 0           | -     | 1
        A    | 11-02        | -         | -           | -     | 0
        B    | 11-02        | -         | -           | -     | 0
        """,
    )


def test_a_midnight_departure_belongs_to_the_new_day_and_known_at_is_respected(draw):
    hospital = draw(known="11-03")
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from  | known_to
        E1        | B    | 1   | 11-01 08:00 | -           | 11-01 08:00 | 11-02 12:00
        E1        | B    | 1   | 11-01 08:00 | 11-02 00:00 | 11-02 12:00 | -
    """)
    hospital.shows(
        "btr",
        "11-01",
        "11-03",
        """
        unit | period_start | numerator
        A    | 11-01        | 0
        A    | 11-02        | 0
        B    | 11-01        | 0
        B    | 11-02        | 1
        """,
    )
    hospital.shows(
        "btr", "11-02", "11-02 11:00", "unit | numerator\n A | 0\n B | 0", known_at="11-02 11:00"
    )


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00"),
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
    ],
)
def test_a_bed_is_one_mean_bed_on_a_short_day_and_a_long_one(draw, zone, start, end):
    hospital = draw(zone=zone)
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
    """)
    last_hour = end.replace("T00:00", "T00:01")
    hospital.stays(f"""
        encounter | unit | bed | from    | to
        E1        | A    | 1   | {start} | {last_hour}
    """)
    hospital.shows("btr", start, end, "numerator | denominator | value\n 0 | 1 | 0")
