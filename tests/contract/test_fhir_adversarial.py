"""Hostile FHIR requests: the shared cases under /fhir, and a body that never ends.

Who may ask (401, 403) and what is audited belong to access control, which is not here yet.
"""

import asyncio
import contextlib
import json
import resource
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.routes.fhir import fhir_router
from twin_core import Twin

ADVERSARIAL = Path(__file__).parents[3] / "shared" / "adversarial"
CANARIES = ("CANARY", "1944", "169.254", "passwd", "lol", "female", "'1'='1")
"""Values in the bodies of the cases, which no answer may repeat."""
GROUPS = {"parsing", "fhir", "search"}


def cases():
    if not ADVERSARIAL.is_dir():
        return []
    listed = json.loads((ADVERSARIAL / "cases.json").read_text())["cases"]
    return [
        case
        for case in listed
        if case["proto"] == "http"
        and case["group"] in GROUPS
        and case["request"]["path"].startswith("/fhir")
    ]


def body_of(case):
    recipe = case.get("gen", {})
    if "entries" in recipe:
        entry = {"resource": {"resourceType": "Patient", "id": "a"}}
        entries = [entry] * recipe["entries"]
        return json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}).encode()
    if recipe:
        repeated = recipe["repeat"] * recipe["count"]
        return (recipe.get("prefix", "") + repeated + recipe.get("then", "")).encode()
    if "body_file" in case:
        return (ADVERSARIAL / case["body_file"]).read_bytes()
    return b""


@pytest.fixture
def twin(tmp_path):
    with Twin.open(tmp_path / "twin.duckdb") as opened:
        yield opened


@contextlib.contextmanager
def served(twin):
    """A real server on loopback; yields its address."""
    app = FastAPI()
    app.include_router(fhir_router(twin))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, http="h11", ws="none"))
    running = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    running.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()
    finally:
        server.should_exit = True
        running.join()
        listening.close()


@pytest.mark.skipif(not ADVERSARIAL.is_dir(), reason="the adversarial cases are not here")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_a_hostile_request_gets_its_answer(case, twin):
    asked, expected = case["request"], case["expect"]
    content = body_of(case)
    app = FastAPI()
    app.include_router(fhir_router(twin))

    async def once():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://twin.test") as client:
            return await client.request(
                asked["method"], asked["path"], content=content, headers=asked.get("headers")
            )

    started = time.monotonic()
    answer = asyncio.run(once())
    assert time.monotonic() - started < expected.get("within_s", 10)
    assert answer.status_code in expected["status"]
    if answer.status_code not in (201, 404):
        kind = "Bundle" if answer.status_code == 200 else "OperationOutcome"
        assert answer.json()["resourceType"] == kind
        assert len(answer.json().get("entry", ())) <= 1000
    assert "Traceback" not in answer.text
    for canary in CANARIES:
        assert canary not in answer.text
    twin.wait_applied()
    stored = twin.query("SELECT status FROM twin.message")
    if answer.status_code in (400, 422):
        assert [row["status"] for row in stored] in (["quarantined"], [])


def chunks():
    for _ in range(1600):
        yield b"A" * 65_536


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_of_100_mb_is_answered_and_never_held(twin, framing):
    headers = {"Content-Type": "application/fhir+json"}
    if framing == "length":
        headers["Content-Length"] = str(1600 * 65_536)
    with served(twin) as (host, port):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with httpx.Client(base_url=f"http://{host}:{port}") as client:
            answer = client.post("/fhir/R4/Encounter", content=chunks(), headers=headers)
            assert answer.status_code == 413
            assert answer.json()["resourceType"] == "OperationOutcome"
            assert client.get("/fhir/R4/metadata").status_code == 200
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown_mb < 32
    assert twin.query("SELECT count(*) AS n FROM twin.message")[0]["n"] == 0


def test_a_sender_that_waits_to_be_asked_is_told_no_at_once(twin):
    with served(twin) as (host, port), socket.create_connection((host, port), timeout=90) as sender:
        head = (
            f"POST /fhir/R4 HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n"
            "Content-Type: application/fhir+json\r\nContent-Length: 104857600\r\n\r\n"
        )
        sender.sendall(head.encode())
        assert sender.recv(65_536).startswith(b"HTTP/1.1 413")


def test_a_sender_that_goes_away_in_the_middle_leaves_nothing_behind(twin):
    with served(twin) as (host, port):
        with socket.create_connection((host, port), timeout=90) as sender:
            sender.sendall(
                f"POST /fhir/R4/Patient HTTP/1.1\r\nHost: {host}\r\nContent-Type: "
                'application/fhir+json\r\nContent-Length: 1000\r\n\r\n{"resource'.encode()
            )
        with httpx.Client(base_url=f"http://{host}:{port}") as client:
            body = {"resourceType": "Patient", "id": "a"}
            assert client.post("/fhir/R4/Patient", json=body).status_code == 201
    twin.wait_applied()
    assert [row["status"] for row in twin.query("SELECT status FROM twin.message")] == ["applied"]


def test_what_is_refused_can_be_looked_at_later(twin):
    app = FastAPI()
    app.include_router(fhir_router(twin))
    raw = b'{"resourceType":"Patient","gender":"male","gender":"female"}'

    async def once():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://twin.test") as client:
            return await client.post(
                "/fhir/R4/Patient", content=raw, headers={"Content-Type": "application/json"}
            )

    assert asyncio.run(once()).status_code == 400
    twin.wait_applied()
    (message,) = twin.quarantined()
    assert (message.format, message.feed, message.origin) == ("fhir", "fhir", "http /fhir/R4")
    assert "twice" in message.reason
    assert twin.raw(message.message_id) == raw
