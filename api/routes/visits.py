"""The page of one visit: where the patient was, what was planned, and the messages that said so.

It is the step between a number on the board and the message behind it, and shows ids, never names.
"""

from fastapi import APIRouter
from starlette.responses import Response

from api.routes.asked import AskedTwin
from api.routes.encounters import visit_detail
from api.routes.pages import common
from api.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/visits/{encounter_id}")
def visit(encounter_id: str, twin: AskedTwin) -> Response:
    """Everything the twin knows of a visit, except who the patient is."""
    return page("visit.html", **common(twin), here="board", visit=visit_detail(twin, encounter_id))
