"""What each resource type is searched by: for every parameter, SQL that gives its values.

In the SQL, `{table}` is that table of the resource as of the instant that is asked about. A token
has columns `system` and `code`, a string `text`, a date `starts` and `ends`, a reference `type` and
`target`; every row has the `_id` of its resource.
"""

from collections.abc import Iterable

from adapters.fhir.codes import ACT_CODE, PHYSICAL_TYPE
from adapters.fhir.encode.location import TABLE_0116
from adapters.fhir.encode.r5 import STATUSES, SUBJECT_STATUS_SYSTEM
from adapters.fhir.release import Release
from api.fhir.parameters import Kind, Parameter
from twin_core.identifiers import FACILITY_SYSTEM, PLACE_SYSTEM


def _token(name: str, values: str) -> Parameter:
    return Parameter(name, Kind.TOKEN, values)


def _column(name: str, table: str, column: str, system: str = "") -> Parameter:
    """A code of a column; its system is one that FHIR fixes, or empty where none is said."""
    return _token(name, f"SELECT _id, '{system}' AS system, {column} AS code FROM {{{table}}}")


def _flag(name: str, table: str, condition: str) -> Parameter:
    return _column(name, table, f"CASE WHEN {condition} THEN 'true' ELSE 'false' END")


def _string(name: str, table: str, *columns: str) -> Parameter:
    several = (f"SELECT _id, {column} AS text FROM {{{table}}}" for column in columns)
    return Parameter(name, Kind.STRING, " UNION ALL ".join(several))


def _date(name: str, table: str, starts: str, ends: str = "", *, days: bool = False) -> Parameter:
    values = f"SELECT _id, {starts} AS starts, {ends or starts} AS ends FROM {{{table}}}"
    return Parameter(name, Kind.DATE, values, days=days)


def _reference(name: str, table: str, column: str, kind: str, where: str = "true") -> Parameter:
    values = f"SELECT _id, '{kind}' AS type, {column} AS target FROM {{{table}}} WHERE {where}"
    return Parameter(name, Kind.REFERENCE, values, targets=(kind,))


def _identifier(table: str, also: str = "") -> Parameter:
    """Business identifiers, and the ids that sources gave (see `words.source_system`)."""
    own = f"CASE WHEN contains(system, ':') THEN system ELSE {_SOURCE} END"
    values = (
        f"SELECT _id, CASE WHEN type = 'reference' THEN {own} ELSE system END AS system, "
        f"value AS code FROM {{{table}}} WHERE type IS NULL OR type NOT IN ('path', 'start')"
    )
    return _token("identifier", values + also)


def _facility(name: str, table: str) -> Parameter:
    hashed = f"'g' || sha256('{FACILITY_SYSTEM}' || chr(31) || facility)[:24]"
    return _reference(name, table, hashed, "Organization", "facility IS NOT NULL")


def _several(*parameters: Parameter) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


_SOURCE = "'urn:wardtwin:source:' || system || ':id'"
_ENDLESS = "'infinity'::TIMESTAMPTZ"
_BORN = "birth_date::TIMESTAMP AT TIME ZONE 'UTC'"
_BORN_UNTIL = """
(birth_date + CASE birth_date_precision WHEN 'year' THEN INTERVAL 1 YEAR
 WHEN 'month' THEN INTERVAL 1 MONTH ELSE INTERVAL 1 DAY END)::TIMESTAMP AT TIME ZONE 'UTC'
 - INTERVAL 1 MICROSECOND"""
_LEVELS = [
    f"replace(coalesce({level}, ''), '/', '%2F')" for level in ("facility", "unit", "room", "bed")
]
_PATH = f"""
 UNION ALL SELECT _id, '{PLACE_SYSTEM}' AS system, concat_ws('/', {", ".join(_LEVELS)}) AS code
 FROM {{location}} WHERE unit IS NOT NULL OR room IS NOT NULL OR bed IS NOT NULL"""
_SHOWN = f"""
SELECT l._id, '{TABLE_0116}' AS system,
       CASE WHEN l.kind IS DISTINCT FROM 'bd' THEN l.operational_status
            WHEN EXISTS (FROM {{stay}} s WHERE s._id = l._id AND s.to_at IS NULL) THEN 'O'
            WHEN coalesce(l.operational_status, 'O') = 'O' THEN 'U'
            ELSE l.operational_status END AS code
FROM {{location}} l"""

