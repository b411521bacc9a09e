"""`/v1/observations`: results and vital signs, newest first."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.openapi import answers, reply
from api.routes.asked import EARLIEST, LATEST, AskedReach, AskedTwin, Instant, Limit

router = APIRouter(prefix="/v1", tags=["observations"])

OBSERVATIONS = """
SELECT observation_id, patient_id, encounter_id, device_id, code_system, code, display, sub_id,
       status, effective_at, reported_at, value_type, "value", value_number, comparator,
       value_system, value_code, unit, unit_system, withheld, reference_range, interpretation
FROM twin.observation
WHERE effective_at >= $from_at AND effective_at < $to_at
  AND ($patient_id::VARCHAR IS NULL OR patient_id = $patient_id)
  AND ($encounter_id::VARCHAR IS NULL OR encounter_id = $encounter_id)
  AND ($code::VARCHAR IS NULL OR code = $code)
  AND {theirs}
ORDER BY effective_at DESC, observation_id LIMIT $rows
"""


class ListedObservation(msgspec.Struct, frozen=True, kw_only=True):
    """One result as last reported, a deleted one (entered-in-error) included."""

    observation_id: str
    patient_id: str | None
    encounter_id: str | None
    device_id: str | None
    code_system: str | None
    code: str | None
    display: str | None
    sub_id: str | None
    status: str | None
    effective_at: datetime | None
    reported_at: datetime | None
    value_type: str | None
    value: str | None
    value_number: float | None
    comparator: str | None
    value_system: str | None
    value_code: str | None
    unit: str | None
    unit_system: str | None
    withheld: str | None
    reference_range: str | None
    interpretation: str | None


class ObservationPage(msgspec.Struct, frozen=True, kw_only=True):
    """Observations; `more` tells that the limit left some out: ask for an earlier `to`."""

    observations: list[ListedObservation]
    more: bool


@router.get(
    "/observations",
    summary="Results and vital signs, newest first",
    responses=answers(ObservationPage, "Observations", problems="400 422 503"),
)
def observations(
    twin: AskedTwin,
    reach: AskedReach,
    patient_id: Annotated[str | None, Query(description="Of this patient")] = None,
    encounter_id: Annotated[str | None, Query(description="Of this visit")] = None,
    code: Annotated[str | None, Query(description="Such as 8867-4 (LOINC) or 147842")] = None,
    from_: Annotated[
        Instant | None, Query(alias="from", description="Effective at this instant or later")
    ] = None,
    to: Annotated[Instant | None, Query(description="Effective before this instant")] = None,
    limit: Limit = 100,
) -> Response:
    """Observations by effective time, each as last reported."""
    asked = {"patient_id": patient_id, "encounter_id": encounter_id, "code": code}
    window = {"from_at": from_ or EARLIEST, "to_at": to or LATEST, "rows": limit + 1}
    rows: list[dict[str, Any]] = twin.query(
        OBSERVATIONS.format(theirs=reach.of_visits()), {**asked, **window}
    )
    return reply(
        ObservationPage(
            observations=msgspec.convert(rows[:limit], list[ListedObservation]),
            more=len(rows) > limit,
        )
    )
