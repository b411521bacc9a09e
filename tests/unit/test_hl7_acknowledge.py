"""Acknowledgements: who is answered what, and what is never repeated."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2 import acknowledge
from adapters.hl7v2.acknowledge import plain_acceptance, stamped
from adapters.hl7v2.mllp import framed
from twin_core.events import Fault

NOW = datetime(2026, 11, 1, 8, 5, tzinfo=UTC)
HEADER = "MSH|^~\\&|ADT1|HOSP|TWIN|LAB|20261101080000||ADT^A01^ADT_A01|MSG 7|P|2.5.1"
PID = "\rPID|1||900001^^^HOSP^MR||TESTER^ADA\r"
FAULT = Fault(where="PV1^1^44", code="102", reason="Send a | date & time.")


def answered(message, code="AA", faults=()):
    raw = message if isinstance(message, bytes) else message.encode()
    return acknowledge(raw, code, faults, now=NOW, ack_id="A-1")


def test_an_accepted_message_is_answered_to_its_sender():
    assert answered(HEADER + PID) == (
        b"MSH|^~\\&|TWIN|LAB|ADT1|HOSP|20261101080500+0000||ACK^A01^ACK|A-1|P|2.5.1\rMSA|AA|MSG 7\r"
    )


def test_answers_to_messages_of_one_route_tell_each_its_own():
    later = HEADER.replace("MSG 7", "MSG|8".replace("|", "\\F\\")).replace("A01^ADT_A01", "A03")
    moment = datetime(2026, 11, 1, 9, 5, 30, 900, timezone(timedelta(hours=1)))
    same = moment.astimezone(UTC)
    told = [
        acknowledge(raw.encode(), "AA", (), now=now, ack_id=number)
        for raw, now, number in [
            (HEADER, moment, "A-1"),
            (HEADER, same, "A-2"),
            (later, same, "A-3"),
            (HEADER + "|||NE|AL", same, "A-4"),
        ]
    ]
    assert told == [
        b"MSH|^~\\&|TWIN|LAB|ADT1|HOSP|20261101090530+0100||ACK^A01^ACK|A-1|P|2.5.1\r"
        b"MSA|AA|MSG 7\r",
        b"MSH|^~\\&|TWIN|LAB|ADT1|HOSP|20261101080530+0000||ACK^A01^ACK|A-2|P|2.5.1\r"
        b"MSA|AA|MSG 7\r",
        b"MSH|^~\\&|TWIN|LAB|ADT1|HOSP|20261101080530+0000||ACK^A03^ACK|A-3|P|2.5.1\r"
        b"MSA|AA|MSG\\F\\8\r",
        b"MSH|^~\\&|TWIN|LAB|ADT1|HOSP|20261101080530+0000||ACK^A01^ACK|A-4|P|2.5.1|||NE|NE\r"
        b"MSA|AA|MSG 7\r",
    ]


def test_a_reject_says_where_and_why():
    assert answered(HEADER + PID, "AE", [FAULT]).split(b"\r")[1:] == [
        b"MSA|AE|MSG 7",
        b"ERR||PV1^1^44|102^Data type error^HL70357|E||||Send a \\F\\ date \\T\\ time.",
        b"",
    ]


@pytest.mark.parametrize("version", ["2.1", "2.3", "2.4"])
def test_an_old_version_is_told_in_the_one_field_it_has_for_it(version):
    err = answered(HEADER.replace("2.5.1", version), "AE", [FAULT]).split(b"\r")[2].split(b"|")
    assert err[1] == b"PV1^1^44^102&Data type error&HL70357"
    no_field = Fault(where="MSH", code="207", reason="No.")
    err = answered(HEADER.replace("2.5.1", version), "AE", [no_field]).split(b"\r")[2].split(b"|")
    assert err[1] == b"MSH^^^207&Application internal error&HL70357"


def test_every_reason_has_its_own_segment():
    answer = answered(HEADER, "AE", [FAULT, Fault(where="PID^1^3", code="101", reason="No id.")])
    assert answer.count(b"\rERR|") == 2


@pytest.mark.parametrize(
    ("version", "kind"),
    [("2.1", b"ACK"), ("2.2", b"ACK"), ("2.3", b"ACK^A01"), ("2.3.1", b"ACK^A01^ACK"),
     ("2.8", b"ACK^A01^ACK")],
)  # fmt: skip
def test_the_answer_is_written_as_the_version_of_the_sender_has_it(version, kind):
    header = answered(HEADER.replace("2.5.1", version)).split(b"\r")[0].split(b"|")
    assert (header[8], header[11]) == (kind, version.encode())


def test_other_delimiters_are_translated_not_repeated():
    message = "MSH!$%?*!ADT?F?1$1.2.3$ISO!H^|&SP!!!2026!!ADT$A01!I?S?D|^1!P!2.5"
    header, msa, _ = answered(message).split(b"\r")
    assert header.split(b"|")[4] == b"ADT!1^1.2.3^ISO"
    assert header.split(b"|")[5] == b"H\\S\\\\F\\\\T\\SP"
    assert msa == b"MSA|AA|I$D\\F\\\\S\\1"


@pytest.mark.parametrize(
    "control_id",
    ["a\\F\\b", "a\\X41\\b", "a\\X0D\\b", "a\\E\\b", "1^2&3~4", "\\", "a b ", "\\.br\\", "\\Zq\\"],
)
def test_msa_2_repeats_the_control_id_byte_by_byte(control_id):
    echoed = answered(HEADER.replace("MSG 7", control_id)).split(b"\r")[1]
    assert echoed == b"MSA|AA|" + control_id.encode()


def test_escapes_of_a_sender_with_other_delimiters_are_written_in_the_standard_ones():
    message = "MSH!$%?*!ADT!H!!!2026!!ADT$A01!a?X41?b?F?c?E?d?.br?!P!2.5"
    assert answered(message).split(b"\r")[1] == b"MSA|AA|a\\X41\\b!c?d\\.br\\"


@pytest.mark.parametrize("charset", ["UNICODE UTF-8", "8859/1"])
def test_the_answer_keeps_the_character_set_and_its_bytes(charset):
    encoding = "utf-8" if charset.startswith("UNI") else "latin-1"
    message = HEADER.replace("HOSP", "KLINIK K\u00d6LN").replace("MSG 7", "N\u00b0 7")
    answer = answered((message + "||||||" + charset + PID).encode(encoding)).decode(encoding)
    header, msa, _ = answer.split("\r")
    assert header.split("|")[5] == "KLINIK K\u00d6LN"
    assert header.split("|")[17] == charset
    assert msa == "MSA|AA|N\u00b0 7"


def test_an_unknown_character_set_is_answered_in_ascii():
    raw = (HEADER.replace("HOSP", "K\u00d6LN") + "||||||KLINGON" + PID).encode()
    assert answered(raw, "AR").isascii()


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x00\xff", b"MSH", b"MSH|", b"hello", b"PID|1||SECRET\r", b"\xff\xfeM\x00S\x00"],
)
def test_garbage_is_answered_with_the_least(garbage):
    fault = Fault(where="MSH^1", code="100", reason="No MSH.")
    assert answered(garbage, "AR", [fault]) == (
        b"MSH|^~\\&|WARDTWIN||||20261101080500+0000||ACK|A-1|P|2.5.1\rMSA|AR|\r"
        b"ERR||MSH^1|100^Segment sequence error^HL70357|E||||No MSH.\r"
    )


@pytest.mark.parametrize("damage", [b"\x00", b"\xff", b"\x0b", b"\x1c"])
def test_the_control_id_is_echoed_from_a_damaged_message(damage):
    raw = (HEADER + PID).encode().replace(b"TESTER", b"TES" + damage)
    assert b"\rMSA|AR|MSG 7\r" in answered(raw, "AR")


@pytest.mark.parametrize("field", range(2, 12))
def test_no_field_of_the_header_can_forge_a_segment_or_a_frame(field):
    fields = HEADER.split("|")
    fields[field] = "x\x1c\rMSA|AA|forged\x0b\nMSH|~\\X0D\\MSA|AA|"[: 4 if field == 9 else 60]
    answer = answered("|".join(fields), "AR", [FAULT])
    assert [line[:4] for line in answer.split(b"\r")] == [b"MSH|", b"MSA|", b"ERR|", b""]
    assert b"MSA|AA" not in answer
    assert not set(answer) & {0x0B, 0x1C, 0x0A}


def test_nothing_of_the_patient_is_repeated():
    answer = answered(HEADER + PID, "AE", [FAULT])
    assert b"900001" not in answer
    assert b"TESTER" not in answer


FIELDS = st.one_of(
    st.sampled_from(["", "ADT1", "A^B&C", "M00012", "20261101080000.12+0100", "AL", "NE", "P"]),
    st.sampled_from(["UNICODE UTF-8", "8859/1", "ADT^A01^ADT_A01", "2.5.1", "2.3", '""', "x~y"]),
    st.text("aZ0^~\\&|\r\n\x0b\x1c\x00 +-.é", max_size=6),
)


@given(st.lists(FIELDS, max_size=18), st.sampled_from(["\r", "\n", "\r\n", ""]))
def test_the_short_way_to_an_answer_gives_the_same_answer(fields: list[str], end: str) -> None:
    raw = ("MSH|^~\\&|" + "|".join(fields) + end + "PID|1" + end).encode("iso8859-1")
    short = plain_acceptance(raw, stamped(NOW), "A-1")
    if peek_modes(raw):
        assert short is None
    assert short in (None, framed(acknowledge(raw, "AA", (), now=NOW, ack_id="A-1")))


def peek_modes(raw: bytes) -> bool:
    """Whether the sender names the answers that it wants, read in the plainest way."""
    line = raw.decode("iso8859-1")
    for mark in "\r\n\x0b\x1c\x00":
        line = line.split(mark)[0]
    return any(
        field.split("^")[0].strip().upper() not in ("", '""') for field in line.split("|")[14:16]
    )


def test_most_messages_are_answered_the_short_way() -> None:
    raw = (HEADER.replace("MSG 7", "MSG7") + PID).encode()
    assert plain_acceptance(raw, stamped(NOW), "A-1") == framed(answered(raw))
