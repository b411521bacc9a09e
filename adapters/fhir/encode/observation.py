"""A result or a measurement as a FHIR Observation."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from adapters.fhir.encode.words import (
    Json,
    Parts,
    Row,
    code,
    coding,
    concept,
    extension,
    identifiers,
    instant,
    named,
    reference,
    source_system,
    text,
    uri,
    worded,
)
from adapters.fhir.times import moment

INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
DATA_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_WITHHELD = "masked"
_UNKNOWN = "unknown"


def observation(parts: Parts) -> Json:
    """The observation, with its value or the reason why it has none."""
    (row,) = parts["observation"]
    return {
        "resourceType": "Observation",
        "extension": _sub_id(row),
        "identifier": identifiers(parts["observation_source"]),
        "basedOn": [named("ServiceRequest", source_system("placer"), row["placer_order"])],
        "status": code(row["status"]),
        "code": _what(row),
        "subject": reference("Patient", row["patient_id"]),
        "encounter": reference("Encounter", row["encounter_id"]),
        "effectiveDateTime": instant(row["effective_at"]),
        "issued": instant(row["reported_at"]),
        **_value(row),
        "interpretation": list(_flags(row)),
        "bodySite": worded(row["body_site"]),
        "device": reference("Device", row["device_id"]),
        "referenceRange": [worded(row["reference_range"])],
    }


def _what(row: Row) -> Json:
    return concept(row["code_system"], row["code"], row["display"]) or {"text": _UNKNOWN}


def _sub_id(row: Row) -> list[Json]:
    """What tells apart equal codes of one report, and the filler's number of the order."""
    told = (("sub-id", row["sub_id"]), ("filler-order", row["filler_order"]))
    return [extension(name, valueString=text(value)) for name, value in told if text(value)]


def _flags(row: Row) -> Iterable[Json]:
    for flag in text(row["interpretation"]).split():
        yield {"coding": [coding(INTERPRETATION, flag)]}


def _value(row: Row) -> Json:
    if row["withheld"]:
        return {"dataAbsentReason": {"coding": [coding(DATA_ABSENT, _WITHHELD)]}}
    if not text(row["value"]):
        return {}
    told = _VALUES.get(row["value_type"], _string)(row)
    return told if told is not None else _string(row) or {}


def _quantity(row: Row) -> Json | None:
    """A number with its unit; the code of the unit only where its system is known."""
    number = row["value_number"]
    if number is None:
        return None
    unit, system = text(row["unit"]), uri(row["unit_system"])
    return {
        "valueQuantity": {
            "value": _decimal(number),
            "comparator": row["comparator"],
            "unit": unit,
            "system": system if unit and system else None,
            "code": code(unit) if unit and system else None,
        }
    }


def _decimal(number: float) -> int | float:
    """A number as short as it can be told."""
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _concept(row: Row) -> Json | None:
    if not code(row["value_code"]):
        return {"valueCodeableConcept": worded(row["value"])}
    return {
        "valueCodeableConcept": {
            "coding": [coding(row["value_system"], row["value_code"])],
            "text": text(row["value"]),
        }
    }


def _string(row: Row) -> Json | None:
    return {"valueString": text(row["value"])}


def _date_time(row: Row) -> Json | None:
    told = _told(row["value"])
    return {"valueDateTime": row["value"]} if told is not None else None


def _boolean(row: Row) -> Json | None:
    return {"valueBoolean": row["value"] == "true"} if row["value"] in ("true", "false") else None


def _integer(row: Row) -> Json | None:
    number = row["value_number"]
    if number is None or not number.is_integer() or abs(number) >= 2**31:
        return None
    return {"valueInteger": int(number)}


def _told(value: str) -> datetime | None:
    try:
        return moment(value, UTC).at
    except ValueError:
        return None


_VALUES: dict[str, Callable[[Row], dict[str, Any] | None]] = {
    "Quantity": _quantity,
    "CodeableConcept": _concept,
    "dateTime": _date_time,
    "boolean": _boolean,
    "integer": _integer,
}
