"""`/v1/outbound` and its metrics: what was sent where, without anybody's details."""

from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.outbound.dispatch import opened_ledger
from api.outbound.ledger import Parked, Position
from twin_core.settings import Settings
from twin_core.twin import Twin


@pytest.fixture
def fed(tmp_path: Path, serve: Any, heard: tuple[bytes, ...]) -> Any:
    """An API in front of a store that fed `engine` two of five messages and parked the third."""
    settings = Settings.model_validate({"outbound": {"engine": {"host": "engine", "port": 6661}}})
    with Twin.open(tmp_path / "api.duckdb", settings=settings) as twin:
        caller = serve(create_app(twin))
        for raw in heard:
            caller.post("/v1/hl7v2", content=raw)
            twin.wait_applied()
        ledger = opened_ledger(twin)
        ledger.begin("engine", Position(0, 0))
        parked = Parked(3, "ADT^A02", "abc-3", "AR", "AR PV1^1^3 103", 1, "2026-03-02T12:00:00Z")
        [third] = twin.query("SELECT batch_no, message_id FROM core.message WHERE message_id = 3")
        ledger.advance("engine", Position(1, 1), {"delivered": 2, "sent": 3, "rejected": 1}, None)
        ledger.park("engine", parked, Position(third["batch_no"], third["message_id"]), {})
        ledger.close()
        yield caller


def test_destinations_and_what_they_did_not_take(fed: Any) -> None:
    [shown] = fed.get("/v1/outbound").json()["destinations"]
    assert (shown["destination"], shown["to"]) == ("engine", "engine:6661")
    assert shown["state"] == "not running"
    assert (shown["delivered"], shown["rejected"], shown["parked"], shown["behind"]) == (2, 1, 1, 2)
    assert shown["lag_seconds"] > 0
    detail = fed.get("/v1/outbound/engine").json()
    assert detail["destination"]["destination"] == "engine"
    [parked] = detail["parked_messages"]
    assert (parked["message_id"], parked["reason"]) == (3, "AR PV1^1^3 103")
    assert fed.get("/v1/outbound/elsewhere").status_code == 404


def test_metrics_of_a_destination(fed: Any) -> None:
    lines = fed.get("/metrics").text.splitlines()
    assert 'wardtwin_outbound_total{destination="engine",outcome="delivered"} 2' in lines
    assert 'wardtwin_outbound_total{destination="engine",outcome="rejected"} 1' in lines
    assert 'wardtwin_outbound_parked_messages{destination="engine"} 1' in lines
    assert 'wardtwin_outbound_behind_messages{destination="engine"} 2' in lines
    assert 'wardtwin_outbound_connected{destination="engine"} 0' in lines


def test_without_destinations_there_is_nothing_to_measure(fresh: Any) -> None:
    assert fresh.get("/v1/outbound").json() == {"destinations": []}
    assert "wardtwin_outbound" not in fresh.get("/metrics").text
