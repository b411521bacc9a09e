"""One source read until the twin is in step with it, from wherever the last sync was cut off."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import msgspec

from adapters.fhir.client.capability import Capability
from adapters.fhir.client.faults import (
    Declined,
    Resting,
    SourceError,
    Unauthorized,
    Unreachable,
)
from adapters.fhir.client.page import PageEntry
from adapters.fhir.client.search import Checkpoint, Search, Step, at_of, text_of
from adapters.fhir.client.server import FhirServer
from adapters.fhir.client.statements import source_scope, statements
from adapters.fhir.reading import Scope
from adapters.fhir.release import RESOURCE_TYPES
from api.sources.ledger import Key, Ledger, held
from api.sources.taking import Taking, high_water, taken
from twin_core.clock import Clock
from twin_core.errors import TwinError
from twin_core.identifiers import TWIN_SOURCE
from twin_core.inbox import Answer
from twin_core.settings import Settings

LOG = logging.getLogger("wardtwin.sources")
IN_STEP, SYNCING, FAILED, REFUSED = "in step", "syncing", "failed", "refused"
UNREACHABLE, RESTING, STOPPED, PARTLY = "unreachable", "resting", "stopped", "partly in step"

Work = Coroutine[Any, Any, None]


class KindSummary(msgspec.Struct, kw_only=True):
    """What one sync made of one resource type."""

    kind: str
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    deleted: int = 0
    pages: int = 0
    trouble: str = ""


class Summary(msgspec.Struct, kw_only=True):
    """What one sync of a source did."""

    source: str
    state: str
    reason: str = ""
    version: str = ""
    requests: int = 0
    seconds: float = 0.0
    kinds: list[KindSummary] = []
    not_there: list[str] = []
    """Types that the server does not have."""

    @property
    def is_clean(self) -> bool:
        """Whether everything was read and everything read was taken."""
        return self.state == IN_STEP and not any(kind.rejected for kind in self.kinds)


Report = Callable[[KindSummary, int | None], None]
"""Told after each page: what became of a type's resources so far, and how many there are."""


def no_report(kind: KindSummary, total: int | None) -> None:
    """For who does not follow a sync."""


