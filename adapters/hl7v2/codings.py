"""Coded elements (CE, CWE) and equipment identifiers (EI), read into systems and codes.

Results of one feed use the same few hundred codes, units and devices in every message; what they
stand for is remembered by the feed's `Terms`.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from adapters.hl7v2.er7 import Message
from adapters.hl7v2.unit_codes import UCUM, ucum_of_mdc, valid_ucum
from twin_core.identifiers import Identifier

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
SNOMED_CT = "http://snomed.info/sct"
EUI_64 = "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680"
"""The IEEE's registry of EUI-64 device numbers, as FHIR Device identifiers name it."""
URI = "urn:ietf:rfc:3986"
DEVICE_NUMBER = "device"

CODE_SYSTEMS: dict[str, str] = {
    # Table 0396 (coding systems) and what senders write for its most frequent rows -> FHIR URIs.
    "LN": LOINC,
    "LOINC": LOINC,
    "LNC": LOINC,
    LOINC.upper(): LOINC,
    "2.16.840.1.113883.6.1": LOINC,
    "MDC": MDC,
    "ISO11073": MDC,
    MDC.upper(): MDC,
    "2.16.840.1.113883.6.24": MDC,
    "SCT": SNOMED_CT,
    "SCT2": SNOMED_CT,
    "SNOMED": SNOMED_CT,
    "SNOMED-CT": SNOMED_CT,
    "SNOMED CT": SNOMED_CT,
    SNOMED_CT.upper(): SNOMED_CT,
    "2.16.840.1.113883.6.96": SNOMED_CT,
    "UCUM": UCUM,
    UCUM.upper(): UCUM,
    "NPU": "urn:oid:1.2.208.176.2.1",
    "C4": "http://www.ama-assn.org/go/cpt",
    "CPT": "http://www.ama-assn.org/go/cpt",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "HL70078": "http://terminology.hl7.org/CodeSystem/v2-0078",
    "HL70136": "http://terminology.hl7.org/CodeSystem/v2-0136",
}
_PREFERRED = frozenset({LOINC, MDC})
_REMEMBERED = 20_000
_SIXTEEN_DIGITS = re.compile(r"[0-9A-Fa-f]{16}")
_CLEARED = '""'
_Known = TypeVar("_Known")


class Coding(NamedTuple):
    """A code with its system's URI and its text."""

    system: str
    code: str
    display: str


class UnitOfMeasure(NamedTuple):
    """A unit as kept, its system where it is known, and whether it is in none that is known."""

    unit: str
    system: str
    unknown: bool


NO_UNIT = UnitOfMeasure("", "", False)


