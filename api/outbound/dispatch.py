"""All couriers of a server: started with it, woken by every batch, stopped before the store."""

import asyncio
import logging
from collections.abc import Callable
from random import Random

from api.outbound.courier import Courier
from api.outbound.ledger import Ledger, ledger_path
from api.outbound.message import Writer
from twin_core.errors import TwinError
from twin_core.twin import BatchApplied, Twin

LOG = logging.getLogger("wardtwin.outbound")

STORE_ID = "SELECT value FROM core.meta WHERE key = 'store_id'"


def opened_ledger(twin: Twin) -> Ledger:
    """The ledger of a store, made where there is none. StoreMismatch for another store's."""
    [row] = twin.query(STORE_ID)
    return Ledger(ledger_path(twin.path), str(row["value"]), twin.key)


class Dispatch:
    """The couriers of every configured destination."""

    def __init__(self, twin: Twin, chance: Random) -> None:
        self._twin, self._chance = twin, chance
        self._ledger: Ledger | None = None
        self._couriers: list[Courier] = []
        self._running: list[asyncio.Task[None]] = []
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Start feeding. ConfigurationError or FeedError for settings that cannot be used,
        StoreError for a ledger that cannot."""
        destinations = self._twin.settings.outbound
        if not destinations:
            return
        [row] = await asyncio.to_thread(self._twin.query, STORE_ID)
        writers = {
            name: Writer(name, settings, str(row["value"]))
            for name, settings in destinations.items()
        }
        self._ledger = await asyncio.to_thread(opened_ledger, self._twin)
        try:
            for name, writer in writers.items():
                chance = Random(self._chance.random())  # noqa: S311  (jitter)
                settings = destinations[name]
                self._couriers.append(
                    Courier(name, settings, self._twin, self._ledger, writer, chance)
                )
        except TwinError:
            self._ledger.close()
            raise
        self._running = [
            asyncio.create_task(courier.run(), name=f"outbound {courier.name}")
            for courier in self._couriers
        ]
        for task in self._running:
            task.add_done_callback(_ended)
        loop = asyncio.get_running_loop()

        def news(batch: BatchApplied) -> None:
            loop.call_soon_threadsafe(self._wake)

        self._unsubscribe = self._twin.subscribe(news)

    async def close(self) -> None:
        """Stop feeding; where each destination stands is written down."""
        self._unsubscribe()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._ledger is not None:
            self._ledger.close()

    def _wake(self) -> None:
        for courier in self._couriers:
            courier.wake.set()


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("%s ended: %s", task.get_name(), type(error).__name__, exc_info=error)
