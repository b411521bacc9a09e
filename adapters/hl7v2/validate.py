"""What the HL7 v2 standard says of a message, with hl7apy as the judge.

For feeds that are configured strict, and to explain what is in quarantine. hl7apy is slow and is
imported on first use; it is never on the way of an ordinary message.
"""

import collections
import functools
import pickle
import re
from pathlib import Path
from typing import Any

from adapters.hl7v2.charsets import CODECS
from adapters.hl7v2.header import peek
from adapters.hl7v2.refusal import (
    DATA_TYPE,
    REQUIRED_FIELD,
    SEGMENT_SEQUENCE,
    TABLE_VALUE,
    TOO_LONG,
    UNSUPPORTED_MESSAGE,
    UNSUPPORTED_VERSION,
)
from twin_core.errors import ConfigurationError
from twin_core.events import Fault
from twin_core.settings import Strictness

WRONGLY_REFUSED = frozenset({"A17", "A24", "A37"})
"""Events whose structure has two PID segments: hl7apy knows one, and refuses valid messages."""

_LARGEST_JUDGED = 256 * 1024
_WHERE = "MSH^1"
_PLAIN_CLASSES = frozenset({("collections", "OrderedDict"), ("collections", "defaultdict")})
_REASONS: dict[str, tuple[str, str]] = {
    # hl7apy's exceptions -> table 0357 and what to do. Their own texts quote field values.
    "MaxLengthReached": (TOO_LONG, "A field is longer than its data type allows."),
    "InvalidDataType": (DATA_TYPE, "A field does not have its data type."),
    "InvalidDateFormat": (DATA_TYPE, "A date or time is not in HL7 format."),
    "InvalidDateOffset": (DATA_TYPE, "The offset of a date or time is not in HL7 format."),
    "InvalidHL7v2Version": (UNSUPPORTED_VERSION, "MSH-12 names no known version of HL7 v2."),
    "UnsupportedVersion": (
        UNSUPPORTED_VERSION,
        "MSH-12 names a version of HL7 v2 that is not known.",
    ),
    "InvalidEncodingChars": (DATA_TYPE, "MSH-1 and MSH-2 do not name usable delimiters."),
    "ChildNotFound": (SEGMENT_SEQUENCE, "A segment or field is not part of this message type."),
    "ChildNotValid": (SEGMENT_SEQUENCE, "A segment or field does not belong where it stands."),
    "MaxChildLimitReached": (SEGMENT_SEQUENCE, "A segment or field repeats more than it may."),
    "ParserError": (SEGMENT_SEQUENCE, "The message cannot be taken apart."),
    "MessageProfileNotFound": (UNSUPPORTED_MESSAGE, "The profile has no such message structure."),
    "InvalidName": (SEGMENT_SEQUENCE, "A segment, field or component has no valid name."),
}
_MISSING = re.compile(r"Missing required child ([A-Z0-9_]+)\.([A-Z0-9_]+)", re.ASCII)


def explain_reject(raw: bytes) -> tuple[Fault, ...]:
    """What the standard objects to in a message from quarantine; empty where it does not."""
    return validate(raw, "strict")


def validate(
    raw: bytes, strictness: Strictness = "strict", profile: Path | None = None
) -> tuple[Fault, ...]:
    """The objections of the standard to a message; whatever the bytes are, they never raise.

    `lenient` objects to nothing, `standard` to what cannot be parsed at all, `strict` also to
    missing required parts, unknown parts and values longer than the standard allows. A message
    `profile` takes the place of the standard's own structures. Raises ConfigurationError for a
    profile that cannot be read.
    """
    if strictness == "lenient":
        return ()
    header = peek(raw)
    if header is None:
        return (Fault(where=_WHERE, code=SEGMENT_SEQUENCE, reason="There is no MSH segment."),)
    if profile is None and header.trigger_event.partition("^")[2] in WRONGLY_REFUSED:
        return ()
    if len(raw) > _LARGEST_JUDGED:
        return (Fault(where=_WHERE, code=TOO_LONG, reason="The message is too long to judge."),)
    try:
        text = raw.decode(CODECS.get(header.charset, "utf-8"))
    except UnicodeDecodeError:
        reason = "The bytes are not text in the declared character set."
        return (Fault(where="MSH^1^18", code=DATA_TYPE, reason=reason),)
    return _judged(text, strictness, None if profile is None else message_profile(profile))


def _judged(text: str, strictness: Strictness, profile: Any) -> tuple[Fault, ...]:
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.parser import parse_message

    text = text.replace("\r\n", "\r").replace("\n", "\r").strip()
    strict = strictness == "strict"
    level = VALIDATION_LEVEL.STRICT if strict else VALIDATION_LEVEL.TOLERANT
    try:
        message = parse_message(text, validation_level=level, message_profile=profile)
        if strict:
            message.validate()
    # hl7apy raises its own exceptions, and on garbage also any of Python's (AttributeError,
    # KeyError, RecursionError, ...): each of them is its way of refusing the message.
    except Exception as refusal:
        return (_fault(refusal),)
    return ()


class _Plain(pickle.Unpickler):
    """Reads a profile, which is made of tuples, lists, dictionaries and texts, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN_CLASSES:
            return getattr(collections, name)
        raise pickle.UnpicklingError("it holds more than plain values")


@functools.lru_cache(maxsize=16)
def message_profile(path: Path) -> Any:
    """A message profile as hl7apy's own `hl7apy_profile_parser` writes it.

    It is a pickle, which may hold a program: here it may hold only plain values. Raises
    ConfigurationError for a file that cannot be read or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _Plain(file).load()
    # A damaged pickle raises any of half of Python's exceptions.
    except Exception as error:
        raise ConfigurationError(
            f"The message profile {path} cannot be read.",
            why=f"{type(error).__name__}: {error}.",
            do="Make it anew with hl7apy_profile_parser from the profile's XML.",
        ) from error


def _fault(refusal: Exception) -> Fault:
    """The refusal in our own words; hl7apy's may quote what the fields hold."""
    kind = type(refusal).__name__
    missing = _MISSING.fullmatch(str(refusal)) if kind == "ValidationError" else None
    if missing is not None:
        code, reason = REQUIRED_FIELD, f"{missing[1]} needs {missing[2]}, which is missing."
    elif kind == "ValidationError":
        code, reason = TABLE_VALUE, "A part of the message is not as its type demands."
    else:
        unknown = (SEGMENT_SEQUENCE, "The message cannot be read by the standard's grammar.")
        code, reason = _REASONS.get(kind, unknown)
    return Fault(where=_WHERE, code=code, reason=f"Refused by the standard: {reason}")
