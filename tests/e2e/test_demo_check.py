"""The demo's proof on real sockets: the store equals the truth, and a false truth is found out."""

import asyncio
import io
import json
import time

import pytest

from api.cli import main
from api.demo import DemoServer, demo_settings, plan_check
from api.demo.compare import compare
from api.demo.run import Demo
from api.serving import Server
from api.terminal import Terminal
from twin_core.clock import HospitalClock
from twin_core.settings import HttpSettings, MllpSettings, Settings, StoreSettings

PORTS = ("--mllp-port", "0", "--http-port", "0")


@pytest.mark.slow
def test_the_store_equals_the_truth_row_for_row(tmp_path):
    out, err = io.StringIO(), io.StringIO()
    words = ["demo", "--check", "--days", "3", "--seed", "5", "--json", *PORTS]
    status = main([*words, "--db", str(tmp_path / "check.duckdb")], environ={}, out=out, err=err)
    verdict = json.loads(out.getvalue())
    assert verdict["problems"] == []
    for comparison in verdict["comparisons"]:
        assert comparison["differences"] == []
        assert comparison["true_rows"] == comparison["rows"] > 0
    assert verdict["equal"] is True
    assert status == 0
    assert verdict["injected"]["duplicate"] > 0
    assert verdict["injected"]["late"] > 0


@pytest.mark.slow
def test_a_truth_that_did_not_happen_is_found_out(tmp_path):
    async def differences() -> dict[str, int]:
        plan = plan_check(days=0.25, seed=6)
        ports = {"mllp": MllpSettings(port=0), "http": HttpSettings(port=0)}
        store = StoreSettings(path=tmp_path / "check.duckdb")
        settings = demo_settings(plan.model, Settings(store=store, **ports))
        clock = HospitalClock(plan.clock_starts, time.monotonic)
        async with Server(settings, clock=clock, demo=True) as server:
            reached = DemoServer(
                server.twin, clock, settings.mllp.host, server.mllp_port, server.url
            )
            demo = Demo(plan, reached, Terminal(io.StringIO(), io.StringIO(), environ={}))
            await demo.backfill(to_the_end=True)
            server.twin.wait_applied(timeout=240)
            truth = plan.demonstration.truth
            visit = next(e.visit for e in truth.encounters() if e.status == "in-progress")
            truth.left(visit, int(plan.ends.timestamp()) - 7200)
            return {c.what: c.different for c in compare(plan, server.twin.query)}

    found = asyncio.run(differences())
    assert found["encounters"] == 2
    assert found["stays"] == 2
    assert found["hourly census"] > 0
    assert found["patients"] == found["leaves"] == 0
