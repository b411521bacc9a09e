"""What the twin knows, table by table: every column of schema `twin` with its meaning.

One entity here is one bitemporal version table `core.<name>_version` (created by a numbered
migration), one table macro `history.<name>(known_at)` giving the rows as known at an instant
(NULL: now), and one view `twin.<name>` of the rows as known now. Versions carry four more columns:
`version_no`, `owner` (which fold produced the row), `known_from` and `known_to` (half-open; open
versions end at infinity).
"""

from typing import NamedTuple


class Column(NamedTuple):
    """A column: its name, its DuckDB type, and what it means to an analyst."""

    name: str
    type: str
    comment: str


class Entity(NamedTuple):
    """A versioned table: its name, what one row is, and its columns in order."""

    name: str
    comment: str
    columns: tuple[Column, ...]


_TEXT, _AT = "VARCHAR", "TIMESTAMPTZ"
_ENCOUNTER_ID = Column("encounter_id", _TEXT, "The encounter; see twin.encounter")
_PATIENT_ID = Column("patient_id", _TEXT, "The patient; see twin.patient")
_LOCATION_ID = Column("location_id", _TEXT, "The location; see twin.location")
_APPOINTMENT_ID = Column("appointment_id", _TEXT, "The appointment; see twin.appointment")
_SYSTEM = Column("system", _TEXT, "Who issued the identifier, as a URI")
_VALUE = Column("value", _TEXT, "The identifier itself")
_TYPE = Column("type", _TEXT, "HL7 table 0203 code as the source gave it; `reference` for FHIR ids")
_FACILITY = Column("facility", _TEXT, "Facility code after the feed's code map")
_UNIT = Column("unit", _TEXT, "Nursing unit or department (PV1-3.1) after the feed's code map")
_ROOM = Column("room", _TEXT, "Room (PV1-3.2)")
_BED = Column("bed", _TEXT, "Bed (PV1-3.3); NULL where no bed was named")
_FROM = Column("from_at", _AT, "First instant, inclusive")
_TO = Column("to_at", _AT, "Last instant, exclusive; NULL while open")
_OPERATIONAL = Column(
    "operational_status",
    _TEXT,
    "HL7 table 0116: C closed, H housekeeping, O occupied, U unoccupied, K contaminated, "
    "I isolated; NULL where never stated",
)
_STAFFED = Column("staffed", "BOOLEAN", "Whether the bed is open and staffed; NULL where unknown")

_RESULT_PATIENT = Column("patient_id", _TEXT, "The surviving patient record; NULL if not named")
_RESULT_ENCOUNTER = Column("encounter_id", _TEXT, "The visit it belongs to; NULL if not named")
_DEVICE_ID = Column("device_id", _TEXT, "The device; see twin.device")
_CODE_SYSTEM = Column("code_system", _TEXT, "Code system of the code, as a URI")

_SCHEDULE_ID = Column("schedule_id", _TEXT, "The schedule; see twin.schedule")
_REQUEST = (
    _RESULT_PATIENT,
    _RESULT_ENCOUNTER,
    Column("status", _TEXT, "FHIR status: draft, active, requested, in-progress, completed, ..."),
    Column("intent", _TEXT, "proposal, plan, order, ..."),
    Column("priority", _TEXT, "routine, urgent, asap or stat; NULL where not stated"),
    _CODE_SYSTEM,
    Column("code", _TEXT, "What is asked for"),
    Column("display", _TEXT, "The code's text as sent"),
    Column("authored_at", _AT, "When it was asked for"),
    Column("starts_at", _AT, "When it is to begin, or began"),
    Column("ends_at", _AT, "When it is to end, or ended"),
    Column("performer", _TEXT, "Who is to do it, as the source refers to them"),
)

