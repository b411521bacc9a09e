"""Notifications of FHIR servers, over HTTP, in front of a real store and a server that may fail."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import socket
import sys
from pathlib import Path

import pytest
from websockets.asyncio.server import serve

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from fhir_peer import Peer, listening

from adapters.fhir import Release, judge
from api.app import create_app
from api.sources.hooks import Hooks
from api.sources.watch import Sources
from tests.contract.conftest import Caller
from twin_core.settings import Settings, SourceSettings, SubscriptionSettings
from twin_core.twin import Twin

SECRET = "of the hook"  # noqa: S105
BASE = "http://pas.example.org/fhir"
EXCHANGES = Path(__file__).parents[3] / "shared" / "corpus" / "fhir" / "server-exchanges"
DIALECTS = ("r4", "r4b", "r5")


class Subscribed(Peer):
    """A server with a subscription: it numbers events, and can tell of them again."""

    def __init__(self, base=BASE):
        super().__init__(base=base)
        self.events = []
        self.forgets = False

    def changed(self, kind, id_, **body):
        """A resource is stored anew, or deleted where nothing is said of it."""
        if body:
            self.put(kind, id_, **body)
        else:
            self.delete(kind, id_)
        self.events.append((kind, id_, self.kept[kind][id_][-1]))
        return len(self.events)

    def fhir(self, below, parameters, request):
        if below == "Subscription/s1/$get-ws-binding-token":
            told = {"token": "t1", "websocket-url": self.socket}
            parameter = [{"name": name, "valueString": value} for name, value in told.items()]
            return self.json({"resourceType": "Parameters", "parameter": parameter})
        if below != "Subscription/s1/$events":
            return super().fhir(below, parameters, request)
        if self.forgets:
            return self.outcome(404, "not-found")
        first, last = int(parameters["eventsSinceNumber"]), int(parameters["eventsUntilNumber"])
        return self.json(self.told(range(first, last + 1), type_="query-event"))

    def told(self, numbers, *, dialect="r4b", content="full", type_="event-notification"):
        """A notification of events, in the words of an edition."""
        events, entries = [], []
        for number in numbers:
            kind, id_, version = self.events[number - 1]
            events.append((number, f"{self.base}/{kind}/{id_}" if content != "empty" else None))
            if content != "empty":
                entries.append(self.entry_of(kind, id_, version, full=content == "full"))
        status = STATUSES[dialect](self.base, type_, len(self.events), events)
        kind = "subscription-notification" if dialect == "r5" else "history"
        about = {"fullUrl": "urn:uuid:292d3c72-edc1-4d8a-afaa-d85e19c7f563", "resource": status}
        if dialect != "r5":
            about["request"] = {"method": "GET", "url": "Subscription/s1/$status"}
            about["response"] = {"status": "200"}
        return {"resourceType": "Bundle", "type": kind, "entry": [about, *entries]}

    def entry_of(self, kind, id_, version, *, full):
        entry = self.history_entry(kind, id_, version)
        if not full:
            entry.pop("resource", None)
        return entry


def of_r4b(base, type_, counted, events):
    """SubscriptionStatus, in which R4B writes numbers as texts."""
    return {
        "resourceType": "SubscriptionStatus",
        "status": "active",
        "type": type_,
        "eventsSinceSubscriptionStart": str(counted),
        "notificationEvent": [
            {"eventNumber": str(number), **({"focus": {"reference": focus}} if focus else {})}
            for number, focus in events
        ],
        "subscription": {"reference": f"{base}/Subscription/s1"},
        "topic": f"{base}/SubscriptionTopic/admission",
    }


def of_r5(base, type_, counted, events):
    status = of_r4b(base, type_, counted, events)
    status["eventsSinceSubscriptionStart"] = counted
    for event in status["notificationEvent"]:
        event["eventNumber"] = int(event["eventNumber"])
    return status


def of_r4(base, type_, counted, events):
    """The Parameters of the backport to R4."""
    told = [
        {"name": "subscription", "valueReference": {"reference": f"{base}/Subscription/s1"}},
        {"name": "topic", "valueCanonical": f"{base}/SubscriptionTopic/admission"},
        {"name": "status", "valueCode": "active"},
        {"name": "type", "valueCode": type_},
        {"name": "events-since-subscription-start", "valueString": str(counted)},
    ]
    for number, focus in events:
        part = [{"name": "event-number", "valueString": str(number)}]
        if focus:
            part.append({"name": "focus", "valueReference": {"reference": focus}})
        told.append({"name": "notification-event", "part": part})
    return {"resourceType": "Parameters", "parameter": told}


STATUSES = {"r4": of_r4, "r4b": of_r4b, "r5": of_r5}


class Site:
    """A twin whose source sends it notifications."""

    def __init__(self, twin, line=None):
        self.twin, self.line = twin, line
        self.caller = Caller(create_app(twin))
        self.run = self.caller.runner.run
        self.woken = 0
        if line is not None:
            self.run(line.start())
        self.caller.runner.run(self._start())

    async def _start(self):
        self.caller.app.state.hooks = self.hooks = Hooks(self.twin)
        self.hooks.on_wake("pas", self._wake)
        await self.hooks.start()

    def _wake(self):
        self.woken += 1

    def close(self):
        self.run(self.hooks.close())
        if self.line is not None:
            self.run(self.line.stop())
        self.caller.close()

    def send(self, body, *, method="POST", below="", status=200, sign=True, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        if sign:
            headers = {"X-Signature": signed, **headers}
        answer = self.caller.request(method, f"/hooks/pas{below}", content=raw, headers=headers)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert judge(answer.json(), Release.R4) == []
        self.twin.wait_applied()
        return answer

    def until(self, reached):
        """Let the background work until something is reached."""
        for _ in range(500):
            self.twin.wait_applied()
            if reached():
                return
            self.caller.runner.run(asyncio.sleep(0.01))
        raise AssertionError("nothing happened")

    def statuses(self):
        rows = self.twin.query(
            "SELECT i.value, e.status FROM twin.encounter e JOIN twin.encounter_identifier i"
            " USING (encounter_id) WHERE i.type = 'reference' ORDER BY ALL"
        )
        return {row["value"].partition("/")[2]: row["status"] for row in rows}

    def journalled(self):
        (row,) = self.twin.query("SELECT count(*) AS n FROM twin.message")
        return row["n"]


def settings_of(url=BASE, *, interval_s=0.0, **subscription):
    source = SourceSettings(
        url=url,
        requests_per_second=0,
        interval_s=interval_s,
        subscription=SubscriptionSettings(**(subscription or {"secret": SECRET})),
    )
    return Settings(sources={"pas": source})


def opened(path, settings):
    return Twin.open(path / "hooked.duckdb", settings=settings)


@pytest.fixture
def peer():
    peer = Subscribed()
    with listening(peer.app) as address:
        peer.base = peer.known_as = f"{address}/fhir"
        yield peer


@pytest.fixture
def site(tmp_path, peer):
    with opened(tmp_path, settings_of(peer.base)) as twin:
        site = Site(twin)
        yield site
        site.close()


def an_encounter(status="in-progress"):
    return {"status": status, "class": {"code": "IMP"}, "period": {"start": "2026-11-01T07:00:00Z"}}


def full(peer, id_):
    return peer.resource(peer.kept["Encounter"][id_][-1])


def test_a_resource_in_a_rest_hook_is_there_at_once(site, peer):
    peer.put("Encounter", "e1", **an_encounter())
    site.send(full(peer, "e1"))
    assert site.statuses() == {"e1": "in-progress"}
    site.send(full(peer, "e1"))
    assert site.journalled() == 1
    peer.put("Encounter", "e1", **an_encounter("finished"))
    site.send(full(peer, "e1"))
    assert site.statuses() == {"e1": "finished"}
    assert peer.asked == []


def test_a_notification_must_show_whose_it_is(site, peer):
    peer.put("Encounter", "e1", **an_encounter())
    body = json.dumps(full(peer, "e1")).encode()
    signed = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
    forged = hmac.new(b"another", body, hashlib.sha256).hexdigest()
    for wrong in ({}, {"X-Signature": forged}, {"X-Signature": "x"}, {"X-Signature": ""}):
        site.send(body, sign=False, status=401, **wrong)
    site.send(body + b" ", sign=False, status=401, **{"X-Signature": signed.hex()})
    assert site.journalled() == 0
    for told in (f"sha256={signed.hex()}", base64.b64encode(signed).decode(), signed.hex().upper()):
        site.send(body, sign=False, **{"X-Signature": told})
    assert site.journalled() == 1


def test_a_token_is_as_good_as_a_signature(tmp_path, peer):
    settings = settings_of(peer.base, token="t0ken", token_header="X-Lab")  # noqa: S106
    with opened(tmp_path, settings) as twin:
        site = Site(twin)
        peer.put("Encounter", "e1", **an_encounter())
        site.send(full(peer, "e1"), sign=False, status=401)
        site.send(full(peer, "e1"), sign=False, status=401, **{"X-Lab": "other"})
        site.send(full(peer, "e1"), sign=False, **{"X-Lab": "Bearer t0ken"})
        site.send(full(peer, "e1"), sign=False, **{"X-Lab": "t0ken"})
        assert site.statuses() == {"e1": "in-progress"}
        site.close()


def test_a_secret_file_is_read_for_every_notification(tmp_path, peer):
    file = tmp_path / "hook.secret"
    with opened(tmp_path, settings_of(peer.base, secret_file=file)) as twin:
        site = Site(twin)
        site.send(b"", status=503)
        file.write_text(f"{SECRET}\n")
        site.send(b"")
        site.close()


def test_only_sources_with_a_subscription_have_a_hook(site):
    assert site.caller.post("/hooks/nobody", content=b"{}").status_code == 404
    assert site.caller.get("/hooks/pas").status_code in (404, 405)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Medplum-Interaction": "delete", "X-Medplum-Deleted-Resource": "Encounter/e1"},
        {"X-Medplum-Deleted-Resource": "Encounter/e1"},
    ],
)
def test_an_empty_body_with_the_name_of_a_resource_is_a_delete(site, peer, headers):
    peer.put("Encounter", "e1", **an_encounter())
    site.send(full(peer, "e1"))
    site.send(b"{}", **headers)
    assert site.statuses() in ({"e1": "cancelled"}, {"e1": "entered-in-error"}, {})
    assert site.woken == 0


def test_a_resource_is_put_and_deleted_at_its_address(site, peer):
    peer.put("Encounter", "e1", **an_encounter())
    site.send(full(peer, "e1"), method="PUT", below="/Encounter/e1")
    assert site.statuses() == {"e1": "in-progress"}
    site.send(full(peer, "e1"), method="PUT", below="/Encounter/e2", status=400)
    site.send(b"", method="DELETE", below="/Encounter/e1")
    assert site.statuses().get("e1") != "in-progress"


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_notification_of_nothing_wakes_the_sync(site, body):
    site.send(body)
    site.until(lambda: site.woken == 1)
    assert site.journalled() == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_events_with_their_resources(site, peer, dialect):
    peer.changed("Encounter", "e1", **an_encounter())
    peer.changed("Encounter", "e2", **an_encounter())
    site.send(peer.told([1, 2], dialect=dialect))
    assert site.statuses() == {"e1": "in-progress", "e2": "in-progress"}
    peer.changed("Encounter", "e1")
    site.send(peer.told([3], dialect=dialect))
    assert site.statuses().get("e1") != "in-progress"
    assert (peer.asked, site.woken) == ([], 0)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_resources_that_are_only_named_are_read(site, peer, dialect):
    peer.changed("Encounter", "e1", **an_encounter())
    peer.changed("Encounter", "e2", **an_encounter())
    site.send(peer.told([1], dialect=dialect, content="id-only"))
    site.send(peer.told([2], dialect=dialect, content="id-only"))
    site.until(lambda: site.statuses() == {"e1": "in-progress", "e2": "in-progress"})
    peer.delete("Encounter", "e2")
    peer.events.append(("Encounter", "e2", peer.kept["Encounter"]["e1"][-1]))
    site.send(peer.told([3], dialect=dialect, content="id-only"))
    site.until(lambda: site.statuses().get("e2") != "in-progress")
    assert site.woken == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_events_that_say_nothing_wake_the_sync(site, peer, dialect):
    peer.changed("Encounter", "e1", **an_encounter())
    site.send(peer.told([1], dialect=dialect, content="empty"))
    site.until(lambda: site.woken == 1)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_lost_event_is_asked_for_by_its_number(site, peer, dialect):
    site.send(peer.told([], dialect=dialect, type_="handshake"))
    for id_ in ("e1", "e2", "e3", "e4"):
        peer.changed("Encounter", id_, **an_encounter())
    site.send(peer.told([1], dialect=dialect))
    site.send(peer.told([4], dialect=dialect))
    site.until(lambda: len(site.statuses()) == 4)
    [asked] = [path for _, path in peer.asked if "$events" in path]
    # Event 4 is asked for too where it has not been applied by then.
    assert asked in {
        f"/fhir/Subscription/s1/$events?eventsSinceNumber=2&eventsUntilNumber={last}"
        "&content=full-resource"
        for last in (3, 4)
    }
    assert site.woken == 0


def test_a_heartbeat_tells_of_an_event_that_was_lost(site, peer):
    site.send(peer.told([], type_="handshake"))
    site.send(peer.told([], type_="heartbeat"))
    assert peer.asked == []
    peer.changed("Encounter", "e1", **an_encounter())
    site.send(peer.told([], type_="heartbeat"))
    site.until(lambda: site.statuses() == {"e1": "in-progress"})


def test_where_events_cannot_be_asked_for_the_sync_is_woken(site, peer):
    peer.forgets = True
    site.send(peer.told([], type_="handshake"))
    peer.changed("Encounter", "e1", **an_encounter())
    peer.changed("Encounter", "e2", **an_encounter())
    site.send(peer.told([2]))
    site.until(lambda: site.woken == 1)
    site.send(peer.told([2]))
    assert site.woken == 1


def test_a_restart_remembers_which_events_were_told_of(tmp_path, peer):
    peer.changed("Encounter", "e1", **an_encounter())
    with opened(tmp_path, settings_of(peer.base)) as twin:
        site = Site(twin)
        site.send(peer.told([1]))
        site.close()
    peer.changed("Encounter", "e2", **an_encounter())
    peer.changed("Encounter", "e3", **an_encounter())
    with opened(tmp_path, settings_of(peer.base)) as twin:
        site = Site(twin)
        site.send(peer.told([3]))
        site.until(lambda: len(site.statuses()) == 3)
        site.close()


@pytest.mark.parametrize("order", list(itertools.permutations(range(1, 4))))
def test_notifications_may_overtake_each_other(site, peer, order):
    site.send(peer.told([], type_="handshake"))
    peer.changed("Encounter", "e1", **an_encounter("planned"))
    peer.changed("Encounter", "e1", **an_encounter())
    peer.changed("Encounter", "e1", **an_encounter("finished"))
    for number in order:
        site.send(peer.told([number]))
    assert site.statuses() == {"e1": "finished"}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"resourceType": "Bundle", "type": "history", "entry": {}}',
        b'{"resourceType": "Bundle", "type": "history", "entry": [{"resource": 1}',
    ],
)
def test_what_cannot_be_read_is_kept(site, body):
    site.send(body, status=400)
    (row,) = site.twin.query("SELECT status, feed FROM twin.message")
    assert tuple(row.values()) == ("quarantined", "pas")


def test_a_wrong_code_of_a_source_is_a_finding_and_no_reason_to_miss_a_visit(site):
    visit = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "nonsense",
        "class": {"code": "IMP"},
    }
    visit["period"] = {"start": "2026-03-02T10:00:00Z", "end": "2026-03-01T10:00:00Z"}
    site.send(visit)
    assert len(site.twin.query("FROM twin.encounter")) == 1
    found = {row["kind"] for row in site.twin.query("SELECT kind FROM twin.finding")}
    assert {"unknown_code", "reversed_period"} <= found


def test_an_invalid_resource_is_quarantined_and_not_sent_again_and_again(site):
    site.send({"resourceType": "Encounter", "id": "e1", "status": ["nonsense"]})
    (row,) = site.twin.query("SELECT status FROM twin.message")
    assert row["status"] == "quarantined"


def test_a_sync_that_is_woken_reads_what_the_hook_missed(tmp_path, peer):
    peer.put("Encounter", "e1", **an_encounter())
    settings = settings_of(peer.base, interval_s=3600.0)
    with opened(tmp_path, settings) as twin:
        site = Site(twin)
        sources = Sources(twin, hooks=site.hooks)
        site.run(sources.start())
        site.until(lambda: site.statuses() == {"e1": "in-progress"})
        peer.put("Encounter", "e2", **an_encounter())
        site.send(b"")
        site.until(lambda: len(site.statuses()) == 2)
        site.run(sources.close())
        site.close()


class Line:
    """The other end of a websocket: what it heard, and a way to say something."""

    def __init__(self):
        self.heard, self.open = [], []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listening.getsockname()[1]}/"

    async def serve(self, connection):
        self.open.append(connection)
        async for message in connection:
            self.heard.append(message)

    async def start(self):
        self.server = await serve(self.serve, sock=self.listening)

    async def say(self, text):
        await self.open[-1].send(text)

    async def hang_up(self):
        await self.open[-1].close()

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()


@pytest.fixture
def line():
    return Line()


def test_a_ping_over_a_websocket_wakes_the_sync(tmp_path, peer, line):
    settings = settings_of(peer.base, websocket="ping", websocket_url=line.url, id="s1")
    with opened(tmp_path, settings) as twin:
        site = Site(twin, line)
        site.until(lambda: line.heard == ["bind s1"] and site.woken == 1)
        site.run(line.say("bound s1"))
        site.run(line.say("ping s1"))
        site.until(lambda: site.woken == 2)
        site.run(line.hang_up())
        # Connected anew, it asks for what it may have missed.
        site.until(lambda: line.heard == ["bind s1"] * 2 and site.woken >= 3)
        site.send(b"", status=401)
        site.close()


@pytest.mark.parametrize("how", ["token", "token-json"])
def test_bundles_come_over_a_websocket_too(tmp_path, peer, line, how):
    peer.socket = line.url
    settings = settings_of(peer.base, websocket=how, id="s1")
    with opened(tmp_path, settings) as twin:
        site = Site(twin, line)
        site.until(lambda: line.heard)
        told = {"type": "bind-with-token", "payload": {"token": "t1"}}
        said = json.dumps(told) if how == "token-json" else "bind-with-token t1"
        assert line.heard == [said]
        peer.changed("Encounter", "e1", **an_encounter())
        site.run(line.say(json.dumps({"type": "connected"})))
        site.run(line.say(json.dumps(peer.told([1]))))
        site.until(lambda: site.statuses() == {"e1": "in-progress"})
        assert site.journalled() == 1
        site.close()


@pytest.mark.skipif(not EXCHANGES.is_dir(), reason="the recorded exchanges are not here")
def test_recorded_notifications_are_taken(tmp_path):
    settings = settings_of("http://localhost:58103/fhir/R4", secret="hooksecret")  # noqa: S106
    with opened(tmp_path, settings) as twin:
        site = Site(twin)
        for name in ("61_resthook_notification", "62_resthook_delete"):
            told = json.loads((EXCHANGES / f"{name}.json").read_text())
            body = told["body"]
            raw = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
            site.send(raw.encode(), sign=False, **told["headers"])
        kinds = [row["trigger_event"] for row in twin.query("FROM twin.message ORDER BY 1")]
        assert kinds == ["FHIR Encounter", "FHIR Encounter deleted"]
        site.close()
