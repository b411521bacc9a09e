"""Fields and components: text, codes, times, places and identifiers as ER7 writes them."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from adapters.hl7v2.encode import escape, location
from adapters.hl7v2.retell.words import Dialect, Untellable
from twin_core.events import Instant, Text
from twin_core.identifiers import Identifier, Place

CLEARED = '""'
_OWN_AUTHORITY = "urn:wardtwin:authority:"
_OID = "urn:oid:"


def text(stated: Text) -> str:
    """A text field: empty where nothing was said, two double quotes where it was cleared."""
    if isinstance(stated, UnsetType):
        return ""
    if stated is None:
        return CLEARED
    return '\\X22\\"' if stated == CLEARED else escape(stated)


def coded(stated: Text, codes: Mapping[str, str]) -> str:
    """A code as the table or the receiver has it; one that is not in the table as it is."""
    return text(codes.get(stated, stated) if isinstance(stated, str) else stated)


def repeated(stated: tuple[str, ...] | UnsetType | None) -> str:
    """A repeating field of codes."""
    if isinstance(stated, tuple):
        return "~".join(text(one) for one in stated)
    return text(stated)


def name(family: Text, given: Text) -> str:
    """XPN: family and given name."""
    if family is UNSET and given is UNSET:
        return ""
    if family is None and given is None:
        return CLEARED
    return f"{text(family)}^{text(given)}"


def at(stated: Instant, dialect: Dialect) -> str:
    """A time that may not be stated, or be cleared."""
    if isinstance(stated, UnsetType):
        return ""
    return CLEARED if stated is None else dtm(stated, dialect.zone)


def when(at: datetime | None, dialect: Dialect) -> str:
    """A time that may not be known."""
    return "" if at is None else dtm(at, dialect.zone)


@lru_cache(maxsize=20_000)
def dtm(at: datetime, zone: ZoneInfo) -> str:
    """An instant as DTM, exact to what it has of a second, with the offset of its local time."""
    local = at.astimezone(zone)
    fraction = f".{local.microsecond:06}".rstrip("0") if local.microsecond else ""
    return f"{local:%Y%m%d%H%M%S}{fraction}{local:%z}"


def pl(place: Place, dialect: Dialect) -> str:
    """A place by the receiver's names of units and facilities; empty for no place."""
    if place.reference is not None:
        raise Untellable("A place is known by a FHIR reference only.")
    if not place:
        return ""
    facility = dialect.facilities.get(place.facility, place.facility)
    unit = dialect.units.get(place.unit, place.unit)
    return location(msgspec.structs.replace(place, unit=unit, facility=facility))


def cx(identifier: Identifier, dialect: Dialect) -> str:
    """An identifier with its assigning authority and type."""
    authority = hd(identifier.system, dialect)
    return f"{escape(identifier.value)}^^^{authority}^{escape(identifier.type)}".rstrip("^")


def ei(identifier: str, dialect: Dialect) -> str:
    """The identifier of a movement, given as `system|id`."""
    system, _, value = identifier.partition("|")
    return f"{escape(value)}^{hd(system, dialect).replace('&', '^')}"


def hd(system: str, dialect: Dialect) -> str:
    """An identifier system as assigning authority: by the receiver's own name for it, else by one
    that any system understands: the name it had in HL7, its OID, or its URI."""
    own = dialect.authorities.get(system)
    if own is not None:
        return "&".join(escape(part) for part in own.split("&"))
    if system.startswith(_OWN_AUTHORITY):
        return escape(system.removeprefix(_OWN_AUTHORITY))
    if system.startswith(_OID):
        return f"&{escape(system.removeprefix(_OID))}&ISO"
    return f"&{escape(system)}&URI"
