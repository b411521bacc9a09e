"""`/v1/kpis`: the catalogue, and one KPI over a window."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, cast

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.exporting import COMPARED, MEDIA_TYPES, Format, accepted, exported
from api.openapi import answers, reply
from api.routes.asked import AskedTwin, Edge, Instant, KnownAt, Limit
from twin_core.errors import UsageError
from twin_core.kpi import Figure, KpiRow, RowBehind, Window
from twin_core.kpi.catalogue import By, Definition, Grain
from twin_core.kpi.changing import KpiChange
from twin_core.kpi.charting import Baseline, KpiChart
from twin_core.kpi.comparing import Compare
from twin_core.kpi.control import BASELINE, LEAST, RULES, Rule
from twin_core.twin import Twin

router = APIRouter(prefix="/v1", tags=["kpis"])

LONGEST_WINDOW = timedelta(days=3700)
LONGEST_FINE_WINDOW = {"hour": timedelta(days=100), "shift": timedelta(days=1200)}


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
    """What gives its inputs, where admissions, transfers and discharges do not; without it the KPI
    has no rows, or rows whose figures are not known."""
    origin: Literal["built-in", "site"]
    replaces: str
    """The title of the built-in KPI whose place a site's own has taken; empty otherwise."""


class KpiFigure(KpiRow, frozen=True, kw_only=True):
    """One figure; beside the period before it only where a comparison was asked for."""

    value_before: float | msgspec.UnsetType | None = msgspec.UNSET
    change: float | msgspec.UnsetType | None = msgspec.UNSET
    """value minus value_before, in the unit of the KPI."""


class KpiFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A KPI over a window."""

    id: str
    start: datetime
    end: datetime
    grain: Grain
    by: By
    known_at: datetime | None
    compare: Literal["previous", "year"] | None
    rows: Sequence[KpiFigure]


FIGURES = answers(KpiFigures, "Its figures", problems="400 404 406 422 503")
FIGURES[200]["content"] |= {media_type: {} for media_type in list(MEDIA_TYPES.values())[1:]}


class KpiCharts(msgspec.Struct, frozen=True, kw_only=True):
    """The run charts of a KPI, and what the names of their signals mean."""

    id: str
    start: datetime
    end: datetime
    grain: Grain
    by: By
    rules: dict[Rule, str]
    charts: list[KpiChart]


class KpiChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What messages later than `known_at` changed in the figures of a KPI."""

    id: str
    start: datetime
    end: datetime
    grain: Grain
    by: By
    known_at: datetime
    changes: list[KpiChange]


class KpiRows(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what the figures of a KPI were counted from.

    The rows of a figure have its facility, unit, period and stratum, and its statistic or none.
    `next` goes into `after` for the page that follows, null on the last; give `known_at` where
    messages may arrive between two pages.
    """

    id: str
    start: datetime
    end: datetime
    grain: Grain
    by: By
    known_at: datetime | None
    rows: list[RowBehind]
    next: int | None


Chosen = Annotated[
    str | None,
    Query(max_length=255, description="Only rows of figures with this; `-` where it is missing"),
]


@router.get(
    "/kpis",
    summary="The KPI catalogue",
    responses=answers(list[KpiEntry], "Every KPI, by id"),
)
def kpis(twin: AskedTwin) -> Response:
    """What each KPI asks and how it is counted; the site's own stand among the built-in ones."""
    return reply([entry(definition) for definition in twin.kpis.values()])


@router.get(
    "/kpis/{kpi_id}",
    summary="One KPI over a window",
    responses=FIGURES,
)
def kpi(
    kpi_id: str,
    twin: AskedTwin,
    request: Request,
    start: Annotated[Edge | None, Query(description="Window's first instant or day")] = None,
    end: Annotated[Edge | None, Query(description="Window's end, exclusive")] = None,
    grain: Annotated[Grain, Query(description="Length of a period")] = "day",
    by: Annotated[By, Query(description="Grouping")] = "unit",
    known_at: KnownAt = None,
    compare: Annotated[
        Compare | None, Query(description="Beside the same period before, or a year ago")
    ] = None,
    form: Annotated[
        Format | None, Query(alias="format", description="Else as the Accept header says")
    ] = None,
) -> Response:
    """The figures of a KPI; the last seven whole days where no window is given."""
    found_kpi(twin, kpi_id)
    form = form or accepted(request.headers.get("accept", ""))
    if form is None:
        raise HTTPException(406, "Answers are " + ", ".join(MEDIA_TYPES.values()) + ".")
    figures = measured(
        twin, kpi_id, start, end, grain=grain, by=by, known_at=known_at, compare=compare
    )
    answer = reply(figures) if form == "json" else _file(figures, form)
    answer.headers["Vary"] = "Accept"
    return answer


def _file(figures: KpiFigures, form: Format) -> Response:
    rows = [msgspec.structs.asdict(row) for row in figures.rows]
    ending = "arrows" if form == "arrow" else form
    return Response(
        exported(rows, form, COMPARED if figures.compare else ()),
        media_type=MEDIA_TYPES[form],
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{figures.id}.{ending}"',
        },
    )


