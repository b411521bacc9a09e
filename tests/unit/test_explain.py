"""A message field by field: names, marks and masks, whatever the bytes are."""

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.disclosure import PASSES, masked, passes
from adapters.hl7v2 import explain
from adapters.hl7v2.explain import ExplainedField, ExplainedMessage, ExplainedSegment
from adapters.hl7v2.names import fields_of, version_named
from api.cli import main
from api.explained_text import explanation_lines
from api.explaining import Explanation, explain_bytes, told
from twin_core import events as core_events
from twin_core.events import Fault, NotedFinding, Rejection, decode_events
from twin_core.settings import Settings
from twin_core.store.tables import ENTITIES

PAIRS = Path(__file__).parents[2] / "fixtures" / "hl7v2"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HEADER = r"MSH|^~\&|PAS|GEN|TWIN|GEN|20260302080000+0000||ADT^A01|77|P|2.5.1"


def said(*segments: str, header: str = HEADER) -> bytes:
    return "\r".join((header, *segments)).encode()


def segment(explained: ExplainedMessage, name: str, sequence: int = 1) -> ExplainedSegment:
    return next(s for s in explained.segments if (s.segment, s.sequence) == (name, sequence))


def field(explained: ExplainedMessage, name: str, number: int) -> ExplainedField:
    return next(f for f in segment(explained, name).fields if f.number == number)


# --- names ---------------------------------------------------------------------------------------


def test_fields_have_the_names_of_the_version_that_the_message_states() -> None:
    raw = said("PID|1||4711^^^GEN^MR||Doe^Jo", "PV1|1|I|W1^3^A")
    explained = explain(raw)
    assert (explained.trigger_event, explained.trigger_name) == (
        "ADT^A01",
        "Admit, visit notification",
    )
    assert field(explained, "PID", 3).name == "Patient identifier list"
    assert field(explained, "PID", 3).datatype == "CX"
    assert [part.name for part in field(explained, "PV1", 3).repetitions[0].parts] == [
        "Point of care",
        "Room",
        "Bed",
    ]
    older = explain(raw.replace(b"2.5.1", b"2.2"))
    assert (older.named_by, field(older, "PID", 3).name) == ("2.2", "Patient ID internal ID")


@pytest.mark.parametrize(
    ("stated", "named_by"),
    [
        ("2.4", "2.4"),
        ("2.9", "2.8.2"),
        ("2.9.1", "2.8.2"),
        ("7", "2.5.1"),
        ("", "2.5.1"),
    ],
)
def test_a_version_nobody_knows_is_named_by_one_that_is_near(stated: str, named_by: str) -> None:
    assert version_named(stated) == named_by


def test_segments_of_a_newer_version_of_the_site_and_of_ihe_are_named() -> None:
    explained = explain(said("PRT||AD", "ZBE|1|20260302||INSERT|N", "ZXY|secret"))
    assert field(explained, "PRT", 2).name == "Action code"
    assert field(explained, "ZBE", 4).value == "INSERT"
    assert segment(explained, "ZXY").name == "Segment of the site"
    assert field(explained, "ZXY", 1).value == "xxxxxx"


def test_the_value_of_an_observation_is_named_by_its_value_type() -> None:
    explained = explain(said("OBX|1|CE|8867-4^Heart rate^LN||F00^Dementia^I10|/min|||||F"))
    value = field(explained, "OBX", 5)
    assert [part.name for part in value.repetitions[0].parts] == [
        "Identifier",
        "Text",
        "Name of coding system",
    ]
    assert value.value == "X99^Xxxxxxxx^X99"
    assert field(explained, "OBX", 6).value == "/min"


def test_every_version_of_hl7apy_can_be_asked_for_every_segment() -> None:
    import hl7apy

    for version in hl7apy.SUPPORTED_LIBRARIES:
        for name in hl7apy.load_library(version).SEGMENTS:
            fields_of(name, version)
    assert fields_of("OBX", "2.7")[2].name == "Observation identifier"


# --- marks ---------------------------------------------------------------------------------------


def test_a_fault_and_a_finding_stand_at_their_fields() -> None:
    fault = Fault(where="PV1^1^44", code="102", reason="No time.")
    noted = NotedFinding(kind="unknown_code", detail="PV1^1^2 is no code of table 0004.")
    explained = explain(said("PV1|1|Q"), faults=[fault], findings=[noted])
    [missing] = field(explained, "PV1", 44).marks
    assert (missing.kind, missing.code, field(explained, "PV1", 44).value) == ("fault", "102", "")
    [odd] = field(explained, "PV1", 2).marks
    assert (odd.kind, odd.code) == ("finding", "unknown_code")
    assert explained.marks == ()


