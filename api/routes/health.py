"""`/health/live`, `/health/ready` and `/metrics`: whether the twin is well."""

import asyncio
import shutil

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.exposition import MEDIA_TYPE, exposition
from api.metrics import measurements
from api.openapi import answers, reply
from api.routes.asked import AskedTwin
from twin_core.errors import TwinError
from twin_core.twin import Twin

router = APIRouter(tags=["health"])

LONGEST_LAG_S = 60.0
"""A message older than this and still not applied: what is shown is not the hospital's present."""
LEAST_FREE_BYTES = 256 * 1024 * 1024


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must be well, and what was found."""

    name: str
    ok: bool
    found: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server can do its work, and what was looked at."""

    ok: bool
    checks: list[Check]


@router.get(
    "/health/live",
    summary="Whether the process answers",
    responses=answers(Health, "It does"),
)
async def live() -> Response:
    """Answers as long as the process does; asks nothing of the store."""
    return reply(Health(ok=True, checks=[]))


@router.get(
    "/health/ready",
    summary="Whether the twin applies what it takes in",
    responses={**answers(Health, "It does"), **answers(Health, "It does not", status=503)},
)
async def ready(twin: AskedTwin) -> Response:
    """The store answers, messages are applied soon after they came, and the disk has room."""
    checks = await asyncio.to_thread(_checks, twin)
    ok = all(check.ok for check in checks)
    return reply(Health(ok=ok, checks=checks), 200 if ok else 503)


@router.get("/metrics", summary="Measurements for Prometheus", response_class=Response)
async def metrics(request: Request, twin: AskedTwin) -> Response:
    """Counts, lag and timings in the Prometheus text format."""
    live_board = request.app.state.live
    measured = await asyncio.to_thread(
        measurements,
        twin,
        version=request.app.version,
        clients=live_board.clients,
        compose_seconds=live_board.compose_seconds,
        feeds=request.app.state.feeds.reports,
    )
    return Response(exposition(measured), media_type=MEDIA_TYPE)


def _checks(twin: Twin) -> list[Check]:
    return [_store(twin), _projection(twin), _disk(twin)]


def _store(twin: Twin) -> Check:
    try:
        twin.query("SELECT 1 AS one")
    except TwinError as error:
        return Check(name="store", ok=False, found=error.what)
    return Check(name="store", ok=True, found="answers")


def _projection(twin: Twin) -> Check:
    failure = twin.failure()
    lag = twin.lag_seconds()
    return Check(
        name="projection",
        ok=failure is None and lag < LONGEST_LAG_S,
        found=failure or f"{lag:.1f} s behind",
    )


def _disk(twin: Twin) -> Check:
    free = shutil.disk_usage(twin.path.parent).free
    return Check(name="disk", ok=free > LEAST_FREE_BYTES, found=f"{free // 2**20} MiB free")
