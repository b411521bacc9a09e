"""What each ADT trigger event does to the twin: messages in, stays and visits out, drawn by hand.

`wards.py` says what the columns are. Every test has a facility of its own in one store.
"""

import pytest
from drawn import instant, table
from wards import BEDS, SETTINGS, Ward

from twin_core import Twin
from twin_core.clock import HospitalClock

CLEARED = '""'

# --- coming, moving, leaving -------------------------------------------------------------------


def test_a01_opens_a_stay_at_pv1_44_and_a03_ends_it(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted    | left
        A01   | 11-01 08:10 | V1    | ICU-1-A | I     | 11-01 08:00 | -
        A03   | 11-03 12:05 | V1    | ICU-1-A | I     | 11-01 08:00 | 11-03 12:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-03 12:00
    """)
    ward.visits("""
        visit | status   | class | admitted    | discharged
        V1    | finished | IMP   | 11-01 08:00 | 11-03 12:00
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-03 12:00
        finished    | 11-03 12:00 | -
    """,
    )
    assert ward.findings() == []


def test_a02_moves_at_evn_6_and_a12_reopens_the_stay_before(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | prior   | class | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | I     | 11-01 08:00
        A02   | 11-02 09:30 | 11-02 09:00 | V1    | MED-7-1 | ICU-1-A | I     | 11-01 08:00
        A02   | 11-02 15:00 | -           | V1    | MED-8-2 | MED-7-1 | I     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-02 09:00
        V1    | MED-7-1 | 11-02 09:00 | 11-02 15:00
        V1    | MED-8-2 | 11-02 15:00 | -
    """)
    ward.hears("""
        event | at          | evn6 | visit | bed     | prior   | class
        A12   | 11-02 16:00 | -    | V1    | MED-7-1 | MED-8-2 | I
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-02 09:00
        V1    | MED-7-1 | 11-02 09:00 | -
    """)


def test_a12_undoes_the_transfer_that_evn_6_names_and_not_the_latest(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | prior   | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | 11-01 08:00
        A02   | 11-01 10:00 | 11-01 10:00 | V1    | MED-7-1 | ICU-1-A | -
        A02   | 11-01 12:00 | 11-01 12:00 | V1    | SUR-3-1 | MED-7-1 | -
        A12   | 11-01 13:00 | 11-01 10:00 | V1    | -       | -       | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 12:00
        V1    | SUR-3-1 | 11-01 12:00 | -
    """)


@pytest.mark.parametrize(
    ("bed", "prior"), [("ICU-1-A", "MED-7-1"), ("ICU-1-A", "-"), ("-", "MED-7-1")]
)
def test_an_a12_without_evn_6_undoes_the_transfer_between_its_places(ward, bed, prior):
    ward.hears(f"""
        event | at          | visit | bed     | prior   | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | -       | 11-01 08:00
        A02   | 11-01 10:00 | V1    | MED-7-1 | ICU-1-A | -
        A02   | 11-01 12:00 | V1    | SUR-3-1 | MED-7-1 | -
        A12   | 11-01 13:00 | V1    | {bed}   | {prior} | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 12:00
        V1    | SUR-3-1 | 11-01 12:00 | -
    """)


def test_an_a12_whose_places_fit_no_transfer_undoes_the_latest(ward):
    ward.hears("""
        event | at          | visit | bed     | prior   | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | -       | 11-01 08:00
        A02   | 11-01 10:00 | V1    | MED-7-1 | ICU-1-A | -
        A02   | 11-01 12:00 | V1    | SUR-3-1 | MED-7-1 | -
        A12   | 11-01 13:00 | V1    | SUR-3-1 | SUR-9-9 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | MED-7-1 | 11-01 10:00 | -
    """)


def test_a_transfer_charted_anew_for_the_same_instant_outlives_the_cancel_of_the_first(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | prior   | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | 11-01 08:00
        A02   | 11-01 10:05 | 11-01 10:00 | V1    | MED-7-1 | ICU-1-A | -
        A12   | 11-01 10:20 | 11-01 10:00 | V1    | ICU-1-A | MED-7-1 | -
        A02   | 11-01 10:25 | 11-01 10:00 | V1    | MED-7-2 | ICU-1-A | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | MED-7-2 | 11-01 10:00 | -
    """)


