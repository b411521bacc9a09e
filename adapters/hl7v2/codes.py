"""HL7 v2 code tables and what their codes are in FHIR."""

CLASSES: dict[str, str | None] = {
    # Table 0004 (PV1-2 patient class) -> v3 ActCode, as the v2-to-FHIR guide maps it.
    "I": "IMP",
    "E": "EMER",
    "O": "AMB",
    "P": "PRENC",
    "R": "AMB",
    "B": "IMP",
    # Standard codes that say nothing of the kind of encounter.
    "C": None,
    "N": None,
    "U": None,
}
ACT_CODES = frozenset(
    {"AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR"}
)
"""v3 ActCode encounter classes, which newer senders put into PV1-2 themselves."""

NO_VISIT = "N"
"""PV1-2 of a message that is about the person only (3.3.28, 3.3.31)."""

GENDERS: dict[str, str] = {
    # Table 0001 (PID-8 administrative sex) -> FHIR administrative gender.
    "F": "female",
    "M": "male",
    "O": "other",
    "A": "other",
    "N": "other",
    "X": "other",
    "U": "unknown",
    "FEMALE": "female",
    "MALE": "male",
    "OTHER": "other",
    "UNKNOWN": "unknown",
}

BED_STATUSES = frozenset("CHOUKI")
"""Table 0116: closed, housekeeping, occupied, unoccupied, contaminated, isolated."""

YES_NO = {"Y": True, "N": False}
"""Table 0136."""

APPOINTMENT_STATUSES: dict[str, str | None] = {
    # Table 0278 (SCH-25 filler status) -> FHIR R4 Appointment.status, as the v2-to-FHIR guide maps
    # it; in capitals and without blanks, because senders spell them in many ways.
    "PENDING": "pending",
    "WAITLIST": "waitlist",
    "BOOKED": "booked",
    "OVERBOOK": "booked",
    "STARTED": "checked-in",
    "COMPLETE": "fulfilled",
    "CANCELLED": "cancelled",
    "DC": "cancelled",
    "DELETED": "entered-in-error",
    "NOSHOW": "noshow",
    # A code of time slots, which says nothing of an appointment.
    "BLOCKED": None,
    # FHIR's own codes and the words that scheduling systems use beside the table's.
    "PROPOSED": "proposed",
    "ARRIVED": "arrived",
    "CHECKEDIN": "checked-in",
    "FULFILLED": "fulfilled",
    "COMPLETED": "fulfilled",
    "CANCELED": "cancelled",
    "DISCONTINUED": "cancelled",
    "ENTEREDINERROR": "entered-in-error",
    "WAITLISTED": "waitlist",
    "SCH": "booked",
    "SCHEDULED": "booked",
    "RESCHEDULED": "booked",
    "CONFIRMED": "booked",
}

SEGMENT_ACTIONS = frozenset("ADUX")
"""Table 0206: added, deleted, updated, no change."""

MINUTES: dict[str, float] = {
    # Units of time as ISO+ and senders have them, in capitals -> minutes. None given: minutes.
    **dict.fromkeys(("S", "SEC", "SECS", "SECOND", "SECONDS"), 1 / 60),
    **dict.fromkeys(("", "M", "MIN", "MINS", "MINUTE", "MINUTES"), 1),
    **dict.fromkeys(("H", "HR", "HRS", "HOUR", "HOURS"), 60),
    **dict.fromkeys(("D", "DAY", "DAYS"), 24 * 60),
    **dict.fromkeys(("W", "WK", "WEEK", "WEEKS"), 7 * 24 * 60),
}

RESULT_STATUSES: dict[str, str] = {
    # Table 0085 (OBX-11), and 0123 (OBR-25) where OBX-11 is empty -> FHIR Observation.status, as
    # the v2-to-FHIR guide maps it.
    "F": "final",
    "C": "corrected",
    "P": "preliminary",
    "R": "preliminary",
    "S": "preliminary",
    "I": "registered",
    "O": "registered",
    "D": "entered-in-error",
    "W": "entered-in-error",
    "X": "cancelled",
    "N": "cancelled",
    "U": "final",
    "V": "final",
    "A": "amended",
    "B": "amended",
    "M": "corrected",
    "Y": "unknown",
    "Z": "unknown",
}
STATUS_ONLY = frozenset("DWU")
"""Codes of table 0085 that change the status of what was reported before, without its value."""

VERSIONS = frozenset(
    "2.0 2.0D 2.1 2.2 2.3 2.3.1 2.3.2 2.4 2.5 2.5.1 2.6 2.7 2.7.1 2.8 2.8.1 2.8.2 2.9 2.9.1".split()
)
"""The versions of HL7 v2 (table 0104)."""

ACKNOWLEDGEMENTS = frozenset({"ACK", "MCF"})
"""Message types that answer another message: they say nothing of a patient."""

TRIGGER_EVENTS: dict[str, frozenset[str]] = {
    "ADT": frozenset({*(f"A{number:02}" for number in range(1, 63)), "Z99"}),
    # S25 is not assigned; S27 is a broadcast of appointments that are known already.
    "SIU": frozenset(f"S{number}" for number in range(12, 28) if number != 25),
    "ORU": frozenset({"R01", "R30", "R31", "R32", "R40", "R41", "R42"}),
    "ORA": frozenset({"R41"}),
}
"""The message types that are taken, each with its trigger events: ADT A01 to A62 (chapter 3) and
Z99, by which IHE PAM corrects a movement; SIU S12 to S27 (chapter 10); observations and alarms
(chapter 7; R42 as IHE's device profiles use it)."""
