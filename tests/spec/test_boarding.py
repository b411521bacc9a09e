"""How long admitted emergency patients waited in the ED for their bed."""


def admissions(hospital):
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 08:00 | 11-03 08:00 | no
        E2        | IMP   | 11-01 08:00 | 11-03 08:00 | no
        E3        | IMP   | 11-01 08:00 | 11-03 08:00 | no
        E4        | IMP   | 11-01 08:00 | 11-03 08:00 | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 08:00 | 11-01 09:00
        E1        | IMP   | 11-01 09:00 | -
        E2        | EMER  | 11-01 08:00 | 11-01 09:00
        E2        | IMP   | 11-01 09:00 | -
        E3        | EMER  | 11-01 08:00 | 11-01 09:00
        E3        | IMP   | 11-01 09:00 | -
        E4        | EMER  | 11-01 08:00 | 11-01 09:00
        E4        | IMP   | 11-01 09:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 12:00
        E1        | A    | 1   | 11-01 12:00 | 11-03 08:00
        E2        | ED   | 2   | 11-01 08:00 | 11-01 12:00
        E2        | A    | 2   | 11-01 12:00 | 11-03 08:00
        E3        | ED   | 3   | 11-01 08:00 | 11-01 12:00
        E3        | A    | 3   | 11-01 12:00 | 11-03 08:00
        E4        | ED   | 4   | 11-01 08:00 | 11-01 12:00
        E4        | A    | 4   | 11-01 12:00 | 11-03 08:00
    """)


def test_from_the_decision_else_the_bed_request_and_unknown_is_not_zero(draw):
    hospital = draw()
    admissions(hospital)
    hospital.milestones("""
        encounter | kind              | at
        E1        | decision_to_admit | 11-01 10:00
        E1        | bed_requested     | 11-01 09:00
        E2        | bed_requested     | 11-01 11:00
        E4        | decision_to_admit | 11-01 12:30
    """)
    # E1 waited 120 minutes, E2 60, E4 was charted late and counts as 0; of E3 nobody knows.
    hospital.shows(
        "boarding",
        "11-01",
        "11-02",
        """
        unit | statistic | numerator | denominator | value | coverage
        ED   | median    | -         | 3           | 60    | 0.75
        ED   | p90       | -         | 3           | 108   | 0.75
        ED   | mean      | 180       | 3           | 60    | 0.75
        """,
    )


def test_without_any_decision_there_is_no_figure(draw):
    hospital = draw()
    admissions(hospital)
    hospital.shows(
        "boarding",
        "11-01",
        "11-02",
        """
        unit | denominator | value | coverage
        ED   | 0           | -     | 0
        """,
        only="median",
    )
