"""FHIR out: answers to what was sent in, and the twin's own view as resources.

`ENCODERS` has a function for every resource type that the twin gives: from the rows that are known
of one resource to the resource, in R4 and R4B, without `id` and `meta`; `in_release` tells it in
R5.
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
from adapters.fhir.encode.care import device_metric as _device_metric
from adapters.fhir.encode.care import procedure as _procedure
from adapters.fhir.encode.care import schedule as _schedule
from adapters.fhir.encode.care import service_request as _service_request
from adapters.fhir.encode.care import slot as _slot
from adapters.fhir.encode.care import task as _task
from adapters.fhir.encode.device import device as _device
from adapters.fhir.encode.directory import healthcare_service as _healthcare_service
from adapters.fhir.encode.directory import organization as _organization
from adapters.fhir.encode.directory import practitioner as _practitioner
from adapters.fhir.encode.directory import practitioner_role as _practitioner_role
from adapters.fhir.encode.encounter import encounter as _encounter
from adapters.fhir.encode.location import location as _location
from adapters.fhir.encode.observation import observation as _observation
from adapters.fhir.encode.patient import patient as _patient
from adapters.fhir.encode.r5 import in_release
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
    "in_release",
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
    "PractitionerRole": _practitioner_role,
    "HealthcareService": _healthcare_service,
    "Procedure": _procedure,
    "ServiceRequest": _service_request,
    "Task": _task,
    "Schedule": _schedule,
    "Slot": _slot,
    "DeviceMetric": _device_metric,
}