ENTITIES: tuple[Entity, ...] = (
    Entity(
        "patient",
        "One row per patient record, merged ones included",
        (
            Column("patient_id", _TEXT, "Stable id of the record, derived from its identifiers"),
            Column("birth_date", "DATE", "Birth date; first day of the month or year if partial"),
            Column("birth_date_precision", _TEXT, "day, month or year"),
            Column("sex", _TEXT, "FHIR administrative gender: male, female, other, unknown"),
            Column("deceased", "BOOLEAN", "Whether the patient is known to have died"),
            Column("deceased_at", _AT, "When the patient died"),
            Column("family_name", _TEXT, "Family name"),
            Column("given_name", _TEXT, "First given name"),
            Column("postal_code", _TEXT, "Postal code of the first address"),
            Column("merged_into", _TEXT, "patient_id of the surviving record; NULL if not merged"),
        ),
    ),
    Entity(
        "patient_identifier",
        "Every identifier by which a patient record is known",
        (_PATIENT_ID, _SYSTEM, _VALUE, _TYPE),
    ),
    Entity(
        "patient_link",
        "Links between patient records that remain distinct, one row from each side",
        (
            _PATIENT_ID,
            Column("linked_patient_id", _TEXT, "The patient it is linked to; see twin.patient"),
            Column("from_at", _AT, "When they were linked, inclusive"),
            Column("to_at", _AT, "When they were unlinked, exclusive; NULL while linked"),
        ),
    ),
    Entity(
        "account_identifier",
        "Numbers of accounts that were merged, changed or moved: which account each is now",
        (
            Column("account_id", _TEXT, "The account as in twin.encounter"),
            _SYSTEM,
            _VALUE,
            _TYPE,
        ),
    ),
    Entity(
        "encounter",
        "One row per encounter (visit), cancelled ones included",
        (
            Column("encounter_id", _TEXT, "Stable id, derived from the encounter's identifiers"),
            Column("patient_id", _TEXT, "The surviving patient record; see twin.patient"),
            _FACILITY,
            Column("class", _TEXT, "v3 ActCode: EMER, IMP, AMB, OBSENC, PRENC, ..."),
            Column(
                "status",
                _TEXT,
                "FHIR R4: planned, arrived, triaged, in-progress, onleave, finished, cancelled, "
                "entered-in-error, unknown",
            ),
            Column("admitted_at", _AT, "Start of the visit (PV1-44, Encounter.period.start)"),
            Column("discharged_at", _AT, "Departure (PV1-45 of a discharge); NULL while open"),
            Column("service", _TEXT, "Hospital service (PV1-10), after the feed's code map"),
            Column("admit_source", _TEXT, "Where the patient came from (PV1-14)"),
            Column("disposition", _TEXT, "Where the patient went (PV1-36)"),
            Column("part_of", _TEXT, "encounter_id of the encounter this one belongs to"),
            Column("attending", _TEXT, "Identifier of the attending doctor (PV1-7)"),
            Column("start_inferred", "BOOLEAN", "The visit was first seen in the middle of a stay"),
            Column("account_id", _TEXT, "The account it belongs to now; several may share one"),
            Column("account", _TEXT, "The present number of that account (PID-18)"),
        ),
    ),
    Entity(
        "encounter_identifier",
        "Every identifier by which an encounter is known",
        (_ENCOUNTER_ID, _SYSTEM, _VALUE, _TYPE),
    ),
    Entity(
        "encounter_status",
        "The status history of an encounter, as half-open periods",
        (_ENCOUNTER_ID, Column("status", _TEXT, "FHIR R4 Encounter.status code"), _FROM, _TO),
    ),
    Entity(
        "encounter_class",
        "The class history of an encounter, as half-open periods",
        (_ENCOUNTER_ID, Column("class", _TEXT, "v3 ActCode"), _FROM, _TO),
    ),
    Entity(
        "encounter_milestone",
        "Named instants of an encounter's course",
        (
            _ENCOUNTER_ID,
            Column("kind", _TEXT, "bed_requested, decision_to_admit, triaged, ..."),
            Column("at", _AT, "When it was reached"),
        ),
    ),
    Entity(
        "encounter_plan",
        "What is to come for an encounter: an admission, a transfer, a discharge, a return",
        (
            Column("plan_id", _TEXT, "Stable id, derived from the encounter and what stated it"),
            _ENCOUNTER_ID,
            Column("kind", _TEXT, "admission, transfer, discharge, return (from leave)"),
            Column(
                "status",
                _TEXT,
                "active; done when it happened; replaced by a later plan of its kind; cancelled; "
                "lapsed where the visit ended without it",
            ),
            Column("stated_at", _AT, "When it was planned or requested"),
            Column("expected_at", _AT, "When it is expected (PV2-8, PV2-9, PV2-47, EVN-3, ZBE-2)"),
            Column("ended_at", _AT, "When it stopped being active; NULL while active"),
            _FACILITY,
            Column("unit", _TEXT, "Unit the patient is to go to; NULL where none was named"),
            _ROOM,
            Column("bed", _TEXT, "Bed reserved or assigned; NULL where none was named"),
            _LOCATION_ID,
        ),
    ),
    Entity(
        "encounter_tracking",
        "Where patients were besides their assigned bed: on the way, in theatre, in imaging",
        (
            _ENCOUNTER_ID,
            Column("status", _TEXT, "departed (on the way there) or arrived (there)"),
            Column("temporary", "BOOLEAN", "Whether it is a temporary location (PV1-11)"),
            _FACILITY,
            _UNIT,
            _ROOM,
            _BED,
            _LOCATION_ID,
            _FROM,
            _TO,
        ),
    ),
    Entity(
        "encounter_consultant",
        "The consulting doctors of an encounter",
        (
            _ENCOUNTER_ID,
            Column("practitioner", _TEXT, "Identifier of a consulting doctor (PV1-9)"),
        ),
    ),
    Entity(
        "stay",
        "One uninterrupted stay at one place; voided stays are not here",
        (
            Column("stay_id", _TEXT, "Stable id, derived from the encounter, place and start"),
            _ENCOUNTER_ID,
            Column("patient_id", _TEXT, "The surviving patient record; see twin.patient"),
            _FACILITY,
            _UNIT,
            _ROOM,
            _BED,
            _LOCATION_ID,
            _FROM,
            _TO,
            Column("start_inferred", "BOOLEAN", "The start was inferred, not reported"),
        ),
    ),
    Entity(
        "location",
        "Sites, buildings, units, rooms and beds, from resources and from messages",
        (
            Column("location_id", _TEXT, "Stable id, derived from the place or its identifier"),
            Column("kind", _TEXT, "FHIR physical type: si, bu, wi, wa (unit), ro (room), bd (bed)"),
            _FACILITY,
            _UNIT,
            _ROOM,
            _BED,
            Column("name", _TEXT, "Display name; never used to match"),
            Column("parent_id", _TEXT, "location_id of the location this one is part of"),
            _OPERATIONAL,
            _STAFFED,
        ),
    ),
    Entity(
        "location_identifier",
        "Every identifier by which a location is known",
        (_LOCATION_ID, _SYSTEM, _VALUE, _TYPE),
    ),
    Entity(
        "location_status",
        "The operational history of a location, as half-open periods",
        (
            _LOCATION_ID,
            _OPERATIONAL,
            _STAFFED,
            Column("from_at", _AT, "First instant, inclusive; NULL where it has always been so"),
            _TO,
        ),
    ),
    Entity(
        "device",
        "Devices, as FHIR Device resources state them or as their own reports show them",
        (
            Column("device_id", _TEXT, "Stable id, derived from the device's identifiers"),
            Column("kind", _TEXT, "Device type code"),
            Column("name", _TEXT, "Display name"),
            Column("manufacturer", _TEXT, "Manufacturer"),
            Column("model", _TEXT, "Model number"),
            Column("serial_number", _TEXT, "Serial number"),
            Column("status", _TEXT, "active, inactive, entered-in-error, unknown"),
            Column("location_id", _TEXT, "Where it is; see twin.location"),
            Column("patient_id", _TEXT, "Whom it is used on; see twin.patient"),
        ),
    ),
    Entity(
        "device_identifier",
        "Every identifier by which a device is known",
        (_DEVICE_ID, _SYSTEM, _VALUE, _TYPE),
    ),
    Entity(
        "directory",
        "Organizations and practitioners",
        (
            Column("resource_type", _TEXT, "Organization or Practitioner"),
            _SYSTEM,
            _VALUE,
            Column("name", _TEXT, "Name"),
            Column("active", "BOOLEAN", "Whether the record is in active use"),
        ),
    ),
    Entity(
        "appointment",
        "One row per appointment (one occurrence of a series), cancelled ones included",
        (
            Column("appointment_id", _TEXT, "Stable id, derived from its identifiers"),
            Column("patient_id", _TEXT, "The first patient; all are in twin.appointment_patient"),
            Column("encounter_id", _TEXT, "The first patient's visit, once the twin knows it"),
            Column(
                "status",
                _TEXT,
                "FHIR R4: proposed, pending, booked, arrived, fulfilled, cancelled, noshow, "
                "entered-in-error (deleted), checked-in, waitlist",
            ),
            Column("starts_at", _AT, "Start (TQ1-7, SCH-11.4), else of its first resource"),
            Column("ends_at", _AT, "End as stated, else start and duration; NULL where unknown"),
            Column("duration_minutes", "BIGINT", "From start to end, else as stated (SCH-9)"),
            _FACILITY,
            _UNIT,
            _ROOM,
            Column("location_id", _TEXT, "Its first location resource, else an outpatient's PV1-3"),
            Column("service", _TEXT, "Code, else name, of its first service (AIS-3)"),
            Column("appointment_type", _TEXT, "Type (SCH-8), as sent"),
            Column("urgency", _TEXT, "Priority (TQ1-9, SCH-11.6), as sent"),
            Column("reason", _TEXT, "Why it is needed (SCH-7): code, else text"),
            Column("cancel_reason", _TEXT, "Why it was cancelled, missed or deleted (SCH-6)"),
            Column("booked_at", _AT, "When it was first booked; NULL where that was not heard"),
            Column("cancelled_at", _AT, "When it was cancelled, missed or deleted; NULL if live"),
        ),
    ),
    Entity(
        "appointment_identifier",
        "Every identifier by which an appointment is known",
        (
            _APPOINTMENT_ID,
            _SYSTEM,
            _VALUE,
            Column("type", _TEXT, "PLAC placer (SCH-1), FILL filler (SCH-2); `reference` for FHIR"),
            Column("occurrence", _TEXT, "Which one of a series it is (SCH-3)"),
        ),
    ),
    Entity(
        "appointment_patient",
        "The patients of an appointment, with the visits it belongs to",
        (
            _APPOINTMENT_ID,
            Column("patient_id", _TEXT, "The surviving patient record; see twin.patient"),
            Column("encounter_id", _TEXT, "The visit, once the twin knows it; see twin.encounter"),
            Column("visit_system", _TEXT, "Who issued the visit number, as a URI"),
            Column("visit_number", _TEXT, "Visit number (PV1-19, PID-18), begun or not"),
        ),
    ),
    Entity(
        "appointment_resource",
        "The services and resources of an appointment",
        (
            _APPOINTMENT_ID,
            Column("kind", _TEXT, "service (AIS), general (AIG), location (AIL), personnel (AIP)"),
            Column("position", _TEXT, "Group and set id (RGS-1.AIS-1) as last stated"),
            Column("system", _TEXT, "Coding system, or who issued the staff id"),
            Column("code", _TEXT, "Service, equipment or staff id; of a location unit-room-bed"),
            Column("name", _TEXT, "Name; of staff family and given name"),
            Column("role", _TEXT, "Type of resource (field 4), such as a staff role"),
            Column("location_id", _TEXT, "Unit or room, never a bed; see twin.location"),
            Column("starts_at", _AT, "Own start, else from its offset, else the appointment's"),
            Column("ends_at", _AT, "Own start and duration, else the appointment's end"),
            Column("status", _TEXT, "As twin.appointment; its own where that ended before"),
        ),
    ),
    Entity(
        "source_census",
        "Census counts that a source system reported, for reconciliation",
        (
            Column("source", _TEXT, "Feed or system that counted"),
            _FACILITY,
            _UNIT,
            Column("at", _AT, "Instant of the count"),
            Column("census", "BIGINT", "Patients counted in the unit"),
        ),
    ),
    Entity(
        "observation",
        "Results, vital signs and device measurements, each as last reported",
        (
            Column("observation_id", _TEXT, "Stable id, derived from order or subject, code, time"),
            _RESULT_PATIENT,
            _RESULT_ENCOUNTER,
            _DEVICE_ID,
            _CODE_SYSTEM,
            Column("code", _TEXT, "What was observed (OBX-3), LOINC or MDC where either was sent"),
            Column("display", _TEXT, "The code's text as sent"),
            Column("sub_id", _TEXT, "OBX-4; of a device MDS.VMD.channel.metric"),
            Column("status", _TEXT, "FHIR R4 Observation.status, such as preliminary or final"),
            Column("effective_at", _AT, "When it was true of the patient (OBX-14, else OBR-7)"),
            Column("reported_at", _AT, "When it was last reported (OBR-22, else MSH-7)"),
            Column("value_type", _TEXT, "FHIR value type: Quantity, CodeableConcept, string, ..."),
            Column("value", _TEXT, "The value as text; NULL where withheld or none"),
            Column("value_number", "DOUBLE", "The number of a Quantity; NULL where it is none"),
            Column("comparator", _TEXT, "<, <=, >= or > where value_number is a limit"),
            Column("value_system", _TEXT, "Code system of value_code, as a URI"),
            Column("value_code", _TEXT, "The code of a coded value"),
            Column("unit", _TEXT, "UCUM where unit_system says so, else as sent"),
            Column("unit_system", _TEXT, "http://unitsofmeasure.org, another, or NULL: unknown"),
            Column(
                "withheld",
                _TEXT,
                "Why a value that was sent is not kept: narrative, attachment, waveform, person",
            ),
            Column("reference_range", _TEXT, "Reference range as sent (OBX-7)"),
            Column("interpretation", _TEXT, "Flags of OBX-8 (H, L, A, ...), a blank between them"),
            Column("body_site", _TEXT, "Where on the body it was observed"),
            Column("filler_order", _TEXT, "The filler's order number (OBR-3, ORC-3)"),
            Column("placer_order", _TEXT, "The placer's order number (OBR-2, ORC-2)"),
        ),
    ),
    Entity(
        "device_event",
        "Alarms and other events of devices, one row per report of one",
        (
            Column("device_event_id", _TEXT, "Stable id, derived from alarm, report and instant"),
            Column("alarm_id", _TEXT, "What the reports of one alarm have in common"),
            _DEVICE_ID,
            _RESULT_PATIENT,
            _RESULT_ENCOUNTER,
            Column("location_id", _TEXT, "Where the patient was said to be (PV1-3)"),
            Column("kind", _TEXT, "alarm, alarm-status or event"),
            _CODE_SYSTEM,
            Column("code", _TEXT, "What happened, such as an MDC event code"),
            Column("display", _TEXT, "The code's text as sent"),
            Column("priority", _TEXT, "high, medium, low or none; NULL where not stated"),
            Column("alarm_type", _TEXT, "physiological, technical or advisory"),
            Column("phase", _TEXT, "start, continue, end, tpoint, ..."),
            Column("state", _TEXT, "active, inactive, latched; delivered, read, ... of a status"),
            Column("inactivation", _TEXT, "enabled, audio-paused, alarm-off, ..."),
            Column("occurred_at", _AT, "When it happened"),
        ),
    ),
    Entity(
        "procedure",
        "What was done to patients, such as operations",
        (
            Column("procedure_id", _TEXT, "Stable id, derived from the source and its resource"),
            _RESULT_PATIENT,
            _RESULT_ENCOUNTER,
            Column("status", _TEXT, "preparation, in-progress, not-done, on-hold, stopped, ..."),
            _CODE_SYSTEM,
            Column("code", _TEXT, "What was done"),
            Column("display", _TEXT, "The code's text as sent"),
            Column("started_at", _AT, "When it began (performed, occurrence)"),
            Column("ended_at", _AT, "When it ended; NULL while it lasts or where not stated"),
            _LOCATION_ID,
            Column("performer", _TEXT, "Who did it, as the source refers to that person"),
            Column("requested_by", _TEXT, "The request it is based on; see twin.service_request"),
        ),
    ),
    Entity(
        "service_request",
        "What was asked for: admissions, investigations, transports",
        (
            Column("service_request_id", _TEXT, "Stable id, from the source and its resource"),
            *_REQUEST,
            Column("based_on", _TEXT, "The request it is based on; see twin.service_request"),
        ),
    ),
    Entity(
        "task",
        "What somebody is to do, and how far it is",
        (
            Column("task_id", _TEXT, "Stable id, derived from the source and its resource"),
            *_REQUEST,
            Column("focus", _TEXT, "What it is about, such as a twin.service_request"),
        ),
    ),
    Entity(
        "schedule",
        "Whose time, or which room's, can be booked",
        (
            _SCHEDULE_ID,
            Column("status", _TEXT, "active or inactive"),
            _CODE_SYSTEM,
            Column("code", _TEXT, "The first service it is for"),
            Column("display", _TEXT, "The service's text as sent"),
            _LOCATION_ID,
            Column("performer", _TEXT, "Whose it is, as the source refers to that person"),
            Column("from_at", _AT, "From when it can be booked, inclusive"),
            Column("to_at", _AT, "Until when, exclusive; NULL where open"),
        ),
    ),
    Entity(
        "slot",
        "Times of a schedule that can be booked, or are",
        (
            Column("slot_id", _TEXT, "Stable id, derived from the source and its resource"),
            _SCHEDULE_ID,
            Column("status", _TEXT, "free, busy, busy-unavailable, busy-tentative, ..."),
            _CODE_SYSTEM,
            Column("code", _TEXT, "The first service it is for"),
            Column("display", _TEXT, "The service's text as sent"),
            Column("starts_at", _AT, "Start, inclusive"),
            Column("ends_at", _AT, "End, exclusive"),
        ),
    ),
    Entity(
        "device_metric",
        "What devices measure or let be set",
        (
            Column("device_metric_id", _TEXT, "Stable id, derived from the source and resource"),
            _DEVICE_ID,
            Column("status", _TEXT, "Operational status: on, off, standby, entered-in-error"),
            Column("category", _TEXT, "measurement, setting, calculation or unspecified"),
            _CODE_SYSTEM,
            Column("code", _TEXT, "What is measured, such as an MDC code"),
            Column("display", _TEXT, "The code's text as sent"),
            Column("unit", _TEXT, "Code of the unit"),
        ),
    ),
    Entity(
        "care_identifier",
        "Every identifier of a procedure, request, task, schedule, slot or metric",
        (
            Column("resource_type", _TEXT, "Procedure, ServiceRequest, Task, Schedule, ..."),
            Column("care_id", _TEXT, "The row of that type's table, such as a procedure_id"),
            _SYSTEM,
            _VALUE,
            _TYPE,
        ),
    ),
    Entity(
        "fold_finding",
        "Findings that follow from what is known of one entity; see twin.finding",
        (
            Column("finding_id", _TEXT, "Stable id, derived from kind, subject and message"),
            Column("kind", _TEXT, "drift, movement_after_discharge, unresolved_reference, ..."),
            Column("subject", _TEXT, "Id of the encounter, patient, location or bed concerned"),
            Column("message_id", "BIGINT", "The message that gave rise to it, where one did"),
            Column("found_at", _AT, "When the message that gave rise to it was received"),
            Column("detail", _TEXT, "What was found, without a patient's details"),
        ),
    ),
)

BY_NAME = {entity.name: entity for entity in ENTITIES}
