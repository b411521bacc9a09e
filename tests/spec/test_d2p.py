"""Arrival to the first contact with a provider."""


def test_before_the_arrival_is_zero_and_shown_and_unrecorded_is_unknown(draw):
    hospital = draw(known="11-01 23:00")
    hospital.encounters("""
        encounter | class | admitted    | discharged  | disposition
        E1        | EMER  | 11-01 08:00 | 11-01 12:00 | 01
        E2        | EMER  | 11-01 08:00 | 11-01 12:00 | 01
        E3        | EMER  | 11-01 08:00 | 11-01 12:00 | 01
        E4        | EMER  | 11-01 08:00 | 11-01 12:00 | LWBS
        E5        | EMER  | 11-01 22:00 | -           | -
        E6        | EMER  | 11-01 22:00 | -           | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 12:00
        E2        | ED   | 2   | 11-01 08:00 | 11-01 12:00
        E3        | ED   | 3   | 11-01 08:00 | 11-01 12:00
        E4        | ED   | 4   | 11-01 08:00 | 11-01 12:00
        E5        | ED   | 5   | 11-01 22:00 | -
        E6        | ED   | 6   | 11-01 22:00 | -
    """)
    hospital.milestones("""
        encounter | kind             | at
        E1        | seen_by_provider | 11-01 08:40
        E1        | triaged          | 11-01 08:05
        E2        | seen_by_provider | 11-01 07:50
        E5        | seen_by_provider | 11-01 22:20
    """)
    # 40, 0 and 20 minutes; E3 was seen by somebody at some time; E6 still waits.
    hospital.shows(
        "d2p",
        "11-01",
        "11-01 23:00",
        """
        unit | stratum        | denominator | value | coverage
        ED   | -              | 3           | 20    | 0.75
        ED   | before_arrival | 1           | 0     | 1
        """,
        only="median",
    )
