"""Deletions: a source says that it no longer has a resource, over HTTP, in a Bundle or by itself.

`take_deletion` makes of a `Deletion` what is submitted like any other resource. It withdraws what
this source stated of the resource and nothing else; a later version stated by it counts again.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from adapters.fhir.entries import Bundle, Entry, Request, Taken
from adapters.fhir.faults import DATA_TYPE, UNSUPPORTED, Refused, rejection
from adapters.fhir.reading import ADDRESS, ID, Scope
from adapters.fhir.release import RESOURCE_TYPES
from adapters.fhir.shapes import AnyResource
from adapters.fhir.times import moment
from adapters.fhir.translate import TRANSLATORS
from twin_core.events import Envelope, Fault, Rejection, Translation, Withdrawn
from twin_core.identifiers import REFERENCE, Identifier

DELETE = "DELETE"
_GONE = "410"
_NEXT = timedelta(microseconds=1)
_END_OF_SECOND = timedelta(microseconds=999_999)
_ETAG = re.compile(r'(?:W/)?"([A-Za-z0-9\-.]{1,64})"')
_TYPES = frozenset[str]().union(*RESOURCE_TYPES.values())
_decode_resource = msgspec.json.Decoder(AnyResource).decode


class Deletion(NamedTuple):
    """A resource that its source deleted: which one, and as far as the source says, when.

    `version` is the version id that the deletion itself has. Without `occurred_at` the deletion is
    dated by its receipt; give the instant of the answer that told of it where that is all there is
    (transactionTime of an export, Date of a 410), so that a resource created again meanwhile lives.
    """

    kind: str
    id: str
    version: str = ""
    occurred_at: datetime | None = None

    @property
    def subject(self) -> str:
        """`Type/id`."""
        return f"{self.kind}/{self.id}"

    def entry(self) -> bytes:
        """The deletion as an entry of a history Bundle, in JSON."""
        response = {"status": "204"}
        if self.version:
            response["etag"] = f'W/"{self.version}"'
        if self.occurred_at is not None:
            response["lastModified"] = self.occurred_at.isoformat(timespec="microseconds")
        request = {"method": DELETE, "url": self.subject}
        return msgspec.json.encode({"request": request, "response": response})


def take_deletion(deletion: Deletion, scope: Scope, entry: Entry | None = None) -> Taken:
    """A deletion on its way in, as a receipt needs it; `entry` where it came in a Bundle.

    A type that the edition does not have, or an id that none can be, is a reject.
    """
    entry = entry or Entry(0, "", b"", Request(DELETE, deletion.subject))
    entry = entry._replace(raw=entry.whole or deletion.entry())
    outcome = _withdrawal(deletion, scope)
    at = deletion.occurred_at
    stamp = at.isoformat() if at is not None else ""
    return Taken(entry, outcome, deletion.subject, deletion.version, stamp)


def deletion_of(entry: Entry, bundle: Bundle) -> Deletion | Fault | None:
    """The deletion that an entry of a Bundle is; None where it is none, a fault where it is amiss.

    Transactions, batches and exports of what was deleted ask for it by method. A history tells it
    by method, by status 410, or by an entry without a resource that says nothing else.
    """
    if not _is_deletion(entry, bundle):
        return None
    kind, id_, version = _address(entry.request.url)
    if not kind and bundle.type == "history":
        kind, id_, version = _address(entry.full_url)
    if not kind:
        reason = "Give `Type/id` for a delete; conditions are not understood here."
        where = f"Bundle.entry[{entry.position}].request.url"
        return Fault(where=where, code=UNSUPPORTED, reason=reason)
    etag = _ETAG.fullmatch(entry.response.etag)
    version = etag[1] if etag is not None else version
    return Deletion(kind, id_, version, _occurred_at(entry, f"{kind}/{id_}", bundle))


def _is_deletion(entry: Entry, bundle: Bundle) -> bool:
    method = entry.request.method
    if method == DELETE or bundle.type != "history" or entry.raw:
        return method == DELETE
    return entry.response.status[:3] == _GONE or not (method or entry.response.status)


def _address(stated: str) -> tuple[str, str, str]:
    """Type, id and version of an address; nothing where it is none of a resource."""
    matched = ADDRESS.fullmatch(stated.removeprefix("/"))
    if matched is None or matched[2] not in _TYPES:
        return "", "", ""
    return matched[2], matched[3], stated.partition("/_history/")[2]


def _occurred_at(entry: Entry, subject: str, bundle: Bundle) -> datetime | None:
    told = _instant(entry.response.last_modified)
    if told is not None:
        return told
    if bundle.type == "history":
        # A history lists the newest first: this came after all that it lists of the resource below.
        older = [one for one in bundle.entries if one.position > entry.position]
        known = [at for one in older if (at := _updated(one, subject)) is not None]
        if known:
            return max(known) + _NEXT
    return _instant(bundle.made_at)


def _updated(entry: Entry, subject: str) -> datetime | None:
    if not entry.raw or "/".join(_address(entry.full_url or entry.request.url)[:2]) != subject:
        return None
    try:
        resource = _decode_resource(entry.raw)
    except msgspec.DecodeError:
        return None
    return _instant(resource.meta.last_updated) if resource.meta is not None else None


def _instant(text: str) -> datetime | None:
    try:
        found = moment(text, UTC)
    except ValueError:
        return None
    if found.precision != "second":
        return None
    # Who dates to the second means some instant in it, so later than what came before in it.
    return found.at if "." in text or found.at.microsecond else found.at + _END_OF_SECOND


def _withdrawal(deletion: Deletion, scope: Scope) -> Translation | Rejection:
    kind, id_, version, occurred_at = deletion
    known = _TYPES if scope.told else RESOURCE_TYPES[scope.release]
    if kind not in known:
        reason = f"FHIR {scope.release} has no such resource type."
        fault = Fault(where="resourceType", code=UNSUPPORTED, reason=reason)
        return rejection(Refused(404, fault), scope.source)
    if not ID.fullmatch(id_) or (version and not ID.fullmatch(version)):
        fault = Fault(where=f"{kind}.id", code=DATA_TYPE, reason="This is no FHIR id.")
        return rejection(Refused(400, fault), scope.source)
    at = occurred_at or scope.received_at
    named = version or (at.isoformat() if occurred_at is not None else "")
    # Without a date of its own, asking again is news: it may have been stated again meanwhile.
    told = named or scope.document or at.isoformat()
    digest = hashlib.sha256("\x1f".join((DELETE, kind, id_, told)).encode()).digest()[:16]
    withdrawn = Withdrawn(
        occurred_at=at,
        source=scope.source,
        subject=Identifier(scope.source, deletion.subject, REFERENCE),
        version=version,
        dated=occurred_at is not None,
    )
    return Translation(
        envelope=Envelope(
            feed=scope.source,
            sender=scope.source,
            control_id=f"{deletion.subject}/{named}" if named else deletion.subject,
            trigger_event=f"FHIR {kind} deleted",
            sent_at=at,
            digest=digest,
            unversioned=not named,
        ),
        events=(withdrawn,) if kind in TRANSLATORS else (),
    )
