"""The stream of changes over a real socket: snapshot, deltas, gaps, slow clients, the end."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.live import QUEUE, Client
from twin_core.twin import Twin


class Running:
    """A web server in a thread of its own, in front of a store."""

    def __init__(self, path: Path) -> None:
        self.twin = Twin.open(path)
        self.app = create_app(self.twin)
        config = uvicorn.Config(self.app, log_config=None, http="h11", ws="none")
        self.server = uvicorn.Server(config)
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

    def end(self) -> None:
        """End the streams, then the server, as the command line does."""
        self.loop.call_soon_threadsafe(self.app.state.live.end)
        self.server.should_exit = True

    def close(self) -> None:
        if self.thread.is_alive():
            self.end()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()
        self.socket.close()
        self.twin.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "live.duckdb")
    yield running
    running.close()


@contextlib.contextmanager
def watching(url: str) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """The events of a stream as (name, content)."""
    with httpx.stream("GET", f"{url}/v1/deltas", timeout=120, trust_env=False) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def send(url: str, raw: bytes) -> None:
    httpx.post(f"{url}/v1/hl7v2", content=raw, trust_env=False).raise_for_status()


def until_unit(
    events: Iterator[tuple[str, dict[str, Any]]], key: str, status: str = ""
) -> list[dict[str, Any]]:
    """The deltas up to the first that changes a unit, or that gives a bed of it the status."""
    deltas = []
    for name, content in events:
        assert name == "delta"
        deltas.append(content)
        changed = [unit for unit in content.get("units", []) if unit["key"] == key]
        if changed and (not status or status in [bed["status"] for bed in changed[0]["beds"]]):
            return deltas
    raise AssertionError("the stream ended")


def test_a_snapshot_comes_first_and_every_delta_follows_on(
    running: Running, heard: tuple[bytes, ...]
) -> None:
    with watching(running.url) as events:
        name, snapshot = next(events)
        assert (name, snapshot["units"]) == ("snapshot", [])
        send(running.url, heard[0])
        deltas = until_unit(events, "GEN/MED")
        send(running.url, heard[1])
        send(running.url, heard[2])
        # The bed may be named first and occupied later, where two batches carry the two messages.
        deltas += until_unit(events, "GEN/ICU", "occupied")
    sequence = snapshot["sequence"]
    for delta in deltas:
        assert delta["previous"] == sequence
        sequence = delta["sequence"]
    assert sequence > snapshot["sequence"]
    [bed] = [bed for unit in deltas[-1]["units"] for bed in unit["beds"] if unit["unit"] == "ICU"]
    assert bed["status"] == "occupied"


def test_who_connects_again_gets_everything_from_the_same_server(
    running: Running, heard: tuple[bytes, ...]
) -> None:
    with watching(running.url) as events:
        _, first = next(events)
    send(running.url, heard[0])
    running.twin.wait_applied()
    with watching(running.url) as events:
        _, second = next(events)
    assert second["instance"] == first["instance"]
    assert [unit["key"] for unit in second["units"]] == ["GEN/MED"]


def test_two_watchers_are_told_the_same(running: Running, heard: tuple[bytes, ...]) -> None:
    with watching(running.url) as one, watching(running.url) as other:
        next(one)
        next(other)
        send(running.url, heard[0])
        assert until_unit(one, "GEN/MED")[-1] == until_unit(other, "GEN/MED")[-1]


def test_a_delta_comes_even_when_nothing_happens(running: Running) -> None:
    with watching(running.url) as events:
        _, snapshot = next(events)
        _, delta = next(events)
    assert delta["clock"]["now"] > snapshot["clock"]["now"]


def test_the_streams_end_when_the_server_stops(running: Running) -> None:
    with watching(running.url) as events:
        next(events)
        began = time.monotonic()
        running.end()
        for _ in events:
            pass
        running.thread.join(timeout=60)
        assert time.monotonic() - began < 30


def test_clients_that_left_are_forgotten(running: Running, heard: tuple[bytes, ...]) -> None:
    with watching(running.url) as events:
        next(events)
        assert running.app.state.live.clients == 1
    deadline = time.monotonic() + 120
    while running.app.state.live.clients and time.monotonic() < deadline:
        send(running.url, heard[0])
        time.sleep(0.1)
    assert running.app.state.live.clients == 0


def test_a_client_that_does_not_read_is_told_to_ask_again_and_nothing_piles_up() -> None:
    async def neglected() -> list[bytes | None]:
        client = Client()
        for n in range(10 * QUEUE):
            client.offer(b"event: delta\ndata: %d\n\n" % n)
        assert client.lagging
        return [await client.next(), await client.next()]

    assert asyncio.run(neglected()) == [b"event: refetch\ndata: {}\n\n", None]
