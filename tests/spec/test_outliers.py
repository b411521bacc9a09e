"""Inpatients in a unit that does not treat their specialty."""

from twin_core.settings import KpiSettings


def test_a_unit_that_is_not_listed_treats_all_and_an_unknown_service_is_unknown(draw):
    hospital = draw(known="11-01 12:00")
    hospital.set(KpiSettings(specialties={"A": ("SUR", "URO")}))
    hospital.encounters("""
        encounter | class | admitted    | discharged | service
        E1        | IMP   | 11-01 08:00 | -          | SUR
        E2        | IMP   | 11-01 08:00 | -          | URO
        E3        | IMP   | 11-01 08:00 | -          | MED
        E4        | IMP   | 11-01 08:00 | -          | -
        E5        | IMP   | 11-01 08:00 | -          | SUR
        E6        | EMER  | 11-01 08:00 | -          | MED
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | -
        E2        | A    | 2   | 11-01 08:00 | -
        E3        | A    | 3   | 11-01 08:00 | -
        E4        | A    | 4   | 11-01 08:00 | -
        E5        | AMU  | 1   | 11-01 08:00 | -
        E6        | A    | 5   | 11-01 08:00 | -
    """)
    hospital.shows(
        "outliers",
        "11-01",
        "11-02",
        """
        unit | statistic | numerator | denominator | value | coverage
        A    | share     | 1         | 3           | 100/3 | 0.75
        A    | count     | 1         | -           | 1     | 0.75
        AMU  | share     | 0         | 1           | 0     | 1
        AMU  | count     | 0         | -           | 0     | 1
        """,
    )
