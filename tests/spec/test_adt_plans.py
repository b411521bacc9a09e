"""Plans of ADT: what is to come for a visit, and what becomes of it. See `wards.py`."""

import pytest


def test_a14_is_a_plan_with_a_bed_request_until_the_admission(ward):
    ward.hears("""
        event | at          | visit | bed     | class | expected
        A14   | 11-01 08:00 | V1    | MED-7-1 | P     | 11-01 14:00
    """)
    ward.visits("""
        visit | status
        V1    | planned
    """)
    ward.stays("visit | bed | from | to")
    ward.plans("""
        visit | kind      | status | stated      | expected    | ended | bed
        V1    | admission | active | 11-01 08:00 | 11-01 14:00 | -     | MED-7-1
    """)
    ward.milestones("""
        visit | kind              | at
        V1    | decision_to_admit | 11-01 08:00
        V1    | bed_requested     | 11-01 08:00
        V1    | bed_assigned      | 11-01 08:00
    """)
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 14:20 | V1    | MED-7-2 | I     | 11-01 14:15
    """)
    ward.visits("""
        visit | status      | admitted
        V1    | in-progress | 11-01 14:15
    """)
    ward.plans("""
        visit | kind      | status | ended       | bed
        V1    | admission | done   | 11-01 14:15 | MED-7-1
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-2 | 11-01 14:15 | -
    """)
    assert ward.findings() == []


@pytest.mark.parametrize(
    ("planned", "cancel"), [("A05", "A38"), ("A14", "A27"), ("A05", "A27"), ("A14", "A38")]
)
def test_a38_and_a27_cancel_the_planned_admission_and_nobody_was_ever_there(ward, planned, cancel):
    ward.hears(f"""
        event     | at          | visit | bed     | class
        {planned} | 11-01 08:00 | V1    | MED-7-1 | P
        {cancel}  | 11-01 09:00 | V1    | MED-7-1 | P
        A08       | 11-01 10:00 | V1    | MED-7-1 | I
    """)
    ward.visits("""
        visit | status    | admitted
        V1    | cancelled | -
    """)
    ward.statuses(
        "V1",
        """
        status    | from        | to
        cancelled | 11-01 09:00 | -
    """,
    )
    ward.stays("visit | bed | from | to")
    ward.plans("""
        visit | kind      | status    | stated      | ended
        V1    | admission | cancelled | 11-01 08:00 | 11-01 09:00
    """)
    ward.milestones("visit | kind | at")
    assert ward.findings() == []


def test_a38_leaves_a_reservation_as_it_is(ward):
    ward.hears("""
        event | at          | visit | bed     | class
        A05   | 11-01 08:00 | V1    | -       | P
        A14   | 11-01 09:00 | V1    | MED-7-1 | P
        A38   | 11-01 10:00 | V1    | -       | P
    """)
    ward.visits("""
        visit | status
        V1    | planned
    """)
    ward.plans("""
        visit | kind      | status    | stated      | bed
        V1    | admission | cancelled | 11-01 08:00 | -
        V1    | admission | active    | 11-01 09:00 | MED-7-1
    """)


def test_a_cancelled_plan_does_not_touch_whoever_was_admitted_meanwhile(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A14   | 11-01 08:00 | V1    | MED-7-1 | P     | -
        A01   | 11-01 09:00 | V1    | MED-7-1 | I     | 11-01 09:00
        A27   | 11-01 10:00 | V1    | MED-7-1 | I     | -
    """)
    ward.visits("""
        visit | status
        V1    | in-progress
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 09:00 | -
    """)


