"""The words that several questions share: instants, units, pages."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

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


AskedTwin = Annotated[Twin, Depends(the_twin)]


def facility_code(segment: str) -> str:
    """A facility as it stands in an address: `-` where none was named."""
    return "" if segment == "-" else segment
