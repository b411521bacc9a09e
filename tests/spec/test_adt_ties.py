"""Events recorded in one minute (EVN-2): what was sent first comes first. See `wards.py`."""

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
