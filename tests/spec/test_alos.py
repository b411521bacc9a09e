"""Average length of stay of the inpatients discharged in a period."""

import pytest

MEAN = "mean"


def test_mean_median_p90_and_nights_of_the_discharges_in_the_period(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 12:00 | 11-02 12:00
        E2        | A    | 2   | 11-01 12:00 | 11-03 00:00
        E3        | A    | 3   | 11-01 12:00 | 11-05 12:00
        E4        | A    | 4   | 11-01 12:00 | 11-11 00:00
        E5        | A    | 5   | 11-01 12:00 | -
    """)
    # 1, 1.5 and 4 days; the 0.9 quantile lies 0.8 of the way from 1.5 to 4. Nights: 1, 2 and 4.
    hospital.shows(
        "alos",
        "11-01",
        "11-06",
        """
        unit | statistic          | numerator | denominator | value | coverage
        A    | mean               | 6.5       | 3           | 13/6  | 1
        A    | median             | -         | 3           | 1.5   | 1
        A    | p90                | -         | 3           | 3.5   | 1
        A    | mean_nights        | 7         | 3           | 7/3   | 1
        A    | mean_without_leave | 6.5       | 3           | 13/6  | 1
        """,
        grain="all",
    )


def test_a_discharge_at_midnight_belongs_to_the_day_it_begins(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-03 00:00
    """)
    hospital.shows(
        "alos",
        "11-02",
        "11-04",
        """
        period_start | numerator | denominator | value
        11-02        | 0         | 0           | -
        11-03        | 2         | 1           | 2
        """,
        only=MEAN,
    )


def test_day_cases_and_observation_apart_deaths_in_outpatients_and_cancelled_out(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class  | status    | admitted    | discharged  | disposition
        E1        | IMP    | -         | 11-01 08:00 | 11-03 08:00 | exp
        E2        | IMP    | -         | 11-03 08:00 | 11-03 20:00 | home
        E3        | OBSENC | -         | 11-02 08:00 | 11-03 08:00 | home
        E4        | EMER   | -         | 11-03 08:00 | 11-03 10:00 | home
        E5        | IMP    | cancelled | 11-01 08:00 | 11-03 08:00 | -
        E6        | AMB    | -         | 11-01 08:00 | 11-03 08:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-03 08:00
        E2        | A    | 2   | 11-03 08:00 | 11-03 20:00
        E3        | A    | 3   | 11-02 08:00 | 11-03 08:00
        E4        | ED   | 1   | 11-03 08:00 | 11-03 10:00
    """)
    hospital.shows(
        "alos",
        "11-03",
        "11-04",
        """
        unit | stratum     | denominator | value
        A    | -           | 1           | 2
        A    | day_case    | 1           | 0.5
        A    | observation | 1           | 1
        ED   | -           | 0           | -
        """,
        only=MEAN,
    )


def test_the_day_case_and_the_nights_are_local(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.stays("""
        encounter | unit | bed | from                   | to
        E1        | A    | 1   | 2026-11-10T00:30+01:00 | 2026-11-10T20:00+01:00
        E2        | A    | 2   | 2026-11-09T23:30+01:00 | 2026-11-10T20:00+01:00
    """)
    hospital.shows(
        "alos",
        "2026-11-10T00:00+01:00",
        "2026-11-11T00:00+01:00",
        """
        stratum  | denominator | value
        -        | 1           | 1
        day_case | 1           | 0
        """,
        only="mean_nights",
    )


def test_leave_is_subtracted_in_its_own_statistic_only(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 00:00 | 11-05 00:00 | no
    """)
    hospital.statuses("""
        encounter | status      | from        | to
        E1        | in-progress | 11-01 00:00 | 11-02 00:00
        E1        | onleave     | 11-02 00:00 | 11-03 12:00
        E1        | in-progress | 11-03 12:00 | 11-05 00:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-05 00:00
    """)
    hospital.shows(
        "alos",
        "11-05",
        "11-06",
        """
        statistic          | value
        mean               | 4
        mean_without_leave | 2.5
        """,
        only=("mean", "mean_without_leave"),
    )


def test_the_spell_starts_as_an_inpatient_in_either_shape_of_an_ed_admission(draw):
    one = draw()
    one.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 00:00 | 11-03 12:00 | no
    """)
    one.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 00:00 | 11-01 12:00
        E1        | IMP   | 11-01 12:00 | 11-03 12:00
    """)
    stays = """
        encounter | unit | bed | from        | to
        {ed}      | ED   | 1   | 11-01 00:00 | 11-01 12:00
        E1        | A    | 1   | 11-01 12:00 | 11-03 12:00
    """
    one.stays(stays.format(ed="E1"))
    expected = """
        unit | denominator | value
        ED   | 0           | -
        A    | 1           | 2
    """
    one.shows("alos", "11-01", "11-04", expected, only=MEAN, grain="all")

    two = draw()
    two.encounters("""
        encounter | class | admitted    | discharged  | part_of
        E0        | EMER  | 11-01 00:00 | 11-01 12:00 | E1
        E1        | IMP   | 11-01 12:00 | 11-03 12:00 | -
    """)
    two.stays(stays.format(ed="E0"))
    two.shows("alos", "11-01", "11-04", expected, only=MEAN, grain="all")


