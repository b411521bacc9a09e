"""The SQL workbench: one SELECT over a de-identified release, its rows as a table and a chart.

The address holds the question, or the name under which it is kept, so that it can be sent to a
colleague; opening it asks nothing.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.gate import Shut, read_form
from api.audit.recording import note
from api.browsing import TableShown, shown
from api.exporting import MEDIA_TYPES, csv_of
from api.research import AGGREGATES, ResearchDesk, openable, opened
from api.routes.asked import the_twin
from api.routes.pages import common
from api.routes.sql import principal
from api.sidecar import Rows
from api.web.chart import Point, bar_chart, line_chart
from api.web.rendering import page
from twin_core.errors import QueryFailed, StoreBusy, StoreError, TwinError, UsageError
from twin_core.store.permit import explained

router = APIRouter(include_in_schema=False)

CHARTS = ("", "line", "bars")
MOST_POINTS = 500
LONGEST_SQL = 16_000
FIRST = "SELECT unit, count(*) AS stays\nFROM twin.stay\nGROUP BY unit\nORDER BY stays DESC"


ASKED_AS = ("rows", "line", "bars", "csv", "explain")
"""How an answer can be wanted: a table, drawn, as a file, or how it would be worked out."""


class Question(NamedTuple):
    """What somebody asks, how they want to see the answer, and by which name it is kept."""

    sql: str
    release: str
    chart: str = ""
    answer: str = "rows"
    name: str = ""


@router.get("/sql")
async def workbench(
    request: Request,
    sql: Annotated[str, Query(max_length=LONGEST_SQL)] = "",
    release: Annotated[str, Query(max_length=200)] = "",
    chart: Annotated[str, Query(pattern="^(line|bars)?$")] = "",
    query: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """An empty sheet, or a question somebody sent or kept, not yet asked."""
    asked = Question(sql or FIRST, release, chart)
    if query and not sql:
        asked = (await _of_name(request, query))._replace(chart=chart)
    return await sheet(request, asked)


@router.post("/sql")
async def ask(request: Request) -> Response:
    """Ask a release, and show the rows, what the database would do, or a file."""
    return await answered(request, await _question(request))


async def answered(request: Request, asked: Question) -> Response:
    """A question asked, whoever wrote it; what cannot be asked is explained on the sheet."""
    desk: ResearchDesk = request.app.state.research
    sql = f"EXPLAIN {explained(asked.sql)}" if asked.answer == "explain" else asked.sql
    note(request, text=sql, patients=())
    try:
        chosen = await asyncio.to_thread(opened, desk, asked.release or None, principal(request))
        note(request, objects=(f"release/{chosen}",))
        rows = await asyncio.to_thread(desk.query, chosen, sql)
    except (UsageError, QueryFailed, StoreBusy, StoreError) as error:
        return await sheet(request, asked, fault=error)
    if asked.answer == "csv":
        return _file(rows)
    return await sheet(request, asked, rows=rows)


async def _question(request: Request) -> Question:
    form = await said(request)
    asked = Question(
        form.get("sql", "").strip()[:LONGEST_SQL],
        form.get("release", ""),
        form.get("chart", ""),
        name=form.get("query", "")[:80],
    )
    return wanted_as(asked, form.get("answer", "rows"))


def wanted_as(asked: Question, answer: str) -> Question:
    """A question with its answer in one of the ways there are; a way to draw is a chart, too."""
    answer = answer if answer in ASKED_AS else "rows"
    chart = answer if answer in CHARTS else asked.chart
    return asked._replace(answer=answer, chart=chart if chart in CHARTS else "")


async def said(request: Request) -> dict[str, str]:
    """The fields of a form. Raises UsageError for one that is too long."""
    try:
        return (await read_form(request.receive))[0]
    except Shut as shut:
        raise UsageError(shut.said) from None


async def _of_name(request: Request, name: str) -> Question:
    """A question that is kept. Raises UsageError where the caller may ask none of that name."""
    twin = the_twin(request)
    kept = await asyncio.to_thread(twin.saved_query, principal(request).id, name)
    return Question(kept.sql, kept.release or "", name=name)


async def sheet(
    request: Request, asked: Question, *, rows: Rows | None = None, fault: TwinError | None = None
) -> Response:
    """The page: the question, its answer or what is wrong with it, what is kept, what there is."""
    desk: ResearchDesk = request.app.state.research
    who, twin = principal(request), the_twin(request)
    names = await asyncio.to_thread(openable, desk, who)
    usual = sorted(names, key=lambda name: name == AGGREGATES)
    chosen = asked.release if asked.release in names else (usual[0] if usual else "")
    tables = await asyncio.to_thread(_tables, desk, chosen)
    answer = page(
        "sql.html",
        **common(twin),
        here="sql",
        asked=asked,
        saved=await asyncio.to_thread(twin.saved_queries, who.id),
        me=who.id,
        releases=names,
        chosen=chosen,
        charts=CHARTS,
        tables=tables,
        rows=rows,
        drawing=drawn(rows, asked.chart) if rows is not None else None,
        fault=fault,
    )
    answer.status_code = 200 if fault is None else 400
    return answer


def _tables(desk: ResearchDesk, release: str) -> list[TableShown]:
    """What can be asked; nothing where there is no release, or it cannot be read now."""
    if not release:
        return []
    try:
        return shown(desk, release).tables
    except TwinError:
        return []


def drawn(rows: Rows, chart: str) -> Any:
    """The first column of numbers over the first column; nothing where there are none."""
    measured = next((name for name in rows.columns[1:] if _is_number(rows.rows, name)), None)
    if not chart or measured is None or len(rows.rows) > MOST_POINTS:
        return None
    label = rows.columns[0]
    points = [Point(str(row[label] or ""), row[measured]) for row in rows.rows]
    draw = line_chart if chart == "line" else bar_chart
    return draw(points, title=f"{measured}, {label}")


def _is_number(rows: Sequence[dict[str, Any]], name: str) -> bool:
    cells = [row[name] for row in rows if row[name] is not None]
    return bool(cells) and all(
        isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells
    )


def _file(rows: Rows) -> Response:
    table = ([row[name] for name in rows.columns] for row in rows.rows)
    headers = {
        "Content-Disposition": 'attachment; filename="answer.csv"',
        "Cache-Control": "no-store",
    }
    return Response(csv_of(rows.columns, table), media_type=MEDIA_TYPES["csv"], headers=headers)
