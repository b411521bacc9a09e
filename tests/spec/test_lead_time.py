"""How long before their appointment patients book it."""


def test_from_the_first_booking_and_an_unheard_booking_is_unknown(draw):
    hospital = draw()
    hospital.appointments("""
        appointment | status    | unit | starts      | booked      | cancelled
        A1          | booked    | EYE  | 11-11 08:00 | 11-01 08:00 | -
        A2          | noshow    | EYE  | 11-11 20:00 | 11-11 08:00 | -
        A3          | cancelled | EYE  | 11-11 08:00 | 10-01 08:00 | 11-01 08:00
        A4          | booked    | EYE  | 11-11 08:00 | -           | -
        A5          | fulfilled | EYE  | 11-11 08:00 | 11-11 09:00 | -
    """)
    # 10, 0.5 and 0 days: a walk-in is written down after it began.
    hospital.shows(
        "lead_time",
        "11-11",
        "11-12",
        """
        unit | statistic | numerator | denominator | value | coverage
        EYE  | median    | -         | 3           | 0.5   | 0.75
        EYE  | p90       | -         | 3           | 8.1   | 0.75
        EYE  | mean      | 10.5      | 3           | 3.5   | 0.75
        """,
    )
