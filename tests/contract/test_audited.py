"""What the API and the board show of patients is in the ledger first, or it is not shown."""

import asyncio
import json
import re
import sqlite3

import pytest

from api.access.doors import DOORS, Door, door_of
from api.app import create_app
from api.audit.touched import ids_in, patients_of
from twin_core.audit import LedgerReader, ledger_path
from twin_core.errors import AuditFailed


def entries(twin, after=0):
    reader = LedgerReader(ledger_path(twin.path))
    found = [(entry, reader.patients(entry), reader.texts(entry)) for entry in reader.entries()]
    reader.close()
    return found[after:]


@pytest.fixture
def since(api):
    """The entries that the ledger of the shared API got since the test began."""
    before = len(entries(api.app.state.twin))
    return lambda: entries(api.app.state.twin, before)


@pytest.fixture
def told(twin, serve, heard, broken):
    """An API of its own in front of a store that heard the usual messages."""
    caller = serve(create_app(twin))
    for raw in (*heard, broken):
        caller.post("/v1/hl7v2", content=raw)
    twin.wait_applied()
    return caller


def visits(twin):
    rows = twin.query("SELECT encounter_id, patient_id FROM twin.encounter ORDER BY admitted_at")
    return [(row["encounter_id"], row["patient_id"]) for row in rows]


def pseudonyms(told, patients):
    keys = told.app.state.ledger.keys
    return tuple(sorted(keys.pseudonym(patient) for patient in patients))


def test_one_visit_is_recorded_with_its_patient_and_without_its_name(api, since):
    twin = api.app.state.twin
    encounter_id, patient_id = visits(twin)[0]
    answer = api.get(f"/v1/encounters/{encounter_id}")
    assert answer.status_code == 200
    [(entry, patients, texts)] = since()
    assert (entry.act, entry.what) == ("read", "GET /v1/encounters/{encounter_id}")
    assert (entry.outcome, entry.status, entry.why, entry.via) == (
        "success",
        200,
        "HOPERAT",
        "http",
    )
    assert entry.who.id == "loopback"
    assert patients == pseudonyms(api, [patient_id])
    assert texts.text == f"GET /v1/encounters/{encounter_id}"
    hashed = sqlite3.connect(ledger_path(twin.path)).execute("SELECT body FROM entry").fetchall()
    assert encounter_id not in repr(hashed)
    assert patient_id not in repr(hashed)


@pytest.mark.parametrize(
    "path", ["/v1/state", "/v1/encounters?limit=2", "/", "/v1/board", "/units/GEN/ICU"]
)
def test_a_list_names_everybody_on_it(path, api, since):
    assert api.get(path).status_code == 200
    [(entry, patients, _)] = since()
    here = [patient for _, patient in visits(api.app.state.twin)[1:]]
    assert patients == pseudonyms(api, here[:1] if "units" in path else here)
    assert entry.act == "search"


def test_a_raw_message_is_traced_to_its_patient(api, since):
    assert api.get("/v1/messages/1/explain?phi=show").status_code == 200
    [(entry, patients, texts)] = since()
    assert entry.objects == ("message/1",)
    assert patients == pseudonyms(api, [visits(api.app.state.twin)[0][1]])
    assert texts.text.endswith("?phi=show")


@pytest.mark.parametrize(
    ("path", "patients", "beside"),
    [
        ("/v1/messages", 3, "unknown"),
        ("/messages", 3, "unknown"),
        ("/v1/quarantine", 0, "unknown"),
        ("/quarantine/6", 0, "unknown"),
        ("/v1/encounters", 3, ""),
    ],
)
def test_of_a_message_that_was_not_applied_the_patient_is_unknown(
    api, since, path, patients, beside
):
    assert api.get(path).status_code == 200
    [(entry, named, _)] = since()
    assert (len(named), entry.beside) == (patients, beside)


def test_a_replay_is_an_act_of_administration(told, twin):
    message_id = twin.quarantined()[0].message_id
    told.post(f"/v1/quarantine/{message_id}/replay")
    [(entry, _, _)] = entries(twin)
    assert (entry.act, entry.what) == ("update", "POST /v1/quarantine/{message_id}/replay")


def test_the_name_of_a_query_is_not_in_the_chain(told, twin):
    assert told.post("/v1/sql/queries/Ada%20Quisenberry").status_code == 400
    [(entry, _, texts)] = entries(twin)
    assert entry.objects[0].startswith("query/")
    assert "Quisenberry" not in repr(entry)
    assert texts.objects == ("query/Ada Quisenberry",)


def test_what_is_refused_and_what_is_not_there_is_recorded_too(api, since):
    for path, status in (("/v1/encounters?who=me", 400), ("/v1/encounters/e0", 404)):
        assert api.get(path).status_code == status
    assert [(e.status, e.outcome) for e, *_ in since()] == [
        (400, "refused"),
        (404, "refused"),
    ]


BEFORE_THE_GATE = (
    ("TRACE", "/", {}, 405),
    ("GET", "/static/..%2f..%2fetc/passwd", {}, 404),
    ("GET", "/", {"X": "A" * 65_536}, 431),
    ("GET", "/v1/state", {"Host": "evil.example"}, 421),
    ("POST", "/v1/sql", {"Origin": "https://evil.example"}, 403),
)
"""What is refused before anybody asks who sent it."""


@pytest.mark.parametrize(("method", "path", "headers", "status"), BEFORE_THE_GATE)
def test_what_is_refused_at_once_is_recorded_too(api, since, method, path, headers, status):
    assert api.request(method, path, headers=headers).status_code == status
    [(entry, *_)] = since()
    assert (entry.status, entry.outcome, entry.who.id) == (status, "refused", "loopback")
    assert "evil" not in repr(entry)


