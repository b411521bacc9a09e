"""How feeds are shown: `/v1/feeds`, `/metrics`, silence by the twin's own clock."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7v2 import DELAY_BOUNDS_S, ListenerStatus, OpenConnection
from api.app import create_app
from api.feeds import Feeds
from twin_core.settings import FeedSettings, MllpSettings, Settings
from twin_core.twin import Twin

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SETTINGS = Settings(
    mllp=MllpSettings(port=0),
    feeds={
        "adt": FeedSettings(time_zone="UTC", silent_after_minutes=30),
        "lab": FeedSettings(time_zone="UTC", port=0),
    },
)
DELAYS = (0, 0, 90, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0)
HEARD = ListenerStatus(
    connections=1,
    outstanding=3,
    received=101,
    accepted=97,
    rejected=3,
    rejects={"101": 2, "207": 1},
    answers={"AA": 60, "CA": 37, "AE": 3},
    delays=DELAYS,
    delays_s=1.5,
    last_message_at=NOON - timedelta(minutes=20),
    certificate_expires_at=NOON + timedelta(days=9),
    open=(
        OpenConnection(
            peer="10.0.0.7 port 40001",
            since=NOON - timedelta(hours=3),
            heard_at=NOON - timedelta(minutes=20),
            messages=101,
            outstanding=3,
            client="pas",
        ),
    ),
)


class SetClock:
    """A clock that shows what it was set to."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def twin(tmp_path: Path, clock: SetClock) -> Iterator[Twin]:
    with Twin.open(tmp_path / "feeds.duckdb", settings=SETTINGS, clock=clock) as opened:
        yield opened


@pytest.fixture
def api(twin: Twin, serve: Callable[[Any], Any]) -> Any:
    feeds = Feeds(twin, lambda: {"adt": HEARD, "lab": ListenerStatus()}, lambda: {"adt": 2575})
    return serve(create_app(twin, all_feeds=feeds))


def _by_name(api: Any) -> dict[str, Any]:
    return {feed["feed"]: feed for feed in api.get("/v1/feeds").json()}


def test_every_feed_says_who_is_connected_and_what_was_answered(api: Any) -> None:
    shown = _by_name(api)
    assert set(shown) == {"adt", "lab"}
    adt = shown["adt"]
    assert (adt["state"], adt["address"], adt["tls"]) == ("ok", "127.0.0.1:2575", False)
    assert adt["listener"]["open"][0]["peer"] == "10.0.0.7 port 40001"
    assert (adt["answered_within_p50_s"], adt["answered_within_p99_s"]) == (0.005, 0.025)
    assert adt["warnings"] == ["its certificate ends 2026-03-11 12:00Z: renew it"]
    assert shown["lab"]["state"] == "never"
    assert shown["lab"]["answered_within_p50_s"] is None


def test_a_silence_longer_than_the_site_allows_is_a_warning(api: Any, clock: SetClock) -> None:
    clock.at = NOON + timedelta(minutes=9)
    assert _by_name(api)["adt"]["state"] == "ok"
    clock.at = NOON + timedelta(minutes=11)
    adt = _by_name(api)["adt"]
    assert adt["state"] == "silent"
    assert adt["warnings"][0] == (
        "silent for 31 minutes, longer than the 30 minutes that its settings allow"
    )
    assert 'wardtwin_feed_silent{feed="adt"} 1' in api.get("/metrics").text.splitlines()


def test_a_feed_that_never_spoke_is_missed_from_the_start_of_the_server(
    tmp_path: Path, clock: SetClock, serve: Callable[[Any], Any]
) -> None:
    limits = {"adt": 0.5, "lab": 30, "new": None}
    feeds = {
        name: FeedSettings(time_zone="UTC", silent_after_minutes=limit)
        for name, limit in limits.items()
    }
    with Twin.open(tmp_path / "f.duckdb", settings=Settings(feeds=feeds), clock=clock) as twin:
        api = serve(create_app(twin, all_feeds=Feeds(twin)))
        clock.at = NOON + timedelta(seconds=45)
        assert {name: feed["state"] for name, feed in _by_name(api).items()} == {
            "adt": "silent",
            "lab": "never",
            "new": "never",
        }
        [warning] = _by_name(api)["adt"]["warnings"]
        assert "for 45 seconds, longer than the 0.5 minutes" in warning
        lines = api.get("/metrics").text.splitlines()
        assert 'wardtwin_feed_silent{feed="adt"} 1' in lines
        assert 'wardtwin_feed_silent{feed="lab"} 0' in lines
        assert not any(line.startswith('wardtwin_feed_silent{feed="new"}') for line in lines)