def test_a_cancel_repeated_under_another_control_id_undoes_nothing_more(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | 11-01 08:00
        A02   | 11-01 10:00 | 11-01 10:00 | V1    | MED-7-1 | -
        A02   | 11-01 12:00 | 11-01 12:00 | V1    | SUR-3-1 | -
        A12   | 11-01 13:00 | 11-01 12:00 | V1    | MED-7-1 | -
        A12   | 11-01 13:10 | 11-01 12:00 | V1    | MED-7-1 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | MED-7-1 | 11-01 10:00 | -
    """)


def test_a_late_charted_transfer_takes_its_place_in_the_past(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | 11-01 08:00 | -
        A03   | 11-02 12:00 | -           | V1    | MED-7-1 | -           | 11-02 12:00
        A02   | 11-02 14:00 | 11-01 20:00 | V1    | MED-7-1 | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 20:00
        V1    | MED-7-1 | 11-01 20:00 | 11-02 12:00
    """)
    assert ward.findings() == []


def test_a_transfer_after_the_discharge_moves_nobody_and_is_a_finding(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | ICU-1-A | 11-01 08:00 | -
        A03   | 11-02 12:00 | V1    | ICU-1-A | -           | 11-02 12:00
        A02   | 11-02 13:00 | V1    | MED-7-1 | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-02 12:00
    """)
    assert ward.findings() == ["movement_after_discharge"]


def test_of_two_discharges_the_later_counts_and_moves_between_them_stand(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | ICU-1-A | 11-01 08:00 | -
        A03   | 11-01 12:00 | V1    | ICU-1-A | -           | 11-01 12:00
        A02   | 11-01 13:00 | V1    | MED-7-1 | -           | -
        A03   | 11-01 15:00 | V1    | MED-7-1 | -           | 11-01 15:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 13:00
        V1    | MED-7-1 | 11-01 13:00 | 11-01 15:00
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-01 15:00
        finished    | 11-01 15:00 | -
    """,
    )
    assert ward.findings() == ["repeated_discharge"]


# --- emergency, plans, classes -----------------------------------------------------------------


def test_a04_consumes_a_bed_only_where_it_names_one(ward):
    ward.hears("""
        event | at          | visit | bed   | class | admitted
        A04   | 11-01 08:00 | V1    | ED    | E     | 11-01 08:00
        A04   | 11-01 08:00 | V2    | ED-B-4| E     | 11-01 08:00
        A04   | 11-01 08:00 | V3    | -     | E     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed    | from        | to
        V2    | ED-B-4 | 11-01 08:00 | -
    """)
    ward.visits("""
        visit | status      | class | admitted
        V1    | arrived     | EMER  | 11-01 08:00
        V2    | in-progress | EMER  | 11-01 08:00
        V3    | arrived     | EMER  | 11-01 08:00
    """)


def test_a04_then_a02_places_a_patient_who_was_not_admitted(ward):
    ward.hears("""
        event | at          | visit | bed    | class | admitted
        A04   | 11-01 08:00 | V1    | ED     | E     | 11-01 08:00
        A02   | 11-01 08:40 | V1    | ED-B-4 | E     | -
    """)
    ward.stays("""
        visit | bed    | from        | to
        V1    | ED-B-4 | 11-01 08:40 | -
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        arrived     | 11-01 08:00 | 11-01 08:40
        in-progress | 11-01 08:40 | -
    """,
    )


