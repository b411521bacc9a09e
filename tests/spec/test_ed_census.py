"""ED occupancy: patients in the emergency department per treatment space."""

import pytest

from twin_core.errors import QueryFailed

BAYS = """
unit | bed | staffed | status | from        | to
ED   | 1   | yes     | U      | 2026-01-01  | -
ED   | 2   | yes     | U      | 2026-01-01  | 11-01 10:00
ED   | 2   | yes     | C      | 11-01 10:00 | -
A    | 1   | yes     | U      | 2026-01-01  | -
"""
VISITS = """
encounter | class | status   | admitted    | discharged  | history
E1        | EMER  | finished | 11-01 08:00 | 11-01 11:00 | no
E2        | EMER  | finished | 11-01 09:00 | 11-01 12:00 | no
E3        | IMP   | -        | 11-01 08:00 | -           | yes
"""
COURSES = """
encounter | status      | from        | to
E1        | arrived     | 11-01 08:00 | 11-01 08:30
E1        | in-progress | 11-01 08:30 | 11-01 11:00
E1        | finished    | 11-01 11:00 | -
E2        | arrived     | 11-01 09:00 | 11-01 10:00
E2        | triaged     | 11-01 10:00 | 11-01 10:30
E2        | in-progress | 11-01 10:30 | 11-01 12:00
E2        | finished    | 11-01 12:00 | -
"""
STAYS = """
encounter | unit | bed | from        | to
E1        | ED   | 1   | 11-01 08:30 | 11-01 11:00
E2        | ED   | 2   | 11-01 10:30 | 11-01 12:00
E3        | A    | 1   | 11-01 08:00 | -
"""


def ed(draw, **how):
    hospital = draw(**how)
    hospital.beds(BAYS)
    hospital.encounters(VISITS)
    hospital.statuses(COURSES)
    hospital.stays(STAYS)
    return hospital


def test_arrived_triaged_and_in_progress_count_with_or_without_a_bay(draw):
    ed(draw).shows(
        "ed_census",
        "11-01 08:00",
        "11-01 12:00",
        """
        unit | period_start | stratum | numerator | denominator | value
        ED   | 11-01 08:00  | -       | 1         | 2           | 50
        ED   | 11-01 08:00  | no_bay  | 0.5       | 2           | 25
        ED   | 11-01 09:00  | -       | 2         | 2           | 100
        ED   | 11-01 09:00  | no_bay  | 1         | 2           | 50
        ED   | 11-01 10:00  | -       | 2         | 1           | 200
        ED   | 11-01 10:00  | no_bay  | 0.5       | 1           | 50
        ED   | 11-01 11:00  | -       | 1         | 1           | 100
        """,
        only="ratio",
        grain="hour",
    )


def test_at_end_is_the_census_just_before_the_end_of_the_period(draw):
    ed(draw).shows(
        "ed_census",
        "11-01 08:00",
        "11-01 12:00",
        """
        period_start | stratum | numerator | denominator | value
        11-01 08:00  | -       | 1         | 2           | 50
        11-01 09:00  | -       | 2         | 2           | 100
        11-01 09:00  | no_bay  | 1         | 2           | 50
        11-01 10:00  | -       | 2         | 1           | 200
        11-01 11:00  | -       | 1         | 1           | 100
        """,
        only="at_end",
        grain="hour",
        by="hospital",
    )


def test_admission_leave_and_cancel_end_the_ed_visit(draw):
    hospital = draw()
    hospital.beds(BAYS)
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged | history
        E1        | IMP   | -         | 11-01 08:00 | -          | no
        E2        | EMER  | -         | 11-01 08:00 | -          | no
        E3        | EMER  | cancelled | 11-01 08:00 | -          | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 08:00 | 11-01 08:15
        E1        | IMP   | 11-01 08:15 | -
        E2        | EMER  | 11-01 08:00 | -
        E3        | EMER  | 11-01 08:00 | -
    """)
    hospital.statuses("""
        encounter | status      | from        | to
        E1        | in-progress | 11-01 08:00 | -
        E2        | in-progress | 11-01 08:00 | 11-01 08:30
        E2        | onleave     | 11-01 08:30 | -
        E3        | cancelled   | 11-01 08:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | -
        E2        | ED   | 2   | 11-01 08:00 | -
    """)
    hospital.shows(
        "ed_census",
        "11-01 08:00",
        "11-01 09:00",
        "unit | numerator | denominator\n ED | 0.75 | 2",
        only="ratio",
        grain="hour",
    )


def test_spaces_nobody_declared_staffed_are_unknown(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | status | from       | to
        ED   | 1   | -       | O      | 2026-01-01 | -
    """)
    hospital.encounters(VISITS)
    hospital.statuses(COURSES)
    hospital.stays(STAYS)
    hospital.shows(
        "ed_census",
        "11-01 09:00",
        "11-01 10:00",
        """
        stratum | numerator | denominator | value | coverage
        -       | 2         | -           | -     | 0
        no_bay  | 1         | -           | -     | 0
        """,
        only="ratio",
        grain="hour",
    )


