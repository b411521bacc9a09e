"""What OBX-5 says, by the data type that OBX-2 names (table 0125).

Values are kept as text beside the number or code that they are. Narrative, names and addresses,
attachments and waveforms are not kept: the raw message has them, and nothing else needs them.
"""

import re
from collections.abc import Callable
from math import isfinite
from typing import NamedTuple

from adapters.hl7v2.codings import Vocabulary
from adapters.hl7v2.er7 import Message
from adapters.hl7v2.fields import CLEARED, Reading
from adapters.hl7v2.refusal import Refused

LONGEST_TEXT = 200
"""Longer texts are narrative; it is about what the standard allowed an ST (199, chapter 2A)."""
LONGEST_VALUE = 2000
QUANTITY, CODED, TEXT = "Quantity", "CodeableConcept", "string"
_LIMIT = re.compile(r"(<=|>=|<|>)\s*(.*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_TIME_OF_DAY = re.compile(
    r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?(?:[+-]\d{4})?", re.ASCII
)
_COMPARATORS = frozenset({"<", "<=", ">=", ">"})


class Value(NamedTuple):
    """The value of one OBX, by the names of `Observation`."""

    value_type: str = ""
    value: str = ""
    value_number: float | None = None
    comparator: str = ""
    value_system: str = ""
    value_code: str = ""
    withheld: str = ""


NO_VALUE = Value()
Reader = Callable[[Reading, Vocabulary, str], Value]


def read_value(reading: Reading, terms: Vocabulary, kind: str, field: str) -> Value:
    """The value that a filled OBX-5 holds; `kind` is OBX-2."""
    if field == CLEARED:
        return NO_VALUE
    reader = _READERS.get(kind)
    if reader is None:
        if kind:
            reading.note("unknown_code", "OBX-2 is no data type of table 0125; read as text.")
        reader = _text
    return reader(reading, terms, field)


