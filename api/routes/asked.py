"""The words that several questions share: instants, units, pages."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from api.access.principal import LOCAL, Principal
from api.access.reach import Reach
from twin_core.errors import UsageError
from twin_core.twin import Twin

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def _plus_restored(text: Any) -> Any:
    """`+01:00` arrives as ` 01:00` where the caller did not encode the plus sign."""
    return text.replace(" ", "+") if isinstance(text, str) and "T" in text else text


def _within_reason(at: datetime) -> datetime:
    if not EARLIEST <= at <= LATEST:
        raise ValueError("an instant between 1900 and 2200 is needed")
    return at.astimezone(UTC)


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_plus_restored),
    AfterValidator(_within_reason),
]
Edge = Instant | date
"""An edge of a window: an instant with its offset, or a day of the hospital."""
At = Annotated[
    Instant | None,
    Query(description="The instant to show, ISO 8601 with an offset; now where not given"),
]
KnownAt = Annotated[
    Instant | None,
    Query(description="Show it as the twin knew it at this instant; now where not given"),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows at most on one page")]


def the_twin(request: Request) -> Twin:
    """The twin this server was started with."""
    twin: Twin = request.app.state.twin
    return twin


def only_known_parameters(request: Request) -> None:
    """Refuse a query parameter that the route does not have: ignoring it would answer another
    question than was asked. Raises UsageError naming those there are.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = set(_query_parameters(route.dependant))
    if not set(request.query_params) <= known:
        names = ", ".join(sorted(known)) or "none"
        raise UsageError(
            "The request has a parameter that this address does not know.",
            do=f"Parameters here: {names}.",
        )


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _query_parameters(below)


AskedTwin = Annotated[Twin, Depends(the_twin)]


def the_principal(request: Request) -> Principal:
    """Who asks, as the gate let them in.

    The application always has a gate; routes that are mounted without one know only its operator.
    """
    found: Principal = request.scope.get("wardtwin.principal") or LOCAL
    return found


def the_reach(request: Request) -> Reach:
    """How far the rows of whoever asks reach."""
    return the_principal(request).reach


AskedReach = Annotated[Reach, Depends(the_reach)]


def shows_phi(
    phi: Annotated[
        Literal["show"] | None,
        Query(description="`show`: with the names, numbers and text of patients; else masked"),
    ] = None,
) -> bool:
    """Whether values about patients are shown: only on demand, and only on this machine.

    Every route that can show them asks here, so that a permission has one place to stand.
    """
    return phi == "show"


ShowsPhi = Annotated[bool, Depends(shows_phi)]


def facility_code(segment: str) -> str:
    """A facility as it stands in an address: `-` where none was named."""
    return "" if segment == "-" else segment
