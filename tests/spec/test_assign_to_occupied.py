"""Assignment of a bed to its occupation."""

VISITS = """
    encounter | class | admitted    | discharged
    E1        | EMER  | 11-01 06:00 | -
    E2        | EMER  | 11-01 06:00 | -
    E3        | EMER  | 11-01 06:00 | -
    E4        | EMER  | 11-01 06:00 | -
"""


def test_late_charting_is_shown_and_an_arrival_without_an_assignment_is_unknown(draw):
    hospital = draw()
    hospital.encounters(VISITS)
    hospital.plans("""
        encounter | kind     | status    | stated      | ended       | unit | bed
        E1        | transfer | done      | 11-01 09:00 | 11-01 10:00 | A    | 1
        E2        | transfer | done      | 11-01 09:00 | 11-01 08:50 | A    | 2
        E3        | transfer | done      | 11-01 08:00 | 11-01 10:00 | A    | -
        E4        | transfer | cancelled | 11-01 08:00 | 11-01 10:00 | A    | 4
    """)
    hospital.shows(
        "assign_to_occupied",
        "11-01",
        "11-02",
        """
        unit | stratum       | denominator | value | coverage
        A    | -             | 2           | 30    | 2/3
        A    | late_charting | 1           | 0     | 1
        """,
        only="mean",
    )
