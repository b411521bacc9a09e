"""Average daily census: inpatients present at local midnight, per day."""

import pytest


def test_the_mean_of_the_midnights_bed_or_no_bed(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 10:00 | 11-03 10:00
        E2        | A    | -   | 11-02 10:00 | 11-03 00:00
        E3        | B    | 1   | 11-01 00:00 | 11-01 23:00
    """)
    hospital.shows(
        "adc",
        "11-01",
        "11-04",
        """
        unit | numerator | denominator | value | coverage
        A    | 2         | 3           | 2/3   | 1
        B    | 1         | 3           | 1/3   | 1
        """,
        grain="all",
    )
    hospital.shows(
        "adc",
        "11-01",
        "11-04",
        """
        period_start | numerator | denominator | value
        11-01        | 1         | 1           | 1
        11-02        | 1         | 1           | 1
        11-03        | 1         | 1           | 1
        """,
        by="facility",
    )


def test_newborns_observation_and_emergency_patients_are_counted_apart(draw):
    hospital = draw(zone="America/New_York")
    hospital.patients("""
        patient | birth_date
        baby    | 2026-11-01
    """)
    at = "2026-11-01T23:30-05:00"
    hospital.encounters(f"""
        encounter | class  | patient | admit_source | admitted | discharged
        E1        | IMP    | mother  | -            | {at}     | -
        E2        | IMP    | baby    | -            | {at}     | -
        E3        | IMP    | other   | born         | {at}     | -
        E4        | OBSENC | watched | -            | {at}     | -
        E5        | EMER   | waiting | -            | {at}     | -
        E6        | AMB    | dialysis | -           | {at}     | -
    """)
    hospital.stays(f"""
        encounter | patient  | unit | bed | from | to
        E1        | mother   | A    | 1   | {at} | -
        E2        | baby     | A    | c1  | {at} | -
        E3        | other    | A    | c2  | {at} | -
        E4        | watched  | A    | 2   | {at} | -
        E5        | waiting  | A    | 3   | {at} | -
        E6        | dialysis | A    | 4   | {at} | -
    """)
    window = ("adc", "2026-11-02T00:00-05:00", "2026-11-03T00:00-05:00")
    hospital.shows(
        *window,
        """
        stratum     | value
        -           | 1
        newborn     | 2
        observation | 1
        emergency   | 1
        other       | 1
        """,
    )
    hospital.shows(
        *window,
        """
        stratum     | value
        IMP         | 1
        IMP/newborn | 2
        OBSENC      | 1
        EMER        | 1
        AMB         | 1
        """,
        by="class",
    )


def test_leave_counts_cancelled_does_not_and_a_merged_patient_counts_once(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged  | history | patient
        E1        | IMP   | -         | 11-01 10:00 | -           | no      | P1
        E2        | IMP   | cancelled | 11-01 10:00 | -           | no      | P2
        E3        | IMP   | -         | 11-01 10:00 | -           | yes     | P3
        E4        | IMP   | -         | 11-01 10:00 | -           | yes     | P3
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E1        | onleave | 11-01 12:00 | -
    """)
    # P3 was registered twice, the records were merged: both encounters are now one patient's.
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | A    | 1   | 11-01 10:00 | -
        E3        | P3      | A    | 2   | 11-01 10:00 | -
        E4        | P3      | A    | 2   | 11-01 11:00 | -
    """)
    hospital.shows("adc", "11-02", "11-03", "unit | stratum | value\n A | - | 2")


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Berlin", "2026-03-28T00:00+01:00", "2026-03-31T00:00+02:00"),
        ("Europe/Berlin", "2026-10-24T00:00+02:00", "2026-10-27T00:00+01:00"),
        ("America/New_York", "2026-03-07T00:00-05:00", "2026-03-10T00:00-04:00"),
        ("America/New_York", "2026-10-31T00:00-04:00", "2026-11-03T00:00-05:00"),
    ],
)
def test_three_days_are_three_midnights_whatever_the_clocks_do(draw, zone, start, end):
    hospital = draw(zone=zone)
    hospital.stays(f"""
        encounter | unit | bed | from    | to
        E1        | A    | 1   | {start} | {end}
    """)
    hospital.shows("adc", start, end, "numerator | denominator | value\n 3 | 3 | 1", grain="all")


def test_a_transfer_at_midnight_counts_in_the_new_unit_only(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 10:00 | 11-02 00:00
        E1        | B    | 1   | 11-02 00:00 | 11-02 10:00
    """)
    hospital.shows("adc", "11-02", "11-03", "unit | value\n A | 0\n B | 1")


def test_future_midnights_are_unknown_and_known_at_is_respected(draw):
    hospital = draw(known="11-03 12:00")
    hospital.stays("""
        encounter | unit | bed | from        | to | known_from
        E1        | A    | 1   | 11-01 10:00 | -  | 11-01 10:00
        E2        | A    | 2   | 11-01 10:00 | -  | 11-02 10:00
    """)
    hospital.shows(
        "adc",
        "11-02",
        "11-05",
        """
        period_start | numerator | denominator | value | coverage
        11-02        | 2         | 1           | 2     | 1
        11-03        | 2         | 1           | 2     | 1
        11-04        | -         | -           | -     | 0
        """,
    )
    hospital.shows("adc", "11-02", "11-03", "value\n 1", known_at="11-02 09:00")
    hospital.shows(
        "adc",
        "11-02",
        "11-05",
        "numerator | denominator | value | coverage\n 4 | 2 | 2 | 2/3",
        grain="all",
    )
