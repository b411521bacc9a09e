"""`/v1/hl7v2` and `/v1/census`: messages and counts in over HTTP.

As on every other way in, the answer is sent only once what was sent is on disk.
"""

import asyncio
import hashlib
import uuid
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapters.hl7v2 import (
    acknowledge,
    answering_to,
    ends_as_batch,
    is_acknowledgement,
    is_batch,
)
from api.audit.recording import took
from api.batches import read_batch, summary, take_batch
from api.openapi import answers, reply
from api.routes.asked import AskedTwin
from api.routes.bodies import Unread, read_json
from api.translating import DEFAULT_FEED, Reader, translated_hl7
from twin_core.events import CensusReported, Envelope, Rejection, Translation
from twin_core.inbox import Answer, Receipt
from twin_core.twin import Twin

router = APIRouter(prefix="/v1", tags=["intake"])

ER7 = "application/hl7-v2"
STATUS_OF_CODE = {"AA": 200, "AE": 422, "AR": 400}
CENSUS_COUNTS = 10_000
_SEEN_BYTES = 64
"""As much of a body as tells a batch from a message."""

Feed = Annotated[
    str,
    Query(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="The feed whose settings apply, as configured",
    ),
]


class CountedUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source system's own count of the patients in a unit."""

    source: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    facility: Annotated[str, msgspec.Meta(max_length=64)] = ""
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    census: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


_COUNTS = msgspec.json.Decoder(list[CountedUnit])


class CountsTaken(msgspec.Struct, frozen=True, kw_only=True):
    """How many counts were taken in, and how many were known already."""

    accepted: int
    duplicates: int


EXAMPLE_COUNTS = (
    '[{"source": "bed-management", "facility": "GENERAL", "unit": "ICU", '
    '"at": "2026-03-02T00:00:00+01:00", "census": 14}]'
)


@router.post(
    "/hl7v2",
    summary="Take one HL7 v2 message, or a batch of them",
    response_class=Response,
    responses={
        200: {"description": "AA: on disk; of a batch, every message", "content": {ER7: {}}},
        204: {"description": "On disk, and no answer is wanted (MSH-15, MSH-16)"},
        400: {"description": "AR: the envelope is at fault, or unsupported", "content": {ER7: {}}},
        422: {"description": "AE: the content is at fault", "content": {ER7: {}}},
        404: {"description": "No feed of that name is configured"},
        413: {"description": "The message is too large"},
        415: {"description": "The body is compressed (Content-Encoding)"},
        503: {"description": "Nothing was stored; trying again may help"},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                ER7: {"schema": {"type": "string"}, "example": "MSH|^~\\&|PAS|GENERAL|...\rEVN|..."}
            },
        }
    },
)
async def hl7v2(request: Request, twin: AskedTwin, feed: Feed = DEFAULT_FEED) -> Response:
    """One message in ER7, unframed; the answer is its acknowledgement, also in ER7.

    MSH-15 and MSH-16 decide whether there is one: the application acknowledgement where it is
    wanted, else the accept acknowledgement where that is, else no content. An acknowledgement that
    is posted is taken and not answered.

    A body that begins with FHS or BHS, or ends with BTS or FTS, is a batch: the answer is a batch
    of acknowledgements, 200 where all of it was accepted and 422 where a message or an envelope
    was not.
    """
    _refuse_unknown(feed, twin)
    limits = twin.settings.limits
    raw = await body_within(request, limits.frame_bytes, batch=limits.body_bytes)
    if is_batch(raw) or ends_as_batch(raw):
        return await _batch(raw, request, twin, feed)
    received_at = twin.clock.now()
    outcome = await asyncio.to_thread(
        translated_hl7, raw, feed=feed, settings=twin.settings, received_at=received_at
    )
    if is_acknowledgement(outcome):
        return Response(status_code=204, headers=_answered("acknowledgement"))
    receipt = Receipt(
        format="hl7v2", feed=feed, raw=raw, outcome=outcome, origin=f"http {_peer(request)}"
    )
    [answer] = await submitted(twin, [receipt])
    faults = outcome.faults if isinstance(outcome, Rejection) else ()
    accept, application, _ = answering_to(raw, answer.code)
    status = STATUS_OF_CODE.get(answer.code, 422)
    if not (code := application or accept):
        silent = 204 if status == 200 else status
        return Response(status_code=silent, headers=_answered(answer.status))
    acknowledgement = acknowledge(
        raw, code, faults, now=twin.clock.now(), ack_id=uuid.uuid4().hex[:20]
    )
    return Response(
        acknowledgement, status_code=status, media_type=ER7, headers=_answered(answer.status)
    )


