"""Arrival to departure of ED patients who went home (OP-18)."""


def test_seen_patients_who_left_by_whatever_they_were_told_and_transfers_and_psychiatry_apart(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | disposition | service
        E1        | EMER  | 11-01 08:00 | 11-01 10:00 | 01          | MED
        E2        | EMER  | 11-01 08:00 | 11-01 12:00 | AMA         | MED
        E3        | EMER  | 11-01 08:00 | 11-01 09:00 | LWBS        | MED
        E4        | EMER  | 11-01 08:00 | 11-01 09:00 | exp         | MED
        E5        | EMER  | 11-01 08:00 | 11-01 13:00 | 02          | MED
        E6        | EMER  | 11-01 08:00 | 11-01 14:00 | home        | PSY
        E7        | EMER  | 11-01 08:00 | -           | -           | MED
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 10:00
        E2        | ED   | 2   | 11-01 08:00 | 11-01 12:00
        E3        | ED   | -   | 11-01 08:00 | 11-01 09:00
        E4        | ED   | 4   | 11-01 08:00 | 11-01 09:00
        E5        | ED   | 5   | 11-01 08:00 | 11-01 13:00
        E6        | ED   | 6   | 11-01 08:00 | 11-01 14:00
        E7        | ED   | 7   | 11-01 08:00 | -
    """)
    hospital.shows(
        "op18",
        "11-01",
        "11-02",
        """
        unit | stratum     | denominator | value
        ED   | -           | 2           | 180
        ED   | transferred | 1           | 300
        ED   | psychiatric | 1           | 360
        """,
        only="median",
    )


def test_an_admitted_or_observed_patient_is_in_neither(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class  | admitted    | discharged  | history
        E1        | IMP    | 11-01 08:00 | 11-01 20:00 | no
        E2        | OBSENC | 11-01 08:00 | 11-01 20:00 | no
    """)
    hospital.classes("""
        encounter | class  | from        | to
        E1        | EMER   | 11-01 08:00 | 11-01 09:00
        E1        | IMP    | 11-01 09:00 | -
        E2        | EMER   | 11-01 08:00 | 11-01 09:00
        E2        | OBSENC | 11-01 09:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 20:00
        E2        | ED   | 2   | 11-01 08:00 | 11-01 20:00
    """)
    hospital.shows(
        "op18",
        "11-01",
        "11-02",
        """
        unit | denominator | value
        ED   | 0           | -
        """,
        only="median",
    )
