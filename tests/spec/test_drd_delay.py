"""Bed-days of patients who were ready to leave."""


def test_the_last_date_counts_by_the_local_calendar_and_no_date_is_unknown(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-05 08:00
        E2        | A    | 2   | 11-01 08:00 | 11-05 08:00
        E3        | A    | 3   | 11-01 08:00 | 11-05 08:00
        E4        | A    | 4   | 11-01 08:00 | 11-05 08:00
        E5        | A    | 5   | 11-05 02:00 | 11-05 08:00
    """)
    hospital.milestones("""
        encounter | kind            | at
        E1        | discharge_ready | 11-02 23:00
        E1        | discharge_ready | 11-03 01:00
        E2        | discharge_ready | 11-05 00:30
        E3        | discharge_ready | 11-06 00:00
        E5        | discharge_ready | 11-05 03:00
    """)
    # Two days for E1, none for E2 and E3 (who left before the day), nobody knows of E4.
    hospital.shows(
        "drd_delay",
        "11-05",
        "11-06",
        """
        unit | statistic    | numerator | denominator | value | coverage
        A    | total        | 2         | 3           | 2     | 0.75
        A    | mean         | 2         | 3           | 2/3   | 0.75
        A    | share_within | 2         | 3           | 200/3 | 0.75
        """,
    )


def test_without_any_date_there_is_no_total(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-05 08:00
    """)
    hospital.shows(
        "drd_delay",
        "11-05",
        "11-06",
        """
        unit | value | coverage
        A    | -     | 0
        """,
        only="total",
    )
