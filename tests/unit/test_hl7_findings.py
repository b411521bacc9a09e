"""What a message is taken with although something in it is odd: one finding per oddity."""

from datetime import UTC, datetime

import pytest

from adapters.hl7v2 import translate
from twin_core.events import PatientDescribed, Translation
from twin_core.settings import FeedSettings, LimitSettings

RECEIVED_AT = datetime(2026, 11, 1, 8, 5, tzinfo=UTC)
PID = "PID|1||900001^^^HOSP^MR||TESTER^ADA"
SECOND = "PID|2||900002^^^HOSP^MR||TESTER^BEA"


def findings(event: str, *lines: str, kind: str = "ADT", sent: str = "20261101080500") -> list[str]:
    header = rf"MSH|^~\&|ADT1|HOSP|TWIN|LAB|{sent}||{kind}^{event}|C1|P|2.5.1"
    outcome = translate(
        "\r".join((header, *lines, "")).encode(),
        feed="f",
        settings=FeedSettings(time_zone="UTC"),
        limits=LimitSettings(),
        received_at=RECEIVED_AT,
    )
    assert isinstance(outcome, Translation), outcome
    return sorted(finding.kind for finding in outcome.findings)


def pv1(admitted: str = "", left: str = "", patient_class: str = "I") -> str:
    fields = ["PV1", "1", patient_class, "ICU^1^A", *[""] * 15, "V1^^^HOSP^VN", *[""] * 24]
    return "|".join((*fields, admitted, left))


@pytest.mark.parametrize("event", ["A01", "A02", "A03", "A08", "A11", "A28", "A31"])
def test_a_second_patient_of_an_event_of_one_is_left_out_with_a_finding(event: str) -> None:
    one = findings(event, "EVN||20261101080000", PID, pv1("20261101080000"))
    two = findings(event, "EVN||20261101080000", PID, pv1("20261101080000"), SECOND)
    assert (one, two) == ([], ["unexpected_repetition"])


def test_two_patients_of_a_swap_are_two() -> None:
    other = pv1().replace("V1^", "V2^").replace("ICU^1^A", "ICU^1^B")
    assert findings("A17", "EVN||20261101080000", PID, pv1(), SECOND, other) == []


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        ("A01", [PID, pv1("20261101090000")]),
        ("A01", ["EVN||20261101090000", PID, pv1()]),
        ("A02", ["EVN||20261101080000||||20261101090000", PID, pv1()]),
        ("A03", [PID, pv1("20261031080000", "20261101090000")]),
        ("A08", [PID, pv1("20261101090000")]),
        ("A08", [PID, pv1("20261031080000", "20261101090000")]),
        ("A08", [f"{PID}||20270101", pv1()]),
        ("A08", [f"{PID}||2027", pv1()]),
        ("A08", [f"{PID}{'|' * 24}20261201080000|Y", pv1()]),
        ("A05", ["EVN||20261101080000", PID, pv1(patient_class="P"), "PV2||||||||20990101080000"]),
    ],
)
def test_what_happened_in_the_future_is_noted(event: str, lines: list[str]) -> None:
    assert findings(event, *lines) == ["future_time"]


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        ("A01", [PID, pv1("20261101080900")]),
        ("A05", [PID, pv1("20261201080000", patient_class="P"), "PV2||||||||20271101080000"]),
        ("A08", [f"{PID}||20261101", pv1("20261201080000", patient_class="P")]),
        ("A16", ["EVN||20261101080000||||20261103080000", PID, pv1()]),
    ],
)
def test_what_is_planned_or_just_ahead_is_not(event: str, lines: list[str]) -> None:
    assert findings(event, *lines) == []


@pytest.mark.parametrize(
    "pid", [f"{PID}||20261102", f"{PID}||2027", f"{PID}{'|' * 24}202611020800"]
)
def test_a_patient_dated_ahead_is_noted_each_time(pid: str) -> None:
    lines = ["EVN||20261101080000", pid, pv1("20261101080000")]
    assert [findings("A08", *lines) for _ in range(2)] == [["future_time"]] * 2
    # Sent next year it is no news, and neither that nor anything else was forgotten meanwhile.
    assert findings("A08", *lines, sent="20270601080500") == ["clock_skew"]
    assert findings("A08", *lines) == ["future_time"]


def test_what_is_odd_of_a_patient_is_noted_each_time() -> None:
    assert [findings("A28", f"{PID}|||?") for _ in range(2)] == [["unknown_code"]] * 2


def test_an_event_that_only_evn_names_is_each_messages_own() -> None:
    def trigger_event(event: str) -> str:
        lines = [r"MSH|^~\&|ADT1|HOSP|TWIN|LAB|20261101080500||ADT|C1|P|2.2", f"EVN|{event}", PID]
        outcome = translate(
            "\r".join((*lines, "")).encode(),
            feed="f",
            settings=FeedSettings(time_zone="UTC"),
            limits=LimitSettings(),
            received_at=RECEIVED_AT,
        )
        assert isinstance(outcome, Translation), outcome
        return outcome.envelope.trigger_event

    assert [trigger_event(event) for event in ("A28", "A31", "A28")] == [
        "ADT^A28",
        "ADT^A31",
        "ADT^A28",
    ]


def test_the_same_patient_is_each_feeds_own() -> None:
    def identifier(feed: str) -> str:
        raw = r"MSH|^~\&|ADT1|HOSP|TWIN|LAB|20261101080500||ADT^A28|C1|P|2.5.1" + f"\r{PID}\r"
        settings = FeedSettings(authorities={"HOSP": f"urn:{feed}"})
        outcome = translate(
            raw.encode(),
            feed=feed,
            settings=settings,
            limits=LimitSettings(),
            received_at=RECEIVED_AT,
        )
        assert isinstance(outcome, Translation), outcome
        (described,) = outcome.events
        assert isinstance(described, PatientDescribed)
        return described.patient[0].system

    assert [identifier(feed) for feed in "abba"] == ["urn:a", "urn:b", "urn:b", "urn:a"]


def test_an_appointment_beyond_all_planning_is_noted_each_time() -> None:
    sch = "SCH|P1|F1|||||||||^^^29990101090000"
    for _ in range(2):
        assert findings("S12", sch, PID, kind="SIU") == ["future_time"]
