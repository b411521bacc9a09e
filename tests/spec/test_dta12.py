"""Emergency admissions that waited more than twelve hours after the decision to admit."""


def test_twelve_hours_exactly_are_in_the_band_below_and_no_decision_is_unknown(draw):
    hospital = draw()
    for number, decided in ((1, "11-01 08:00"), (2, "11-01 07:59"), (3, "11-01 16:00"), (4, None)):
        name, row = f"E{number}", f"E{number} | {number}"
        hospital.encounters(f"""
            encounter | class | admitted    | discharged  | history
            {name}    | IMP   | 11-01 06:00 | 11-03 08:00 | no
        """)
        hospital.classes(f"""
            encounter | class | from        | to
            {name}    | EMER  | 11-01 06:00 | 11-01 20:00
            {name}    | IMP   | 11-01 20:00 | -
        """)
        hospital.stays(f"""
            encounter | bed | unit | from        | to
            {row}           | ED   | 11-01 06:00 | 11-01 20:00
            {row}           | A    | 11-01 20:00 | 11-03 08:00
        """)
        if decided:
            hospital.milestones(f"""
                encounter | kind              | at
                {name}    | decision_to_admit | {decided}
            """)
    # 12:00, 12:01 and 4:00 hours.
    hospital.shows(
        "dta12",
        "11-01",
        "11-02",
        """
        unit | stratum | statistic | numerator | denominator | value | coverage
        ED   | -       | count     | 1         | -           | 1     | 0.75
        ED   | -       | share     | 1         | 3           | 100/3 | 0.75
        ED   | 4_to_12 | count     | 1         | -           | 1     | 0.75
        ED   | 4_to_12 | share     | 1         | 3           | 100/3 | 0.75
        """,
    )