def test_an_a14_in_the_emergency_department_waits_for_the_ward(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A04   | 11-01 08:00 | V1    | ED-B-1  | E     | 11-01 08:00
        A14   | 11-01 10:00 | V1    | MED--   | E     | -
        A02   | 11-01 10:30 | V1    | ED-B-2  | E     | -
    """)
    ward.visits("""
        visit | status
        V1    | in-progress
    """)
    ward.plans("""
        visit | kind      | status | stated      | bed
        V1    | admission | active | 11-01 10:00 | MED
    """)
    ward.hears("""
        event | at          | visit | bed     | class
        A02   | 11-01 13:30 | V1    | MED-7-1 | I
    """)
    ward.plans("""
        visit | kind      | status | ended       | bed
        V1    | admission | done   | 11-01 13:30 | MED
    """)


def test_a15_moves_nobody_and_is_done_by_the_transfer_to_its_unit(ward):
    ward.hears("""
        event | at          | evn3        | visit | bed     | pending | class | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | I     | 11-01 08:00
        A15   | 11-01 09:00 | 11-01 11:00 | V1    | ICU-1-A | MED--   | I     | -
        A02   | 11-01 10:00 | -           | V1    | ICU-1-B | -       | I     | -
    """)
    ward.plans("""
        visit | kind     | status | stated      | expected    | bed
        V1    | transfer | active | 11-01 09:00 | 11-01 11:00 | MED
    """)
    ward.hears("""
        event | at          | visit | bed     | class
        A02   | 11-01 11:40 | V1    | MED-7-1 | I
    """)
    ward.plans("""
        visit | kind     | status | ended       | bed
        V1    | transfer | done   | 11-01 11:40 | MED
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | ICU-1-B | 11-01 10:00 | 11-01 11:40
        V1    | MED-7-1 | 11-01 11:40 | -
    """)


def test_a_second_a15_replaces_the_first_and_a26_brings_it_back(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | pending | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | 11-01 08:00
        A15   | 11-01 09:00 | 11-01 09:00 | V1    | ICU-1-A | MED-7-1 | -
        A15   | 11-01 10:00 | 11-01 10:00 | V1    | ICU-1-A | SUR--   | -
    """)
    ward.plans("""
        visit | kind     | status   | ended       | bed
        V1    | transfer | replaced | 11-01 10:00 | MED-7-1
        V1    | transfer | active   | -           | SUR
    """)
    ward.hears("""
        event | at          | evn6        | visit | bed
        A26   | 11-01 10:30 | 11-01 10:00 | V1    | ICU-1-A
    """)
    ward.plans("""
        visit | kind     | status    | ended       | bed
        V1    | transfer | active    | -           | MED-7-1
        V1    | transfer | cancelled | 11-01 10:30 | SUR
    """)
    ward.milestones("""
        visit | kind          | at
        V1    | bed_requested | 11-01 09:00
        V1    | bed_assigned  | 11-01 09:00
    """)


