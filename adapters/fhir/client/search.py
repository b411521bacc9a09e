"""Search sync of one resource type: every version that changed since the last pass, page by page.

A pass asks for what was updated from the watermark on, less an overlap for changes that become
visible late, oldest first, and follows the pages. Each page comes with the checkpoint that holds
once its entries are stored; a pass that is cut off goes on from there.

- The watermark never runs ahead of what the server's own clock showed while a page was made, and
  never knows this machine's clock: a resource dated in the future must not hide others.
- Without an order the watermark moves only when the pass is complete, and then not beyond the
  instant at which it began: what changed meanwhile may be on a page that was read already.
- Pages by offset shift under the reader while resources change. In an ordered pass each such page
  is asked for anew, from the last instant reached.
- A page that is gone (an expired search, an offset beyond the server's limit) is replaced in the
  same way; an unordered pass begins again.
"""

import hashlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from adapters.fhir.client.faults import Declined, Lost, Unauthorized, Untrustworthy
from adapters.fhir.client.links import next_page
from adapters.fhir.client.manners import Reply, clock_of, refused
from adapters.fhir.client.page import Page, PageEntry, instant, read_page
from adapters.fhir.client.server import FhirServer, Parameters

LOG = logging.getLogger("wardtwin.sources")
EMPTY_PAGES = 50
"""So many empty pages in a row lead nowhere."""
UNREADABLE_TRIES = 3
_OFFSET = re.compile(r"[?&]_?(?:offset|page|skip|start(?:index)?)=", re.IGNORECASE)
_ABOUT_HOW = frozenset({400, 404, 405, 406, 410, 422, 501})
"""Refusals that may be about how something was asked, and not about who asked."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far a type is read. Instants are ISO text; empty where there is none."""

    query: str = ""
    """Digest of what is searched for; another search begins anew. Empty where only the watermark
    is known."""
    watermark: str = ""
    """Everything that was updated before is stored."""
    next: str = ""
    """Where the pass under way goes on; empty between passes."""
    start: str = ""
    """The watermark when the pass under way began."""
    reached: str = ""
    """The last update seen in the pass under way."""
    bound: str = ""
    """The server's clock when the pass under way began."""
    is_ordered: bool = True
    """Whether the pass under way is in order of updates."""
    plain: int = 0
    """How much of a search the server does not understand: 0 nothing, 1 `_sort`, 2 `_lastUpdated`
    too."""
    is_blind: bool = False
    """The server was asked for what changed and told everything."""
    etag: str = ""
    """Validator of a first page that had no next one."""


class Step(NamedTuple):
    """A page's entries, and the checkpoint that holds once they are stored."""

    entries: tuple[PageEntry, ...]
    checkpoint: Checkpoint
    total: int | None = None