def test_a06_turns_an_ed_visit_into_an_inpatient_one_with_its_bed(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A04   | 11-01 08:00 | V1    | ED-B-4  | E     | 11-01 08:00
        A06   | 11-01 11:00 | V1    | MED-7-1 | I     | -
        A07   | 11-02 09:00 | V1    | MED-7-1 | O     | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ED-B-4  | 11-01 08:00 | 11-01 11:00
        V1    | MED-7-1 | 11-01 11:00 | -
    """)
    classes = ward.twin.query(
        "SELECT c.class, c.from_at, c.to_at FROM twin.encounter_class c"
        " JOIN twin.encounter_identifier i USING (encounter_id)"
        " WHERE i.value = $visit ORDER BY c.from_at",
        {"visit": ward.facility + "V1"},
    )
    assert [tuple(row.values()) for row in classes] == [
        ("EMER", instant("11-01 08:00"), instant("11-01 11:00")),
        ("IMP", instant("11-01 11:00"), instant("11-02 09:00")),
        ("AMB", instant("11-02 09:00"), None),
    ]


def test_a05_is_a_plan_without_occupancy_until_the_admission(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A05   | 11-01 08:00 | V1    | MED-7-1 | P     | -
        A05   | 11-01 08:00 | V2    | MED-7-1 | P     | -
        A01   | 11-02 10:00 | V2    | MED-7-1 | I     | 11-02 10:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V2    | MED-7-1 | 11-02 10:00 | -
    """)
    ward.visits("""
        visit | status      | admitted    | discharged
        V1    | planned     | -           | -
        V2    | in-progress | 11-02 10:00 | -
    """)
    assert ward.findings() == []


# --- cancels -----------------------------------------------------------------------------------


def test_a11_voids_the_admission_with_its_movements(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | I     | 11-01 08:00
        A02   | 11-01 09:00 | V1    | MED-7-1 | I     | -
        A08   | 11-01 09:30 | V1    | MED-7-1 | I     | 11-01 08:00
        A11   | 11-01 10:00 | V1    | MED-7-1 | I     | -
    """)
    ward.stays("visit | bed | from | to")
    ward.visits("""
        visit | status    | class | discharged
        V1    | cancelled | IMP   | -
    """)


def test_an_admission_made_again_after_its_cancel_begins_anew(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | I     | 11-01 08:00
        A08   | 11-01 08:30 | V1    | ICU-1-A | I     | 11-01 08:00
        A11   | 11-01 09:00 | V1    | ICU-1-A | I     | -
        A01   | 11-01 10:00 | V1    | MED-7-1 | I     | 11-01 10:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 10:00 | -
    """)
    ward.visits("""
        visit | status      | admitted
        V1    | in-progress | 11-01 10:00
    """)


def test_a11_of_an_admission_from_the_ed_leaves_the_ed_visit(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A04   | 11-01 08:00 | V1    | ED-B-4  | E     | 11-01 08:00
        A01   | 11-01 10:00 | V1    | MED-7-1 | I     | -
        A11   | 11-01 11:00 | V1    | ED-B-4  | E     | -
    """)
    ward.stays("""
        visit | bed    | from        | to
        V1    | ED-B-4 | 11-01 08:00 | -
    """)
    ward.visits("""
        visit | status      | class | admitted
        V1    | in-progress | EMER  | 11-01 08:00
    """)


def test_a13_into_the_same_bed_is_one_uninterrupted_stay(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00 | -
        A03   | 11-02 12:00 | V1    | MED-7-1 | -           | 11-02 12:00
        A13   | 11-02 12:30 | V1    | MED-7-1 | -           | -
        A01   | 11-01 08:00 | V2    | MED-7-2 | 11-01 08:00 | -
        A03   | 11-02 12:00 | V2    | MED-7-2 | -           | 11-02 12:00
        A13   | 11-02 12:30 | V2    | MED     | -           | 11-02 12:00
    """)
    # V2: a sender that names only the unit, and repeats the time that it takes back.
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
        V2    | MED-7-2 | 11-01 08:00 | -
    """)
    ward.visits("""
        visit | status      | discharged
        V1    | in-progress | -
        V2    | in-progress | -
    """)


def test_a13_into_another_bed_moves_at_the_cancelled_discharge_without_a_gap(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00 | -
        A03   | 11-02 12:00 | V1    | MED-7-1 | -           | 11-02 12:00
        A13   | 11-02 14:00 | V1    | SUR-3-1 | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | 11-02 12:00
        V1    | SUR-3-1 | 11-02 12:00 | -
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | -
    """,
    )