def test_a16_frees_no_bed_and_is_done_by_the_discharge(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | expected
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00 | -
        A16   | 11-02 09:00 | V1    | MED-7-1 | -           | 11-02 12:00
        A15   | 11-02 09:30 | V1    | MED-7-1 | -           | -
    """)
    ward.plans("""
        visit | kind      | status | expected    | ended
        V1    | discharge | active | 11-02 12:00 | -
        V1    | transfer  | active | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    ward.hears("""
        event | at          | visit | bed     | left
        A03   | 11-02 13:10 | V1    | MED-7-1 | 11-02 13:00
    """)
    ward.plans("""
        visit | kind      | status | ended
        V1    | discharge | done   | 11-02 13:00
        V1    | transfer  | lapsed | 11-02 13:00
    """)
    ward.milestones("""
        visit | kind              | at
        V1    | discharge_planned | 11-02 09:00
        V1    | bed_requested     | 11-02 09:30
    """)


def test_a25_cancels_the_planned_discharge_and_a13_makes_it_wait_again(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00 | -
        A16   | 11-02 09:00 | V1    | MED-7-1 | -           | -
        A25   | 11-02 09:30 | V1    | MED-7-1 | -           | -
        A16   | 11-02 10:00 | V1    | MED-7-1 | -           | -
        A03   | 11-02 13:00 | V1    | MED-7-1 | -           | 11-02 13:00
        A13   | 11-02 13:30 | V1    | MED-7-1 | -           | -
    """)
    ward.plans("""
        visit | kind      | status    | stated      | ended
        V1    | discharge | cancelled | 11-02 09:00 | 11-02 09:30
        V1    | discharge | active    | 11-02 10:00 | -
    """)
    assert ward.findings() == []


def test_a_planned_transfer_is_the_first_sight_of_a_patient_and_a_planned_admission_is_not(ward):
    ward.hears("""
        event | at          | visit | bed     | pending | class | admitted
        A15   | 11-01 09:00 | V1    | ICU-1-A | MED--   | I     | 11-01 07:00
        A14   | 11-01 09:00 | V2    | ICU-1-B | -       | I     | 11-01 07:00
    """)
    ward.stays("""
        visit | bed     | from        | to | inferred
        V1    | ICU-1-A | 11-01 07:00 | -  | yes
    """)


def test_a_cancel_that_arrives_before_its_plan_waits_for_it(ward):
    drawn = """
        event | at          | evn6        | visit | bed     | pending | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | 11-01 08:00
        A26   | 11-01 10:00 | 11-01 09:00 | V1    | ICU-1-A | -       | -
    """
    ward.hears(drawn)
    assert ward.findings() == ["cancel_without_target"]
    ward.hears("""
        event | at          | evn6        | visit | bed     | pending
        A15   | 11-01 09:05 | 11-01 09:00 | V1    | ICU-1-A | MED-7-1
    """)
    ward.plans("""
        visit | kind     | status    | stated      | ended
        V1    | transfer | cancelled | 11-01 09:00 | 11-01 10:00
    """)
    assert ward.findings() == []


@pytest.mark.parametrize("event", ["A01", "A06"])
def test_who_waits_in_the_emergency_department_is_admitted_by_a01_or_a06(ward, event):
    ward.hears(f"""
        event   | at          | visit | bed     | class | admitted
        A04     | 11-01 08:00 | V1    | ED-B-1  | E     | 11-01 08:00
        A14     | 11-01 10:00 | V1    | -       | E     | -
        A04     | 11-01 10:30 | V1    | ED-B-1  | E     | -
        {event} | 11-01 12:00 | V1    | MED-7-1 | I     | -
    """)
    ward.plans("""
        visit | kind      | status | stated      | ended
        V1    | admission | done   | 11-01 10:00 | 11-01 12:00
    """)


def test_a_plan_is_made_when_it_is_recorded_and_zbe_2_to_come_is_what_it_plans(ward):
    ward.hears("""
        event | at          | visit | bed     | pending | movement | moved       | admitted
        A14   | 11-01 08:00 | V1    | MED-1-A | -       | m1       | 11-05 08:00 | -
        A01   | 11-04 09:00 | V1    | MED-1-A | -       | m2       | 11-04 09:00 | 11-04 09:00
        A01   | 11-01 08:00 | V2    | MED-1-B | -       | m3       | 11-01 08:00 | 11-01 08:00
        A15   | 11-01 09:00 | V2    | MED-1-B | SUR-1-A | m4       | 11-01 18:00 | -
        A02   | 11-01 12:00 | V2    | SUR-1-A | -       | m5       | 11-01 12:00 | -
        A16   | 11-01 13:00 | V2    | SUR-1-A | -       | m6       | 11-02 18:00 | -
    """)
    ward.plans("""
        visit | kind      | status | stated      | expected    | ended
        V1    | admission | done   | 11-01 08:00 | 11-05 08:00 | 11-04 09:00
        V2    | transfer  | done   | 11-01 09:00 | 11-01 18:00 | 11-01 12:00
        V2    | discharge | active | 11-01 13:00 | 11-02 18:00 | -
    """)
    ward.milestones("""
        visit | kind              | at
        V1    | decision_to_admit | 11-01 08:00
        V1    | bed_requested     | 11-01 08:00
        V1    | bed_assigned      | 11-01 08:00
        V2    | bed_requested     | 11-01 09:00
        V2    | bed_assigned      | 11-01 09:00
        V2    | discharge_planned | 11-01 13:00
    """)
    ward.hears("""
        event | at          | visit | bed     | movement | action | original | moved
        A25   | 11-01 14:00 | V2    | SUR-1-A | m6       | CANCEL | A16      | 11-02 18:00
    """)
    ward.plans("""
        visit | kind      | status    | stated      | ended
        V1    | admission | done      | 11-01 08:00 | 11-04 09:00
        V2    | transfer  | done      | 11-01 09:00 | 11-01 12:00
        V2    | discharge | cancelled | 11-01 13:00 | 11-01 14:00
    """)
    assert ward.findings() == []


def test_a38_cancels_a_plan_whose_evn_6_is_still_to_come(ward):
    ward.hears("""
        event | at          | evn6        | visit | class
        A05   | 11-01 08:00 | 11-09 08:00 | V1    | P
        A38   | 11-01 09:00 | -           | V1    | P
    """)
    ward.visits("""
        visit | status
        V1    | cancelled
    """)
    assert ward.findings() == []


def test_a_cancel_may_name_a_plan_by_the_time_that_was_planned(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | pending | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | 11-01 08:00
        A15   | 11-01 09:00 | 11-02 09:00 | V1    | ICU-1-A | MED-7-1 | -
        A15   | 11-01 10:00 | 11-02 10:00 | V1    | ICU-1-A | SUR--   | -
        A26   | 11-01 11:00 | 11-02 09:00 | V1    | ICU-1-A | -       | -
    """)
    ward.plans("""
        visit | kind     | status    | ended       | bed
        V1    | transfer | cancelled | 11-01 11:00 | MED-7-1
        V1    | transfer | active    | -           | SUR
    """)
