"""FHIR PractitionerRole and HealthcareService as entries of the directory."""

from adapters.fhir.reading import Reading, words_of
from adapters.fhir.shapes_scheduling import HealthcareService, PractitionerRole
from adapters.fhir.translate.statement import Stated
from twin_core.events import DirectoryStated, Event


def practitioner_role(
    resource: PractitionerRole, reading: Reading, stated: Stated
) -> tuple[Event, ...]:
    """The role, named by what it is; who holds it and where are references."""
    roles = (words_of(role) for role in resource.code)
    return (_entry(resource, reading, stated, next((role for role in roles if role), "")),)


def healthcare_service(
    resource: HealthcareService, reading: Reading, stated: Stated
) -> tuple[Event, ...]:
    """The service, by its name, else by what kind it is."""
    kinds = (words_of(kind) for kind in resource.type)
    name = resource.name or next((kind for kind in kinds if kind), "")
    return (_entry(resource, reading, stated, name),)


def _entry(
    resource: PractitionerRole | HealthcareService, reading: Reading, stated: Stated, name: str
) -> DirectoryStated:
    return DirectoryStated(
        occurred_at=stated.occurred_at,
        source=stated.source,
        subject=stated.subject,
        version=stated.version,
        identifiers=reading.identifiers(resource.identifier),
        resource_type=reading.kind,
        name=name,
        active=resource.active,
    )
