"""Bed request to occupation of the bed."""

from twin_core.settings import KpiSettings

VISITS = """
    encounter | class | admitted    | discharged
    E1        | EMER  | 11-01 06:00 | -
    E2        | EMER  | 11-01 06:00 | -
    E3        | EMER  | 11-01 06:00 | -
    E4        | EMER  | 11-01 06:00 | -
"""


def test_from_the_last_request_with_the_share_within_the_target(draw):
    hospital = draw()
    hospital.set(KpiSettings(bed_request_target_minutes=60))
    hospital.encounters(VISITS)
    hospital.plans("""
        encounter | kind     | status   | stated      | ended       | unit | bed
        E1        | transfer | replaced | 11-01 08:00 | 11-01 09:00 | A    | -
        E1        | transfer | done     | 11-01 09:00 | 11-01 10:00 | A    | -
        E2        | transfer | done     | 11-01 08:00 | 11-01 09:01 | A    | 1
        E3        | transfer | lapsed   | 11-01 08:00 | 11-01 09:01 | A    | -
    """)
    hospital.shows(
        "req_to_occupied",
        "11-01",
        "11-02",
        """
        unit | stratum       | statistic    | numerator | denominator | value
        A    | -             | median       | -         | 2           | 60.5
        A    | -             | p90          | -         | 2           | 60.9
        A    | -             | mean         | 121       | 2           | 60.5
        A    | -             | share_within | 1         | 2           | 50
        A    | first_request | median       | -         | 1           | 120
        A    | first_request | p90          | -         | 1           | 120
        A    | first_request | mean         | 120       | 1           | 120
        A    | first_request | share_within | 0         | 1           | 0
        """,
    )
