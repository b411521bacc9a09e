"""The time a theatre is empty between two operations."""

from twin_core.settings import KpiSettings


def test_gaps_of_one_room_and_day_up_to_the_cap(draw):
    hospital = draw()
    hospital.set(KpiSettings(theatres=("OR",), turnover_cap_minutes=60))
    hospital.encounters(
        "\n".join(
            ["encounter | class | admitted | discharged"]
            + [f"E{n} | IMP | 11-02 06:00 | -" for n in range(1, 8)]
        )
    )
    hospital.tracked("""
        encounter | unit | room | from        | to
        E1        | OR   | 1    | 11-02 08:00 | 11-02 09:00
        E2        | OR   | 1    | 11-02 09:30 | 11-02 10:00
        E3        | OR   | 1    | 11-02 11:00 | 11-02 12:00
        E4        | OR   | 1    | 11-02 13:01 | 11-02 14:00
        E5        | OR   | 1    | 11-02 13:50 | 11-02 15:00
        E6        | OR   | 2    | 11-02 09:10 | 11-02 10:00
        E7        | OR   | 1    | 11-03 00:10 | 11-03 01:00
    """)
    # 30 and 60 minutes; 61 is beyond the cap, the fifth case overlaps, another day starts anew.
    hospital.shows(
        "or_tot",
        "11-02",
        "11-04",
        """
        unit | statistic | numerator | denominator | value
        OR   | median    | -         | 2           | 45
        OR   | p90       | -         | 2           | 57
        OR   | mean      | 90        | 2           | 45
        """,
        grain="all",
    )