def _refuse_unknown(feed: str, twin: Twin) -> None:
    """Refuse a feed that no settings describe: by a slip its messages would be read by defaults.

    Where no feed is configured, any name will do, as on the command line.
    """
    configured = twin.settings.feeds
    if configured and feed != DEFAULT_FEED and feed not in configured:
        known = ", ".join(sorted({DEFAULT_FEED, *configured}))
        raise HTTPException(
            404,
            f"There is no feed {feed}; configured are {known}. Name one of these, or add"
            f" [feeds.{feed}] to the settings.",
        )


def _answered(outcome: str) -> dict[str, str]:
    return {"Cache-Control": "no-store", "X-Wardtwin-Outcome": outcome}


@router.post(
    "/census",
    summary="Take a source system's own patient counts",
    responses=answers(CountsTaken, "The counts are on disk", problems="413 415 422 503"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/CountedUnit"},
                    },
                    "example": msgspec.json.decode(EXAMPLE_COUNTS),
                }
            },
        }
    },
)
async def census(request: Request, twin: AskedTwin) -> Response:
    """Counts to compare the twin with (`dq_reconcile`); all of them are taken, or none."""
    raw = await body_within(request, twin.settings.limits.body_bytes)
    try:
        counts = read_json(raw, _COUNTS)
    except Unread as error:
        raise HTTPException(422, f"The counts are not usable: {error}") from None
    if len(counts) > CENSUS_COUNTS:
        raise HTTPException(413, f"At most {CENSUS_COUNTS} counts at once.")
    received_at, origin = twin.clock.now(), f"http {_peer(request)}"
    answered = await submitted(twin, [_counted(c, received_at, origin) for c in counts])
    duplicates = sum(answer.status == "duplicate" for answer in answered)
    return reply(CountsTaken(accepted=len(answered) - duplicates, duplicates=duplicates))


async def _batch(raw: bytes, request: Request, twin: Twin, feed: str) -> Response:
    """Store every message of a batch, and answer with a batch of acknowledgements."""
    reader = Reader(twin.settings, feed, twin.clock.now())
    parts = await asyncio.to_thread(read_batch, raw, reader, f"http {_peer(request)}")
    answered = await take_batch(parts, lambda receipts: submitted(twin, receipts), twin.clock)
    return Response(
        answered.batch,
        status_code=422 if answered.became["rejected"] else 200,
        media_type=ER7,
        headers=_answered(summary(answered.became)),
    )


async def body_within(request: Request, limit: int, *, batch: int = 0) -> bytes:
    """The request's body, refused with 413 as soon as it is known to weigh more than `limit`.

    One that is compressed is refused with 415.

    A body that begins as an HL7 v2 batch may weigh `batch` where that is more.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        detail = "Bodies are taken as they are, not compressed; send it without Content-Encoding."
        raise HTTPException(415, detail, {"Accept-Encoding": "identity"})
    most = max(limit, batch)
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise _too_large(most)
    parts, weight, start = [], 0, b""
    async for part in request.stream():
        weight += len(part)
        parts.append(part)
        if len(start) < _SEEN_BYTES:
            start += part[:_SEEN_BYTES]
            if len(start) >= _SEEN_BYTES and not is_batch(start):
                most = limit
        if weight > most:
            raise _too_large(most)
    return b"".join(parts)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"At most {limit} bytes are taken at once.")


async def submitted(twin: Twin, receipts: list[Receipt]) -> list[Answer]:
    """The answers to receipts, once they are on disk; a StoreError means nothing was stored."""
    if not receipts:
        return []
    answered: list[Answer] = await asyncio.wrap_future(twin.submit(receipts))
    took(answer.position for answer in answered)
    return answered


def _counted(count: CountedUnit, received_at: datetime, origin: str) -> Receipt:
    raw = msgspec.json.encode(count)
    digest = hashlib.sha256(raw).digest()[:16]
    reported = CensusReported(
        occurred_at=count.at,
        source=count.source,
        facility=count.facility,
        unit=count.unit,
        census=count.census,
    )
    # The count itself is its control id: a corrected count is another message, a repeated one not.
    envelope = Envelope(
        feed=count.source,
        sender=count.source,
        control_id=digest.hex(),
        trigger_event="census",
        sent_at=received_at,
        digest=digest,
    )
    return Receipt(
        format="census",
        feed=count.source,
        raw=raw,
        outcome=Translation(envelope=envelope, events=(reported,)),
        origin=origin,
    )


def _peer(request: Request) -> str:
    return f"{request.client.host}:{request.client.port}" if request.client else "local"