class Search:
    """The search of one type at one server."""

    def __init__(
        self,
        server: FhirServer,
        kind: str,
        *,
        known_as: str = "",
        also: Sequence[tuple[str, str]] = (),
        echoed: str = "",
    ) -> None:
        """`also` is searched for, too, and `echoed` is a parameter that the server must heed."""
        self.server, self.kind, self._echoed = server, kind, echoed
        settings = server.settings
        self._known_as = known_as
        self._filter: Parameters = parse_qsl(settings.filters.get(kind, ""), keep_blank_values=True)
        self._includes: Parameters = [("_include", one) for one in settings.includes.get(kind, ())]
        self._filter += also
        self._overlap = timedelta(seconds=settings.overlap_s)
        asked = repr((server.base, kind, self._filter, self._includes, settings.since))
        self.query = hashlib.sha256(asked.encode()).hexdigest()[:16]

    async def passed(self, kept: Checkpoint | None) -> AsyncIterator[Step]:
        """One pass, from its checkpoint to its end.

        Raises Declined where the server does not let this type be searched, Lost where pages are
        gone again and again, Untrustworthy for pages that lead in circles, and what asking raises.
        """
        at = kept if kept is not None and kept.query in ("", self.query) else Checkpoint()
        at = msgspec.structs.replace(at, query=self.query)
        trail = Trail()
        url = at.next
        while True:
            if url:
                reply = await self._following(url)
                if reply is None:
                    at = trail.again(at, self.kind, self.server.name)
                    # An ordered pass goes on from the last instant, another from its beginning.
                    url = self._address(at, at.reached) if at.is_ordered and at.reached else ""
                    continue
                began = False
            else:
                at, reply = await self._first(at)
                began = True
                if reply is None:
                    yield Step((), self._ended(at, at.etag))
                    return
            reply, page = await self._read(reply)
            self._require_heeded(page)
            if self._ignores_time(at, page, reply):
                # By instants it cannot be paged through: once more, by its links alone.
                at, url, trail = self._blind(at), "", Trail()
                continue
            at = self._after(at, page, reply, began=began)
            at, url = self._onward(at, page, reply)
            turns = trail.turns(page, reply.url, url)
            if turns and not at.is_blind and "_lastUpdated=ge" in reply.url:
                # A page by its instant that brings nothing new: once more, by links alone.
                at, url, trail = self._blind(at), "", Trail()
                continue
            if not url:
                etag = reply.headers.get("etag", "") if began else ""
                at = self._ended(at, etag)
            elif turns:
                at = msgspec.structs.replace(at, next="")
            yield Step(page.entries, at, page.total)
            if turns:
                raise self._circle()
            if not url:
                return

    # --- asking ------------------------------------------------------------------------------

    async def _first(self, at: Checkpoint) -> tuple[Checkpoint, Reply | None]:
        """The first page of a pass; no reply where nothing has changed since the last one."""
        watermark = at.start if at.next or at.start else at.watermark
        while True:
            at = msgspec.structs.replace(
                at, start=watermark, watermark=watermark, reached="", is_ordered=at.plain < 1
            )
            url = self._address(at, self._lower(watermark))
            validator = {"If-None-Match": at.etag} if at.etag else {}
            reply = await self.server.ask(url, headers=validator)
            if reply.status == 304:
                return at, None
            if reply.status == 200:
                return at, reply
            fault = refused(self.server.name, reply, f"the search of {self.kind}")
            can_be_plainer = at.plain == 0 or (at.plain == 1 and bool(self._lower(watermark)))
            if isinstance(fault, Unauthorized) or reply.status not in _ABOUT_HOW:
                raise fault
            if not can_be_plainer:
                raise fault
            LOG.info("source %s: %s is searched more plainly", self.server.name, self.kind)
            at = msgspec.structs.replace(at, plain=at.plain + 1)

    async def _following(self, url: str) -> Reply | None:
        """A later page; None where it is gone."""
        reply = await self.server.ask(url)
        if reply.status == 200:
            return reply
        fault = refused(self.server.name, reply, f"a page of {self.kind}")
        if isinstance(fault, Unauthorized) or reply.status not in _ABOUT_HOW:
            raise fault
        LOG.info("source %s: a page of %s is gone", self.server.name, self.kind)
        return None

    async def _read(self, reply: Reply) -> tuple[Reply, Page]:
        """The page of a reply; one that is no whole Bundle is asked for again."""
        for attempt in range(1, UNREADABLE_TRIES):
            try:
                return reply, read_page(reply.body, self.server.limits, self.server.name)
            except Untrustworthy:
                await self.server.manners.pause(attempt, None)
                reply = await self.server.fetch(reply.url, f"a page of {self.kind}")
        return reply, read_page(reply.body, self.server.limits, self.server.name)

    def _address(self, at: Checkpoint, lower: str) -> str:
        parameters = [*self._filter, ("_count", str(self.server.settings.page_size))]
        parameters += [("_sort", "_lastUpdated")] if at.plain < 1 else []
        parameters += [("_lastUpdated", f"ge{lower}")] if lower and at.plain < 2 else []
        return self.server.address(self.kind, [*parameters, *self._includes])

    def _lower(self, watermark: str) -> str:
        """From where on a pass asks: the watermark less the overlap, else what the site set."""
        if not watermark:
            return self.server.settings.since
        return text_of(at_of(watermark) - self._overlap)

    # --- after a page ------------------------------------------------------------------------

    def _after(self, at: Checkpoint, page: Page, reply: Reply, *, began: bool) -> Checkpoint:
        """The checkpoint behind a page, but for where the next one is."""
        clock = shown_clock(reply, page)
        times = [one.updated_at for one in page.entries if self._is_match(one)]
        known = [time for time in times if time is not None]
        follows = not at.reached or not known or known[0] >= at_of(at.reached)
        is_ordered = (
            at.is_ordered and follows and len(known) == len(times) and known == sorted(known)
        )
        reached = max([text_of(time) for time in known] + [at.reached])
        bound = (text_of(clock) if clock is not None else "") if began else at.bound
        watermark = at.start
        if is_ordered and reached:
            bounded = min(reached, text_of(clock)) if clock is not None else reached
            watermark = max(bounded, at.watermark)
        return msgspec.structs.replace(
            at,
            is_ordered=is_ordered,
            reached=reached,
            bound=bound,
            watermark=watermark,
            etag="",
        )

    def _onward(self, at: Checkpoint, page: Page, reply: Reply) -> tuple[Checkpoint, str]:
        """The checkpoint with the address of the next page, if there is one."""
        if not page.next:
            return at, ""
        server = self.server
        url = next_page(
            page.next, asked=reply.url, told=page.self, base=server.base, known_as=self._known_as
        )
        times = [one.updated_at for one in page.entries if self._is_match(one)]
        spans = bool(times) and times[0] != times[-1]
        if at.is_ordered and not at.is_blind and spans and _OFFSET.search(url):
            # Asked for by its instant instead, the next page cannot shift.
            url = self._address(at, at.reached)
        return msgspec.structs.replace(at, next=url), url

    def _ended(self, at: Checkpoint, etag: str) -> Checkpoint:
        """The checkpoint between two passes."""
        watermark = at.watermark
        if not at.is_ordered and at.bound and at.reached:
            watermark = max(min(at.reached, at.bound), at.watermark)
        return Checkpoint(
            query=at.query, watermark=watermark, plain=at.plain, is_blind=at.is_blind, etag=etag
        )

    def _blind(self, at: Checkpoint) -> Checkpoint:
        return msgspec.structs.replace(at, next="", watermark=at.start, is_blind=True)

    def _ignores_time(self, at: Checkpoint, page: Page, reply: Reply) -> bool:
        """Whether a page shows what was not asked for: resources updated before."""
        lower = dict(parse_qsl(urlsplit(reply.url).query)).get("_lastUpdated", "")
        since = instant(lower.removeprefix("ge"))
        if at.is_blind or since is None or not lower.startswith("ge"):
            return False
        # A server may keep only seconds.
        earliest = since - timedelta(seconds=1)
        times = [one.updated_at for one in page.entries if self._is_match(one)]
        return any(time is not None and time < earliest for time in times)

    def _require_heeded(self, page: Page) -> None:
        if self._echoed and f"{self._echoed}=" not in page.self:
            raise Declined(
                f"The server of source {self.server.name} does not heed {self._echoed}.", status=400
            )

    def _is_match(self, one: PageEntry) -> bool:
        return one.kind == self.kind and one.mode in ("", "match")

    def _circle(self) -> Untrustworthy:
        return Untrustworthy(
            f"The pages of {self.kind} at source {self.server.name} lead in circles.",
            why="A link to a next page leads to one that was read before, or to ever empty ones.",
            do="What was read is kept; see the server's own log.",
        )


