"""A device as a FHIR Device."""

from adapters.fhir.codes import DEVICE_STATUS
from adapters.fhir.encode.words import Json, Parts, identifiers, local, reference, text


def device(parts: Parts) -> Json:
    """What it is, where it is and whom it serves."""
    (row,) = parts["device"]
    name = text(row["name"])
    return {
        "resourceType": "Device",
        "identifier": identifiers(parts["device_identifier"]),
        "status": row["status"] if row["status"] in DEVICE_STATUS else None,
        "manufacturer": text(row["manufacturer"]),
        "serialNumber": text(row["serial_number"]),
        "deviceName": [{"name": name, "type": "user-friendly-name"}] if name else [],
        "modelNumber": text(row["model"]),
        "type": local(row["kind"]),
        "patient": reference("Patient", row["patient_id"]),
        "location": reference("Location", row["location_id"]),
    }
