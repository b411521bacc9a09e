"""What the HL7 v2 standard calls its trigger events, segments, fields and components.

The names of fields and components depend on the version and come from hl7apy, which is imported on
first use: explaining a message needs them, translating one does not.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from adapters.hl7v2.codes import ACT_CODES, APPOINTMENT_STATUSES, CLASSES, GENDERS

DEFAULT_VERSION = "2.5.1"
NEWEST_VERSION = "2.8.2"
"""The newest version that hl7apy knows; it also names the fields of 2.9."""

TRIGGER_NAMES: dict[str, str] = {
    "A01": "Admit, visit notification",
    "A02": "Transfer a patient",
    "A03": "Discharge, end visit",
    "A04": "Register a patient",
    "A05": "Pre-admit a patient",
    "A06": "Change an outpatient to an inpatient",
    "A07": "Change an inpatient to an outpatient",
    "A08": "Update patient information",
    "A09": "Patient departing, tracking",
    "A10": "Patient arriving, tracking",
    "A11": "Cancel admit, visit notification",
    "A12": "Cancel transfer",
    "A13": "Cancel discharge, end visit",
    "A14": "Pending admit",
    "A15": "Pending transfer",
    "A16": "Pending discharge",
    "A17": "Swap patients",
    "A18": "Merge patient information",
    "A19": "Patient query",
    "A20": "Bed status update",
    "A21": "Patient goes on a leave of absence",
    "A22": "Patient returns from a leave of absence",
    "A23": "Delete a patient record",
    "A24": "Link patient information",
    "A25": "Cancel pending discharge",
    "A26": "Cancel pending transfer",
    "A27": "Cancel pending admit",
    "A28": "Add person information",
    "A29": "Delete person information",
    "A30": "Merge person information",
    "A31": "Update person information",
    "A32": "Cancel patient arriving, tracking",
    "A33": "Cancel patient departing, tracking",
    "A34": "Merge patient information, patient id only",
    "A35": "Merge patient information, account number only",
    "A36": "Merge patient information, patient id and account number",
    "A37": "Unlink patient information",
    "A38": "Cancel pre-admit",
    "A39": "Merge person, patient id",
    "A40": "Merge patient, patient identifier list",
    "A41": "Merge account, patient account number",
    "A42": "Merge visit, visit number",
    "A43": "Move patient information, patient identifier list",
    "A44": "Move account information, patient account number",
    "A45": "Move visit information, visit number",
    "A46": "Change patient id",
    "A47": "Change patient identifier list",
    "A48": "Change alternate patient id",
    "A49": "Change patient account number",
    "A50": "Change visit number",
    "A51": "Change alternate visit id",
    "A52": "Cancel leave of absence",
    "A53": "Cancel return from a leave of absence",
    "A54": "Change attending doctor",
    "A55": "Cancel change of attending doctor",
    "A56": "Not defined by chapter 3",
    "A57": "Not defined by chapter 3",
    "A58": "Not defined by chapter 3",
    "A59": "Not defined by chapter 3",
    "A60": "Update adverse reaction information",
    "A61": "Change consulting doctor",
    "A62": "Cancel change of consulting doctor",
    "Z99": "Correct or cancel a movement (IHE PAM)",
    "S12": "New appointment booked",
    "S13": "Appointment rescheduled",
    "S14": "Appointment modified",
    "S15": "Appointment cancelled",
    "S16": "Appointment discontinued",
    "S17": "Appointment deleted",
    "S18": "Service or resource added to an appointment",
    "S19": "Service or resource of an appointment modified",
    "S20": "Service or resource of an appointment cancelled",
    "S21": "Service or resource of an appointment discontinued",
    "S22": "Service or resource of an appointment deleted",
    "S23": "Schedule time slots blocked",
    "S24": "Schedule time slots opened",
    "S25": "Not defined for SIU by chapter 10",
    "S26": "Patient did not show up",
    "S27": "Broadcast of scheduled appointments",
    "R01": "Unsolicited observations",
    "R30": "Unsolicited point-of-care observation, no order: place one",
    "R31": "Unsolicited point-of-care observation, new order: search for one",
    "R32": "Unsolicited point-of-care observation, with its order",
    "R40": "Unsolicited alert observation (alarm)",
    "R41": "Alert observation, status of its dissemination",
    "R42": "Unsolicited device event observation",
    "R43": "Unsolicited association of patient and device",
}
"""Table 0003, for the message types that are taken."""

SEGMENT_NAMES: dict[str, str] = {
    "ACC": "Accident",
    "AIG": "Appointment information, general resource",
    "AIL": "Appointment information, location resource",
    "AIP": "Appointment information, personnel resource",
    "AIS": "Appointment information, service",
    "AL1": "Patient allergy information",
    "ARV": "Access restriction",
    "BHS": "Batch header",
    "BTS": "Batch trailer",
    "DB1": "Disability",
    "DG1": "Diagnosis",
    "DRG": "Diagnosis related group",
    "DSC": "Continuation pointer",
    "ERR": "Error",
    "EVN": "Event type",
    "FHS": "File header",
    "FTS": "File trailer",
    "GT1": "Guarantor",
    "IAM": "Patient adverse reaction information",
    "IN1": "Insurance",
    "IN2": "Insurance, additional information",
    "IN3": "Insurance, certification",
    "MRG": "Merge patient information",
    "MSA": "Message acknowledgement",
    "MSH": "Message header",
    "NK1": "Next of kin and associated parties",
    "NPU": "Bed status update",
    "NTE": "Notes and comments",
    "OBR": "Observation request",
    "OBX": "Observation and result",
    "ORC": "Common order",
    "OVR": "Override",
    "PD1": "Patient additional demographic",
    "PDA": "Patient death and autopsy",
    "PID": "Patient identification",
    "PR1": "Procedures",
    "PRT": "Participation information",
    "PV1": "Patient visit",
    "PV2": "Patient visit, additional information",
    "RGS": "Resource group",
    "ROL": "Role",
    "SCH": "Scheduling activity information",
    "SFT": "Software",
    "SPM": "Specimen",
    "TQ1": "Timing and quantity",
    "TQ2": "Timing and quantity, relationship",
    "UAC": "User authentication credential",
    "UB1": "Uniform billing 1",
    "UB2": "Uniform billing 2",
    "ZBE": "Movement (IHE PAM)",
}
_MOVEMENT_FIELDS = (
    # ZBE is defined by IHE PAM, not by HL7: hl7apy does not know it.
    ("Movement ID", "EI"),
    ("Start of movement date/time", "TS"),
    ("End of movement date/time", "TS"),
    ("Action on the movement", "ID"),
    ("Historical movement indicator", "ID"),
    ("Original trigger event code", "ID"),
    ("Responsible ward", "XON"),
    ("Responsible nursing ward", "XON"),
    ("Movement scope", "CWE"),
)
_DISPOSITIONS = tuple(f"{number:02}" for number in range(1, 43))
"""Table 0112, whose ranges are free for sites."""
_UPPER = {"id": "ID", "hl7": "HL7", "ssn": "SSN", "drg": "DRG", "ods": "ODS", "md": "MD"}


class Named(NamedTuple):
    """A field or component by name: its data type (empty where not known) and its own parts."""

    name: str = ""
    datatype: str = ""
    parts: "tuple[Named, ...]" = ()

    def part(self, number: int) -> "Named":
        """The component or subcomponent of that number, nameless where the standard has none."""
        return self.parts[number - 1] if number <= len(self.parts) else NAMELESS


NAMELESS = Named()


def trigger_name(trigger_event: str) -> str:
    """What the standard calls `ADT^A01`; empty for an event that is not listed here."""
    return TRIGGER_NAMES.get(trigger_event.rpartition("^")[2], "")


def version_named(version: str) -> str:
    """The version whose names explain a message that states `version` in MSH-12."""
    import hl7apy

    if version in hl7apy.SUPPORTED_LIBRARIES:
        return version
    return NEWEST_VERSION if version.startswith("2.9") else DEFAULT_VERSION


def segment_name(segment: str) -> str:
    """What the standard calls a segment; for a Z segment, that it is the site's own."""
    named = SEGMENT_NAMES.get(segment, "")
    return named or ("Segment of the site" if segment.startswith("Z") else "")


