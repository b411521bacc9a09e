"""What a server holds as statements of its source: receipts for the inbox, in the order given.

The same version read again, by whatever way, is the same statement, which the inbox knows.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from adapters.fhir.bundle import id_of, taken
from adapters.fhir.client.page import PageEntry
from adapters.fhir.deletion import Deletion, take_deletion
from adapters.fhir.entries import Entry, Request, Taken
from adapters.fhir.faults import Refused, rejection
from adapters.fhir.read import read_resource
from adapters.fhir.reading import Scope
from adapters.fhir.release import Release
from twin_core.events import Rejection
from twin_core.identifiers import REFERENCE, Identifier
from twin_core.inbox import Receipt
from twin_core.settings import FhirSettings, LimitSettings, Settings, SourceSettings

_NEXT = timedelta(microseconds=1)
_UNASKED = Request()


def source_scope(
    name: str,
    source: SourceSettings,
    settings: Settings,
    release: Release,
    received_at: datetime,
    bases: Iterable[str] = (),
    own: str = "",
) -> Scope:
    """How what a source states is read: its name, its addresses, its facility."""
    return Scope(
        source=name,
        release=release,
        settings=stated_by(source, settings.fhir),
        received_at=received_at,
        bases=frozenset(filter(None, (source.url, *bases))),
        own=own,
    )


def stated_by(source: SourceSettings, fhir: FhirSettings) -> FhirSettings:
    """How resources of a configured source are read: its own strictness, its own facility."""
    own: dict[str, object] = {"strictness": source.strictness}
    if source.facility:
        own["facility"] = source.facility
    return fhir.model_copy(update=own)


def statements(
    entries: Iterable[PageEntry], scope: Scope, limits: LimitSettings, origin: str
) -> list[Receipt]:
    """The entries of a page that have a resource or tell of a delete, as receipts.

    `origin` says how they came.
    """
    several = [one for one in entries if one.raw or one.is_delete]
    scope = _widened(several, scope)
    receipts = []
    for number, one in enumerate(several):
        # What has no version is ordered by its receipt.
        at = scope.received_at + number * _NEXT
        found = _taken(one, msgspec.structs.replace(scope, received_at=at), limits, number)
        receipts.append(
            Receipt(
                format="fhir",
                feed=scope.source,
                raw=found.entry.raw,
                outcome=found.outcome,
                origin=origin,
                # Read again after a crash, what was refused is not quarantined twice.
                document=origin if isinstance(found.outcome, Rejection) else "",
            )
        )
    return receipts


def _taken(one: PageEntry, scope: Scope, limits: LimitSettings, position: int) -> Taken:
    if one.is_delete:
        return take_deletion(Deletion(one.kind, one.id, one.version, one.updated_at), scope)
    entry = Entry(position, one.full_url, one.raw, _UNASKED)
    read = read_resource(one.raw, limits)
    if isinstance(read, Refused):
        return Taken(entry, rejection(read, scope.source))
    return taken(entry, read, scope, limits, id_of(read))


def _widened(entries: Iterable[PageEntry], scope: Scope) -> Scope:
    """The scope with the addresses by which this page's resources are known to each other."""
    within: dict[str, Identifier] = {}
    bases = set(scope.bases)
    for one in entries:
        if not one.full_url or not one.kind or not one.id:
            continue
        subject = f"{one.kind}/{one.id}"
        within[one.full_url] = Identifier(scope.source, subject, REFERENCE)
        if one.full_url.startswith("http") and one.full_url.endswith(f"/{subject}"):
            bases.add(one.full_url[: -len(subject) - 1])
    return msgspec.structs.replace(scope, bases=frozenset(bases), within=within)
