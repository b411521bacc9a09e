"""hl7apy as the judge: what it objects to, in words that repeat nothing of the message."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.hl7v2 import explain_reject, translate, validate
from twin_core.events import Rejection, Translation
from twin_core.settings import FeedSettings, LimitSettings

PAIRS = Path(__file__).parents[2] / "fixtures" / "hl7v2"
VALID = (
    b"MSH|^~\\&|ADT1|HOSP|TWIN|LAB|20261101080500||ADT^A01^ADT_A01|1|P|2.5.1\r"
    b"EVN|A01|20261101080400\rPID|1||900001^^^HOSP^MR||TESTER^ADA\rPV1|1|I|ICU^101^A\r"
)
WITHOUT_PV1 = VALID[: VALID.index(b"PV1")]
TOO_LONG_SEX = VALID.replace(b"TESTER^ADA", b"TESTER^ADA||19440229|" + b"SECRET" * 9)


def translated(raw, strictness):
    return translate(
        raw,
        feed="main",
        settings=FeedSettings(strictness=strictness),
        limits=LimitSettings(),
        received_at=datetime(2026, 11, 1, 8, 5, tzinfo=UTC),
    )


def test_a_valid_message_meets_no_objection():
    assert validate(VALID) == ()
    assert explain_reject(VALID) == ()


def test_a_missing_segment_is_named():
    [fault] = validate(WITHOUT_PV1)
    assert fault.code == "101"
    assert "PV1" in fault.reason


def test_objections_repeat_no_field():
    faults = validate(TOO_LONG_SEX)
    assert faults
    assert all("SECRET" not in fault.reason for fault in faults)


def test_lenient_objects_to_nothing_and_standard_to_less_than_strict():
    assert validate(WITHOUT_PV1, "lenient") == ()
    assert validate(WITHOUT_PV1, "standard") == ()


def test_a_swap_is_not_refused_for_its_second_patient():
    assert validate((PAIRS / "a17_swap.hl7").read_bytes()) == ()


def test_a_strict_feed_refuses_what_the_standard_refuses():
    assert isinstance(translated(VALID, "strict"), Translation)
    assert isinstance(translated(WITHOUT_PV1, "standard"), Translation)
    refused = translated(WITHOUT_PV1, "strict")
    assert isinstance(refused, Rejection)
    assert (refused.code, refused.control_id) == ("AE", "1")


@pytest.mark.parametrize(
    "raw", [b"", b"MSH", b"MSH|^~\\&|", b"\xff" * 50, b"PID|1\r", b"MSH|^~\\&|" * 50]
)
def test_garbage_is_explained(raw):
    assert explain_reject(raw)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=80))
def test_the_judge_never_raises(tail):
    validate(VALID + tail)
    validate(b"MSH|^~\\&|A|B|||2026||ADT^A01^ADT_A01|1|P|2.5\r" + tail)
