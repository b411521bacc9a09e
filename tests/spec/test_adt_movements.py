"""Movements that IHE PAM names (ZBE), and visits that are deleted. `wards.py` says how to read."""

import random

import pytest
from drawn import table


def test_zbe_2_says_when_a_movement_happened(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | admitted    | movement | moved
        A01   | 11-01 08:30 | -           | V1    | ICU-1-A | 11-01 08:10 | M1       | 11-01 08:00
        A02   | 11-01 12:30 | 11-01 12:20 | V1    | MED-7-1 | -           | M2       | 11-01 12:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 12:00
        V1    | MED-7-1 | 11-01 12:00 | -
    """)
    ward.visits("""
        visit | status      | admitted
        V1    | in-progress | 11-01 08:10
    """)


HISTORY = """
    event | at          | visit | bed     | class | movement | action | moved       | original
    A01   | 11-01 08:00 | V1    | ICU-1-A | I     | M1       | INSERT | 11-01 08:00 | -
    A02   | 11-01 12:00 | V1    | MED-7-1 | I     | M2       | INSERT | 11-01 12:00 | -
    A02   | 11-01 16:00 | V1    | SUR-2-2 | I     | M3       | INSERT | 11-01 16:00 | -
    Z99   | 11-02 09:00 | V1    | MED-7-5 | I     | M2       | UPDATE | 11-01 11:00 | A02
    Z99   | 11-02 10:00 | V1    | SUR-2-2 | I     | M3       | CANCEL | 11-01 16:00 | A02
"""
CORRECTED = """
    visit | bed     | from        | to
    V1    | ICU-1-A | 11-01 08:00 | 11-01 11:00
    V1    | MED-7-5 | 11-01 11:00 | -
"""


ORDERS = [random.Random(seed).sample(range(5), k=5) for seed in range(12)]


@pytest.mark.parametrize("order", ORDERS)
def test_an_update_replaces_its_movement_and_a_cancel_removes_it_in_any_order(ward, order):
    messages = [ward.message(row) for row in table(HISTORY)]
    ward.receives([messages[n] for n in order])
    ward.stays(CORRECTED)
    assert ward.findings() == []


def test_a_cancel_undoes_the_movement_it_names_and_not_the_latest(ward):
    ward.hears("""
        event | at          | visit | bed     | movement | action | moved       | original
        A01   | 11-01 08:00 | V1    | ICU-1-A | M1       | INSERT | 11-01 08:00 | -
        A02   | 11-01 12:00 | V1    | MED-7-1 | M2       | INSERT | 11-01 12:00 | -
        A02   | 11-01 16:00 | V1    | SUR-2-2 | M3       | INSERT | 11-01 16:00 | -
        A12   | 11-01 17:00 | V1    | ICU-1-A | M2       | CANCEL | -           | A02
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 16:00
        V1    | SUR-2-2 | 11-01 16:00 | -
    """)


def test_a_cancel_of_an_unknown_movement_touches_no_other(ward):
    ward.hears("""
        event | at          | visit | bed     | movement | action | moved       | original
        A01   | 11-01 08:00 | V1    | ICU-1-A | M1       | INSERT | 11-01 08:00 | -
        A02   | 11-01 12:00 | V1    | MED-7-1 | M2       | INSERT | 11-01 12:00 | -
        A12   | 11-01 13:00 | V1    | MED-7-1 | M9       | CANCEL | 11-01 12:30 | A02
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 12:00
        V1    | MED-7-1 | 11-01 12:00 | -
    """)
    assert ward.findings() == ["cancel_without_target"]


def test_a_movement_entered_again_after_its_cancel_stands_and_can_be_updated(ward):
    ward.hears("""
        event | at          | visit | bed     | movement | action | moved       | original
        A01   | 11-01 08:00 | V1    | ICU-1-A | M1       | INSERT | 11-01 08:00 | -
        A02   | 11-01 12:00 | V1    | MED-7-1 | M2       | INSERT | 11-01 12:00 | -
        A12   | 11-01 13:00 | V1    | ICU-1-A | M2       | CANCEL | 11-01 12:00 | A02
        A02   | 11-01 14:00 | V1    | SUR-2-2 | M2       | INSERT | 11-01 14:00 | -
        Z99   | 11-01 15:00 | V1    | -       | M2       | UPDATE | 11-01 13:30 | A02
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 13:30
        V1    | SUR-2-2 | 11-01 13:30 | -
    """)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 3, 2, 1), (3, 0, 1, 2)])
def test_an_update_entered_after_the_cancel_of_its_movement_does_not_revive_it(ward, order):
    messages = table("""
        event | at          | visit | bed     | movement | action | moved       | original
        A01   | 11-01 08:00 | V1    | ICU-1-A | M1       | INSERT | 11-01 08:00 | -
        A02   | 11-01 12:00 | V1    | MED-7-1 | M2       | INSERT | 11-01 12:00 | -
        A12   | 11-01 13:00 | V1    | ICU-1-A | M2       | CANCEL | 11-01 12:00 | A02
        Z99   | 11-01 15:00 | V1    | MED-7-2 | M2       | UPDATE | 11-01 11:30 | A02
    """)
    said = [ward.message(row) for row in messages]
    for n in order:
        ward.receives([said[n]])
    ward.stays("visit | bed | from | to\n V1 | ICU-1-A | 11-01 08:00 | -")
    assert ward.findings() == ["update_of_cancelled_movement"]


def test_an_update_whose_movement_was_only_ever_cancelled_changes_nothing(ward):
    ward.hears("""
        event | at          | visit | bed     | movement | action | moved       | original
        A01   | 11-01 08:00 | V1    | ICU-1-A | M1       | INSERT | 11-01 08:00 | -
        A12   | 11-01 13:00 | V1    | ICU-1-A | M2       | CANCEL | 11-01 12:00 | A02
        Z99   | 11-01 15:00 | V1    | MED-7-2 | M2       | UPDATE | 11-01 11:30 | A02
    """)
    ward.stays("visit | bed | from | to\n V1 | ICU-1-A | 11-01 08:00 | -")
    assert "update_of_cancelled_movement" in ward.findings()


def test_a_class_change_is_cancelled_by_name_only(ward):
    ward.hears("""
        event | at          | visit | bed     | class | movement | action | moved       | original
        A04   | 11-01 08:00 | V1    | ED-B-1  | E     | M1       | INSERT | 11-01 08:00 | -
        A06   | 11-01 10:00 | V1    | MED-7-1 | I     | M2       | INSERT | 11-01 10:00 | -
        Z99   | 11-01 11:00 | V1    | ED-B-1  | E     | M2       | CANCEL | 11-01 10:00 | A06
    """)
    ward.visits("""
        visit | status      | class
        V1    | in-progress | EMER
    """)
    ward.stays("""
        visit | bed    | from        | to
        V1    | ED-B-1 | 11-01 08:00 | -
    """)


def test_a13_after_two_discharges_leaves_nobody_discharged(ward):
    ward.hears("""
        event | at          | evn6 | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | -    | V1    | MED-7-1 | 11-01 08:00 | -
        A03   | 11-02 12:00 | -    | V1    | MED-7-1 | -           | 11-02 12:00
        A03   | 11-02 12:30 | -    | V1    | MED-7-1 | -           | 11-02 12:20
        A13   | 11-02 13:00 | -    | V1    | MED-7-1 | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    ward.visits("""
        visit | status      | discharged
        V1    | in-progress | -
    """)
    assert ward.findings() == []


def test_a13_of_the_first_of_two_discharges_leaves_the_second(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | -           | V1    | MED-7-1 | 11-01 08:00 | -
        A03   | 11-02 12:00 | -           | V1    | MED-7-1 | -           | 11-02 12:00
        A03   | 11-02 12:30 | -           | V1    | MED-7-1 | -           | 11-02 12:20
        A13   | 11-02 13:00 | 11-02 12:00 | V1    | MED-7-1 | -           | -
    """)
    ward.visits("""
        visit | status   | discharged
        V1    | finished | 11-02 12:20
    """)


# --- doctors and deleted visits ----------------------------------------------------------------


def attending(ward) -> object:
    (row,) = ward.twin.query(
        "SELECT attending FROM twin.encounter WHERE facility = $f", {"f": ward.facility}
    )
    return row["attending"]


def test_a54_changes_the_attending_doctor_and_a55_takes_it_back(ward):
    ward.hears("""
        event | at          | visit | bed     | attending | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | D1        | 11-01 08:00
        A54   | 11-01 09:00 | V1    | ICU-1-A | D2        | -
    """)
    assert attending(ward) == "D2"
    ward.hears("""
        event | at          | visit | bed     | attending
        A55   | 11-01 10:00 | V1    | ICU-1-A | -
    """)
    assert attending(ward) == "D1"


def test_a61_names_all_consulting_doctors_and_a62_takes_it_back(ward):
    ward.hears("""
        event | at          | visit | bed     | consulting | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | D1         | 11-01 08:00
        A61   | 11-01 09:00 | V1    | ICU-1-A | D2^X~D3    | -
    """)
    assert ward.consultants("V1") == ["D2", "D3"]
    ward.hears("""
        event | at          | visit | bed     | consulting
        A62   | 11-01 10:00 | V1    | ICU-1-A | -
    """)
    assert ward.consultants("V1") == ["D1"]


def test_a23_deletes_the_visit_and_leaves_the_person(ward):
    ward.hears("""
        event | at          | visit | bed     | class | attending | pending | admitted    | sex
        A01   | 11-01 08:00 | V1    | ICU-1-A | I     | D1        | -       | 11-01 08:00 | F
        A15   | 11-01 08:30 | V1    | ICU-1-A | I     | D1        | MED--   | -           | F
        A23   | 11-01 09:00 | V1    | ICU-1-A | I     | D1        | -       | 11-01 08:00 | F
    """)
    ward.visits("""
        visit | status           | class | admitted | discharged | attending
        V1    | entered-in-error | -     | -        | -          | -
    """)
    for view in (ward.stays, ward.plans, ward.milestones, ward.tracking):
        view("visit | from" if view in (ward.stays, ward.tracking) else "visit | kind")
    assert ward.person("P1")["sex"] == "female"
    ward.hears("""
        event | at          | evn6        | visit | bed     | class
        A02   | 11-01 10:00 | -           | V1    | MED-7-1 | I
        A03   | 11-01 08:50 | -           | V1    | ICU-1-A | I
    """)
    ward.visits("""
        visit | status
        V1    | entered-in-error
    """)
    ward.stays("visit | bed")
    assert ward.findings() == ["movement_after_purge"]


def test_an_admission_entered_after_the_purge_begins_the_visit_anew(ward):
    ward.hears("""
        event | at          | visit | bed     | class | attending | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | I     | D1        | 11-01 08:00
        A23   | 11-01 09:00 | V1    | ICU-1-A | I     | -         | -
        A01   | 11-01 09:30 | V1    | MED-7-1 | O     | -         | 11-01 07:30
    """)
    ward.visits("""
        visit | status      | class | admitted    | attending
        V1    | in-progress | AMB   | 11-01 07:30 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 07:30 | -
    """)


def test_a29_clears_the_person_and_not_the_visit(ward):
    ward.hears("""
        event | at          | visit | bed     | sex | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | F   | 11-01 08:00
        A29   | 11-01 09:00 | V1    | -       | F   | -
    """)
    assert ward.person("P1")["sex"] is None
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | -
    """)
    ward.hears("""
        event | at          | visit | bed     | sex
        A08   | 11-01 10:00 | V1    | ICU-1-A | M
    """)
    assert ward.person("P1")["sex"] == "male"
