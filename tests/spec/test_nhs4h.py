"""Emergency patients admitted, transferred or discharged within four hours."""


def test_240_minutes_are_within_and_the_clock_of_an_admission_stops_on_leaving_the_ed(draw):
    hospital = draw(known="11-01 20:00")
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | EMER  | 11-01 08:00 | 11-01 12:00 | yes
        E2        | EMER  | 11-01 08:00 | 11-01 12:01 | yes
        E3        | IMP   | 11-01 08:00 | -           | no
        E4        | EMER  | 11-01 13:00 | -           | yes
        E5        | EMER  | 11-01 17:00 | -           | yes
    """)
    hospital.classes("""
        encounter | class | from        | to
        E3        | EMER  | 11-01 08:00 | 11-01 10:00
        E3        | IMP   | 11-01 10:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 12:00
        E2        | ED   | 2   | 11-01 08:00 | 11-01 12:01
        E3        | ED   | 3   | 11-01 08:00 | 11-01 12:30
        E3        | A    | 1   | 11-01 12:30 | -
        E4        | ED   | 4   | 11-01 13:00 | -
        E5        | ED   | 5   | 11-01 17:00 | -
    """)
    # E4 has been there for seven hours and will never be within; E5 for three and may yet be.
    hospital.shows(
        "nhs4h",
        "11-01",
        "11-02",
        """
        unit | stratum      | numerator | denominator | value
        ED   | -            | 1         | 4           | 25
        ED   | admitted     | 0         | 1           | 0
        ED   | not_admitted | 1         | 2           | 50
        """,
        only="share",
    )


def test_elapsed_time_counts_when_the_clocks_change(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.encounters("""
        encounter | class | admitted               | discharged
        E1        | EMER  | 2026-10-25T01:30+02:00 | 2026-10-25T04:30+01:00
        E2        | EMER  | 2026-03-29T01:30+01:00 | 2026-03-29T06:30+02:00
    """)
    hospital.stays("""
        encounter | unit | bed | from                   | to
        E1        | ED   | 1   | 2026-10-25T01:30+02:00 | 2026-10-25T04:30+01:00
        E2        | ED   | 1   | 2026-03-29T01:30+01:00 | 2026-03-29T06:30+02:00
    """)
    # By the wall clock three hours and five hours; both were four.
    for day, after in (
        ("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
    ):
        hospital.shows(
            "nhs4h",
            day,
            after,
            """
            stratum      | numerator | denominator
            -            | 1         | 1
            not_admitted | 1         | 1
            """,
            only="share",
        )
