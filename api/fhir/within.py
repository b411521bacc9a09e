"""The resources of somebody who answers for some units: tables that hold no others.

Every answer of a base is made of the tables of `served`, whatever is asked: a read, a search, what
it includes, chains or counts, a history, an export. So what is left out of them is nowhere.
"""

from collections.abc import Mapping

from adapters.fhir.release import Release
from api.access.reach import Reach
from api.fhir.served import SERVED_IN, Served

_OF_VISITS = "SELECT {key} FROM twin.{table} WHERE {visits}"
_RESULTS = {
    "Observation": "observation",
    "Procedure": "procedure",
    "ServiceRequest": "service_request",
    "Task": "task",
}
"""What belongs to a visit; what names none cannot be told to be theirs, and is not."""
# A device is equipment; on whom it is used is about a patient.
_DEVICE = """
SELECT * REPLACE (CASE WHEN patient_id IN ({patients}) THEN patient_id END AS patient_id)
FROM ({part})
"""


def served_within(release: Release, reach: Reach) -> Mapping[str, Served]:
    """The resource types of an edition, of somebody whose rows reach so far.

    Places, people of the staff, organizations and their calendars are of nobody in particular.
    """
    if reach.is_everywhere:
        return SERVED_IN[release]
    reached = _reached(reach)
    found: dict[str, Served] = {}
    for kind, served in SERVED_IN[release].items():
        parts = dict(served.parts)
        if kind in reached:
            parts = {
                name: f"SELECT * FROM ({part}) WHERE _id IN ({reached[kind]})"
                for name, part in parts.items()
            }
        if kind == "Device":
            parts["device"] = _DEVICE.format(patients=reach.patients(), part=parts["device"])
        found[kind] = served._replace(parts=parts, beside=found)
    return found


def _reached(reach: Reach) -> dict[str, str]:
    """SQL of the ids that are theirs, of each type that is about patients."""
    places = reach.of_places()
    return {
        "Patient": reach.patients(),
        "Encounter": reach.visits(),
        "Appointment": f"SELECT appointment_id FROM twin.appointment WHERE {places}",
        **{
            kind: _OF_VISITS.format(key=f"{table}_id", table=table, visits=reach.of_visits())
            for kind, table in _RESULTS.items()
        },
    }
