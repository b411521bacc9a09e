"""Who and where, as (system, value) pairs and assigned locations.

A patient, an encounter, a location or a device is known to the outside by identifiers only. The
same entity reaches the twin through HL7 v2 assigning authorities and through FHIR identifier
systems; adapters map both to one `Identifier`, so that equality is enough to connect them.
"""

import hashlib
from collections.abc import Sequence

import msgspec

REFERENCE = "reference"
"""Type of the identifier that a FHIR resource id is: system is the source, value `Type/id`."""

FACILITY_SYSTEM = "urn:wardtwin:facility"
"""Identifier system of facility codes, as the twin tells them to others."""

TWIN_SOURCE = "urn:wardtwin:twin:"
"""What `meta.source` of a twin's own view begins with; the id of its store follows."""

PLACE_SYSTEM = "urn:wardtwin:path"
"""Identifier system of places by their path, `facility/unit/room/bed`; a slash in a part is %2F."""

UNIDENTIFYING_TYPES = frozenset(
    {"SS", "DL", "PPN", "MC", "MA", "MB", "AN", "VN", "BC", "CC", "EN", "TAX", "NPI", "XX"}
)
"""HL7 table 0203 types that are recorded for a patient but never used to connect two records."""


class Identifier(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One identifier: the system that issued it, its value, its HL7 table 0203 type.

    The type describes; it takes no part in identity, because two sources type one number
    differently. Compare `key`.
    """

    system: str
    value: str
    type: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The pair that identifies: (system, value)."""
        return (self.system, self.value)


class Place(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An assigned patient location (HL7 PL), or a reference to a FHIR Location.

    Empty strings mean not stated. A place with a `reference` and no unit is resolved through the
    Location resources that the store knows. `facility` is the code after the feed's code map.
    """

    facility: str = ""
    unit: str = ""
    room: str = ""
    bed: str = ""
    reference: Identifier | None = None

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Facility, unit, room and bed."""
        return (self.facility, self.unit, self.room, self.bed)

    def names_a_bed(self) -> bool:
        """Whether the place is a single bed rather than a unit or a room."""
        return bool(self.bed)

    def __bool__(self) -> bool:
        return bool(self.unit or self.room or self.bed or self.reference)


NOWHERE = Place()


def content_id(kind: str, *parts: str) -> str:
    """A stable public id for an entity, derived from what it is and never from arrival order.

    `kind` is a one-letter prefix (`p` patient, `e` encounter, `s` stay, `l` location, `d` device,
    `f` finding, `o` observation, `v` device event, `a` appointment, `b` account, `q`
    request, task, procedure, schedule, slot or metric); the rest is
    96 bits of SHA-256 over the parts, in hexadecimal.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kind}{digest[:24]}"


def identifying(identifiers: Sequence[Identifier]) -> tuple[Identifier, ...]:
    """The identifiers that may connect two patient records, in the order given."""
    return tuple(i for i in identifiers if i.type not in UNIDENTIFYING_TYPES)
