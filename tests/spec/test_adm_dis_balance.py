"""Net flow: who came and went, reconciled with the census hour by hour."""

import pytest

FLOWS = ("admissions", "transfers_in", "discharges", "deaths", "transfers_out")


def balance(hospital, *window, **how):
    """{(unit, hour of the window): {statistic: value}} of the periods."""
    rows = hospital.kpi("adm_dis_balance", *window, **how)
    first = min(row.period_start for row in rows)
    found = {}
    for row in rows:
        hour = (row.period_start - first).total_seconds() / 3600
        key = (row.stratum if how.get("by") == "class" else row.unit, hour)
        found.setdefault(key, {})[row.statistic] = row.value
    return found


def test_every_kind_of_coming_and_going(draw):
    hospital = draw()
    hospital.patients("""
        patient | birth_date | died
        P3      | 1940-01-01 | 11-01 08:50
    """)
    hospital.encounters("""
        encounter | class | admitted    | discharged  | patient | disposition
        E1        | IMP   | 11-01 08:00 | 11-01 09:30 | P1      | home
        E2        | IMP   | 11-01 07:00 | 11-01 08:45 | P2      | exp
        E3        | IMP   | 11-01 07:00 | 11-01 08:55 | P3      | -
    """)
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | A    | 1   | 11-01 08:00 | 11-01 08:20
        E1        | P1      | A    | 2   | 11-01 08:20 | 11-01 08:30
        E1        | P1      | B    | 1   | 11-01 08:30 | 11-01 09:30
        E2        | P2      | A    | 3   | 11-01 07:00 | 11-01 08:45
        E3        | P3      | A    | -   | 11-01 07:00 | 11-01 08:55
    """)
    hospital.shows(
        "adm_dis_balance",
        "11-01 08:00",
        "11-01 09:00",
        """
        unit | statistic     | numerator | denominator | value
        A    | net           | -2        | 1           | -2
        A    | admissions    | 1         | -           | 1
        A    | transfers_in  | 0         | -           | 0
        A    | discharges    | 0         | -           | 0
        A    | deaths        | 2         | -           | 2
        A    | transfers_out | 1         | -           | 1
        A    | census_before | 2         | -           | 2
        A    | census_after  | 0         | -           | 0
        A    | unreconciled  | 0         | -           | 0
        B    | net           | 1         | 1           | 1
        B    | admissions    | 0         | -           | 0
        B    | transfers_in  | 1         | -           | 1
        B    | discharges    | 0         | -           | 0
        B    | deaths        | 0         | -           | 0
        B    | transfers_out | 0         | -           | 0
        B    | census_before | 0         | -           | 0
        B    | census_after  | 1         | -           | 1
        B    | unreconciled  | 0         | -           | 0
        """,
        grain="hour",
    )


def test_net_is_a_rate_per_hour_over_longer_periods(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | -
        E2        | A    | 2   | 11-01 09:00 | -
        E3        | A    | 3   | 11-01 10:00 | -
    """)
    hospital.shows(
        "adm_dis_balance",
        "11-01",
        "11-02",
        "numerator | denominator | value\n 3 | 24 | 0.125",
        only="net",
    )


