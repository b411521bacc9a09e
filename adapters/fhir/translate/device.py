"""A FHIR Device as a statement of what it is, where it is and whom it serves."""

from adapters.fhir import codes
from adapters.fhir.extensions import DEVICE_PATIENT
from adapters.fhir.reading import Reading, words_of
from adapters.fhir.shapes import Device, DeviceR5
from adapters.fhir.translate.statement import Stated
from twin_core.events import DeviceStated, Event
from twin_core.identifiers import Identifier


def device(resource: Device | DeviceR5, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """The Device itself."""
    return (
        DeviceStated(
            occurred_at=stated.occurred_at,
            source=stated.source,
            subject=stated.subject,
            version=stated.version,
            identifiers=reading.connecting(resource.identifier),
            kind=_kind(resource),
            name=_name(resource),
            manufacturer=resource.manufacturer,
            model=resource.model_number,
            serial_number=resource.serial_number,
            status=reading.known(resource.status, codes.DEVICE_STATUS, "status"),
            location=reading.reference(resource.location, "location"),
            patient=_patient(resource, reading),
        ),
    )


def _kind(resource: Device | DeviceR5) -> str:
    if isinstance(resource, DeviceR5):
        return next((words_of(one) for one in resource.type), "")
    return words_of(resource.type)


def _name(resource: Device | DeviceR5) -> str:
    """The name a person on the ward would use, else the first one."""
    if isinstance(resource, DeviceR5) and resource.display_name:
        return resource.display_name
    friendly = [one.name for one in resource.device_name if one.type == "user-friendly-name"]
    return next(iter([*friendly, *(one.name for one in resource.device_name)]), "")


def _patient(resource: Device | DeviceR5, reading: Reading) -> Identifier | None:
    if isinstance(resource, DeviceR5):
        told = (one.value_reference for one in resource.extension if one.url == DEVICE_PATIENT)
        return reading.reference(next(told, None), "extension")
    return reading.reference(resource.patient, "patient")
