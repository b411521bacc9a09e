"""Streams over a real socket end soon after whoever opened them may not watch any more."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from api.access import standing
from api.access.control import AccessControl
from api.access.standing import answered_while
from api.app import create_app
from tests.contract import issuer as issuing
from twin_core.settings import AccessSettings, Settings
from twin_core.twin import Twin

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACCESS = AccessSettings(issuer=issuing.ISSUER, audience=issuing.AUDIENCE, client_id="board")
STREAMS = ("/v1/deltas", "/v1/alerts/stream")
LONGEST_S = 180


class Movable:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


class Hospital:
    """A web server with locks, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.clock, self.issuer = Movable(), issuing.Issuer(NOON.timestamp())
        self.twin = Twin.open(path, settings=Settings(access=ACCESS))
        self.control = AccessControl(ACCESS, path, clock=self.clock, fetch=self.issuer.fetch)
        self.app = create_app(self.twin, access=self.control)
        self.server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, ws="none"))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            runner.run(self.server.serve(sockets=[self.socket]))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.app.state.live.end)
        self.server.should_exit = True
        self.thread.join(timeout=LONGEST_S)
        self.socket.close()
        self.twin.close()


class Watcher:
    """A client of a stream; it notes when the stream has ended, and how."""

    def __init__(self, url: str, **headers: str) -> None:
        self.began, self.ended = threading.Event(), threading.Event()
        self.events: list[str] = []
        self.status = 0
        thread = threading.Thread(target=self._watch, args=(url, headers), daemon=True)
        thread.start()
        assert self.began.wait(LONGEST_S)

    def _watch(self, url: str, headers: dict[str, str]) -> None:
        timeout = httpx.Timeout(LONGEST_S)
        with httpx.stream("GET", url, headers=headers, timeout=timeout, trust_env=False) as answer:
            self.status = answer.status_code
            for line in answer.iter_lines():
                self.events += [line.removeprefix("event: ")] if line.startswith("event: ") else []
                if self.events:
                    self.began.set()
            self.began.set()
        # Reached only where the answer was whole: httpx raises for one that broke off.
        self.ended.set()


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    hospital = Hospital(tmp_path_factory.mktemp("streams") / "w.duckdb")
    yield hospital
    hospital.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_streams_end_with_what_opened_them_and_others_go_on(hospital, monkeypatch):
    monkeypatch.setattr(standing, "ASKED_AGAIN_S", 0.05)
    store, soon = hospital.control.store, NOON + timedelta(minutes=10)
    revoked, revoked_key = store.create("revoked", ("operations",))
    lasting_id, lasting = store.create("lasting", ("operations",))
    late = store.create("late", ("operations",), expires_at=soon)[1]
    token = hospital.issuer.token(roles=["operations"], exp=soon.timestamp())
    with httpx.Client(base_url=hospital.url, trust_env=False) as browser:
        browser.post("/login", data={"key": lasting, "next": "/"})
        cookie = f"wardtwin={browser.cookies['wardtwin']}"
    opened = {
        "revoked": bearer(revoked_key),
        "lasting": bearer(lasting),
        "late": bearer(late),
        "token": bearer(token),
        "signed out": {"Cookie": cookie},
    }
    watchers = {
        (who, path): Watcher(f"{hospital.url}{path}", **headers)
        for who, headers in opened.items()
        for path in STREAMS
    }
    assert {watcher.status for watcher in watchers.values()} == {200}

    def ended(who: str) -> None:
        for path in STREAMS:
            assert watchers[who, path].ended.wait(LONGEST_S), (who, path)
            assert watchers[who, path].events[-1] == "refetch"

    store.revoke(revoked)
    ended("revoked")
    hospital.control.sessions.end(cookie.partition("=")[2])
    ended("signed out")
    hospital.clock.at = soon + timedelta(minutes=5)
    ended("late")
    ended("token")
    for path in STREAMS:
        assert not watchers["lasting", path].ended.is_set()
        assert "refetch" not in watchers["lasting", path].events
    store.revoke(lasting_id)
    ended("lasting")


@pytest.mark.parametrize(
    ("kind", "is_whole"),
    [("text/event-stream", True), ("x/y", None), ("application/fhir+ndjson", False)],
)
def test_events_end_whole_files_break_off_and_short_answers_are_left_alone(
    kind, is_whole, monkeypatch
):
    monkeypatch.setattr(standing, "ASKED_AGAIN_S", 0.0)
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "headers": [(b"content-type", kind.encode())]})
        for _ in range(50):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.001)
        await send({"type": "http.response.body", "body": b"end"})

    async def send(message):
        sent.append(message)

    async def still():
        return len(sent) < 3

    async def answering():
        await answered_while(still, app, {}, None, send)
        current = asyncio.current_task()
        return current is not None and current.cancelling()

    assert asyncio.run(answering()) == 0
    whole = [
        one for one in sent if one["type"] == "http.response.body" and not one.get("more_body")
    ]
    if is_whole is None:
        assert sent[-1]["body"] == b"end"
    else:
        assert len(sent) < 50
        assert len(whole) == int(is_whole)
        assert b"end" not in [one.get("body") for one in sent]


def test_a_server_that_is_stopped_cancels_an_answer_as_ever():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "headers": []})
        await asyncio.sleep(LONGEST_S)

    async def send(message):
        task.cancel()

    async def still():
        return True

    async def run():
        global task
        task = asyncio.ensure_future(answered_while(still, app, {}, None, send))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
