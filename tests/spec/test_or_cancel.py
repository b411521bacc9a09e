"""Operations cancelled on the day they were planned for."""

from twin_core.settings import KpiSettings


def test_the_list_is_fixed_at_local_midnight(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.set(KpiSettings(theatres=("OR",)))
    hospital.appointments("""
        appointment | status | unit | starts | booked | cancelled
        A1 | booked | OR | 11-03 08:00 | 10-20 08:00 | -
        A2 | cancelled | OR | 11-03 08:00 | 10-20 08:00 | 2026-11-03T00:00+01:00
        A3 | cancelled | OR | 11-03 08:00 | 10-20 08:00 | 2026-11-02T23:59+01:00
        A4 | cancelled | OR | 11-03 08:00 | 2026-11-03T00:00+01:00 | 2026-11-03T06:00+01:00
        A5 | entered-in-error | OR | 11-03 08:00 | 10-20 08:00 | 2026-11-03T06:00+01:00
        A6 | cancelled | EYE | 11-03 08:00 | 10-20 08:00 | 2026-11-03T06:00+01:00
    """)
    # A3 was off the list before midnight, A4 never on it.
    hospital.shows(
        "or_cancel",
        "2026-11-03T00:00+01:00",
        "2026-11-04T00:00+01:00",
        """
        unit | statistic | numerator | denominator | value
        OR   | share     | 1         | 2           | 50
        OR   | count     | 1         | -           | 1
        """,
    )