class Trail:
    """Where a pass has been: by it, circles are known."""

    def __init__(self) -> None:
        self._addresses: set[str] = set()
        self._pages: set[bytes] = set()
        self._restarts: set[str] = set()
        self._empty = 0

    def turns(self, page: Page, asked: str, url: str) -> bool:
        """Whether this page was read before, or the next one was.

        Pages are also known by what is on them: some circles are made of ever new addresses.
        """
        self._addresses.add(_digest(asked))
        self._empty = 0 if page.entries else self._empty + 1
        keys = "\n".join("\t".join(one.key) for one in page.entries)
        digest = hashlib.blake2b(keys.encode("utf-8", "replace"), digest_size=12).digest()
        was_here = bool(page.entries) and digest in self._pages
        self._pages.add(digest)
        return (
            was_here
            or self._empty >= EMPTY_PAGES
            or (bool(url) and _digest(url) in self._addresses)
        )

    def again(self, at: Checkpoint, kind: str, source: str) -> Checkpoint:
        """The checkpoint from which a pass goes on whose next page is gone.

        Raises Lost where it was gone at the same place before.
        """
        if at.reached in self._restarts:
            raise Lost(
                f"The pages of {kind} at source {source} are gone too soon.",
                why="They expire before they are read, or reach no further.",
                do=f"Change sources.{source}.page_size.",
                status=410,
            )
        self._restarts.add(at.reached)
        self._addresses, self._pages = set(), set()
        return at


def shown_clock(reply: Reply, page: Page | None = None) -> datetime | None:
    """What the server's clock showed, by its Date header, else by the page; in whole seconds."""
    shown = clock_of(reply)
    return shown if shown is not None or page is None else instant(page.updated)


def at_of(text: str) -> datetime:
    """The instant of a checkpoint's text; raises ValueError for what is none."""
    found = instant(text)
    if found is None:
        raise ValueError("a checkpoint holds no instant")
    return found


def text_of(at: datetime) -> str:
    """An instant as it is searched for: in UTC, milliseconds, never later than meant."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _digest(url: str) -> str:
    parts = urlsplit(url)
    return hashlib.sha256(f"{parts.path}?{parts.query}".encode()).hexdigest()
