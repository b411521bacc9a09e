"""A message field by field, by the names of the standard, with what is wrong where it is wrong.

Reading here never fails: broken messages are what people want explained. Bytes that are no text,
lines that are no segments and messages without a header are shown as far as they can be read.
Values that `adapters.disclosure` does not pass are masked unless they are asked for.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from adapters.disclosure import is_encoding, masked, passes
from adapters.hl7v2.charsets import CODECS, FALLBACK
from adapters.hl7v2.header import Header, peek
from adapters.hl7v2.names import (
    NAMELESS,
    Named,
    datatype_named,
    fields_of,
    segment_name,
    trigger_name,
    version_named,
)
from twin_core.events import Fault, NotedFinding

MOST_PARTS = 20_000
"""Fields, repetitions and components that are taken apart; a longer message is cut, and says so."""

_LINES = re.compile(r"\r\n|\r|\n")
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)
_ERROR_LOCATION = re.compile(r"\b([A-Z][A-Z0-9]{2})\^(\d+)(?:\^(\d+))?", re.ASCII)
_FIELD_NUMBER = re.compile(r"\b([A-Z][A-Z0-9]{2})-(\d+)", re.ASCII)
_UNTYPED = ("OBX", 5)
"""OBX-5: its data type stands in OBX-2, and nothing in it passes unmasked."""


class Mark(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Something wrong (a fault: the message is refused) or odd (a finding) at a place."""

    kind: str
    where: str
    code: str
    """Table 0357 code of a fault, kind of a finding."""
    reason: str


