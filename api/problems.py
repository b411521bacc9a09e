"""What a caller is told when a request fails: problem details (RFC 9457), never a patient's.

One function, `answer_for`, turns every way the twin can fail into a status. Nothing here repeats
what the caller sent, because what was sent may be about a patient.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from twin_core.errors import (
    ConfigurationError,
    FeedError,
    QueryFailed,
    StoreBusy,
    StoreError,
    TwinError,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:wardtwin:problem:"
PROGRAMS = ("/v1", "/fhir", "/health", "/metrics", "/openapi.json")
"""Addresses that programs ask; everything else is a page."""

Handler = Callable[[Request, Exception], Awaitable[Response]]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A failure in the words of RFC 9457: `type` says which kind, `detail` what to do about it."""

    type: str
    title: str
    status: int
    detail: str = ""


def problem(
    status: int,
    detail: str = "",
    *,
    kind: str = "",
    title: str = "",
    retry_after: int | None = None,
) -> Response:
    """An answer with problem details; `kind` defaults to the status in words."""
    phrase = HTTPStatus(status).phrase
    content = Problem(
        type=PREFIX + (kind or phrase.lower().replace(" ", "-")),
        title=title or phrase,
        status=status,
        detail=detail,
    )
    headers = {"Cache-Control": "no-store"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Response(
        msgspec.json.encode(content), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


def answer_for(error: TwinError) -> Response:
    """The one place where a failure of the twin becomes an HTTP status."""
    match error:
        case UsageError():
            return problem(400, str(error), kind="usage", title="The request cannot be answered")
        case StoreBusy():
            return problem(503, str(error), kind="store-busy", title="Busy", retry_after=1)
        case QueryFailed():
            # DuckDB's words may quote a value, and values may be a patient's.
            return problem(503, "The store could not answer.", kind="query-failed", retry_after=1)
        case StoreError():
            return problem(503, str(error), kind="store", title="The store is not usable")
        case ConfigurationError() | FeedError():
            return problem(500, str(error), kind="configuration", title="Not configured for this")
        case _:
            return problem(500, error.what, kind="failure")


def install(app: FastAPI, as_page: Callable[[Problem], Response]) -> None:
    """Let every route of `app` fail in these words; a person's browser gets them `as_page`."""

    def handler(answer: Callable[[Exception], Response]) -> Handler:
        async def handle(request: Request, error: Exception) -> Response:
            return answered(request, answer(error), as_page)

        return handle

    app.add_exception_handler(TwinError, handler(_twin_error))
    app.add_exception_handler(HTTPException, handler(_http_error))
    app.add_exception_handler(RequestValidationError, handler(_invalid_request))


def answered(
    request: Request, answer: Response, as_page: Callable[[Problem], Response]
) -> Response:
    """A failure as whoever asked can read it: a person's browser gets a page."""
    if not _is_for_a_person(request):
        return answer
    return as_page(msgspec.json.decode(answer.body, type=Problem))


def _is_for_a_person(request: Request) -> bool:
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith(PROGRAMS)


def _twin_error(error: Exception) -> Response:
    return answer_for(error) if isinstance(error, TwinError) else problem(500)


def _http_error(error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return problem(500)
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
    answer = problem(error.status_code, detail)
    answer.headers.update(error.headers or {})
    return answer


def _invalid_request(error: Exception) -> Response:
    """Where the request is wrong and how, without the value that was sent."""
    if not isinstance(error, RequestValidationError):
        return problem(500)
    faults = [
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()
        if "loc" in fault
    ]
    return problem(422, "; ".join(faults), kind="invalid-request", title="The request is not valid")
