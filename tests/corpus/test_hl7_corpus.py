"""Public HL7 v2 messages, as found: each becomes events or a reject, under every line ending.

Read from a folder beside the project; skipped where it is absent.
"""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.hl7v2 import acknowledge, translate
from adapters.hl7v2.er7 import read
from adapters.hl7v2.refusal import Refused
from adapters.hl7v2.triggers import TRANSLATORS
from twin_core.events import EncounterEvent, PatientDescribed, Rejection, Translation
from twin_core.settings import FeedSettings, LimitSettings

CORPUS = Path(__file__).parents[2] / "../shared/corpus/hl7v2/messages.jsonl"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
LIMITS = LimitSettings()
FEEDS = {"production": FeedSettings(), "all": FeedSettings(processing_ids=("P", "T", "D"))}
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not beside the project")


@pytest.fixture(scope="module")
def messages():
    lines = CORPUS.read_text("utf-8").strip().split("\n")
    return [json.loads(line)["raw"].encode("latin-1") for line in lines]


def endings(raw):
    lines = [line for line in re.split(rb"[\r\n]+", raw) if line.strip()]
    return [raw, *(ending.join(lines) + ending for ending in (b"\r", b"\n", b"\r\n"))]


def outcome(raw, feed):
    return translate(raw, feed="main", settings=feed, limits=LIMITS, received_at=NOW)


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_every_message_becomes_events_or_a_reject_under_any_line_ending(messages, feed):
    for raw in messages:
        outcomes = [outcome(variant, feed) for variant in endings(raw)]
        assert all(isinstance(one, Translation | Rejection) for one in outcomes)
        assert all(one == outcomes[1] for one in outcomes), raw[:80]
        if isinstance(outcomes[0], Rejection):
            assert all(fault.where and fault.code and fault.reason for fault in outcomes[0].faults)


def test_no_segment_is_lost_or_collapsed_under_any_line_ending(messages):
    for raw in messages:
        counts = set()
        for variant in endings(raw):
            try:
                counts.add(len(read(variant, charset="utf-8", limits=LIMITS).lines))
            except Refused:
                counts.add(-1)
        expected = sum(1 for line in re.split(rb"[\r\n]+", raw) if line.strip())
        assert counts in ({expected}, {-1})


def test_every_message_gets_an_answer_with_its_control_id(messages):
    for raw in messages:
        answer = acknowledge(raw, "AA", (), now=NOW, ack_id="1")
        lines = answer.split(b"\r")
        assert [line[:4] for line in lines] == [b"MSH|", b"MSA|", b""]
        fields = re.split(rb"[\r\n]", raw)[0].split(raw[3:4])
        control_id = fields[9] if len(fields) > 9 else b""
        if re.fullmatch(rb"[\w .:-]+", control_id):
            assert lines[1] == b"MSA|AA|" + control_id


def test_messages_of_supported_events_are_applied_and_rejects_have_a_cause(messages):
    """Whoever sends an ADT message with a patient in it, or a result with a code, is understood."""
    rejected = Counter()
    for raw in messages:
        result = outcome(raw, FEEDS["all"])
        if isinstance(result, Rejection):
            rejected[result.faults[0].code] += result.trigger_event.startswith(("ADT^A", "ORU^R"))
        elif result.envelope.trigger_event in TRANSLATORS:
            assert result.events or not says_anything(raw)
    for kind, segment, share in ((b"|ADT^A", b"PID", 0.95), (b"|ORU^R", b"OBX", 0.97)):
        told = [m for m in messages if kind in m[:200] and re.search(rb"[\r\n]" + segment, m)]
        applied = sum(isinstance(outcome(raw, FEEDS["all"]), Translation) for raw in told)
        assert applied > share * len(told)
    assert set(rejected) <= {"100", "101", "102", "103", "200", "201", "202", "203"}


def says_anything(raw):
    """Whether a message has a patient with a number, or a result with a code."""
    separator, text = chr(raw[3]), raw.decode("latin-1")
    lines = [[*line.split(separator), "", "", "", ""] for line in re.split(r"[\r\n]+", text)]
    found = {line[0].strip() for line in lines if re.search(r"\w", line[3])}
    return "|ADT^" in text[:200] or bool(found & {"OBX", "PID"})


@pytest.mark.slow
def test_hl7apy_reads_the_same_fields_where_it_reads_the_message_at_all(messages):
    from hl7apy.exceptions import HL7apyException
    from hl7apy.parser import parse_message

    compared = 0
    for raw in messages[::5]:
        result = outcome(raw, FEEDS["all"])
        if not isinstance(result, Translation) or not result.events or not raw.isascii():
            continue
        if raw[8:9] == b"#":  # hl7apy escapes the truncation character where it only stands
            continue
        try:
            judged = parse_message(
                endings(raw)[1].decode("ascii").strip(), find_groups=False, validation_level=2
            )
        except HL7apyException:
            continue
        compared += 1
        _same_fields(raw, result, judged)
    assert compared > 50


def _same_fields(raw, result, judged):
    message = read(raw, charset="utf-8", limits=LIMITS)
    pid = message.segment("PID")
    if pid is None:
        return
    assert [one.to_er7() for one in judged.pid.pid_3] == _trimmed(pid[3].split("~"))
    assert [one.to_er7() for one in judged.pid.pid_5] == _trimmed(pid[5].split("~"))
    described = next((e for e in result.events if isinstance(e, PatientDescribed)), None)
    if described is None:  # an account may be merged for nobody
        assert result.envelope.trigger_event.startswith(("OR", "ADT^A41"))
        return
    numbers = {one.children[0].to_er7().strip() for one in judged.pid.pid_3 if one.children}
    assert {identifier.value for identifier in described.patient} <= numbers
    pv1 = message.segment("PV1")
    if pv1 is None:
        return
    assert [one.to_er7() for one in judged.pv1.pv1_3] == _trimmed([pv1[3]])
    assert [one.to_er7() for one in judged.pv1.pv1_19] == _trimmed([pv1[19]])
    for event in result.events:
        if isinstance(event, EncounterEvent) and pv1[19] and event.encounter[0] != event.account:
            assert event.encounter[0].value == judged.pv1.pv1_19.children[0].to_er7()


def _trimmed(repetitions):
    """Repetitions without the trailing separators that hl7apy leaves out."""
    return [one.rstrip("^") for one in repetitions if one.rstrip("^")]
