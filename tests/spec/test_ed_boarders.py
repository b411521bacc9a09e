"""Patients in the emergency department who wait for a bed on a ward."""


def test_decided_or_already_an_inpatient_and_still_in_the_ed(draw):
    hospital = draw(known="11-01 20:00")
    hospital.encounters("""
        encounter | class  | admitted    | discharged  | history
        E1        | EMER   | 11-01 08:00 | -           | yes
        E2        | EMER   | 11-01 08:00 | -           | yes
        E3        | IMP    | 11-01 08:00 | -           | no
        E4        | IMP    | 11-01 08:00 | -           | no
        E5        | OBSENC | 11-01 08:00 | -           | no
        E6        | EMER   | 11-01 08:00 | 11-01 19:00 | yes
    """)
    hospital.classes("""
        encounter | class  | from        | to
        E3        | EMER   | 11-01 08:00 | 11-01 10:00
        E3        | IMP    | 11-01 10:00 | -
        E4        | EMER   | 11-01 08:00 | 11-01 10:00
        E4        | IMP    | 11-01 10:00 | -
        E5        | EMER   | 11-01 08:00 | 11-01 10:00
        E5        | OBSENC | 11-01 10:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | -
        E2        | ED   | 2   | 11-01 08:00 | -
        E3        | ED   | 3   | 11-01 08:00 | -
        E4        | ED   | 4   | 11-01 08:00 | 11-01 15:00
        E4        | A    | 1   | 11-01 15:00 | -
        E5        | ED   | 5   | 11-01 08:00 | -
        E6        | ED   | 6   | 11-01 08:00 | 11-01 19:00
    """)
    hospital.milestones("""
        encounter | kind              | at
        E2        | decision_to_admit | 11-01 12:00
        E5        | bed_requested     | 11-01 12:00
        E6        | decision_to_admit | 11-01 12:00
    """)
    # At 14:00 E2, E3, E4 and E6 board, of six patients; at 20:00 E2 and E3, of four.
    hospital.shows(
        "ed_boarders",
        "11-01 13:00",
        "11-01 14:00",
        """
        unit | statistic | numerator | denominator | value | coverage
        ED   | count     | 4         | -           | 4     | 1
        ED   | share     | 4         | 6           | 200/3 | 1
        """,
        grain="hour",
    )
    hospital.shows(
        "ed_boarders",
        "11-01",
        "11-02",
        """
        unit | numerator | denominator | value
        ED   | 2         | 4           | 50
        """,
        only="share",
    )
