"""The API and the board as one ASGI application in front of a twin."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from api import openapi, problems
from api.access.control import AccessControl
from api.access.gate import Gate, refused_before
from api.access.provider import Provider
from api.alerting import AlertDesk
from api.audit.opening import open_ledger
from api.audit.recording import Recorder
from api.audit.touched import Tracing
from api.audit.verifying import Verification
from api.board import Composer
from api.described import MODELS
from api.feeds import Feeds
from api.figures import Strip
from api.guard import Guard
from api.lately import LatelyKept
from api.live import LiveBoard
from api.research import ResearchDesk, research_desk
from api.routes import access as access_routes
from api.routes import (
    alerts,
    appointments,
    deltas,
    encounters,
    feeds,
    fhir,
    findings,
    health,
    hooks,
    intake,
    kpis,
    lately,
    ledger_pages,
    messages,
    next_pages,
    observations,
    outbound,
    pages,
    past,
    saved_queries,
    simulations,
    sql,
    state,
    views,
    visits,
    watch_pages,
    workbench,
    workbench_queries,
)
from api.routes.asked import only_known_parameters
from api.simulations.desk import opened_desk
from api.web.reader import Reading
from api.web.rendering import error_page
from twin_core.audit import Ledger
from twin_core.twin import Twin

COMPRESSED_FROM_BYTES = 1024
_NO_ORIGINS: Mapping[str, str] = {}
_QUESTIONS = (
    state,
    encounters,
    appointments,
    findings,
    observations,
    kpis,
    lately,
    alerts,
    messages,
    feeds,
    outbound,
    intake,
    sql,
    saved_queries,
    simulations,
    views,
    deltas,
)
"""Routes that refuse a parameter they do not know."""
_PAGES_AND_DOORS = (
    access_routes,
    health,
    hooks,
    pages,
    past,
    watch_pages,
    visits,
    next_pages,
    workbench,
    workbench_queries,
    ledger_pages,
)
"""Pages and doors, which people and other systems may ask with parameters of their own."""


def create_app(
    twin: Twin,
    *,
    listeners: Callable[[], list[dict[str, Any]]] = lambda: [],
    all_feeds: Feeds | None = None,
    fhir_router: APIRouter | None = None,
    hosts: Collection[str] = (),
    ledger: Ledger | None = None,
    access: AccessControl | None = None,
    origins: Mapping[str, str] = _NO_ORIGINS,
    research: ResearchDesk | None = None,
) -> FastAPI:
    """The application; its lifespan follows the twin, which the caller opens and closes.

    `listeners` tells which feeds are being listened to (`feed`, `address`, `connections`),
    `all_feeds` how every feed is doing, and `hosts` which Host names are served besides loopback
    ones. `app.state.live.end()` ends the open event streams: call it before the web server is asked
    to stop, which waits for them. Without a `ledger`, the application opens that of the store;
    without `access`, it lets in whom the settings say: this machine, where they say nothing.
    `origins` says where each setting came from, for the page that shows them.
    """
    version = _version()
    composer = Composer(twin, instance=secrets.token_hex(8), version=version, listeners=listeners)

    # FastAPI's own documentation pages would load scripts from elsewhere; `pages` has ours.
    app = FastAPI(
        title="wardtwin",
        version=version,
        lifespan=partial(_lifespan, twin, ledger, composer),
        docs_url=None,
        redoc_url=None,
    )
    app.state.twin = twin
    app.state.tracing = Tracing()
    settings = twin.settings.access
    if access is None and settings is not None:
        access = AccessControl(settings, twin.path, key=twin.key)
    app.state.access = access
    app.state.provider = Provider(access) if access and access.settings.client_id else None
    if settings is not None:
        hosts = {*hosts, *settings.hosts, twin.settings.http.host}
    app.state.lately = LatelyKept(twin)
    app.state.research = research or research_desk(twin)
    app.state.feeds = all_feeds or Feeds(twin)
    app.state.origins = origins
    problems.install(app, error_page)
    _include(app, fhir_router or fhir.fhir_router(twin))
    openapi.install(app, MODELS)
    app.add_middleware(Recorder)
    app.add_middleware(Gate)
    app.add_middleware(Reading)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM_BYTES, compresslevel=5)
    app.add_middleware(Guard, hosts=hosts, as_page=error_page, refused=refused_before)
    return app


@asynccontextmanager
async def _lifespan(
    twin: Twin, ledger: Ledger | None, composer: Composer, app: FastAPI
) -> AsyncIterator[None]:
    """Follow the twin while the application runs; a ledger that is opened here is closed here."""
    app.state.ledger = ledger or open_ledger(twin.settings.audit, twin.path, twin.key)
    live = LiveBoard(twin, composer, Strip(twin), app.state.lately.prepare)
    app.state.live = live
    app.state.verification = Verification(app.state.ledger, twin.settings.audit)
    app.state.alerts = AlertDesk(twin)
    app.state.simulations = opened_desk(twin)
    await live.start()
    await app.state.alerts.start()
    try:
        yield
    finally:
        app.state.lately.hurry()
        await app.state.alerts.stop()
        await live.stop()
        app.state.research.close()
        app.state.simulations.end_streams()
        await asyncio.to_thread(app.state.simulations.close)
        if ledger is None:
            app.state.ledger.close()


def _include(app: FastAPI, fhir_router: APIRouter) -> None:
    for module in _QUESTIONS:
        app.include_router(module.router, dependencies=[Depends(only_known_parameters)])
    for module in _PAGES_AND_DOORS:
        app.include_router(module.router)
    app.include_router(fhir_router)
    app.mount("/static", pages.static_files(), name="static")


def _version() -> str:
    try:
        return installed_version("wardtwin")
    except PackageNotFoundError:
        return "0+source"
