"""Figures by the service a visit is under and by the age of its patient."""

import pytest
from drawn import instant

from twin_core.errors import UsageError
from twin_core.kpi.catalogue import catalogue
from twin_core.kpi.charting import charts
from twin_core.kpi.measuring import Window


@pytest.fixture
def hospital(draw):
    drawn = draw(zone="Europe/Berlin")
    drawn.encounters("""
        encounter | class | service | admitted    | discharged
        E1        | EMER  | MED     | 11-01 08:00 | 11-01 10:00
        E2        | EMER  | MED     | 11-01 08:00 | 11-01 14:00
        E3        | EMER  | SUR     | 11-02 08:00 | 11-02 09:00
        E4        | EMER  | -       | 11-02 08:00 | 11-02 13:00
    """)
    drawn.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 10:00
        E2        | ED   | 2   | 11-01 08:00 | 11-01 14:00
        E3        | ED   | 3   | 11-02 08:00 | 11-02 09:00
        E4        | ED   | 4   | 11-02 08:00 | 11-02 13:00
    """)
    return drawn


DAYS = ("2026-10-31 23:00", "2026-11-02 23:00")


def test_a_service_has_its_own_visits_and_every_period_of_the_window(hospital):
    hospital.shows(
        "nhs4h",
        *DAYS,
        """
        facility | unit | period_start | stratum              | numerator | denominator | value
        -        | -    | 10-31 23:00  | MED                  | 1         | 2           | 50
        -        | -    | 11-01 23:00  | MED                  | 0         | 0           | -
        -        | -    | 10-31 23:00  | SUR                  | 0         | 0           | -
        -        | -    | 11-01 23:00  | SUR                  | 1         | 1           | 100
        -        | -    | 10-31 23:00  | unknown              | 0         | 0           | -
        -        | -    | 11-01 23:00  | unknown              | 0         | 1           | 0
        -        | -    | 10-31 23:00  | MED/not_admitted     | 1         | 2           | 50
        -        | -    | 11-01 23:00  | SUR/not_admitted     | 1         | 1           | 100
        -        | -    | 11-01 23:00  | unknown/not_admitted | 0         | 1           | 0
        """,
        by="service",
        only="share",
    )


def test_the_parts_add_up_to_the_hospital(hospital):
    for by in ("service", "age_band"):
        whole = hospital.kpi("nhs4h", *DAYS, by="hospital", grain="all")
        parts = hospital.kpi("nhs4h", *DAYS, by=by, grain="all")
        counted = [
            sum(row.denominator for row in rows if row.statistic == "share" and named(row))
            for rows, named in ((whole, lambda r: not r.stratum), (parts, headline))
        ]
        assert counted == [4, 4]


def headline(row):
    return "/" not in row.stratum


def test_age_is_in_whole_years_on_the_local_day_the_visit_began(hospital):
    hospital.patients("""
        patient | birth_date
        PE1     | 2008-11-02
        PE2     | 2008-11-01
        PE3     | 1941-11-02
        PE4     | -
    """)
    rows = hospital.kpi("nhs4h", *DAYS, by="age_band", grain="all")
    found = {r.stratum: r.denominator for r in rows if r.statistic == "share" and headline(r)}
    assert found == {"0-17": 1, "18-64": 1, "85+": 1, "unknown": 1}


def test_each_service_has_a_chart(hospital):
    window = Window(*map(instant, DAYS))
    found = charts(hospital.database.query, "nhs4h", window, by="service")
    assert [(c.stratum, c.kind, [p.complete for p in c.points]) for c in found] == [
        ("MED", "p", [True, True]),
        ("SUR", "p", [True, True]),
        ("unknown", "p", [True, True]),
    ]


@pytest.mark.parametrize(
    "kpi_id",
    [kpi.id for kpi in catalogue().values() if "service" in kpi.by],
)
def test_every_kpi_that_offers_a_service_can_be_asked(hospital, kpi_id):
    for by in ("service", "age_band"):
        hospital.kpi(kpi_id, *DAYS, by=by)


def test_what_is_about_beds_has_no_service(hospital):
    with pytest.raises(UsageError, match="not defined that way"):
        hospital.kpi("beds_available", *DAYS, by="service")
