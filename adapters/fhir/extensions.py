"""Addresses of the extensions that the twin writes and reads.

Those of the twin's own begin with `EXTENSION`; the others are FHIR's for elements that R5 no longer
has (https://hl7.org/fhir/R5/versions.html#extensions).
"""

EXTENSION = "urn:wardtwin:extension:"
MILESTONE = f"{EXTENSION}milestone"
_OF_R4 = "http://hl7.org/fhir/4.0/StructureDefinition/extension-"
STATUS_HISTORY = f"{_OF_R4}Encounter.statusHistory"
CLASS_HISTORY = f"{_OF_R4}Encounter.classHistory"
DEVICE_PATIENT = f"{_OF_R4}Device.patient"
