"""Inpatients who no longer meet the criteria to reside."""

from twin_core.settings import KpiSettings


def inpatients(hospital):
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | IMP   | 11-01 08:00 | -
        E2        | IMP   | 11-01 08:00 | -
        E3        | IMP   | 11-01 08:00 | -
        E4        | IMP   | 11-01 08:00 | -
        E5        | IMP   | 11-01 08:00 | 11-02 10:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | -
        E2        | A    | 2   | 11-01 08:00 | -
        E3        | A    | 3   | 11-01 08:00 | -
        E4        | A    | 4   | 11-01 08:00 | -
        E5        | A    | 5   | 11-01 08:00 | 11-02 10:00
    """)
    hospital.observations("""
        encounter | code | value | at          | status
        E1        | CTR  | Y     | 11-01 09:00 | final
        E1        | CTR  | N     | 11-02 09:00 | final
        E2        | CTR  | N     | 11-01 09:00 | final
        E2        | CTR  | Y     | 11-02 09:00 | final
        E3        | CTR  | N     | 11-02 09:00 | entered-in-error
        E4        | OTH  | N     | 11-02 09:00 | final
        E5        | CTR  | N     | 11-02 09:00 | final
    """)


def test_the_latest_assessment_counts_and_no_assessment_is_unknown(draw):
    hospital = draw(known="11-03 00:00")
    hospital.set(KpiSettings(reside_code="CTR"))
    inpatients(hospital)
    # E1 no longer, E2 again, of E3 and E4 nobody knows, E5 has left by the end of the day.
    hospital.shows(
        "nctr",
        "11-02",
        "11-03",
        """
        unit | statistic | numerator | denominator | value | coverage
        A    | share     | 1         | 2           | 50    | 0.5
        A    | count     | 1         | -           | 1     | 0.5
        """,
    )
    hospital.shows(
        "nctr",
        "11-02 09:00",
        "11-02 10:00",
        """
        unit | numerator | denominator
        A    | 2         | 3
        """,
        grain="hour",
        only="share",
    )


def test_without_a_code_there_are_no_rows(draw):
    hospital = draw()
    inpatients(hospital)
    assert hospital.kpi("nctr", "11-02", "11-03") == []
