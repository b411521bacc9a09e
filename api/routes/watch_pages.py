"""The pages of who keeps watch: how every feed is doing, which figures are beyond a threshold."""

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from adapters.hl7v2.acknowledge import ERROR_CODES
from api.access.gate import read_form
from api.routes.alerts import noted
from api.routes.asked import AskedTwin
from api.routes.pages import common
from api.sources.status import sources
from api.web.rendering import page
from twin_core.errors import UsageError
from twin_core.twin import Twin

router = APIRouter(include_in_schema=False)

SHOWN_ALERTS = 200
LONGEST_NAME = 100


@router.get("/feeds")
def feeds(twin: AskedTwin, request: Request) -> Response:
    """Every feed and FHIR server: what came, what was refused, who is silent or out of step."""
    reports = request.app.state.feeds.reports()
    shown = {**common(twin), "here": "feeds", "error_codes": ERROR_CODES}
    return page("feeds.html", **shown, reports=reports, sources=_sources(twin))


def _sources(twin: Twin) -> list[dict[str, Any]]:
    """Every FHIR server that is read, with when it was last in step and how long ago that is."""
    return [
        source
        | {
            "synced_at": one and datetime.fromisoformat(one),
            "lag": None if behind is None else timedelta(seconds=behind),
        }
        for source in sources(twin)
        for one, behind in [(source["synced_at"], source["lag_seconds"])]
    ]


@router.get("/alerts")
def alerts(twin: AskedTwin) -> Response:
    """What the alerts of the settings have found: open ones first, then the latest."""
    return page(
        "alerts.html",
        **common(twin),
        here="alerts",
        current=twin.current_alerts(),
        closed=twin.alerts("closed", limit=SHOWN_ALERTS),
        configured=len(twin.settings.alerts),
        titles={kpi.id: kpi.title for kpi in twin.kpis.values()},
    )


@router.post("/alerts/{alert_id}/acknowledge")
async def acknowledge(alert_id: str, twin: AskedTwin, request: Request) -> Response:
    """Note that somebody knows of an alert, then show the alerts again."""
    form, _ = await read_form(request.receive)
    by = form.get("by", "").strip()[:LONGEST_NAME]
    if not by:
        raise UsageError("Nobody is named who knows of the alert.", do="Give your name.")
    await noted(request, alert_id, by)
    return RedirectResponse("/alerts", status_code=303)
