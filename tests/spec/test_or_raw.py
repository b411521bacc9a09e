"""Raw utilisation of the operating theatres."""

from twin_core.settings import KpiSettings

THEATRES = KpiSettings(theatres=("OR",), theatre_hours=("08:00", "16:00"))


def operated(hospital):
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | IMP   | 11-02 06:00 | -
        E2        | IMP   | 11-02 06:00 | -
        E3        | IMP   | 11-02 06:00 | -
    """)


def test_minutes_within_opening_hours_and_what_runs_over_apart(draw):
    """2026-11-02 is a Monday."""
    hospital = draw()
    hospital.set(THEATRES)
    operated(hospital)
    hospital.tracked("""
        encounter | unit | room | from        | to
        E1        | OR   | 1    | 11-02 07:30 | 11-02 10:00
        E2        | OR   | 1    | 11-02 15:00 | 11-02 17:00
        E3        | OR   | 2    | 11-02 09:00 | 11-02 10:00
        E3        | LAB  | 1    | 11-02 10:00 | 11-02 11:00
    """)
    # Room 1: 8 to 10 and 15 to 16, room 2 one hour, of eight hours each; one hour after closing.
    hospital.shows(
        "or_raw",
        "11-02",
        "11-03",
        """
        unit | stratum  | numerator | denominator | value | coverage
        OR   | -        | 240       | 960         | 25    | 1
        OR   | over_run | 60        | 960         | 6.25  | 1
        """,
    )


def test_weekends_are_closed_and_a_day_that_is_not_over_counts_so_far(draw):
    hospital = draw(known="11-02 10:00")
    hospital.set(THEATRES)
    operated(hospital)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | OR   | -   | 11-01 08:00 | 11-01 12:00
        E2        | OR   | -   | 11-02 09:00 | -
    """)
    # Sunday counts for nothing; on Monday one of the two hours until 10 was used.
    hospital.shows(
        "or_raw",
        "11-01",
        "11-03",
        """
        unit | stratum  | numerator | denominator | value
        OR   | -        | 60        | 120         | 50
        OR   | over_run | 0         | 120         | 0
        """,
        grain="all",
    )


def test_opening_hours_are_local_and_without_theatres_there_are_no_rows(draw):
    hospital = draw(zone="Europe/Berlin")
    operated(hospital)
    hospital.tracked("""
        encounter | unit | room | from                   | to
        E1        | OR   | 1    | 2026-11-02T07:00+01:00 | 2026-11-02T09:00+01:00
    """)
    window = ("2026-11-02T00:00+01:00", "2026-11-03T00:00+01:00")
    assert hospital.kpi("or_raw", *window) == []
    hospital.set(THEATRES)
    hospital.shows(
        "or_raw",
        *window,
        """
        stratum  | numerator | denominator
        -        | 60        | 480
        over_run | 0         | 480
        """,
    )


def test_a_case_that_begins_after_the_window_takes_no_time_from_those_before(draw):
    hospital = draw()
    hospital.set(THEATRES)
    operated(hospital)
    hospital.tracked("""
        encounter | unit | room | from        | to
        E1        | OR   | 1    | 11-02 15:00 | 11-02 17:00
        E2        | OR   | 1    | 11-02 20:00 | 11-02 22:00
    """)
    hospital.shows(
        "or_raw",
        "11-02 00:00",
        "11-02 19:00",
        """
        stratum  | numerator | denominator
        -        | 60        | 480
        over_run | 60        | 480
        """,
        grain="all",
        by="hospital",
    )