def test_a_feed_that_keeps_its_usual_gap_is_learned_from_the_store(
    twin: Twin, clock: SetClock, heard: tuple[bytes, ...], serve: Callable[[Any], Any]
) -> None:
    api = serve(create_app(twin))
    twin.settings = SETTINGS.model_copy(
        update={"feeds": {**SETTINGS.feeds, "ward": FeedSettings(time_zone="UTC")}}
    )
    started = clock.at = datetime(2026, 2, 20, 8, 0, tzinfo=UTC)
    for number in range(10 * 24):
        # A message an hour, at half past; nobody knows yet how long is too long.
        clock.at = started + timedelta(hours=number, minutes=30)
        api.post("/v1/hl7v2?feed=ward", content=heard[0].replace(b"|1|P|", b"|%d|P|" % number))
        if number == 10:
            twin.wait_applied()
            assert _by_name(api)["ward"]["state"] == "learning"
    twin.wait_applied()
    last = clock.at
    for later, state in ((timedelta(hours=6), "ok"), (timedelta(hours=8), "silent")):
        clock.at = last + later
        assert _by_name(api)["ward"]["state"] == state
    api.post("/v1/hl7v2?feed=ward", content=heard[1])
    twin.wait_applied()
    assert _by_name(api)["ward"]["state"] == "ok"


def test_a_feed_of_duplicates_only_is_not_silent_after_a_restart(
    tmp_path: Path, clock: SetClock, heard: tuple[bytes, ...], serve: Callable[[Any], Any]
) -> None:
    clock.at = NOON
    for later in (0, 20, 40):
        clock.at = NOON + timedelta(minutes=later)
        with Twin.open(tmp_path / "f.duckdb", settings=SETTINGS, clock=clock) as twin:
            api = serve(create_app(twin, all_feeds=Feeds(twin)))
            assert api.post("/v1/hl7v2?feed=adt", content=heard[0]).status_code == 200
    clock.at = NOON + timedelta(minutes=60)
    with Twin.open(tmp_path / "f.duckdb", settings=SETTINGS, clock=clock) as twin:
        adt = _by_name(serve(create_app(twin, all_feeds=Feeds(twin))))["adt"]
        assert (adt["accepted"], adt["duplicates"], adt["state"]) == (1, 2, "ok")
        assert adt["last_message_at"] == "2026-03-02T12:40:00Z"


def test_a_message_for_a_feed_that_nobody_configured_is_refused(
    twin: Twin, heard: tuple[bytes, ...], serve: Callable[[Any], Any]
) -> None:
    api = serve(create_app(twin))
    refused = api.post("/v1/hl7v2?feed=lba", content=heard[0])
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"] == (
        "There is no feed lba; configured are adt, lab. Name one of these, or add [feeds.lba] to"
        " the settings."
    )
    assert api.post("/v1/hl7v2?feed=lab", content=heard[0]).status_code == 200
    assert [tally.feed for tally in twin.tallies()] == ["lab"]


def test_the_page_names_the_reasons_of_rejects_by_table_0357(api: Any) -> None:
    text = re.sub(r"<[^>]+>", "", api.get("/feeds").text)
    assert re.findall(r"^(\d{3} [A-Z].*?)(\d)$", text, re.MULTILINE) == [
        ("101 Required field missing", "2"),
        ("207 Application internal error", "1"),
    ]


def test_each_feed_is_measured(api: Any) -> None:
    lines = api.get("/metrics").text.splitlines()
    for line in (
        'wardtwin_feed_connections{feed="adt"} 1',
        'wardtwin_feed_outstanding{feed="adt"} 3',
        'wardtwin_feed_received_total{feed="adt"} 101',
        'wardtwin_feed_rejects_total{feed="adt",code="101"} 2',
        'wardtwin_feed_answers_total{feed="adt",code="CA"} 37',
        'wardtwin_feed_answer_seconds_bucket{feed="adt",le="0.005"} 90',
        'wardtwin_feed_answer_seconds_bucket{feed="adt",le="0.025"} 99',
        'wardtwin_feed_answer_seconds_bucket{feed="adt",le="+Inf"} 100',
        'wardtwin_feed_answer_seconds_count{feed="adt"} 100',
        'wardtwin_feed_answer_seconds_sum{feed="adt"} 1.5',
        'wardtwin_feed_silence_seconds{feed="adt"} 1200',
        'wardtwin_feed_connections{feed="lab"} 0',
        f'wardtwin_tls_certificate_expires_at{{feed="adt"}} {int(HEARD.certificate_expires_at.timestamp())}',  # type: ignore[union-attr] # noqa: E501
        "# TYPE wardtwin_feed_answer_seconds histogram",
    ):
        assert line in lines, line
    assert len(DELAYS) == len(DELAY_BOUNDS_S) + 1
    samples = [line for line in lines if not line.startswith("#")]
    assert len({line.rsplit(" ", 1)[0] for line in samples}) == len(samples)
    assert all(float(line.rsplit(" ", 1)[1]) >= 0 for line in samples)


def test_a_listener_that_is_started_again_goes_on_counting() -> None:
    again = ListenerStatus(received=5, rejects={"101": 1}, delays=DELAYS, delays_s=0.5)
    summed = again.after(HEARD)
    assert (summed.received, summed.rejects, summed.connections) == (106, {"101": 3, "207": 1}, 0)
    assert (sum(summed.delays), summed.delays_s) == (200, 2.0)
    assert summed.last_message_at == HEARD.last_message_at
    assert summed.answers == HEARD.answers
