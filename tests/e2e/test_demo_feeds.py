"""`wardtwin demo --feed-to`: a listener that knows no demo ends up with its hospital."""

import asyncio
import io
import time

import pytest

from adapters.hl7v2 import MllpListener
from api.demo import DemoServer, demo_settings, plan_check
from api.demo.run import Demo
from api.demonstrating import FED, feeding
from api.outbound.status import destination
from api.serving import Server
from api.terminal import Terminal
from twin_core import Twin
from twin_core.clock import HospitalClock
from twin_core.settings import HttpSettings, MllpSettings, Settings, StoreSettings

SAME = {
    "encounter": "encounter_id, patient_id, status, class, admitted_at, discharged_at",
    "stay": "encounter_id, unit, room, bed, from_at, to_at",
}


@pytest.mark.slow
def test_a_listener_that_is_fed_by_the_demo_has_its_hospital(tmp_path):
    """With the duplicates, late and swapped messages that a demo sends, and over one connection."""

    async def fed() -> None:
        plan = plan_check(days=0.5, seed=6)
        ports = {"mllp": MllpSettings(port=0), "http": HttpSettings(port=0)}
        here = StoreSettings(path=tmp_path / "here.duckdb")
        settings = demo_settings(plan.model, Settings(store=here, **ports))
        clock = HospitalClock(plan.clock_starts, time.monotonic)
        with Twin.open(tmp_path / "there.duckdb", settings=settings) as there:
            listener = MllpListener(there, "adt")
            await listener.start()
            settings = feeding(settings, f"127.0.0.1:{listener.port}")
            async with Server(settings, clock=clock, demo=True) as server:
                host = settings.mllp.host
                reached = DemoServer(server.twin, clock, host, server.mllp_port, server.url)
                demo = Demo(plan, reached, Terminal(io.StringIO(), io.StringIO(), environ={}))
                await demo.backfill(to_the_end=True)
                await asyncio.to_thread(server.twin.wait_applied)
                shown = await delivered(server.twin)
                await listener.close()
                await asyncio.to_thread(there.wait_applied)
                assert (shown["parked"], shown["rejected"]) == (0, 0)
                for table, columns in SAME.items():
                    sql = f"SELECT {columns} FROM twin.{table} ORDER BY ALL"
                    assert there.query(sql) == server.twin.query(sql), table
                assert shown["delivered"] > 100

    asyncio.run(fed())


async def delivered(twin: Twin, timeout_s: float = 180.0) -> dict[str, object]:
    give_up_at = time.monotonic() + timeout_s
    while (shown := await asyncio.to_thread(destination, twin, FED))["behind"]:
        assert time.monotonic() < give_up_at, shown
        await asyncio.sleep(0.1)
    return shown
