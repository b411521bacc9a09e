"""Reading from a FHIR base: each interaction as a function from a question to an answer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from adapters.fhir import encode
from adapters.fhir.encode import Json
from adapters.fhir.reading import ID
from adapters.fhir.release import Release
from api.access.reach import EVERYWHERE, Reach
from api.fhir import origins
from api.fhir.parameters import Asking, Bound, Unanswerable, listed, span
from api.fhir.question import Asked, Question, parameters_of, question
from api.fhir.searching import Found, Key, Page, closed, opened, search
from api.fhir.served import Served
from api.fhir.versions import (
    EPOCH,
    Version,
    all_changes,
    changes,
    last_changes,
    latest_batch,
    resources,
    version_at,
    version_id,
)
from api.fhir.within import served_within
from twin_core.kpi.measuring import Query

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
_KEPT = frozenset({"resourceType", "id", "meta"})
_REQUIRED = {
    "Encounter": {"status", "class"},
    "Appointment": {"status", "participant"},
    "Observation": {"status", "code"},
    "Procedure": {"status", "subject"},
    "ServiceRequest": {"status", "intent", "subject"},
    "Task": {"status", "intent"},
    "Schedule": {"actor"},
    "Slot": {"schedule", "status", "start", "end"},
    "DeviceMetric": {"type", "category", "device"},
}
_HISTORY = frozenset({"_count", "_since", "_cursor", "_format", "_pretty"})


class Given(NamedTuple):
    """A resource that is given, and when it last changed; a status other than 200 says why not."""

    status: int
    resource: Json
    changed_at: datetime | None = None
    headers: Mapping[str, str] | None = None
    media_type: str = ""


class Reader:
    """One FHIR base as it is read: `base` is its address, `zone` the hospital's, `reach` how far
    the rows of whoever reads it go."""

    def __init__(
        self,
        query: Query,
        base: str,
        zone: str,
        release: Release = Release.R4,
        reach: Reach = EVERYWHERE,
    ) -> None:
        self.query, self.base, self.zone = query, base, ZoneInfo(zone)
        self.release, self.reach = release, reach
        self.served = served_within(release, reach)

    # --- one resource ------------------------------------------------------------------------

    def read(self, kind: str, id_: str) -> Given:
        """A resource as it is; 410 where there is none any more, 404 where there never was."""
        served, known_at = self.served[kind], self.known_at()
        changed = last_changes(self.query, served, [id_], known_at).get(id_)
        if changed is None:
            return not_found(f"There is no such {kind}.")
        return self._version(served, id_, changed)

    def vread(self, kind: str, id_: str, version: str) -> Given:
        """A resource as it was in one of its versions."""
        at = version_at(version)
        if at is None or at not in all_changes(self.query, self.served[kind], id_):
            return not_found(f"There is no such version of this {kind}.")
        return self._version(self.served[kind], id_, at)

    def _version(self, served: Served, id_: str, at: datetime) -> Given:
        version = Version(id_, at)
        found = self._resources(served, [version]).get(version)
        if found is None:
            reason = f"The {served.type} is no more; its history says what it was."
            return Given(410, encode.operation_outcome([encode.issue("error", "deleted", reason)]))
        return Given(200, found, at)

    def _resources(self, served: Served, wanted: Sequence[Version]) -> dict[Version, Json]:
        def source(ids: Collection[str]) -> Mapping[str, str]:
            return origins.origins(self.query, served, ids)

        return resources(self.query, served, wanted, source=source)

    # --- search ------------------------------------------------------------------------------

    def search(self, kind: str, asked: Asked, *, strict: bool) -> Json:
        """A searchset. Raises Unanswerable for what cannot be answered as asked."""
        served = self.served[kind]
        page = self._page(asked)
        asking = Asking(Bound(), self.zone, self.base)
        wanted = question(served, asked, asking)
        if strict and wanted.unknown:
            known = listed((*parameters_of(served), "_count", "_sort", "_include"))
            raise Unanswerable(f"{kind} is searched by {known}.", "not-supported")
        found = search(self.query, wanted, asking, page)
        entries = [*self._matches(wanted, found, page), *self._included(found, page)]
        if wanted.unknown:
            entries.append(_passed_over(wanted.unknown))
        bundle: Json = {"resourceType": "Bundle", "type": "searchset"}
        if found.total is not None:
            bundle["total"] = found.total
        bundle["link"] = list(self._links(kind, asked, wanted, found))
        return {**bundle, "entry": entries} if entries else bundle

    def _page(self, asked: Asked) -> Page:
        cursors = [value for name, value in asked if name == "_cursor"]
        return opened(cursors[-1]) if cursors else Page(self.known_at())

    def known_at(self) -> datetime:
        """The instant up to which everything is known."""
        return latest_batch(self.query) or EPOCH

    def _matches(self, wanted: Question, found: Found, page: Page) -> Iterable[Json]:
        for resource in self.as_of(wanted.served, found.matches, page.known_at):
            told = _subset(resource, wanted.elements) if wanted.elements else resource
            yield self._entry(told, "match")

    def _included(self, found: Found, page: Page) -> Iterable[Json]:
        for kind in dict.fromkeys(kind for kind, _ in found.included):
            ids = [id_ for other, id_ in found.included if other == kind]
            for resource in self.as_of(self.served[kind], ids, page.known_at):
                yield self._entry(resource, "include")

    def as_of(self, served: Served, ids: Sequence[str], known_at: datetime) -> list[Json]:
        """Resources in the order of their ids; those that were no more are left out."""
        changed = last_changes(self.query, served, ids, known_at)
        wanted = [Version(id_, changed[id_]) for id_ in ids if id_ in changed]
        found = self._resources(served, wanted)
        return [found[version] for version in wanted if version in found]

    def _entry(self, resource: Json, mode: str) -> Json:
        address = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        return {"fullUrl": address, "resource": resource, "search": {"mode": mode}}

    def _links(self, kind: str, asked: Asked, wanted: Question, found: Found) -> Iterable[Json]:
        cursors = [(name, value) for name, value in asked if name == "_cursor"]
        yield self._link("self", kind, [*wanted.used, *cursors])
        if found.following is not None:
            following = ("_cursor", closed(found.following))
            yield self._link("next", kind, [*wanted.used, following])

    def _link(self, relation: str, path: str, asked: Asked) -> Json:
        query = urlencode(asked, quote_via=quote, safe=":|,/")
        return {"relation": relation, "url": f"{self.base}/{path}" + (f"?{query}" if query else "")}

    # --- history -----------------------------------------------------------------------------

    def history(self, kind: str, asked: Asked, id_: str = "") -> Given:
        """The versions of one resource or of a type, the newest first."""
        served = self.served[kind]
        unknown = {name for name, _ in asked} - _HISTORY
        if unknown:
            raise Unanswerable("A history is asked for with _count and _since.", "not-supported")
        page, count, since = self._page(asked), _count(asked), self._since(asked)
        values = {"until": page.known_at, "since": since, "rows": count + 1, "passed": page.passed}
        rows = self.query(_HISTORY_SQL.format(changes=_changes_of(served, id_)), values)
        if id_ and not rows and since == EPOCH:
            return not_found(f"There is no such {kind}.")
        versions = [Version(row["_id"], row["changed_at"]) for row in rows[:count]]
        found = self._resources(served, versions)
        path = f"{kind}/{id_}/_history" if id_ else f"{kind}/_history"
        entries = [self._past(served, version, found.get(version)) for version in versions]
        bundle: Json = {"resourceType": "Bundle", "type": "history"}
        if id_:
            bundle["total"] = len(all_changes(self.query, served, id_))
        bundle["link"] = [self._link("self", path, asked)]
        if len(rows) > count:
            following = closed(Page(page.known_at, passed=page.passed + count))
            others = [(name, value) for name, value in asked if name != "_cursor"]
            bundle["link"].append(self._link("next", path, [*others, ("_cursor", following)]))
        return Given(200, {**bundle, "entry": entries} if entries else bundle)

    def _past(self, served: Served, version: Version, resource: Json | None) -> Json:
        address = f"{served.type}/{version.id}"
        method, status = ("PUT", "200 OK") if resource is not None else ("DELETE", "204 No Content")
        entry: Json = {"fullUrl": f"{self.base}/{address}"}
        if resource is not None:
            entry["resource"] = resource
        entry["request"] = {"method": method, "url": address}
        entry["response"] = {
            "status": status,
            "etag": f'W/"{version_id(version.at)}"',
            "lastModified": encode.instant(version.at),
        }
        return entry

    def _since(self, asked: Asked) -> datetime:
        told = [value for name, value in asked if name == "_since"]
        return span(told[-1], self.zone, "_since")[0] if told else EPOCH


_HISTORY_SQL = """
SELECT DISTINCT _id, changed_at FROM ({changes})
WHERE changed_at <= $until AND changed_at >= $since
ORDER BY changed_at DESC, _id LIMIT $rows OFFSET $passed
"""


def _changes_of(served: Served, id_: str) -> str:
    every = changes(served)
    return f"SELECT * FROM ({every}) WHERE _id = '{id_}'" if id_ else every


def _count(asked: Asked) -> int:
    told = [value for name, value in asked if name == "_count"]
    if told and not (told[-1].isascii() and told[-1].isdecimal() and int(told[-1][:9])):
        raise Unanswerable("_count is a number of versions.")
    return min(int(told[-1][:9]), 1000) if told else 50


def _subset(resource: Json, elements: Collection[str]) -> Json:
    """A resource with some of its elements, and those that it must have, marked as a part."""
    kept = _KEPT | _REQUIRED.get(resource["resourceType"], set()) | set(elements)
    # `_status` says why there is no `status`, and stays or goes with it.
    found = {name: value for name, value in resource.items() if name.removeprefix("_") in kept}
    return {**found, "meta": {**resource["meta"], "tag": [SUBSETTED]}}


def _passed_over(unknown: Sequence[str]) -> Json:
    """That a search was answered as if some of its parameters had not been there."""
    reason = "Some parameters are not known here and were passed over; `self` has those that were."
    issue = encode.issue("warning", "not-supported", reason)
    return {"resource": encode.operation_outcome([issue]), "search": {"mode": "outcome"}}


def not_found(reason: str) -> Given:
    """That there is no such thing."""
    return Given(404, encode.operation_outcome([encode.issue("error", "not-found", reason)]))


def is_id(text: str) -> bool:
    """Whether a text can be the id of a resource."""
    return ID.fullmatch(text) is not None


__all__ = ["Given", "Key", "Reader", "is_id", "not_found"]
