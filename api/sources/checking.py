"""What a server can do for the twin, tried out: nothing is stored."""

from typing import Any

import msgspec

from adapters.fhir.client.capability import Capability
from adapters.fhir.client.faults import SourceError, Unauthorized
from adapters.fhir.client.manners import Reply
from adapters.fhir.client.page import Page, read_page
from adapters.fhir.client.server import FhirServer, Parameters, is_secured
from adapters.fhir.release import RESOURCE_TYPES
from twin_core.errors import ConfigurationError

FAR = "2000-01-01T00:00:00Z"


class Tried(msgspec.Struct, kw_only=True):
    """One thing that was tried, and what came of it."""

    tried: str
    verdict: str
    """ok, warn or fail."""
    said: str


class Checked(msgspec.Struct, kw_only=True):
    """A source, and everything that was tried."""

    source: str
    url: str
    version: str = ""
    software: str = ""
    types: list[str] = []
    """Those of the configured types that can be searched."""
    exports: list[str] = []
    tried: list[Tried] = []

    @property
    def is_clean(self) -> bool:
        """Whether nothing stands in the way of a sync."""
        return all(one.verdict != "fail" for one in self.tried)


async def checked(server: FhirServer) -> Checked:
    """Try everything that a sync of the source would need, once."""
    settings = server.settings
    report = Checked(source=server.name, url=settings.url)
    if not is_secured(settings):
        _say(report, "connection", "warn", "no TLS: others on the way can read patients")
    try:
        capability = (await server.capability_now())[0]
        release = await server.release()
    except (SourceError, ConfigurationError) as error:
        _say(report, "metadata", "fail", str(error))
        return report
    report.version, report.software = capability.version, capability.software
    report.exports = list(capability.exports)
    _say(report, "metadata", "ok", f"FHIR {capability.version} {capability.software}".strip())
    await _authorization(server, report)
    for kind in settings.types if settings.method != "bulk" else ():
        if kind not in RESOURCE_TYPES[release]:
            continue
        if capability.kinds and kind not in capability.kinds:
            _say(report, kind, "warn", "the server does not have this type")
        else:
            await _type(server, capability, kind, report)
    if settings.method != "search":
        promised = settings.export.partition("/")[0] in report.exports
        said = f"an export of {settings.export} is {'' if promised else 'not '}promised"
        _say(report, "export", "ok" if promised else "warn", said)
    return report


async def _authorization(server: FhirServer, report: Checked) -> None:
    if server.settings.auth is None:
        return
    try:
        await server.authorization.headers()
    except (SourceError, ConfigurationError) as error:
        _say(report, "authorization", "fail", str(error))
    else:
        _say(report, "authorization", "ok", f"a token by {server.settings.auth.method}")


async def _type(server: FhirServer, capability: Capability, kind: str, report: Checked) -> None:
    """Whether a type can be searched, in order, by what changed; and how deletes are told."""
    try:
        page, reply = await _tried(server, kind, [("_count", "1")])
        if page is None:
            _say(report, kind, "fail", f"it cannot be searched: status {reply.status}")
            return
        report.types.append(kind)
        ordered, _ = await _tried(server, kind, [("_count", "1"), ("_sort", "_lastUpdated")])
        since, _ = await _tried(server, kind, [("_count", "1"), ("_lastUpdated", f"ge{FAR}")])
        deleted, _ = await _tried(server, kind, [("_count", "1"), ("_deleted", "true")])
    except (Unauthorized, SourceError) as error:
        _say(report, kind, "fail", str(error))
        return
    history = capability.can(kind, "history-type")
    told = [
        "by what changed" if _honours(since, "_lastUpdated") else "whole each time",
        "in order" if _honours(ordered, "_sort") else "in no order",
        "deletes by history"
        if history
        else "deletes by _deleted"
        if _honours(deleted, "_deleted")
        else "deletes of open encounters only"
        if kind == "Encounter"
        else "deletes are not told",
    ]
    _say(report, kind, "ok", f"searched {', '.join(told)}{_of(page)}")


async def _tried(
    server: FhirServer, kind: str, parameters: Parameters
) -> tuple[Page | None, Reply]:
    reply = await server.ask(server.address(kind, parameters))
    if reply.status != 200:
        return None, reply
    return read_page(reply.body, server.limits, server.name), reply


def _honours(page: Page | None, parameter: str) -> bool:
    """Whether a server heeded a parameter: those it heeds are in its self link."""
    return page is not None and (not page.self or f"{parameter}=" in page.self)


def _of(page: Page) -> str:
    return "" if page.total is None else f"; {page.total:,} there"


def _say(report: Checked, tried: str, verdict: str, said: str) -> None:
    report.tried.append(Tried(tried=tried, verdict=verdict, said=said))


def rows(report: Checked) -> list[dict[str, Any]]:
    """The report as rows of a table."""
    return [msgspec.to_builtins(one) for one in report.tried]
