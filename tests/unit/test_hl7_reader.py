"""The ER7 reader: segments under any line ending, delimiters, escapes, character sets, limits."""

import bz2
import gzip
import lzma

import pytest

from adapters.hl7v2.er7 import _read_ordinary, read
from adapters.hl7v2.escapes import Escapes
from adapters.hl7v2.refusal import Refused
from twin_core.settings import LimitSettings

LINES = ("MSH|^~\\&|APP|FAC|||202611010800||ADT^A01|1|P|2.5", "EVN|A01|202611010800", "PID|1||42")


def segments(raw, charset="utf-8", **limits):
    return read(raw, charset=charset, limits=LimitSettings(**limits)).lines


def refusal(raw, charset="utf-8", **limits):
    with pytest.raises(Refused) as caught:
        segments(raw, charset, **limits)
    return caught.value.answer, caught.value.faults[0].where, caught.value.faults[0].code


def headed(pid, charset=""):
    return f"MSH|^~\\&|APP|FAC|||202611010800||ADT^A28|1|P|2.5||||||{charset}\rPID|1||42||{pid}\r"


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n", "\r\r", "\n\n", "\r \t\r", "\n\r"])
@pytest.mark.parametrize("last", ["", "\r", "\n", "\r\n\r\n", "\r  "])
def test_any_line_ending_gives_the_same_segments(ending, last):
    assert segments((ending.join(LINES) + last).encode()) == list(LINES)


@pytest.mark.parametrize("lead", [b"", b"\r\n", b"  ", b"\xef\xbb\xbf", b"\n\xef\xbb\xbf\r"])
def test_blanks_and_a_byte_order_mark_may_stand_first(lead):
    assert segments(lead + "\r".join(LINES).encode()) == list(LINES)


def test_an_indented_segment_is_a_segment():
    assert segments(("\n   ".join(LINES)).encode()) == list(LINES)


@pytest.mark.parametrize("charset", ["", "UNICODE UTF-8", "ASCII"])
def test_an_ordinary_message_is_read_the_short_way(charset):
    raw = headed("TESTER^ADA", charset).encode()
    assert _read_ordinary(raw, "utf-8", LimitSettings()) is not None
    assert _read_ordinary(raw.replace(b"PID|", b"ZID|"), "utf-8", LimitSettings()) is None


def test_other_line_separators_of_unicode_do_not_end_a_segment():
    message = headed("A\u2028PID|1||666\x85PID|1||666\x1ePID|1||666", "UNICODE UTF-8")
    assert len(segments(message.encode())) == 2


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("^~\\&", ("^", "~", "\\", "&")),
        ("^~\\&#", ("^", "~", "\\", "&")),
        ("$%?*", ("$", "%", "?", "*")),
        ("^", ("^", "\x00", "\x00", "\x00")),
        ("^~", ("^", "~", "\x00", "\x00")),
    ],
)
def test_delimiters_are_those_of_the_header(encoding, expected):
    message = read(f"MSH|{encoding}|APP\rPID|1".encode(), charset="utf-8", limits=LimitSettings())
    assert message.delimiters[1:5] == expected
    assert message.header[2] == "APP"


@pytest.mark.parametrize(
    "start",
    ["MSH|^^^^|", "MSH|^~\\^|", "MSH||", "MSH|ab\\&|", "MSHA^~\\&A", "MSH|^~\\&#!|", "MSH ^~\\& ",
     "MSH|^~\u00a7&|", "MSH", "MSH|", "MSH|^"],
)  # fmt: skip
def test_unusable_delimiters_are_refused(start):
    answer, where, _ = refusal(
        (start + "APP|FAC\rPID|1").encode() if len(start) > 5 else start.encode()
    )
    assert answer == "AR"
    assert where.startswith("MSH^1")


@pytest.mark.parametrize("byte", [b"\x00", b"\x0b", b"\x1c"])
@pytest.mark.parametrize("charset", ["", "8859/1", "UNICODE UTF-8"])
def test_bytes_that_end_strings_or_frames_are_refused(byte, charset):
    raw = headed("ANN", charset).encode().replace(b"ANN", b"A" + byte + b"N")
    assert refusal(raw)[0] == "AR"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_wide_encodings_are_refused(encoding):
    assert refusal("\r".join(LINES).encode(encoding))[0] == "AR"


@pytest.mark.parametrize("escape", ["\\X00\\", "\\X410042\\", "\\X4142000D\\"])
def test_an_escaped_nul_is_refused(escape):
    assert refusal(headed("A" + escape).encode()) == ("AE", "MSH^1", "102")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a\\F\\b", "a|b"),
        ("\\S\\\\T\\\\R\\\\E\\", "^&~\\"),
        ("\\X0D0A\\", "\r\n"),
        ("\\XC3BC\\", "\u00fc"),
        ("\\XFC\\", "\u00fc"),
        ("line\\.br\\line", "line\nline"),
        ("\\H\\loud\\N\\", "loud"),
        ("\\E\\F\\E\\", "\\F\\"),
        ("C:\\path", "C:\\path"),
        ("lone \\ then \\F\\", "lone \\ then |"),
        ("\\Zlocal\\", "\\Zlocal\\"),
        ("\\X0\\", "\\X0\\"),
    ],
)
def test_escapes_are_undone_once_and_only_where_they_are_escapes(sent, meant):
    assert Escapes("|^~\\&\x00", "utf-8").undo(sent) == meant


