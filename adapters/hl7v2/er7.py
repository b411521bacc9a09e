"""ER7, the pipe-and-hat form of HL7 v2: split only what is asked for.

Sizes and counts are checked before anything is split, escapes are undone after. A carriage return,
a line feed or both end a segment, in any mixture; a line that is no segment refuses the message,
so that no segment is ever taken for part of another.
"""

from operator import itemgetter
from typing import NamedTuple

import msgspec

from adapters.hl7v2.charsets import (
    CODECS,
    SEVEN_BIT,
    codec_named,
    decode,
    decode_anyhow,
    starts_as_utf16,
)
from adapters.hl7v2.escapes import Escapes, hides_a_nul
from adapters.hl7v2.refusal import (
    DATA_TYPE,
    REQUIRED_FIELD,
    SEGMENT_SEQUENCE,
    TOO_LONG,
    Refused,
    content_fault,
    envelope_fault,
)
from twin_core.settings import LimitSettings

ABSENT = "\x00"
"""A delimiter that MSH-2 does not define; no accepted text holds this character."""

STANDARD = "|^~\\&" + ABSENT
_ORDINARY = frozenset(
    f"{name}|"
    for name in "MSH EVN PID PD1 ARV ROL NK1 PV1 PV2 OBX AL1 DG1 GT1 IN1 MRG NPU "
    "ORC OBR NTE SPM TQ1 PRT SCH RGS AIS AIG AIL AIP".split()
)
SPARE_FIELDS = 64
"""How many empty fields every segment ends in, so that those it lacks can be asked for."""
_EMPTY = [""] * SPARE_FIELDS
_FEW_EMPTY = [""] * 8
_LONGEST_HEADER = 64 * 1024
_SHORTEST = len(b"MSH|^~")
_REPLACED = (
    "guessed_charset",
    "Some bytes are not text in the character set of the message; they were replaced.",
)
_PASSED_OVER = ("unreadable_line", "A line of the message is no segment and was passed over.")
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "ZIP",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Delimiters(NamedTuple):
    """The characters that MSH-1 and MSH-2 define."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str


_STANDARD = Delimiters(*STANDARD)
_ORDINARY_START = b"MSH|^~\\&|"


class Shape(NamedTuple):
    """Which segments a message has, in order. Most messages of a feed have one of a few shapes."""

    names: tuple[str, ...]
    first: dict[str, int]
    """Where the first segment of every name stands."""
    repeated: frozenset[str]
    """The names of which there are several."""


_WITH_SEPARATOR = itemgetter(slice(4))
"""The name of a segment with the `|` behind it."""
_SHAPES: dict[tuple[str, ...], Shape] = {}
"""Shapes of ordinary messages that were read lately, by the names of their segments with `|`."""
_KNOWN_SHAPES, _LONGEST_SHAPE = 1_000, 64


class Message(msgspec.Struct, gc=False, eq=False):
    """One message, cut into segments; fields are split when they are asked for."""

    lines: list[str]
    shape: Shape
    delimiters: Delimiters
    codec: str
    guessed_codec: bool
    header: list[str]
    """MSH split into fields; `header[n - 1]` is MSH-n."""
    is_standard: bool
    """Whether the delimiters are the usual ones, so that texts compare across messages."""
    oddities: tuple[tuple[str, str], ...] = ()
    """Kind and detail of what a lenient feed put up with to read it."""
    tail: str | None = None
    """What follows MSH, where it is known already."""
    escapes: Escapes | None = None

    def after_header(self) -> str:
        """All that follows MSH, every segment after the end of the one before it."""
        if self.tail is not None:
            return self.tail
        return "".join([f"\r{line}" for line in self.lines[1:]])

    def segment(self, name: str) -> list[str] | None:
        """The fields of the first segment of that name."""
        at = self.shape.first.get(name)
        return None if at is None else self.fields(self.lines[at])

    def fields(self, line: str) -> list[str]:
        """A segment split into fields, field n at index n; fields that are not there are empty."""
        fields = line.split(self.delimiters.field)
        fields += _EMPTY
        return fields

    def components(self, field: str) -> list[str]:
        """A field, or one repetition of it, split into components, component n at n - 1."""
        parts = field.split(self.delimiters.component)
        parts += _FEW_EMPTY
        return parts

    def first_repetition(self, field: str) -> str:
        """The field up to its first repetition separator."""
        repetition = self.delimiters.repetition
        return field.partition(repetition)[0] if repetition in field else field

    def text(self, part: str) -> str:
        """What a component says, escapes undone."""
        if self.delimiters.escape in part:
            if self.escapes is None:
                self.escapes = Escapes("".join(self.delimiters), self.codec)
            return self.escapes.undo(part)
        return part

    def code(self, field: str) -> str:
        """The first component of the first repetition, without the blanks around it."""
        if field.isalnum():  # no delimiter is a letter or a digit: there is nothing to take apart
            return field
        first = self.first_repetition(field).partition(self.delimiters.component)[0]
        return self.text(first.partition(self.delimiters.subcomponent)[0]).strip()


def read(raw: bytes, *, charset: str, limits: LimitSettings, lenient: bool = False) -> Message:
    """The message that the bytes are, split into segments.

    `charset` is the feed's character set, used where MSH-18 is empty. Raises Refused with the
    reason where the bytes are no HL7 v2 message or weigh more than the limits allow. A `lenient`
    reading passes over lines that are no segment and bytes that are no text.
    """
    if len(raw) > limits.frame_bytes:
        reason = f"The message is longer than {limits.frame_bytes} bytes."
        raise envelope_fault("MSH^1", TOO_LONG, reason)
    if raw.startswith(_ORDINARY_START) and raw.isascii():
        message = _read_ordinary(raw, charset, limits)
        if message is not None:
            return message
    return read_any(raw, charset=charset, limits=limits, lenient=lenient)


def read_any(raw: bytes, *, charset: str, limits: LimitSettings, lenient: bool = False) -> Message:
    """As `read`, for bytes of at most the longest length: by the rules for any message.

    `read` has a shorter way for messages about which there is nothing to settle or to refuse.
    """
    if not raw.startswith(b"MSH"):
        raw = _without_lead(raw)
    oddities: tuple[tuple[str, str], ...] = ()
    try:
        text, codec, guessed = _decoded(raw, charset)
    except Refused:
        if not lenient or len(raw) < _SHORTEST:
            raise
        (text, codec, guessed), oddities = decode_anyhow(raw, charset), (_REPLACED,)
    if "\x00" in text or "\x0b" in text or "\x1c" in text:
        raise envelope_fault("MSH^1", DATA_TYPE, "The message contains a NUL, VT or FS byte.")
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    delimiters = _delimiters(text)
    # A text shorter than the smallest limit cannot hold more of anything than that.
    if len(raw) >= min(limits.fields, limits.repetitions, limits.segments, limits.field_bytes):
        _check_counts(text, len(raw), delimiters, limits)
    lines = text.split("\r")
    if lenient and (kept := _segments_only(lines, delimiters)) is not None:
        lines, oddities = kept, (*oddities, _PASSED_OVER)
    shape = _shape_of(lines, delimiters)
    if text.find(delimiters.escape, _SHORTEST + 3) > 0 and hides_a_nul(text, delimiters.escape):
        raise content_fault("MSH^1", DATA_TYPE, "An escape sequence stands for a NUL byte.")
    header = lines[0].split(delimiters.field) + _EMPTY
    standard = delimiters is _STANDARD
    return Message(lines, shape, delimiters, codec, guessed, header, standard, oddities)


def _read_ordinary(raw: bytes, charset: str, limits: LimitSettings) -> Message | None:
    """A message in ASCII with the usual delimiters and segments; None for any other.

    Whatever would have to be refused, replaced or passed over is left to `read_any`.
    """
    text = raw.decode("ascii")
    if "\x00" in text or "\x0b" in text or "\x1c" in text:
        return None
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    lines = text.split("\r", limits.segments)
    size, most = len(text), limits.fields
    if len(lines) > limits.segments or size > limits.field_bytes or size > _LONGEST_HEADER:
        return None
    if not lines[-1]:
        lines.pop()
    shape = _shape_of_ordinary(lines)
    # Counting takes ten times as long as finding out that there is nothing to count.
    if shape is None or ("~" in text and text.count("~") > limits.repetitions):
        return None
    # A line of a thousand characters has no more than a thousand fields.
    if size > most and max(map(len, lines)) > most and max([n.count("|") for n in lines]) > most:
        return None
    header = lines[0].split("|")
    header += _EMPTY
    declared = header[17] or charset
    codec = CODECS.get(declared) or CODECS.get(declared.upper())
    if codec is None or codec in SEVEN_BIT:
        return None
    if text.find("\\", _SHORTEST + 3) > 0 and hides_a_nul(text, "\\"):
        return None
    ends = size - 1 if text[-1] == "\r" else size
    tail = text[len(lines[0]) : ends]
    return Message(lines, shape, _STANDARD, codec, False, header, True, (), tail)


def _without_lead(raw: bytes) -> bytes:
    """The bytes from MSH on; a byte order mark and blanks may stand before it."""
    if starts_as_utf16(raw):
        raise envelope_fault("MSH^1", DATA_TYPE, "UTF-16 and UTF-32 are not taken; send UTF-8.")
    raw = raw.lstrip(b" \t\r\n").removeprefix(_BYTE_ORDER_MARK).lstrip(b" \t\r\n")
    if raw.startswith((b"FHS", b"BHS")):
        reason = "A batch is taken from files and over HTTP; here send one message at a time."
        raise envelope_fault("MSH^1", SEGMENT_SEQUENCE, reason)
    if not raw.startswith(b"MSH"):
        raise envelope_fault("MSH^1", SEGMENT_SEQUENCE, _why_not_msh(raw))
    return raw


def _why_not_msh(raw: bytes) -> str:
    """What is sent in place of a message, as far as its first bytes say."""
    for start, name in _COMPRESSED.items():
        if raw.startswith(start):
            return f"The bytes are compressed ({name}); send them unpacked."
    return "The message does not begin with MSH."


def _decoded(raw: bytes, charset: str) -> tuple[str, str, bool]:
    """The text, its codec and whether the codec was guessed; MSH-18 binds where it is filled."""
    if len(raw) < _SHORTEST:
        raise envelope_fault("MSH^1", REQUIRED_FIELD, "The message ends within its MSH segment.")
    ending = raw.find(b"\r", 0, _LONGEST_HEADER)
    header = raw[: ending if ending > 0 else _LONGEST_HEADER].partition(b"\n")[0]
    declared = ""
    if header.count(raw[3:4]) > 16:
        declared = header.split(raw[3:4], 18)[17].decode("iso8859-1")
        if declared not in CODECS:
            # MSH-18 repeats where there are alternate character sets; the first is in force.
            declared = declared.partition(chr(raw[5]))[0]
    if raw.isascii() and (codec := codec_named(declared or charset)) not in SEVEN_BIT:
        return raw.decode("ascii"), codec, False
    return decode(raw, declared, charset)


def _delimiters(text: str) -> Delimiters:
    if text.startswith("MSH|^~\\&|"):
        return _STANDARD
    field = text[3]
    encoding = text[4:10].partition(field)[0].partition("\r")[0]
    if not 1 <= len(encoding) <= 5:
        raise envelope_fault("MSH^1^2", REQUIRED_FIELD, "MSH-2 must name one to five delimiters.")
    used = field + encoding
    if len(set(used)) != len(used):
        raise envelope_fault("MSH^1^2", DATA_TYPE, "MSH-1 and MSH-2 name one delimiter twice.")
    if not used.isascii() or not used.isprintable() or any(m.isalnum() or m == " " for m in used):
        raise envelope_fault(
            "MSH^1^2", DATA_TYPE, "A delimiter of MSH-1 or MSH-2 is a letter, a digit or a blank."
        )
    return Delimiters(*used.ljust(6, ABSENT))


def _check_counts(text: str, size: int, delimiters: Delimiters, limits: LimitSettings) -> None:
    """Refuse what weighs too much, by counting only: nothing has been split yet."""
    if text.count("\r") > limits.segments:
        reason = f"The message has more than {limits.segments} segments."
        raise content_fault("MSH^1", TOO_LONG, reason)
    if (
        size > limits.field_bytes
        or text.count(delimiters.field) > limits.fields
        or text.count(delimiters.repetition) > limits.repetitions
    ):
        _check_each_segment(text, delimiters, limits)


def _check_each_segment(text: str, delimiters: Delimiters, limits: LimitSettings) -> None:
    lines = text.split("\r")
    # A report of a hundred results is long without any line of it being so.
    if (
        max(map(len, lines)) * 4 <= limits.field_bytes
        and max([line.count(delimiters.field) for line in lines]) <= limits.fields
        and max([line.count(delimiters.repetition) for line in lines]) < limits.repetitions
    ):
        return
    seen: dict[str, int] = {}
    for line in lines:
        name = line[:3] if _is_name(line[:3]) else "MSH"
        seen[name] = seen.get(name, 0) + 1
        if line.count(delimiters.field) > limits.fields:
            reason = f"The segment has more than {limits.fields} fields."
            raise content_fault(f"{name}^{seen[name]}", TOO_LONG, reason)
        if len(line) * 4 > limits.field_bytes or (
            line.count(delimiters.repetition) >= limits.repetitions
        ):
            _check_each_field(line, f"{name}^{seen[name]}", delimiters, limits)


def _check_each_field(line: str, where: str, delimiters: Delimiters, limits: LimitSettings) -> None:
    in_header = where.startswith("MSH")
    for number, field in enumerate(line.split(delimiters.field), start=int(in_header)):
        if in_header and number == 2:
            continue
        if len(field.encode()) > limits.field_bytes:
            reason = f"The field is longer than {limits.field_bytes} bytes."
            raise content_fault(f"{where}^{number}", TOO_LONG, reason)
        if field.count(delimiters.repetition) >= limits.repetitions:
            reason = f"The field has more than {limits.repetitions} repetitions."
            raise content_fault(f"{where}^{number}", TOO_LONG, reason)


def _shape_of_ordinary(lines: list[str]) -> Shape | None:
    """The shape of segments that the standard names; None where any line is something else."""
    names = tuple(map(_WITH_SEPARATOR, lines))
    shape = _SHAPES.get(names)
    if shape is None and _ORDINARY.issuperset(names) and names.count("MSH|") == 1:
        shape = _shape(tuple([name[:3] for name in names]))
        if len(names) <= _LONGEST_SHAPE:
            if len(_SHAPES) >= _KNOWN_SHAPES:
                _SHAPES.clear()
            _SHAPES[names] = shape
    return shape


def _shape(names: tuple[str, ...]) -> Shape:
    first = {name: at for at, name in reversed(tuple(enumerate(names)))}
    repeated = frozenset(first) if len(first) < len(names) else frozenset()
    return Shape(names, first, frozenset(name for name in repeated if names.count(name) > 1))


def _shape_of(lines: list[str], delimiters: Delimiters) -> Shape:
    """The shape of the segments. Blank lines are dropped and indents removed in place.

    A line that does not open with a segment name refuses the message, and so does a second MSH.
    """
    if not lines[-1]:
        lines.pop()
    if delimiters is _STANDARD and (shape := _shape_of_ordinary(lines)) is not None:
        return shape
    lines[:] = [line.lstrip(" \t") for line in lines if line.strip(" \t")]
    for number, line in enumerate(lines, start=1):
        name = line[:3]
        if not _is_name(name) or line[3:4] not in ("", delimiters.field):
            reason = f"Line {number} of the message is no segment: it has no segment name."
            raise content_fault("MSH^1", SEGMENT_SEQUENCE, reason)
        if name == "MSH" and number > 1:
            reason = "The message holds a second MSH; send one message per frame."
            raise envelope_fault("MSH^2", SEGMENT_SEQUENCE, reason)
    return _shape(tuple([line[:3] for line in lines]))


def _segments_only(lines: list[str], delimiters: Delimiters) -> list[str] | None:
    """The lines that are segments; None where all of them are (blank ones aside)."""
    kept = [
        line
        for line in lines
        if _is_name(line.lstrip(" \t")[:3]) and line.lstrip(" \t")[3:4] in ("", delimiters.field)
    ]
    passed_over = len(lines) - len(kept)
    return kept if passed_over > sum(not line.strip(" \t") for line in lines) else None


def _is_name(name: str) -> bool:
    return len(name) == 3 and name.isascii() and name.isalnum() and name.isupper()
