"""What of a message may be shown to someone who may not see patients: the list of what passes.

`_PASSES` is the whole rule. Whatever it does not name is masked: every letter becomes x or X, every
digit 9, so that lengths, kinds of characters and structure remain visible and nothing else does.
What it does name passes only in the form it ought to have, so that a name that slipped into the
field of a time is masked all the same.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from twin_core.identifiers import Identifier, Place

_HEADER = re.compile(r"[\x20-\x7e\xa0-\xff]{1,227}")
_WORD = re.compile(r"[\w.:/+*#%'{}()\[\]-]{1,30}", re.ASCII)
_ENCODING_CHARACTERS = re.compile(r"[!-/:-@\[-`{-~]{1,5}", re.ASCII)
_AUTHORITY = re.compile(r"[\w.:/%-]{1,199}", re.ASCII)
_TIME = re.compile(r"\d{4}(?:\d\d){0,5}(?:\.\d{1,6})?(?:[+-]\d{4})?", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z", re.ASCII)
_COUNT = re.compile(r"[+-]?\d{1,4}", re.ASCII)
# A small integer, or the place of a metric in its device: 1.1.2.1. `37.5` is what was measured, and
# `12.08.1964` a date.
_SUB_ID = re.compile(
    r"\d{1,2}|(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){2}"
    r"|(?:0|[1-9]\d{0,5})(?:\.(?:0|[1-9]\d{0,5})){3,5}",
    re.ASCII,
)
_FLAG = re.compile(r"[YN]|true|false", re.ASCII)
_TERM = re.compile(r"MDC[A-Z0-9_]{1,80}", re.ASCII)
_PUBLIC_ID = re.compile(r"[a-z][0-9a-f]{24}", re.ASCII)

Form = re.Pattern[str] | Callable[[str, str, frozenset[str]], bool]
"""A pattern, or whether a text passes under a name where a site's own words are known."""

_SHORT = re.compile(r"[\w.:/+#-]{1,8}", re.ASCII)
_DATE = re.compile(r"\d{8,}|\d{1,2}\.\d{1,2}\.\d{2,4}|\d{4}-\d\d-\d\d.*", re.ASCII)
_TERM_CODE = re.compile(r"(?=.*\d)[\w.:/+*#%-]{1,20}|MDC_[A-Z0-9_]{1,80}", re.ASCII)
_FHIR_CODE = re.compile(r"[a-z]+(?:-[a-z]+)*", re.ASCII)
_ISSUER = re.compile(r"[0-2](?:\.\d{1,20}){2,30}|[0-9A-F]{16}|https?://[\w.:/%-]{1,190}", re.ASCII)


def is_code_like(text: str) -> bool:
    """Whether it reads as a code and not as a name: short, with a digit or all in capitals."""
    if not _SHORT.fullmatch(text) or _DATE.fullmatch(text):
        return False
    return text.isupper() or any(map(str.isdigit, text))


def is_of_table(text: str, name: str, known: frozenset[str] = frozenset()) -> bool:
    """Whether it is a code of the HL7 table of the field `name`; one character tells nothing."""
    from adapters.hl7v2.names import codes_of

    return len(text) == 1 or text in known or text.upper() in codes_of(name)


def is_place(text: str, name: str = "", known: frozenset[str] = frozenset()) -> bool:
    """Whether it is a place or service: configured, known to the store, or like a code."""
    return text in known or is_code_like(text)


def is_issuer(text: str, name: str = "", known: frozenset[str] = frozenset()) -> bool:
    """Whether it is an authority or the URI of one, derived from nothing that is masked."""
    if text in known or is_code_like(text) or _ISSUER.fullmatch(text):
        return True
    if text.startswith("urn:oid:"):
        return _ISSUER.fullmatch(text[8:]) is not None
    if text.startswith("urn:wardtwin:authority:"):
        return is_issuer(text.removeprefix("urn:wardtwin:authority:"), "", known)
    if text.startswith("urn:wardtwin:sender:"):
        tail = text.rpartition(":")[2]
        is_coding = ":code:" in text and is_code_like(tail)
        return is_coding or is_of_table(tail, "CX.5", known)
    return text.startswith(("urn:wardtwin:", "urn:uuid:")) and bool(_AUTHORITY.fullmatch(text))


