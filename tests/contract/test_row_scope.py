"""Somebody who answers for some units sees what is theirs, of every address, and nothing else.

What is theirs is told by an oracle of its own: a visit with a stay in the unit, its patient, and
what names the visit. Each answer to somebody who is held to a unit is the answer to somebody who
is not, without what the oracle does not give them.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.access.control import AccessControl
from api.access.doors import DOORS
from api.access.reach import Reach
from api.access.rows import FILTERED
from api.app import create_app
from tests.contract.conftest import HEARD, Caller, StoppedClock, adt
from tests.contract.test_appointments_api import siu
from twin_core.settings import AccessSettings, FeedSettings, Settings
from twin_core.twin import Twin

ICU = Reach(units=("GEN/ICU",))
OF_VISITS = ("Observation", "Procedure", "ServiceRequest", "Task")
OF_PATIENTS = ("Patient", "Encounter", "Appointment", *OF_VISITS)
OF_NOBODY = ("Location", "Device", "Organization")
ORU = "\r".join(
    (
        r"MSH|^~\&|LAB|GEN|TWIN|GEN|202603021000{n}+0000||ORU^R01|R{n}|P|2.5.1",
        "PID|1||P{visit}^^^GEN^MR",
        "PV1|1|I|||||||||||||||||{visit}^^^GEN^VN",
        "OBR|1||F{n}||||202603021000{n}+0000",
        "OBX|1|NM|8867-4^Heart rate^LN||{n}|/min|60-100|N|||F",
    )
)


def resources(n: str, unit: str) -> list[dict[str, Any]]:
    """A patient of a FHIR server in a bed of a unit, with what is done there, and a device."""
    patient, visit = {"reference": f"Patient/p{n}"}, {"reference": f"Encounter/e{n}"}
    about = {"subject": patient, "encounter": visit, "status": "completed", "intent": "order"}
    code = {"coding": [{"system": "urn:codes", "code": f"c{n}"}]}
    bed = {"reference": f"Location/b{n}"}
    path = [{"system": "urn:wardtwin:path", "value": f"GEN/{unit}/9/{n}"}]
    kinds: dict[str, dict[str, Any]] = {
        "Location": {"id": f"b{n}", "status": "active", "identifier": path},
        "Patient": {"id": f"p{n}", "gender": "female"},
        "Encounter": {
            "id": f"e{n}",
            "status": "in-progress",
            "class": {"code": "IMP"},
            "subject": patient,
            "period": {"start": "2026-03-02T08:00:00Z"},
            "location": [{"location": bed, "period": {"start": "2026-03-02T08:00:00Z"}}],
        },
        "ServiceRequest": {"id": f"s{n}", "code": code, **about},
        "Task": {
            "id": f"t{n}",
            "status": "in-progress",
            "intent": "order",
            "for": patient,
            "encounter": visit,
            "focus": {"reference": f"ServiceRequest/s{n}"},
        },
        "Procedure": {
            "id": f"r{n}",
            "status": "completed",
            "subject": patient,
            "encounter": visit,
            "code": code,
            "performedDateTime": "2026-03-02T10:00:00Z",
        },
        "Device": {"id": f"d{n}", "status": "active", "patient": patient},
    }
    return [{"resourceType": kind, **told} for kind, told in kinds.items()]


class Ward:
    """The same application asked by somebody who sees everything and by somebody of the ICU."""

    def __init__(self, caller: Caller, twin: Twin, control: AccessControl) -> None:
        self.caller, self.twin = caller, twin
        self.whole = control.store.create("whole", ("operations",))[1]
        self.icu = control.store.create("icu", ("operations",), units=ICU.units)[1]
        self.sender = control.store.create("sender", ("interface",))[1]

    def ask(self, path: str, key: str, method: str = "GET", **sent: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}", **sent.pop("headers", {})}
        return self.caller.request(method, path, headers=headers, **sent)

    def both(self, path: str) -> tuple[Any, Any]:
        whole, icu = (self.ask(path, key) for key in (self.whole, self.icu))
        assert (whole.status_code, icu.status_code) == (200, 200), (path, icu.text)
        return whole.json(), icu.json()

    def post(self, raw: bytes) -> None:
        assert self.ask("/v1/hl7v2", self.sender, "POST", content=raw).status_code == 200

    def visits(self) -> set[str]:
        """Ids of visits with a stay in the ICU."""
        rows = self.twin.query("SELECT encounter_id, facility, unit FROM twin.stay")
        return {row["encounter_id"] for row in rows if (row["facility"], row["unit"]) == GEN_ICU}

    def patients(self) -> set[str]:
        visits = self.visits()
        rows = self.twin.query("SELECT encounter_id, patient_id FROM twin.encounter")
        return {row["patient_id"] for row in rows if row["encounter_id"] in visits}

    def foreign(self) -> set[str]:
        """Every id of a visit or a patient that is nobody's of the ICU."""
        rows = self.twin.query("SELECT encounter_id, patient_id FROM twin.encounter")
        every = {row[name] for row in rows for name in row}
        return every - self.visits() - self.patients()


