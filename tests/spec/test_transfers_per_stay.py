"""Ward moves per stay: changes of unit of the inpatients who went home."""

import pytest


def test_unit_changes_only_and_the_share_with_three_or_more(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 06:00
        E1        | B    | 1   | 11-01 06:00 | 11-01 12:00
        E1        | A    | 1   | 11-01 12:00 | 11-01 18:00
        E1        | C    | 1   | 11-01 18:00 | 11-02 12:00
        E2        | C    | 2   | 11-01 00:00 | 11-01 12:00
        E2        | C    | 3   | 11-01 12:00 | 11-02 12:00
        E3        | A    | 4   | 11-01 00:00 | 11-01 12:00
        E3        | B    | 4   | 11-01 12:00 | -
    """)
    hospital.shows(
        "transfers_per_stay",
        "11-01",
        "11-03",
        """
        unit | statistic    | numerator | denominator | value | coverage
        A    | mean         | 0         | 0           | -     | 1
        A    | share_3_plus | 0         | 0           | -     | 1
        B    | mean         | 0         | 0           | -     | 1
        B    | share_3_plus | 0         | 0           | -     | 1
        C    | mean         | 3         | 2           | 1.5   | 1
        C    | share_3_plus | 1         | 2           | 50    | 1
        """,
        grain="all",
    )
    hospital.shows(
        "transfers_per_stay",
        "11-01",
        "11-03",
        "stratum | numerator | denominator | value\n IMP | 3 | 2 | 1.5",
        by="class",
        only="mean",
        grain="all",
    )


def test_moves_without_duration_and_moves_before_admission_do_not_count(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 00:00 | 11-02 12:00 | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 00:00 | 11-01 06:00
        E1        | IMP   | 11-01 06:00 | 11-02 12:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 00:00 | 11-01 03:00
        E1        | X    | 1   | 11-01 03:00 | 11-01 06:00
        E1        | A    | 1   | 11-01 06:00 | 11-01 12:00
        E1        | B    | 1   | 11-01 12:00 | 11-01 12:00
        E1        | A    | 2   | 11-01 12:00 | 11-02 12:00
    """)
    hospital.shows(
        "transfers_per_stay",
        "11-02",
        "11-03",
        "unit | numerator | denominator | value\n A | 0 | 1 | 0",
        only="mean",
    )


def test_a_cancelled_encounter_is_no_discharge_leave_no_move_midnight_the_new_day(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged  | history
        E1        | IMP   | cancelled | 11-01 00:00 | 11-02 00:00 | no
        E2        | IMP   | -         | 11-01 00:00 | 11-03 00:00 | no
        E3        | EMER  | -         | 11-01 00:00 | 11-03 00:00 | no
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E2        | onleave | 11-01 06:00 | 11-01 12:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E2        | A    | 1   | 11-01 00:00 | 11-02 00:00
        E2        | B    | 1   | 11-02 00:00 | 11-03 00:00
        E3        | A    | 2   | 11-01 00:00 | 11-02 00:00
        E3        | B    | 2   | 11-02 00:00 | 11-03 00:00
    """)
    hospital.shows(
        "transfers_per_stay",
        "11-02",
        "11-04",
        """
        period_start | numerator | denominator | value
        11-02        | 0         | 0           | -
        11-03        | 1         | 1           | 1
        """,
        by="hospital",
        only="mean",
    )


def test_overlapping_stays_are_ordered_by_their_start(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-01 12:00
        E1        | B    | 1   | 11-01 06:00 | 11-02 00:00
    """)
    hospital.shows(
        "transfers_per_stay",
        "11-02",
        "11-03",
        "numerator | denominator\n 1 | 1",
        only="mean",
        by="hospital",
    )


def test_a_discharge_without_any_stay_is_missing_not_zero_moves(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | IMP   | 11-01 00:00 | 11-02 00:00
    """)
    hospital.shows(
        "transfers_per_stay",
        "11-02",
        "11-03",
        "numerator | denominator | value | coverage\n 0 | 0 | - | 0",
        only="mean",
        by="facility",
    )


def test_a_cancelled_transfer_is_gone_once_that_is_known(draw):
    hospital = draw(known="11-03")
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from  | known_to
        E1        | A    | 1   | 11-01 00:00 | 11-01 06:00 | 11-01 06:00 | 11-02 12:00
        E1        | B    | 1   | 11-01 06:00 | 11-02 00:00 | 11-01 06:00 | 11-02 12:00
        E1        | A    | 1   | 11-01 00:00 | 11-02 00:00 | 11-02 12:00 | -
    """)
    window = ("transfers_per_stay", "11-02", "11-02 06:00")
    hospital.shows(*window, "numerator | denominator\n 0 | 1", only="mean", by="hospital")
    hospital.shows(
        *window,
        "numerator | denominator\n 1 | 1",
        only="mean",
        by="hospital",
        known_at="11-02 11:00",
    )


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00"),
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
    ],
)
def test_the_last_minute_of_a_day_with_a_clock_change_is_that_day(draw, zone, start, end):
    hospital = draw(zone=zone)
    late = f"{start[:10]}T23:59{end[-6:]}"
    hospital.stays(f"""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 02-01 00:00 | 02-02 00:00
        E1        | B    | 1   | 02-02 00:00 | {late}
    """)
    hospital.shows(
        "transfers_per_stay",
        start,
        end.replace("T00", "T12"),
        f"period_start | denominator\n {start} | 1\n {end} | 0",
        only="mean",
        by="hospital",
    )