def _is_term_code(text: str, name: str = "", known: frozenset[str] = frozenset()) -> bool:
    if text in known or is_code_like(text):
        return True
    return bool(_TERM_CODE.fullmatch(text)) and not _DATE.fullmatch(text)


def _is_status(text: str, name: str = "", known: frozenset[str] = frozenset()) -> bool:
    return _is_term_code(text, name, known) or bool(_FHIR_CODE.fullmatch(text))


def _is_unit(text: str, name: str = "", known: frozenset[str] = frozenset()) -> bool:
    """Whether it is a unit: of UCUM without words or numbers of the sender's own, or of MDC.

    UCUM takes any number for a unit, and any text in braces.
    """
    # The package `adapters.hl7v2` needs this module to be imported.
    from adapters.hl7v2.unit_codes import ucum_of_mdc, valid_ucum

    if ucum_of_mdc(text, text):
        return True
    bare = _ANNOTATION.sub(lambda found: "" if found[1].lower() in _COUNTED else "?", text)
    if not bare or bare == "1":
        return True
    return valid_ucum(bare) and not any(part.isdecimal() for part in re.split("[./()]", bare))


_ANNOTATION = re.compile(r"\{([^{}]*)\}")
_COUNTED = frozenset(
    "beat beats breath breaths pulse pulses resp count counts cells cell rbc wbc score drops drop"
    " copies ratio events index".split()
)


