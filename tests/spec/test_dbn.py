"""Live discharges that left their bed before noon."""


def test_noon_is_local_deaths_and_short_stays_are_out(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.encounters("""
        encounter | class | admitted    | discharged             | disposition
        E1        | IMP   | 11-01 08:00 | 2026-11-03T11:59+01:00 | home
        E2        | IMP   | 11-01 08:00 | 2026-11-03T12:00+01:00 | home
        E3        | IMP   | 11-01 08:00 | 2026-11-03T09:00+01:00 | exp
        E4        | IMP   | 11-02 08:01 | 2026-11-03T09:00+01:00 | home
        E5        | IMP   | 11-02 08:00 | 2026-11-03T09:00+01:00 | home
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 2026-11-03T11:59+01:00
        E2        | A    | 2   | 11-01 08:00 | 2026-11-03T12:00+01:00
        E3        | A    | 3   | 11-01 08:00 | 2026-11-03T09:00+01:00
        E4        | A    | 4   | 11-02 08:01 | 2026-11-03T09:00+01:00
        E5        | A    | 5   | 11-02 08:00 | 2026-11-03T09:00+01:00
    """)
    hospital.shows(
        "dbn",
        "2026-11-03T00:00+01:00",
        "2026-11-04T00:00+01:00",
        """
        unit | statistic | numerator | denominator | value
        A    | share     | 2         | 3           | 200/3
        A    | count     | 2         | -           | 2
        """,
    )
