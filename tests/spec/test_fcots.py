"""First operations of the day that began on time."""

from twin_core.settings import KpiSettings

WINDOW = ("11-02", "11-03")


def test_on_time_late_early_cancelled_and_added_on_the_day(draw):
    hospital = draw()
    hospital.set(KpiSettings(theatres=("OR",), first_case_grace_minutes=5))
    hospital.appointments("""
        appointment | patient | status    | unit | room | starts      | booked      | cancelled
        A1          | P1      | booked    | OR   | 1    | 11-02 08:00 | 10-20 08:00 | -
        A2          | P2      | booked    | OR   | 1    | 11-02 10:00 | 10-20 08:00 | -
        A3          | P3      | booked    | OR   | 2    | 11-02 08:00 | 10-20 08:00 | -
        A4          | P4      | cancelled | OR   | 3    | 11-02 08:00 | 10-20 08:00 | 11-02 07:00
        A5          | P5      | booked    | OR   | 3    | 11-02 10:00 | 10-20 08:00 | -
        A6          | P6      | booked    | OR   | 4    | 11-02 07:30 | 11-02 06:00 | -
        A7          | P7      | booked    | OR   | 4    | 11-02 08:00 | 10-20 08:00 | -
        A8          | P8      | booked    | OR   | 5    | 11-02 08:00 | 10-20 08:00 | -
        A9          | P9      | booked    | EYE  | 1    | 11-02 08:00 | 10-20 08:00 | -
    """)
    hospital.encounters("""
        encounter | patient | class | admitted    | discharged
        E1        | P1      | IMP   | 11-02 06:00 | -
        E2        | P2      | IMP   | 11-02 06:00 | -
        E3        | P3      | IMP   | 11-02 06:00 | -
        E5        | P5      | IMP   | 11-02 06:00 | -
        E7        | P7      | IMP   | 11-02 06:00 | -
    """)
    hospital.tracked("""
        encounter | unit | room | from        | to
        E1        | OR   | 1    | 11-02 08:05 | 11-02 09:00
        E2        | OR   | 1    | 11-02 11:00 | 11-02 12:00
        E3        | OR   | 2    | 11-02 08:06 | 11-02 09:00
        E5        | OR   | 3    | 11-02 10:00 | 11-02 11:00
        E7        | OR   | 4    | 11-02 07:50 | 11-02 09:00
    """)
    # Room 1 within the grace, room 2 a minute after it, room 3's first case was cancelled and the
    # second is not promoted, room 4's first planned case came early, room 5's patient was never
    # seen in the room.
    hospital.shows(
        "fcots",
        *WINDOW,
        """
        unit | statistic | numerator | denominator | value | coverage
        OR   | share     | 2         | 3           | 200/3 | 0.75
        OR   | count     | 2         | -           | 2     | 0.75
        """,
    )
