"""Hourly occupancy: bed-hours occupied over bed-hours available, by hand."""

import pytest

from twin_core.errors import QueryFailed, UsageError

TWO_BEDS = """
unit | bed | staffed | status | from       | to
A    | 1   | yes     | U      | 2026-01-01 | -
A    | 2   | yes     | U      | 2026-01-01 | -
"""


def test_a_stay_counts_for_the_part_of_each_hour_it_lasts(draw):
    hospital = draw()
    hospital.beds(TWO_BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:15 | 11-01 09:30
    """)
    hospital.shows(
        "occ_hourly",
        "11-01 08:00",
        "11-01 11:00",
        """
        unit | period_start | numerator | denominator | value | coverage
        A    | 11-01 08:00  | 0.75      | 2           | 37.5  | 1
        A    | 11-01 09:00  | 0.5       | 2           | 25    | 1
        A    | 11-01 10:00  | 0         | 2           | 0     | 1
        """,
        grain="hour",
    )


def test_a_transfer_on_the_minute_never_counts_twice(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | yes     | 2026-01-01 | -
        B    | 1   | yes     | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 14:00
        E1        | B    | 1   | 11-01 14:00 | 11-01 20:00
    """)
    day = ("occ_hourly", "11-01", "11-02")
    hospital.shows(
        *day,
        """
        unit | numerator | denominator | value
        A    | 6         | 24          | 25
        B    | 6         | 24          | 25
        """,
    )
    hospital.shows(
        *day,
        """
        facility | unit | numerator | denominator | value
        H        | -    | 12        | 48          | 25
        """,
        by="facility",
    )


def test_leave_is_shown_apart_and_a_cancelled_encounter_not_at_all(draw):
    hospital = draw()
    hospital.beds(TWO_BEDS)
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged  | history
        E1        | IMP   | finished  | 11-01 00:00 | 11-02 00:00 | no
        E2        | IMP   | cancelled | 11-01 00:00 | -           | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | IMP   | 11-01 00:00 | 11-02 00:00
    """)
    hospital.statuses("""
        encounter | status      | from        | to
        E1        | in-progress | 11-01 00:00 | 11-01 06:00
        E1        | onleave     | 11-01 06:00 | 11-01 18:00
        E1        | in-progress | 11-01 18:00 | 11-02 00:00
        E2        | cancelled   | 11-01 00:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-02 00:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        unit | stratum  | numerator | denominator | value
        A    | -        | 12        | 48          | 25
        A    | on_leave | 12        | 48          | 25
        """,
    )


def test_two_patients_in_one_bed_are_one_occupied_bed_and_a_conflict(draw):
    hospital = draw()
    hospital.beds(TWO_BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 18:00
        E2        | A    | 1   | 11-01 12:00 | 11-02 00:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        stratum  | numerator | denominator | value
        -        | 24        | 48          | 50
        conflict | 6         | 48          | 12.5
        """,
    )


def test_a_patient_in_the_bed_of_one_on_leave_occupies_it(draw):
    hospital = draw()
    hospital.beds(TWO_BEDS)
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 00:00 | 11-02 00:00 | no
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E1        | onleave | 11-01 00:00 | 11-02 00:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-02 00:00
        E2        | A    | 1   | 11-01 06:00 | 11-01 18:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        stratum  | numerator
        -        | 12
        on_leave | 12
        """,
    )


def test_closed_contaminated_and_unstaffed_beds_are_no_capacity(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | status | from        | to
        A    | 1   | yes     | U      | 2026-01-01  | 11-01 06:00
        A    | 1   | yes     | C      | 11-01 06:00 | 11-01 12:00
        A    | 1   | yes     | K      | 11-01 12:00 | 11-01 18:00
        A    | 1   | yes     | H      | 11-01 18:00 | -
        A    | 2   | no      | U      | 2026-01-01  | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 2   | 11-01 00:00 | 11-01 18:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        numerator | denominator | value | coverage
        18        | 12          | 150   | 1
        """,
    )


def test_a_unit_without_known_staffing_has_patients_but_no_rate(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | status | from       | to
        A    | 1   | -       | O      | 2026-01-01 | -
        B    | 1   | yes     | U      | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 12:00
        E2        | B    | 1   | 11-01 00:00 | 11-01 12:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        unit | numerator | denominator | value | coverage
        A    | 12        | -           | -     | 0
        B    | 12        | 24          | 50    | 1
        """,
    )
    # Above the unit, the rate is that of the units that have one; coverage tells.
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        unit | numerator | denominator | value | coverage
        -    | 12        | 24          | 50    | 0.5
        """,
        by="hospital",
    )


def test_before_anyone_stated_a_capacity_it_is_unknown_not_zero(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from        | to
        A    | 1   | yes     | 11-01 12:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 18:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        numerator | denominator | value | coverage
        6         | 12          | 50    | 1/3
        """,
    )


def test_a_unit_with_every_bed_closed_has_no_rate_but_its_patients(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | from       | to
        A    | 1   | no      | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 12:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        numerator | denominator | value
        12        | 0           | -
        """,
    )


