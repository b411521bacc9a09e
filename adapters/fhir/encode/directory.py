"""Entries of the directory as FHIR Organizations and Practitioners."""

from collections.abc import Sequence

from adapters.fhir.encode.words import Json, Parts, Row, source_system, text, uri
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


def _identifiers(rows: Sequence[Row]) -> list[Json]:
    listed = [_identifier(row) for row in rows]
    return sorted(listed, key=lambda one: (one["system"], one["value"]))


def _identifier(row: Row) -> Json:
    own = str(row["value"]).startswith(f"{row['resource_type']}/")
    if own and row["system"] != FACILITY_SYSTEM:
        system = source_system(row["system"])
        return {"use": "secondary", "system": system, "value": text(row["value"])}
    return {"system": uri(row["system"]), "value": text(row["value"])}
