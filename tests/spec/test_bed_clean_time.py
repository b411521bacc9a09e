"""From leaving a bed until it is clean."""


def test_dirty_then_cleaning_then_clean_and_what_is_no_turnaround(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | status | from        | to
        A    | 1   | yes     | H      | 11-01 10:30 | 11-01 11:30
        A    | 1   | yes     | U      | 11-01 11:30 | -
        A    | 2   | yes     | U      | 11-01 10:20 | -
        A    | 3   | yes     | C      | 11-01 10:10 | 11-01 10:40
        A    | 3   | yes     | U      | 11-01 10:40 | -
        A    | 4   | yes     | U      | 11-01 12:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 10:00
        E2        | A    | 2   | 11-01 08:00 | 11-01 10:00
        E3        | A    | 3   | 11-01 08:00 | 11-01 10:00
        E4        | A    | 4   | 11-01 08:00 | 11-01 10:00
        E5        | A    | 4   | 11-01 11:00 | -
    """)
    # Bed 1 took 90 minutes, 30 of them waiting; bed 2 took 20. Bed 3 was closed in between, bed 4
    # was taken again before anyone said that it was clean.
    hospital.shows(
        "bed_clean_time",
        "11-01",
        "11-02",
        """
        unit | stratum  | statistic | numerator | denominator | value
        A    | -        | median    | -         | 2           | 55
        A    | -        | p90       | -         | 2           | 83
        A    | -        | mean      | 110       | 2           | 55
        A    | dirty    | median    | -         | 1           | 30
        A    | dirty    | p90       | -         | 1           | 30
        A    | dirty    | mean      | 30        | 1           | 30
        A    | cleaning | median    | -         | 1           | 60
        A    | cleaning | p90       | -         | 1           | 60
        A    | cleaning | mean      | 60        | 1           | 60
        """,
    )


def test_without_bed_statuses_there_are_no_rows(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 10:00
    """)
    assert hospital.kpi("bed_clean_time", "11-01", "11-02") == []