# What passes, in which form, and why. `PV1-3` is a field with all that is in it, `PID-3.4` one
# component, `CX.4` a component of that data type wherever it stands (never in OBX-5, which may be
# anything), and a word alone is a field of an event or a column of a table.
_PASSES: tuple[tuple[str, Form, str], ...] = (
    (
        "who sent which kind of message to whom: about systems, and needed to find the message",
        _HEADER,
        "MSH-3 MSH-4 MSH-5 MSH-6 MSH-7 MSH-9 MSH-10 MSH-11 MSH-12 MSH-13 MSH-15 MSH-16"
        " MSH-17 MSH-18 MSH-19 MSH-20 MSH-21 MSA-1 MSA-2 ERR-2 ERR-3.1 ERR-4",
    ),
    (
        "when things happened: instants of the hospital's work; births and deaths are not here",
        _TIME,
        "EVN-2 EVN-3 EVN-6 PID-33 PV1-44 PV1-45 PV2-8 PV2-9 PV2-47 ZBE-2 ZBE-3 OBR-7 OBR-8 OBR-14"
        " OBR-22 OBX-14 OBX-19 SCH-11.4 SCH-11.5 AIS-4 AIG-8 AIL-6 AIP-6 TQ1-7 TQ1-8 ROL-5 ROL-6",
    ),
    (
        "where a patient is or was: places of the hospital, and where its work is seen",
        is_place,
        "PV1-10 PV1-3 PV1-6 PV1-11 PV1-42 PV1-43 PV1-39 PV2-1 NPU-1 AIL-3 EVN-7 PID-34 ZBE-7.10"
        " ZBE-8.10",
    ),
    (
        "codes of tables: what kind of event, visit, status, observation or service it is",
        is_of_table,
        "EVN-1 EVN-4 PID-8 PID-30 PID-31 PV1-2 PV1-4 PV1-14 PV1-15 PV1-16 PV1-18 PV1-36"
        " PV1-37.1 PV1-40 PV1-41 PV1-51 PV2-7 NPU-2 ZBE-4 ZBE-5 ZBE-6 ZBE-9.1"
        " OBR-24 OBR-25 OBX-2 OBX-8 OBX-11 SCH-25.1 RGS-2 AIS-2 AIS-10 AIG-2 AIG-14 AIL-2 AIL-12"
        " AIP-2 AIP-12 ORC-1 ORC-5 ROL-2 ROL-3.1 PRT-2 PRT-4.1 PID-2.5 PID-3.5 PID-4.5 PID-18.5"
        " MRG-1.5 PV1-19.5 CX.5 class sex admit_source disposition type",
    ),
    (
        "codes of nomenclatures, and which nomenclature it is",
        _is_term_code,
        "OBR-4.1 OBR-4.3 OBX-3.1 OBX-3.3 OBX-3.4 OBX-3.6 SCH-6.1 SCH-6.3 SCH-7.1 SCH-7.3 SCH-8.1"
        " SCH-8.3 SCH-25.3 AIS-3.1 AIS-3.3 AIG-4.1 AIG-4.3 AIL-4.1 AIP-4.1 ROL-3.3 PRT-4.3"
        " OBX-6.3 OBX-6.6 code",
    ),
    (
        "names of observations in the nomenclature of devices (ISO/IEEE 11073-10101)",
        _TERM,
        "OBX-3.2 OBX-3.5 OBR-4.2 OBR-4.5",
    ),
    (
        "units of measurement, without what was measured",
        _is_unit,
        "OBX-6.1 OBX-6.4",
    ),
    (
        "units of time",
        _is_status,
        "SCH-10.1 AIS-8.1 AIG-12.1 AIL-10.1 AIP-10.1",
    ),
    (
        "numbers that count segments, lines and minutes",
        _COUNT,
        "PID-1 PV1-1 NK1-1 OBR-1 OBX-1 AL1-1 DG1-1 GT1-1 IN1-1 PR1-1 NTE-1 RGS-1 AIS-1 AIG-1"
        " AIL-1 AIP-1 SCH-9 AIS-5 AIS-7 AIG-9 AIG-11 AIL-7 AIL-9 AIP-7 AIP-9 TQ1-1",
    ),
    (
        "which part of a result or device an observation is of",
        _SUB_ID,
        "OBX-4 sub_id",
    ),
    (
        "who issued an identifier and of which type it is: the number itself is masked",
        is_issuer,
        "PID-2.4 PID-3.4 PID-4.4 PID-18.4 MRG-1.4 PV1-19.4 CX.4 EI.2 EI.3 EI.4",
    ),
    (
        "events and rows: when it happened, was entered, is expected and became known",
        _INSTANT,
        "occurred_at entered_at cancelled_at admitted_at discharged_at expected_at"
        " expected_return_at stated_at ended_at booked_at starts_at ends_at effective_at"
        " reported_at found_at from_at to_at at start end",
    ),
    (
        "events and rows: where",
        is_place,
        "facility Place.unit room bed service",
    ),
    (
        "events and rows: units of measurement, which have the same name as units of a hospital",
        _is_unit,
        "unit",
    ),
    (
        "events and rows: what the twin itself calls things, and names of sources",
        _WORD,
        "kind milestone birth_date_precision source version resource_type cancels action"
        " value_type comparator inactivation",
    ),
    (
        "events and rows: codes of FHIR and HL7 tables; not what was measured",
        _is_status,
        "status operational_status role urgency appointment_type interpretation priority"
        " alarm_type phase state",
    ),
    (
        "events and rows: numbers that count people, parts and minutes",
        _COUNT,
        "census position duration_minutes offset_minutes",
    ),
    (
        "events and rows: whether",
        _FLAG,
        "swapped start_inferred staffed deceased active temporary standalone status_only withheld",
    ),
    (
        "events and rows: who issued an identifier",
        is_issuer,
        "system code_system unit_system value_system visit_system",
    ),
    (
        "rows: ids that the twin derives and that say nothing by themselves",
        _PUBLIC_ID,
        "patient_id encounter_id stay_id plan_id location_id device_id appointment_id"
        " observation_id device_event_id merged_into part_of parent_id finding_id subject",
    ),
)


