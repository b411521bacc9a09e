"""`/v1/state` and `/v1/units`: the hospital now, then, or as it was known."""

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.openapi import answers, reply
from api.routes.asked import AskedReach, AskedTwin, At, KnownAt, facility_code
from twin_core.state import BedCounts, HospitalState, UnitState, narrowed

router = APIRouter(prefix="/v1", tags=["state"])


class UnitSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A unit without its beds: how many, in which status, and how many patients."""

    facility: str
    unit: str
    kind: str
    name: str
    census: int
    counts: BedCounts
    without_bed: int


EXAMPLE = UnitSummary(
    facility="GENERAL",
    unit="ICU",
    kind="wa",
    name="Intensive care",
    census=14,
    counts=BedCounts(beds=18, occupied=14, free=2, dirty=1, closed=1, staffed=17),
    without_bed=0,
)


@router.get(
    "/state",
    summary="Every unit, bed and ED patient at an instant",
    responses=answers(HospitalState, "The hospital", problems="422 503"),
)
def state(twin: AskedTwin, reach: AskedReach, at: At = None, known_at: KnownAt = None) -> Response:
    """The whole hospital: beds with their status, patients without a bed, the ED list. Whoever
    answers for some units is shown these, counted by themselves."""
    return reply(narrowed(twin.state(at, known_at), reach.reaches))


@router.get(
    "/units",
    summary="Units with their census and bed counts",
    responses=answers(list[UnitSummary], "The units", example=[EXAMPLE], problems="422 503"),
)
def units(twin: AskedTwin, at: At = None, known_at: KnownAt = None) -> Response:
    """One row per unit, in the order in which the hospital names them."""
    return reply([_summary(unit) for unit in twin.state(at, known_at).units])


@router.get(
    "/units/{facility}/{unit:path}",
    summary="One unit with its beds",
    responses=answers(UnitState, "The unit", problems="404 422 503"),
)
def one_unit(
    facility: str, unit: str, twin: AskedTwin, at: At = None, known_at: KnownAt = None
) -> Response:
    """A unit's beds and patients; `-` stands for a facility that messages do not name."""
    return reply(find_unit(twin.state(at, known_at), facility, unit))


def find_unit(state: HospitalState, facility: str, unit: str) -> UnitState:
    """A unit of a state by its address, or 404."""
    wanted = (facility_code(facility), facility_code(unit))
    for found in state.units:
        if (found.facility, found.unit) == wanted:
            return found
    raise HTTPException(404, "The twin knows no such unit.")


def _summary(unit: UnitState) -> UnitSummary:
    fields: dict[str, Any] = {
        name: getattr(unit, name)
        for name in ("facility", "unit", "kind", "name", "census", "counts")
    }
    return UnitSummary(**fields, without_bed=len(unit.without_bed))