def test_wards_and_rooms_are_never_beds_and_a_patient_without_a_bed_occupies_none(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | kind | staffed | from       | to
        A    | 1   | bd   | yes     | 2026-01-01 | -
        A    | w   | wa   | yes     | 2026-01-01 | -
        A    | r   | ro   | yes     | 2026-01-01 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | -   | 11-01 00:00 | 11-02 00:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        numerator | denominator | value
        0         | 24          | 0
        """,
    )


@pytest.mark.parametrize(
    ("zone", "start", "end", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", 25),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", 23),
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00", 25),
    ],
)
def test_the_day_the_clocks_change_has_23_or_25_hours(draw, zone, start, end, hours):
    hospital = draw(zone=zone)
    hospital.beds(TWO_BEDS)
    hospital.stays(f"""
        encounter | unit | bed | from    | to
        E1        | A    | 1   | {start} | {end}
    """)
    hospital.shows(
        "occ_hourly",
        start,
        end,
        f"""
        period_start | period_end | numerator | denominator  | value
        {start}      | {end}      | {hours}   | {2 * hours}  | 50
        """,
    )
    rows = hospital.kpi("occ_hourly", start, end, grain="hour")
    assert [(row.numerator, row.denominator) for row in rows] == [(1, 2)] * hours


def test_weeks_start_on_monday_months_on_the_first_both_local(draw):
    hospital = draw(zone="America/New_York")
    hospital.beds(TWO_BEDS)
    hospital.shows(
        "occ_hourly",
        "2026-10-31T00:00-04:00",
        "2026-11-03T00:00-05:00",
        """
        period_start           | period_end             | denominator
        2026-10-31T00:00-04:00 | 2026-11-02T00:00-05:00 | 98
        2026-11-02T00:00-05:00 | 2026-11-03T00:00-05:00 | 48
        """,
        grain="week",
    )
    hospital.shows(
        "occ_hourly",
        "2026-10-31T00:00-04:00",
        "2026-11-03T00:00-05:00",
        """
        period_start           | period_end             | denominator
        2026-10-31T00:00-04:00 | 2026-11-01T00:00-04:00 | 48
        2026-11-01T00:00-04:00 | 2026-11-03T00:00-05:00 | 98
        """,
        grain="month",
    )
    hospital.shows(
        "occ_hourly",
        "2026-10-31T06:30-04:00",
        "2026-11-03T00:00-05:00",
        """
        period_start           | period_end             | denominator
        2026-10-31T06:30-04:00 | 2026-11-03T00:00-05:00 | 133
        """,
        grain="all",
    )


def test_open_stays_last_until_the_latest_known_instant_and_no_further(draw):
    hospital = draw(known="11-01 18:00")
    hospital.beds(TWO_BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 12:00 | -
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-03",
        """
        period_start | period_end | numerator | denominator | value | coverage
        11-01        | 11-02      | 6         | 36          | 50/3  | 0.75
        11-02        | 11-03      | -         | -           | -     | 0
        """,
    )


def test_known_at_tells_what_was_believed_then(draw):
    hospital = draw(known="11-02 12:00")
    hospital.beds(TWO_BEDS)
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from  | known_to
        E1        | A    | 1   | 11-01 00:00 | -           | 11-01 00:00 | 11-02 09:00
        E1        | A    | 1   | 11-01 00:00 | 11-01 12:00 | 11-02 09:00 | -
    """)
    hospital.shows("occ_hourly", "11-01", "11-02", "numerator | value\n 12 | 25")
    hospital.shows(
        "occ_hourly", "11-01", "11-02", "numerator | value\n 24 | 50", known_at="11-02 08:00"
    )


def test_classes_add_up_to_the_hospital(draw):
    hospital = draw()
    hospital.beds(TWO_BEDS)
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 00:00 | 11-02 00:00 | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 00:00 | 11-01 06:00
        E1        | IMP   | 11-01 06:00 | 11-02 00:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-02 00:00
    """)
    hospital.shows(
        "occ_hourly",
        "11-01",
        "11-02",
        """
        unit | stratum | numerator | denominator | value
        -    | EMER    | 6         | 48          | 12.5
        -    | IMP     | 18        | 48          | 37.5
        """,
        by="class",
    )


def test_hospitals_in_two_zones_keep_their_own_days_and_share_utc_together(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.facility("N", "America/New_York")
    hospital.beds("""
        facility | unit | bed | staffed | from       | to
        H        | A    | 1   | yes     | 2026-01-01 | -
        N        | Z    | 1   | yes     | 2026-01-01 | -
    """)
    hospital.shows(
        "occ_hourly",
        "2026-11-10T00:00",
        "2026-11-11T00:00",
        """
        facility | period_start     | period_end
        H        | 2026-11-10T00:00 | 2026-11-10T23:00
        H        | 2026-11-10T23:00 | 2026-11-11T00:00
        N        | 2026-11-10T00:00 | 2026-11-10T05:00
        N        | 2026-11-10T05:00 | 2026-11-11T00:00
        """,
        by="facility",
    )
    hospital.shows(
        "occ_hourly",
        "2026-11-10T00:00",
        "2026-11-11T00:00",
        """
        facility | period_start     | period_end       | denominator
        -        | 2026-11-10T00:00 | 2026-11-11T00:00 | 48
        """,
        by="hospital",
    )


def test_unknown_words_are_refused_with_the_known_ones(draw):
    hospital = draw()
    with pytest.raises(UsageError, match="hour, shift, day, week, month, all"):
        hospital.kpi("occ_hourly", "11-01", "11-02", grain="minute")
    with pytest.raises(UsageError, match="hospital, facility, building, unit, class"):
        hospital.kpi("occ_hourly", "11-01", "11-02", by="bed")
    with pytest.raises(UsageError, match="alos"):
        hospital.kpi("occ_hourl", "11-01", "11-02")
    for asked in (
        "grain := 'minute'",
        "\"by\" := 'bed'",
        "grain := NULL",
    ):
        with pytest.raises(QueryFailed, match=r"use (hour, shift, day|hospital, facility)"):
            hospital.database.query(f"FROM kpi.occ_hourly('2026-11-01', '2026-11-02', {asked})")
    with pytest.raises(QueryFailed, match="ends at or before its start"):
        hospital.database.query("FROM kpi.occ_hourly('2026-11-02', '2026-11-02')")