@router.get(
    "/kpis/{kpi_id}/changes",
    summary="What later messages changed in a report",
    responses=answers(KpiChanges, "The figures that changed", problems="400 404 422 503"),
)
def kpi_changes(
    kpi_id: str,
    twin: AskedTwin,
    known_at: Annotated[Instant, Query(description="When the report was known as it was")],
    start: Annotated[Edge | None, Query(description="Window's first instant or day")] = None,
    end: Annotated[Edge | None, Query(description="Window's end, exclusive")] = None,
    grain: Annotated[Grain, Query(description="Length of a period")] = "day",
    by: Annotated[By, Query(description="Grouping")] = "unit",
) -> Response:
    """Each figure that is another one now than it was known to be then; the others have no row."""
    found_kpi(twin, kpi_id)
    window = bounded_window(twin, start, end, grain)
    found = twin.kpi_changes(kpi_id, *window, known_at=known_at, grain=grain, by=by)
    return reply(
        KpiChanges(
            id=kpi_id,
            start=window.start,
            end=window.end,
            grain=grain,
            by=by,
            known_at=known_at,
            changes=found,
        )
    )


@router.get(
    "/kpis/{kpi_id}/chart",
    summary="The run charts of one KPI, with control limits and signals",
    responses=answers(KpiCharts, "One chart per place or class", problems="400 404 422 503"),
)
def kpi_chart(
    kpi_id: str,
    twin: AskedTwin,
    start: Annotated[Edge | None, Query(description="Window's first instant or day")] = None,
    end: Annotated[Edge | None, Query(description="Window's end, exclusive")] = None,
    grain: Annotated[Grain, Query(description="Length of a period; not `all`")] = "day",
    by: Annotated[By, Query(description="Grouping")] = "unit",
    known_at: KnownAt = None,
    statistic: Annotated[str | None, Query(description="By default the KPI's first")] = None,
    baseline: Annotated[
        int, Query(ge=LEAST, le=1000, description="Limits from the first so many known points")
    ] = BASELINE,
    baseline_start: Annotated[
        Edge | None, Query(description="Limits from the periods of this window instead")
    ] = None,
    baseline_end: Annotated[Edge | None, Query(description="Its end, exclusive")] = None,
) -> Response:
    """XmR, p or u charts, whichever the figure asks for; a chart without limits says why."""
    found_kpi(twin, kpi_id)
    if (baseline_start is None) != (baseline_end is None):
        raise UsageError(
            "A baseline needs both of its edges.", do="Give baseline_start and baseline_end."
        )
    since, until = bounded_window(twin, start, end, grain)
    window = None if baseline_start is None else twin.window(baseline_start, baseline_end)
    charts = twin.kpi_charts(
        kpi_id,
        since,
        until,
        grain=grain,
        by=by,
        known_at=known_at,
        statistic=statistic,
        baseline=Baseline(baseline, window),
    )
    return reply(
        KpiCharts(
            id=kpi_id, start=since, end=until, grain=grain, by=by, rules=dict(RULES), charts=charts
        )
    )