def test_a_question_in_sql_is_kept_beside_the_chain(api, since):
    asked = "SELECT count(*) AS n FROM twin.stay"
    api.post("/v1/sql", json={"sql": asked})
    [(entry, _, texts)] = since()
    assert (entry.act, texts.text) == ("execute", asked)
    assert entry.objects[0].startswith("release/")


def test_figures_and_health_are_not_about_anybody(api, since):
    for path in ("/v1/kpis", "/v1/units", "/health/live", "/health/ready", "/metrics"):
        assert api.get(path).status_code in (200, 503)
    assert since() == []


def test_what_cannot_be_recorded_is_not_shown(told, twin):
    """The ledger's file goes; figures are still told, patients are not."""
    db = sqlite3.connect(ledger_path(twin.path), isolation_level=None)
    db.execute("DROP TABLE entry")
    encounter_id, patient_id = visits(twin)[0]
    for path in (f"/v1/encounters/{encounter_id}", "/", "/v1/state", "/v1/deltas"):
        answer = told.get(path)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:wardtwin:problem:audit"
        assert encounter_id[:7] not in answer.text
        assert patient_id not in answer.text
    assert told.get("/v1/kpis").status_code == 200
    message_id = twin.quarantined()[0].message_id
    assert told.post(f"/v1/quarantine/{message_id}/replay").status_code == 503
    replayed = twin.query("SELECT replayed_at FROM twin.message WHERE status = 'quarantined'")
    assert [row["replayed_at"] for row in replayed] == [None]


def test_a_full_disk_under_the_ledger_shows_no_patient_until_there_is_room(told, twin):
    """SQLite is told that its file may grow no further, which it answers as a full disk."""
    db = told.app.state.ledger._db
    encounter_id, patient_id = visits(twin)[0]
    [(pages,)] = db.execute("PRAGMA page_count").fetchall()
    db.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    for _ in range(100):
        answer = told.get(f"/v1/encounters/{encounter_id}")
        if answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:wardtwin:problem:audit")
    assert not any(one in answer.text for one in (encounter_id, patient_id))
    assert told.get("/v1/kpis").status_code == 200
    db.execute("PRAGMA max_page_count = 1000000").fetchall()
    assert told.get(f"/v1/encounters/{encounter_id}").status_code == 200
    assert entries(twin)[-1][0].status == 200


def test_a_stream_is_recorded_again_for_whom_it_shows_later(twin, serve, heard):
    """Server-sent events: who is on the first board, and who comes while it is watched."""
    caller = serve(create_app(twin))
    caller.post("/v1/hl7v2", content=heard[0])
    twin.wait_applied()
    shown: list[bytes] = []

    async def watch():
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/deltas",
            "raw_path": b"/v1/deltas",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
        }
        ended = asyncio.Event()

        async def receive():
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            shown.append(message.get("body", b""))

        watching = asyncio.create_task(caller.app(scope, receive, send))
        await _until(lambda: b"snapshot" in b"".join(shown))
        assert [len(patients) for _, patients, _ in entries(twin)] == [0, 1]
        await caller.http.post("/v1/hl7v2", content=heard[1])
        await _until(lambda: len(entries(twin)) == 3)
        caller.app.state.live.end()
        await watching

    caller.runner.run(watch())
    (begun, nobody, _), (first, early, _), (later, late, _), *_ = entries(twin)
    assert (begun.what, nobody) == (first.what, ())
    assert first.what == later.what == "GET /v1/deltas"
    (_, one), (_, other) = visits(twin)
    assert early == pseudonyms(caller, [one])
    assert late == pseudonyms(caller, [other])


async def _until(holds):
    for _ in range(400):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen")


def test_ids_are_found_in_whatever_leaves():
    e, p = "e" + "0a" * 12, "p" + "1b" * 12
    shown = json.dumps({"encounter_id": e, "href": f"/v1/patients/{p}?x"}).encode()
    assert ids_in(shown) == {e, p}
    assert ids_in(b"e" + b"0a" * 13) == set()
    assert ids_in(f"<b>{e[:7]}</b>".encode(), board=True) == {e[:7]}
    asked = []
    patients_of({p, e}, lambda sql: asked.append(sql) or [{"patient_id": "px"}])
    assert re.search("encounter_id IN", asked[0])


def test_every_route_has_a_door(api):
    """The OpenAPI document and the pages: who adds a route says here who may open it."""
    from fastapi.routing import iter_route_contexts

    seen = 0
    for context in iter_route_contexts(api.app.router.routes):
        route = getattr(context, "route", context)
        path = str(getattr(context, "path", getattr(route, "path", "")))
        for method in getattr(context, "methods", None) or ():
            if path.startswith("/fhir") or method == "OPTIONS":
                continue
            door = door_of(method, path.replace("{", "").replace(":path}", "}").replace("}", ""))
            assert door is not None, f"{method} {path} is not in api/access/doors.py"
            assert door.address == path, f"{method} {path} is opened by {door.address}"
            seen += 1
    for path, methods in api.app.openapi()["paths"].items():
        for method in methods:
            assert door_of(method.upper(), path.replace("{", "").replace("}", "")), path
            seen += 1
    assert seen > 60


def test_doors_are_tried_from_the_narrow_to_the_wide():
    for method, doors in DOORS.items():
        for door in doors:
            filled = re.sub(r"{(\w+)(:path)?}", "x", door.address)
            assert door_of(method, filled) == door, (method, door)
    assert door_of("GET", "/nowhere") is None
    assert isinstance(door_of("POST", "/fhir/R4/Encounter/_search"), Door)
    assert AuditFailed.retry_may_help
