"""Tracking, leaves and their cancels in ADT. `wards.py` says how to read the tables."""


def test_a09_and_a10_follow_the_patient_and_the_bed_stays_assigned(ward):
    ward.hears("""
        event | at          | visit | bed     | temporary | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | -         | 11-01 08:00
        A09   | 11-01 10:00 | V1    | MED-7-1 | OR-3-     | -
        A10   | 11-01 10:10 | V1    | MED-7-1 | OR-3-     | -
        A10   | 11-01 12:00 | V1    | MED-7-1 | REC-1-    | -
        A09   | 11-01 13:00 | V1    | MED-7-1 | -         | -
        A10   | 11-01 13:20 | V1    | MED-7-1 | -         | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    ward.tracking("""
        visit | status   | temporary | bed     | from        | to
        V1    | departed | yes       | OR-3    | 11-01 10:00 | 11-01 10:10
        V1    | arrived  | yes       | OR-3    | 11-01 10:10 | 11-01 12:00
        V1    | arrived  | yes       | REC-1   | 11-01 12:00 | 11-01 13:00
        V1    | departed | no        | MED-7-1 | 11-01 13:00 | 11-01 13:20
    """)
    assert ward.findings() == []


def test_in_transit_to_a_new_bed_until_the_transfer_itself(ward):
    ward.hears("""
        event | at          | visit | bed     | prior   | pending | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | -       | -       | 11-01 08:00
        A09   | 11-01 10:00 | V1    | MED-7-1 | MED-7-1 | ICU-1-A | -
        A10   | 11-01 10:30 | V1    | ICU-1-A | MED-7-1 | -       | -
    """)
    ward.tracking("""
        visit | status   | temporary | bed     | from        | to
        V1    | departed | no        | ICU-1-A | 11-01 10:00 | 11-01 10:30
        V1    | arrived  | no        | ICU-1-A | 11-01 10:30 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    ward.hears("""
        event | at          | visit | bed     | prior
        A02   | 11-01 10:45 | V1    | ICU-1-A | MED-7-1
    """)
    ward.tracking("""
        visit | status   | bed     | from        | to
        V1    | departed | ICU-1-A | 11-01 10:00 | 11-01 10:30
        V1    | arrived  | ICU-1-A | 11-01 10:30 | 11-01 10:45
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | 11-01 10:45
        V1    | ICU-1-A | 11-01 10:45 | -
    """)


def test_a33_and_a32_put_the_patient_back_where_he_was_tracked(ward):
    ward.hears("""
        event | at          | visit | bed     | temporary | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | -         | 11-01 08:00
        A09   | 11-01 10:00 | V1    | MED-7-1 | OR-3-     | -
        A10   | 11-01 10:10 | V1    | MED-7-1 | OR-4-     | -
        A32   | 11-01 10:15 | V1    | MED-7-1 | OR-3-     | -
    """)
    ward.tracking("""
        visit | status   | bed  | from        | to
        V1    | departed | OR-3 | 11-01 10:00 | -
    """)
    ward.hears("""
        event | at          | visit | bed
        A33   | 11-01 10:20 | V1    | MED-7-1
    """)
    ward.tracking("visit | status | bed | from | to")
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)


def test_a_patient_only_tracked_has_no_stay_and_leaving_ends_tracking(ward):
    ward.hears("""
        event | at          | visit | bed   | class | admitted
        A10   | 11-01 10:00 | V1    | XRAY  | O     | -
        A04   | 11-01 09:00 | V2    | -     | O     | 11-01 09:00
        A10   | 11-01 10:00 | V2    | XRAY  | O     | -
        A03   | 11-01 11:00 | V2    | -     | O     | -
    """)
    ward.tracking("""
        visit | status  | bed  | from        | to
        V1    | arrived | XRAY | 11-01 10:00 | -
        V2    | arrived | XRAY | 11-01 10:00 | 11-01 11:00
    """)
    ward.stays("visit | bed | from | to")


def test_a52_undoes_the_leave_and_a53_the_return(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | expected
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00 | -
        A21   | 11-02 10:00 | V1    | MED-7-1 | -           | 11-03 18:00
        A22   | 11-03 17:00 | V1    | MED-7-1 | -           | -
    """)
    ward.plans("""
        visit | kind   | status | stated      | expected    | ended
        V1    | return | done   | 11-02 10:00 | 11-03 18:00 | 11-03 17:00
    """)
    ward.hears("""
        event | at          | visit | bed
        A53   | 11-03 17:30 | V1    | MED-7-1
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-02 10:00
        onleave     | 11-02 10:00 | -
    """,
    )
    ward.plans("""
        visit | kind   | status
        V1    | return | active
    """)
    ward.hears("""
        event | at          | visit | bed
        A52   | 11-03 18:00 | V1    | MED-7-1
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | -
    """,
    )
    ward.plans("""
        visit | kind   | status    | ended
        V1    | return | cancelled | 11-03 18:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)


def test_evn_6_of_a52_is_when_it_was_cancelled_and_names_no_later_leave(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | admitted
        A01   | 11-01 08:00 | -           | V1    | MED-7-1 | 11-01 08:00
        A21   | 11-02 10:00 | -           | V1    | MED-7-1 | -
        A22   | 11-02 12:00 | -           | V1    | MED-7-1 | -
        A21   | 11-02 15:00 | -           | V1    | MED-7-1 | -
        A52   | 11-02 15:30 | 11-02 11:00 | V1    | MED-7-1 | -
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-02 15:00
        onleave     | 11-02 15:00 | -
    """,
    )
