"""Outpatients who did not come to their appointment."""

from twin_core.settings import KpiSettings


def test_missed_over_attended_or_missed_and_the_other_denominators_beside_it(draw):
    hospital = draw(known="11-03 00:00")
    hospital.set(KpiSettings(theatres=("OR",)))
    hospital.patients("""
        patient | birth_date
        P1      | 2008-11-03
        P2      | 2008-11-02
    """)
    hospital.appointments("""
        appointment | patient | status           | unit | starts      | booked      | cancelled
        A1          | P1      | noshow           | EYE  | 11-02 08:00 | 10-20 08:00 | 11-02 09:00
        A2          | P2      | fulfilled        | EYE  | 11-02 08:00 | 10-20 08:00 | -
        A3          | -       | checked-in       | EYE  | 11-02 08:00 | 10-20 08:00 | -
        A4          | -       | cancelled        | EYE  | 11-02 08:00 | 10-20 08:00 | 11-01 09:00
        A5          | -       | cancelled        | EYE  | 11-02 08:00 | 10-20 08:00 | 11-02 07:00
        A6          | -       | booked           | EYE  | 11-02 08:00 | 10-20 08:00 | -
        A7          | -       | waitlist         | EYE  | 11-02 08:00 | 10-20 08:00 | -
        A8          | -       | entered-in-error | EYE  | 11-02 08:00 | 10-20 08:00 | -
        A9          | -       | noshow           | OR   | 11-02 08:00 | 10-20 08:00 | -
        A0          | -       | booked           | EYE  | 11-03 08:00 | 10-20 08:00 | -
    """)
    hospital.shows(
        "noshow",
        "11-02",
        "11-03",
        """
        unit | stratum       | numerator | denominator | value | coverage
        EYE  | -             | 1         | 3           | 100/3 | 0.75
        EYE  | child         | 1         | 1           | 100   | 1
        EYE  | of_all_booked | 1         | 6           | 50/3  | 1
        EYE  | late_cancel   | 1         | 6           | 50/3  | 1
        """,
        only="share",
    )