def test_a_fault_of_a_segment_that_is_not_there_is_one_of_the_message() -> None:
    fault = Fault(where="PID^1", code="100", reason="There is no PID.")
    assert [mark.where for mark in explain(said(), faults=[fault]).marks] == ["PID^1"]


def test_a_fault_of_the_second_of_a_name_stands_there() -> None:
    fault = Fault(where="PID^2^3", code="101", reason="No identifier.")
    explained = explain(said("PID|1||1", "PID|2||2"), faults=[fault])
    assert segment(explained, "PID").fields[-1].marks == ()
    assert [f.number for f in segment(explained, "PID", 2).fields if f.marks] == [3]


def test_fields_named_in_the_words_of_a_finding_are_marked() -> None:
    noted = NotedFinding(kind="displaced_field", detail="PV1-43 holds a time and PV1-44 nothing.")
    explained = explain(said("PV1|1|I"), findings=[noted])
    assert {f.number for f in segment(explained, "PV1").fields if f.marks} == {43, 44}


# --- what cannot be read -------------------------------------------------------------------------


def test_lines_that_are_no_segments_are_shown_without_what_they_say() -> None:
    explained = explain(said("PID|1||4711", "continued here", "PV1|1|I"))
    [line] = [s for s in explained.segments if not s.segment]
    assert (line.name, line.line) == ("Not a segment", 3)
    assert line.fields[0].value == "xxxxxxxxx xxxx"
    assert segment(explained, "PV1").line == 4


@given(st.binary(max_size=300))
def test_any_bytes_can_be_explained(junk: bytes) -> None:
    for raw in (junk, b"MSH|^~\\&|" + junk, HEADER.encode() + b"\rPID|" + junk):
        assert isinstance(explain(raw), ExplainedMessage)


@pytest.mark.parametrize("separator", [b"|", b"~", b"^", b"&", b"\rPID"])
def test_a_message_of_too_many_parts_is_cut_and_says_so(separator: bytes) -> None:
    explained = explain(HEADER.encode() + b"\rPID|" + separator * 50_000, most_parts=1_000)
    assert explained.cut
    assert not explain(HEADER.encode(), most_parts=1_000).cut


def test_other_delimiters_and_line_ends_are_understood() -> None:
    raw = b"MSH#*!?@#PAS#GEN###20260302##ADT*A01#9#P#2.5.1\nPID#1##7*!8*@###\r\nPV1#1#I#W1*2"
    explained = explain(raw)
    assert [len(field(explained, "PID", 3).repetitions)] == [2]
    assert field(explained, "PV1", 3).value == "W1*2"


# --- masks ---------------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_a_mask_keeps_the_shape_and_nothing_else(text: str) -> None:
    shape = masked(text)
    assert len(shape) == len(text)
    assert not any(one.isalnum() for one in shape if one not in "xX9")
    assert all(
        one == other
        for one, other in zip(text, shape, strict=True)
        if one.isascii() and not one.isalnum()
    )


def test_a_mask_leaves_escapes_that_say_nothing_but_structure() -> None:
    assert masked(r"Smith\T\Sons\.br\am \X4D\ ", "\\") == r"Xxxxx\T\Xxxx\.br\xx \X9X\ "


def test_a_value_passes_only_in_the_form_of_its_kind() -> None:
    assert passes("20260302081500+0100", "PV1-44")
    assert not passes("Quisenberry Ada", "PV1-44")
    assert not passes("Quisenberry Ada", "PV1-2")
    assert passes('""', "PID-5")
    assert not passes("A", "PID-5", "ZZZ-1")


def leaked(*segments: str, what: str, header: str = HEADER) -> list[str]:
    """Where an explanation without patients shows a text all the same."""
    explanation, _ = explain_bytes(
        said(*segments, header=header),
        feed="adt",
        settings=Settings(),
        received_at=NOON,
        phi=False,
        most=999,
    )
    shown = [
        f"{one.segment}-{field.number}"
        for one in (explanation.content.segments if explanation.content else ())
        for field in one.fields
        if what in field.value or what in json.dumps(msgspec.to_builtins(field))
    ]
    told = [word.name for event in explanation.events for word in event.says]
    values = [word.value for event in explanation.events for word in event.says]
    return shown + [n for n, v in zip(told, values, strict=True) if what in (v or "")]