@cache
def fields_of(segment: str, version: str) -> tuple[Named, ...]:
    """The fields of a segment in order, by a version that `version_named` gave.

    A segment that the version does not have is named by the newest one; a Z segment has no names.
    """
    import hl7apy

    if segment == "ZBE":
        return tuple(Named(name, datatype) for name, datatype in _MOVEMENT_FIELDS)
    for known in (version, NEWEST_VERSION):
        _, *described = hl7apy.load_library(known).SEGMENTS.get(segment, ("",))
        if described:
            return _parts(described[0], segment)
    return ()


@cache
def datatype_named(datatype: str, version: str) -> Named:
    """A data type with its components, for fields whose type the message itself states (OBX-5)."""
    import hl7apy

    library = hl7apy.load_library(version)
    described = (library.DATATYPES_STRUCTS or {}).get(datatype)
    if described is None:
        return Named("", datatype)
    return Named("", datatype, _parts(described))


@cache
def codes_of(name: str) -> frozenset[str]:
    """The codes of the table of a field (`PV1-2`, `SCH-25.1`), `CX.5` or a word of an event.

    In capitals; with what the twin takes beside the standard's own codes.
    """
    import hl7apy

    field, _, _ = _TABLED_WORDS.get(name, name).partition(".")
    segment, _, number = field.partition("-")
    found: set[str] = {*_MORE_CODES.get(name, ())}
    for version in (DEFAULT_VERSION, NEWEST_VERSION):
        library = hl7apy.load_library(version)
        table = "HL70203" if name in ("type", "CX.5") or name.endswith(".5") else ""
        entries = library.SEGMENTS.get(segment, ("", ()))[1] if number and not table else ()
        if number and int(number) <= len(entries):
            table = entries[int(number) - 1][1][4] or ""
        found.update(library.TABLES.get(table, ("", ()))[1])
    return frozenset(code.upper() for code in found)


