"""Alerts from the figures of a store to its rows, its API, its streams and somebody's webhook."""

import asyncio
import hashlib
import hmac
import io
import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from api.alerting import AlertDesk
from api.app import create_app
from api.cli import main
from api.routes import watch_pages
from twin_core.errors import UsageError
from twin_core.settings import AlertSettings, FeedSettings, Settings
from twin_core.twin import Twin

NOON = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
RULE = {"kpi": "adm_dis_balance", "statistic": "census_after", "hours": 2, "above": 0.5}
HOOK = {"webhook": "http://pager.example/hook", "secret": "s3cret"}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watching(
    tmp_path: Any,
    clock: Clock,
    heard: tuple[bytes, ...],
    serve: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A store with a patient in ICU and one in MED, and its API; who looks is the test alone."""
    monkeypatch.setattr(AlertDesk, "_looking", asleep)
    settings = Settings.model_validate(
        {"feeds": {"adt": FeedSettings(time_zone="UTC")}, "alerts": {"full": {**RULE, **HOOK}}}
    )
    with Twin.open(tmp_path / "api.duckdb", settings=settings, clock=clock) as twin:
        caller = serve(create_app(twin))
        another = heard[1].replace(b"V2", b"V9").replace(b"|2|P|", b"|9|P|")
        for raw in (*heard, another.replace(b"MED^1^2", b"MED^1^3")):
            caller.post("/v1/hl7v2", content=raw)
        twin.wait_applied()
        yield twin, caller


async def asleep(desk: AlertDesk) -> None:
    await asyncio.Event().wait()


def states(twin: Twin) -> list[tuple[str | None, str]]:
    return sorted(((alert.unit, alert.state) for alert in twin.alerts()), key=str)


def test_an_alert_opens_once_is_acknowledged_and_closes(watching: Any, clock: Clock) -> None:
    twin, api = watching
    twin.look_for_alerts()
    assert states(twin) == [("ICU", "open"), ("MED", "open")]
    assert twin.look_for_alerts() == []
    one = next(alert for alert in twin.alerts() if alert.unit == "ICU")
    clock.at += timedelta(minutes=5)
    answer = api.post(f"/v1/alerts/{one.alert_id}/acknowledge", params={"by": "Bed desk"})
    assert (answer.json()["state"], answer.json()["acknowledged_by"]) == (
        "acknowledged",
        "Bed desk",
    )
    again = api.post(f"/v1/alerts/{one.alert_id}/acknowledge", params={"by": "Somebody else"})
    assert again.json() == answer.json()
    shown = api.get("/v1/alerts", params={"state": "open"}).json()["alerts"]
    assert [alert["unit"] for alert in shown] == ["MED"]
    assert "full" in api.get("/kpis/adm_dis_balance").text
    # Nobody says that the patients left, but the unit of the alert is not watched any more.
    twin._watch._rules = {}
    clock.at += timedelta(minutes=5)
    assert {alert.state for alert in twin.look_for_alerts()} == {"closed"}
    [row] = twin.query("SELECT * FROM twin.alert WHERE unit = 'ICU'")
    assert (row["state"], row["closed_at"]) == ("closed", clock.at)
    assert row["acknowledged_at"] == NOON + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({"units": ["ICU"]}, [("ICU", "open"), ("MED", "closed")]),
        ({"by": "hospital"}, [(None, "open"), ("ICU", "closed"), ("MED", "closed")]),
        ({"statistic": "balance"}, [("ICU", "closed"), ("MED", "closed")]),
        ({"above": 0.7}, [("ICU", "open"), ("MED", "open")]),
    ],
)
def test_alerts_that_a_changed_rule_looks_for_no_more_are_closed(
    watching: Any, clock: Clock, changed: dict[str, Any], left: list[tuple[str | None, str]]
) -> None:
    twin, _ = watching
    twin.look_for_alerts()
    twin._watch._rules = {"full": AlertSettings.model_validate({**RULE, **HOOK, **changed})}
    clock.at += timedelta(minutes=5)
    twin.look_for_alerts()
    assert states(twin) == sorted(left, key=str)


def test_the_page_of_alerts_shows_them_and_takes_who_knows(watching: Any, clock: Clock) -> None:
    twin, api = watching
    assert "within its threshold" in api.get("/alerts").text
    twin.look_for_alerts()
    one = next(alert for alert in twin.alerts() if alert.unit == "ICU")
    address = f"/alerts/{one.alert_id}/acknowledge"
    assert f'action="{address}"' in api.get("/alerts").text
    form = {"content-type": "application/x-www-form-urlencoded"}
    nobody = api.post(address, content=b"by=+", headers=form)
    assert nobody.status_code == 400
    answer = api.post(address, content=b"by=Bed+desk", headers=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    text = api.get("/alerts").text
    assert "Bed desk" in text
    assert ">above 0.5<" in text
    assert ">über 0,5<" in api.get("/alerts?lang=de").text
    assert f'action="{address}"' not in text
    assert api.post("/alerts/a0/acknowledge", content=b"by=X", headers=form).status_code == 404


def test_an_open_alert_is_shown_however_many_came_and_went_since(
    watching: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin, api = watching
    monkeypatch.setattr(watch_pages, "SHOWN_ALERTS", 2)
    monkeypatch.setattr(twin._watch, "_rules", {"old": AlertSettings.model_validate(RULE)})
    twin.look_for_alerts()
    opened = {alert.alert_id for alert in twin.current_alerts()}
    for minute in range(4):
        clock.at += timedelta(minutes=1)
        above = 0.5 if minute % 2 == 0 else 9
        rules = {"old": twin._watch._rules["old"]}
        rules["new"] = AlertSettings.model_validate({**RULE, "above": above})
        monkeypatch.setattr(twin._watch, "_rules", rules)
        twin.look_for_alerts()
    text = api.get("/alerts").text
    assert len(opened) == 2
    assert all(f'action="/alerts/{alert_id}/acknowledge"' in text for alert_id in opened)
    assert {alert.alert_id for alert in twin.current_alerts()} == opened


def test_an_unknown_alert_is_not_found(watching: Any) -> None:
    twin, api = watching
    assert api.post("/v1/alerts/a0/acknowledge", params={"by": "X"}).status_code == 404
    assert api.post("/v1/alerts/a0/acknowledge").status_code == 422
    with pytest.raises(UsageError, match="a0"):
        twin.acknowledge_alert("a0", "X")


def test_a_webhook_is_told_in_order_until_it_takes_it(watching: Any, clock: Clock) -> None:
    twin, _ = watching
    heard: list[httpx.Request] = []
    statuses = iter([500, 204, 204, 204])

    def receive(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        return httpx.Response(next(statuses))

    async def told() -> None:
        desk = AlertDesk(
            twin, transport=httpx.MockTransport(receive), seconds=lambda: 1_772_452_800
        )
        await desk.look()
        await desk.post()  # The first is refused; nobody is posted to again before a pause.
        assert len(heard) == 1
        desk._again_at.clear()
        await desk.post()
        await desk.post()
        await desk.stop()

    asyncio.run(told())
    assert len(heard) == 3  # Once more the first, then the second; never again after a 204.
    assert heard[0].headers["Wardtwin-Delivery"] == heard[1].headers["Wardtwin-Delivery"]
    for request in heard:
        body = request.content
        expected = hmac.new(b"s3cret", b"1772452800." + body, hashlib.sha256).hexdigest()
        assert request.headers["Wardtwin-Signature"] == f"t=1772452800,v1={expected}"
        assert json.loads(body)["happened"] == "opened"
    assert {json.loads(r.content)["alert"]["unit"] for r in heard} == {"MED", "ICU"}
    assert not twin.untold_alerts()
    clock.at += timedelta(minutes=1)
    twin.acknowledge_alert(twin.alerts()[0].alert_id, "Bed desk")
    assert len(twin.untold_alerts()) == 1


def test_a_webhook_that_nothing_can_be_posted_to_does_not_end_the_others(
    watching: Any, clock: Clock
) -> None:
    twin, _ = watching
    nowhere = AlertSettings.model_validate({**RULE, **HOOK, "webhook": "http://xn--.example/"})
    # No real transport would ever see it: the address itself cannot be read.
    too_long = nowhere.model_copy(update={"webhook": f"http://{'a' * 300}.example/"})
    rules = {"b_nowhere": nowhere, "a_too_long": too_long, **twin.settings.alerts}
    twin.settings = twin.settings.model_copy(update={"alerts": rules})
    twin._watch._rules = rules
    twin.look_for_alerts()
    heard: list[str] = []

    def receive(request: httpx.Request) -> httpx.Response:
        heard.append(request.url.host)
        if request.url.host != "pager.example":
            request.url.host.encode("idna")
        return httpx.Response(204)

    async def told() -> None:
        desk = AlertDesk(twin, transport=httpx.MockTransport(receive))
        await desk.post()
        await desk.stop()

    asyncio.run(told())
    assert heard.count("pager.example") == 2
    assert {alert.name for alert, _ in twin.untold_alerts()} == {"a_too_long", "b_nowhere"}


@pytest.mark.parametrize(
    "address", ["http://x:99999/", "http://no such host/", "ftp://x/", "http:///"]
)
def test_a_webhook_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="webhook is no address"):
        AlertSettings.model_validate({**RULE, **HOOK, "webhook": address})


def test_a_stream_begins_with_what_is_open_and_goes_on_with_what_happens(watching: Any) -> None:
    twin, _ = watching

    async def streamed() -> list[bytes]:
        desk = AlertDesk(twin, transport=httpx.MockTransport(lambda r: httpx.Response(200)))
        stream = desk.stream([])
        events = [await anext(stream), await anext(stream)]
        await desk.look()
        events += [await anext(stream), await anext(stream)]
        desk.end()
        events += [event async for event in stream]
        await desk.stop()
        return events

    retry, first, *rest = asyncio.run(streamed())
    assert retry.startswith(b"retry:")
    assert first == b"event: alerts\ndata: []\n\n"
    assert [b"event: alert\n" in event and b'"opened"' in event for event in rest] == [True, True]


def test_alerts_are_in_copies_and_survive_a_rebuild(watching: Any, tmp_path: Any) -> None:
    twin, _ = watching
    copy = tmp_path / "copy.duckdb"
    twin.replica_snapshot(copy)
    twin.look_for_alerts()
    twin.replica_changes(copy)
    with_alerts = states(twin)
    assert len(with_alerts) == 2
    twin.rebuild()
    assert states(twin) == with_alerts
    assert twin.look_for_alerts() == []


def test_the_command_line_lists_acknowledges_and_replays(watching: Any, tmp_path: Any) -> None:
    twin, _ = watching
    twin.look_for_alerts()
    twin.close()
    config = tmp_path / "site.toml"
    config.write_text(
        '[alerts.full]\nkpi = "adm_dis_balance"\nstatistic = "census_after"\n'
        "hours = 2\nabove = 0.5\n"
    )

    def run(*words: str) -> Any:
        out, err = io.StringIO(), io.StringIO()
        asked = [*words, "--db", str(twin.path), "--config", str(config), "--json"]
        assert main(asked, environ={}, out=out, err=err) == 0, err.getvalue()
        return json.loads(out.getvalue())

    found = run("alerts", "list")
    assert {row["unit"] for row in found} == {"ICU", "MED"}
    noted = run("alerts", "ack", found[0]["alert_id"], "--by", "Bed desk")
    assert noted["state"] == "acknowledged"
    window = ("--from", "2026-03-02T06:00Z", "--to", "2026-03-02T11:00Z")
    fired = run("alerts", "replay", "full", *window)
    by_unit = {row["unit"]: (row["opened_at"], row["closed_at"]) for row in fired}
    # V1 lay in MED from 08:00; V2 went on to the ICU at 10:00.
    assert by_unit["MED"][0].startswith("2026-03-02T09:00")
    assert by_unit["ICU"][0].startswith("2026-03-02T11:00")
    assert (by_unit["ICU"][1], by_unit["MED"][1]) == (None, None)


def test_nothing_is_said_to_be_within_a_threshold_where_no_figure_is_watched(fresh: Any) -> None:
    text = fresh.get("/alerts").text
    assert "No alert is configured." in text
    assert "within its threshold" not in text
