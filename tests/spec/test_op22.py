"""Emergency patients who left before a provider had seen them (OP-22)."""

from twin_core.settings import KpiSettings

VISITS = """
    encounter | class | status    | admitted    | discharged  | disposition
    E1        | EMER  | -         | 11-01 08:00 | 11-01 10:00 | LWBS
    E2        | EMER  | -         | 11-01 08:00 | 11-01 12:00 | 07
    E3        | EMER  | -         | 11-01 08:00 | 11-01 09:00 | 01
    E4        | EMER  | -         | 11-01 08:00 | 11-01 09:00 | -
    E5        | EMER  | cancelled | 11-01 08:00 | 11-01 09:00 | LWBS
    E6        | EMER  | -         | 11-01 08:00 | -           | -
"""
STAYS = """
    encounter | unit | bed | from        | to
    E1        | ED   | -   | 11-01 08:00 | 11-01 10:00
    E2        | ED   | 2   | 11-01 08:00 | 11-01 12:00
    E3        | ED   | 3   | 11-01 08:00 | 11-01 09:00
    E4        | ED   | 4   | 11-01 08:00 | 11-01 09:00
    E6        | ED   | 6   | 11-01 08:00 | -
"""


def test_leaving_unseen_and_against_advice_are_two_things_and_a_cancelled_visit_is_none(draw):
    hospital = draw()
    hospital.encounters(VISITS)
    hospital.stays(STAYS)
    hospital.shows(
        "op22",
        "11-01",
        "11-02",
        """
        unit | stratum        | statistic | numerator | denominator | value
        ED   | -              | share     | 1         | 4           | 25
        ED   | -              | count     | 1         | -           | 1
        ED   | against_advice | share     | 1         | 4           | 25
        ED   | against_advice | count     | 1         | -           | 1
        """,
    )


def test_a_site_says_which_of_its_dispositions_mean_it(draw):
    hospital = draw()
    hospital.set(KpiSettings(left_unseen=("GONE",)))
    hospital.encounters(VISITS.replace("LWBS", "GONE"))
    hospital.stays(STAYS)
    hospital.shows(
        "op22",
        "11-01",
        "11-02",
        """
        stratum        | value
        -              | 1
        against_advice | 1
        """,
        only="count",
    )
    hospital.set(KpiSettings())
    hospital.shows(
        "op22",
        "11-01",
        "11-02",
        """
        stratum        | value
        -              | 0
        against_advice | 1
        """,
        only="count",
    )
