"""`/v1/feeds`: how every feed is doing."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.feeds import FeedReport
from api.openapi import answers, reply

router = APIRouter(prefix="/v1", tags=["feeds"])


@router.get(
    "/feeds",
    summary="How every feed is doing",
    responses=answers(list[FeedReport], "Every feed, by name"),
)
async def feeds(request: Request) -> Response:
    """Counts since the store was made; connections, delays and rejects since the server started.

    A feed that is silent for longer than is usual for it has the state `silent` and a warning.
    """
    return reply(await asyncio.to_thread(request.app.state.feeds.reports))