GEN_ICU = ("GEN", "ICU")


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    access = AccessSettings(requests_per_minute=100_000)
    settings = Settings(feeds={"adt": FeedSettings(time_zone="UTC")}, access=access)
    path = tmp_path_factory.mktemp("ward") / "w.duckdb"
    with Twin.open(path, settings=settings, clock=StoppedClock()) as twin:
        control = AccessControl(access, path)
        caller = Caller(create_app(twin, access=control))
        made = Ward(caller, twin, control)
        for raw in (*HEARD, adt("A01", "9", "11:30", "V9", "MED^1^4^GEN")):
            made.post(raw)
        for n, visit in ((10, "V2"), (11, "V9"), (12, "V1")):
            made.post(ORU.format(n=n, visit=visit).encode())
        for n, unit in ((1, "ICU"), (2, "MED")):
            made.post(siu("S12", n, f"07{n:02}", f"1{n}00", "RGS|1", f"AIL|1||{unit}^1^^GEN"))
        for n, unit in (("i", "ICU"), ("m", "MED")):
            for one in resources(n, unit):
                sent = {"Content-Type": "application/fhir+json"}
                address = f"/fhir/R4/{one['resourceType']}/{one['id']}"
                body = json.dumps(one).encode()
                answer = made.ask(address, made.sender, "PUT", content=body, headers=sent)
                assert answer.status_code in (200, 201, 202), answer.text
        twin.wait_applied()
        assert len(made.visits()) == 2
        assert len(made.foreign()) >= 6
        yield made
        caller.close()


def theirs(ward: Ward, resource: dict[str, Any]) -> bool:
    """The oracle for a FHIR resource."""
    kind, visits = resource["resourceType"], ward.visits()
    if kind == "Patient":
        return resource["id"] in ward.patients()
    if kind == "Encounter":
        return resource["id"] in visits
    if kind in OF_VISITS:
        visit = resource.get("encounter", {}).get("reference", "")
        return visit.removeprefix("Encounter/") in visits
    if kind == "Appointment":
        rows = ward.twin.query("SELECT appointment_id, facility, unit FROM twin.appointment")
        places = {row["appointment_id"]: (row["facility"], row["unit"]) for row in rows}
        return places[resource["id"]] == GEN_ICU
    return True


def entries(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["resource"] for one in bundle.get("entry", ()) if "resource" in one]


@pytest.mark.parametrize(
    "asked",
    [
        *(f"{kind}?_count=100" for kind in (*OF_PATIENTS, *OF_NOBODY)),
        "Encounter?status=in-progress&_sort=-date",
        "Patient?_has:Observation:patient:code=8867-4",
        "Observation?patient.gender=female",
    ],
)
def test_a_search_gives_what_is_theirs_and_counts_it(asked: str, ward: Ward) -> None:
    whole, icu = ward.both(f"/fhir/R4/{asked}")
    wanted = [one["id"] for one in entries(whole) if theirs(ward, one)]
    assert [one["id"] for one in entries(icu)] == wanted
    assert icu["total"] == len(wanted)
    if asked.partition("?")[0] in OF_PATIENTS:
        assert 0 < icu["total"] < whole["total"], "there is something to hold back"
    assert not [one for one in ward.foreign() if one in json.dumps(icu)]