@pytest.mark.parametrize("header", ["FHS", "BHS", "MSH"])
def test_encoding_characters_are_shown_only_where_they_are_some(header: str) -> None:
    assert leaked(f"{header}|Musterfrau Erika 19640812 HIV", what="Muster") == []
    explained = explain(said(f"{header}|^~\\&#|A", f"{header}|Ab1|A"))
    sequences = (2, 3) if header == "MSH" else (1, 2)
    shown = [
        next(f.value for f in segment(explained, header, n).fields if f.number == 2)
        for n in sequences
    ]
    assert shown == ["^~\\&#", "Xx9"]


def test_letters_that_separate_show_nothing() -> None:
    raw = b"MSH|Must|A\rPID|1||||Mustermann"
    assert field(explain(raw), "PID", 5).value == "Xxxxxxxxxx"


ADMITTED = "PV1|1|I|W1^3^A"
RESULT = ("PID|1||4711^^^GEN^MR", "OBR|1|||8310-5^Temp^LN")


@pytest.mark.parametrize(
    ("segment", "what"),
    [
        ("OBX|1|NM|8310-5^Temp^LN|37.5|Cel|36-37||||F", "37.5"),
        ("OBX|1|NM|8310-5^Temp^LN|37.5|Cel|36-37||||F", "36-37"),
        ("OBX|1|NM|8310-5^Temp^LN|1|7|Musterfrau||||F", "Musterfrau"),
        ("OBX|1|NM|8310-5^Temp^LN|1|7|{Musterfrau}/min||||F", "Musterfrau"),
        ("OBX|1|NM|8310-5^Temp^LN|1|7|140||||F", "140"),
        ("OBX|1|NM|8310-5^Temp^LN|12.08.1964|7|Cel||||F", "1964"),
        ("OBX|1|NM|8310-5^Temp^LN|120|7|Cel||||F", "120"),
    ],
)
def test_a_result_that_slipped_by_a_field_is_masked(segment: str, what: str) -> None:
    header = HEADER.replace("ADT^A01", "ORU^R01")
    assert leaked(*RESULT, segment, what=what, header=header) == []


@pytest.mark.parametrize(
    ("segment", "what"),
    [
        ("PID|1||4711^^^GEN^MR|||||Meiermann", "Meiermann"),
        ("PID|1||4711^^^GEN^Meier", "Meier"),
        ("PID|1||4711^^^^Meier", "Meier"),
        ("PID|1||4711^^^Musterfrau^MR", "Musterfrau"),
        ("PV1|1|Musterfrau|W1^3^A", "Musterfrau"),
        ("PV1|1|I|Musterfrau Erika^3^A", "Musterfrau"),
        ("PV1|1|I|W1^3^A|||||||Musterfrau", "Musterfrau"),
    ],
)
def test_a_name_among_codes_and_places_is_masked(segment: str, what: str) -> None:
    others = [own for own in (RESULT[0], ADMITTED) if own[:3] != segment[:3]]
    assert leaked(*sorted([segment, *others]), what=what) == []


def test_what_the_settings_name_is_shown() -> None:
    explanation, _ = explain_bytes(
        said("PID|1||4711^^^Hospital^MR", "PV1|1|I|Surgery^3^A"),
        feed="adt",
        settings=Settings.model_validate(
            {"feeds": {"adt": {"units": {"Surgery": "S"}, "authorities": {"Hospital": "urn:h"}}}}
        ),
        received_at=NOON,
        phi=False,
        most=99,
    )
    assert explanation.content is not None
    assert field(explanation.content, "PV1", 3).value == "Surgery^3^A"
    assert field(explanation.content, "PID", 3).value == "9999^^^Hospital^MR"


@pytest.mark.parametrize("sub_id", ["1", "12", "1.1.2.1", "1.0.0.1", "1.1.2.150456"])
def test_a_sub_id_is_shown(sub_id: str) -> None:
    assert passes(sub_id, "OBX-4")


@pytest.mark.parametrize(
    "unit",
    ["Cel", "/min", "mmol/L", "10*3/uL", "%", "mm[Hg]", "{beats}/min", "MDC_DIM_MMHG", "266016"],
)
def test_a_unit_that_is_known_is_shown(unit: str) -> None:
    assert passes(unit, "OBX-6.1")


