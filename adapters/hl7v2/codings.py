"""Coded elements (CE, CWE) and equipment identifiers (EI), read into systems and codes.

Results of one feed use the same few hundred codes, units and devices in every message; what they
stand for is remembered by the feed's `Terms`.
"""

import re
from typing import NamedTuple, TypeVar

from adapters.hl7v2.er7 import Message
from adapters.hl7v2.unit_codes import UCUM, ucum_of_mdc, valid_ucum
from twin_core.events import OrderedService
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
_SENDERS = 64
_LONGEST = 500
_SIXTEEN_DIGITS = re.compile(r"[0-9A-Fa-f]{16}")
_CLEARED = '""'
_URIS = ("urn:", "http://", "https://")
_Known = TypeVar("_Known")


class Coding(NamedTuple):
    """A code with its system's URI and its text."""

    system: str
    code: str
    display: str
    also: tuple[tuple[str, str], ...] = ()
    """The (system, code) that the sender gave beside it, in another system."""

    @property
    def ordered(self) -> tuple[OrderedService, ...]:
        """The same of an order, by each of its codes; the text of the second one is not kept."""
        first = OrderedService(system=self.system, code=self.code, display=self.display)
        others = [OrderedService(system=system, code=code) for system, code in self.also]
        return (first, *others)


class UnitOfMeasure(NamedTuple):
    """A unit as kept, its system where it is known, and whether it is in none that is known."""

    unit: str
    system: str
    unknown: bool


NO_UNIT = UnitOfMeasure("", "", False)


class Terms:
    """The codes, units and devices of one feed, each read once."""

    __slots__ = ("_codings", "_devices", "_issuers", "_units", "authorities")

    def __init__(self, authorities: dict[str, str]) -> None:
        self.authorities = authorities
        self._codings: dict[str, dict[str, Coding | None]] = {}
        self._units: dict[str, UnitOfMeasure] = {"": NO_UNIT}
        self._devices: dict[str, dict[str, Identifier | None]] = {}
        self._issuers: dict[tuple[str, str, str], str] = {}

    def of(self, message: Message) -> "Vocabulary":
        """The terms of this message's sender."""
        if not message.is_standard:
            return Vocabulary(self, message, {}, {}, {})
        sender = _sender(message)
        for known in (self._codings, self._devices):
            if sender not in known and len(known) >= _SENDERS:
                known.clear()
        return Vocabulary(
            self,
            message,
            self._codings.setdefault(sender, {}),
            self._units,
            self._devices.setdefault(sender, {}),
        )

    def issuer(self, message: Message, authority: str, kind: str) -> str:
        """The system of an identifier whose authority is the rest of an EI field."""
        if not message.is_standard or "\\" in authority:
            return self._read_issuer(message, authority, kind)
        key = (authority, kind, message.header[3] or message.header[2])
        system = self._issuers.get(key)
        if system is None:
            if len(self._issuers) >= _REMEMBERED:
                self._issuers.clear()
            system = self._issuers[key] = self._read_issuer(message, authority, kind)
        return system

    def _read_issuer(self, message: Message, authority: str, kind: str) -> str:
        namespace, universal, universal_type = (
            "" if part == _CLEARED else message.text(part).strip()
            for part in message.components(authority)[:3]
        )
        for name in (namespace, universal):
            if name and name in self.authorities:
                return self.authorities[name]
        if universal and universal_type == "ISO":
            return f"urn:oid:{universal}"
        if universal and universal_type == "URI":
            return universal
        name = universal or namespace
        if name:
            return f"urn:wardtwin:authority:{name}"
        return f"urn:wardtwin:sender:{_sender(message)}:{kind}"