# --- swaps, bed states, leave ------------------------------------------------------------------


def test_a17_swaps_two_patients_in_one_message(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | ICU-1-A | 11-01 08:00
        A01   | 11-01 09:00 | P2      | V2    | ICU-1-B | 11-01 09:00
    """)
    one, other = table("""
        event | at          | patient | visit | bed     | prior
        A17   | 11-01 12:00 | P1      | V1    | ICU-1-B | ICU-1-A
        A17   | 11-01 12:00 | P2      | V2    | ICU-1-A | ICU-1-B
    """)
    ward.receives([ward.message(one, *ward._patient_and_visit(other))])
    ward.stays("""
        visit | patient | bed     | from        | to
        V1    | P1      | ICU-1-A | 11-01 08:00 | 11-01 12:00
        V1    | P1      | ICU-1-B | 11-01 12:00 | -
        V2    | P2      | ICU-1-B | 11-01 09:00 | 11-01 12:00
        V2    | P2      | ICU-1-A | 11-01 12:00 | -
    """)
    assert ward.findings() == []


def test_two_patients_in_one_bed_are_a_finding_and_both_stay(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | ICU-1-A | 11-01 08:00
        A01   | 11-01 09:00 | P2      | V2    | ICU-1-A | 11-01 09:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | -
        V2    | ICU-1-A | 11-01 09:00 | -
    """)
    assert ward.findings() == ["bed_conflict"]


def test_a20_changes_a_bed_and_no_patient(ward):
    raw = [
        f"MSH|^~\\&|ADT|{ward.facility}|TWIN||{at}||ADT^A20|{n}-{ward.facility}|P|2.5.1\r"
        f"EVN|A20|{at}\rNPU|{ward.place('ICU-1-A')}|{code}\r".encode()
        for n, (at, code) in enumerate(
            [("20261101080000+0000", "K"), ("20261101100000+0000", "U")], start=900
        )
    ]
    ward.receives(raw)
    rows = ward.twin.query(
        "SELECT s.operational_status, s.from_at, s.to_at FROM twin.location_status s"
        " JOIN twin.location l USING (location_id) WHERE l.facility = $facility AND l.bed = 'A'"
        " AND s.operational_status IS NOT NULL ORDER BY s.from_at",
        {"facility": ward.facility},
    )
    assert [tuple(row.values()) for row in rows] == [
        ("K", instant("11-01 08:00"), instant("11-01 10:00")),
        ("U", instant("11-01 10:00"), None),
    ]
    ward.stays("visit | bed | from | to")


