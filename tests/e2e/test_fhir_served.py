"""A running server keeps in step with FHIR servers by itself, and others may ask it how."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from fhir_peer import Peer, listening

from adapters.fhir.client import search
from api.cli import main
from api.serving import Server
from api.sources import watch
from twin_core.errors import ConfigurationError
from twin_core.settings import load

PATIENCE_S = 240.0
ROOT = Path(__file__).resolve().parents[2]


def site(folder, base, interval_s):
    (folder / "site.toml").write_text(
        f'[store]\npath = "{folder / "hospital.duckdb"}"\n[http]\nport = 0\n[mllp]\nport = 0\n'
        f'[sources.pas]\nurl = "{base}"\ntypes = ["Patient"]\nrequests_per_second = 0\n'
        f"interval_s = {interval_s}\nbreaker_failures = 2\nattempts = 2\n"
    )
    return load(folder / "site.toml").settings


def command(folder, *words):
    out, err = io.StringIO(), io.StringIO()
    words = [*words, "--config", str(folder / "site.toml")]
    return main(words, environ={}, out=out, err=err), out.getvalue(), err.getvalue()


async def until(true):
    give_up_at = time.monotonic() + PATIENCE_S
    while not await true():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.05)


@pytest.fixture
def peer():
    peer = Peer()
    peer.people(3)
    with listening(peer.app) as address:
        peer.base = peer.known_as = f"{address}/fhir"
        yield peer


def test_a_server_stays_in_step_and_says_so(peer, tmp_path):
    async def serving():
        async with Server(site(tmp_path, peer.base, 0.1)) as server:

            async def patients(number):
                rows = await asyncio.to_thread(server.twin.query, "FROM twin.patient")
                return len(rows) == number

            await until(lambda: patients(3))
            peer.time.at += timedelta(hours=1)
            peer.put("Patient", "later", gender="male")
            await until(lambda: patients(4))
            async with httpx.AsyncClient(base_url=server.url) as http:
                metrics = (await http.get("metrics")).text
            listed = await asyncio.to_thread(command, tmp_path, "fhir", "list", "--json")
            looked = await asyncio.to_thread(command, tmp_path, "doctor", "--json")
            by_hand = await asyncio.to_thread(command, tmp_path, "fhir", "sync", "--json")
            return metrics, listed, looked, by_hand

    metrics, listed, looked, by_hand = asyncio.run(serving())
    assert 'wardtwin_source_in_step{source="pas"} 1' in metrics
    assert 'wardtwin_source_breaker{source="pas"} 0' in metrics
    assert 'wardtwin_source_lag_seconds{source="pas"} ' in metrics
    resources = 'wardtwin_source_resources_total{source="pas",type="Patient",outcome="accepted"} 4'
    assert resources in metrics
    [told] = json.loads(listed[1])
    assert told["state"] in ("in step", "syncing")
    assert told["accepted"] == 4
    [check] = [one for one in json.loads(looked[1]) if one["check"] == "source pas"]
    assert check["verdict"] == "ok"
    assert "last in step" in check["said"]
    assert by_hand[0] == 5, "another program reads it"
    assert "being read by another program" in by_hand[2]
    [told] = json.loads(command(tmp_path, "fhir", "list", "--json")[1])
    assert told["state"] == "stopped"


def test_a_command_syncs_into_the_store_that_a_server_holds(peer, tmp_path):
    async def serving():
        async with Server(site(tmp_path, peer.base, 0)):
            return await asyncio.to_thread(command, tmp_path, "fhir", "sync", "--json")

    status, out, err = asyncio.run(serving())
    assert status == 0, err
    assert json.loads(out)[0]["kinds"][0]["accepted"] == 3


def test_a_server_that_breaks_rests_and_the_rest_goes_on(peer, tmp_path):
    peer.answers = [(500, {}, b"")] * 10_000

    async def serving():
        async with Server(site(tmp_path, peer.base, 0.1)) as server:

            async def rests():
                async with httpx.AsyncClient(base_url=server.url) as http:
                    metrics = (await http.get("metrics")).text
                return 'wardtwin_source_breaker{source="pas"} 1' in metrics

            await until(rests)
            return await asyncio.to_thread(command, tmp_path, "doctor", "--json")

    _, out, _ = asyncio.run(serving())
    [check] = [one for one in json.loads(out) if one["check"] == "source pas"]
    assert check["verdict"] == "warn"
    assert "its breaker is open" in check["said"]


def test_watching_ends_when_it_is_interrupted_and_keeps_what_it_read(peer, tmp_path):
    site(tmp_path, peer.base, 0.1)
    watching = subprocess.Popen(
        [sys.executable, "-m", "api", "fhir", "watch", "--config", "site.toml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout.readline() == "pas: in step, 3 taken\n"
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=PATIENCE_S)
    assert watching.returncode == 0, err
    assert "Traceback" not in err
    [told] = json.loads(command(tmp_path, "fhir", "list", "--json")[1])
    assert (told["state"], told["accepted"]) == ("stopped", 3)


def test_a_server_does_not_start_without_its_credentials(peer, tmp_path):
    site(tmp_path, peer.base, 1)
    with (tmp_path / "site.toml").open("a") as opened:
        opened.write(f'[sources.pas.auth]\nmethod = "token"\ntoken_file = "{tmp_path}/none"\n')

    async def serving():
        async with Server(load(tmp_path / "site.toml").settings):
            pass

    with pytest.raises(ConfigurationError, match=r"sources\.pas\.auth\.token_file"):
        asyncio.run(serving())


def test_a_defect_is_told_of_and_tried_again(peer, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "BUSY_PAUSE_S", 0.01)
    read, fails = search.read_page, [RuntimeError] * 2

    def faulty(*given):
        if fails:
            raise fails.pop()
        return read(*given)

    monkeypatch.setattr(search, "read_page", faulty)

    async def serving():
        async with Server(site(tmp_path, peer.base, 0.1)) as server:

            async def there():
                rows = await asyncio.to_thread(server.twin.query, "FROM twin.patient")
                return len(rows) == 3

            await until(there)

    asyncio.run(serving())
    assert fails == []