@pytest.mark.parametrize(
    "asked",
    [
        "Encounter?_revinclude=Observation:encounter&_revinclude=Task:encounter",
        "Patient?_revinclude=Encounter:patient&_revinclude:iterate=Procedure:encounter",
        "Device?_include=Device:patient&_revinclude:iterate=Encounter:patient",
    ],
)
def test_nothing_else_comes_with_a_search(asked: str, ward: Ward) -> None:
    whole, icu = ward.both(f"/fhir/R4/{asked}")
    wanted = {one["id"] for one in entries(whole) if theirs(ward, one)}
    assert {one["id"] for one in entries(icu)} <= wanted
    about = {one["id"] for one in entries(icu) if one["resourceType"] in OF_PATIENTS}
    shown = {one["id"] for one in entries(whole) if one["resourceType"] in OF_PATIENTS}
    assert about == {one for one in wanted if one in shown}
    assert not [one for one in ward.foreign() if one in json.dumps(icu)]


def test_no_question_about_others_is_answered_through_what_is_nobodys(ward: Ward) -> None:
    whole, icu = ward.both("/fhir/R4/Location?_has:Encounter:location:status=in-progress")
    assert 0 < icu["total"] < whole["total"]


def test_reads_versions_histories_and_exports_are_held_to_the_unit_too(ward: Ward) -> None:
    for kind in ("Encounter", "Observation"):
        every = entries(ward.ask(f"/fhir/R4/{kind}?_count=100", ward.whole).json())
        mine = next(one for one in every if theirs(ward, one))
        for one in (mine, next(one for one in every if not theirs(ward, one))):
            address = f"/fhir/R4/{kind}/{one['id']}"
            version = f"{address}/_history/{one['meta']['versionId']}"
            for path in (address, f"{address}/_history", version):
                assert ward.ask(path, ward.icu).status_code == (200 if one is mine else 404), path
    whole, icu = ward.both("/fhir/R4/Encounter/_history?_count=500")
    wanted = {one["id"] for one in entries(whole) if theirs(ward, one)}
    assert {one["id"] for one in entries(icu)} == wanted
    wishes = {"Prefer": "respond-async"}
    types = "Patient,Encounter,Observation"
    begun = ward.ask(f"/fhir/R4/$export?_type={types}", ward.icu, headers=wishes)
    manifest = ward.ask(begun.headers["Content-Location"], ward.icu).json()
    told = "".join(ward.ask(one["url"], ward.icu).text for one in manifest["output"])
    assert all(visit in told for visit in ward.visits())
    assert not [one for one in ward.foreign() if one in told]
    since = "/fhir/R4/$export?_since=2020-01-01"
    refused = ward.ask(since, ward.icu, headers=wishes)
    assert (refused.status_code, "without _since" in refused.text) == (400, True)
    assert ward.ask(since, ward.whole, headers=wishes).status_code == 202


def test_a_form_a_batch_and_broken_glass_reach_as_far_as_they_should(ward: Ward) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    searched = ward.ask("/fhir/R4/Encounter/_search", ward.icu, "POST", headers=form, content=b"")
    assert {one["id"] for one in entries(searched.json())} == ward.visits()
    assert ward.ask("/fhir/R4/Measure", ward.icu).status_code == 200
    reason = {"reason": "resuscitation in MED"}
    other = ward.caller.app.state.access.store.create("o", ("operations",), units=("GEN/ICU",))[1]
    assert ward.ask("/v1/break-glass", other, "POST", json=reason).status_code == 200
    seen = ward.ask("/fhir/R4/Encounter?_count=100", other).json()
    assert seen["total"] > len(ward.visits())
    assert len(ward.ask("/v1/board", other).json()["units"]) > 1


