"""Where something is: facilities from organizations, places from configured bed identifiers."""

from collections.abc import Iterable

from adapters.fhir.reading import Reading
from adapters.fhir.shapes import Reference
from twin_core.identifiers import (
    FACILITY_SYSTEM,
    NOWHERE,
    PLACE_SYSTEM,
    REFERENCE,
    Identifier,
    Place,
)


def facility_of(stated: Reference | None, reading: Reading, where: str) -> str:
    """The code of the organization in charge, else the facility configured for FHIR.

    A business identifier is the code itself; of an address it is the logical id. Another twin gives
    its own facility code beside the address.
    """
    target = reading.reference(stated, where)
    if target is None:
        return reading.scope.settings.facility
    named = stated.identifier if stated is not None else None
    if named is not None and named.system == FACILITY_SYSTEM and named.value:
        return named.value
    return target.value.rpartition("/")[2] if target.type == REFERENCE else target.value


def place_in(identifier: Identifier, reading: Reading) -> Place:
    """The place that an identifier of the configured bed system, or of another twin's places,
    spells: facility/unit/room/bed."""
    system = reading.scope.settings.bed_system
    if identifier.system not in (PLACE_SYSTEM, system or PLACE_SYSTEM):
        return NOWHERE
    parts = [part.strip() for part in identifier.value.split("/")]
    if identifier.system == PLACE_SYSTEM:
        parts = [part.replace("%2F", "/") for part in parts]
    if len(parts) > 4 or len(parts) < 2 or not parts[1]:
        reading.note(
            "missing_identifier", f"{reading.kind}: a bed identifier is not facility/unit/room/bed"
        )
        return NOWHERE
    facility, unit, room, bed = (*parts, "", "")[:4]
    return Place(facility or reading.scope.settings.facility, unit, room, bed)


def first_place(identifiers: Iterable[Identifier], reading: Reading) -> Place:
    """The place that the first identifier of such a system spells."""
    places = (place_in(one, reading) for one in identifiers)
    return next((place for place in places if place), NOWHERE)
