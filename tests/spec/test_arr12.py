"""Emergency patients who were in the department for more than twelve hours."""


def test_exactly_twelve_hours_is_not_more_and_open_visits_count_once_they_pass(draw):
    hospital = draw(known="11-02 00:00")
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | EMER  | 11-01 00:00 | 11-01 12:00
        E2        | EMER  | 11-01 00:00 | 11-01 12:01
        E3        | EMER  | 11-01 08:00 | -
        E4        | EMER  | 11-01 14:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 00:00 | 11-01 12:00
        E2        | ED   | 2   | 11-01 00:00 | 11-01 12:01
        E3        | ED   | 3   | 11-01 08:00 | -
        E4        | ED   | 4   | 11-01 14:00 | -
    """)
    # E3 has been there for 16 hours, E4 for 10 only.
    hospital.shows(
        "arr12",
        "11-01",
        "11-02",
        """
        unit | stratum | statistic | numerator | denominator | value | coverage
        ED   | -       | share     | 2         | 3           | 200/3 | 1
        ED   | -       | count     | 2         | -           | 2     | 1
        ED   | open    | share     | 1         | 1           | 100   | 1
        ED   | open    | count     | 1         | -           | 1     | 1
        """,
    )


def test_an_open_visit_belongs_to_the_hour_in_which_it_passed_twelve(draw):
    hospital = draw(known="11-02 00:00")
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | EMER  | 11-01 08:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 3   | 11-01 08:00 | -
    """)
    hospital.shows(
        "arr12",
        "11-01 19:00",
        "11-01 22:00",
        """
        period_start | stratum | value
        11-01 19:00  | -       | 0
        11-01 20:00  | -       | 1
        11-01 20:00  | open    | 1
        11-01 21:00  | -       | 0
        """,
        only="count",
        grain="hour",
    )
