"""The twin's resources in R5, from what they are in R4: names that changed, codes that changed.

What R5 has no element for any more is told in the extensions that FHIR itself gives to elements of
other editions (https://hl7.org/fhir/R5/versions.html#extensions), so that nothing is lost.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adapters.fhir.encode.words import Json
from adapters.fhir.extensions import CLASS_HISTORY, DEVICE_PATIENT, STATUS_HISTORY
from adapters.fhir.release import Release

SUBJECT_STATUS_SYSTEM = "http://hl7.org/fhir/encounter-subject-status"
STATUSES: Mapping[str, tuple[str, str]] = {
    "arrived": ("in-progress", "arrived"),
    "triaged": ("in-progress", "triaged"),
    "onleave": ("on-hold", "on-leave"),
    "finished": ("completed", ""),
}
"""Encounter.status in R4 -> status and subjectStatus in R5; any other is the same in both."""


def in_release(resource: Json, release: Release) -> Json:
    """A resource of the twin's, told in R4, in another edition."""
    change = _CHANGES.get(str(resource.get("resourceType")))
    return change(resource) if release is Release.R5 and change is not None else resource


def _renamed(resource: Json, **names: str) -> Json:
    """The resource with elements by other names, in the same order."""
    return {names.get(name, name): told for name, told in resource.items()}


def _references(resource: Json, *names: str) -> Json:
    """The resource with concepts as concepts that may be references instead."""
    return {name: _concepts(told) if name in names else told for name, told in resource.items()}


def _concepts(told: Any) -> Any:
    return [{"concept": one} for one in told] if isinstance(told, list) else {"concept": told}


def _encounter(resource: Json) -> Json:
    status, of_subject = STATUSES.get(resource["status"], (resource["status"], ""))
    told = _references(
        _renamed(resource, period="actualPeriod", hospitalization="admission"), "serviceType"
    )
    histories = [
        *_history(STATUS_HISTORY, told.pop("statusHistory", ()), "status", "valueCode"),
        *_history(CLASS_HISTORY, told.pop("classHistory", ()), "class", "valueCoding"),
    ]
    if histories:
        told["extension"] = [*told.get("extension", ()), *histories]
    told["status"] = status
    if of_subject:
        coded = {"system": SUBJECT_STATUS_SYSTEM, "code": of_subject}
        told["subjectStatus"] = {"coding": [coded]}
    stated = told.pop("class", {})
    if "code" in stated:
        told["class"] = [{"coding": [stated]}]
    if "serviceType" in told:
        told["serviceType"] = [told["serviceType"]]
    if "participant" in told:
        told["participant"] = [_renamed(one, individual="actor") for one in told["participant"]]
    return told


def _history(url: str, past: Iterable[Json], name: str, value: str) -> Iterable[Json]:
    for one in past:
        parts = [{"url": name, value: one[name]}]
        if "period" in one:
            parts.append({"url": "period", "valuePeriod": one["period"]})
        yield {"url": url, "extension": parts}


def _location(resource: Json) -> Json:
    return _renamed(resource, physicalType="form")


def _device(resource: Json) -> Json:
    told = _renamed(resource, deviceName="name")
    if told.get("status") == "unknown":
        del told["status"]
    if "name" in told:
        told["name"] = [_renamed(one, name="value") for one in told["name"]]
    if "type" in told:
        told["type"] = [told["type"]]
    patient = told.pop("patient", None)
    if patient is not None:
        told["extension"] = [{"url": DEVICE_PATIENT, "valueReference": patient}]
    return told


def _appointment(resource: Json) -> Json:
    told = _renamed(resource, cancelationReason="cancellationReason", reasonCode="reason")
    return _references(told, "serviceType", "reason")


def _procedure(resource: Json) -> Json:
    return _renamed(
        resource, performedDateTime="occurrenceDateTime", performedPeriod="occurrencePeriod"
    )


def _request(resource: Json) -> Json:
    return _references(resource, "code")


def _offer(resource: Json) -> Json:
    return _references(resource, "serviceType")


def _metric(resource: Json) -> Json:
    told = _renamed(resource, source="device")
    return told if "device" in told else {**told, "device": _UNKNOWN}


_UNKNOWN: Json = {"display": "unknown"}


def _report(resource: Json) -> Json:
    if "group" not in resource:
        return resource
    return {**resource, "group": [_group(one) for one in resource["group"]]}


def _group(group: Json) -> Json:
    told = _renamed(group, measureScore="measureScoreQuantity")
    if "stratifier" in told:
        told["stratifier"] = [_stratifier(one) for one in told["stratifier"]]
    return told


def _stratifier(stratifier: Json) -> Json:
    told = dict(stratifier)
    if told.get("code"):
        told["code"] = told["code"][0]
    told["stratum"] = [_stratum(one) for one in told.get("stratum", ())]
    return told


def _stratum(stratum: Json) -> Json:
    told = _renamed(stratum, measureScore="measureScoreQuantity")
    parts = told.get("component", ())
    told["component"] = [_renamed(one, value="valueCodeableConcept") for one in parts]
    return told


_CHANGES: Mapping[str, Callable[[Json], Json]] = {
    "Encounter": _encounter,
    "Location": _location,
    "Device": _device,
    "Appointment": _appointment,
    "Procedure": _procedure,
    "ServiceRequest": _request,
    "Schedule": _offer,
    "Slot": _offer,
    "DeviceMetric": _metric,
    "MeasureReport": _report,
}
