"""Bed turnover interval: how long a bed stands empty between two patients."""

import pytest

from twin_core.errors import QueryFailed, UsageError

BEDS = """
unit | bed | staffed | status | from       | to
A    | 1   | yes     | U      | 2026-01-01 | -
A    | 2   | yes     | U      | 2026-01-01 | -
"""


def test_empty_bed_days_over_departures(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 12:00
        E2        | A    | 2   | 11-01 00:00 | 11-02 00:00
        E3        | A    | 1   | 11-01 18:00 | 11-02 06:00
    """)
    # Four available bed-days, two occupied, three departures (one at midnight sharp).
    hospital.shows(
        "bti",
        "11-01",
        "11-03",
        "unit | numerator | denominator | value | coverage\n A | 2 | 3 | 2/3 | 1",
        grain="all",
    )


def test_it_is_null_without_a_departure_and_negative_beyond_the_beds(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
        B    | 1   | yes     | 2026-01-01 | -
        B    | x   | no      | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | -
        E2        | B    | 1   | 11-01 00:00 | -
        E3        | B    | x   | 11-01 00:00 | 11-01 12:00
    """)
    hospital.shows(
        "bti",
        "11-01",
        "11-02",
        """
        unit | numerator | denominator | value
        A    | 0         | 0           | -
        B    | -0.5      | 1           | -0.5
        """,
    )


def test_transfers_count_by_unit_only_and_two_in_a_bed_are_one(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
        B    | 1   | yes     | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 12:00
        E1        | B    | 1   | 11-01 12:00 | 11-01 18:00
        E2        | A    | 1   | 11-01 06:00 | 11-01 12:00
    """)
    hospital.shows(
        "bti",
        "11-01",
        "11-02",
        """
        unit | numerator | denominator | value
        A    | 0.5       | 2           | 0.25
        B    | 0.75      | 1           | 0.75
        """,
    )
    hospital.shows(
        "bti",
        "11-01",
        "11-02",
        "numerator | denominator | value\n 1.25 | 2 | 0.625",
        by="facility",
    )


def test_a_bed_held_for_leave_is_empty_a_cancelled_stay_too(draw):
    hospital = draw()
    hospital.beds(BEDS)
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged  | history
        E1        | IMP   | -         | 11-01 00:00 | 11-01 18:00 | no
        E2        | IMP   | cancelled | 11-01 00:00 | 11-01 18:00 | no
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E1        | onleave | 11-01 06:00 | 11-01 12:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 18:00
    """)
    hospital.shows("bti", "11-01", "11-02", "numerator | denominator | value\n 1.5 | 1 | 1.5")


@pytest.mark.parametrize(
    ("zone", "start", "end", "days"),
    [
        ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00", "22/24"),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", "24/24"),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", "22/24"),
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00", "24/24"),
    ],
)
def test_the_day_the_clocks_change_is_shorter_or_longer(draw, zone, start, end, days):
    hospital = draw(zone=zone)
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
    """)
    one_hour = start.replace("T00:00", "T01:00")
    hospital.stays(f"""
        encounter | unit | bed | from    | to
        E1        | A    | 1   | {start} | {one_hour}
    """)
    hospital.shows("bti", start, end, f"numerator | denominator | value\n {days} | 1 | {days}")


def test_unknown_capacity_future_and_what_was_known(draw):
    hospital = draw(known="11-02 12:00")
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
        B    | 1   | -       | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from
        E1        | A    | 1   | 11-01 00:00 | 11-01 12:00 | 11-02 06:00
        E2        | B    | 1   | 11-01 00:00 | 11-01 12:00 | 11-01 00:00
    """)
    hospital.shows(
        "bti",
        "11-01",
        "11-04",
        """
        unit | period_start | numerator | denominator | value | coverage
        A    | 11-01        | 0.5       | 1           | 0.5   | 1
        A    | 11-02        | 0.5       | 0           | -     | 0.5
        A    | 11-03        | -         | -           | -     | 0
        B    | 11-01        | -         | 1           | -     | 0
        B    | 11-02        | -         | 0           | -     | 0
        B    | 11-03        | -         | -           | -     | 0
        """,
    )
    hospital.shows(
        "bti",
        "11-01",
        "11-02",
        "unit | numerator | value\n A | 1 | -\n B | - | -",
        known_at="11-02 05:00",
    )


def test_a_bed_has_no_class(draw):
    hospital = draw()
    with pytest.raises(UsageError, match="not defined that way"):
        hospital.kpi("bti", "11-01", "11-02", by="class")
    with pytest.raises(QueryFailed, match="no class"):
        hospital.database.query("FROM kpi.bti('2026-11-01', '2026-11-02', \"by\" := 'class')")
