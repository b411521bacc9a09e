"""A patient record as a FHIR Patient."""

from collections.abc import Sequence

from adapters.fhir.codes import GENDER
from adapters.fhir.encode.words import Json, Parts, Row, identifiers, instant, reference, text

_DATE_CHARACTERS = {"year": 4, "month": 7}


def patient(parts: Parts) -> Json:
    """The record; one that was merged away is inactive and says into which."""
    (row,) = parts["patient"]
    return {
        "resourceType": "Patient",
        "identifier": identifiers(parts["patient_identifier"]),
        "active": row["merged_into"] is None,
        "name": [{"family": text(row["family_name"]), "given": [text(row["given_name"])]}],
        "gender": row["sex"] if row["sex"] in GENDER else None,
        "birthDate": _birth_date(row),
        "deceasedDateTime": instant(row["deceased_at"]),
        "deceasedBoolean": row["deceased"] if row["deceased_at"] is None else None,
        "address": [{"postalCode": text(row["postal_code"])}],
        "link": _links(row, parts["patient_link"]),
    }


def _birth_date(row: Row) -> str | None:
    born = row["birth_date"]
    if born is None:
        return None
    return str(born.isoformat()[: _DATE_CHARACTERS.get(row["birth_date_precision"], 10)])


def _links(row: Row, linked: Sequence[Row]) -> list[Json]:
    into = row["merged_into"]
    found = [{"other": reference("Patient", into), "type": "replaced-by"}] if into else []
    present = sorted(one["linked_patient_id"] for one in linked if one["to_at"] is None)
    return found + [{"other": reference("Patient", id_), "type": "seealso"} for id_ in present]
