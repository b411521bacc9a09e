"""`/hooks/NAME`: where FHIR servers send their notifications.

A server shows who it is by a signature or a token (`[sources.NAME.subscription]`). An answer in the
200s means that what the notification held is on disk.
"""

import logging

from fastapi import APIRouter, Request
from starlette.responses import Response

from adapters.fhir import encode
from adapters.fhir.faults import Refused
from adapters.fhir.subscription import Delivered
from api.routes.fhir_requests import read_body
from api.sources.hooks import Hooks
from api.sources.socket import NotProven, Unreadable
from twin_core.errors import ConfigurationError, StoreError

log = logging.getLogger(__name__)
_RETRY_S = "5"
_METHODS = ["POST", "PUT", "DELETE"]


router = APIRouter(tags=["FHIR notifications"])


@router.api_route("/hooks/{source}", methods=_METHODS, include_in_schema=False)
async def take(request: Request, source: str) -> Response:
    """Take in a notification."""
    return await _taken(request, source)


@router.api_route("/hooks/{source}/{kind}/{id_}", methods=_METHODS, include_in_schema=False)
async def take_at_its_address(request: Request, source: str, kind: str, id_: str) -> Response:
    """Take in a resource, or its deletion, at its own address below the hook, as HAPI sends it."""
    return await _taken(request, source, kind, id_)


async def _taken(request: Request, source: str, kind: str = "", id_: str = "") -> Response:
    hooks: Hooks | None = getattr(request.app.state, "hooks", None)
    hook = hooks.of(source) if hooks is not None else None
    if hook is None:
        return _refused(404, "not-found", "No subscription is set for such a source.")
    body = await read_body(request, request.app.state.twin.settings.limits.body_bytes)
    if isinstance(body, Refused):
        return _refused(413, "too-long", body.fault.reason)
    try:
        await hook.take(Delivered(request.method, dict(request.headers), body, kind, id_))
    except NotProven:
        answer = _refused(401, "login", "The notification does not show whose it is.")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    except Unreadable:
        return _refused(400, "invalid", "The notification cannot be read; it is kept.")
    except (StoreError, ConfigurationError) as error:
        log.error("a notification of source %s was not stored: %s", source, error)
        answer = _refused(503, "transient", "Nothing was stored. Send it again later.")
        answer.headers["Retry-After"] = _RETRY_S
        return answer
    return Response(status_code=200)


def _refused(status: int, code: str, reason: str) -> Response:
    outcome = encode.operation_outcome([encode.issue("error", code, reason)])
    return Response(encode.encode(outcome), status_code=status, media_type="application/fhir+json")
