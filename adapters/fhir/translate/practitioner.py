"""A FHIR Practitioner as an entry of the directory."""

from adapters.fhir import codes
from adapters.fhir.reading import Reading
from adapters.fhir.shapes import HumanName, Practitioner
from adapters.fhir.translate.patient import preferred_name
from adapters.fhir.translate.statement import Stated
from twin_core.events import DirectoryStated, Event


def practitioner(resource: Practitioner, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """The Practitioner himself or herself."""
    reading.known(resource.gender, codes.GENDER, "gender")
    return (
        DirectoryStated(
            occurred_at=stated.occurred_at,
            source=stated.source,
            subject=stated.subject,
            version=stated.version,
            identifiers=reading.identifiers(resource.identifier),
            resource_type=reading.kind,
            name=_written(preferred_name(resource.name, reading)),
            active=resource.active,
        ),
    )


def _written(name: HumanName | None) -> str:
    if name is None:
        return ""
    return name.text or " ".join(part for part in (*name.given, name.family) if part)
