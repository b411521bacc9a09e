"""Arrival to departure of ED patients who were admitted (ED-1)."""


def test_the_clock_runs_from_arrival_to_the_ward_in_either_shape_of_an_admission(draw):
    """One encounter that changes class, or an inpatient encounter of its own within an hour."""
    hospital = draw()
    hospital.encounters("""
        encounter | patient | class | admitted    | discharged  | history
        E1        | P1      | IMP   | 11-01 08:00 | 11-03 08:00 | no
        E2        | P2      | EMER  | 11-01 09:00 | 11-01 12:00 | yes
        E3        | P2      | IMP   | 11-01 13:00 | 11-04 08:00 | yes
        E4        | P4      | EMER  | 11-01 09:00 | 11-01 10:00 | yes
        E5        | P4      | IMP   | 11-01 11:01 | 11-04 08:00 | yes
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 08:00 | 11-01 10:00
        E1        | IMP   | 11-01 10:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 12:30
        E1        | A    | 1   | 11-01 12:30 | 11-03 08:00
        E2        | ED   | 2   | 11-01 09:00 | 11-01 12:00
        E3        | A    | 2   | 11-01 13:00 | 11-04 08:00
        E4        | ED   | 3   | 11-01 09:00 | 11-01 10:00
        E5        | A    | 3   | 11-01 11:01 | 11-04 08:00
    """)
    # E1 left for the ward after 270 minutes, two and a half hours after it was admitted; E2 after
    # 180; E4 went home: its admission began 61 minutes later and is another story.
    hospital.shows(
        "ed1",
        "11-01",
        "11-02",
        """
        unit | stratum | statistic | numerator | denominator | value | coverage
        ED   | -       | median    | -         | 2           | 225   | 1
        ED   | -       | p90       | -         | 2           | 261   | 1
        ED   | -       | mean      | 450       | 2           | 225   | 1
        """,
    )


def test_who_still_boards_or_went_home_is_not_in_it_and_psychiatric_patients_are_apart(draw):
    hospital = draw(known="11-01 12:00")
    hospital.encounters("""
        encounter | class | admitted    | discharged  | service | history
        E1        | IMP   | 11-01 00:00 | -           | MED     | no
        E2        | EMER  | 11-01 00:00 | 11-01 06:00 | MED     | yes
        E3        | IMP   | 11-01 00:00 | -           | PSY     | no
        E4        | EMER  | 11-01 00:00 | -           | MED     | cancelled
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 00:00 | 11-01 02:00
        E1        | IMP   | 11-01 02:00 | -
        E3        | EMER  | 11-01 00:00 | 11-01 02:00
        E3        | IMP   | 11-01 02:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 00:00 | -
        E2        | ED   | 2   | 11-01 00:00 | 11-01 06:00
        E3        | ED   | 3   | 11-01 00:00 | 11-01 05:00
        E3        | P    | 1   | 11-01 05:00 | -
    """)
    hospital.shows(
        "ed1",
        "11-01",
        "11-02",
        """
        unit | stratum     | denominator | value | coverage
        ED   | -           | 0           | -     | 0.5
        ED   | psychiatric | 1           | 300   | 0.5
        """,
        only="median",
    )


def test_a_stay_of_more_than_120_days_is_out(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged       | history
        E1        | IMP   | 03-01 00:00 | 2026-06-30 03:00 | no
        E2        | IMP   | 03-01 00:00 | 2026-06-29 02:00 | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 03-01 00:00 | 03-01 02:00
        E1        | IMP   | 03-01 02:00 | -
        E2        | EMER  | 03-01 00:00 | 03-01 02:00
        E2        | IMP   | 03-01 02:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 03-01 00:00 | 03-01 02:00
        E1        | A    | 1   | 03-01 02:00 | 2026-06-30 03:00
        E2        | ED   | 2   | 03-01 00:00 | 03-01 02:00
        E2        | A    | 2   | 03-01 02:00 | 2026-06-29 02:00
    """)
    hospital.shows(
        "ed1",
        "03-01",
        "03-02",
        """
        unit | denominator | value
        ED   | 1           | 120
        """,
        only="median",
    )