_DIRECTORY = f"""
SELECT _id, CASE WHEN starts_with(value, resource_type || '/') AND NOT contains(system, ':')
                 THEN {_SOURCE} ELSE system END AS system,
       value AS code FROM {{directory}}"""
_PLACES = """
SELECT _id, 'Location' AS type, location_id AS target FROM {appointment_resource}
UNION ALL SELECT _id, 'Location', location_id FROM {appointment}"""
_ACTORS = f"""{_PLACES}
UNION ALL SELECT _id, 'Patient', patient_id FROM {{appointment_patient}}"""


def _directory() -> dict[str, Parameter]:
    return _several(
        _token("identifier", _DIRECTORY),
        _string("name", "directory", "name"),
        _flag("active", "directory", "active"),
    )


def _linked(name: str, *kinds: str) -> Parameter:
    return Parameter(name, Kind.REFERENCE, "SELECT _id, type, target FROM {linked}", targets=kinds)


def _care(table: str, statuses: str, *parameters: Parameter) -> dict[str, Parameter]:
    """Numbers, status and code, and what else the type is searched by."""
    own = (_identifier("care_identifier"), _column("status", table, "status", statuses))
    return _several(*own, *parameters)


def _concept(name: str, table: str) -> Parameter:
    return _token(name, f"SELECT _id, code_system AS system, code FROM {{{table}}}")


def _whose(table: str) -> tuple[Parameter, ...]:
    return (
        _reference("subject", table, "patient_id", "Patient"),
        _reference("patient", table, "patient_id", "Patient"),
        _reference("encounter", table, "encounter_id", "Encounter"),
    )


def _requested(table: str) -> tuple[Parameter, ...]:
    return (
        _column("intent", table, "intent", "http://hl7.org/fhir/request-intent"),
        _column("priority", table, "priority", "http://hl7.org/fhir/request-priority"),
        _concept("code", table),
        *_whose(table),
    )