class Part(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A component or subcomponent: its number, name, type and value as sent, or its shape."""

    number: int
    name: str = ""
    datatype: str = ""
    value: str = ""
    masked: bool = False
    parts: "tuple[Part, ...]" = ()


class ExplainedField(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A field with every repetition. `value` is the whole field, masked in part or as a whole."""

    number: int
    name: str = ""
    datatype: str = ""
    value: str = ""
    masked: bool = False
    repetitions: tuple[Part, ...] = ()
    marks: tuple[Mark, ...] = ()


class ExplainedSegment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A segment: its name, the how manieth of its name it is, and its fields that say something.

    A line that is no segment has no name and one field.
    """

    segment: str
    name: str
    sequence: int
    line: int
    fields: tuple[ExplainedField, ...]
    marks: tuple[Mark, ...] = ()


class ExplainedMessage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A message by the names of the standard. `marks` are those that belong to no segment here."""

    trigger_event: str
    trigger_name: str
    version: str
    """MSH-12 as sent."""
    named_by: str
    """The version whose names are used."""
    segments: tuple[ExplainedSegment, ...]
    marks: tuple[Mark, ...] = ()
    phi: bool = False
    cut: bool = False


class _Place(NamedTuple):
    """Where a mark points: segment, the how manieth, and field; 0 for the segment itself."""

    segment: str
    sequence: int
    field: int


class _Knife:
    """How a message is taken apart: by its own delimiters, into no more parts than agreed."""

    __slots__ = ("cut", "escape", "header", "known", "left", "phi", "version")

    def __init__(
        self,
        header: Header,
        version: str,
        phi: bool,
        most_parts: int,
        known: frozenset[str] = frozenset(),
    ) -> None:
        self.header, self.version, self.phi = header, version, phi
        self.left, self.cut, self.known = most_parts, False, known
        self.escape = header.escape if is_encoding(header.escape) else ""

    def joined(self, separator: str, parts: Iterable[Part]) -> str:
        """The parts as one; a letter that separates could be one of a name."""
        return (separator if self.phi else masked(separator)).join(part.value for part in parts)

    def split(self, text: str, separator: str) -> list[str]:
        """The parts of a text; the last holds the rest where there would be too many."""
        parts = text.split(separator, max(self.left, 0))
        self.left -= len(parts) - 1
        self.cut = self.cut or separator in parts[-1]
        return parts


def explain(
    raw: bytes,
    *,
    faults: Iterable[Fault] = (),
    findings: Iterable[NotedFinding] = (),
    phi: bool = False,
    most_parts: int = MOST_PARTS,
    known: frozenset[str] = frozenset(),
) -> ExplainedMessage:
    """The message by names, with faults and findings at the fields they are about.

    `known` are words of the site that may be shown where a place, service or authority stands.
    """
    header = peek(raw) or Header()
    knife = _Knife(header, version_named(header.version), phi, most_parts, known)
    marked = _marked(faults, findings)
    segments = tuple(_segments(_text(raw, header), marked, knife))
    return ExplainedMessage(
        trigger_event=header.trigger_event if _is_trigger(header.trigger_event) else "",
        trigger_name=trigger_name(header.trigger_event),
        version=header.version if passes(header.version, "MSH-12") else "",
        named_by=knife.version,
        segments=segments,
        marks=tuple(mark for marks in marked.values() for mark in marks),
        phi=phi,
        cut=knife.cut,
    )


def _is_trigger(text: str) -> bool:
    return re.fullmatch(r"[A-Z0-9]{0,7}\^?[A-Z0-9]{0,7}", text, re.ASCII) is not None


def _segments(
    text: str, marked: dict[_Place, list[Mark]], knife: _Knife
) -> Iterator[ExplainedSegment]:
    seen: dict[str, int] = {}
    lines = _LINES.split(text.strip("\x0b\x1c\r\n"), max(knife.left, 1))
    for number, line in enumerate((line for line in lines if line.strip()), start=1):
        if knife.left <= 0:
            knife.cut = True
            return
        knife.left -= 1
        line = line.lstrip(" \t\ufeff")
        name = _segment_of(line, knife.header)
        seen[name] = seen.get(name, 0) + 1
        yield _segment(line, name, seen[name], number, marked, knife)


def _text(raw: bytes, header: Header) -> str:
    """The bytes as text by whatever character set reads them; what none reads is a mark."""
    declared = CODECS.get(header.charset.strip().upper(), "utf-8")
    for codec in (declared, "utf-8", FALLBACK):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            continue
    return raw.decode(declared, "replace")


def _segment_of(line: str, header: Header) -> str:
    name, after = line[:3], line[3:4]
    return name if _NAME.fullmatch(name) and after in ("", header.field) else ""


# --- one segment -------------------------------------------------------------------------------


def _segment(
    line: str,
    name: str,
    sequence: int,
    number: int,
    marked: dict[_Place, list[Mark]],
    knife: _Knife,
) -> ExplainedSegment:
    texts = _fields(line, name, knife)
    names = fields_of(name, knife.version) if name else ()
    value_type = texts.get(2, "") if name == "OBX" else ""
    wanted = {place.field for place in marked if place[:2] == (name, sequence)}
    fields = [
        _field(
            texts.get(at, ""),
            name,
            at,
            _name_of(names, name, at, value_type, knife.version),
            tuple(marked.pop(_Place(name, sequence, at), ())),
            knife,
        )
        for at in sorted({at for at, text in texts.items() if text} | (wanted - {0}))
    ]
    return ExplainedSegment(
        segment=name,
        name=segment_name(name) if name else "Not a segment",
        sequence=sequence,
        line=number,
        fields=tuple(fields),
        marks=tuple(marked.pop(_Place(name, sequence, 0), ())),
    )


def _fields(line: str, name: str, knife: _Knife) -> dict[int, str]:
    """The fields of a line by number. MSH-1 is the separator itself, as in FHS and BHS."""
    if not name:
        return {1: line}
    parts = knife.split(line, knife.header.field)
    if name in ("MSH", "FHS", "BHS"):
        return {1: knife.header.field, **dict(enumerate(parts[1:], start=2))}
    return dict(enumerate(parts[1:], start=1))


def _name_of(names: Sequence[Named], segment: str, at: int, value_type: str, version: str) -> Named:
    named = names[at - 1] if 0 < at <= len(names) else NAMELESS
    if (segment, at) == _UNTYPED and value_type:
        return datatype_named(value_type, version)._replace(name=named.name)
    return named


def _field(
    text: str, segment: str, at: int, named: Named, marks: tuple[Mark, ...], knife: _Knife
) -> ExplainedField:
    if segment in ("MSH", "FHS", "BHS") and at <= 2:
        repetitions: tuple[Part, ...] = ()
        hidden = not (knife.phi or is_encoding(text))
        value = masked(text) if hidden else text
    else:
        where = f"{segment}-{at}" if segment else ""
        typed = "" if (segment, at) == _UNTYPED else named.datatype
        repetitions = tuple(
            _repetition(one, number, where, named, typed, knife)
            for number, one in enumerate(knife.split(text, knife.header.repetition), start=1)
        )
        value = knife.joined(knife.header.repetition, repetitions)
        hidden = any(map(_is_masked, repetitions))
    return ExplainedField(
        number=at,
        name=named.name,
        datatype=named.datatype,
        value=value,
        masked=hidden,
        repetitions=repetitions if text else (),
        marks=marks,
    )


def _repetition(
    text: str, number: int, where: str, named: Named, typed: str, knife: _Knife
) -> Part:
    header = knife.header
    parts = []
    for at, component in enumerate(knife.split(text, header.component), start=1):
        keys = tuple(key for key in (f"{where}.{at}", where, f"{typed}.{at}") if where)
        parts.append(_component(component, at, named.part(at), keys, knife))
    return Part(
        number=number,
        value=knife.joined(header.component, parts),
        masked=any(map(_is_masked, parts)),
        parts=tuple(part for part in parts if part.value),
    )


def _component(text: str, at: int, named: Named, keys: tuple[str, ...], knife: _Knife) -> Part:
    header = knife.header
    if header.subcomponent not in text:
        return _leaf(text, at, named, keys, knife)
    leaves = [
        _leaf(leaf, number, named.part(number), keys, knife)
        for number, leaf in enumerate(knife.split(text, header.subcomponent), start=1)
    ]
    return Part(
        number=at,
        name=named.name,
        datatype=named.datatype,
        value=knife.joined(header.subcomponent, leaves),
        masked=any(map(_is_masked, leaves)),
        parts=tuple(leaf for leaf in leaves if leaf.value),
    )


def _leaf(text: str, at: int, named: Named, keys: tuple[str, ...], knife: _Knife) -> Part:
    hidden = not (knife.phi or passes(text, *keys, known=knife.known))
    return Part(
        number=at,
        name=named.name,
        datatype=named.datatype,
        value=masked(text, knife.escape) if hidden else text,
        masked=hidden,
    )


def _is_masked(part: Part) -> bool:
    return part.masked


# --- marks -------------------------------------------------------------------------------------


def _marked(faults: Iterable[Fault], findings: Iterable[NotedFinding]) -> dict[_Place, list[Mark]]:
    """Faults and findings by the place they name; those that name none are about the message."""
    marked: dict[_Place, list[Mark]] = {}
    for fault in faults:
        mark = Mark(kind="fault", where=fault.where, code=fault.code, reason=fault.reason)
        for place in _places(fault.where):
            marked.setdefault(place, []).append(mark)
    for finding in findings:
        places = _places(finding.detail)
        named = ", ".join(f"{place.segment}-{place.field}" for place in places if place.field)
        mark = Mark(kind="finding", where=named, code=finding.kind, reason=finding.detail)
        for place in places:
            marked.setdefault(place, []).append(mark)
    return marked


def _places(text: str) -> list[_Place]:
    """`PV1^1^44` as table 0357 has it, else every `PV1-44` in the words; nowhere is the message."""
    exact = _ERROR_LOCATION.search(text)
    if exact is not None:
        return [_Place(exact[1], int(exact[2]), int(exact[3] or 0))]
    named = [_Place(found[1], 1, int(found[2])) for found in _FIELD_NUMBER.finditer(text)]
    return list(dict.fromkeys(named)) or [_Place("", 0, 0)]
