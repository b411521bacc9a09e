"""Entries of the directory as the FHIR resources they came as."""

from collections.abc import Sequence

from adapters.fhir.encode.words import Json, Parts, Row, local, source_system, text, uri
from twin_core.identifiers import FACILITY_SYSTEM


def organization(parts: Parts) -> Json:
    """An organization that a source has stated, or a facility that messages name by its code."""
    rows = parts["directory"]
    return {
        "resourceType": "Organization",
        "identifier": _identifiers(rows),
        "active": rows[0]["active"],
        # An organization has a name or an identifier; where it lacks the name it has the other.
        "name": text(rows[0]["name"]),
    }


def practitioner(parts: Parts) -> Json:
    """Someone of the staff."""
    rows = parts["directory"]
    return {
        "resourceType": "Practitioner",
        "identifier": _identifiers(rows),
        "active": rows[0]["active"],
        "name": [{"text": text(rows[0]["name"])}],
    }


def practitioner_role(parts: Parts) -> Json:
    """What somebody of the staff is; who it is and where is not kept."""
    rows = parts["directory"]
    return {
        "resourceType": "PractitionerRole",
        "identifier": _identifiers(rows),
        "active": rows[0]["active"],
        "code": [local(rows[0]["name"])],
    }


def healthcare_service(parts: Parts) -> Json:
    """A service that the hospital offers."""
    rows = parts["directory"]
    return {
        "resourceType": "HealthcareService",
        "identifier": _identifiers(rows),
        "active": rows[0]["active"],
        "name": text(rows[0]["name"]),
    }


def _identifiers(rows: Sequence[Row]) -> list[Json]:
    listed = [_identifier(row) for row in rows]
    return sorted(listed, key=lambda one: (one["system"], one["value"]))


def _identifier(row: Row) -> Json:
    own = str(row["value"]).startswith(f"{row['resource_type']}/")
    if own and row["system"] != FACILITY_SYSTEM:
        system = source_system(row["system"])
        return {"use": "secondary", "system": system, "value": text(row["value"])}
    return {"system": uri(row["system"]), "value": text(row["value"])}
