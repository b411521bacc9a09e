"""Inpatients who came back within 30 days."""


def test_unplanned_within_720_hours_by_the_unit_they_left(draw):
    hospital = draw()
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | A    | 1   | 03-01 08:00 | 03-02 08:00
        E2        | P1      | B    | 1   | 04-01 08:00 | 04-02 08:00
        E3        | P3      | A    | 2   | 03-01 08:00 | 03-02 08:00
        E4        | P3      | A    | 2   | 04-01 08:01 | 04-02 08:00
        E5        | P5      | A    | 3   | 03-01 08:00 | 03-02 08:00
        E6        | P5      | A    | 3   | 03-02 20:00 | 03-03 08:00
        E7        | P7      | A    | 4   | 03-01 08:00 | 03-02 08:00
        E8        | P7      | B    | 4   | 03-02 08:00 | 03-03 08:00
    """)
    # E1 came back after exactly 30 days, E3 a minute later; E5 on the same day; E7 never left.
    hospital.shows(
        "readm30",
        "03-02",
        "03-03",
        """
        unit | statistic | numerator | denominator | value
        A    | share     | 2         | 4           | 50
        A    | count     | 2         | -           | 2
        B    | share     | 0         | 0           | -
        B    | count     | 0         | -           | 0
        """,
    )


def test_deaths_transfers_and_leavers_are_no_index_and_a_planned_return_does_not_count(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | patient | class | admitted    | discharged  | disposition | history
        E1        | P1      | IMP   | 03-01 08:00 | 03-02 08:00 | exp         | yes
        E2        | P2      | IMP   | 03-01 08:00 | 03-02 08:00 | 02          | yes
        E3        | P3      | IMP   | 03-01 08:00 | 03-02 08:00 | AMA         | yes
        E4        | P4      | IMP   | 03-01 08:00 | 03-02 08:00 | home        | yes
        E5        | P4      | IMP   | 03-05 08:00 | 03-06 08:00 | home        | yes
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E5        | planned | 02-01 08:00 | 03-05 08:00
    """)
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | A    | 1   | 03-01 08:00 | 03-02 08:00
        E2        | P2      | A    | 2   | 03-01 08:00 | 03-02 08:00
        E3        | P3      | A    | 3   | 03-01 08:00 | 03-02 08:00
        E4        | P4      | A    | 4   | 03-01 08:00 | 03-02 08:00
        E5        | P4      | A    | 4   | 03-05 08:00 | 03-06 08:00
    """)
    hospital.shows(
        "readm30",
        "03-02",
        "03-03",
        """
        unit | numerator | denominator | value
        A    | 0         | 1           | 0
        """,
        only="share",
    )


def test_the_last_30_days_are_provisional(draw):
    hospital = draw(known="03-20 00:00")
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | A    | 1   | 03-01 08:00 | 03-02 08:00
        E2        | P1      | A    | 1   | 03-05 08:00 | -
        E3        | P3      | A    | 2   | 03-01 08:00 | 03-02 08:00
    """)
    hospital.shows(
        "readm30",
        "03-02",
        "03-03",
        """
        unit | stratum     | numerator | denominator
        A    | -           | 0         | 0
        A    | provisional | 1         | 2
        """,
        only="share",
    )
