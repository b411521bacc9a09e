"""The dashboard for Grafana: it asks for nothing that is not measured."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from adapters.hl7v2 import ListenerStatus
from api.feeds import FeedReport
from api.metrics import _outbound, measurements
from api.metrics_of_sources import of_sources
from twin_core.twin import Twin

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana" / "wardtwin.json"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FED = {
    "destination": "lab",
    "tallies": {"delivered": 1},
    "parked": 0,
    "behind": 0,
    "lag_seconds": 0.0,
    "state": "connected",
}
READ = {
    "source": "epr",
    "tallies": {"Encounter": {"taken": 1}},
    "state": "in step",
    "lag_seconds": 1.0,
    "breaker": "closed",
}


def measured(twin: Twin) -> dict[str, tuple[str, set[str]]]:
    """Every metric with its kind and its labels, where feeds, sources and destinations exist."""
    listener = ListenerStatus(
        rejects={"101": 1}, answers={"AA": 1}, certificate_expires_at=NOON, last_message_at=NOON
    )
    feed = FeedReport(
        feed="adt", state="silent", last_message_at=NOON, due_by=NOON, listener=listener
    )
    found = [
        *measurements(twin, version="1", clients=0, compose_seconds=0.0, feeds=lambda: [feed]),
        *_outbound([FED]),
        *of_sources([READ]),
    ]
    return {
        one.name: (one.kind, {label for labels, _ in one.samples for label in labels})
        for one in found
    }


def test_every_metric_of_the_dashboard_exists_with_its_labels(twin: Twin) -> None:
    known = measured(twin)
    # What nothing was counted of has no sample yet, and so no label to look up.
    known["wardtwin_messages_total"] = ("counter", {"feed", "outcome"})
    known["wardtwin_findings"] = ("gauge", {"kind"})
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    expressions = [
        (target["expr"], target["legendFormat"])
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    assert len(expressions) > 15
    for expression, legend in expressions:
        named = re.findall(r"wardtwin_\w+", expression)
        assert named, expression
        for name in named:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            kind, labels = known[base]
            assert kind == "histogram" or base == name
            asked = {*re.findall(r"\{\{(\w+)\}\}", legend)}
            asked |= {*re.findall(r"(\w+)=\"", expression)}
            assert asked <= labels, (expression, labels)


def test_no_panel_lies_over_another_or_speaks_of_one_site() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${source}"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
