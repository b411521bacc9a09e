"""Files as hospitals keep them: batches, framed captures, NDJSON, Bundles and folders."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files import Source, find_files, read_messages
from adapters.files import read as reading
from twin_core.errors import FeedError
from twin_core.settings import LimitSettings

FIRST = b"MSH|^~\\&|ADT|H|||20261101||ADT^A01|1|P|2.5\rEVN|A01\rPID|1"
SECOND = b"MSH|^~\\&|ADT|H|||20261101||ADT^A03|2|P|2.5\rEVN|A03"
ODD = b"MSH$%~\\&$ADT$H$$$20261101$$ADT%A01$3$P$2.5\nPID$1"


def messages(content: bytes, kind: str = "hl7", limits: LimitSettings | None = None):
    stream = io.BufferedReader(io.BytesIO(content))
    return list(read_messages(Source("-", kind, 0), limits, stream))


@pytest.mark.parametrize(
    "content",
    [
        FIRST + b"\r" + SECOND + b"\r",
        FIRST + b"\n" + SECOND,
        FIRST + b"\r\n\r\n" + SECOND + b"\r\n",
        b"\x0b" + FIRST + b"\r\x1c\r\x0b" + SECOND + b"\r\x1c\r",
        b"\xef\xbb\xbf" + FIRST + b"\r" + SECOND + b"\x1c",
        b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + FIRST + b"\r" + SECOND + b"\rBTS|2\rFTS|1\r",
    ],
    ids=["CR", "LF", "blank lines", "MLLP", "BOM", "batch envelope"],
)
def test_messages_are_split_at_headers(content):
    found = messages(content)
    assert [message.raw for message in found] == [FIRST, SECOND]
    assert all(content[m.offset :].startswith(m.raw) for m in found)
    assert {message.format for message in found} == {"hl7v2"}


def test_delimiters_may_be_any():
    assert [m.raw for m in messages(ODD + b"\n" + FIRST)] == [ODD, FIRST]


def test_a_word_that_begins_like_a_header_splits_nothing():
    noted = FIRST + b"\rNTE|1\nMSHELL is a name"
    assert [m.raw for m in messages(noted)] == [noted]


def test_text_in_no_message_is_not_dropped():
    found = messages(b"a note\r" + FIRST + b"\r\x1c\rrubbish\r" + SECOND)
    assert [m.raw for m in found] == [b"a note", FIRST, b"rubbish", SECOND]


def test_a_file_that_is_no_hl7_at_all_is_one_reject():
    image = b"\x89PNG\r\n\x1a\n" + b"\x00\x01\x1c\r\x0b\x1c\n\xff" * 500
    [found] = messages(image)
    assert image.strip().startswith(found.raw[:4])
    assert [m.raw[:3] for m in messages(image + b"\r" + FIRST + b"\r\x1c\rnote\r\x1c\rnote")] == [
        b"\x89PN",
        b"MSH",
        b"not",
        b"not",
    ]


def test_nothing_but_blanks_is_no_message():
    assert messages(b"\r\n \x0b\x1c\r\n") == []


@given(st.lists(st.sampled_from([FIRST, SECOND, ODD]), max_size=12), st.integers(5, 90))
def test_the_size_of_blocks_changes_nothing(parts, block):
    content = b"\x1c\r\x0b".join(parts)
    whole = reading.BLOCK_BYTES
    reading.BLOCK_BYTES = block
    try:
        found = messages(content)
    finally:
        reading.BLOCK_BYTES = whole
    assert [m.raw for m in found] == parts
    assert all(content[m.offset :].startswith(m.raw) for m in found)


def test_a_message_above_the_limit_is_cut_and_the_next_is_found():
    heavy = b"MSH|" + b"x" * 5_000_000
    found = messages(heavy + b"\r" + SECOND, limits=LimitSettings(frame_bytes=100_000))
    assert [len(found[0].raw), found[1].raw] == [100_001, SECOND]
    assert found[1].offset == len(heavy) + 1


def test_ndjson_yields_each_line():
    lines = b'{"resourceType":"Patient","id":"1"}\n\n{"resourceType":"Patient","id":"2"}\r\n'
    found = messages(lines, "ndjson")
    assert [json.loads(m.raw)["id"] for m in found] == ["1", "2"]
    assert [m.offset for m in found] == [0, 37]
    assert {m.format for m in found} == {"fhir"}


def test_a_line_above_the_limit_is_cut_and_the_next_is_found():
    content = b'{"a":"' + b"x" * 3_000_000 + b'"}\n{"b":1}\n'
    found = messages(content, "ndjson", LimitSettings(body_bytes=1_000))
    assert [len(found[0].raw), found[1].raw] == [1_001, b'{"b":1}']


def test_a_bundle_is_one_document(tmp_path):
    bundle = tmp_path / "bundle.json"
    bundle.write_text('{\n "resourceType": "Bundle",\n "entry": []\n}\n')
    [source] = find_files([str(bundle)])
    [found] = read_messages(source)
    assert json.loads(found.raw)["resourceType"] == "Bundle"


def test_standard_input_is_looked_into():
    stream = io.BufferedReader(io.BytesIO(b'{"resourceType":"Patient"}\n'))
    [found] = read_messages(Source("-", None, 0), None, stream)
    assert found.format == "fhir"


def test_folders_are_read_in_name_order_and_hold_other_things(tmp_path):
    for name in ["b/2.hl7", "b/1.er7", "a.txt", "z", "c.ndjson"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}" if name == "c.ndjson" else FIRST)
    (tmp_path / "notes.txt").write_text("Nothing to see here.")
    (tmp_path / "image.png").write_bytes(b"MSH|")
    (tmp_path / ".hidden.hl7").write_bytes(FIRST)
    found = list(find_files([str(tmp_path)]))
    names = [str(Path(source.path).relative_to(tmp_path)) for source in found]
    assert names == ["a.txt", "b/1.er7", "b/2.hl7", "c.ndjson", "z"]
    assert [source.kind for source in found] == ["hl7", "hl7", "hl7", "ndjson", "hl7"]


def test_a_missing_path_says_so(tmp_path):
    with pytest.raises(FeedError, match=r"nowhere\.hl7 cannot be read.*No such file"):
        list(find_files([str(tmp_path / "nowhere.hl7")]))
