"""What a FHIR request asks for: its body, its media type, its source, its If-None-Exist."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from email.message import Message
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from adapters.fhir.faults import DATA_TYPE, STRUCTURE, UNSUPPORTED, Refused
from adapters.fhir.release import Release, names_release
from twin_core.events import Fault

RUN_OUT_BYTES = 256 * 1024 * 1024
RUN_OUT_S = 10.0
_JSON = frozenset({"application/fhir+json", "application/json", "text/json"})
_ACCEPTED = _JSON | {"*/*", "application/*", "json"}
SOURCE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_IF_NONE_EXIST = re.compile(r"identifier=[^&=|]+(?:\||%7[Cc])[^&=|]+")


class Condition(NamedTuple):
    """The business identifier that If-None-Exist asks about."""

    system: str
    value: str


def check_media_type(request: Request, release: Release) -> Refused | None:
    """Whether the body says to be FHIR JSON in UTF-8, of the edition of this address."""
    stated = Message()
    stated["Content-Type"] = request.headers.get("content-type", "")
    kind = stated.get_content_type() if request.headers.get("content-type") else ""
    if kind not in _JSON:
        return _refused(415, UNSUPPORTED, "Send application/fhir+json; XML is not taken in.")
    charset = stated.get_content_charset("utf-8")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        return _refused(415, UNSUPPORTED, "JSON is UTF-8; send no other charset.")
    version = stated.get_param("fhirVersion", "")
    if version and not names_release(str(version), release):
        return _refused(415, UNSUPPORTED, f"This address takes in FHIR {release} only.")
    return None


def check_accept(request: Request) -> Refused | None:
    """Whether the sender can read an answer in JSON."""
    accept = request.headers.get("accept", "*/*")
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if kinds & _ACCEPTED or not accept.strip():
        return None
    return _refused(406, UNSUPPORTED, "Answers are application/fhir+json only.")


async def read_body(request: Request, most_bytes: int) -> bytes | Refused:
    """The body, or 413 as soon as it is known to be too large; the rest is never kept."""
    too_large = _refused(413, STRUCTURE, f"A body may have {most_bytes} bytes.")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and (len(stated) > 18 or int(stated) > most_bytes):
        return too_large
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > most_bytes:
            return too_large
    return bytes(received)


def source_of(named: Sequence[str], stated: object, default: str) -> str | Refused:
    """Who is speaking: `?source=`, else meta.source where it is a plain name, else the default."""
    if named:
        if len(named) == 1 and SOURCE_NAME.fullmatch(named[0]):
            return named[0]
        reason = "The source is a name of letters, digits, dot, hyphen and underscore, up to 64."
        return _refused(400, DATA_TYPE, reason)
    if isinstance(stated, str) and SOURCE_NAME.fullmatch(stated):
        return stated
    return default


def condition_of(asked: str) -> Condition | Refused | None:
    """The condition of If-None-Exist; only `identifier=system|value` is understood."""
    if not asked:
        return None
    query = asked.rpartition("?")[2]
    refused = _refused(412, UNSUPPORTED, "If-None-Exist is understood as identifier=system|value.")
    if not _IF_NONE_EXIST.fullmatch(query):
        return refused
    pairs: Sequence[tuple[str, str]] = parse_qsl(query)
    if len(pairs) != 1:
        return refused
    system, _, number = pairs[0][1].partition("|")
    return Condition(system, number) if system and number else refused


def _refused(status: int, code: str, reason: str) -> Refused:
    return Refused(status, Fault(where="", code=code, reason=reason))


class EarlyAnswer(Response):
    """An answer to a body that is still on its way.

    It is sent at once. What the sender has not stopped sending is then thrown away within bounds,
    because closing the connection under it would often lose the answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, then let the body run out."""
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        # A sender that waits to be asked for the body must not be asked.
        if "expect" not in Headers(scope=scope):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_run_out(receive), RUN_OUT_S)
        await send({"type": "http.response.body", "body": b""})


async def _run_out(receive: Receive) -> None:
    passed_over = 0
    while passed_over < RUN_OUT_BYTES:
        message = await receive()
        passed_over += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return