def test_a_part_of_an_inpatient_encounter_is_no_second_discharge(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | part_of
        E1        | IMP   | 11-01 00:00 | 11-05 00:00 | -
        E2        | IMP   | 11-02 00:00 | 11-03 00:00 | E1
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-05 00:00
    """)
    hospital.shows("alos", "11-01", "11-06", "denominator | value\n 1 | 4", only=MEAN, grain="all")


def test_a_transfer_belongs_to_the_unit_of_the_last_stay(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-02 00:00
        E1        | B    | 1   | 11-02 00:00 | 11-04 00:00
    """)
    hospital.shows(
        "alos",
        "11-04",
        "11-05",
        """
        unit | denominator | value
        B    | 1           | 3
        """,
        only=MEAN,
    )


def test_an_unknown_start_is_missing_from_the_mean_and_shows_in_coverage(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | -           | 11-03 00:00 | no
        E2        | IMP   | 11-01 00:00 | 11-03 00:00 | no
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 00:00 | 11-03 00:00
        E2        | A    | 2   | 11-01 00:00 | 11-03 00:00
    """)
    hospital.shows(
        "alos", "11-03", "11-04", "denominator | value | coverage\n 1 | 2 | 0.5", only=MEAN
    )


@pytest.mark.parametrize(
    ("zone", "start", "end", "days"),
    [
        ("Europe/Berlin", "2026-03-28T12:00+01:00", "2026-03-29T12:00+02:00", "23/24"),
        ("Europe/Berlin", "2026-10-24T12:00+02:00", "2026-10-25T12:00+01:00", "25/24"),
        ("America/New_York", "2026-03-07T12:00-05:00", "2026-03-08T12:00-04:00", "23/24"),
        ("America/New_York", "2026-10-31T12:00-04:00", "2026-11-01T12:00-05:00", "25/24"),
    ],
)
def test_hours_are_elapsed_and_nights_are_counted(draw, zone, start, end, days):
    hospital = draw(zone=zone)
    hospital.stays(f"""
        encounter | unit | bed | from    | to
        E1        | A    | 1   | {start} | {end}
    """)
    hospital.shows(
        "alos",
        start,
        end.replace("T12", "T13"),
        f"statistic | value\n mean | {days}\n mean_nights | 1",
        only=("mean", "mean_nights"),
        grain="all",
    )


def test_a_cancelled_discharge_is_none_from_when_that_was_known(draw):
    hospital = draw(known="11-04")
    hospital.encounters("""
        encounter | class | admitted    | discharged  | known_from  | known_to
        E1        | IMP   | 11-01 00:00 | 11-02 00:00 | 11-02 00:00 | 11-02 12:00
        E1        | IMP   | 11-01 00:00 | -           | 11-02 12:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from  | known_to
        E1        | A    | 1   | 11-01 00:00 | 11-02 00:00 | 11-02 00:00 | 11-02 12:00
        E1        | A    | 1   | 11-01 00:00 | -           | 11-02 12:00 | -
    """)
    day = ("alos", "11-02", "11-02 06:00")
    hospital.shows(*day, "denominator | value\n 0 | -", only=MEAN)
    hospital.shows(*day, "denominator | value\n 1 | 1", only=MEAN, known_at="11-02 10:00")


def test_nights_are_local_ones_on_the_day_of_the_change_and_months_before(draw):
    hospital = draw(zone="Europe/Berlin")
    hospital.stays("""
        encounter | unit | bed | from                   | to
        E1        | A    | 1   | 2026-03-29T12:00+02:00 | 2026-03-30T00:30+02:00
        E2        | B    | 1   | 2026-10-25T12:00+01:00 | 2026-10-25T23:30+01:00
        E3        | C    | 1   | 2026-01-10T00:30+01:00 | 2026-10-26T01:00+01:00
    """)
    # An hour before UTC's midnight: E1 has seen one local midnight, E2 none. E3 was there for long.
    nights = hospital.rows("alos", "2026-03-01", "2026-11-01", grain="all")
    found = {r.subject_id: r.numerator for r in nights if r.statistic == "mean_nights"}
    assert found == {"E1": 1, "E2": 0, "E3": 289}
    rows = hospital.kpi("alos", "2026-03-01", "2026-11-01", grain="all")
    figures = {(r.unit, r.stratum): r.numerator for r in rows if r.statistic == "mean_nights"}
    assert figures["A", None] == 1
    assert figures["B", "day_case"] == 0
    assert figures["C", None] == 289
