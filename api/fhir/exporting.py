"""Bulk Data export of the twin's own view, without anything kept for it.

An export is a question about an instant of knowledge: which resources there were then, and which
had changed since another. Its address spells both, so that status and files can be asked for again
and again, by whatever process serves them, and give the same.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from adapters.fhir import encode
from adapters.fhir.encode import Json
from api.fhir.parameters import Asking, Bound, Unanswerable, listed, span
from api.fhir.question import Asked, Question, question
from api.fhir.reading import Reader
from api.fhir.searching import Page, search
from api.fhir.served import SERVED, Served
from api.fhir.versions import as_known, version_at, version_id

NDJSON = "application/fhir+ndjson"
COMPARTMENT = ("Patient", "Encounter", "Observation", "Appointment", "Device")
"""What `Patient/$export` gives: what is about patients."""
_FORMATS = frozenset({NDJSON, "application/ndjson", "ndjson"})
_KNOWN = frozenset({"_outputFormat", "_since", "_type", "_typeFilter", "_format", "_pretty"})
_ROWS = 500


class Export(NamedTuple):
    """What is exported: which types, chosen how, as known when, changed since when."""

    types: tuple[str, ...]
    filters: tuple[str, ...]
    """Searches such as `Encounter?status=finished`; of several of one type any may fit."""
    since: datetime | None
    known_at: datetime
    level: str = ""

    def address(self) -> str:
        """The export as the query of an address."""
        told = [("types", ",".join(self.types)), ("at", version_id(self.known_at))]
        told += [("filter", one) for one in self.filters]
        if self.since is not None:
            told.append(("since", version_id(self.since)))
        if self.level:
            told.append(("level", self.level))
        return urlencode(told, quote_via=quote)


def asked_export(reader: Reader, asked: Asked, level: str, *, strict: bool) -> Export:
    """An export as it is kicked off. Raises Unanswerable for what cannot be exported so."""
    unknown = {name for name, _ in asked} - _KNOWN
    if unknown and strict:
        raise Unanswerable(f"$export knows {listed(_KNOWN)}.", "not-supported")
    told = dict(asked)
    if told.get("_outputFormat", NDJSON).replace(" ", "+") not in _FORMATS:
        raise Unanswerable("Files are application/fhir+ndjson.", "not-supported")
    offered = COMPARTMENT if level else tuple(SERVED)
    wanted = [kind for name, value in asked if name == "_type" for kind in value.split(",")]
    types = tuple(kind for kind in offered if not wanted or kind in wanted)
    if wanted and strict and not set(wanted) <= set(offered):
        raise Unanswerable(f"What is exported is {listed(offered)}.", "not-supported")
    filters = tuple(_filters(asked, types))
    if told.get("_since") and not reader.reach.is_everywhere:
        reason = "What left your units since cannot be told: export without _since."
        raise Unanswerable(reason, "not-supported")
    since = span(told["_since"], reader.zone, "_since")[0] if told.get("_since") else None
    export = Export(types, filters, since, reader.known_at(), level)
    for kind in types:
        _question(reader, export, reader.served[kind])
    return export


def _filters(asked: Asked, types: Sequence[str]) -> Iterator[str]:
    for value in (value for name, value in asked if name == "_typeFilter"):
        if value.partition("?")[0] not in types:
            raise Unanswerable("_typeFilter is Type?search, of a type that is exported.")
        yield value


def export_of(asked: Asked) -> Export:
    """The export that an address of a status or a file spells. Raises Unanswerable for others."""
    told = dict(asked)
    known_at, since = (version_at(told.get(name, "")) for name in ("at", "since"))
    types = tuple(told.get("types", "").split(","))
    if known_at is None or not set(types) <= set(SERVED):
        raise Unanswerable("This is the address of no export.", "not-found", 404)
    filters = tuple(value for name, value in asked if name == "filter")
    return Export(types, filters, since, known_at, told.get("level", ""))


def manifest(reader: Reader, export: Export) -> Json:
    """What there is to fetch: a file for each type that has anything, and one of deletions."""
    output, deleted = [], []
    for kind in export.types:
        files = f"{reader.base}/$export-file?{export.address()}&kind={kind}"
        count = _count(reader, export, reader.served[kind])
        if count:
            output.append({"type": kind, "url": files, "count": count})
        gone = len(_gone(reader, export, reader.served[kind]))
        if gone:
            deleted.append({"type": "Bundle", "url": f"{files}&deleted=true", "count": 1})
    level = f"{export.level}/" if export.level else ""
    return {
        "transactionTime": encode.instant(export.known_at),
        "request": f"{reader.base}/{level}$export",
        "requiresAccessToken": True,
        "output": output,
        "deleted": deleted,
        "error": [],
    }


def lines(reader: Reader, export: Export, kind: str) -> Iterator[bytes]:
    """A file of resources, some hundreds at a time."""
    asking, asked = _question(reader, export, reader.served[kind])
    page: Page | None = Page(export.known_at)
    while page is not None:
        found = search(reader.query, asked, asking, page)
        several = reader.as_of(reader.served[kind], found.matches, export.known_at)
        yield b"".join(encode.encode(one) + b"\n" for one in several)
        page = found.following


def deletions(reader: Reader, export: Export, kind: str) -> Iterator[bytes]:
    """A file with a transaction that deletes what there is no more."""
    gone = _gone(reader, export, reader.served[kind])
    entries = [{"request": {"method": "DELETE", "url": f"{kind}/{id_}"}} for id_ in gone]
    if entries:
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        yield encode.encode(bundle) + b"\n"


def _question(reader: Reader, export: Export, served: Served) -> tuple[Asking, Question]:
    """The search that an export of one type is. Raises Unanswerable for a wrong filter."""
    asking = Asking(Bound(), reader.zone, reader.base)
    rows = [("_count", str(_ROWS)), ("_total", "none")]
    if export.since is not None:
        rows.append(("_lastUpdated", f"ge{encode.instant(export.since)}"))
    asked = question(served, rows, asking)
    chosen = []
    for one in export.filters:
        kind, _, told = one.partition("?")
        if kind != served.type:
            continue
        narrowed = question(served, parse_qsl(told, keep_blank_values=True), asking)
        if narrowed.unknown:
            raise Unanswerable(f"A _typeFilter of {kind} has an unknown parameter.")
        chosen.append(" AND ".join(narrowed.conditions) or "true")
    if chosen:
        either = " OR ".join(f"({one})" for one in chosen)
        asked = asked._replace(conditions=(*asked.conditions, f"({either})"))
    return asking, asked


def _count(reader: Reader, export: Export, served: Served) -> int:
    asking, asked = _question(reader, export, served)
    counted = asked._replace(summary="count")
    return search(reader.query, counted, asking, Page(export.known_at)).total or 0


def _gone(reader: Reader, export: Export, served: Served) -> list[str]:
    """Ids that there were at `since` and are no more; none where everything is exported."""
    if export.since is None:
        return []
    part = served.parts[served.main]
    there = as_known(served, f"SELECT _id FROM {{{served.main}}}")
    sql = (
        f"SELECT DISTINCT _id FROM ({part}) WHERE known_from <= $since AND known_to > $since"
        f" AND known_to <= $known_at AND _id NOT IN ({there}) ORDER BY _id"
    )
    values = {"since": export.since, "known_at": export.known_at}
    return [str(row["_id"]) for row in reader.query(sql, values)]