def test_closed_spaces_give_no_rate_and_the_future_no_figures(draw):
    hospital = draw(known="11-01 10:00")
    hospital.beds("""
        unit | bed | staffed | from       | to
        ED   | 1   | no      | 2026-01-01 | -
    """)
    hospital.encounters(VISITS)
    hospital.statuses(COURSES)
    hospital.stays(STAYS)
    hospital.shows(
        "ed_census",
        "11-01 09:00",
        "11-01 11:00",
        """
        period_start | stratum | numerator | denominator | value | coverage
        11-01 09:00  | -       | 2         | 0           | -     | 1
        11-01 09:00  | no_bay  | 1         | 0           | -     | 1
        11-01 10:00  | -       | -         | -           | -     | 0
        """,
        only="ratio",
        grain="hour",
    )


def test_an_emergency_patient_on_a_ward_makes_it_no_ed(draw):
    hospital = draw()
    hospital.beds(BAYS)
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | EMER  | 11-01 08:00 | -
        E2        | IMP   | 11-01 08:00 | 11-01 08:30
        E3        | IMP   | 11-01 08:00 | 11-01 08:30
        E4        | EMER  | 11-01 08:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | -
        E2        | A    | 2   | 11-01 08:00 | 11-01 08:30
        E3        | A    | 3   | 11-01 08:00 | 11-01 08:30
        E4        | ED   | 1   | 11-01 08:00 | -
    """)
    hospital.shows(
        "ed_census",
        "11-01 08:00",
        "11-01 09:00",
        """
        unit | numerator | denominator | value
        A    | 1         | -           | -
        ED   | 1         | 2           | 50
        """,
        only="ratio",
        grain="hour",
    )


def test_one_patient_registered_twice_and_merged_is_one(draw):
    hospital = draw()
    hospital.beds(BAYS)
    hospital.encounters("""
        encounter | class | patient | admitted    | discharged
        E1        | EMER  | P1      | 11-01 08:00 | -
        E2        | EMER  | P1      | 11-01 08:30 | -
    """)
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | ED   | 1   | 11-01 08:00 | -
        E2        | P1      | ED   | 1   | 11-01 08:30 | -
    """)
    hospital.shows(
        "ed_census", "11-01 08:00", "11-01 09:00", "numerator\n 1", only="ratio", grain="hour"
    )


def test_known_at_and_the_hour_that_comes_twice(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.beds(BAYS)
    hospital.encounters("""
        encounter | class | admitted               | discharged | known_from
        E1        | EMER  | 2026-10-25T00:00+02:00 | -          | 2026-10-25T00:00+02:00
        E2        | EMER  | 2026-10-25T00:00+02:00 | -          | 2026-11-02T00:00+01:00
    """)
    hospital.stays("""
        encounter | unit | bed | from                   | to | known_from
        E1        | ED   | 1   | 2026-10-25T00:00+02:00 | -  | 2026-10-25T00:00+02:00
        E2        | ED   | 2   | 2026-10-25T00:00+02:00 | -  | 2026-11-02T00:00+01:00
    """)
    day = ("ed_census", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00")
    hospital.shows(*day, "numerator | denominator\n 50 | 50", only="ratio")
    hospital.shows(*day, "numerator | denominator\n 25 | 50", only="ratio", known_at="11-01")
    spring = ("ed_census", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00")
    new_york = draw(zone="America/New_York")
    new_york.beds(BAYS)
    new_york.encounters("""
        encounter | class | admitted    | discharged
        E1        | EMER  | 03-01 00:00 | -
    """)
    new_york.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 03-01 00:00 | -
    """)
    new_york.shows(*spring, "numerator | denominator | value\n 23 | 46 | 50", only="ratio")


def test_it_has_no_classes(draw):
    with pytest.raises(QueryFailed, match="EMER"):
        draw().database.query("FROM kpi.ed_census('2026-11-01', '2026-11-02', \"by\" := 'class')")
