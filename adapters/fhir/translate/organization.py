"""A FHIR Organization as an entry of the directory."""

from adapters.fhir.reading import Reading
from adapters.fhir.shapes import Organization
from adapters.fhir.translate.statement import Stated
from twin_core.events import DirectoryStated, Event


def organization(resource: Organization, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """The Organization itself."""
    return (
        DirectoryStated(
            occurred_at=stated.occurred_at,
            source=stated.source,
            subject=stated.subject,
            version=stated.version,
            identifiers=reading.identifiers(resource.identifier),
            resource_type=reading.kind,
            name=resource.name,
            active=resource.active,
        ),
    )