def test_a21_and_a22_keep_the_bed_and_a_bed_change_meanwhile_ends_no_leave(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00
        A21   | 11-02 10:00 | V1    | MED-7-1 | -
        A02   | 11-02 15:00 | V1    | MED-7-2 | -
        A22   | 11-03 18:00 | V1    | MED-7-2 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | 11-02 15:00
        V1    | MED-7-2 | 11-02 15:00 | -
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-02 10:00
        onleave     | 11-02 10:00 | 11-03 18:00
        in-progress | 11-03 18:00 | -
    """,
    )


# --- attributes --------------------------------------------------------------------------------


def test_a08_changes_attributes_and_records_a_drift_but_moves_nobody(ward):
    ward.hears("""
        event | at          | visit | bed     | class | service | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | I     | MED     | 11-01 08:00
        A08   | 11-01 09:00 | V1    | MED     | I     | CAR     | -
    """)
    assert ward.findings() == []  # the unit alone is no other place
    ward.hears("""
        event | at          | visit | bed     | class | service
        A08   | 11-01 10:00 | V1    | SUR-3-1 | I     | CAR
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    ward.visits("visit | service\n V1 | CAR")
    assert ward.findings() == ["drift"]


def test_empty_keeps_and_quotes_clear(ward):
    ward.hears("""
        event | at          | visit | bed     | service | source | sex | born     | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | MED     | 7      | F   | 19440229 | 11-01 08:00
        A08   | 11-01 09:00 | V1    | MED-7-1 | -       | ""     | -   | ""       | -
    """)
    ward.visits("""
        visit | service | source | admitted
        V1    | MED     | -      | 11-01 08:00
    """)
    person = ward.person("P1")
    assert (person["sex"], person["birth_date"]) == ("female", None)


def test_a28_and_a31_tell_of_a_person_and_never_of_a_bed(ward):
    ward.hears("""
        event | at          | patient | class | bed     | sex
        A28   | 11-01 07:00 | P1      | N     | -       | F
        A31   | 11-01 07:30 | P1      | N     | ICU-1-A | M
    """)
    ward.stays("visit | bed | from | to")
    ward.visits("visit | status")
    assert ward.person("P1")["sex"] == "male"
    ward.hears("""
        event | at          | patient | visit | class | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | I     | MED-7-1 | 11-01 08:00
        A31   | 11-01 09:00 | P1      | V1    | I     | SUR-3-1 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    assert ward.findings() == []


# --- who ---------------------------------------------------------------------------------------


def merge(ward: Ward, at: str, source: str, target: str) -> bytes:
    """An A40 that merges the source patient into the target."""
    row = {"event": "A40", "at": instant(at), "patient": target}
    lines = ward.message(row).decode().split("\r")
    lines = [line for line in lines if line and not line.startswith("PV1")]
    return "\r".join([*lines, f"MRG|{ward.mrn(source)}", ""]).encode()


def test_a40_takes_all_visits_along_and_late_messages_still_name_the_source(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P2      | V1    | ICU-1-A | 11-01 08:00
    """)
    ward.receives([merge(ward, "11-01 09:00", "P2", "P1")])
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A02   | 11-01 10:00 | P2      | V1    | MED-7-1 | -
        A01   | 11-01 11:00 | P2      | V2    | MED-7-2 | 11-01 11:00
    """)
    ward.stays("""
        visit | patient | bed     | from        | to
        V1    | P1      | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | P1      | MED-7-1 | 11-01 10:00 | -
        V2    | P1      | MED-7-2 | 11-01 11:00 | -
    """)
    assert ward.person("P2")["merged_into"] == ward.person("P1")["patient_id"]
    assert ward.person("P1")["merged_into"] is None


def test_merges_in_a_circle_end_at_the_newest_target(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | ICU-1-A | 11-01 08:00
    """)
    circle = [("09:00", "P1", "P2"), ("10:00", "P2", "P3"), ("11:00", "P2", "P1")]
    ward.receives([merge(ward, f"11-01 {at}", one, other) for at, one, other in circle])
    assert ward.person("P1")["merged_into"] is None
    assert ward.person("P2")["merged_into"] == ward.person("P1")["patient_id"]
    ward.visits("visit | patient\n V1 | P1")


def test_without_pv1_19_the_account_names_the_visit(ward):
    ward.hears("""
        event | at          | account | bed     | admitted
        A01   | 11-01 08:00 | A7      | ICU-1-A | 11-01 08:00
        A02   | 11-01 10:00 | A7      | MED-7-1 | -
    """)
    ward.stays("""
        bed     | from        | to
        ICU-1-A | 11-01 08:00 | 11-01 10:00
        MED-7-1 | 11-01 10:00 | -
    """)


def test_without_any_number_patient_facility_and_pv1_44_name_it_also_across_a_merge(ward):
    ward.hears("""
        event | at          | patient | bed     | admitted
        A01   | 11-01 08:00 | P2      | ICU-1-A | 11-01 08:00
    """)
    ward.receives([merge(ward, "11-01 09:00", "P2", "P1")])
    ward.hears("""
        event | at          | patient | bed     | admitted
        A02   | 11-01 10:00 | P1      | MED-7-1 | 11-01 08:00
        A02   | 11-01 12:00 | P2      | MED-7-2 | 11-01 08:00
    """)
    ward.stays("""
        patient | bed     | from        | to
        P1      | ICU-1-A | 11-01 08:00 | 11-01 10:00
        P1      | MED-7-1 | 11-01 10:00 | 11-01 12:00
        P1      | MED-7-2 | 11-01 12:00 | -
    """)
    (row,) = ward.twin.query(
        "SELECT count(*) AS n FROM twin.encounter WHERE facility = $f", {"f": ward.facility}
    )
    assert row["n"] == 1


