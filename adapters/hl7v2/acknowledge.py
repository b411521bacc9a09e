"""The answer to a message: MSH, MSA and one ERR for every reason, in ER7.

`answering` says which answers there are and when; here each of them is written.

It can answer anything, garbage included. Nothing of the sender's message is repeated but routing
names, the control id, the trigger event, the processing id and the version, and those are escaped.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from adapters.hl7v2.charsets import CODECS
from adapters.hl7v2.codes import ACKNOWLEDGEMENTS
from adapters.hl7v2.header import Header, peek
from twin_core.events import Fault, Rejection, Translation

_OWN_NAME = "WARDTWIN"
_EVENT = re.compile(r"[A-Z0-9]{3}", re.ASCII)
_VERSION = re.compile(r"2(?:\.[0-9]){1,2}", re.ASCII)
_PROCESSING_ID = re.compile(r"[A-Z]", re.ASCII)
_NEWEST_WITHOUT_STRUCTURE = "2.3"
_NEWEST_WITHOUT_EVENT = "2.2"
_OLDEST_WITH_ERR_2 = "2.5"
_ANSWERS = tuple(ACKNOWLEDGEMENTS)
_LONGEST_ECHO = 1024
_ROUTES = 256
"""Outlines of answers that are remembered: most senders send a few kinds of messages."""
_ORDINARY = b"MSH|^~\\&|"
_IN_AN_INSTANT = b"0123456789+-."
_BREAKS = re.compile(rb"[\r\n\x0b\x1c\x00]")
_UNSAFE = re.compile(r"[|^~\\&\x00-\x1f\x7f]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPED = {"|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "\\": "\\E\\", "&": "\\T\\"}
_MEANINGS = {"F": "field", "S": "component", "R": "repetition", "E": "escape", "T": "subcomponent"}
ERROR_CODES = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "104": "Value too long",
    "198": "Non-conformant cardinality",
    "199": "Other HL7 error",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
"""HL7 table 0357 in its own words."""


def acknowledge(
    raw: bytes, answer_code: str, faults: Sequence[Fault], *, now: datetime, ack_id: str
) -> bytes:
    """The acknowledgement of the bytes `raw` by any code of table 0008, without MLLP framing."""
    return acknowledgement(peek(raw) or Header(), answer_code, faults, now=now, ack_id=ack_id)


def acknowledgement(
    header: Header, answer_code: str, faults: Sequence[Fault], *, now: datetime, ack_id: str
) -> bytes:
    """The acknowledgement of a message with this header, by any code of HL7 table 0008.

    `now` is MSH-7 and `ack_id` is MSH-10 of the answer. Standard delimiters are used whatever the
    sender uses; the bytes that are echoed keep the sender's character set, which MSH-18 repeats.
    In enhanced mode the answer says that it wants none itself.
    """
    outline = _outline(replace(header, control_id=""))
    control_id = header.control_id[:_LONGEST_ECHO]
    if not (control_id.isalnum() and control_id.isascii()):
        control_id = Echo(header, ascii_only=outline.ascii_only).verbatim(header.control_id)
    at = _stamp(now.replace(microsecond=0), now.utcoffset())
    msh = f"{outline.routed}|{at}||{outline.type}|{escaped(ack_id)}|{outline.rest}"
    segments = [msh, f"MSA|{answer_code}|{control_id}"]
    segments += [_err(fault, dated=outline.version < _OLDEST_WITH_ERR_2) for fault in faults]
    return _sent("\r".join(segments) + "\r")


def plain_acceptance(raw: bytes, at: bytes, ack_id: str) -> bytes | None:
    """What `acknowledgement` answers with AA to a message that asks for the original mode, framed.

    `at` is MSH-7 of the answer (`stamped`), and `ack_id` is alphanumeric but for points. None where
    MSH is anything but ordinary: standard delimiters, a plain control id, one of the first lines
    that end with CR. Nearly every message is, and is answered in a fifth of the time.
    """
    end = raw.find(b"\r", 0, _LONGEST_ECHO)
    if end < 0 or not raw.startswith(_ORDINARY):
        return None
    fields = raw[len(_ORDINARY) : end].split(b"|", 8)
    if len(fields) < 9:
        return None
    sender, facility, own, own_facility, sent, security, event, control_id, rest = fields
    if not control_id.isalnum() or sent.strip(_IN_AN_INSTANT):
        return None
    plain = _plain_parts((sender, facility, own, own_facility, security, event, rest))
    if plain is None:
        return None
    return b"".join((plain[0], at, plain[1], ack_id.encode(), plain[2], control_id, b"\r\x1c\r"))


@lru_cache(maxsize=_ROUTES)
def _plain_parts(route: tuple[bytes, ...]) -> tuple[bytes, bytes, bytes] | None:
    """What stands before MSH-7, MSH-10 and MSA-2 of answers to messages with these fields of MSH.

    Its own MSH-7 and MSH-10 are not among them. None where the sender names the answers it wants.
    """
    if any(_BREAKS.search(field) for field in route):
        return None
    *named, security, event, rest = route
    header = peek(_ORDINARY + b"|".join((*named, b"", security, event, b"", rest)))
    if header is None or header.accept or header.application:
        return None
    outline = _outline(header)
    before, between = f"\x0b{outline.routed}|", f"||{outline.type}|"
    return _sent(before), _sent(between), _sent(f"|{outline.rest}\rMSA|AA|")


def _sent(text: str) -> bytes:
    return text.encode("iso8859-1", "replace")


def stamped(now: datetime) -> bytes:
    """An instant as MSH-7 of an answer."""
    return _stamp(now.replace(microsecond=0), now.utcoffset()).encode()


class _Outline(NamedTuple):
    """What the answers to all messages of one route have in common.

    `routed` is MSH-1 to 6, `type` MSH-9, and `rest` what follows MSH-10.
    """

    routed: str
    type: str
    rest: str
    version: str
    ascii_only: bool


@lru_cache(maxsize=_ROUTES)
def _outline(header: Header) -> _Outline:
    """The outline of answers to messages with this header, which has no control id."""
    charset = header.charset if header.charset in CODECS else ""
    ascii_only = bool(header.charset) and not charset
    echo = Echo(header, ascii_only=ascii_only)
    version = header.version if _VERSION.fullmatch(header.version) else "2.5.1"
    routed = [
        "MSH|^~\\&",
        echo.routing(header.receiving_application) or _OWN_NAME,
        echo.routing(header.receiving_facility),
        echo.routing(header.sending_application),
        echo.routing(header.sending_facility),
    ]
    rest = [
        header.processing_id if _PROCESSING_ID.fullmatch(header.processing_id) else "P",
        version,
    ]
    enhanced = "NE" if header.accept or header.application else ""
    if charset or enhanced:
        rest += ["", "", enhanced, enhanced, "", charset]
    type_ = _type(header.trigger_event, version)
    return _Outline("|".join(routed), type_, "|".join(rest).rstrip("|"), version, ascii_only)


@lru_cache(maxsize=8)
def _stamp(now: datetime, offset: timedelta | None) -> str:
    # Instants are equal whatever their offset is, and what is written is not.
    return f"{now:%Y%m%d%H%M%S%z}"


def is_acknowledgement(outcome: Translation | Rejection) -> bool:
    """Whether a message is an answer itself, by MSH-9: it is never answered."""
    event = (outcome if isinstance(outcome, Rejection) else outcome.envelope).trigger_event
    return event.startswith(_ANSWERS) and event.partition("^")[0] in ACKNOWLEDGEMENTS


class Echo:
    """Repeats parts of a sender's MSH in standard delimiters."""

    def __init__(self, header: Header, *, ascii_only: bool) -> None:
        self._header = header
        self._ascii_only = ascii_only
        self._mark = header.escape

    def routing(self, field: str) -> str:
        """An application or facility, component by component."""
        if field.isalnum() and field.isascii():
            return field
        first = field.split(self._header.repetition, 1)[0]
        return "^".join(self.text(part) for part in first.split(self._header.component))

    def text(self, part: str) -> str:
        """A text, its delimiters escaped; what the sender had escaped stays escaped."""
        if part.isalnum() and part.isascii():
            return part
        part = part[:_LONGEST_ECHO]
        if self._ascii_only:
            part = part.encode("ascii", "replace").decode("ascii")
        if self._mark in part and self._mark != "\x00":
            mark = re.escape(self._mark)
            part = re.sub(f"{mark}([FSRTE]){mark}", self._meant, part)
        return escaped(part)

    def verbatim(self, field: str) -> str:
        """A field as it was sent, for whoever compares it byte by byte.

        Of a sender with delimiters of its own what they mean stays, and so do other escapes.
        """
        field = field[:_LONGEST_ECHO]
        header = self._header
        marks = (header.component, header.repetition, header.escape, header.subcomponent)
        if self._ascii_only:
            field = field.encode("ascii", "replace").decode("ascii")
        if header.field == "|" and marks == ("^", "~", "\\", "&"):
            return _CONTROLS.sub(_in_hexadecimal, field)
        if self._mark not in field or self._mark == "\x00":
            return self.text(field)
        mark = re.escape(self._mark)
        parts = re.split(f"({mark}(?:[HNP]|X[0-9A-Fa-f]+|[.][a-z]{{2}}[+-]?[0-9]*){mark})", field)
        return "".join(
            f"\\{part[1:-1]}\\" if n % 2 else self.text(part) for n, part in enumerate(parts)
        )

    def _meant(self, found: re.Match[str]) -> str:
        mark: str = getattr(self._header, _MEANINGS[found[1]])
        return mark