class Vocabulary:
    """The terms of one sender, as one message uses them.

    What was read before is in `codings`, `units` and `devices`, by the field as sent.
    """

    __slots__ = ("_message", "_terms", "codings", "devices", "units")

    def __init__(
        self,
        terms: Terms,
        message: Message,
        codings: dict[str, Coding | None],
        units: dict[str, UnitOfMeasure],
        devices: dict[str, Identifier | None],
    ) -> None:
        self._terms, self._message = terms, message
        self.codings, self.units, self.devices = codings, units, devices

    def of(self, message: Message) -> "Vocabulary":
        """The same terms, as another message of the sender uses them."""
        return Vocabulary(self._terms, message, self.codings, self.units, self.devices)

    def coding(self, field: str) -> Coding | None:
        """What a coded field means; of two codes the one in LOINC or MDC; None where it is empty.

        The sender's own codes (L, 99zzz, no system, an unknown one) are in a system of the
        sender's.
        """
        try:
            return self.codings[field]
        except KeyError:
            return _remember(self.codings, field, self._read_coding(field))

    def unit(self, field: str) -> UnitOfMeasure:
        """The unit of OBX-6: UCUM where it is that or has an equivalent there, else as sent."""
        try:
            return self.units[field]
        except KeyError:
            return _remember(self.units, field, _read_unit(self._message, field))

    def device(self, field: str) -> Identifier | None:
        """The device that an EI field (OBX-18, PRT-10) names."""
        try:
            return self.devices[field]
        except KeyError:
            return _remember(self.devices, field, self._read_device(field))

    def number(self, field: str, kind: str) -> Identifier | None:
        """The identifier of an EI field, such as an order's number."""
        if not field or field == _CLEARED:
            return None
        message = self._message
        marks = message.delimiters
        if marks.repetition in field:
            field = field.partition(marks.repetition)[0]
        value, _, authority = field.partition(marks.component)
        if not value.isalnum():
            value = message.text(value).strip()
            if not value or value == _CLEARED:
                return None
        return Identifier(self._terms.issuer(message, authority, kind), value, kind)

    def _read_coding(self, field: str) -> Coding | None:
        message = self._message
        parts = [
            "" if part == _CLEARED else message.text(part).strip()
            for part in message.components(message.first_repetition(field))
        ]
        found = [
            Coding(self._code_system(parts[at + 2]), code, parts[at + 1])
            for at in (0, 3)
            if (code := parts[at] or parts[at + 1])
        ]
        if not found:
            return None
        chosen = next((coding for coding in found if coding.system in _PREFERRED), found[0])
        if len(found) == 1 or found[0].system == found[1].system or not (parts[0] and parts[3]):
            return chosen
        other = found[1] if chosen is found[0] else found[0]
        return chosen._replace(also=((other.system, other.code),))

    def _code_system(self, name: str) -> str:
        own = self._terms.authorities.get(name)
        if own:
            return own
        known = CODE_SYSTEMS.get(name.upper())
        if known:
            return known
        if name.startswith(_URIS):
            return name
        return sender_system(_sender(self._message)) + (name or "L")

    def _read_device(self, field: str) -> Identifier | None:
        message = self._message
        first = message.first_repetition(field)
        value, namespace, universal, kind = (
            "" if part == _CLEARED else message.text(part).strip()
            for part in message.components(first)[:4]
        )
        if "EUI-64" in (kind.upper(), namespace.upper()):
            number = (universal or value).replace("-", "")
            if _SIXTEEN_DIGITS.fullmatch(number):
                pairs = (number[at : at + 2] for at in range(0, 16, 2))
                return Identifier(EUI_64, "-".join(pairs).upper(), DEVICE_NUMBER)
        if value.startswith("urn:") or (not value and universal.startswith("urn:")):
            return Identifier(URI, value or universal, DEVICE_NUMBER)
        if value and value != universal:
            _, _, authority = first.partition(message.delimiters.component)
            issuer = self._terms.issuer(message, authority, DEVICE_NUMBER)
            return Identifier(issuer, value, DEVICE_NUMBER)
        # The number is given twice, or only as the universal id: its namespace issued it.
        if not universal:
            return None
        issuer = self._terms.issuer(message, namespace, DEVICE_NUMBER)
        return Identifier(issuer, universal, DEVICE_NUMBER)


PRODUCER_SYSTEM = "99WARDTWIN"
"""Coding system of OBX-15 where a twin says whose result it tells again: MSH-3|MSH-4 as it came."""


def sender_system(sender: str) -> str:
    """What the systems of a sender's own codes begin with; its name for the system follows."""
    return f"urn:wardtwin:sender:{sender}:code:"


def _sender(message: Message) -> str:
    return message.code(message.header[3]) or message.code(message.header[2])


def _remember(known: dict[str, _Known], field: str, found: _Known) -> _Known:
    # What an escape sequence stands for may differ by message.
    if "\\" not in field and len(field) <= _LONGEST:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[field] = found
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
