"""Where something is: facilities from organizations, places from configured bed identifiers."""

from collections.abc import Iterable

from adapters.fhir.reading import Reading
from adapters.fhir.shapes import Reference
from twin_core.identifiers import NOWHERE, REFERENCE, Identifier, Place


def facility_of(stated: Reference | None, reading: Reading, where: str) -> str:
    """The code of the organization in charge, else the facility configured for FHIR.

    A business identifier is the code itself; of an address it is the logical id.
    """
    target = reading.reference(stated, where)
    if target is None:
        return reading.scope.settings.facility
    return target.value.rpartition("/")[2] if target.type == REFERENCE else target.value


def place_in(identifier: Identifier, reading: Reading) -> Place:
    """The place that an identifier of the configured bed system spells: facility/unit/room/bed."""
    system = reading.scope.settings.bed_system
    if not system or identifier.system != system:
        return NOWHERE
    parts = [part.strip() for part in identifier.value.split("/")]
    if len(parts) > 4 or len(parts) < 2 or not parts[1]:
        reading.note(
            "missing_identifier", f"{reading.kind}: a bed identifier is not facility/unit/room/bed"
        )
        return NOWHERE
    facility, unit, room, bed = (*parts, "", "")[:4]
    return Place(facility or reading.scope.settings.facility, unit, room, bed)


def first_place(identifiers: Iterable[Identifier], reading: Reading) -> Place:
    """The place that the first identifier of the configured bed system spells."""
    if not reading.scope.settings.bed_system:
        return NOWHERE
    places = (place_in(one, reading) for one in identifiers)
    return next((place for place in places if place), NOWHERE)