class SourceSync:
    """Syncs one source; one at a time."""

    def __init__(
        self,
        server: FhirServer,
        ledger: Ledger,
        taking: Taking,
        settings: Settings,
        clock: Clock,
        report: Report = no_report,
    ) -> None:
        self.server, self.name = server, server.name
        self.source = server.settings
        self._ledger, self._taking, self._settings = ledger, taking, settings
        self._clock, self._report = clock, report
        self._one_by_one = asyncio.Lock()
        self._capability: Capability | None = None

    async def sync(self) -> Summary:
        """Read what changed since the last sync. What keeps it from it is said in the summary."""
        world = self.server.world
        began, asked = world.monotonic(), self.server.manners.requests
        summary = Summary(source=self.name, state=SYNCING)
        try:
            await self._begin()
            self.tell(SYNCING, "")
            await self._sync(summary)
            troubled = [kind.kind for kind in summary.kinds if kind.trouble]
            summary.state = PARTLY if troubled else IN_STEP
            summary.reason = f"not read whole: {', '.join(troubled)}" if troubled else ""
        except TwinError as error:
            summary.state, summary.reason = state_of(error), str(error)
        summary.requests = self.server.manners.requests - asked
        summary.seconds = round(world.monotonic() - began, 3)
        in_step = summary.state == IN_STEP
        synced = {"synced_at": text_of(self._clock.now())} if in_step else {}
        self.tell(summary.state, summary.reason, version=summary.version, **synced)
        return summary

    def tell(self, state: str, reason: str, **more: str) -> None:
        """Write down how the source is doing."""
        breaker = self.server.manners.breaker.state(self.server.world.monotonic())
        now = self._clock.now()
        told = {key: text for key, text in more.items() if text}
        self._ledger.tell(self.name, state, reason, now, os.getpid(), breaker=breaker, **told)

    async def _begin(self) -> None:
        known = {one.name: one.position for one in self._ledger.progress()}
        high = await high_water(self._taking, known.get(self.name, 0), self.server.world)
        self._ledger.begin(self.name, self.source.url, high)

    async def _sync(self, summary: Summary) -> None:
        capability = await self.server.capability(again=True)
        self._capability, summary.version = capability, capability.version
        release = await self.server.release()
        there = [
            kind
            for kind in self.source.types
            if kind in RESOURCE_TYPES[release]
            and (not capability.kinds or kind in capability.kinds)
        ]
        summary.not_there = [kind for kind in self.source.types if kind not in there]
        summary.kinds = [KindSummary(kind=kind) for kind in there]
        await self._in_turn([self._search(kind) for kind in summary.kinds])

    async def _in_turn(self, works: Sequence[Work]) -> None:
        """Work at several types at a time; what stops one for good stops all."""
        room = asyncio.Semaphore(self.source.concurrency)

        async def one(work: Work) -> None:
            async with room:
                await work

        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(one(work))
        except* TwinError as several:
            # One of them is enough to say, and the first is what began it.
            raise _first(several) from None

    async def _search(self, kind: KindSummary) -> None:
        what = f"search/{kind.kind}"
        known_as = self._capability.address if self._capability else ""
        search = Search(self.server, kind.kind, known_as=known_as)
        kept = self._ledger.checkpoint(self.name, what)
        at = None if kept is None else msgspec.json.decode(kept, type=Checkpoint)
        try:
            async for step in search.passed(at):
                await self._take(what, kind, step)
        except (Unreachable, Resting):
            raise
        except Unauthorized as error:
            kind.trouble = error.why
        except (Declined, SourceError) as error:
            kind.trouble = f"{error.what} {error.why}".strip()

    async def _take(self, what: str, kind: KindSummary, step: Step) -> None:
        """Make a page's entries durable, then its checkpoint."""
        fresh = await asyncio.to_thread(self._fresh, what, step.entries)
        scope = await self._scope()
        receipts = await asyncio.to_thread(
            statements, fresh, scope, self._settings.limits, f"fhir {self.source.url}"
        )
        answers = await taken(self._taking, receipts, self.server.world)
        counted = _counted(answers)
        kind.pages += 1
        kind.accepted += counted["accepted"]
        kind.duplicates += counted["duplicate"] + len(step.entries) - len(fresh)
        kind.rejected += counted["rejected"]
        await asyncio.to_thread(self._keep, what, kind, step, answers, counted)
        self._report(kind, step.total)

    async def _scope(self) -> Scope:
        address = self._capability.address if self._capability else ""
        release = await self.server.release()
        now, own = self._clock.now(), f"{TWIN_SOURCE}{self._ledger.store_id}"
        return source_scope(self.name, self.source, self._settings, release, now, (address,), own)

    def _fresh(self, what: str, entries: Sequence[PageEntry]) -> list[PageEntry]:
        """The entries that were not taken before, each version once."""
        keys = [_key(one) for one in entries]
        unseen = self._ledger.unseen(self.name, what, [key for key in keys if key is not None])
        fresh = []
        for one, key in zip(entries, keys, strict=True):
            if key is None or key in unseen:
                fresh.append(one)
                unseen -= {key} if key is not None else set()
        return fresh

    def _keep(
        self,
        what: str,
        kind: KindSummary,
        step: Step,
        answers: Sequence[Answer],
        counted: "Counter[str]",
    ) -> None:
        at = step.checkpoint
        overlap = timedelta(seconds=self.source.overlap_s)
        window = text_of(at_of(at.watermark) - overlap) if at.watermark else ""
        # A server that cannot tell what changed shows everything each time.
        window = "" if at.plain >= 2 or at.is_blind else window
        seen = []
        for one in step.entries:
            key, updated = _key(one), one.updated_at
            stamp = text_of(updated) if updated is not None else ""
            if key is not None and stamp >= window:
                seen.append((*key, stamp))
        self._ledger.keep(
            self.name,
            what,
            held(at),
            position=max((answer.position or 0 for answer in answers), default=0),
            seen=seen,
            forget_before=window,
            tallies={(kind.kind, outcome): number for outcome, number in counted.items()},
        )


def state_of(error: TwinError) -> str:
    """The state of a source that an error keeps from being in step."""
    if isinstance(error, Resting):
        return RESTING
    if isinstance(error, Unauthorized):
        return REFUSED
    return UNREACHABLE if isinstance(error, Unreachable) else FAILED


def pause_s(summary: Summary, interval_s: float, rest_s: float, chance: Random) -> float:
    """How long to wait before the next sync: no two sources in the same rhythm."""
    wait_s = interval_s if summary.state in (IN_STEP, PARTLY) else max(interval_s, 30.0)
    return max(wait_s * (0.9 + 0.2 * chance.random()), rest_s)


def _first(several: BaseExceptionGroup[TwinError]) -> TwinError:
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _key(one: PageEntry) -> Key | None:
    if not (one.kind and one.id and (one.version or one.updated)):
        return None
    # A server that was set up anew begins its version ids again, at other times.
    return f"{one.kind}/{one.id}", f"{one.version} {one.updated}"


def _counted(answers: Sequence[Answer]) -> "Counter[str]":
    return Counter(answer.status for answer in answers)
