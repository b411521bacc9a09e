"""What a server deleted, by the ways in which servers tell: history, `_deleted`, 410 on a read."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec

from adapters.fhir.client.faults import Declined
from adapters.fhir.client.links import next_page
from adapters.fhir.client.manners import http_date, refused
from adapters.fhir.client.page import PageEntry, head_of, read_page
from adapters.fhir.client.search import (
    Checkpoint,
    Search,
    Step,
    Trail,
    at_of,
    shown_clock,
    text_of,
)
from adapters.fhir.client.server import FhirServer

LOG = logging.getLogger("wardtwin.sources")
FLAG = "_deleted"


class DeletedSearch(Search):
    """The search for what was deleted of one type (`_deleted=true`): stubs, to be confirmed.

    A server that passes the parameter over would show what lives: its self link tells.
    """

    def __init__(self, server: FhirServer, kind: str, *, known_as: str = "") -> None:
        super().__init__(server, kind, known_as=known_as, also=[(FLAG, "true")], echoed=FLAG)


class History:
    """The history of one type (`Type/_history?_since`), of which only deletes are given.

    It lists the newest first, so that its watermark moves only at its end, to the server's clock
    at its beginning.
    """

    def __init__(self, server: FhirServer, kind: str, *, known_as: str = "") -> None:
        self.server, self.kind, self._known_as = server, kind, known_as
        self.query = f"history of {kind} at {server.base}"

    async def passed(self, kept: Checkpoint) -> AsyncIterator[Step]:
        """One pass. Raises Declined where the server has no history, and what asking raises."""
        trail, at, url = Trail(), kept, kept.next
        while True:
            began = not url
            reply = await self.server.ask(url or self._address(at))
            if reply.status != 200 and not began:
                at, url = trail.again(at, self.kind, self.server.name), ""
                at = msgspec.structs.replace(at, next="")
                continue
            if reply.status != 200:
                raise refused(self.server.name, reply, f"the history of {self.kind}")
            page = read_page(reply.body, self.server.limits, self.server.name)
            if began:
                clock = shown_clock(reply, page)
                at = msgspec.structs.replace(at, bound=text_of(clock) if clock else at.watermark)
            url = self._next(page.next, reply.url, page.self)
            turns = trail.turns(page, reply.url, url)
            if turns:
                url = ""
            elif url:
                at = msgspec.structs.replace(at, next=url)
            if not url:
                watermark = at.watermark if turns else max(at.bound, at.watermark)
                at = Checkpoint(query=at.query, watermark=watermark)
            gone = tuple(one for one in page.entries if one.is_delete and one.kind == self.kind)
            yield Step(gone, at)
            if not url:
                return

    def _address(self, at: Checkpoint) -> str:
        settings = self.server.settings
        since = at_of(at.watermark) - timedelta(seconds=settings.overlap_s)
        parameters = [("_since", text_of(since)), ("_count", str(settings.page_size))]
        return self.server.address(f"{self.kind}/_history", parameters)

    def _next(self, link: str, asked: str, told: str) -> str:
        if not link:
            return ""
        base = self.server.base
        return next_page(link, asked=asked, told=told, base=base, known_as=self._known_as)


async def read_again(
    server: FhirServer, kind: str, id_: str, version: str = ""
) -> PageEntry | None:
    """A resource as it is now: a delete where the server says that it is gone (410), None where it
    has not changed since `version`, or cannot be told.

    A 404 is no delete: a resource that may not be seen any more looks the same.
    """
    validator = {"If-None-Match": f'W/"{version}"'} if version else {}
    reply = await server.ask(server.address(f"{kind}/{id_}"), headers=validator)
    if reply.status == 410:
        told = http_date(reply.headers.get("last-modified", "")) or shown_clock(reply)
        gone = await _told_by_history(server, kind, id_)
        if gone is not None:
            return gone._replace(updated=gone.updated or (text_of(told) if told else ""))
        return PageEntry(b"", kind, id_, updated=text_of(told) if told else "", is_delete=True)
    if reply.status != 200:
        if reply.status not in (304, 404):
            raise refused(server.name, reply, f"a read of {kind}")
        return None
    head = head_of(reply.body)
    if head.resource_type != kind:
        raise Declined(f"The server of source {server.name} answers a read with something else.")
    return PageEntry(
        reply.body, kind, head.id, head.meta.version_id, head.meta.last_updated, "match"
    )


async def _told_by_history(server: FhirServer, kind: str, id_: str) -> PageEntry | None:
    """The delete as the history of the resource itself tells it, where the server keeps one."""
    if not (await server.capability()).can(kind, "history-instance"):
        return None
    reply = await server.ask(server.address(f"{kind}/{id_}/_history"))
    if reply.status != 200:
        return None
    newest = read_page(reply.body, server.limits, server.name).entries[:1]
    return next((one for one in newest if one.is_delete and one.id == id_), None)
