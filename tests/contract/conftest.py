"""An application in front of a real store, and a few messages written by hand."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from twin_core.settings import FeedSettings, LimitSettings, Settings
from twin_core.twin import Twin

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SETTINGS = Settings(
    feeds={"adt": FeedSettings(time_zone="UTC")}, limits=LimitSettings(frame_bytes=20_000)
)


class StoppedClock:
    """A clock that stands still at noon."""

    def now(self) -> datetime:
        return NOON


class Caller:
    """Requests to an application whose lifespan runs, one after the other."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.runner = asyncio.Runner()
        self.lifespan = app.router.lifespan_context(app)
        self.runner.run(self._enter())

    async def _enter(self) -> None:
        await self.lifespan.__aenter__()
        transport = httpx.ASGITransport(app=self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def _leave(self) -> None:
        await self.http.aclose()
        await self.lifespan.__aexit__(None, None, None)

    def request(self, method: str, path: str, **sent: object) -> httpx.Response:
        return self.runner.run(self.http.request(method, path, **sent))

    def get(self, path: str, **sent: object) -> httpx.Response:
        return self.request("GET", path, **sent)

    def post(self, path: str, **sent: object) -> httpx.Response:
        return self.request("POST", path, **sent)

    def put(self, path: str, **sent: object) -> httpx.Response:
        return self.request("PUT", path, **sent)

    def delete(self, path: str, **sent: object) -> httpx.Response:
        return self.request("DELETE", path, **sent)

    def close(self) -> None:
        self.runner.run(self._leave())
        self.runner.close()


def adt(trigger: str, control: str, at: str, visit: str, place: str, kind: str = "I") -> bytes:
    """An ADT message of one patient per visit; `at` is a time of the day of 2 March 2026."""
    stamp = f"20260302{at.replace(':', '')}00+0000"
    pv1 = [""] * 46
    pv1[0], pv1[2], pv1[3], pv1[19] = "PV1", kind, place, f"{visit}^^^GEN^VN"
    pv1[44] = stamp if trigger in {"A01", "A04"} else ""
    pv1[45] = stamp if trigger == "A03" else ""
    return "\r".join(
        (
            rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||ADT^{trigger}|{control}|P|2.5.1",
            f"EVN|{trigger}|{stamp}",
            f"PID|1||P{visit}^^^GEN^MR||QUISENBERRY^ADA||19700101|F",
            "|".join(pv1),
        )
    ).encode()


HEARD = (
    adt("A01", "1", "08:00", "V1", "MED^1^1^GEN"),
    adt("A01", "2", "09:00", "V2", "MED^1^2^GEN"),
    adt("A02", "3", "10:00", "V2", "ICU^1^1^GEN"),
    adt("A03", "4", "11:00", "V1", "MED^1^1^GEN"),
    adt("A04", "5", "11:15", "V3", "ED^^^GEN", kind="E"),
)
BROKEN = adt("A01", "6", "11:20", "V4", "MED^1^3^GEN").replace(b"PID|", b"PXX|")


@pytest.fixture
def heard() -> tuple[bytes, ...]:
    """The messages that the store behind `api` has heard."""
    return HEARD


@pytest.fixture
def broken() -> bytes:
    """A message of patient QUISENBERRY that cannot be applied."""
    return BROKEN


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], Caller]]:
    """Any application, with its lifespan, until the test ends."""
    callers: list[Caller] = []

    def serving(app: FastAPI) -> Caller:
        callers.append(Caller(app))
        return callers[-1]

    yield serving
    for caller in callers:
        caller.close()


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Twin]:
    with Twin.open(tmp_path / "api.duckdb", settings=SETTINGS, clock=StoppedClock()) as twin:
        yield twin


@pytest.fixture
def fresh(twin: Twin) -> Iterator[Caller]:
    """An API in front of an empty store."""
    caller = Caller(create_app(twin))
    yield caller
    caller.close()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """An API in front of a store that heard the messages above; nothing may change it."""
    path = tmp_path_factory.mktemp("api") / "api.duckdb"
    with Twin.open(path, settings=SETTINGS, clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin, listeners=lambda: [{"feed": "adt", "address": "mllp"}]))
        for raw in (*HEARD, BROKEN):
            caller.post("/v1/hl7v2", content=raw)
        twin.wait_applied()
        yield caller
        caller.close()