def test_without_any_number_or_start_only_the_person_is_recorded(ward):
    ward.hears("""
        event | at          | patient | bed     | sex
        A02   | 11-01 10:00 | P1      | MED-7-1 | F
    """)
    ward.stays("visit | bed | from | to")
    assert ward.person("P1")["sex"] == "female"


# --- first sight in the middle of a stay -------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "stays"),
    [
        ("A02 | MED-7-1 | ICU-1-A | -", "ICU-1-A 08:00 12:00 yes, MED-7-1 12:00 - -"),
        ("A03 | MED-7-1 | - | 11-01 12:00", "MED-7-1 08:00 12:00 yes"),
        ("A08 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
        ("A12 | MED-7-1 | SUR-3-1 | -", "MED-7-1 08:00 - yes"),
        ("A13 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
        ("A21 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
        ("A22 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
    ],
    ids=lambda text: text[:3],
)
def test_first_sight_in_the_middle_of_a_stay_infers_its_start_from_pv1_44(ward, first, stays):
    event, bed, prior, left = first.split(" | ")
    ward.hears(f"""
        event   | at          | visit | bed   | prior   | class | left   | admitted
        {event} | 11-01 12:00 | V1    | {bed} | {prior} | I     | {left} | 11-01 08:00
    """)
    lines = ["visit | bed | from | to | inferred"]
    for stay in stays.split(", "):
        place, start, end, inferred = stay.split()
        until = "-" if end == "-" else f"11-01 {end}"
        lines.append(f"V1 | {place} | 11-01 {start} | {until} | {inferred}")
    ward.stays("\n".join(lines))


def test_what_was_inferred_gives_way_to_the_admission_that_arrives_late(ward):
    ward.hears("""
        event | at          | visit | bed     | prior   | class | admitted
        A02   | 11-01 12:00 | V1    | MED-7-1 | ICU-1-A | I     | 11-01 08:00
        A01   | 11-01 08:00 | V1    | ED-B-4  | -       | I     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to          | inferred
        V1    | ED-B-4  | 11-01 08:00 | 11-01 12:00 | -
        V1    | MED-7-1 | 11-01 12:00 | -           | -
    """)
    assert ward.findings() == ["drift"]  # PV1-6 says ICU


# --- HL7 and FHIR about one encounter ----------------------------------------------------------


def fhir_bed(ward: Ward, id_: str, spot: str) -> dict[str, object]:
    value = "/".join((ward.facility, *spot.split("-")))
    return {
        "resourceType": "Location",
        "id": id_,
        "status": "active",
        "physicalType": {"coding": [{"code": "bd"}]},
        "identifier": [{"system": BEDS, "value": value}],
    }


def fhir_encounter(
    ward: Ward, id_: str, visit: str, locations: str, **changed: object
) -> dict[str, object]:
    """An Encounter; `locations` drawn as `Location id | from | to`."""
    held = []
    for row in table("location | from | to\n" + locations):
        period = {"start": row["from"].isoformat()}
        if row["to"]:
            period["end"] = row["to"].isoformat()
        place = {"reference": f"Location/{row['location']}"}
        held.append({"location": place, "status": "active", "period": period})
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "in-progress",
        "class": {"code": "IMP"},
        "identifier": [{"system": "urn:visit", "value": ward.facility + visit}],
        "period": {"start": held[0]["period"]["start"]},
        "location": held,
        **changed,
    }


def test_hl7_and_fhir_tell_of_one_encounter_in_one_bed(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | I     | 11-01 08:00
    """)
    encounter = fhir_encounter(ward, "e1", "V1", "b1 | 11-01 08:00 | -")
    ward.states(fhir_bed(ward, "b1", "MED-7-1"), encounter)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    (row,) = ward.twin.query(
        "SELECT count(DISTINCT e.encounter_id) AS visits, count(DISTINCT l.location_id) AS beds"
        " FROM twin.encounter e, twin.location l"
        " WHERE e.facility = $f AND l.facility = $f AND l.bed IS NOT NULL",
        {"f": ward.facility},
    )
    assert (row["visits"], row["beds"]) == (1, 1)
    assert ward.findings() == []


def test_hl7_movements_win_and_the_disagreement_is_a_finding(ward):
    ward.states(
        fhir_bed(ward, "b1", "MED-7-1"),
        fhir_bed(ward, "b2", "SUR-3-1"),
        fhir_encounter(ward, "e1", "V1", "b2 | 11-01 08:00 | -"),
    )
    ward.stays("""
        visit | bed     | from        | to
        V1    | SUR-3-1 | 11-01 08:00 | -
    """)
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | I     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    assert ward.findings() == ["source_disagreement"]


def test_an_ed_encounter_and_its_admission_in_two_shapes_give_the_same_stays(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A04   | 11-01 08:00 | V1    | ED-B-4  | E     | 11-01 08:00
        A06   | 11-01 11:00 | V1    | MED-7-1 | I     | -
    """)
    ed = fhir_encounter(
        ward,
        "ed",
        "V2",
        "b1 | 11-01 08:00 | 11-01 11:00",
        status="finished",
        partOf={"reference": "Encounter/stay"},
    )
    ed["class"], ed["period"]["end"] = {"code": "EMER"}, "2026-11-01T11:00:00+00:00"
    inpatient = fhir_encounter(ward, "stay", "V3", "b2 | 11-01 11:00 | -")
    ward.states(fhir_bed(ward, "b1", "ED-B-5"), fhir_bed(ward, "b2", "MED-7-2"), ed, inpatient)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ED-B-4  | 11-01 08:00 | 11-01 11:00
        V1    | MED-7-1 | 11-01 11:00 | -
        V2    | ED-B-5  | 11-01 08:00 | 11-01 11:00
        V3    | MED-7-2 | 11-01 11:00 | -
    """)
    ids = {
        row["value"]: row
        for row in ward.twin.query(
            "SELECT i.value, e.* FROM twin.encounter e JOIN twin.encounter_identifier i"
            " USING (encounter_id) WHERE i.system = 'urn:visit' AND starts_with(i.value, $f)",
            {"f": ward.facility},
        )
    }
    assert ids[ward.facility + "V2"]["part_of"] == ids[ward.facility + "V3"]["encounter_id"]
    assert ward.findings() == []


# --- what was known when -----------------------------------------------------------------------


def test_known_at_reproduces_what_was_believed_yesterday(tmp_path):
    clock = HospitalClock(instant("11-01 08:00"), lambda: 0.0)
    with Twin.open(tmp_path / "known.duckdb", settings=SETTINGS, clock=clock) as opened:
        ward = Ward(opened, "K")
        ward.hears("""
            event | at          | visit | bed     | admitted
            A01   | 11-01 08:00 | V1    | ICU-1-A | 11-01 08:00
        """)
        clock.advance_to(instant("11-02 09:00"))
        ward.hears("""
            event | at          | evn6        | visit | bed     | admitted
            A02   | 11-02 09:00 | 11-01 20:00 | V1    | MED-7-1 | -
        """)
        believed = """
            visit | bed     | from        | to
            V1    | ICU-1-A | 11-01 08:00 | -
        """
        ward.stays(believed, known_at="11-01 23:00")
        corrected = """
            visit | bed     | from        | to
            V1    | ICU-1-A | 11-01 08:00 | 11-01 20:00
            V1    | MED-7-1 | 11-01 20:00 | -
        """
        ward.stays(corrected)
        clock.advance_to(instant("11-03 09:00"))
        ward.hears("""
            event | at          | evn6        | visit | bed     | admitted
            A12   | 11-03 09:00 | 11-01 20:00 | V1    | ICU-1-A | -
        """)
        ward.stays(believed)
        ward.stays(corrected, known_at="11-02 12:00")
        ward.stays(believed, known_at="11-01 23:00")
        ward.stays("visit | bed | from | to", known_at="11-01 07:59")