class Pass(NamedTuple):
    """A line of the list: in which form a value passes, and why it may."""

    form: Form
    reason: str

    def takes(self, text: str, name: str, known: frozenset[str]) -> bool:
        """Whether the value has the form."""
        if isinstance(self.form, re.Pattern):
            return self.form.fullmatch(text) is not None
        return self.form(text, name, known)


PASSES: dict[str, Pass] = {
    name: Pass(form, reason) for reason, form, names in _PASSES for name in names.split()
}
"""The list by name."""

CLEARED = '""'
_KEPT_ESCAPES = frozenset("FSTREPLHN") | {".br"}


class Word(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that an event or a row says: `visit.class` is `IMP`."""

    name: str
    value: str | None
    masked: bool = False


def masked(text: str, escape: str = "") -> str:
    """The shape of a text: letters as x and X, digits as 9; punctuation and escapes stay.

    >>> masked("Müller-Lüdenscheidt 4711")
    'Xxxxxx-Xxxxxxxxxxxx 9999'
    """
    if escape and escape in text:
        parts = text.split(escape)
        return escape.join(
            part if at % 2 and part in _KEPT_ESCAPES else masked(part)
            for at, part in enumerate(parts)
        )
    return "".join(map(_shape, text))


def _shape(character: str) -> str:
    if character.isdecimal() or character.isnumeric():
        return "9"
    if character.isalpha():
        return "X" if character.isupper() else "x"
    if character.isascii() or character == "\N{REPLACEMENT CHARACTER}":
        return character
    return " " if unicodedata.category(character) == "Zs" else "?"


def passes(text: str, *names: str, known: frozenset[str] = frozenset()) -> bool:
    """Whether a value may be shown under any of the names by which the list could know it."""
    if not text or text == CLEARED:
        return True
    return any(
        found.takes(text, name, known) for name in names if (found := PASSES.get(name)) is not None
    )


def is_encoding(text: str) -> bool:
    """Whether it can be MSH-1 or MSH-2, which separate and so have no letters."""
    return _ENCODING_CHARACTERS.fullmatch(text) is not None


def words(said: Any, *, phi: bool, known: frozenset[str] = frozenset()) -> tuple[Word, ...]:
    """What an event says, in order; what the list does not pass is masked unless `phi`."""
    return tuple(word if phi else disclosed(word, key, known) for word, key in _words("", said))


def row_words(
    row: dict[str, Any], *, phi: bool, known: frozenset[str] = frozenset()
) -> tuple[Word, ...]:
    """What a row says, column by column; what the list does not pass is masked unless `phi`."""
    where = "Place." if "facility" in row else ""
    return tuple(
        word if phi else disclosed(word, f"{where}{word.name}", known)
        for word in (Word(name=name, value=_text(value)) for name, value in row.items())
    )


def disclosed(word: Word, key: str, known: frozenset[str] = frozenset()) -> Word:
    """The word itself where it passes, else its shape; `key` is `Place.unit` in a place."""
    name = word.name.rpartition(".")[2]
    if word.value is None or passes(word.value, key if key in PASSES else name, known=known):
        return word
    return Word(name=word.name, value=masked(word.value), masked=True)


def _words(name: str, said: Any, key: str = "") -> Iterator[tuple[Word, str]]:
    if isinstance(said, msgspec.Struct):
        for field in msgspec.structs.fields(said):
            value = getattr(said, field.name)
            # An Identifier and a Place say nothing where they are empty.
            silent = value is UNSET or (isinstance(said, Identifier | Place) and not value)
            if not silent and value != field.default:
                key = f"{type(said).__name__}.{field.encode_name}"
                yield from _words(f"{name}.{field.encode_name}" if name else field.name, value, key)
    elif isinstance(said, list | tuple):
        for number, one in enumerate(said, start=1):
            yield from _words(f"{name}.{number}" if len(said) > 1 else name, one, key)
    else:
        yield Word(name=name, value=_text(said)), key


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, Enum):
        return str(value.value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
