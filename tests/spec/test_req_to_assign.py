"""Bed request to the assignment of a bed."""

VISITS = """
    encounter | class | admitted    | discharged
    E1        | EMER  | 11-01 06:00 | -
    E2        | EMER  | 11-01 06:00 | -
    E3        | EMER  | 11-01 06:00 | -
    E4        | EMER  | 11-01 06:00 | -
"""


def test_asking_again_starts_a_new_clock_and_a_cancel_is_counted_apart(draw):
    hospital = draw()
    hospital.encounters(VISITS)
    hospital.plans("""
        encounter | kind     | status    | stated      | ended       | unit | bed
        E1        | transfer | replaced  | 11-01 08:00 | 11-01 09:00 | A    | -
        E1        | transfer | replaced  | 11-01 09:00 | 11-01 09:30 | A    | -
        E1        | transfer | done      | 11-01 09:30 | 11-01 11:00 | A    | 1
        E2        | transfer | done      | 11-01 08:00 | 11-01 10:00 | A    | -
        E3        | transfer | cancelled | 11-01 08:00 | 11-01 08:20 | A    | -
        E4        | transfer | active    | 11-01 08:00 | -           | A    | -
    """)
    # E1 asked last at 9 and had a bed named after 30 minutes, 90 after it first asked. Nobody named
    # one for E2 before it lay in it, after 120. E4 still waits.
    hospital.shows(
        "req_to_assign",
        "11-01",
        "11-02",
        """
        unit | stratum       | denominator | value
        A    | -             | 2           | 75
        A    | first_request | 1           | 90
        A    | cancelled     | 1           | 20
        """,
        only="median",
    )


def test_a_plan_that_names_its_bed_at_once_took_no_time_and_no_plans_no_rows(draw):
    hospital = draw()
    hospital.encounters(VISITS)
    assert hospital.kpi("req_to_assign", "11-01", "11-02") == []
    hospital.plans("""
        encounter | kind      | status | stated      | ended | unit | bed
        E1        | admission | active | 11-01 08:00 | -     | A    | 1
    """)
    hospital.shows(
        "req_to_assign",
        "11-01",
        "11-02",
        """
        unit | statistic | denominator | value | coverage
        A    | median    | 1           | 0     | 1
        A    | p90       | 1           | 0     | 1
        A    | mean      | 1           | 0     | 1
        """,
    )
