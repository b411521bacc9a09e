"""What is measured of a running twin."""

from collections.abc import Callable
from typing import Any

from api.exposition import Measurement
from api.feeds import FeedReport
from api.metrics_of_feeds import of_feeds
from api.metrics_of_sources import of_sources
from api.outbound.line import CONNECTED
from api.outbound.status import destinations
from api.sources.status import sources
from twin_core.twin import Twin

QUARANTINED = """
SELECT count(*) AS waiting FROM twin.message WHERE status = 'quarantined' AND replayed_at IS NULL
"""
# Beds with two patients are looked for in all stays, which is too much for every scrape.
FINDINGS = """
SELECT kind, count(*) AS findings FROM twin.finding WHERE kind <> 'bed_conflict' GROUP BY kind
"""


def measurements(
    twin: Twin,
    *,
    version: str,
    clients: int,
    compose_seconds: float,
    feeds: Callable[[], list[FeedReport]],
) -> list[Measurement]:
    """Everything measured of a running twin."""
    quarantined: list[dict[str, Any]] = twin.query(QUARANTINED)
    waiting = quarantined[0]["waiting"]
    found = [({"kind": str(row["kind"])}, float(row["findings"])) for row in _counted(twin)]
    tallies = [
        ({"feed": tally.feed, "outcome": tally.outcome}, float(tally.messages))
        for tally in twin.tallies()
    ]
    return [
        Measurement(
            "wardtwin_messages_total",
            "counter",
            "Messages received, by feed and outcome",
            tuple(tallies),
        ),
        _gauge("wardtwin_lag_seconds", "Age of the oldest message not applied", twin.lag_seconds()),
        _gauge("wardtwin_applied_position", "Last inbox position applied", twin.position()),
        _gauge("wardtwin_batch_sequence", "Number of the last batch applied", twin.sequence()),
        _gauge("wardtwin_batch_seconds", "Time the last batch took to apply", twin.batch_seconds()),
        _gauge("wardtwin_quarantined_messages", "Messages in quarantine", waiting),
        Measurement("wardtwin_findings", "gauge", "Data-quality findings by kind", tuple(found)),
        *of_feeds(feeds(), twin.clock.now()),
        _gauge("wardtwin_live_clients", "Open streams of server-sent events", clients),
        _gauge("wardtwin_board_seconds", "Time the last board took to compose", compose_seconds),
        *_outbound(destinations(twin)),
        *of_sources(sources(twin)),
        Measurement(
            "wardtwin_build_info", "gauge", "The running version", (({"version": version}, 1.0),)
        ),
    ]


def _counted(twin: Twin) -> list[dict[str, Any]]:
    return twin.query(FINDINGS)


def _outbound(fed: list[dict[str, Any]]) -> list[Measurement]:
    """What is measured of the systems that this twin feeds; nothing where there are none."""
    if not fed:
        return []
    counted = tuple(
        ({"destination": one["destination"], "outcome": outcome}, float(messages))
        for one in fed
        for outcome, messages in one["tallies"].items()
        if outcome != "parked"
    )
    now = {
        "wardtwin_outbound_parked_messages": ("Messages a destination did not take", "parked"),
        "wardtwin_outbound_behind_messages": ("Messages a destination has yet to get", "behind"),
        "wardtwin_outbound_lag_seconds": ("Age of the oldest of them", "lag_seconds"),
        "wardtwin_outbound_connected": ("Whether the connection is open", "connected"),
    }
    for one in fed:
        one["connected"] = one["state"] == CONNECTED
    gauges = [
        Measurement(
            name,
            "gauge",
            meaning,
            tuple(({"destination": one["destination"]}, float(one[key])) for one in fed),
        )
        for name, (meaning, key) in now.items()
    ]
    meaning = "What became of messages for a destination"
    return [Measurement("wardtwin_outbound_total", "counter", meaning, counted), *gauges]


def _gauge(name: str, meaning: str, number: float) -> Measurement:
    return Measurement(name, "gauge", meaning, (({}, float(number)),))
