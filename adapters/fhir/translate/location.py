"""A FHIR Location as a statement of where it stands in the building and whether it is in use."""

from adapters.fhir import codes
from adapters.fhir.reading import Reading, code_of
from adapters.fhir.shapes import Location, LocationR5
from adapters.fhir.translate.place import facility_of, first_place
from adapters.fhir.translate.statement import Stated
from twin_core.events import Event, LocationStated
from twin_core.identifiers import Place


def location(
    resource: Location | LocationR5, reading: Reading, stated: Stated
) -> tuple[Event, ...]:
    """The Location itself; one of mode `kind` is no place anybody can be in."""
    reading.known(resource.mode, codes.LOCATION_MODE, "mode")
    identifiers = reading.identifiers(resource.identifier)
    facility = facility_of(resource.managing_organization, reading, "managingOrganization")
    statement = LocationStated(
        occurred_at=stated.occurred_at,
        source=stated.source,
        subject=stated.subject,
        version=stated.version,
        identifiers=identifiers,
        kind=code_of(resource.physical_type, codes.PHYSICAL_TYPE),
        name=resource.name,
        part_of=reading.reference(resource.part_of, "partOf"),
        status=reading.known(resource.status, codes.LOCATION_STATUS, "status"),
        operational_status=_operational(resource, reading),
        place=first_place(identifiers, reading) or Place(facility=facility),
    )
    return () if resource.mode == "kind" else (statement,)


def _operational(resource: Location | LocationR5, reading: Reading) -> str:
    code = resource.operational_status.code if resource.operational_status is not None else ""
    if code and code not in codes.OPERATIONAL_STATUS:
        # The binding is only preferred, so other codes are valid FHIR that the twin cannot use.
        reading.note("unknown_code", f"{reading.kind}.operationalStatus is not of table 0116")
        return ""
    return code
