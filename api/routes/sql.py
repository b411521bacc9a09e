"""`/v1/sql`: questions of analysts to de-identified releases, never to the store itself."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.audit.recording import note
from api.exporting import MEDIA_TYPES, csv_of
from api.openapi import answers, reply
from api.problems import problem
from api.research import ResearchDesk
from twin_core.errors import QueryFailed, UsageError

router = APIRouter(prefix="/v1", tags=["sql"])

LONGEST_BODY = 100_000
STOPPED = "It took longer, or more memory, than a query may here; narrow it down."


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One SELECT; `release` is needed where there are several."""

    sql: str
    release: str | None = None


class SqlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a SELECT; `cut` says that there are more than `store.query_rows`."""

    columns: list[str]
    rows: list[dict[str, Any]]
    cut: bool


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A release that may be asked, and what it says of itself."""

    name: str
    described: dict[str, str]


_ASKED = msgspec.json.Decoder(Question)


@router.get(
    "/sql/releases",
    summary="The de-identified releases that may be asked",
    responses=answers(list[Release], "Every release, by name", problems="503"),
)
async def releases(request: Request) -> Response:
    """Each with its profile and cut-off, as the release itself says."""
    desk: ResearchDesk = request.app.state.research
    return reply(
        [
            Release(name=name, described=await asyncio.to_thread(desk.described, name))
            for name in desk.names
        ]
    )


@router.post(
    "/sql",
    summary="Ask a de-identified release in SQL",
    responses=answers(SqlAnswer, "The rows", problems="400 408 503"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["sql"],
                        "properties": {
                            "sql": {"type": "string"},
                            "release": {"type": "string"},
                        },
                    }
                }
            },
        }
    },
)
async def ask(
    request: Request,
    format: Annotated[  # noqa: A002 - the parameter is called so everywhere
        Literal["json", "csv"], Query(description="Rows as JSON objects, or as CSV")
    ] = "json",
) -> Response:
    """One SELECT, in a process of its own with a deadline, a memory limit and a row cap."""
    desk: ResearchDesk = request.app.state.research
    question = _question(await request.body())
    note(request, text=question.sql, objects=(f"release/{question.release or 'newest'}",))
    try:
        rows = await asyncio.to_thread(desk.query, question.release, question.sql)
    except QueryFailed:
        return problem(408, STOPPED, kind="query-stopped", title="The query was stopped")
    if format == "csv":
        table = ([row[name] for name in rows.columns] for row in rows.rows)
        return Response(csv_of(rows.columns, table), media_type=MEDIA_TYPES["csv"])
    return reply(SqlAnswer(columns=list(rows.columns), rows=rows.rows, cut=rows.cut))


def _question(body: bytes) -> Question:
    if len(body) > LONGEST_BODY:
        raise UsageError(f"A question is no longer than {LONGEST_BODY:,} bytes.")
    try:
        return _ASKED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(
            "The question cannot be read.",
            do='Post JSON such as {"sql": "FROM twin.stay LIMIT 5"}.',
        ) from None