@cache
def codes_of_table(number: str) -> frozenset[str]:
    """The codes of a table by its number (`0125`), as the standard writes them."""
    import hl7apy

    found: set[str] = {*_MORE_IN_TABLES.get(number, ())}
    for version in (DEFAULT_VERSION, NEWEST_VERSION):
        found.update(hl7apy.load_library(version).TABLES.get(f"HL7{number}", ("", ()))[1])
    return frozenset(code for code in found if code.strip("."))


_MORE_IN_TABLES: dict[str, Iterable[str]] = {
    # ID and SI are value types since 2.5; 0104 goes on after 2.8.1.
    "0125": ("ID", "SI"),
    "0104": ("2.8.2", "2.9", "2.9.1"),
}
_TABLED_WORDS = {
    "class": "PV1-2",
    "sex": "PID-8",
    "admit_source": "PV1-14",
    "disposition": "PV1-36",
}
_MORE_CODES: dict[str, Iterable[str]] = {
    "PV1-2": (*CLASSES, *ACT_CODES),
    "class": (*CLASSES, *ACT_CODES),
    "PID-8": GENDERS,
    "sex": (*GENDERS, *GENDERS.values()),
    "PV1-36": _DISPOSITIONS,
    "disposition": _DISPOSITIONS,
    "SCH-25.1": APPOINTMENT_STATUSES,
    "ZBE-4": ("INSERT", "UPDATE", "CANCEL"),
    "ZBE-6": TRIGGER_NAMES,
    "EVN-1": TRIGGER_NAMES,
    "ZBE-9.1": ("HMS",),
    "type": ("start", "reference"),
}


def _parts(entries: Any, segment: str = "") -> tuple[Named, ...]:
    """hl7apy's (name, reference, cardinality, kind) of every part; 2.1 and 2.7 have gaps."""
    return tuple(
        _named(entry[1] if isinstance(entry, tuple) and len(entry) > 1 else None, segment)
        for entry in entries or ()
    )


def _named(reference: Any, segment: str = "") -> Named:
    """hl7apy's (leaf or sequence, parts, data type, NAME, ...) as a name."""
    if not isinstance(reference, tuple | list) or len(reference) < 4:
        return NAMELESS
    _, parts, datatype, name, *_ = reference
    named = _words((name or "").removesuffix(f"_{segment}"))
    return Named(named, datatype or "", _parts(parts))


def _words(name: str) -> str:
    """`DATE_TIME_OF_BIRTH` as people write it."""
    words = " ".join(_UPPER.get(word, word) for word in name.lower().split("_"))
    words = words.replace("date time", "date/time").replace(" s ", "'s ")
    return words[:1].upper() + words[1:]
