"""Which bytes are which letters: HL7 table 0211 (MSH-18) and what feeds really send.

Names are looked up in the table of `twin_core.charsets` only and never handed to Python's codec
registry, because they come from the sender.
"""

import codecs
import re

from adapters.hl7v2.refusal import (
    DATA_TYPE,
    TABLE_VALUE,
    Refused,
    content_fault,
    envelope_fault,
)
from twin_core.charsets import BY_NAME

CODECS = BY_NAME
SEVEN_BIT = frozenset({"iso2022_jp", "iso2022_jp_1"})
"""Codecs whose text is made of ASCII bytes, so that ASCII bytes are not ASCII text."""

FALLBACK = "cp1252"
"""What an undeclared feed sends when it does not send UTF-8 (a superset of ISO 8859-1's text)."""

# Encodings of UTF-8 that no decoder may accept: overlong forms smuggle delimiters past a check,
# and halves of surrogate pairs are not characters. Western text does not contain these bytes.
_SMUGGLED = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}"
    rb"|\xed[\xa0-\xbf][\x80-\xbf]|\xf8[\x80-\x87][\x80-\xbf]{3}|\xfc[\x80-\x83][\x80-\xbf]{4}"
)
_WHERE = "MSH^1^18"


def codec_named(charset: str) -> str:
    """The codec of a character set as MSH-18 or the feed's settings name it.

    Raises Refused (AR) for a name that this table does not know.
    """
    codec = CODECS.get(charset) or CODECS.get(charset.strip().upper())
    if codec is None:
        raise envelope_fault(
            _WHERE,
            TABLE_VALUE,
            "The character set is not supported; declare UNICODE UTF-8, 8859/1 or ASCII.",
        )
    return codec


def decode(raw: bytes, declared: str, default: str) -> tuple[str, str, bool]:
    """The text, the codec that read it, and whether that codec had to be guessed.

    A declared character set is binding. An undeclared one is the feed's default; where that is
    UTF-8 and the bytes are not, the text is read as Windows-1252, as such feeds intend.
    """
    codec = codec_named(declared or default)
    try:
        return raw.decode(codec), codec, False
    except UnicodeDecodeError:
        if declared or codec not in {"utf-8", "ascii"} or _SMUGGLED.search(raw):
            raise _undecodable(bool(declared)) from None
    try:
        return raw.decode(FALLBACK), FALLBACK, True
    except UnicodeDecodeError:
        raise _undecodable(False) from None


def decode_anyhow(raw: bytes, default: str) -> tuple[str, str, bool]:
    """The text as a lenient feed reads it: what is no text becomes U+FFFD.

    Windows-1252 and its like would find a letter in every byte, so UTF-8 is tried wherever the
    feed's own character set does not read all of it.
    """
    codec = CODECS.get(default.strip().upper(), "utf-8")
    try:
        return raw.decode(codec), codec, False
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), "utf-8", False


def starts_as_utf16(raw: bytes) -> bool:
    """Whether the bytes are UTF-16 or UTF-32, which ER7 over MLLP cannot carry."""
    return raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or raw[:6] in {
        b"M\x00S\x00H\x00",
        b"\x00M\x00S\x00H",
    }


def _undecodable(declared: bool) -> Refused:
    origin = "declared in MSH-18" if declared else "configured for the feed"
    return content_fault(
        _WHERE,
        DATA_TYPE,
        f"Some bytes are not text in the character set {origin}; "
        "send the text in that character set or declare the right one.",
    )
