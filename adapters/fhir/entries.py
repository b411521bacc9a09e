"""A Bundle as it lies on the table: its entries, and what is asked or told of each."""

from typing import NamedTuple

from adapters.fhir.shapes import Shape
from twin_core.events import Rejection, Translation


class Request(Shape):
    """What a transaction or batch asks to be done with an entry; of a history, what was done."""

    method: str = ""
    url: str = ""
    if_none_exist: str = ""
    if_none_match: str = ""
    if_modified_since: str = ""


class Response(Shape):
    """What a server says became of an entry: HTTP status, version (`W/"3"`) and instant."""

    status: str = ""
    etag: str = ""
    last_modified: str = ""


_ASKED_NOTHING, _TOLD_NOTHING = Request(), Response()


class Entry(NamedTuple):
    """One entry of a Bundle; `raw` is its resource as sent, or empty.

    Of a deletion `raw` is the entry itself: there is no resource.
    """

    position: int
    full_url: str
    raw: bytes
    request: Request = _ASKED_NOTHING
    response: Response = _TOLD_NOTHING
    whole: bytes = b""
    """The entry itself as sent."""


class Bundle(NamedTuple):
    """A Bundle cut into entries."""

    type: str
    source: str
    """Bundle.meta.source, or empty."""
    entries: tuple[Entry, ...]
    made_at: str = ""
    """Bundle.timestamp, or empty."""


class Taken(NamedTuple):
    """One resource with what became of it on the way in."""

    entry: Entry
    outcome: Translation | Rejection
    subject: str = ""
    """`Type/id`, where it has one."""
    version: str = ""
    last_updated: str = ""
