"""The data types of FHIR that every resource is written with, from what the twin's rows hold.

Rows may hold whatever a sender wrote, so that every text is brought into the form that its type
has: no blank ends, no control characters, no blanks within an address. What is empty is left out,
because FHIR knows no empty text, list or object.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from adapters.fhir.codes import IDENTIFIER_TYPE
from adapters.fhir.extensions import EXTENSION
from twin_core.identifiers import FACILITY_SYSTEM, PLACE_SYSTEM, REFERENCE, content_id

Json = dict[str, Any]
Row = Mapping[str, Any]
Parts = Mapping[str, Sequence[Row]]
"""What is known of one resource at one instant: rows of the twin's tables, by table."""

ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_OWN_TYPES = frozenset({"path", "start"})
"""Types of identifiers that the twin made itself, to file what has none."""
_UNTELLABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_BLANKS = re.compile(r"\s+")


def pruned(value: Any) -> Any:
    """A resource, or a part of one, without anything empty."""
    if isinstance(value, dict):
        kept = {name: pruned(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each not in (None, "", [], {})}
    if isinstance(value, (list, tuple)):
        return [each for each in map(pruned, value) if each not in (None, "", [], {})]
    return value


def text(value: object) -> str:
    """A string: printable, without blank ends."""
    return _UNTELLABLE.sub("", str(value)).strip() if value is not None else ""


def code(value: object) -> str:
    """A code: as a string, with single blanks only."""
    return _BLANKS.sub(" ", text(value))


def uri(value: object) -> str:
    """An address: as a string, blanks escaped."""
    return quote(text(value), safe=_URI_CHARACTERS)


_URI_CHARACTERS = "".join(chr(c) for c in range(0x21, 0x7F))


def instant(at: datetime | None) -> str | None:
    """An instant in UTC, as exact as the twin knows it."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def coding(system: str, value: object, display: object = None) -> Json:
    """A code of a code system."""
    return {"system": uri(system), "code": code(value), "display": text(display)}


def concept(system: str, value: object, display: object = None) -> Json | None:
    """A concept by one code, or none where there is no code."""
    if not code(value):
        return {"text": text(display)} if text(display) else None
    return {"coding": [coding(system, value, display)], "text": text(display)}


def worded(value: object) -> Json | None:
    """A concept whose code system nobody has said: its text."""
    return {"text": text(value)} if text(value) else None


def local(value: object) -> Json | None:
    """A concept by a code whose system nobody has said; what has blanks in it is words."""
    told = text(value)
    if not told or _BLANKS.search(told):
        return worded(value)
    return {"coding": [{"code": told}], "text": told}


def period(start: datetime | None, end: datetime | None) -> Json:
    """A period; where it would end before it starts, only its end is told."""
    if start is not None and end is not None and end < start:
        start = None
    return {"start": instant(start), "end": instant(end)}


def reference(kind: str, id_: object, display: object = None) -> Json | None:
    """A reference to another resource of the twin."""
    return {"reference": f"{kind}/{id_}", "display": text(display)} if id_ else None


def named(kind: str, system: str, value: object) -> Json | None:
    """A reference by business identifier, to what the twin knows no resource of."""
    identifier = {"system": uri(system), "value": text(value)}
    return {"type": kind, "identifier": identifier} if text(value) else None


def facility(value: object) -> Json | None:
    """The organization that a facility code stands for, with the code itself."""
    from_code = facility_id(str(value)) if text(value) else None
    found = reference("Organization", from_code)
    if found is not None:
        found["identifier"] = {"system": FACILITY_SYSTEM, "value": text(value)}
    return found


def facility_id(value: str) -> str:
    """The id of the Organization that a facility code stands for."""
    return content_id("g", FACILITY_SYSTEM, value)


def identifiers(rows: Iterable[Row]) -> list[Json]:
    """Business identifiers, and the ids that sources have given the resource."""
    listed = [_identifier(row) for row in rows if row["type"] not in _OWN_TYPES]
    return sorted(listed, key=lambda one: (one["system"], one["value"]))


def _identifier(row: Row) -> Json:
    kind = row["type"]
    if kind == REFERENCE:
        return {"use": "secondary", "system": source_system(row["system"]), "value": row["value"]}
    typed = {"coding": [{"system": IDENTIFIER_TYPE, "code": code(kind)}]} if code(kind) else None
    return {"type": typed, "system": uri(row["system"]), "value": text(row["value"])}


def source_system(source: object) -> str:
    """The identifier system of the ids that a source gives: its address, or its name as a URN."""
    told = uri(source)
    return told if ":" in told else f"urn:wardtwin:source:{told}:id"


def place_identifier(row: Row) -> Json | None:
    """Where a location is, as `facility/unit/room/bed`."""
    path = [str(row[level] or "") for level in ("facility", "unit", "room", "bed")]
    if not any(path[1:]):
        return None
    value = "/".join(part.replace("/", "%2F") for part in path)
    return {"system": PLACE_SYSTEM, "value": text(value)}


def absent(why: str = "unknown") -> Json:
    """In the place of a required element that nobody has told."""
    return {"extension": [{"url": ABSENT, "valueCode": why}]}


def extension(name: str, **value: object) -> Json:
    """An element of the twin's own."""
    return {"url": EXTENSION + name, **value}
