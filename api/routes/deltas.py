"""`/v1/deltas`: the board's changes as server-sent events."""

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from api.board import Board
from api.live import CLIENTS, LiveBoard
from api.openapi import answers, reply
from api.routes.asked import AskedReach

router = APIRouter(prefix="/v1", tags=["live"])


@router.get(
    "/deltas",
    summary="A snapshot of the board, then its changes",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `snapshot` (Board), `delta` (Delta) and `refetch`",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        503: {"description": "Too many watch already"},
    },
)
async def deltas(request: Request, reach: AskedReach) -> Response:
    """The first event is a `snapshot`. Each `delta` names the sequence it applies to in `previous`;
    where that is not the sequence you have, or on `refetch`, connect again for a new snapshot. A
    changed `instance` means that the server was started again.
    """
    live: LiveBoard = request.app.state.live
    if live.clients >= CLIENTS:
        raise HTTPException(503, "Too many clients watch already.")
    client = await live.join(reach)
    return StreamingResponse(
        live.stream(client),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get(
    "/board",
    summary="The board as one document",
    responses=answers(Board, "The board", problems="503"),
)
async def board(request: Request, reach: AskedReach) -> Response:
    """What `snapshot` holds, for a client that polls."""
    live: LiveBoard = request.app.state.live
    return reply(await live.board(reach))
