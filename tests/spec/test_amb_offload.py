"""Arrival of the ambulance to the handover of its patient."""


def ambulances(hospital, marks=""):
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | EMER  | 11-01 08:00 | 11-01 12:00
        E2        | EMER  | 11-01 08:00 | 11-01 12:00
        E3        | EMER  | 11-01 08:00 | 11-01 12:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 12:00
        E2        | ED   | 2   | 11-01 08:00 | 11-01 12:00
        E3        | ED   | 3   | 11-01 08:00 | 11-01 12:00
    """)
    if marks:
        hospital.milestones(marks)


def test_only_visits_by_ambulance_count_and_an_unrecorded_handover_is_unknown(draw):
    hospital = draw()
    ambulances(
        hospital,
        """
        encounter | kind               | at
        E1        | ambulance_arrived  | 11-01 07:50
        E1        | ambulance_handover | 11-01 08:10
        E2        | ambulance_arrived  | 11-01 07:55
        """,
    )
    hospital.shows(
        "amb_offload",
        "11-01",
        "11-02",
        """
        unit | statistic | numerator | denominator | value | coverage
        ED   | p90       | -         | 1           | 20    | 0.5
        ED   | median    | -         | 1           | 20    | 0.5
        ED   | mean      | 20        | 1           | 20    | 0.5
        """,
    )


def test_without_a_feed_of_ambulance_times_there_are_no_rows(draw):
    hospital = draw()
    ambulances(hospital)
    assert hospital.kpi("amb_offload", "11-01", "11-02") == []
