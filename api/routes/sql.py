"""`/v1/sql`: questions of analysts to rows without identities, never to the store itself."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.principal import Principal
from api.audit.recording import note
from api.browsing import Shown, shown
from api.exporting import MEDIA_TYPES, csv_of
from api.openapi import answers, reply
from api.problems import problem
from api.research import ResearchDesk, Unopened, opened
from api.routes.bodies import Unread, read_json
from api.sidecar import Rows
from twin_core.errors import QueryFailed, UsageError

router = APIRouter(prefix="/v1", tags=["sql"])

LONGEST_BODY = 100_000
STOPPED = "It took longer, or more memory, than a query may here; narrow it down."
CUT = "Wardtwin-Rows-Cut"
"""The header that says of CSV and Arrow what `cut` says in JSON."""

SqlFormat = Annotated[
    Literal["json", "csv", "arrow"],
    Query(description="Rows as JSON objects, as CSV, or as an Arrow IPC stream"),
]


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
    """A release or a live profile that may be asked, and what it says of itself."""

    name: str
    live: bool
    described: dict[str, str]


_ASKED = msgspec.json.Decoder(Question)


@router.get(
    "/sql/releases",
    summary="The rows without identities that may be asked",
    responses=answers(list[Release], "Every release and live profile, by name", problems="503"),
)
async def releases(request: Request) -> Response:
    """Each with its profile and cut-off, as the release itself says."""
    desk: ResearchDesk = request.app.state.research
    described = {name: await asyncio.to_thread(desk.described, name) for name in desk.names}
    return reply(
        [
            Release(name=name, live=desk.is_live(name), described=told)
            for name, told in described.items()
        ]
    )


@router.get(
    "/sql/schema",
    summary="What can be asked for, with what each column means",
    responses=answers(Shown, "Tables and KPIs of a release", problems="400 403 503"),
)
async def schema(request: Request, release: str | None = None) -> Response:
    """The tables of a release or live profile, by default the one that `/v1/sql` would ask."""
    desk: ResearchDesk = request.app.state.research
    try:
        chosen = await asyncio.to_thread(opened, desk, release, principal(request))
    except Unopened as shut:
        return problem(403, shut.what)
    return reply(await asyncio.to_thread(shown, desk, chosen))


@router.post(
    "/sql",
    summary="Ask rows without identities in SQL",
    responses=answers(SqlAnswer, "The rows", problems="400 403 408 503"),
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
async def ask(request: Request, format: SqlFormat = "json") -> Response:  # noqa: A002
    """One SELECT, in a process of its own with a deadline, a memory limit and a row cap."""
    question = _question(await request.body())
    return await answered(request, question, format)


async def answered(request: Request, question: Question, form: str) -> Response:
    """The rows of a question, in a form; noted for the ledger before it is asked."""
    desk: ResearchDesk = request.app.state.research
    named = f"release/{question.release or 'newest'}"
    note(request, text=question.sql, objects=(named,), patients=())
    try:
        chosen = await asyncio.to_thread(opened, desk, question.release, principal(request))
        note(request, objects=(f"release/{chosen}",))
        return await asyncio.to_thread(_FORMS[form], desk, chosen, question.sql)
    except Unopened as shut:
        return problem(403, shut.what)
    except QueryFailed:
        return problem(408, STOPPED, kind="query-stopped", title="The query was stopped")


def principal(request: Request) -> Principal:
    """Who asks, as the gate found out."""
    who: Principal = request.scope["wardtwin.principal"]
    return who


def _json(desk: ResearchDesk, chosen: str, sql: str) -> Response:
    rows = desk.query(chosen, sql)
    return reply(SqlAnswer(columns=list(rows.columns), rows=rows.rows, cut=rows.cut))


def _csv(desk: ResearchDesk, chosen: str, sql: str) -> Response:
    rows = desk.query(chosen, sql)
    return _file(csv_of(rows.columns, _cells(rows)), MEDIA_TYPES["csv"], rows.cut)


def _arrow(desk: ResearchDesk, chosen: str, sql: str) -> Response:
    stream = desk.arrow(chosen, sql)
    return _file(stream.content, MEDIA_TYPES["arrow"], stream.cut)


_FORMS: dict[str, Callable[[ResearchDesk, str, str], Response]] = {
    "json": _json,
    "csv": _csv,
    "arrow": _arrow,
}


def _cells(rows: Rows) -> list[list[Any]]:
    return [[row[name] for name in rows.columns] for row in rows.rows]


def _file(content: bytes, media_type: str, cut: bool) -> Response:
    headers = {"Cache-Control": "no-store", CUT: str(cut).lower()}
    return Response(content, media_type=media_type, headers=headers)


def _question(body: bytes) -> Question:
    if len(body) > LONGEST_BODY:
        raise UsageError(f"A question is no longer than {LONGEST_BODY:,} bytes.")
    try:
        return read_json(body, _ASKED)
    except Unread:
        raise UsageError(
            "The question cannot be read.",
            do='Post JSON such as {"sql": "FROM twin.stay LIMIT 5"}.',
        ) from None
