"""A Bundle as its entries: each with the exact bytes of its resource and what is asked of it.

The Bundle is never decoded as a whole. Its entries are cut out of the text, references between
them (`urn:uuid:...`, or the addresses in fullUrl) are resolved by a first pass over their heads,
and then each resource is read and translated on its own.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta

import msgspec

from adapters.fhir.deletion import DELETE, deletion_of, take_deletion
from adapters.fhir.entries import Bundle, Entry, Request, Response, Taken
from adapters.fhir.faults import DATA_TYPE, REQUIRED, STRUCTURE, UNSUPPORTED, Refused, rejection
from adapters.fhir.read import (
    BOM,
    Resource,
    decode,
    items,
    members,
    read_resource,
    too_large,
)
from adapters.fhir.reading import ID, Scope
from adapters.fhir.release import told_release
from adapters.fhir.shapes import Meta, Shape
from adapters.fhir.times import moment
from adapters.fhir.translate import assigned_id, translate_resource
from twin_core.events import Fault, Rejection, Translation
from twin_core.identifiers import REFERENCE, Identifier
from twin_core.settings import LimitSettings

REQUESTED = frozenset({"transaction", "batch"})
"""Bundles whose entries say what is to be done with them."""
TAKEN = REQUESTED | {"message", "collection", "searchset", "history", "document"}


class _Head(Shape):
    resource_type: str = ""
    id: str = ""


_decode_text = msgspec.json.Decoder(str).decode
_decode_request = msgspec.json.Decoder(Request).decode
_decode_response = msgspec.json.Decoder(Response).decode
_decode_meta = msgspec.json.Decoder(Meta).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def read_bundle(text: bytes, limits: LimitSettings) -> Bundle | Refused:
    """A Bundle from JSON bytes, or why it cannot be read."""
    text = text.removeprefix(BOM)
    if len(text) > limits.body_bytes:
        return too_large(limits.body_bytes)
    found = members(text, limits.bundle_entries)
    if isinstance(found, Refused):
        return found
    if _text(found, "resourceType") != "Bundle":
        return _refused("resourceType", STRUCTURE, "A Bundle is expected at this address.")
    kind = _text(found, "type")
    if kind not in TAKEN:
        code = DATA_TYPE if "type" in found else REQUIRED
        return _refused("Bundle.type", code, "This is no type of Bundle that is taken in.")
    cut = items(found.get("entry", b"[]"))
    if isinstance(cut, Refused):
        return cut
    entries = []
    for position, item in enumerate(cut):
        entry = _entry(item, position)
        if isinstance(entry, Refused):
            return entry
        entries.append(entry)
    meta = decode(found["meta"], _decode_meta) if "meta" in found else Meta()
    meta = meta if isinstance(meta, Meta) else Meta()
    made_at = _text(found, "timestamp") or meta.last_updated
    return Bundle(kind, meta.source, tuple(entries), made_at)


def take_entries(
    bundle: Bundle,
    scope: Scope,
    limits: LimitSettings,
    existing: Mapping[int, Identifier] | None = None,
) -> Iterator[Taken]:
    """Every entry of a Bundle as events, or why not, in the order of the Bundle.

    `existing` says which entries are not to be taken (If-None-Exist) and what they are instead.
    """
    existing = existing or {}
    scope = _widened(bundle, scope, limits, existing)
    requested = bundle.type in REQUESTED
    stated: Counter[str] = Counter()
    for entry in bundle.entries:
        if entry.position in existing:
            continue
        deletion = deletion_of(entry, bundle)
        if isinstance(deletion, Fault):
            yield Taken(entry, _rejection(deletion, scope))
            continue
        if deletion is not None:
            yield take_deletion(deletion, scope, entry)
            continue
        one = take_entry(entry, scope, limits, requested=requested)
        again = stated[one.subject] if one.subject else 0
        if again:
            # Statements of one resource within one Bundle follow each other as they are listed.
            later = scope.received_at + again * timedelta(microseconds=1)
            scope_later = msgspec.structs.replace(scope, received_at=later)
            one = take_entry(entry, scope_later, limits, requested=requested)
        stated[one.subject] += 1
        yield one


def take_entry(
    entry: Entry, scope: Scope, limits: LimitSettings, *, requested: bool = False
) -> Taken:
    """One resource as events, or why not. A requested entry must be a create or an update."""
    where = f"Bundle.entry[{entry.position}]"
    id_ = ""
    if requested:
        fault, kind, id_ = _target(entry.request, where)
        if fault is not None:
            return Taken(entry, _rejection(fault, scope))
    if not entry.raw:
        fault = Fault(where=where, code=REQUIRED, reason="The entry has no resource.")
        return Taken(entry, _rejection(fault, scope))
    read = read_resource(entry.raw, limits)
    if isinstance(read, Refused):
        return Taken(entry, rejection(read, scope.source))
    stated_id = id_of(read)
    if requested and (kind != read.type or (id_ and stated_id and id_ != stated_id)):
        fault = Fault(where=f"{where}.request.url", code=DATA_TYPE, reason=MISMATCH)
        return Taken(entry, _rejection(fault, scope))
    return taken(entry, read, scope, limits, id_ or stated_id)


MISMATCH = "The address and the resource disagree on type or id."


def taken(entry: Entry, resource: Resource, scope: Scope, limits: LimitSettings, id_: str) -> Taken:
    """A resource that was read, as events, or why not; `id_` may be empty."""
    id_ = id_ or assigned_id(resource, entry.full_url)
    if scope.told:
        release = told_release(resource.tree, scope.release)
        if release is not scope.release:
            scope = msgspec.structs.replace(scope, release=release)
    outcome = translate_resource(resource, scope, limits=limits, id_=id_)
    meta = resource.tree.get("meta")
    stated = meta if isinstance(meta, dict) else {}
    return Taken(
        entry,
        outcome,
        f"{resource.type}/{id_}",
        str(stated.get("versionId", "")),
        _instant(stated.get("lastUpdated")),
    )


def _instant(stated: object) -> str:
    """The text of an instant that can be told again, else nothing."""
    try:
        found = moment(stated, UTC) if isinstance(stated, str) else None
    except ValueError:
        return ""
    return str(stated) if found is not None and found.precision == "second" else ""


def retranslate(body: bytes, scope: Scope, limits: LimitSettings) -> Translation | Rejection:
    """A quarantined body as one outcome: all events of a Bundle together, or all of its faults."""
    several = list(take_body(body, scope, limits))
    faults: list[Fault] = []
    for one in several:
        if isinstance(one.outcome, Rejection):
            faults += one.outcome.faults
    first = several[0].outcome if several else None
    if len(several) == 1 and first is not None:
        return first
    if faults or not isinstance(first, Translation):
        return Rejection(
            code="AE",
            faults=tuple(faults) or (Fault(where="Bundle", code=REQUIRED, reason="No entry."),),
            feed=scope.source,
            sender=scope.source,
            trigger_event="FHIR Bundle",
        )
    whole = [one.outcome for one in several if isinstance(one.outcome, Translation)]
    digest = hashlib.sha256(b"".join(one.envelope.digest for one in whole)).digest()[:16]
    return Translation(
        envelope=msgspec.structs.replace(
            first.envelope,
            control_id=f"Bundle/{digest.hex()}",
            trigger_event="FHIR Bundle",
            digest=digest,
            unversioned=False,
        ),
        events=tuple(event for one in whole for event in one.events),
        findings=tuple(finding for one in whole for finding in one.findings),
    )


def take_body(body: bytes, scope: Scope, limits: LimitSettings) -> Iterator[Taken]:
    """Everything in one document of a file, or one line of NDJSON: a resource or a Bundle.

    What cannot be read is yielded as a reject of the whole document.
    """
    if b'"Bundle"' in body:
        bundle = read_bundle(body, limits)
        if isinstance(bundle, Bundle):
            yield from take_entries(bundle, scope, limits)
            return
        if bundle.fault.where != "resourceType":
            yield Taken(_alone(body), rejection(bundle, scope.source))
            return
    read = read_resource(body, limits)
    if isinstance(read, Refused):
        yield Taken(_alone(body), rejection(read, scope.source))
    else:
        yield taken(_alone(body), read, scope, limits, id_of(read))


def _alone(body: bytes) -> Entry:
    return Entry(0, "", body, Request())


def id_of(resource: Resource) -> str:
    """The id that a resource states, where it is text."""
    stated = resource.tree.get("id")
    return stated if isinstance(stated, str) else ""


def _widened(
    bundle: Bundle, scope: Scope, limits: LimitSettings, existing: Mapping[int, Identifier]
) -> Scope:
    """The scope with the Bundle's own addresses: what each fullUrl is, and whose bases they are."""
    within: dict[str, Identifier] = {}
    bases = set(scope.bases)
    for entry in bundle.entries:
        if entry.position in existing and entry.full_url:
            within[entry.full_url] = existing[entry.position]
            continue
        head = decode(entry.raw, _decode_head) if entry.raw and entry.full_url else None
        if not isinstance(head, _Head) or not head.resource_type:
            continue
        _, _, id_ = _target(entry.request, "") if bundle.type in REQUESTED else (None, "", "")
        id_ = id_ or head.id
        if not id_:
            read = read_resource(entry.raw, limits)
            id_ = assigned_id(read, entry.full_url) if isinstance(read, Resource) else ""
        subject = f"{head.resource_type}/{id_}"
        within[entry.full_url] = Identifier(scope.source, subject, REFERENCE)
        if entry.full_url.startswith("http") and entry.full_url.endswith(f"/{subject}"):
            bases.add(entry.full_url[: -len(subject) - 1])
    return msgspec.structs.replace(scope, bases=frozenset(bases), within=within)