PARAMETERS: dict[str, dict[str, Parameter]] = {
    "Patient": _several(
        _identifier("patient_identifier"),
        _string("name", "patient", "family_name", "given_name"),
        _string("family", "patient", "family_name"),
        _string("given", "patient", "given_name"),
        _date("birthdate", "patient", _BORN, _BORN_UNTIL, days=True),
        _column("gender", "patient", "sex", "http://hl7.org/fhir/administrative-gender"),
        _flag("active", "patient", "merged_into IS NULL"),
        _flag("deceased", "patient", "deceased"),
        _date("death-date", "patient", "deceased_at"),
        _string("address-postalcode", "patient", "postal_code"),
        _reference("link", "patient", "merged_into", "Patient"),
    ),
    "Encounter": _several(
        _identifier("encounter_identifier"),
        _column("status", "encounter", "status", "http://hl7.org/fhir/encounter-status"),
        _column("class", "encounter", '"class"', ACT_CODE),
        _date("date", "encounter", "admitted_at", f"coalesce(discharged_at, {_ENDLESS})"),
        _reference("subject", "encounter", "patient_id", "Patient"),
        _reference("patient", "encounter", "patient_id", "Patient"),
        _reference("location", "stay", "location_id", "Location"),
        _date("location-period", "stay", "from_at", f"coalesce(to_at, {_ENDLESS})"),
        _reference("part-of", "encounter", "part_of", "Encounter"),
        _facility("service-provider", "encounter"),
    ),
    "Location": _several(
        _identifier("location_identifier", _PATH),
        _column(
            "status",
            "location",
            "CASE WHEN staffed IS FALSE THEN 'suspended' ELSE 'active' END",
            "http://hl7.org/fhir/location-status",
        ),
        _token("operational-status", _SHOWN),
        _string("name", "location", "coalesce(name, concat_ws(' ', facility, unit, room, bed))"),
        _column("physical-type", "location", "kind", PHYSICAL_TYPE),
        _reference("partof", "location", "parent_id", "Location"),
        _facility("organization", "location"),
    ),
    "Device": _several(
        _identifier("device_identifier"),
        _column("status", "device", "status", "http://hl7.org/fhir/device-status"),
        _column("type", "device", "kind"),
        _string("device-name", "device", "name"),
        _string("manufacturer", "device", "manufacturer"),
        _string("model", "device", "model"),
        _reference("patient", "device", "patient_id", "Patient"),
        _reference("location", "device", "location_id", "Location"),
    ),
    "Organization": _directory(),
    "Practitioner": _directory(),
    "Appointment": _several(
        _identifier("appointment_identifier"),
        _column("status", "appointment", "status", "http://hl7.org/fhir/appointmentstatus"),
        _date("date", "appointment", "starts_at"),
        _reference("patient", "appointment_patient", "patient_id", "Patient"),
        Parameter("actor", Kind.REFERENCE, _ACTORS, targets=("Patient", "Location")),
        Parameter("location", Kind.REFERENCE, _PLACES, targets=("Location",)),
        _column("service-type", "appointment", "service"),
        _column("appointment-type", "appointment", "appointment_type"),
    ),
    "PractitionerRole": _several(
        _token("identifier", _DIRECTORY),
        _column("role", "directory", "name"),
        _flag("active", "directory", "active"),
    ),
    "HealthcareService": _directory(),
    "Procedure": _care(
        "procedure",
        "http://hl7.org/fhir/event-status",
        _concept("code", "procedure"),
        _date("date", "procedure", "started_at", "coalesce(ended_at, started_at)"),
        _reference("location", "procedure", "location_id", "Location"),
        _linked("based-on", "ServiceRequest"),
        *_whose("procedure"),
    ),
    "ServiceRequest": _care(
        "service_request",
        "http://hl7.org/fhir/request-status",
        _date("authored", "service_request", "authored_at"),
        _date("occurrence", "service_request", "starts_at", "coalesce(ends_at, starts_at)"),
        _linked("based-on", "ServiceRequest"),
        *_requested("service_request"),
    ),
    "Task": _care(
        "task",
        "http://hl7.org/fhir/task-status",
        _date("authored-on", "task", "authored_at"),
        _date("period", "task", "starts_at", f"coalesce(ends_at, {_ENDLESS})"),
        _linked("focus", "ServiceRequest", "Procedure", "Task", "Schedule"),
        *_requested("task"),
    ),
    "Schedule": _several(
        _identifier("care_identifier"),
        _flag("active", "schedule", "status <> 'inactive'"),
        _concept("service-type", "schedule"),
        _date("date", "schedule", "from_at", f"coalesce(to_at, {_ENDLESS})"),
        _reference("actor", "schedule", "location_id", "Location"),
    ),
    "Slot": _care(
        "slot",
        "http://hl7.org/fhir/slotstatus",
        _concept("service-type", "slot"),
        _date("start", "slot", "starts_at"),
        _reference("schedule", "slot", "schedule_id", "Schedule"),
    ),
    "DeviceMetric": _several(
        _identifier("care_identifier"),
        _column("category", "device_metric", "category", "http://hl7.org/fhir/metric-category"),
        _concept("type", "device_metric"),
        _reference("source", "device_metric", "device_id", "Device"),
    ),
    "Observation": _several(
        _identifier("observation_source"),
        _column("status", "observation", "status", "http://hl7.org/fhir/observation-status"),
        _concept("code", "observation"),
        _date("date", "observation", "effective_at"),
        _reference("subject", "observation", "patient_id", "Patient"),
        _reference("patient", "observation", "patient_id", "Patient"),
        _reference("encounter", "observation", "encounter_id", "Encounter"),
        _reference("device", "observation", "device_id", "Device"),
    ),
}
"""The search parameters of every type that is given, besides those that all of them have."""


def _told(index: int, otherwise: str) -> str:
    cases = " ".join(f"WHEN '{r4}' THEN '{told[index]}'" for r4, told in STATUSES.items())
    return f"CASE status {cases} ELSE {otherwise} END"


_OF_SUBJECT = f"nullif({_told(1, 'NULL')}, '')"
_R5 = {
    "Encounter": _several(
        _column("status", "encounter", _told(0, "status"), "http://hl7.org/fhir/encounter-status"),
        _column("subject-status", "encounter", _OF_SUBJECT, SUBJECT_STATUS_SYSTEM),
    ),
    "DeviceMetric": _several(_reference("device", "device_metric", "device_id", "Device")),
}
_NOT_R5 = {"Device": {"patient"}, "DeviceMetric": {"source"}}


def parameters_in(release: Release, kind: str) -> dict[str, Parameter]:
    """What a type is searched by in an edition: R5 has other statuses and other names."""
    if release is not Release.R5:
        return PARAMETERS[kind]
    known = {**PARAMETERS[kind], **_R5.get(kind, {})}
    return {name: one for name, one in known.items() if name not in _NOT_R5.get(kind, ())}


def names(parameters: Iterable[Parameter], kind: Kind) -> list[str]:
    """The names of the parameters of one kind."""
    return [one.name for one in parameters if one.kind is kind]