def test_the_board_and_the_state_show_their_units_and_count_these(ward: Ward) -> None:
    whole, icu = ward.both("/v1/state")
    wanted = [one for one in whole["units"] if (one["facility"], one["unit"]) == GEN_ICU]
    assert icu["units"] == wanted
    assert icu["census"] == wanted[0]["census"] < whole["census"]
    assert icu["counts"] == wanted[0]["counts"]
    assert (len(whole["ed"]), icu["ed"]) == (1, [])
    board, narrow = ward.both("/v1/board")
    assert narrow["units"] == [one for one in board["units"] if one["key"] == "GEN/ICU"]
    assert (board["of"], narrow["of"]) == ([], ["GEN/ICU"])
    assert narrow["totals"]["census"] == wanted[0]["census"]
    assert narrow["totals"]["quarantined"] == board["totals"]["quarantined"]
    assert [one["kpi_id"] for one in narrow["kpis"]] == [one["kpi_id"] for one in board["kpis"]]
    assert narrow["feeds"] == board["feeds"]
    short = {one[:7] for one in ward.foreign() if one.startswith("e")}
    for path in ("/", "/past?at=2026-03-02T11:40Z&against=2026-03-02T08:30Z"):
        page = ward.ask(path, ward.icu)
        assert page.status_code == 200
        assert not [one for one in short | ward.foreign() if one in page.text], path
        assert "GEN/ICU" in page.text
    emergency = ward.caller.app.state.access.store.create(
        "ed", ("operations",), facilities=("GEN",)
    )[1]
    assert ward.ask("/v1/state", emergency).json()["ed"] == whole["ed"]


def test_a_stream_tells_each_watcher_of_their_units(ward: Ward) -> None:
    live, run = ward.caller.app.state.live, ward.caller.runner.run

    def event(client: Any) -> tuple[str, dict[str, Any]]:
        name, _, body = run(client.next()).decode().strip().split("\n")
        return name.removeprefix("event: "), json.loads(body.removeprefix("data: "))

    whole, icu = run(live.join()), run(live.join(ICU))
    try:
        (_, seen), (name, narrow) = event(whole), event(icu)
        assert name == "snapshot"
        assert [unit["key"] for unit in narrow["units"]] == ["GEN/ICU"]
        assert len(seen["units"]) > 1
        for control, place, told in (("21", "MED^1^5^GEN", []), ("22", "ICU^1^2^GEN", ["GEN/ICU"])):
            ward.post(adt("A01", control, "11:45", f"V{control}", place))
            ward.twin.wait_applied()
            run(live.board())
            changed, theirs_ = [], []
            # The board may have been composed by itself in between, for both alike.
            while place.partition("^")[0] not in str(changed):
                (_, delta), (name, narrow) = event(whole), event(icu)
                assert (name, narrow["previous"]) == ("delta", delta["previous"])
                changed += [unit["key"] for unit in delta.get("units", ())]
                theirs_ += [unit["key"] for unit in narrow.get("units", ())]
            assert theirs_ == told
    finally:
        live._clients -= {whole, icu}