@router.get(
    "/kpis/{kpi_id}/rows",
    summary="The rows behind a KPI's figures",
    responses=answers(KpiRows, "The rows, with their events and messages", problems="400 404 422"),
)
def kpi_rows(
    kpi_id: str,
    twin: AskedTwin,
    start: Annotated[Edge | None, Query(description="Window's first instant or day")] = None,
    end: Annotated[Edge | None, Query(description="Window's end, exclusive")] = None,
    grain: Annotated[Grain, Query(description="Length of a period")] = "day",
    by: Annotated[By, Query(description="Grouping")] = "unit",
    known_at: KnownAt = None,
    facility: Chosen = None,
    unit: Chosen = None,
    stratum: Chosen = None,
    statistic: Chosen = None,
    period: Annotated[Edge | None, Query(description="An instant of the period")] = None,
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, description="`next` of the page before")] = 0,
) -> Response:
    """What each figure was counted from; the rows of a figure add up to it."""
    found_kpi(twin, kpi_id)
    figure = Figure(
        facility=facility, unit=unit, period=period, stratum=stratum, statistic=statistic
    )
    window = bounded_window(twin, start, end, grain)
    return reply(
        behind(
            twin,
            kpi_id,
            window,
            grain=grain,
            by=by,
            known_at=known_at,
            figure=figure,
            limit=limit,
            after=after,
        )
    )


def behind(
    twin: Twin,
    kpi_id: str,
    window: Window,
    *,
    grain: Grain,
    by: By,
    known_at: datetime | None,
    figure: Figure,
    limit: int,
    after: int,
) -> KpiRows:
    """A page of the rows behind a KPI's figures."""
    rows = twin.kpi_rows(
        kpi_id,
        *window,
        grain=grain,
        by=by,
        known_at=known_at,
        figure=figure,
        limit=limit + 1,
        offset=after,
    )
    return KpiRows(
        id=kpi_id,
        start=window.start,
        end=window.end,
        grain=grain,
        by=by,
        known_at=known_at,
        rows=rows[:limit],
        next=after + limit if len(rows) > limit else None,
    )


def measured(
    twin: Twin,
    kpi_id: str,
    start: date | datetime | None,
    end: date | datetime | None,
    *,
    grain: Grain,
    by: By,
    known_at: datetime | None,
    compare: Compare | None = None,
) -> KpiFigures:
    """A KPI over a window, by default the last seven whole days in the hospital's time zone."""
    since, until = bounded_window(twin, start, end, grain)
    rows: Sequence[KpiRow]
    if compare is None:
        rows = twin.kpi(kpi_id, since, until, grain=grain, by=by, known_at=known_at)
    else:
        rows = twin.kpi_compared(
            kpi_id, since, until, grain=grain, by=by, known_at=known_at, compare=compare
        )
    return KpiFigures(
        id=kpi_id,
        start=since,
        end=until,
        grain=grain,
        by=by,
        known_at=known_at,
        compare=compare,
        # Rows of the core encode to the very same members; only the description differs.
        rows=cast("Sequence[KpiFigure]", rows),
    )


def bounded_window(
    twin: Twin, start: date | datetime | None, end: date | datetime | None, grain: Grain
) -> Window:
    """The window that is meant; UsageError where it has too many periods to answer."""
    window = twin.window(start, end)
    longest = LONGEST_FINE_WINDOW.get(grain, LONGEST_WINDOW)
    if window.end - window.start > longest:
        raise UsageError(
            "The window is too long for this grain.", do="Shorten it, or use a coarser grain."
        )
    return window


def found_kpi(twin: Twin, kpi_id: str) -> Definition:
    """A KPI of the catalogue, or 404."""
    definition = twin.kpis.get(kpi_id)
    if definition is None:
        raise HTTPException(404, "There is no such KPI; /v1/kpis lists those there are.")
    return definition


def entry(definition: Definition) -> KpiEntry:
    """A catalogue entry as it is shown."""
    return msgspec.convert(definition.model_dump(mode="json", exclude={"sql"}), KpiEntry)
