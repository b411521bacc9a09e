"""One source read until the twin is in step with it, from wherever the last sync was cut off."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import msgspec

from adapters.fhir.client.faults import (
    Declined,
    Resting,
    SourceError,
    Unauthorized,
    Unreachable,
)
from adapters.fhir.client.search import Search, text_of
from adapters.fhir.client.server import FhirServer
from adapters.fhir.release import RESOURCE_TYPES
from api.sources.deleting import Deleting
from api.sources.exporting import Exporting
from api.sources.intake import KindSummary, SourceIntake
from api.sources.ledger import Ledger
from api.sources.taking import Taking, high_water
from twin_core.clock import Clock
from twin_core.errors import TwinError
from twin_core.settings import Settings

LOG = logging.getLogger("wardtwin.sources")
IN_STEP, SYNCING, FAILED, REFUSED = "in step", "syncing", "failed", "refused"
UNREACHABLE, RESTING, STOPPED, PARTLY = "unreachable", "resting", "stopped", "partly in step"

Work = Callable[[KindSummary], Awaitable[None]]


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


def logged(said: str) -> None:
    """For who says it to nobody."""
    LOG.info("%s", said)


class SourceSync:
    """Syncs one source."""

    def __init__(
        self,
        server: FhirServer,
        ledger: Ledger,
        taking: Taking,
        settings: Settings,
        clock: Clock,
        report: Report = no_report,
        say: Callable[[str], None] = logged,
    ) -> None:
        """`say` tells whoever waits how far an export is; where nobody does, the log has it."""
        self.server, self.name = server, server.name
        self._intake = SourceIntake(server, ledger, taking, settings, clock)
        self._exporting = Exporting(self._intake, self._say)
        self._ledger, self._clock, self._report, self._tell = ledger, clock, report, say

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

    def _say(self, said: str) -> None:
        if said:
            self._tell(f"source {self.name}: {said}")
            self.tell(SYNCING, said)

    async def _begin(self) -> None:
        known = {one.name: one.position for one in self._ledger.progress()}
        high = await high_water(self._intake.taking, known.get(self.name, 0), self.server.world)
        self._ledger.begin(self.name, self.server.settings.url, high)

    async def _sync(self, summary: Summary) -> None:
        capability, server_time = await self.server.capability_now()
        self._intake.capability, summary.version = capability, capability.version
        release = await self.server.release()
        wanted, listed = self.server.settings.types, capability.kinds
        known = [KindSummary(kind=kind) for kind in wanted if kind in RESOURCE_TYPES[release]]
        # What is searched is listed; what is exported often is not.
        summary.kinds = [kind for kind in known if not listed or kind.kind in listed]
        if await self._exported(summary, known):
            return
        there = {kind.kind for kind in summary.kinds}
        summary.not_there = [kind for kind in wanted if kind not in there]
        deleting = Deleting(self._intake)
        deleting.begin(summary.kinds, server_time)
        await self._in_turn(summary.kinds, self._search)
        await self._in_turn(summary.kinds, deleting.find)

    async def _exported(self, summary: Summary, known: list[KindSummary]) -> bool:
        """Read by export, where the source is; whether nothing more is to be read."""
        method, state = self.server.settings.method, self._exporting.state()
        was_exported = state is not None and bool(state.watermark) and not state.status_url
        if method == "search" or (method == "bulk then search" and was_exported):
            return False
        if method == "bulk":
            summary.kinds = known
        ended = await self._exporting.run(known)
        if method == "bulk":
            return True
        self._exporting.begin_searches(ended, summary.kinds)
        return False

    async def _in_turn(self, kinds: Sequence[KindSummary], work: Work) -> None:
        """Work at several types at a time; what stops one for good stops all."""
        room = asyncio.Semaphore(self.server.settings.concurrency)

        async def one(kind: KindSummary) -> None:
            async with room:
                await self._told(kind, work)

        try:
            async with asyncio.TaskGroup() as group:
                for kind in kinds:
                    group.create_task(one(kind))
        except* TwinError as several:
            # One of them is enough to say, and the first is what began it.
            raise _first(several) from None

    async def _told(self, kind: KindSummary, work: Work) -> None:
        """What stands in the way of one type only is its own trouble."""
        try:
            await work(kind)
        except (Unreachable, Resting):
            raise
        except Unauthorized as error:
            kind.trouble = error.why
        except (Declined, SourceError) as error:
            kind.trouble = f"{error.what} {error.why}".strip()

    async def _search(self, kind: KindSummary) -> None:
        intake, what = self._intake, f"search/{kind.kind}"
        search = Search(self.server, kind.kind, known_as=intake.known_as)
        async for step in search.passed(intake.checkpoint(what)):
            await intake.take(what, kind, step)
            self._report(kind, step.total)


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