def test_escapes_use_the_delimiters_of_the_message():
    assert Escapes("!$%?*\x00", "utf-8").undo("?F??S??R??T??E?") == "!$%*?"


@pytest.mark.parametrize(
    ("declared", "encoding", "name"),
    [
        ("", "utf-8", "M\u00dcLLER"),
        ("", "ascii", "MULLER"),
        ("UNICODE UTF-8", "utf-8", "\u0141UCJA"),
        ("UNICODE", "utf-8", "\u0141UCJA"),
        ("8859/1", "latin-1", "M\u00dcLLER"),
        ("8859/2", "iso8859-2", "\u0141UCJA"),
        ("8859/15", "iso8859-15", "\u20acUR"),
        ("ISO IR87", "iso2022_jp", "\u6f22\u5b57"),
        ("GB 18030-2000", "gb18030", "\u8d75\u4e02"),
        ("8859/1~UNICODE UTF-8", "latin-1", "M\u00dcLLER"),
    ],
)
def test_the_declared_character_set_is_read(declared, encoding, name):
    message = read(headed(name, declared).encode(encoding), charset="utf-8", limits=LimitSettings())
    assert message.segment("PID")[5] == name
    assert not message.guessed_codec


def test_an_undeclared_feed_may_send_windows_1252():
    raw = headed("M\u00dcLLER \u2019").encode("cp1252")
    message = read(raw, charset="utf-8", limits=LimitSettings())
    assert message.segment("PID")[5] == "M\u00dcLLER \u2019"
    assert message.guessed_codec


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("UNICODE UTF-8", b"M\xfcLLER"),
        ("ASCII", b"M\xfcLLER"),
        ("UNICODE UTF-8", b"A\xc1\xbcB"),
        ("", b"A\xc1\xbcB"),
        ("", b"A\xc0\x80B"),
        ("", b"A\xe0\x81\xbcB"),
        ("", b"A\xf0\x80\x81\xbcB"),
        ("", b"A\xf8\x80\x80\x81\xbcB"),
        ("", b"A\xed\xa0\x80B"),
        ("", b"A\x81\x8dB"),
    ],
)
def test_bytes_that_are_no_text_are_refused(declared, name):
    raw = headed("NAME", declared).encode().replace(b"NAME", name)
    assert refusal(raw) == ("AE", "MSH^1^18", "102")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (gzip.compress(b"MSH|^~\\&|", mtime=0), "gzip"),
        (bz2.compress(b"MSH|^~\\&|"), "bzip2"),
        (lzma.compress(b"MSH|^~\\&|"), "xz"),
        (b"PK\x03\x04", "ZIP"),
    ],
    ids=["gzip", "bzip2", "xz", "zip"],
)
def test_what_is_compressed_is_refused_in_these_words(raw, said):
    with pytest.raises(Refused) as refused:
        read(raw, charset="utf-8", limits=LimitSettings())
    assert refused.value.answer == "AR"
    assert said in refused.value.faults[0].reason


@pytest.mark.parametrize("declared", ["KLINGON", "UTF-16", "UNICODE UTF-16", "../../etc", "rot13"])
def test_an_unknown_character_set_is_refused(declared):
    assert refusal(headed("ANN", declared).encode()) == ("AR", "MSH^1^18", "103")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"PID|1||1\r",
        b"hello",
        b"FHS|^~\\&|\rBHS|^~\\&|\r",
        b"msh|^~\\&|\r",
        b"MSX|^~\\&",
    ],
)
def test_what_does_not_begin_with_a_header_is_refused(raw):
    assert refusal(raw)[0] == "AR"


@pytest.mark.parametrize("line", ["||19440229", "free text", "pid|1", "PIDX|1", "PV|1", "123|4"])
def test_a_line_that_is_no_segment_refuses_the_message(line):
    assert refusal(("\r".join(LINES) + "\r" + line).encode()) == ("AE", "MSH^1", "100")


def test_a_second_header_refuses_the_message():
    assert refusal(("\r".join(LINES + LINES)).encode()) == ("AR", "MSH^2", "100")


@pytest.mark.parametrize(
    ("raw", "limits", "where"),
    [
        ("\r".join(LINES) + "\rZZZ" * 10, {"segments": 9}, "MSH^1"),
        ("\r".join(LINES) + "|" * 30, {"fields": 30}, "PID^1"),
        (headed("A~" * 30 + "A"), {"repetitions": 30}, "PID^1^5"),
        (headed("A" * 301), {"field_bytes": 300}, "PID^1^5"),
        (headed("\u00dc" * 151), {"field_bytes": 300}, "PID^1^5"),
    ],
)
def test_what_weighs_too_much_is_refused_by_name(raw, limits, where):
    assert refusal(raw.encode(), **limits)[1:] == (where, "104")


@pytest.mark.parametrize(
    ("raw", "limits"),
    [
        ("\r\n".join((*LINES, *["ZZZ"] * 6, "")), {"segments": 9}),
        (headed("A~" * 29 + "A"), {"repetitions": 30}),
        (headed("A" * 300), {"field_bytes": 300}),
    ],
)
def test_what_weighs_just_as_much_as_allowed_is_read(raw, limits):
    assert segments(raw.encode(), **limits)
