"""Staffed beds that are free, clean and promised to nobody."""


def test_taken_dirty_closed_reserved_and_unknown_beds(draw):
    hospital = draw(known="11-01 12:00")
    hospital.beds("""
        unit | bed | staffed | status | from | to
        A    | 1   | yes     | -      | -    | -
        A    | 2   | yes     | U      | -    | -
        A    | 3   | yes     | H      | -    | -
        A    | 4   | yes     | C      | -    | -
        A    | 5   | no      | U      | -    | -
        A    | 6   | yes     | U      | -    | -
        A    | 7   | -       | U      | -    | -
        A    | 8   | yes     | K      | -    | -
    """)
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | IMP   | 11-01 08:00 | -
        E2        | EMER  | 11-01 08:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 2   | 11-01 08:00 | -
    """)
    hospital.plans("""
        encounter | kind     | status | stated      | ended | unit | bed
        E2        | transfer | active | 11-01 10:00 | -     | A    | 6
    """)
    # Of the five open, staffed beds 1, 2, 3, 6 and 8 only the first is free: 2 is taken whatever
    # its status says, 3 and 8 are not clean, 6 is promised. Of 7 nobody knows.
    hospital.shows(
        "beds_available",
        "11-01",
        "11-02",
        """
        unit | stratum   | statistic | numerator | denominator | value | coverage
        A    | -         | count     | 1         | -           | 1     | 5/12
        A    | -         | share     | 1         | 5           | 20    | 5/12
        A    | reserved  | count     | 1         | -           | 1     | 5/12
        A    | reserved  | share     | 1         | 5           | 20    | 5/12
        A    | not_clean | count     | 2         | -           | 2     | 5/12
        A    | not_clean | share     | 2         | 5           | 40    | 5/12
        """,
    )


def test_by_hospital_every_bed_counts_once(draw):
    hospital = draw(known="11-02 00:00")
    hospital.facility("G", "UTC")
    hospital.beds("""
        facility | unit | bed | staffed | status | from | to
        H        | A    | 1   | yes     | U      | -    | -
        G        | A    | 1   | yes     | U      | -    | -
    """)
    hospital.shows(
        "beds_available",
        "11-01",
        "11-02",
        """
        unit | stratum   | value
        -    | -         | 2
        -    | reserved  | 0
        -    | not_clean | 0
        """,
        only="count",
        by="hospital",
    )
