"""Which resource types are given, and the tables that each one is made of.

A resource is made of rows of several tables; whenever one of them begins or ends, the resource has
a new version. So `meta.lastUpdated` and `meta.versionId` follow from the tables' own instants of
knowledge, and nothing more is kept for them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from adapters.fhir.release import Release
from api.fhir.parameters import Parameter
from api.fhir.searchable import parameters_in
from twin_core.identifiers import FACILITY_SYSTEM


class Served(NamedTuple):
    """A resource type: its tables as SQL (rows with `_id`, `known_from`, `known_to`) by name, the
    first of which says whether the resource exists, and what it is searched by."""

    type: str
    parts: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    release: Release = Release.R4
    beside: "Mapping[str, Served] | None" = None
    """The types beside this one, where they are not all there is."""

    @property
    def main(self) -> str:
        """Name of the table that says whether a resource exists."""
        return next(iter(self.parts))

    @property
    def others(self) -> "Mapping[str, Served]":
        """Every type that is given beside this one, as it is searched in the same edition."""
        return SERVED_IN[self.release] if self.beside is None else self.beside


def _tables(key: str, *names: str) -> dict[str, str]:
    return {name: f"SELECT {key} AS _id, * FROM core.{name}_version" for name in names}


# A bed holds the stays at its own location; a unit those in all of its rooms and beds.
_OCCUPANTS = """
SELECT location_id AS _id, * FROM core.stay_version WHERE bed IS NOT NULL
UNION ALL
SELECT u._id, s.* FROM core.stay_version s
JOIN (SELECT DISTINCT location_id AS _id, facility, unit FROM core.location_version
      WHERE kind = 'wa' AND room IS NULL AND bed IS NULL) u
  ON u.unit = s.unit AND u.facility IS NOT DISTINCT FROM s.facility
"""

# Entries of one statement share their owner; the id of the resource itself names them all.
_DIRECTORY = """
SELECT n._id, d.* FROM core.directory_version d
JOIN (SELECT owner, 'g' || sha256(min(system || chr(31) || value))[:24] AS _id
      FROM core.directory_version
      WHERE resource_type = '{type}' AND starts_with(value, '{type}/') GROUP BY owner) n
  ON n.owner = d.owner AND d.resource_type = '{type}'
"""

# Facilities that messages name by their code, since they were first named.
_FACILITIES = f"""
SELECT 'g' || sha256('{FACILITY_SYSTEM}' || chr(31) || l.facility)[:24] AS _id,
       'Organization' AS resource_type, '{FACILITY_SYSTEM}' AS system, l.facility AS value,
       coalesce(any_value(nullif(f.name, '')), l.facility) AS name, true AS active,
       0::BIGINT AS version_no, 0::BIGINT AS owner, min(l.known_from) AS known_from,
       'infinity'::TIMESTAMPTZ AS known_to
FROM core.location_version l LEFT JOIN core.facility f ON f.facility = l.facility
WHERE l.facility IS NOT NULL GROUP BY l.facility
"""

# Ids that sources gave, where the entity's own table has no identifiers.
_OBSERVATION_SOURCES = """
SELECT o.observation_id AS _id, n.system, n.value, n.type, o.known_from, o.known_to
FROM core.observation_version o JOIN core.node n ON n.node = o.owner
WHERE n.kind = 'r' AND n.type = 'reference'
"""

# What a resource is about, as far as somebody has described that.
_LINKED = """
SELECT c.{key} AS _id, c.{column} AS target, i.resource_type AS type,
       greatest(c.known_from, i.known_from) AS known_from, least(c.known_to, i.known_to) AS known_to
FROM core.{table}_version c
JOIN core.care_identifier_version i ON i.care_id = c.{column} AND i.type = 'reference'
WHERE c.known_from < i.known_to AND i.known_from < c.known_to
"""


def _care(type_: str, table: str, linked: str = "") -> dict[str, str]:
    key = f"{table}_id"
    numbers = "SELECT care_id AS _id, * FROM core.care_identifier_version"
    own = f"{numbers} WHERE resource_type = '{type_}'"
    parts = {**_tables(key, table), "care_identifier": own}
    if linked:
        parts["linked"] = _LINKED.format(key=key, table=table, column=linked)
    return parts


_SERVED = (
    ("Patient", _tables("patient_id", "patient", "patient_identifier", "patient_link")),
    (
        "Encounter",
        _tables(
            "encounter_id",
            "encounter",
            "encounter_identifier",
            "encounter_status",
            "encounter_class",
            "encounter_milestone",
            "encounter_plan",
            "encounter_consultant",
            "stay",
        ),
    ),
    (
        "Location",
        {**_tables("location_id", "location", "location_identifier"), "stay": _OCCUPANTS},
    ),
    ("Device", _tables("device_id", "device", "device_identifier")),
    (
        "Organization",
        {"directory": f"{_DIRECTORY.format(type='Organization')} UNION ALL {_FACILITIES}"},
    ),
    ("Practitioner", {"directory": _DIRECTORY.format(type="Practitioner")}),
    (
        "Appointment",
        _tables(
            "appointment_id",
            "appointment",
            "appointment_identifier",
            "appointment_patient",
            "appointment_resource",
        ),
    ),
    (
        "Observation",
        {**_tables("observation_id", "observation"), "observation_source": _OBSERVATION_SOURCES},
    ),
    *(
        (type_, {"directory": _DIRECTORY.format(type=type_)})
        for type_ in ("PractitionerRole", "HealthcareService")
    ),
    ("Procedure", _care("Procedure", "procedure", "requested_by")),
    ("ServiceRequest", _care("ServiceRequest", "service_request", "based_on")),
    ("Task", _care("Task", "task", "focus")),
    ("Schedule", _care("Schedule", "schedule")),
    ("Slot", _care("Slot", "slot")),
    ("DeviceMetric", _care("DeviceMetric", "device_metric")),
)

SERVED_IN = {
    release: {
        kind: Served(kind, parts, parameters_in(release, kind), release) for kind, parts in _SERVED
    }
    for release in Release
}
"""The resource types that are given, by name, in each edition."""
SERVED = SERVED_IN[Release.R4]
