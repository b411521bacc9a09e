"""FHIR out: answers to what was sent in, and the twin's own view as resources.

`ENCODERS` has a function for every resource type that the twin gives: from the rows that are known
of one resource to the resource, in R4 and R4B, without `id` and `meta`.
"""

from collections.abc import Callable

from adapters.fhir.encode.answers import (
    EntryAnswer,
    acceptance,
    bundle_response,
    encode,
    expression,
    headers,
    issue,
    location,
    operation_outcome,
    refusal,
)
from adapters.fhir.encode.appointment import appointment as _appointment
from adapters.fhir.encode.device import device as _device
from adapters.fhir.encode.directory import organization as _organization
from adapters.fhir.encode.directory import practitioner as _practitioner
from adapters.fhir.encode.encounter import encounter as _encounter
from adapters.fhir.encode.location import location as _location
from adapters.fhir.encode.observation import observation as _observation
from adapters.fhir.encode.patient import patient as _patient
from adapters.fhir.encode.words import Json, Parts, instant, pruned

__all__ = [
    "ENCODERS",
    "EntryAnswer",
    "Json",
    "Parts",
    "acceptance",
    "bundle_response",
    "encode",
    "expression",
    "headers",
    "instant",
    "issue",
    "location",
    "operation_outcome",
    "pruned",
    "refusal",
]

ENCODERS: dict[str, Callable[[Parts], Json]] = {
    "Patient": _patient,
    "Encounter": _encounter,
    "Location": _location,
    "Device": _device,
    "Organization": _organization,
    "Practitioner": _practitioner,
    "Appointment": _appointment,
    "Observation": _observation,
}
