"""Row scope: somebody who answers for some units sees the rows of these units only.

Every address that shows patients says here how it is held to a unit. One that is not here is closed
to whoever has a row scope: what cannot be narrowed is not shown.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from api.access.doors import Door
from api.access.principal import Principal

Query = Callable[[str, Mapping[str, object]], Sequence[Mapping[str, object]]]
Answer = Literal["within", "hidden", "refused"]
"""hidden: as if it did not exist; refused: there is a narrower question that would be answered."""

_STAYS = "SELECT DISTINCT facility, unit FROM twin.stay WHERE {} = $id"
_APPOINTMENTS = "SELECT facility, unit FROM twin.appointment WHERE appointment_id = $id"


class _Asked(NamedTuple):
    principal: Principal
    params: Mapping[str, str]
    parameters: Mapping[str, list[str]]
    query: Query

    def reaches_any(self, sql: str, named: str) -> bool:
        rows = self.query(sql, {"id": named})
        return any(
            self.principal.reaches(str(row["facility"] or ""), str(row["unit"] or ""))
            for row in rows
        )


def within(
    principal: Principal, door: Door, params: Mapping[str, str], query_string: str, query: Query
) -> Answer:
    """Whether a request keeps to the rows of its principal; `query` asks the store."""
    if not principal.is_row_scoped() or not (door.identified or door.administrative):
        return "within"
    parameters: dict[str, list[str]] = {}
    for name, told in parse_qsl(query_string, keep_blank_values=True):
        parameters.setdefault(name, []).append(told)
    asked = _Asked(principal, params, parameters, query)
    judge = _JUDGES.get(door.address)
    return judge(asked) if judge is not None else "refused"


def _unit(asked: _Asked) -> Answer:
    facility = asked.params["facility"]
    reached = asked.principal.reaches("" if facility == "-" else facility, asked.params["unit"])
    return "within" if reached else "hidden"


def _list(asked: _Asked) -> Answer:
    """A list names one facility and one unit of theirs, or a facility that is wholly theirs."""
    facility, unit = asked.parameters.get("facility", []), asked.parameters.get("unit", [])
    if len(facility) > 1 or len(unit) > 1 or not (facility or unit):
        return "refused"
    # Where no facility is named, only a unit that is theirs in every facility is narrow enough.
    reached = asked.principal.reaches(facility[0] if facility else "", unit[0] if unit else "")
    return "within" if reached and (facility or unit[0] in asked.principal.units) else "refused"


def _visit(asked: _Asked) -> Answer:
    sql = _STAYS.format("encounter_id")
    return "within" if asked.reaches_any(sql, asked.params["encounter_id"]) else "hidden"


def _appointment(asked: _Asked) -> Answer:
    reached = asked.reaches_any(_APPOINTMENTS, asked.params["appointment_id"])
    return "within" if reached else "hidden"


def _results(asked: _Asked) -> Answer:
    visits = asked.parameters.get("encounter_id", [])
    if len(visits) != 1:
        return "refused"
    reached = asked.reaches_any(_STAYS.format("encounter_id"), visits[0])
    return "within" if reached else "hidden"


def _fhir(asked: _Asked) -> Answer:
    """A visit or a patient by id; searches reach over every unit."""
    kind, _, named = asked.params["path"].partition("/")
    column = {"Encounter": "encounter_id", "Patient": "patient_id"}.get(kind)
    if column is None or not named or asked.parameters:
        return "refused"
    reached = asked.reaches_any(_STAYS.format(column), named.partition("/")[0])
    return "within" if reached else "hidden"


_JUDGES: Mapping[str, Callable[[_Asked], Answer]] = {
    "/units/{facility}/{unit:path}": _unit,
    "/v1/units/{facility}/{unit:path}": _unit,
    "/v1/encounters": _list,
    "/v1/encounters/{encounter_id}": _visit,
    "/visits/{encounter_id}": _visit,
    "/v1/appointments": _list,
    "/v1/appointments/{appointment_id}": _appointment,
    "/v1/observations": _results,
    "/fhir/{release}/{path:path}": _fhir,
}