class Terms:
    """The codes, units and devices of one feed, each read once."""

    __slots__ = ("_codings", "_devices", "_units", "authorities")

    def __init__(self, authorities: dict[str, str]) -> None:
        self.authorities = authorities
        self._codings: dict[str, Coding | None] = {}
        self._units: dict[str, UnitOfMeasure] = {}
        self._devices: dict[str, Identifier | None] = {}

    def coding(self, message: Message, field: str) -> Coding | None:
        """What a coded field means; of two codes the one in LOINC or MDC; None where it is empty.

        The sender's own codes (L, 99zzz, no system, an unknown one) are in a system of the
        sender's.
        """
        sender = message.header[3] or message.header[2]
        return _remembered(self._codings, self._read_coding, message, field, f"{sender}\n{field}")

    def unit(self, message: Message, field: str) -> UnitOfMeasure:
        """The unit of OBX-6: UCUM where it is that or has an equivalent there, else as sent."""
        if not field or field == _CLEARED:
            return NO_UNIT
        return _remembered(self._units, _read_unit, message, field, field)

    def device(self, message: Message, field: str) -> Identifier | None:
        """The device that an EI field (OBX-18, PRT-10) names."""
        if not field or field == _CLEARED:
            return None
        sender = message.header[3] or message.header[2]
        return _remembered(self._devices, self._read_device, message, field, f"{sender}\n{field}")

    def number(self, message: Message, field: str, kind: str) -> Identifier | None:
        """The identifier of an EI field, such as an order's number."""
        if not field or field == _CLEARED:
            return None
        value, *authority = message.components(message.first_repetition(field))[:4]
        value = message.text(value).strip()
        if not value or value == _CLEARED:
            return None
        return Identifier(self._issuer(message, authority, kind), value, kind)

    def _read_coding(self, message: Message, field: str) -> Coding | None:
        parts = [
            "" if part == _CLEARED else message.text(part).strip()
            for part in message.components(message.first_repetition(field))
        ]
        found = [
            Coding(self.code_system(message, parts[at + 2]), code, parts[at + 1])
            for at in (0, 3)
            if (code := parts[at] or parts[at + 1])
        ]
        for coding in found:
            if coding.system in _PREFERRED:
                return coding
        return found[0] if found else None

    def code_system(self, message: Message, name: str) -> str:
        """The URI of a coding system that a message names."""
        own = self.authorities.get(name)
        if own:
            return own
        known = CODE_SYSTEMS.get(name.upper())
        if known:
            return known
        return f"urn:wardtwin:sender:{_sender(message)}:code:{name or 'L'}"

    def _read_device(self, message: Message, field: str) -> Identifier | None:
        value, namespace, universal, kind = (
            "" if part == _CLEARED else message.text(part).strip()
            for part in message.components(message.first_repetition(field))[:4]
        )
        if kind.upper() == "EUI-64" or namespace.upper() == "EUI-64":
            number = (universal or value).replace("-", "")
            if _SIXTEEN_DIGITS.fullmatch(number):
                pairs = (number[at : at + 2] for at in range(0, 16, 2))
                return Identifier(EUI_64, "-".join(pairs).upper(), DEVICE_NUMBER)
        value = value or universal
        if not value:
            return None
        if value.startswith("urn:"):
            return Identifier(URI, value, DEVICE_NUMBER)
        authority = [namespace, "" if universal == value else universal, kind]
        return Identifier(self._issuer(message, authority, DEVICE_NUMBER), value, DEVICE_NUMBER)

    def _issuer(self, message: Message, authority: list[str], kind: str) -> str:
        namespace, universal, universal_type = (
            "" if part == _CLEARED else message.text(part).strip() for part in authority
        )
        for name in (namespace, universal):
            if name and name in self.authorities:
                return self.authorities[name]
        if universal and universal_type == "ISO":
            return f"urn:oid:{universal}"
        name = universal or namespace
        if name:
            return f"urn:wardtwin:authority:{name}"
        return f"urn:wardtwin:sender:{_sender(message)}:{kind}"


def _sender(message: Message) -> str:
    return message.code(message.header[3]) or message.code(message.header[2])


def _remembered(
    known: dict[str, _Known],
    read: Callable[[Message, str], _Known],
    message: Message,
    field: str,
    key: str,
) -> _Known:
    # Only texts of messages with the usual delimiters and without escapes compare.
    if not message.is_standard or "\\" in field or len(field) > 500:
        return read(message, field)
    try:
        return known[key]
    except KeyError:
        if len(known) >= _REMEMBERED:
            known.clear()
        found = known[key] = read(message, field)
        return found


def _read_unit(message: Message, field: str) -> UnitOfMeasure:
    parts = [message.text(part).strip() for part in message.components(field)]
    for code, name, system in (parts[:3], parts[3:6]):
        if CODE_SYSTEMS.get(system.upper()) == MDC or name.startswith("MDC_DIM_"):
            meant = ucum_of_mdc(code, name)
            if meant:
                return UnitOfMeasure(meant, UCUM, False)
    sent = parts[0] or parts[3] or parts[1]
    if not sent or sent == _CLEARED:
        return NO_UNIT
    if sent.startswith("MDC_DIM_") and (meant := ucum_of_mdc("", sent)):
        return UnitOfMeasure(meant, UCUM, False)
    if valid_ucum(sent):
        return UnitOfMeasure(sent, UCUM, False)
    named = CODE_SYSTEMS.get(parts[2].upper(), "")
    return UnitOfMeasure(sent, named, named in ("", UCUM))
