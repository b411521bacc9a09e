"""A place as a FHIR Location, with who is in it now."""

from collections.abc import Iterable

from adapters.fhir.codes import OPERATIONAL_STATUS, PHYSICAL_TYPE
from adapters.fhir.encode.words import (
    Json,
    Parts,
    Row,
    code,
    coding,
    concept,
    extension,
    facility,
    identifiers,
    place_identifier,
    reference,
    text,
)

TABLE_0116 = "http://terminology.hl7.org/CodeSystem/v2-0116"
_TAKEN, _FREE = "O", "U"
_MEANING = {
    "C": "Closed",
    "H": "Housekeeping",
    "O": "Occupied",
    "U": "Unoccupied",
    "K": "Contaminated",
    "I": "Isolated",
}


def location(parts: Parts) -> Json:
    """The place. A bed is occupied while a patient is in it, whatever was last said of it."""
    (row,) = parts["location"]
    patients = _patients(parts["stay"])
    return {
        "resourceType": "Location",
        "extension": _occupancy(row, patients, parts["stay"]),
        "identifier": [place_identifier(row), *identifiers(parts["location_identifier"])],
        "status": "suspended" if row["staffed"] is False else "active",
        "operationalStatus": _operational(row, taken=patients > 0),
        "name": text(row["name"]) or _path(row),
        "mode": "instance",
        "physicalType": concept(PHYSICAL_TYPE, row["kind"]),
        "managingOrganization": facility(row["facility"]),
        "partOf": reference("Location", row["parent_id"]),
    }


def _patients(stays: Iterable[Row]) -> int:
    """Patients who are there now; one whom nobody has named counts by the visit."""
    open_stays = (stay for stay in stays if stay["to_at"] is None)
    return len({stay["patient_id"] or stay["encounter_id"] for stay in open_stays})


def _occupancy(row: Row, patients: int, stays: Iterable[Row]) -> list[Json]:
    """How many patients are in a bed or a unit now, and how many of a unit's beds are taken."""
    if row["kind"] not in ("bd", "wa"):
        return []
    told = [{"url": "patients", "valueUnsignedInt": patients}]
    if row["kind"] == "wa":
        beds = {(stay["room"], stay["bed"]) for stay in stays if stay["to_at"] is None}
        taken = sum(1 for _, bed in beds if bed is not None)
        told.append({"url": "bedsTaken", "valueUnsignedInt": taken})
    return [extension("occupancy", extension=told)]


def _operational(row: Row, *, taken: bool) -> Json | None:
    stated = code(row["operational_status"])
    if row["kind"] == "bd":
        if taken:
            stated = _TAKEN
        elif stated in ("", _TAKEN):
            stated = _FREE
    return coding(TABLE_0116, stated, _MEANING[stated]) if stated in OPERATIONAL_STATUS else None


def _path(row: Row) -> str:
    told = (text(row[level]) for level in ("facility", "unit", "room", "bed"))
    return " ".join(part for part in told if part)
