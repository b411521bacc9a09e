"""`/v1/views`: addresses that somebody keeps by a name, wherever they sign in."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Path, Request
from starlette.responses import Response

from api.access.control import AccessControl
from api.access.store import View
from api.openapi import answers, reply
from api.routes.asked import the_twin
from api.routes.bodies import Unread, read_json
from api.routes.sql import principal
from twin_core.errors import UsageError

router = APIRouter(prefix="/v1/views", tags=["access"])

LONGEST_HREF = 2_000
Name = Annotated[str, Path(min_length=1, max_length=60, description="What the view is called")]


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address that is to be kept."""

    href: str


_KEPT = msgspec.json.Decoder(Kept)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["href"],
                    "additionalProperties": False,
                    "properties": {"href": {"type": "string", "pattern": "^/(?!/)"}},
                }
            }
        },
    }
}


@router.get(
    "",
    summary="The views that the caller keeps",
    responses=answers(list[View], "By name", problems="404"),
)
async def listed(request: Request) -> Response:
    """Only where people sign in; elsewhere the browser keeps them."""
    store = _control(request).store
    return reply(await asyncio.to_thread(store.views, principal(request).id))


@router.put(
    "/{name:path}",
    summary="Keep a view by a name",
    responses=answers(View, "What is kept", problems="400 404"),
    openapi_extra=_BODY,
)
async def keep(request: Request, name: Name) -> Response:
    """In the place of the caller's own of that name."""
    store = _control(request).store
    view = View(name=name, href=_href(await request.body()))
    await asyncio.to_thread(store.keep_view, principal(request).id, view)
    return reply(view)


@router.delete(
    "/{name:path}",
    summary="Forget a view",
    responses={204: {"description": "It is gone"}, **answers(None, "No views here", status=404)},
)
async def forget(request: Request, name: Name) -> Response:
    """One that is not kept is gone already."""
    store = _control(request).store
    await asyncio.to_thread(store.forget_view, principal(request).id, name)
    return Response(status_code=204)


def _control(request: Request) -> AccessControl:
    control: AccessControl | None = request.app.state.access
    if control is None:
        raise HTTPException(404, "Nobody signs in here, so views are kept in the browser.")
    if the_twin(request).key is not None:
        # An address may name a patient, and the file of keys is not sealed.
        raise HTTPException(404, "The store is encrypted, so views are kept in the browser.")
    return control


def _href(body: bytes) -> str:
    """An address of this server, as the body names it. Raises UsageError for any other."""
    try:
        href = read_json(body, _KEPT).href if len(body) <= 2 * LONGEST_HREF else ""
    except Unread:
        href = ""
    is_ours = href.startswith("/") and not href.startswith(("//", "/\\"))
    if not is_ours or len(href) > LONGEST_HREF or not href.isprintable():
        raise UsageError(
            "A view is an address of this server.", do='Put JSON such as {"href": "/?find=ICU"}.'
        )
    return href