def test_a_stream_ends_so_that_its_watcher_is_asked_again_who_they_are(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, run = ward.caller.app.state.live, ward.caller.runner.run

    async def told() -> list[bytes]:
        return [event async for event in live.stream(await live.join(ICU))]

    monkeypatch.setattr("api.live.LONGEST_S", -1.0)
    begin, snapshot, last = run(told())
    assert (begin[:6], snapshot[:15]) == (b"retry:", b"event: snapshot")
    assert last.startswith(b"event: refetch")
    assert live.clients == 0


def test_lists_visits_and_messages_are_those_of_the_unit(ward: Ward) -> None:
    visits = ward.visits()
    whole, icu = ward.both("/v1/encounters?limit=100")
    assert {one["encounter_id"] for one in icu["encounters"]} == visits
    assert len(whole["encounters"]) > len(visits)
    assert ward.both("/v1/encounters?facility=GEN&unit=MED")[1]["encounters"] == []
    assert {one["encounter_id"] for one in ward.both("/v1/encounters?unit=ICU")[1]["encounters"]}
    whole, icu = ward.both("/v1/observations")
    assert {one["encounter_id"] for one in icu["observations"]} <= visits
    assert 0 < len(icu["observations"]) < len(whole["observations"])
    whole, icu = ward.both("/v1/appointments?limit=100")
    assert [one["unit"] for one in icu["appointments"]] == ["ICU"]
    assert {one["unit"] for one in whole["appointments"]} == {"ICU", "MED"}
    mine, other = ward.visits().pop(), min(one for one in ward.foreign() if one[0] == "e")
    for visit, wanted in ((mine, 200), (other, 404)):
        assert ward.ask(f"/visits/{visit}", ward.icu).status_code == wanted
        detail = ward.ask(f"/v1/encounters/{visit}", ward.whole).json()
        assert ward.ask(f"/v1/encounters/{visit}", ward.icu).status_code == wanted
        path = f"/v1/messages/{detail['messages'][0]['message_id']}"
        assert ward.ask(path, ward.icu).status_code == wanted
    assert ward.ask("/v1/messages/999999", ward.icu).status_code == 404


def test_a_message_about_two_visits_is_nobodys_of_one_unit(ward: Ward) -> None:
    first = adt("A17", "31", "11:50", "V2", "ICU^1^1^GEN").decode()
    other = adt("A17", "31", "11:50", "V9", "MED^1^4^GEN").decode().split("\r", 2)[2]
    ward.post(f"{first}\r{other}".encode())
    ward.twin.wait_applied()
    [row] = ward.twin.query("SELECT max(message_id) AS id FROM twin.message")
    path = f"/v1/messages/{row['id']}"
    assert "A17" in ward.ask(path, ward.whole).text
    assert ward.ask(path, ward.icu).status_code == 404


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/messages", "cannot be told apart by units"),
        ("/quarantine", "cannot be told apart by units"),
        ("/v1/findings", "ask for one message by its number"),
        ("/v1/kpis/occ_hourly/rows", "by=unit, facility and unit"),
        ("/v1/kpis/occ_hourly/rows?by=unit&facility=GEN&unit=MED", "by=unit"),
        ("/v1/kpis/occ_hourly/rows?by=hospital&facility=GEN&unit=ICU", "by=unit"),
        ("/v1/kpis/occ_hourly/rows?by=unit&facility=GEN&unit=ICU&unit=MED", "by=unit"),
    ],
)
def test_what_cannot_be_held_to_a_unit_says_so(path: str, words: str, ward: Ward) -> None:
    answer = ward.ask(path, ward.icu)
    assert answer.status_code == 403
    assert words in answer.text
    assert ward.ask(path, ward.whole).status_code in (200, 400, 422)


def test_the_rows_behind_a_figure_of_their_unit_are_shown(ward: Ward) -> None:
    asked = "by=unit&facility=GEN&unit=ICU&start=2026-03-02&end=2026-03-03&grain=hour"
    for path in ("/v1/kpis/occ_hourly/rows", "/kpis/occ_hourly/rows"):
        assert ward.ask(f"{path}?{asked}", ward.icu).status_code == 200


def test_every_filtered_address_is_one_that_shows_patients() -> None:
    shown = {door.address for doors in DOORS.values() for door in doors if door.identified}
    assert shown >= FILTERED


@pytest.mark.parametrize(
    ("reach", "reached"),
    [
        (Reach(), {("GEN", "ICU"), ("GEN", "MED"), ("", "ICU"), ("O'K", "ICU")}),
        (Reach(units=("GEN/ICU",)), {("GEN", "ICU")}),
        (Reach(units=("ICU",)), {("GEN", "ICU"), ("", "ICU"), ("O'K", "ICU")}),
        (Reach(facilities=("GEN",)), {("GEN", "ICU"), ("GEN", "MED")}),
        (Reach(("O'K",), ("MED",)), {("GEN", "MED"), ("O'K", "ICU")}),
    ],
)
def test_python_and_sql_agree_on_whose_a_place_is(
    reach: Reach, reached: set[tuple[str, str]], ward: Ward
) -> None:
    places = [("GEN", "ICU"), ("GEN", "MED"), ("", "ICU"), ("O'K", "ICU")]
    assert {one for one in places if reach.reaches(*one)} == reached
    values = ", ".join(
        f"(nullif('{facility.replace(chr(39), chr(39) * 2)}', ''), '{unit}')"
        for facility, unit in places
    )
    rows = ward.twin.query(
        f"SELECT coalesce(facility, '') AS facility, unit FROM (VALUES {values}) v(facility, unit)"
        f" WHERE {reach.of_places()}"
    )
    assert {(row["facility"], row["unit"]) for row in rows} == reached