def test_the_list_of_what_passes_names_no_field_of_a_patient() -> None:
    """Written by hand from the identifiers that HIPAA's safe harbour removes."""
    person = {f"PID-{n}" for n in (*range(2, 8), 9, *range(11, 15), *range(18, 22), 23, 26, 28, 29)}
    others = {"NK1", "GT1", "IN1", "IN2", "NTE", "MRG"}
    for name in PASSES:
        whole, _, component = name.partition(".")
        segment_name, _, number = whole.partition("-")
        assert whole not in person or component in ("4", "5"), name
        assert segment_name not in others or number == "1", name
        assert whole not in {"OBX-5", "DG1-3", "DG1-4", "AL1-3", "PV1-7", "PV1-8", "PV1-9"}, name


def test_words_on_the_list_are_words_of_events_or_tables() -> None:
    known = {column.name for entity in ENTITIES for column in entity.columns}
    for kind in vars(core_events).values():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            known |= {field.encode_name for field in msgspec.structs.fields(kind)}
    # An Identifier and a Place are told field by field too.
    known |= {"facility", "unit", "room", "bed", "system", "type"}
    assert {name for name in PASSES if "-" not in name and "." not in name} <= known


def test_every_table_of_the_store_has_words_that_never_pass() -> None:
    """Written by hand: the columns of today that say who a person is or what was found."""
    never = set(
        "birth_date deceased_at family_name given_name postal_code value attending practitioner"
        " reason cancel_reason visit_number value_number value_code reference_range body_site"
        " filler_order placer_order serial_number name display".split()
    )
    assert never <= {column.name for entity in ENTITIES for column in entity.columns}
    assert not never & set(PASSES)


PLANTED = [
    *(
        f"PID-{n}"
        for n in (2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 18, 19, 20, 21, 23, 25, 26, 28, 29)
    ),
    *(f"PD1-{n}" for n in (3, 4, 8, 13)),
    *(f"NK1-{n}" for n in range(2, 38)),
    *(f"PV1-{n}" for n in (5, 7, 8, 9, 17, 19, 20, 38, 50, 52)),
    *(f"PV2-{n}" for n in (3, 4, 5, 12, 13, 20, 22, 23)),
    *(f"OBX-{n}" for n in (5, 7, 13, 15, 16, 23, 24, 25)),
    *(f"OBR-{n}" for n in (2, 3, 10, 13, 16, 17, 18, 20, 28, 32)),
    *(f"SCH-{n}" for n in (1, 2, 12, 13, 16, 17, 18, 19, 20)),
    *("AIG-3", "AIP-3", "PRT-5", "ROL-4", "EVN-5", "NTE-3", "MRG-1", "MRG-3", "MRG-4", "MRG-7"),
    *(f"GT1-{n}" for n in range(2, 30)),
    *(f"IN1-{n}" for n in range(2, 50)),
    *("AL1-3", "AL1-5", "DG1-3", "DG1-4", "DG1-16", "ZPI-1", "ZPI-2", "ZBE-1"),
]


ISSUED = {"OBR-2", "OBR-3", "SCH-1", "SCH-2", "ZBE-1"}
"""Entity identifiers: their components 2 to 4 say who issued them."""


def planted_message() -> tuple[bytes, list[str]]:
    """A message with a word of its own in every component of every field about a person."""
    fields: dict[str, dict[int, str]] = {}
    words: list[str] = []
    for name in PLANTED:
        owner, _, number = name.partition("-")
        parts = [""] * 9
        # Components 4 and 5 of an identifier say who issued it and of which type it is.
        for at in (0, 5, 8) if name in ISSUED else (0, 1, 2, 5, 8):
            words.append(f"PHI{len(words):04}Q")
            parts[at] = words[-1]
        fields.setdefault(owner, {})[int(number)] = "^".join(parts)
    segments = [
        "|".join([owner, *(numbered.get(at, "") for at in range(1, max(numbered) + 1))])
        for owner, numbered in fields.items()
    ]
    return said(*segments), words


