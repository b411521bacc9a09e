"""Row scope: somebody who answers for some units sees the rows of these units only.

Every address that shows patients says here how it is held to a unit: its route leaves out what is
not theirs, or a judge says whether what is asked for is. One that is not here is closed to whoever
has a row scope: what cannot be narrowed is not shown.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from api.access.doors import Door
from api.access.principal import Principal
from api.access.reach import Reach

Query = Callable[[str, Mapping[str, object]], Sequence[Mapping[str, object]]]
Answer = Literal["within", "hidden", "refused"]
"""hidden: as if it did not exist; refused: there is a narrower question that would be answered."""

_APPOINTMENTS = "SELECT facility, unit FROM twin.appointment WHERE appointment_id = $id"
_ALERTS = "SELECT facility, unit FROM twin.alert WHERE alert_id::VARCHAR = $id"
_VISITS = "SELECT DISTINCT facility, unit FROM twin.stay WHERE encounter_id = $id"
# Whom a message spoke of, one row for each visit and each patient.
_SPOKEN_OF = """
WITH said AS (
    SELECT DISTINCT n.kind, n.system, n.value FROM core.event e
    JOIN core.node n ON n.node = e.node WHERE e.message_id = TRY_CAST($id AS BIGINT)
), visits AS (
    SELECT v.encounter_id FROM said JOIN twin.encounter_identifier v USING (system, value)
    WHERE said.kind = 'e'
), patients AS (
    SELECT p.patient_id FROM said JOIN twin.patient_identifier p USING (system, value)
    WHERE said.kind = 'p'
)
SELECT 'visit' AS kind, encounter_id IN ({visits}) AS theirs FROM visits
UNION ALL SELECT 'patient', patient_id IN ({patients}) FROM patients
"""


class _Asked(NamedTuple):
    reach: Reach
    params: Mapping[str, str]
    parameters: Mapping[str, list[str]]
    query: Query

    def reaches_any(self, sql: str, named: str) -> bool:
        rows = self.query(sql, {"id": named})
        return any(
            self.reach.reaches(str(row["facility"] or ""), str(row["unit"] or "")) for row in rows
        )


def within(
    principal: Principal, door: Door, params: Mapping[str, str], query_string: str, query: Query
) -> Answer:
    """Whether a request keeps to the rows of its principal; `query` asks the store."""
    if not principal.is_row_scoped() or not (door.identified or door.administrative):
        return "within"
    if door.address in FILTERED:
        return "within"
    parameters: dict[str, list[str]] = {}
    for name, told in parse_qsl(query_string, keep_blank_values=True):
        parameters.setdefault(name, []).append(told)
    asked = _Asked(principal.reach, params, parameters, query)
    judge = _JUDGES.get(door.address)
    return judge(asked) if judge is not None else "refused"


def why_refused(door: Door) -> str:
    """What to ask instead, or why this cannot be held to units."""
    return _WHY.get(door.address, _WHY_ACTS if door.administrative else _WHY_ELSE)


def _unit(asked: _Asked) -> Answer:
    facility = asked.params["facility"]
    reached = asked.reach.reaches("" if facility == "-" else facility, asked.params["unit"])
    return "within" if reached else "hidden"


def _visit(asked: _Asked) -> Answer:
    reached = asked.reaches_any(_VISITS, asked.params["encounter_id"])
    return "within" if reached else "hidden"


def _appointment(asked: _Asked) -> Answer:
    reached = asked.reaches_any(_APPOINTMENTS, asked.params["appointment_id"])
    return "within" if reached else "hidden"


def _alert(asked: _Asked) -> Answer:
    """An alert of one of their units; one of the whole hospital is for somebody else to know."""
    reached = asked.reaches_any(_ALERTS, asked.params["alert_id"])
    return "within" if reached else "refused"


def _message(asked: _Asked) -> Answer:
    """A message that was applied to visits of theirs, and spoke of nobody else."""
    visits, patients = asked.reach.visits(), asked.reach.patients()
    sql = _SPOKEN_OF.format(visits=visits, patients=patients)
    rows = asked.query(sql, {"id": asked.params["message_id"]})
    of_visits = any(row["kind"] == "visit" for row in rows)
    return "within" if of_visits and all(row["theirs"] for row in rows) else "hidden"


def _figure(asked: _Asked) -> Answer:
    """The rows behind a figure that was counted by unit, of a unit or a facility of theirs."""
    told = asked.parameters
    facility, unit = told.get("facility", []), told.get("unit", [])
    if told.get("by") != ["unit"] or len(facility) > 1 or len(unit) > 1:
        return "refused"
    # Where no facility is named, only a unit that is theirs in every facility is narrow enough.
    reached = asked.reach.reaches(
        *("" if one == ["-"] else "".join(one) for one in (facility, unit))
    )
    return "within" if reached else "refused"


FILTERED = frozenset(
    {
        "/",
        "/past",
        "/v1/board",
        "/v1/deltas",
        "/v1/state",
        "/v1/encounters",
        "/v1/appointments",
        "/v1/observations",
        "/fhir/{release}",
        "/fhir/{release}/_search",
        "/fhir/{release}/{kind}/_search",
        "/fhir/{release}/{path:path}",
    }
)
"""Addresses whose routes are told the reach of who asks and leave out everything else."""

_JUDGES: Mapping[str, Callable[[_Asked], Answer]] = {
    "/units/{facility}/{unit:path}": _unit,
    "/v1/units/{facility}/{unit:path}": _unit,
    "/v1/encounters/{encounter_id}": _visit,
    "/visits/{encounter_id}": _visit,
    "/v1/appointments/{appointment_id}": _appointment,
    "/messages/{message_id}": _message,
    "/v1/messages/{message_id}": _message,
    "/v1/messages/{message_id}/explain": _message,
    "/kpis/{kpi_id}/rows": _figure,
    "/v1/kpis/{kpi_id}/rows": _figure,
    "/alerts/{alert_id}/acknowledge": _alert,
    "/v1/alerts/{alert_id}/acknowledge": _alert,
}

_WHY_ELSE = "Your rows are those of some units, and this cannot be told apart by units."
_WHY_ACTS = "This concerns the whole twin, and you answer for some of its units."
_WHY_MESSAGES = (
    "Lists of messages cannot be told apart by units, because what was not applied belongs to none:"
    " ask for one message by its number, or for a visit of yours, which lists its messages."
)
_WHY_FIGURES = "Ask for the rows behind a figure of one of your units: by=unit, facility and unit."
_WHY_SQL = "Rows without identities cannot be told apart by your units."
_WHY_ALERTS = "This alert is about the whole hospital or another unit."
_WHY: Mapping[str, str] = {
    "/messages": _WHY_MESSAGES,
    "/v1/messages": _WHY_MESSAGES,
    "/quarantine": _WHY_MESSAGES,
    "/quarantine/{message_id}": _WHY_MESSAGES,
    "/v1/quarantine": _WHY_MESSAGES,
    "/v1/findings": _WHY_MESSAGES,
    "/kpis/{kpi_id}/rows": _WHY_FIGURES,
    "/v1/kpis/{kpi_id}/rows": _WHY_FIGURES,
    "/v1/sql": _WHY_SQL,
    "/v1/sql/queries/{name}": _WHY_SQL,
    "/sql": _WHY_SQL,
    "/alerts/{alert_id}/acknowledge": _WHY_ALERTS,
    "/v1/alerts/{alert_id}/acknowledge": _WHY_ALERTS,
}
