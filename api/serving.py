"""The server: one Twin, its MLLP listener, its API and board, and its operator socket.

Everything starts before the first message is taken, and stops in the opposite order: no new
messages, answers to those under way, the projection brought up to date, the store closed.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from random import Random
from types import TracebackType
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from adapters.hl7v2 import ListenerStatus
from api.alerting import AlertDesk
from api.app import create_app
from api.audit.opening import open_ledger
from api.audit.operating import served
from api.collector import calm_collector
from api.commands import Call
from api.feeds import Feeds
from api.holder import socket_path
from api.listening import Listeners, ListenersHere, ListeningProcess
from api.logs import log_to
from api.operator import create_operator, listen
from api.outbound.dispatch import Dispatch
from api.replica import Replica
from api.research import SqlDesk, research_desk
from api.retaining import Retaining
from api.securing import http_context
from api.sources.hooks import Hooks
from api.sources.watch import Sources
from api.translating import DEFAULT_FEED
from api.watching import folder_feeds
from twin_core import Twin
from twin_core.audit import Ledger
from twin_core.clock import Clock
from twin_core.errors import FeedError, StoreError
from twin_core.kpi.alerting import Alert
from twin_core.settings import Settings
from twin_core.store.opening import inbox_path
from twin_core.twin import BatchApplied

HEAVIEST_HEADERS = 64 * 1024
KEEP_ALIVE_S = 30
FAREWELL_S = 2
"""How long open requests (a board's event stream, for one) get to end by themselves."""
CATCH_UP_S = 60.0

log = logging.getLogger(__name__)


class Server:
    """A running wardtwin: `async with Server(settings) as server: await server.wait()`."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        demo: bool = False,
        chance: Random | None = None,
        origins: Mapping[str, str] | None = None,
    ):
        self.origins = origins or {}
        self.settings, self.clock, self.demo = settings, clock, demo
        self.chance = chance or Random()  # noqa: S311  (pauses between attempts)
        self.stopping = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self._listeners: Listeners | None = None
        self.ports: dict[str, int] = {}
        """The port of each feed's listener, once it listens."""

    async def start(self) -> None:
        """Open the store and every door to it.

        Raises ConfigurationError for settings that name files or folders that cannot be used,
        FeedError for a port that is in use, StoreError for a store that cannot be opened.
        """
        try:
            self.twin = await self._opened_twin()
            await self._feeding()
            replica = Replica(self.twin)
            self._stack.callback(replica.close)
            folders = [] if self.demo else folder_feeds(self.twin, self.settings)
            feeds = Feeds(
                self.twin,
                self._statuses,
                lambda: self.ports,
                lambda: {folder.feed: folder.status() for folder in folders},
            )
            ledger = await self._opened_ledger()
            research = research_desk(self.twin)
            self._stack.callback(research.close)
            asked = SqlDesk(replica.query, research)
            app = create_app(
                self.twin,
                listeners=self._board_feeds,
                all_feeds=feeds,
                ledger=ledger,
                origins=self.origins,
                research=research,
            )
            operator = create_operator(
                self.twin, asked.ask, feeds.reports, _acknowledging(app), ledger
            )
            await self._serve(operator, self._operator_socket())
            http = _bound(self.settings.http.host, self.settings.http.port)
            self.http_port: int = http.getsockname()[1]
            app.state.hooks = hooks = Hooks(self.twin)
            await self._serve(app, http, self._tls())
            # Event streams never end by themselves, and the web server would wait for them.
            self._stack.callback(lambda: app.state.live.end())
            self._stack.callback(lambda: app.state.alerts.end())
            self._stack.callback(lambda: app.state.simulations.end_streams())
            await self._listening()
            for folder in folders:
                folder.start()
                self._stack.push_async_callback(asyncio.to_thread, folder.close)
            retaining = Retaining(self.twin, ledger)
            retaining.start()
            self._stack.push_async_callback(retaining.close)
            if not self.demo:
                await self._reading_sources(hooks)
            calm_collector()
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Close every door, answer what is under way, apply what was taken in, close the store."""
        self.stopping.set()
        await self._stack.aclose()

    def heed_signals(self) -> None:
        """Take SIGINT and SIGTERM as a request to end, from before the first door is open."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._asked_to_stop, number)

    async def wait(self) -> None:
        """Return when somebody asked for the end: a heeded signal or `stopping.set()`."""
        await self.stopping.wait()

    @property
    def url(self) -> str:
        """Where the board is."""
        scheme = "https" if self.settings.http.tls else "http"
        return f"{scheme}://{self.settings.http.host}:{self.http_port}/"

    async def __aenter__(self) -> "Server":
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _asked_to_stop(self, number: signal.Signals) -> None:
        # Asked a second time, the process ends at once: acknowledged messages are on disk.
        asyncio.get_running_loop().remove_signal_handler(number)
        self.stopping.set()

    async def _opened_twin(self) -> Twin:
        path = self.settings.store.path
        twin = await asyncio.to_thread(
            Twin.open, path, settings=self.settings, clock=self.clock, demo=self.demo
        )
        self._stack.push_async_callback(asyncio.to_thread, _caught_up_and_closed, twin)
        twin.give_way()
        if twin.is_demo() and not self.demo:
            raise StoreError(
                f"{path} is the store of a demo hospital.",
                why="Its patients are invented and its clock is not the real one.",
                do="Choose another store with --db, or run `wardtwin demo`.",
            )
        if self.demo and not twin.is_demo():
            raise StoreError(
                f"{path} is not the store of a demo hospital.",
                why="A demo would mix invented patients with those who are in it.",
                do="Choose another store with --db.",
            )
        return twin

    async def _opened_ledger(self) -> Ledger:
        """The ledger of the store, which hears first that somebody began to serve it, and how."""
        settings = self.settings
        ledger = await asyncio.to_thread(
            open_ledger, settings.audit, settings.store.path, self.twin.key
        )
        self._stack.push_async_callback(asyncio.to_thread, ledger.close)
        await asyncio.to_thread(ledger.record, served(settings))
        return ledger

    async def _feeding(self) -> None:
        """Feed other systems, before the first message can come in."""
        dispatch = Dispatch(self.twin, self.chance)
        self._stack.push_async_callback(dispatch.close)
        await dispatch.start()

    async def _reading_sources(self, hooks: Hooks) -> None:
        """Keep in step with FHIR servers, once every other door is open."""
        self._stack.push_async_callback(hooks.close)
        await hooks.start()
        sources = Sources(self.twin, hooks=hooks)
        self._stack.push_async_callback(sources.close)
        await sources.start()

    def _operator_socket(self) -> socket.socket:
        path = socket_path(self.settings.store.path)
        listening = listen(path)
        self._stack.callback(path.unlink, missing_ok=True)
        return listening

    def _tls(self) -> ssl.SSLContext | None:
        tls = self.settings.http.tls
        return http_context(tls) if tls is not None else None

    async def _serve(
        self, app: ASGIApp, listening: socket.socket, tls: ssl.SSLContext | None = None
    ) -> None:
        await self._stack.enter_async_context(serving(app, listening, tls))

    async def _listening(self) -> None:
        listeners: Listeners
        if self.clock is None:
            inbox = inbox_path(self.settings.store.path)
            listeners = ListeningProcess(self.settings, inbox, self.twin.position(), self.twin.key)
        else:
            # A clock of one's own cannot be shared with another process.
            listeners = ListenersHere(self.twin)
        # Listeners are told of batches until they have closed: deferred answers wait for them.
        loop = asyncio.get_running_loop()
        self._stack.callback(self.twin.subscribe(lambda batch: _tell(loop, listeners, batch)))
        await listeners.start()
        self._stack.push_async_callback(listeners.close)
        listeners.applied(self.twin.position())
        self._listeners = listeners
        self.ports = listeners.ports
        self.mllp_port = self.ports[DEFAULT_FEED]

    def _statuses(self) -> dict[str, ListenerStatus]:
        return self._listeners.statuses() if self._listeners is not None else {}

    def _board_feeds(self) -> list[dict[str, Any]]:
        listeners = self._listeners
        if listeners is None:
            return []
        hosts = self.settings.listeners()
        return [
            {
                "feed": feed,
                "address": f"{hosts[feed].host}:{listeners.ports[feed]}",
                "connections": status.connections,
            }
            for feed, status in listeners.statuses().items()
        ]


def _tell(loop: asyncio.AbstractEventLoop, listeners: Listeners, batch: BatchApplied) -> None:
    # Called on the projecting thread, perhaps while the server's loop is ending.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(listeners.applied, batch.position, batch.not_applied)


def _acknowledging(app: FastAPI) -> Callable[[str, str], Alert]:
    """Acknowledge from another thread: who follows the alerts is told in the loop of the server."""
    loop = asyncio.get_running_loop()

    def acknowledge(alert_id: str, by: str) -> Alert:
        desk: AlertDesk = app.state.alerts
        return asyncio.run_coroutine_threadsafe(desk.acknowledge(alert_id, by), loop).result()

    return acknowledge


def serve(call: Call) -> int:
    """Serve until SIGINT or SIGTERM."""
    log_to(call.terminal.err)
    try:
        asyncio.run(_serve(call))
    except KeyboardInterrupt:
        # The interrupt came before the server could listen for it.
        return 0
    return 0


async def _serve(call: Call) -> None:
    server = Server(call.settings, origins=call.loaded.origins)
    server.heed_signals()
    async with server:
        _announce(call, server)
        await server.wait()
        call.terminal.note("Stopping: answering what is under way, then closing the store.")


def _announce(call: Call, server: Server) -> None:
    if call.terminal.as_json:
        call.terminal.json_line(
            {
                "store": str(call.path),
                "mllp_port": server.mllp_port,
                "feeds": server.ports,
                "http_port": server.http_port,
                "url": server.url,
            }
        )
    else:
        call.terminal.line(f"Store  {call.path}")
        for feed, mllp in call.settings.listeners().items():
            secured = " with TLS" if mllp.tls else ""
            call.terminal.line(f"MLLP   {mllp.host}:{server.ports[feed]} for {feed}{secured}")
        call.terminal.line(f"Board  {server.url}")
        call.terminal.line(f"API    {server.url}docs")
    call.terminal.out.flush()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise FeedError(
            f"Port {port} on {host} cannot be listened on.",
            why=f"{os.strerror(error.errno) if error.errno else error}.",
            do="End the program that uses it, or choose another with --http-port.",
        ) from error


class _Uvicorn(uvicorn.Server):
    """A web server that leaves signals to the one who runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, listening: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Serve an application on a bound socket, over TLS where a context is given."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http="h11",
        ws="none",
        h11_max_incomplete_event_size=HEAVIEST_HEADERS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=FAREWELL_S,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
    server = _Uvicorn(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            if running.done():
                await running
                raise StoreError("The web server ended before it began.", do="See the log.")
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await running
        listening.close()


def _caught_up_and_closed(twin: Twin) -> None:
    try:
        twin.wait_applied(timeout=CATCH_UP_S)
    except (StoreError, TimeoutError):
        # What is not applied yet is in the inbox, and will be at the next start.
        log.warning("the store was closed before everything taken in had been applied")
    finally:
        twin.close()
