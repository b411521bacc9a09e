"""Codes of the required value sets that the twin reads, per edition, and what they mean in R4."""

from adapters.fhir.release import Release

_ENCOUNTER_R4 = {
    code: code
    for code in (
        "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
    ).split()
}
_ENCOUNTER_R5 = {
    "planned": "planned",
    "in-progress": "in-progress",
    "on-hold": "onleave",
    "discharged": "finished",
    "completed": "finished",
    "cancelled": "cancelled",
    "discontinued": "cancelled",
    "entered-in-error": "entered-in-error",
    "unknown": "unknown",
}
ENCOUNTER_STATUS = {
    Release.R4: _ENCOUNTER_R4,
    Release.R4B: _ENCOUNTER_R4,
    Release.R5: _ENCOUNTER_R5,
}
"""Encounter.status of an edition -> the R4 code."""

SUBJECT_STATUS = {
    "arrived": "arrived",
    "triaged": "triaged",
    "receiving-care": "in-progress",
    "on-leave": "onleave",
    "departed": "finished",
}
"""Encounter.subjectStatus (R5) of an encounter in progress or on hold -> the R4 status."""

OCCUPIED = frozenset({"", "active", "completed"})
"""Encounter.location.status of a place where the patient is or was."""
LOCATION_USE = OCCUPIED | {"planned", "reserved"}

LOCATION_STATUS = frozenset({"active", "suspended", "inactive"})
LOCATION_MODE = frozenset({"instance", "kind"})
DEVICE_STATUS = frozenset({"active", "inactive", "entered-in-error", "unknown"})
GENDER = frozenset({"male", "female", "other", "unknown"})
LINK_TYPE = frozenset({"replaced-by", "replaces", "refer", "seealso"})
IDENTIFIER_USE = frozenset({"usual", "official", "temp", "secondary", "old"})
NAME_USE = frozenset({"usual", "official", "temp", "nickname", "anonymous", "old", "maiden"})
ADDRESS_USE = frozenset({"home", "work", "temp", "old", "billing"})

OBSERVATION_STATUS = frozenset(
    "registered preliminary final amended corrected cancelled entered-in-error unknown".split()
)
APPOINTMENT_STATUS = frozenset(
    "proposed pending booked arrived fulfilled cancelled noshow entered-in-error checked-in "
    "waitlist".split()
)
PARTICIPATION_STATUS = frozenset({"accepted", "declined", "tentative", "needs-action"})

PROCEDURE_STATUS = frozenset(
    "preparation in-progress not-done on-hold stopped completed entered-in-error unknown".split()
)
REQUEST_STATUS = frozenset(
    "draft active on-hold revoked completed entered-in-error unknown".split()
)
REQUEST_INTENT = frozenset(
    "proposal plan directive order original-order reflex-order filler-order instance-order "
    "option".split()
)
TASK_INTENT = (REQUEST_INTENT - {"directive"}) | {"unknown"}
TASK_STATUS = frozenset(
    "draft requested received accepted rejected ready cancelled in-progress on-hold failed "
    "completed entered-in-error".split()
)
PRIORITY = frozenset({"routine", "urgent", "asap", "stat"})
SLOT_STATUS = frozenset({"busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error"})
METRIC_STATUS = frozenset({"on", "off", "standby", "entered-in-error"})
METRIC_CATEGORY = frozenset({"measurement", "setting", "calculation", "unspecified"})

OPERATIONAL_STATUS = frozenset("CHOUKI")
"""HL7 table 0116."""

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ENCOUNTER_CLASSES = frozenset("EMER IMP AMB OBSENC PRENC SS HH VR NONAC ACUTE FLD".split())
"""v3 ActCode classes that the twin's words know; others are kept with a finding."""
PHYSICAL_TYPE = "http://terminology.hl7.org/CodeSystem/location-physical-type"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
ATTENDER = "ATND"
ACCOUNT = "AN"
"""Identifier type (HL7 table 0203) of an account number."""
