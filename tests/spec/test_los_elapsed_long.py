"""Inpatients who have been here for one, two, three weeks or longer."""


def test_days_run_from_the_first_inpatient_class_and_a_week_is_168_hours(draw):
    hospital = draw(known="11-22 12:00")
    hospital.encounters("""
        encounter | class | admitted    | discharged | history
        E1        | IMP   | 11-15 11:00 | -          | no
        E2        | IMP   | 11-15 12:00 | -          | yes
        E3        | IMP   | 11-01 12:00 | -          | yes
        E4        | IMP   | 11-08 11:00 | -          | yes
        E5        | IMP   | 11-16 00:00 | -          | yes
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-15 11:00 | 11-15 13:00
        E1        | IMP   | 11-15 13:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-15 11:00 | -
        E2        | A    | 2   | 11-15 12:00 | -
        E3        | A    | 3   | 11-01 12:00 | -
        E4        | B    | 1   | 11-08 11:00 | -
        E5        | A    | 4   | 11-16 00:00 | -
    """)
    # At noon on the 22nd E1 has been an inpatient for 167 hours, E2 for 168: it becomes a long
    # stay at this very instant, which the period that ends here does not see any more.
    hospital.shows(
        "los_elapsed_long",
        "11-22",
        "11-23",
        """
        unit | stratum | statistic | numerator | denominator | value | coverage
        A    | -       | count     | 1         | -           | 1     | 1
        A    | -       | share     | 1         | 4           | 25    | 1
        A    | 14_plus | count     | 1         | -           | 1     | 1
        A    | 14_plus | share     | 1         | 4           | 25    | 1
        A    | 21_plus | count     | 0         | -           | 0     | 1
        A    | 21_plus | share     | 0         | 4           | 0     | 1
        B    | -       | count     | 1         | -           | 1     | 1
        B    | -       | share     | 1         | 1           | 100   | 1
        B    | 14_plus | count     | 1         | -           | 1     | 1
        B    | 14_plus | share     | 1         | 1           | 100   | 1
        B    | 21_plus | count     | 0         | -           | 0     | 1
        B    | 21_plus | share     | 0         | 1           | 0     | 1
        """,
    )


def test_leave_does_not_reset_it_a_transfer_carries_it_along_and_observation_is_out(draw):
    hospital = draw(known="11-20 12:00")
    hospital.encounters("""
        encounter | class  | admitted    | discharged  | history
        E1        | IMP    | 11-01 00:00 | -           | no
        E2        | OBSENC | 11-01 00:00 | -           | yes
        E3        | IMP    | 11-01 00:00 | 11-20 11:00 | yes
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | IMP   | 11-01 00:00 | -
    """)
    hospital.statuses("""
        encounter | status      | from        | to
        E1        | in-progress | 11-01 00:00 | 11-10 00:00
        E1        | onleave     | 11-10 00:00 | 11-12 00:00
        E1        | in-progress | 11-12 00:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-20 10:00
        E1        | B    | 1   | 11-20 10:00 | -
        E2        | A    | 2   | 11-01 00:00 | -
        E3        | A    | 3   | 11-01 00:00 | 11-20 11:00
    """)
    hospital.shows(
        "los_elapsed_long",
        "11-20",
        "11-21",
        """
        unit | stratum | value
        A    | -       | 0
        B    | -       | 1
        B    | 14_plus | 1
        B    | 21_plus | 0
        """,
        only="count",
    )
