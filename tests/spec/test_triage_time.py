"""Arrival to the start of triage."""


def test_the_first_triage_counts_and_a_finished_visit_without_one_is_unknown(draw):
    hospital = draw(known="11-02 00:00")
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | EMER  | 11-01 08:00 | 11-01 12:00
        E2        | EMER  | 11-01 08:00 | -
        E3        | EMER  | 11-01 08:00 | 11-01 12:00
        E4        | EMER  | 11-01 08:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 12:00
        E2        | ED   | 2   | 11-01 08:00 | -
        E3        | ED   | 3   | 11-01 08:00 | 11-01 12:00
        E4        | ED   | 4   | 11-01 08:00 | -
    """)
    hospital.milestones("""
        encounter | kind    | at
        E1        | triaged | 11-01 08:04
        E1        | triaged | 11-01 10:00
        E2        | triaged | 11-01 08:10
    """)
    hospital.shows(
        "triage_time",
        "11-01",
        "11-02",
        """
        unit | statistic | numerator | denominator | value | coverage
        ED   | median    | -         | 2           | 7     | 2/3
        ED   | p90       | -         | 2           | 9.4   | 2/3
        ED   | mean      | 14        | 2           | 7     | 2/3
        """,
    )