def _number(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """NM; what is no number is kept as text, with a finding."""
    number = finite(field)
    if number is not None:
        return Value(QUANTITY, field, number)
    text = reading.message.text(field).strip()
    number = finite(text)
    if number is not None:
        return Value(QUANTITY, text, number)
    limit = _LIMIT.fullmatch(text)
    if limit is not None and (number := finite(limit[2])) is not None:
        return Value(QUANTITY, text, number, limit[1])
    repetition = reading.message.delimiters.repetition
    if repetition in field and all(finite(one) is not None for one in field.split(repetition)):
        return Value(QUANTITY, _joined(field.split(repetition)))
    reading.note("invalid_number", "OBX-5 is of type NM and no number; kept as text.")
    return _text(reading, terms, field)


def finite(text: str) -> float | None:
    """A decimal number, with an exponent where a sender uses one; None for anything else."""
    if len(text) > 40 or not text.isascii():
        return None
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    if _NUMBER.fullmatch(text) is None:
        return None
    number = float(text)
    return number if isfinite(number) else None


def _structured(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """SN: comparator, number, separator, number: `>^100`, `^100^-^200`, `^1^:^128`, `^2^+`."""
    message = reading.message
    if message.delimiters.repetition in field:
        return _text(reading, terms, field)
    comparator, first, separator, second = (
        message.text(part).strip() for part in message.components(field)[:4]
    )
    value = f"{comparator}{first}{separator}{second}"[:LONGEST_VALUE]
    number = finite(first)
    if number is None or separator or second:
        kind = {"-": "Range", ":": "Ratio", "/": "Ratio"}.get(separator, TEXT) if value else ""
        return Value(kind, value)
    if comparator in _COMPARATORS:
        return Value(QUANTITY, value, number, comparator)
    return Value(QUANTITY, value, number) if comparator in ("", "=") else Value(TEXT, value)


def _coded(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """CE, CWE and their like: the first code, and the texts of all repetitions."""
    message = reading.message
    coding = terms.coding(field)
    if coding is None:
        return NO_VALUE
    text = coding.display or coding.code
    if message.delimiters.repetition in field:
        others = (terms.coding(one) for one in _repetitions(message, field))
        text = _joined([other.display or other.code for other in others if other is not None])
    return Value(CODED, text[:LONGEST_VALUE], None, "", coding.system, coding.code)


def _table_code(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """ID and IS: a bare code of a table that the message does not name."""
    code = reading.message.code(field)
    if not code:
        return NO_VALUE
    return Value(CODED, code[:LONGEST_VALUE], None, "", "", code[:LONGEST_VALUE])


def _text(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """ST and one-line TX; several repetitions or a long text are narrative."""
    message = reading.message
    if message.delimiters.repetition in field:
        return _narrative(reading, terms, field)
    text = message.text(field).strip()
    if not text:
        return NO_VALUE
    if len(text) > LONGEST_TEXT or "\n" in text or "\r" in text:
        return Value(TEXT, withheld="narrative")
    return Value(TEXT, text)


def _narrative(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """FT, and text in several parts."""
    return Value(TEXT, withheld="narrative")


def _person(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """Names, addresses and telephone numbers: whose they are is nobody's measurement."""
    return Value(TEXT, withheld="person")


def _attachment(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """ED and RP: a document, an image, or a pointer to one."""
    reading.note("payload_not_kept", "OBX-5 holds or points to a document; it is not kept.")
    return Value("Attachment", withheld="attachment")


def _waveform(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """NA and MA: samples of a waveform, by the thousand."""
    return Value("SampledData", withheld="waveform")


def _time(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """DT, DTM and TS: the text as sent; a value is not an instant of the hospital's course."""
    sent = reading.message.code(field)
    if not sent:
        return NO_VALUE
    try:
        reading.conventions.calendar.moment(sent, "OBX-5", {})
    except Refused:
        return _no_time(reading, terms, field)
    return Value("dateTime", sent[:LONGEST_TEXT])


def _clock_time(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """TM: a time of day as sent."""
    sent = reading.message.code(field)
    if not sent:
        return NO_VALUE
    if _TIME_OF_DAY.fullmatch(sent) is None:
        return _no_time(reading, terms, field)
    return Value("time", sent[:LONGEST_TEXT])


def _no_time(reading: Reading, terms: Vocabulary, field: str) -> Value:
    reading.note("invalid_time", "OBX-5 is no date or time of the type in OBX-2; kept as text.")
    return _text(reading, terms, field)


def _identifier(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """CX and EI: the identifier itself, without its authority."""
    sent = reading.message.code(field)
    return Value(TEXT, sent[:LONGEST_TEXT]) if sent else NO_VALUE


def _range(reading: Reading, terms: Vocabulary, field: str) -> Value:
    """NR and DR: from and to."""
    parts = reading.message.components(reading.message.first_repetition(field))[:2]
    low, high = (reading.message.text(part).strip() for part in parts)
    return Value("Range", f"{low}-{high}"[:LONGEST_TEXT]) if low or high else NO_VALUE


def _repetitions(message: Message, field: str) -> list[str]:
    return field.split(message.delimiters.repetition)


def _joined(texts: list[str]) -> str:
    return "; ".join(texts)[:LONGEST_VALUE]


_READERS: dict[str, Reader] = {
    "NM": _number,
    "SI": _number,
    "SN": _structured,
    "NR": _range,
    "DR": _range,
    "ST": _text,
    "TX": _text,
    "": _text,
    "FT": _narrative,
    **dict.fromkeys(("CE", "CWE", "CNE", "CF", "CK"), _coded),
    **dict.fromkeys(("ID", "IS"), _table_code),
    **dict.fromkeys(("DT", "DTM", "TS"), _time),
    "TM": _clock_time,
    **dict.fromkeys(("CX", "EI", "EIP"), _identifier),
    **dict.fromkeys(("MO", "CP", "CQ"), _text),
    **dict.fromkeys(
        ("PN", "XPN", "XCN", "CN", "PPN", "FN", "AD", "XAD", "SAD", "TN", "XTN", "XON"), _person
    ),
    **dict.fromkeys(("ED", "RP"), _attachment),
    **dict.fromkeys(("NA", "MA"), _waveform),
}
TEXTS = frozenset({"ST", "TX", "FT", ""})
"""Types whose results may be continued in a further OBX of the same code and sub-id (7.4.2)."""
