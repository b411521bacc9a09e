"""All sources of a running server: each is synced again and again, alone, until the server ends."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from adapters.fhir.client.world import World, real_world
from api.sources.hooks import Hooks
from api.sources.ledger import Ledger, ledger_path
from api.sources.opening import alone, connected, usable
from api.sources.status import store_id
from api.sources.syncing import FAILED, STOPPED, Report, SourceSync, Summary, no_report, pause_s
from api.sources.taking import Taking, TwinTaking
from twin_core.clock import Clock
from twin_core.errors import StoreBusy, TwinError
from twin_core.settings import Settings
from twin_core.twin import Twin

LOG = logging.getLogger("wardtwin.sources")
BUSY_PAUSE_S = 30.0


class Sources:
    """The sources that a server keeps the twin in step with."""

    def __init__(self, twin: Twin, world: World | None = None, hooks: Hooks | None = None) -> None:
        self._twin, self._world, self._hooks = twin, world or real_world(), hooks
        self._ledger: Ledger | None = None
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to keep in step. ConfigurationError for settings that name unusable files,
        StoreError for a ledger that cannot be used."""
        settings = self._twin.settings
        kept = [
            name
            for name, source in settings.sources.items()
            if source.interval_s or source.subscription
        ]
        if not kept:
            return
        for name in kept:
            usable(name, settings.sources[name])
        identity = await asyncio.to_thread(store_id, self._twin)
        path, key = ledger_path(self._twin.path), self._twin.key
        ledger = self._ledger = await asyncio.to_thread(Ledger, path, identity, key)
        for name in kept:
            wake = asyncio.Event()
            if self._hooks is not None:
                self._hooks.on_wake(name, wake.set)
            watching = kept_in_step(
                name,
                settings,
                ledger,
                TwinTaking(self._twin),
                self._twin.clock,
                self._world,
                wake=wake,
            )
            task = asyncio.create_task(watching, name=f"source {name}")
            task.add_done_callback(_ended)
            self._running.append(task)

    async def close(self) -> None:
        """Stop; what was read is kept, and the next server goes on from there."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._ledger is not None:
            self._ledger.close()


async def kept_in_step(
    name: str,
    settings: Settings,
    ledger: Ledger,
    taking: Taking,
    clock: Clock,
    world: World,
    *,
    report: Report = no_report,
    done: Callable[[Summary], None] = lambda summary: None,
    wake: asyncio.Event | None = None,
) -> None:
    """Sync a source again and again until cancelled; `wake` ends a pause."""
    wake = wake or asyncio.Event()
    source = settings.sources[name]
    while True:
        try:
            async with _synced_by_us(name, settings, ledger, taking, clock, world, report) as sync:
                while True:
                    summary = await sync.sync()
                    _log(summary)
                    done(summary)
                    now = world.monotonic()
                    rest_s = sync.server.manners.breaker.wait_s(now)
                    interval_s = source.interval_s or 60.0
                    pause = pause_s(summary, interval_s, rest_s, world.chance)
                    await _slept(world, pause, wake if not rest_s else asyncio.Event())
        except StoreBusy as error:
            LOG.info("source %s: %s", name, error.what)
        except TwinError as error:
            LOG.error("source %s waits: %s", name, error)
        # The source must outlive whatever one answer does to it: it is read again, and told of.
        except Exception as defect:
            LOG.error("source %s: a defect: %s", name, type(defect).__name__, exc_info=defect)
        await world.sleep(BUSY_PAUSE_S)


async def _slept(world: World, pause_s: float, wake: asyncio.Event) -> None:
    """Sleep until the pause is over or somebody wakes."""
    both = [asyncio.ensure_future(world.sleep(pause_s)), asyncio.ensure_future(wake.wait())]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in both:
            one.cancel()
    wake.clear()


@contextlib.asynccontextmanager
async def _synced_by_us(
    name: str,
    settings: Settings,
    ledger: Ledger,
    taking: Taking,
    clock: Clock,
    world: World,
    report: Report,
) -> AsyncIterator[SourceSync]:
    with alone(ledger.path.with_name(ledger.path.name.removesuffix(".sources")), name):
        async with connected(name, settings.sources[name], settings.limits, world) as server:
            sync = SourceSync(server, ledger, taking, settings, clock, report)
            ended = (STOPPED, "")
            try:
                yield sync
            except Exception as defect:
                ended = (FAILED, f"a defect: {type(defect).__name__}")
                raise
            finally:
                with contextlib.suppress(TwinError):
                    sync.tell(*ended)


def _log(summary: Summary) -> None:
    taken = sum(kind.accepted for kind in summary.kinds)
    deleted = sum(kind.deleted for kind in summary.kinds)
    if summary.reason:
        LOG.warning("source %s is %s: %s", summary.source, summary.state, summary.reason)
    elif taken or deleted:
        LOG.info("source %s: %d taken, %d deleted", summary.source, taken, deleted)


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("%s ended: %s", task.get_name(), type(error).__name__, exc_info=error)
