"""How long outpatients waited beyond their appointment."""


def test_early_late_and_unseen_patients(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | AMB   | 11-02 08:30 | 11-02 11:00 | no
        E2        | AMB   | 11-02 09:20 | 11-02 11:00 | no
        E3        | AMB   | 11-02 08:30 | 11-02 11:00 | no
        E4        | AMB   | 11-02 08:30 | 11-02 11:00 | no
        E5        | EMER  | 11-02 08:30 | 11-02 11:00 | no
    """)
    hospital.statuses("""
        encounter | status      | from        | to
        E1        | arrived     | 11-02 08:30 | 11-02 09:10
        E1        | in-progress | 11-02 09:10 | 11-02 11:00
        E2        | arrived     | 11-02 09:20 | 11-02 09:50
        E2        | in-progress | 11-02 09:50 | 11-02 11:00
        E3        | arrived     | 11-02 08:30 | 11-02 08:55
        E3        | in-progress | 11-02 08:55 | 11-02 11:00
        E4        | arrived     | 11-02 08:30 | 11-02 11:00
    """)
    hospital.appointments("""
        appointment | encounter | status    | unit | starts      | booked
        A1          | E1        | fulfilled | EYE  | 11-02 09:00 | -
        A2          | E2        | fulfilled | EYE  | 11-02 09:00 | -
        A3          | E3        | fulfilled | EYE  | 11-02 09:00 | -
        A4          | E4        | arrived   | EYE  | 11-02 09:00 | -
        A5          | E5        | fulfilled | EYE  | 11-02 09:00 | -
        A6          | -         | fulfilled | EYE  | 11-02 09:00 | -
    """)
    # E1 came early and waited for 10 minutes, E2 came late and waited for 30, E3 was called before
    # its time, of E4 nobody knows when it was seen.
    hospital.shows(
        "op_wait",
        "11-02",
        "11-03",
        """
        unit | statistic | numerator | denominator | value | coverage
        EYE  | median    | -         | 3           | 10    | 0.75
        EYE  | p90       | -         | 3           | 26    | 0.75
        EYE  | mean      | 40        | 3           | 40/3  | 0.75
        """,
    )


def test_a_provider_seen_counts_before_a_status(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | AMB   | 11-02 09:00 | 11-02 11:00 | no
    """)
    hospital.statuses("""
        encounter | status      | from        | to
        E1        | in-progress | 11-02 09:05 | 11-02 11:00
    """)
    hospital.milestones("""
        encounter | kind             | at
        E1        | seen_by_provider | 11-02 09:40
    """)
    hospital.appointments("""
        appointment | encounter | status    | unit | starts      | booked
        A1          | E1        | fulfilled | EYE  | 11-02 09:00 | -
    """)
    hospital.shows(
        "op_wait",
        "11-02",
        "11-03",
        """
        unit | value
        EYE  | 40
        """,
        only="median",
    )