def _target(request: Request, where: str) -> tuple[Fault | None, str, str]:
    """The type and id that an entry's request is about, or a fault where it cannot be done."""
    kind, _, id_ = request.url.partition("/")
    if request.method == "POST" and kind.isalpha() and not id_:
        return None, kind, ""
    if request.method == "PUT" and kind.isalpha() and ID.fullmatch(id_):
        return None, kind, id_
    if request.method in ("POST", "PUT"):
        reason = "Give `Type` for a create, `Type/id` for an update."
        return Fault(where=f"{where}.request.url", code=UNSUPPORTED, reason=reason), "", ""
    reason = "Only POST, PUT and DELETE are taken in."
    code = UNSUPPORTED if request.method else REQUIRED
    return Fault(where=f"{where}.request.method", code=code, reason=reason), "", ""


def _entry(item: bytes, position: int) -> Entry | Refused:
    where = f"Bundle.entry[{position}]"
    found = members(item) if item.startswith(b"{") else None
    if not isinstance(found, dict):
        return found or _refused(where, STRUCTURE, "An entry is not a JSON object.")
    request = found.get("request", b"{}")
    if isinstance(members(request), Refused):
        reason = "The request is no object, or names one element twice."
        return _refused(f"{where}.request", STRUCTURE, reason)
    asked = decode(request, _decode_request)
    if isinstance(asked, Refused):
        return _refused(f"{where}.request", DATA_TYPE, "The request has the wrong shape.")
    told = decode(found.get("response", b"{}"), _decode_response)
    raw = found.get("resource", b"")
    return Entry(
        position,
        _text(found, "fullUrl"),
        raw,
        asked,
        told if isinstance(told, Response) else Response(),
        b"" if raw and asked.method != DELETE else item,
    )


def _text(found: dict[str, bytes], name: str) -> str:
    stated = decode(found.get(name, b'""'), _decode_text)
    return stated if isinstance(stated, str) else ""


def _refused(where: str, code: str, reason: str) -> Refused:
    return Refused(400, Fault(where=where, code=code, reason=reason))


def _rejection(fault: Fault, scope: Scope) -> Rejection:
    return rejection(Refused(400, fault), scope.source)
