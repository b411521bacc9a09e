"""`/v1/kpis`: the catalogue, and one KPI over a window."""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.openapi import answers, reply
from api.routes.asked import AskedTwin, Edge, KnownAt
from twin_core.errors import UsageError
from twin_core.kpi import KpiRow
from twin_core.kpi.catalogue import By, Definition, Grain, catalogue
from twin_core.twin import Twin

router = APIRouter(prefix="/v1", tags=["kpis"])

LONGEST_WINDOW = timedelta(days=3700)
LONGEST_HOURLY_WINDOW = timedelta(days=100)


class KpiEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A KPI of the catalogue: what it asks, how it is counted, where it comes from."""

    id: str
    title: str
    question: str
    unit: str
    direction: str
    numerator: str
    denominator: str
    grain: list[str]
    by: list[str]
    exclusions: list[str]
    strata: dict[str, str]
    statistics: dict[str, str]
    caveats: list[str]
    source: str
    supplied_by: str
    """The feed that would give its inputs, where the twin has none; the KPI has no rows then."""


class KpiFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A KPI over a window."""

    id: str
    start: datetime
    end: datetime
    grain: Literal["hour", "day", "week", "month", "all"]
    by: Literal["hospital", "facility", "unit", "class"]
    known_at: datetime | None
    rows: list[KpiRow]


@router.get(
    "/kpis",
    summary="The KPI catalogue",
    responses=answers(list[KpiEntry], "Every KPI, by id"),
)
def kpis() -> Response:
    """What each KPI asks and how it is counted."""
    return reply([entry(definition) for definition in catalogue().values()])


@router.get(
    "/kpis/{kpi_id}",
    summary="One KPI over a window",
    responses=answers(KpiFigures, "Its figures", problems="400 404 422 503"),
)
def kpi(
    kpi_id: str,
    twin: AskedTwin,
    start: Annotated[Edge | None, Query(description="Window's first instant or day")] = None,
    end: Annotated[Edge | None, Query(description="Window's end, exclusive")] = None,
    grain: Annotated[Grain, Query(description="Length of a period")] = "day",
    by: Annotated[By, Query(description="Grouping")] = "unit",
    known_at: KnownAt = None,
) -> Response:
    """The figures of a KPI; the last seven whole days where no window is given."""
    found_kpi(kpi_id)
    return reply(measured(twin, kpi_id, start, end, grain=grain, by=by, known_at=known_at))


def measured(
    twin: Twin,
    kpi_id: str,
    start: date | datetime | None,
    end: date | datetime | None,
    *,
    grain: Grain,
    by: By,
    known_at: datetime | None,
) -> KpiFigures:
    """A KPI over a window, by default the last seven whole days in the hospital's time zone."""
    since, until = twin.window(start, end)
    if until - since > (LONGEST_HOURLY_WINDOW if grain == "hour" else LONGEST_WINDOW):
        raise UsageError(
            "The window is too long for this grain.", do="Shorten it, or use a coarser grain."
        )
    rows = twin.kpi(kpi_id, since, until, grain=grain, by=by, known_at=known_at)
    return KpiFigures(
        id=kpi_id,
        start=since,
        end=until,
        grain=grain,
        by=by,
        known_at=known_at,
        rows=rows,
    )


def found_kpi(kpi_id: str) -> Definition:
    """A KPI of the catalogue, or 404."""
    definition = catalogue().get(kpi_id)
    if definition is None:
        raise HTTPException(404, "There is no such KPI; /v1/kpis lists those there are.")
    return definition


def entry(definition: Definition) -> KpiEntry:
    """A catalogue entry as it is shown."""
    return msgspec.convert(definition.model_dump(mode="json", exclude={"sql"}), KpiEntry)