def test_on_the_stroke_of_the_hour_and_of_midnight_belongs_to_what_begins(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 23:00 | 11-02 00:00
        E2        | A    | 1   | 11-02 00:00 | 11-02 01:00
    """)
    found = balance(hospital, "11-01 23:00", "11-02 02:00", grain="hour")
    assert [found["A", hour]["admissions"] for hour in (0, 1, 2)] == [1, 1, 0]
    assert [found["A", hour]["discharges"] for hour in (0, 1, 2)] == [0, 1, 1]
    assert [found["A", hour]["census_before"] for hour in (0, 1, 2)] == [0, 1, 1]
    assert [found["A", hour]["census_after"] for hour in (0, 1, 2)] == [1, 1, 0]


def test_leave_double_registrations_and_cancelled_encounters_move_nobody(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged  | history | patient
        E1        | IMP   | -         | 11-01 06:00 | -           | no      | P1
        E2        | IMP   | -         | 11-01 06:00 | 11-01 08:30 | no      | P2
        E3        | IMP   | -         | 11-01 08:10 | -           | no      | P2
        E4        | IMP   | cancelled | 11-01 08:10 | -           | no      | P4
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E1        | onleave | 11-01 08:15 | 11-01 08:45
    """)
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | A    | 1   | 11-01 06:00 | -
        E2        | P2      | A    | 2   | 11-01 06:00 | 11-01 08:30
        E3        | P2      | A    | 2   | 11-01 08:10 | -
    """)
    found = balance(hospital, "11-01 08:00", "11-01 09:00", grain="hour")["A", 0]
    assert {found[kind] for kind in FLOWS} == {0}
    assert (found["census_before"], found["census_after"], found["unreconciled"]) == (2, 2, 0)


def test_an_ed_admission_is_a_transfer_in_either_shape(draw):
    stays = """
        encounter | patient | unit | bed | from        | to
        {ed}      | P1      | ED   | 1   | 11-01 08:10 | 11-01 08:30
        E1        | P1      | A    | 1   | 11-01 08:30 | -
    """
    for ed in ("E1", "E0"):
        hospital = draw()
        hospital.stays(stays.format(ed=ed))
        found = balance(hospital, "11-01 08:00", "11-01 09:00", grain="hour")
        assert found["ED", 0]["admissions"] == 1
        assert found["ED", 0]["transfers_out"] == 1
        assert found["A", 0]["transfers_in"] == 1
        assert found["A", 0]["net"] == 1


def test_a_patient_between_two_units_has_been_transferred_not_discharged(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 06:00 | 11-01 08:10
        E1        | B    | 1   | 11-01 08:40 | -
    """)
    found = balance(hospital, "11-01 08:00", "11-01 09:00", grain="hour")
    assert (found["A", 0]["transfers_out"], found["A", 0]["discharges"]) == (1, 0)
    assert (found["B", 0]["transfers_in"], found["B", 0]["admissions"]) == (1, 0)


def test_a_change_of_class_moves_a_patient_from_class_to_class(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged | history
        E1        | IMP   | 11-01 06:00 | -          | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 06:00 | 11-01 08:30
        E1        | IMP   | 11-01 08:30 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 06:00 | -
    """)
    found = balance(hospital, "11-01 08:00", "11-01 09:00", grain="hour", by="class")
    assert (found["EMER", 0]["transfers_out"], found["EMER", 0]["net"]) == (1, -1)
    assert (found["IMP", 0]["transfers_in"], found["IMP", 0]["net"]) == (1, 1)
    same_unit = balance(hospital, "11-01 08:00", "11-01 09:00", grain="hour")
    assert {same_unit["A", 0][kind] for kind in FLOWS} == {0}


def test_the_future_is_unknown_and_known_at_is_respected(draw):
    hospital = draw(known="11-01 09:30")
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from  | known_to
        E1        | A    | 1   | 11-01 08:30 | -           | 11-01 08:30 | 11-01 09:20
        E1        | A    | 1   | 11-01 08:30 | 11-01 09:10 | 11-01 09:20 | -
    """)
    hospital.shows(
        "adm_dis_balance",
        "11-01 08:00",
        "11-01 11:00",
        """
        period_start | numerator | denominator | value | coverage
        11-01 08:00  | 1         | 1           | 1     | 1
        11-01 09:00  | -1        | 0.5         | -2    | 0.5
        11-01 10:00  | -         | -           | -     | 0
        """,
        only="net",
        grain="hour",
    )
    hospital.shows(
        "adm_dis_balance",
        "11-01 08:00",
        "11-01 09:00",
        "value\n 1",
        only="census_after",
        grain="hour",
        known_at="11-01 09:15",
    )


@pytest.mark.parametrize(
    ("zone", "start", "end", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", 25),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", 23),
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00", 25),
    ],
)
def test_a_day_with_a_clock_change_has_23_or_25_balanced_hours(draw, zone, start, end, hours):
    hospital = draw(zone=zone)
    one = start.replace("T00:00", "T00:30")
    hospital.stays(f"""
        encounter | unit | bed | from  | to
        E1        | A    | 1   | {one} | {end}
    """)
    found = balance(hospital, start, end, grain="hour")
    assert [found["A", hour]["census_after"] for hour in range(hours)] == [1] * hours
    assert len(found) == hours
    hospital.shows(
        "adm_dis_balance",
        start,
        end,
        f"numerator | denominator\n 1 | {hours}",
        only="net",
    )
