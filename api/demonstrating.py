"""A demo from its first message to its last: store, server, hospital, and the end of all three."""

import asyncio
import contextlib
import logging
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from api.commands import Call, address
from api.demo import (
    DemoPlan,
    DemoServer,
    check_demo,
    demo_settings,
    plan_check,
    plan_demo,
    run_demo,
    shown_whole,
)
from api.logs import log_to
from api.serving import Server
from api.simulations.preparing import kernel_prepared
from twin_core import Twin
from twin_core.clock import HospitalClock
from twin_core.errors import StoreError
from twin_core.settings import OutboundSettings, Settings

FED = "listener"
"""The name of the destination that `--feed-to` makes."""
STORE = Path("wardtwin-demo.duckdb")
BACKFILL_DAYS, CHECK_DAYS = 30.0, 10.0
_INBOX, _LEDGER, _SIMULATIONS = ".inbox", ".outbound", ".simulations"
_PARTS = (
    *("", ".wal"),
    *(half + part for half in (_INBOX, _LEDGER, _SIMULATIONS) for part in ("", "-wal", "-shm")),
)


def live(call: Call) -> int:
    """Back-fill and go on living until Ctrl-C or SIGTERM."""
    log_to(call.terminal.err, logging.WARNING)
    options = call.options
    plan = plan_demo(
        now=datetime.now(UTC),
        days=options.days or BACKFILL_DAYS,
        seed=options.seed,
        hospital=options.hospital,
    )
    settings = _settings(call, plan, call.path if "store.path" in call.loaded.origins else STORE)
    settings = shown_whole(settings, lambda: secrets.token_hex(32))
    if options.feed_to:
        settings = feeding(settings, options.feed_to)
    remove_demo(settings)
    # An interrupt that comes before the server listens for it ends a demo like any other.
    with contextlib.suppress(KeyboardInterrupt), kernel_prepared():
        asyncio.run(_live(call, plan, settings))
    return 0


def remove_demo(settings: Settings) -> None:
    """Remove the store of an earlier demo; raises StoreError where it is none of a demo."""
    path = settings.store.path
    if not path.exists():
        return
    with Twin.open(path, settings=settings, create=False) as twin:
        if not twin.is_demo():
            raise StoreError(
                f"{path} is not the store of a demo hospital.",
                why="A demo begins with an empty store and would remove this one.",
                do="Choose another store with --db.",
            )
    for part in _PARTS:
        Path(f"{path}{part}").unlink(missing_ok=True)


def _settings(call: Call, plan: DemoPlan, path: Path) -> Settings:
    settings = demo_settings(plan.model, call.settings)
    store = settings.store.model_copy(update={"path": path})
    return settings.model_copy(update={"store": store})


def feeding(settings: Settings, to: str) -> Settings:
    """The settings of a demo that also feeds a listener, with every message as it was received."""
    host, port = address(to)
    fed = {"host": host, "port": port, "form": "raw", "from": "start", "retry_longest_s": 5.0}
    listener = OutboundSettings.model_validate(fed)
    return settings.model_copy(update={"outbound": {**settings.outbound, FED: listener}})


async def _live(call: Call, plan: DemoPlan, settings: Settings) -> None:
    async with _started(plan, settings, until_asked=True) as (server, demo_server):
        feeding = asyncio.create_task(
            run_demo(plan, demo_server, call.terminal, speed=call.options.speed)
        )
        asked = asyncio.create_task(server.wait())
        await asyncio.wait({feeding, asked}, return_when=asyncio.FIRST_COMPLETED)
        for task in (feeding, asked):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding
        call.terminal.note("Stopping: answering what is under way, then closing the store.")


def check(call: Call) -> int:
    """Run a bounded demo; 1 where the store differs from the truth."""
    log_to(call.terminal.err, logging.WARNING)
    options = call.options
    plan = plan_check(days=options.days or CHECK_DAYS, seed=options.seed, hospital=options.hospital)
    with _place_for_a_check(call) as path:
        settings = _settings(call, plan, path)
        remove_demo(settings)
        return asyncio.run(_checked(call, plan, settings))


async def _checked(call: Call, plan: DemoPlan, settings: Settings) -> int:
    async with _started(plan, settings) as (_, demo_server):
        verdict = await check_demo(plan, demo_server, call.terminal)
    return 0 if verdict.equal else 1


@contextlib.contextmanager
def _place_for_a_check(call: Call) -> Iterator[Path]:
    if "store.path" in call.loaded.origins:
        yield call.path
    else:
        with tempfile.TemporaryDirectory(prefix="wardtwin-check-") as folder:
            yield Path(folder) / STORE


@contextlib.asynccontextmanager
async def _started(
    plan: DemoPlan, settings: Settings, *, until_asked: bool = False
) -> AsyncIterator[tuple[Server, DemoServer]]:
    clock = HospitalClock(plan.clock_starts, time.monotonic)
    server = Server(settings, clock=clock, demo=True)
    if until_asked:
        server.heed_signals()
    async with server:
        yield (
            server,
            DemoServer(
                twin=server.twin,
                clock=clock,
                mllp_host=settings.mllp.host,
                mllp_port=server.mllp_port,
                http_base_url=server.url,
            ),
        )
