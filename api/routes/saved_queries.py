"""`/v1/sql/queries`: questions that somebody keeps by a name, tried before they are kept."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api.audit.recording import note
from api.openapi import answers, reply
from api.problems import problem
from api.research import ResearchDesk, Unopened, opened
from api.routes.asked import the_twin
from api.routes.bodies import Unread, read_json
from api.routes.sql import STOPPED, Question, SqlAnswer, SqlFormat, answered, principal
from twin_core.errors import QueryFailed, UsageError
from twin_core.store.permit import explained
from twin_core.store.saved import QUERY_NAME, SavedQuery

router = APIRouter(prefix="/v1/sql/queries", tags=["sql"])

LONGEST_BODY = 100_000
Name = Annotated[
    str,
    Path(pattern=f"^{QUERY_NAME}$", description="Letters, digits, . _ - space"),
]


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be kept under a name."""

    sql: str
    release: str | None = None
    shared: bool = False
    about: str = ""


_KEPT = msgspec.json.Decoder(Kept)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["sql"],
                    "additionalProperties": False,
                    "properties": {
                        "sql": {"type": "string"},
                        "release": {"type": "string"},
                        "shared": {"type": "boolean"},
                        "about": {"type": "string"},
                    },
                }
            }
        },
    }
}


@router.get(
    "",
    summary="Saved queries",
    responses=answers(list[SavedQuery], "One's own first, then those that are shared"),
)
async def listed(request: Request) -> Response:
    """What the caller may ask by name."""
    twin = the_twin(request)
    return reply(await asyncio.to_thread(twin.saved_queries, principal(request).id))


@router.get(
    "/{name}",
    summary="A saved query",
    responses=answers(SavedQuery, "The question", problems="400"),
)
async def shown(request: Request, name: Name) -> Response:
    """One's own of this name, or the shared one."""
    twin = the_twin(request)
    return reply(await asyncio.to_thread(twin.saved_query, principal(request).id, name))


@router.put(
    "/{name}",
    summary="Keep a query by a name",
    responses=answers(SavedQuery, "What is kept", problems="400 403 408 503"),
    openapi_extra=_BODY,
)
async def keep(request: Request, name: Name) -> Response:
    """It is planned over its release first: what cannot be asked is not kept."""
    try:
        return reply(await tried_and_kept(request, name, _kept(await request.body())))
    except Unopened as shut:
        return problem(403, shut.what)
    except QueryFailed:
        return problem(408, STOPPED, kind="query-stopped", title="The query was stopped")


async def tried_and_kept(request: Request, name: str, kept: Kept) -> SavedQuery:
    """Keep a question that its release can be asked.

    Raises Unopened for a release that is shut, QueryFailed and UsageError where it cannot be asked.
    """
    who = principal(request)
    note(request, text=kept.sql, objects=(f"query/{name}",), patients=())
    desk: ResearchDesk = request.app.state.research
    chosen = await asyncio.to_thread(opened, desk, kept.release, who)
    await asyncio.to_thread(desk.query, chosen, f"EXPLAIN {explained(kept.sql)}")
    twin = the_twin(request)
    told = msgspec.structs.asdict(kept)
    query = SavedQuery(name=name, owner=who.id, saved_at=twin.clock.now(), **told)
    await asyncio.to_thread(twin.save_query, query)
    return query


@router.delete(
    "/{name}",
    summary="Forget a saved query",
    responses={204: {"description": "It is gone"}, **answers(None, "Refused", status=400)},
)
async def forget(request: Request, name: Name) -> Response:
    """Only one's own."""
    note(request, objects=(f"query/{name}",))
    await asyncio.to_thread(the_twin(request).forget_query, principal(request).id, name)
    return Response(status_code=204)


@router.post(
    "/{name}",
    summary="Ask a saved query",
    responses=answers(SqlAnswer, "The rows", problems="400 403 408 503"),
)
async def ask(request: Request, name: Name, format: SqlFormat = "json") -> Response:  # noqa: A002
    """As `/v1/sql`, with the permissions of whoever asks."""
    found = await asyncio.to_thread(the_twin(request).saved_query, principal(request).id, name)
    return await answered(request, Question(sql=found.sql, release=found.release), format)


def _kept(body: bytes) -> Kept:
    if len(body) > LONGEST_BODY:
        raise UsageError(f"A query is no longer than {LONGEST_BODY:,} bytes.")
    try:
        return read_json(body, _KEPT)
    except Unread:
        raise UsageError(
            "What is to be kept cannot be read.",
            do='Put JSON such as {"sql": "FROM twin.stay LIMIT 5", "shared": true}.',
        ) from None