def escaped(text: str) -> str:
    """Text that holds no standard delimiter and no control character any more."""
    return _UNSAFE.sub(lambda found: _ESCAPED.get(found[0]) or _in_hexadecimal(found), text)


def _in_hexadecimal(found: re.Match[str]) -> str:
    return f"\\X{ord(found[0]):02X}\\"


def _type(trigger_event: str, version: str) -> str:
    """MSH-9 of the answer: with the sender's trigger event, as its version of HL7 writes it."""
    event = trigger_event.partition("^")[2]
    if version <= _NEWEST_WITHOUT_EVENT or not _EVENT.fullmatch(event):
        return "ACK"
    if version <= _NEWEST_WITHOUT_STRUCTURE:
        return f"ACK^{event}"
    return f"ACK^{event}^ACK"


def _err(fault: Fault, *, dated: bool) -> str:
    """ERR-2 where, ERR-3 table 0357, ERR-4 severity, ERR-8 what to do.

    Before version 2.5 there was only ERR-1, which holds segment, sequence, field and code.
    """
    where = [escaped(part) for part in fault.where.split("^")]
    code, text = escaped(fault.code), ERROR_CODES.get(fault.code, "Error")
    old = "^".join([*where, "", ""][:3]) + f"^{code}&{text}&HL70357" if dated else ""
    return f"ERR|{old}|{'^'.join(where)}|{code}^{text}^HL70357|E||||{escaped(fault.reason)}"
