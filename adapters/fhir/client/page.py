"""One page of a server's answer: its entries with the bytes of their resources, and its links.

What is not understood of an entry is left to the intake, which quarantines it with a reason; what
is not understood of the page itself makes it untrustworthy.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from adapters.fhir.client.faults import Untrustworthy
from adapters.fhir.faults import Refused
from adapters.fhir.read import BOM, decode, items, members
from adapters.fhir.times import moment
from twin_core.settings import LimitSettings

GONE = frozenset({"204", "404", "410"})
"""Statuses by which a history entry without a resource tells of a delete."""


class PageEntry(NamedTuple):
    """One entry of a page."""

    raw: bytes
    """Its resource as sent, or empty."""
    kind: str
    id: str
    version: str = ""
    updated: str = ""
    """meta.lastUpdated as sent, or the time of the response that the entry tells of."""
    mode: str = ""
    """search.mode: match, include or outcome; empty where it is not said."""
    is_delete: bool = False
    full_url: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Which version of which resource it is."""
        return (self.kind, self.id, self.version or self.updated)

    @property
    def updated_at(self) -> datetime | None:
        """When this version came to be, by the server's clock."""
        return instant(self.updated)


class Page(NamedTuple):
    """A Bundle of a search or of a history."""

    type: str
    entries: tuple[PageEntry, ...]
    next: str
    self: str
    total: int | None = None
    updated: str = ""
    """Bundle.meta.lastUpdated."""
    outcomes: int = 0
    """OperationOutcomes among the entries: remarks of the server."""


class _Shape(msgspec.Struct, rename="camel", frozen=True):
    pass


class _Search(_Shape, frozen=True):
    mode: str = ""


class _Request(_Shape, frozen=True):
    method: str = ""
    url: str = ""


class _Response(_Shape, frozen=True):
    status: str = ""
    etag: str = ""
    last_modified: str = ""


class _Entry(_Shape, frozen=True):
    full_url: str = ""
    resource: msgspec.Raw = msgspec.Raw(b"")
    search: _Search = _Search()
    request: _Request = _Request()
    response: _Response = _Response()


class _Meta(_Shape, frozen=True):
    version_id: str = ""
    last_updated: str = ""


class _Head(_Shape, frozen=True):
    resource_type: str = ""
    id: str = ""
    meta: _Meta = _Meta()


class _Link(_Shape, frozen=True):
    relation: str = ""
    url: str = ""


_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_links = msgspec.json.Decoder(list[_Link]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_total = msgspec.json.Decoder(int).decode
_decode_meta = msgspec.json.Decoder(_Meta).decode


def read_page(body: bytes, limits: LimitSettings, name: str) -> Page:
    """A page of source `name` from JSON bytes.

    Raises Untrustworthy for what is no Bundle, or not a whole one.
    """
    found = members(body.removeprefix(BOM), limits.bundle_entries)
    if isinstance(found, Refused):
        raise _untrustworthy(name, found.fault.reason)
    if _told(found, "resourceType", _decode_text, "") != "Bundle":
        raise _untrustworthy(name, "It is no Bundle.")
    cut = items(found.get("entry", b"[]"))
    if isinstance(cut, Refused):
        raise _untrustworthy(name, cut.fault.reason)
    links = {one.relation: one.url for one in _told(found, "link", _decode_links, [])}
    entries = [entry(item, name) for item in cut]
    return Page(
        type=_told(found, "type", _decode_text, ""),
        entries=tuple(one for one in entries if not _is_remark(one)),
        next=links.get("next", ""),
        self=links.get("self", ""),
        total=_told(found, "total", _decode_total, None),
        updated=_told(found, "meta", _decode_meta, _Meta()).last_updated,
        outcomes=sum(map(_is_remark, entries)),
    )


def entries_of(body: bytes, name: str) -> list[PageEntry]:
    """The entries of a Bundle of any kind; raises Untrustworthy for what is none."""
    found = members(body.removeprefix(BOM))
    cut = found if isinstance(found, Refused) else items(found.get("entry", b"[]"))
    if isinstance(cut, Refused):
        raise _untrustworthy(name, cut.fault.reason)
    return [entry(item, name) for item in cut]


def entry(item: bytes, name: str) -> PageEntry:
    """One entry from its bytes; raises Untrustworthy for what has no shape of an entry."""
    read = decode(item, _decode_entry)
    if isinstance(read, Refused):
        raise _untrustworthy(name, "An entry of its Bundle has the wrong shape.")
    raw = bytes(read.resource)
    raw = b"" if raw == b"null" else raw
    head = head_of(raw)
    kind, id_, version = _addressed(read.request.url or read.full_url)
    if raw:
        meta = head.meta
        updated = meta.last_updated or read.response.last_modified
        return PageEntry(
            raw,
            head.resource_type,
            head.id,
            meta.version_id,
            updated,
            read.search.mode,
            full_url=read.full_url,
        )
    status = read.response.status[:3]
    return PageEntry(
        b"",
        kind,
        id_,
        version or _of_etag(read.response.etag),
        read.response.last_modified,
        read.search.mode,
        is_delete=read.request.method == "DELETE" or status in GONE,
        full_url=read.full_url,
    )


def head_of(raw: bytes) -> _Head:
    """Type, id and version of a resource; empty where they are not as they should be."""
    head = decode(raw, _decode_head) if raw else None
    return head if isinstance(head, _Head) else _Head()


def instant(text: str) -> datetime | None:
    """An instant as servers write them in resources; None for anything else."""
    try:
        found = moment(text, UTC) if text else None
    except ValueError:
        return None
    return found.at if found is not None and found.precision == "second" else None


def _addressed(url: str) -> tuple[str, str, str]:
    """Type, id and version of an address such as `http://h/fhir/Patient/1/_history/2`."""
    path = url.partition("?")[0].rstrip("/")
    path, _, version = path.partition("/_history/")
    above, _, id_ = path.rpartition("/")
    return above.rpartition("/")[2], id_, version


def _of_etag(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"')


def _is_remark(one: PageEntry) -> bool:
    return one.kind == "OperationOutcome" or one.mode == "outcome"


def _told(found: dict[str, bytes], key: str, decoder: Any, otherwise: Any) -> Any:
    """A member of the Bundle, or what stands for it where it is missing or of another shape."""
    if key not in found:
        return otherwise
    read = decode(found[key], decoder)
    return otherwise if isinstance(read, Refused) else read


def _untrustworthy(name: str, why: str) -> Untrustworthy:
    return Untrustworthy(
        f"A page of source {name} cannot be read.", why=why, do="It is asked for again."
    )