def test_nothing_planted_in_a_field_about_a_person_is_shown(tmp_path: Path) -> None:
    raw, words = planted_message()
    (tmp_path / "planted.hl7").write_bytes(raw)
    for switches in ([], ["--json"]):
        _, out = run("hl7", "explain", str(tmp_path / "planted.hl7"), *switches)
        assert "XXX9999X" in out
        assert not [word for word in words if word in out]
        _, shown = run("hl7", "explain", str(tmp_path / "planted.hl7"), "--show-phi", *switches)
        assert not [word for word in words if word not in shown]


# --- events --------------------------------------------------------------------------------------


def test_events_are_told_with_their_meaning_and_without_the_person() -> None:
    pair = json.loads((PAIRS / "a01_admission.events.json").read_text("utf-8"))
    events = decode_events(json.dumps(pair["events"]).encode())
    person, admitted = told(events, phi=False)
    assert (admitted.kind, admitted.meaning[:24]) == ("Admitted", "The patient was admitted")
    said = {word.name: word.value for word in admitted.says}
    assert (said["place.bed"], said["visit.class"]) == ("A", "IMP")
    assert said["visit.attending"] == "9999"
    names = {word.name: word for word in person.says}
    assert names["demographics.family_name"].masked
    assert names["demographics.birth_date"].value == "9999-99-99"
    shown = {word.name: word.value for word in told(events, phi=True)[0].says}
    assert shown["demographics.family_name"] == "TESTER"


def people_in(said: object) -> set[str]:
    """Whatever a golden pair says of a person: names, dates, numbers; written by hand."""
    if isinstance(said, dict):
        found = {
            str(value)
            for name, value in said.items()
            if name in {"family_name", "given_name", "birth_date", "postal_code", "deceased_at"}
        }
        return found.union(*map(people_in, said.values()))
    if isinstance(said, list):
        is_identifier = len(said) == 3 and all(isinstance(part, str) for part in said)
        mine = {said[1]} if is_identifier and ":" in said[0] else set()
        return mine.union(*map(people_in, said))
    return set()


@pytest.mark.parametrize("path", sorted(PAIRS.glob("*.events.json")), ids=lambda path: path.stem)
def test_no_event_of_a_golden_pair_is_told_with_a_person(path: Path) -> None:
    said = json.loads(path.read_text("utf-8")).get("events", [])
    who = {value for value in people_in(said) if any(one.isalnum() for one in value)}
    for event in told(decode_events(json.dumps(said).encode()), phi=False):
        for word in event.says:
            assert word.value is None or word.masked or word.value not in who, word.name
            last = word.name.split(".")[-1]
            assert word.masked or word.value is None or passes(word.value, last, f"Place.{last}")


# --- the command ---------------------------------------------------------------------------------


