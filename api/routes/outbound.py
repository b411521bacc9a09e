"""`/v1/outbound`: the systems that this twin feeds, and what they were sent."""

import msgspec
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.openapi import answers, reply
from api.outbound.status import destination, destinations
from api.routes.asked import AskedTwin
from twin_core.errors import UsageError

router = APIRouter(prefix="/v1", tags=["outbound"])


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A system that is fed. `behind` counts messages of the journal that were not looked at yet."""

    destination: str
    to: str | None
    form: str | None
    state: str
    reason: str | None
    since: str | None
    delivered: int
    rejected: int
    parked: int
    behind: int
    lag_seconds: float
    delivered_at: str | None
    tallies: dict[str, int]


class ParkedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a destination did not take; its content is at `/v1/messages`."""

    message_id: int
    trigger_event: str
    control_id: str
    code: str
    reason: str
    attempts: int
    parked_at: str
    again: bool


class Destinations(msgspec.Struct, frozen=True, kw_only=True):
    """Every system that is or was fed."""

    destinations: list[Destination]


class DestinationDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One system that is fed, with the messages parked for it."""

    destination: Destination
    parked_messages: list[ParkedMessage]


@router.get(
    "/outbound",
    summary="Systems that are fed",
    responses=answers(Destinations, "Every destination", problems="503"),
)
def all_destinations(twin: AskedTwin) -> Response:
    """How each destination is doing, what it was sent, and how far it is behind."""
    return reply(Destinations(destinations=msgspec.convert(destinations(twin), list[Destination])))


@router.get(
    "/outbound/{name}",
    summary="One system that is fed, with its parked messages",
    responses=answers(DestinationDetail, "The destination", problems="404 422 503"),
)
def one_destination(name: str, twin: AskedTwin) -> Response:
    """One destination, and what it did not take, with the codes of its answers."""
    try:
        found = destination(twin, name)
    except UsageError:
        raise HTTPException(404, "No destination has this name.") from None
    return reply(
        DestinationDetail(
            destination=msgspec.convert(found, Destination),
            parked_messages=msgspec.convert(found["parked_messages"], list[ParkedMessage]),
        )
    )
