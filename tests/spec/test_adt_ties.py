"""Times that tie or contradict one another: what was sent first comes first. See `wards.py`."""

import pytest


@pytest.mark.parametrize("seconds", ["05 20 40", "00 00 00"])
def test_a13_does_not_undo_the_discharge_that_was_sent_after_it(ward, seconds):
    one, two, three = seconds.split()
    # Where MSH-7 is the same, too, the control id decides (1, 2, 3, 4).
    ward.hears(f"""
        event | at          | sent                | visit | bed     | admitted    | left
        A01   | 11-01 07:00 | -                   | V1    | MED-1-A | 11-01 07:00 | -
        A03   | 11-01 08:00 | 11-01 08:00:{one}   | V1    | MED-1-A | -           | 11-01 08:00
        A13   | 11-01 08:00 | 11-01 08:00:{two}   | V1    | MED-1-A | -           | -
        A03   | 11-01 08:00 | 11-01 08:00:{three} | V1    | MED-1-A | -           | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-1-A | 11-01 07:00 | 11-01 08:00
    """)
    ward.visits("""
        visit | status   | discharged
        V1    | finished | 11-01 08:00
    """)


@pytest.mark.parametrize("seconds", ["05 20 40", "00 00 00"])
def test_a12_does_not_undo_the_transfer_that_was_sent_after_it(ward, seconds):
    one, two, three = seconds.split()
    ward.hears(f"""
        event | at          | sent                | visit | bed     | admitted
        A01   | 11-01 07:00 | -                   | V1    | MED-1-A | 11-01 07:00
        A02   | 11-01 08:00 | 11-01 08:00:{one}   | V1    | MED-2-A | -
        A12   | 11-01 08:00 | 11-01 08:00:{two}   | V1    | MED-1-A | -
        A02   | 11-01 08:00 | 11-01 08:00:{three} | V1    | MED-3-A | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-1-A | 11-01 07:00 | 11-01 08:00
        V1    | MED-3-A | 11-01 08:00 | -
    """)
    assert ward.findings() == []


@pytest.mark.parametrize("seconds", ["05 20 40", "00 00 00"])
def test_a11_does_not_undo_the_admission_that_was_sent_after_it(ward, seconds):
    one, two, three = seconds.split()
    ward.hears(f"""
        event | at          | sent                | visit | bed     | admitted
        A01   | 11-01 08:00 | 11-01 08:00:{one}   | V1    | MED-1-A | 11-01 08:00
        A11   | 11-01 08:00 | 11-01 08:00:{two}   | V1    | MED-1-A | -
        A01   | 11-01 08:00 | 11-01 08:00:{three} | V1    | MED-3-A | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-3-A | 11-01 08:00 | -
    """)


def test_a23_deletes_nothing_that_was_sent_after_it(ward):
    ward.hears("""
        event | at          | sent           | visit | bed     | admitted
        A01   | 11-01 08:00 | 11-01 08:00:05 | V1    | MED-1-A | 11-01 08:00
        A23   | 11-01 08:00 | 11-01 08:00:20 | V1    | -       | -
        A01   | 11-01 08:00 | 11-01 08:00:40 | V1    | MED-3-A | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-3-A | 11-01 08:00 | -
    """)


def test_a_discharge_before_the_registration_ends_the_visit_when_it_was_recorded(ward):
    ward.hears("""
        event | at          | visit | bed    | class | admitted    | left
        A04   | 11-01 08:01 | V1    | ED-1-A | E     | 11-01 08:01 | -
        A03   | 11-01 09:00 | V1    | ED-1-A | E     | -           | 11-01 08:00
    """)
    ward.stays("""
        visit | bed    | from        | to
        V1    | ED-1-A | 11-01 08:01 | 11-01 09:00
    """)
    ward.visits("""
        visit | status   | admitted    | discharged
        V1    | finished | 11-01 08:01 | 11-01 09:00
    """)
    assert ward.findings() == ["discharge_before_admission"]


def test_a_visit_opened_anew_after_its_discharge_stays_open(ward):
    ward.hears("""
        event | at          | visit | bed    | class | admitted    | left
        A03   | 11-01 08:00 | V1    | ED-1-A | E     | 11-01 07:00 | 11-01 08:00
        A04   | 11-01 08:30 | V1    | ED-1-B | E     | 11-01 08:30 | -
    """)
    ward.visits("""
        visit | status      | discharged
        V1    | in-progress | -
    """)
    assert ward.findings() == ["movement_after_discharge"]


def test_an_update_that_states_a_discharge_frees_no_bed_and_is_a_finding_until_a03_tells_it(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | MED-1-A | 11-01 08:00 | -
        A08   | 11-02 09:00 | V1    | MED-1-A | 11-01 08:00 | 11-02 08:30
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-1-A | 11-01 08:00 | -
    """)
    assert ward.findings() == ["drift"]
    ward.hears("""
        event | at          | visit | bed     | left
        A03   | 11-02 10:00 | V1    | MED-1-A | 11-02 09:30
    """)
    assert ward.findings() == []


def test_an_update_that_repeats_a_discharge_later_cancelled_is_no_finding(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | MED-1-A | 11-01 08:00 | -
        A03   | 11-02 08:30 | V1    | MED-1-A | -           | 11-02 08:30
        A08   | 11-02 09:00 | V1    | MED-1-A | 11-01 08:00 | 11-02 08:30
        A13   | 11-02 10:00 | V1    | MED-1-A | -           | -
    """)
    assert ward.findings() == []
