"""`/v1/lately`: the whole catalogue over the last 24 hours."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.lately import LatelyKept
from api.openapi import answers, reply
from twin_core.kpi import KpiRow
from twin_core.kpi.catalogue import By

router = APIRouter(prefix="/v1", tags=["kpis"])


class CatalogueLately(msgspec.Struct, frozen=True, kw_only=True):
    """Every KPI that has inputs and knows the grouping, over the 24 hours until `end`."""

    start: datetime
    end: datetime
    by: By
    sequence: int
    """The last batch that is counted."""
    figures: Mapping[str, Sequence[KpiRow]]
    """By KPI its rows, one per place, stratum and statistic."""


@router.get(
    "/lately",
    summary="The whole catalogue over the last 24 hours",
    responses=answers(CatalogueLately, "Figures by KPI", problems="422 503"),
)
def lately(
    request: Request, by: Annotated[By, Query(description="Grouping")] = "hospital"
) -> Response:
    """What `/v1/kpis/{kpi_id}` gives with grain `all`, for every KPI at once, some seconds old."""
    kept: LatelyKept = request.app.state.lately
    found = kept.figures(by)
    return reply(
        CatalogueLately(
            start=found.window.start,
            end=found.window.end,
            by=by,
            sequence=found.sequence,
            figures=found.figures,
        )
    )
