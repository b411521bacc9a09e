"""`/v1/alerts`: figures beyond their thresholds, and that somebody knows of it."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from api.alerting import AlertDesk
from api.openapi import answers, reply
from api.routes.asked import AskedTwin, Limit
from twin_core.errors import UsageError
from twin_core.kpi.alerting import Alert, State

router = APIRouter(prefix="/v1", tags=["alerts"])


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts, the latest first."""

    alerts: list[Alert]


@router.get(
    "/alerts",
    summary="Alerts on KPIs",
    responses=answers(Alerts, "The alerts", problems="422 503"),
)
def alerts(
    twin: AskedTwin,
    state: Annotated[State | None, Query(description="Only those; all where not given")] = None,
    kpi: Annotated[str | None, Query(max_length=255, description="Only about this KPI")] = None,
    limit: Limit = 100,
) -> Response:
    """What `[alerts.NAME]` of the settings has found, the latest first."""
    return reply(Alerts(alerts=twin.alerts(state, kpi_id=kpi, limit=limit)))


@router.get(
    "/alerts/stream",
    summary="Open alerts, then what happens to alerts",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `alerts` (what is open), then `alert` for whatever happens",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
def stream(request: Request, twin: AskedTwin) -> Response:
    """The first event holds every alert that is not closed."""
    desk: AlertDesk = request.app.state.alerts
    return StreamingResponse(
        desk.stream(twin.current_alerts()),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post(
    "/alerts/{alert_id}/acknowledge",
    summary="Note that somebody knows of an alert",
    responses=answers(Alert, "The alert", problems="404 422 503"),
)
async def acknowledge(
    alert_id: str,
    twin: AskedTwin,
    request: Request,
    by: Annotated[str, Query(min_length=1, max_length=100, description="Who knows of it")],
) -> Response:
    """The first to acknowledge an alert is noted; doing it again changes nothing."""
    return reply(await noted(request, alert_id, by))


async def noted(request: Request, alert_id: str, by: str) -> Alert:
    """An alert that somebody now knows of. Raises HTTPException 404 where there is none."""
    desk: AlertDesk = request.app.state.alerts
    try:
        return await desk.acknowledge(alert_id, by)
    except UsageError:
        raise HTTPException(404, "No alert has this id.") from None
