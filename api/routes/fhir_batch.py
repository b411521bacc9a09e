"""Reading as an entry of a batch: asked of this very application, as the sender could ask itself.

So whoever may not read something may not read it in a batch either, and the ledger of accesses has
every read.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.requests import Request as HttpRequest

from adapters.fhir import encode
from adapters.fhir.encode import EntryAnswer
from adapters.fhir.entries import Request

_KEPT = ("type", "asgi", "http_version", "scheme", "server", "client", "root_path", "state")
_DROPPED = frozenset(
    b"content-length content-type content-encoding transfer-encoding accept accept-encoding "
    b"prefer expect if-none-exist".split()
)


async def read_within(request: HttpRequest, at: str, asked: Request) -> EntryAnswer:
    """The answer to `GET at/url`, asked with the credentials of the request of the batch."""
    base = f"{str(request.base_url).rstrip('/')}{at}/"
    path, _, query = asked.url.removeprefix(base).lstrip("/").partition("?")
    if "://" in path or any(part in (".", "..", "") for part in path.split("/")):
        reason = "Give an address below this base."
        outcome = encode.operation_outcome([encode.issue("error", "value", reason)])
        return EntryAnswer(400, outcome=outcome)
    scope = {name: request.scope[name] for name in _KEPT if name in request.scope}
    scope |= {
        "method": "GET",
        "path": f"{at}/{unquote(path)}",
        "raw_path": f"{at}/{path}".encode(),
        "query_string": query.encode(),
        "headers": _headers(request, asked),
    }
    # In a task of its own, so that what the gate sets for it stays there.
    status, headers, body = await asyncio.create_task(_asked(request.app, scope))
    return _answer(status, headers, body)


def _headers(request: HttpRequest, asked: Request) -> list[tuple[bytes, bytes]]:
    kept = [one for one in request.scope["headers"] if one[0].lower() not in _DROPPED]
    kept.append((b"accept", b"application/fhir+json"))
    conditions = (
        (b"if-none-match", asked.if_none_match),
        (
            b"if-modified-since",
            asked.if_modified_since,
        ),
    )
    return kept + [(name, value.encode()) for name, value in conditions if value]


async def _asked(app: Any, scope: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = 500, dict[str, str](), bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode(): told.decode() for name, told in message["headers"]}
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, bytes(body)


def _answer(status: int, headers: dict[str, str], body: bytes) -> EntryAnswer:
    told = {name.lower(): value for name, value in headers.items()}
    version = told.get("etag", "").removeprefix("W/").strip('"')
    if status == 304:
        return EntryAnswer(304, version=version)
    if "json" not in told.get("content-type", ""):
        reason = "This cannot be read in a batch."
        outcome = encode.operation_outcome([encode.issue("error", "not-supported", reason)])
        return EntryAnswer(status if status >= 400 else 400, outcome=outcome)
    if status >= 400:
        return EntryAnswer(status, outcome=msgspec.json.decode(body))
    changed_at = _changed_at(body)
    return EntryAnswer(status, version=version, last_updated=changed_at, resource=msgspec.Raw(body))


class _Meta(msgspec.Struct, rename="camel"):
    last_updated: str = ""


class _Told(msgspec.Struct):
    meta: _Meta = msgspec.field(default_factory=_Meta)


def _changed_at(body: bytes) -> str:
    return msgspec.json.decode(body, type=_Told).meta.last_updated