def run(*words: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    status = main(words, environ=environ or {}, out=out, err=err)
    return status, out.getvalue() + err.getvalue()


@pytest.mark.parametrize("path", sorted(PAIRS.glob("*.hl7")), ids=lambda path: path.stem)
def test_every_kind_of_message_fits_a_terminal(path: Path) -> None:
    explanation, outcome = explain_bytes(
        path.read_bytes(), feed="adt", settings=Settings(), received_at=NOON, phi=False, most=999
    )
    text = [line.text for line in explanation_lines(explanation)]
    assert max(map(len, text)) <= 80
    for fault in outcome.faults if isinstance(outcome, Rejection) else ():
        told = " ".join(line.strip() for line in text)
        assert f"!! {fault.where}, code {fault.code}: {fault.reason}" in told


def test_a_fault_is_marked_and_ends_with_1() -> None:
    status, out = run("hl7", "explain", str(PAIRS / "rejected_feb_30.hl7"))
    assert status == 1
    before, _, _ = out.partition("!! PV1^1^44, code 102")
    assert before.rstrip().endswith("20260230")


def test_of_a_file_of_many_the_first_or_any_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "many.hl7"
    messages = [said("PID|1||1").replace(b"|77|", b"|%d|" % n) for n in range(1, 9)]
    file.write_bytes(b"FHS|^~\\&\rBHS|^~\\&\r" + b"\r".join(messages) + b"\rBTS|8\rFTS|1\r")
    status, out = run("hl7", "explain", str(file))
    assert (status, out.count("Message control ID")) == (0, 5)
    assert "more than 5 messages" in out
    chosen = run("hl7", "explain", str(file), "--message", "7")[1]
    assert re.findall(r"Message control ID +ST +(\d)", chosen) == ["7"]
    assert run("hl7", "explain", str(file), "--message", "9")[0] == 2
    assert run("hl7", "explain", str(file), "--limit", "0")[0] == 2
    assert run("hl7", "explain")[0] == 2
    listed = json.loads(run("hl7", "explain", str(file), "--limit", "8", "--json")[1])
    assert len(listed) == 8


def test_what_holds_no_message_is_said_to_hold_none(tmp_path: Path) -> None:
    (tmp_path / "empty.hl7").touch()
    status, out = run("hl7", "explain", str(tmp_path / "empty.hl7"))
    assert (status, "no message" in out) == (2, True)
    status, out = run("hl7", "explain", str(tmp_path))
    assert (status, "is a folder" in out) == (2, True)
    assert run("hl7", "explain", str(tmp_path / "missing.hl7"))[0] == 4


def test_what_moves_a_cursor_is_not_printed(tmp_path: Path) -> None:
    file = tmp_path / "hostile.hl7"
    file.write_bytes(said("PID|1||\x1b[31m4711", "NTE|1||\x9b2J").replace(b"|PAS|", b"|P\x07AS|"))
    out = run("hl7", "explain", str(file), "--show-phi")[1]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


def test_a_store_tells_what_became_of_the_message_and_what_it_changed(tmp_path: Path) -> None:
    store = ("--db", str(tmp_path / "hospital.duckdb"))
    admission, transfer = PAIRS / "a01_admission.hl7", tmp_path / "transfer.hl7"
    raw = admission.read_bytes().replace(b"ADT^A01", b"ADT^A02").replace(b"A01-", b"A02-")
    raw = raw.replace(b"20261101080000", b"20261101090000").replace(b"ICU^101^A", b"MED^7^2")
    transfer.write_bytes(raw.replace(b"EVN|A01|20261101", b"EVN|A02|20261102"))
    run("ingest", str(admission), *store)
    assert "does not hold this message" in run("hl7", "explain", str(transfer), *store)[1]
    run("ingest", str(transfer), *store)
    [explained] = json.loads(run("hl7", "explain", str(transfer), *store, "--json")[1])
    assert explained["message"]["status"] == "applied"
    stays = [row for row in explained["changes"] if row["table"] == "stay"]
    assert sorted(row["what"] for row in stays) == ["began", "changed"]
    [left] = [row for row in stays if row["what"] == "changed"]
    assert [change["column"] for change in left["columns"]] == ["to_at"]
    assert all(row["table"] != "patient" for row in explained["changes"])
    text = run("hl7", "explain", "--message-id", "2", *store)[1]
    assert re.search(r"to_at +\(none\) -> 2026", text)
    assert max(map(len, text.splitlines())) <= 80

    other = tmp_path / "other.hl7"
    other.write_bytes(transfer.read_bytes().replace(b"MED^7^2", b"MED^7^3"))
    assert "--message-id 2" in run("hl7", "explain", str(other), *store)[1]
    assert run("hl7", "explain", "--message-id", "99", *store)[0] == 2


def test_a_quarantined_message_says_what_a_replay_would_do(tmp_path: Path) -> None:
    store = ("--db", str(tmp_path / "hospital.duckdb"))
    run("ingest", str(PAIRS / "rejected_training.hl7"), *store)
    status, out = run("hl7", "explain", str(PAIRS / "rejected_training.hl7"), *store)
    assert (status, "with the settings of now, it is rejected" in out) == (1, True)
    site = tmp_path / "site.toml"
    site.write_text('[feeds.adt]\nprocessing_ids = ["P", "T"]\n')
    again = run("hl7", "explain", "--message-id", "1", *store, "--config", str(site))
    assert again[0] == 0
    assert "with the settings of now, it is accepted" in again[1]
    assert "What it would become" in again[1]


def test_colour_is_for_terminals_that_want_it(tmp_path: Path) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        out = Screen()
        main(
            ["hl7", "explain", str(PAIRS / "rejected_feb_30.hl7")],
            environ=environ,
            out=out,
            err=io.StringIO(),
        )
        assert ("\x1b[" in out.getvalue()) is coloured


def test_lines_of_any_width() -> None:
    explanation = Explanation(
        message=None,
        verdict=None,
        content=explain((PAIRS / "a01_admission.hl7").read_bytes()),
        events=(),
        findings=(),
        faults=(),
        changes=(),
        known_at=None,
        together_with=0,
        phi=False,
    )
    assert max(len(line.text) for line in explanation_lines(explanation, width=72)) <= 72
