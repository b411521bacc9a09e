"""The FHIR bases over HTTP, as a sender sees them, in front of a recorder with a Twin's manners."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from adapters.fhir import Release, judge
from api.routes.fhir import fhir_router
from twin_core.errors import StoreBusy, StoreError
from twin_core.events import Rejection
from twin_core.inbox import Answer
from twin_core.settings import FhirSettings, LimitSettings, Settings

NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
JSON = {"Content-Type": "application/fhir+json"}


class StoppedClock:
    """A clock that stands still."""

    def now(self):
        return NOW


class Recorder:
    """Takes receipts in as an inbox does: groups, duplicates by sender, control id and digest."""

    def __init__(self, settings=None):
        self.settings = settings or Settings()
        self.clock = StoppedClock()
        self.groups = []
        self.seen = {}
        self.position = 0
        self.failure = None
        self.rows: Callable[[str, object], list] = lambda sql, parameters: []

    def submit(self, receipts):
        future = Future()
        if self.failure is not None:
            future.set_exception(self.failure)
        else:
            self.groups.append(list(receipts))
            future.set_result([self._answer(receipt) for receipt in receipts])
        return future

    def query(self, sql, parameters=()):
        return self.rows(sql, parameters)

    @property
    def receipts(self):
        return [receipt for group in self.groups for receipt in group]

    def _answer(self, receipt):
        self.position += 1
        if isinstance(receipt.outcome, Rejection):
            return Answer(status="rejected", code=receipt.outcome.code, position=self.position)
        envelope = receipt.outcome.envelope
        bodies = self.seen.setdefault((envelope.sender, envelope.control_id), {})
        first = bodies.get(envelope.digest)
        if first and (not envelope.unversioned or first == max(bodies.values())):
            return Answer(status="duplicate", code="AA", position=first)
        bodies[envelope.digest] = self.position
        return Answer(status="accepted", code="AA", position=self.position)


@pytest.fixture
def twin():
    return Recorder()


def send(twin, method, path, body=b"", headers=JSON):
    """One request to a real application in front of the twin."""
    app = FastAPI()
    app.include_router(fhir_router(twin))
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def once():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://twin.test") as client:
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(once())


def issues(answer):
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert judge(body, Release.R4) == []
    return [(one["code"], one.get("expression", [""])[0]) for one in body["issue"]]


def a_patient(**changed):
    return {"resourceType": "Patient", "id": "p1", **changed}


def an_encounter(**changed):
    return {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "in-progress",
        "class": {"code": "IMP"},
        **changed,
    }


def transaction(*entries, kind="transaction"):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def asks(resource, method="POST", url=None, **request):
    url = url or resource["resourceType"]
    return {"resource": resource, "request": {"method": method, "url": url, **request}}


@pytest.mark.parametrize("release", list(Release))
def test_a_created_resource_is_stored_before_it_is_answered(twin, release):
    answer = send(twin, "POST", f"/fhir/{release}/Patient", a_patient())
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"http://twin.test/fhir/{release}/Patient/p1/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert issues(answer) == [("informational", "")]
    (receipt,) = twin.receipts
    assert json.loads(receipt.raw) == a_patient()
    assert (receipt.format, receipt.feed) == ("fhir", "fhir")


def test_a_version_and_its_time_come_back(twin):
    meta = {"versionId": "7", "lastUpdated": "2026-03-01T10:00:00+01:00"}
    answer = send(twin, "POST", "/fhir/R4/Patient", a_patient(meta=meta))
    assert answer.headers["ETag"] == 'W/"7"'
    assert answer.headers["Last-Modified"] == "Sun, 01 Mar 2026 09:00:00 GMT"


def test_a_duplicate_is_answered_as_the_first_time(twin):
    for method, path in (("POST", "/fhir/R4/Patient"), ("PUT", "/fhir/R4/Patient/p1")):
        first = send(twin, method, path, a_patient())
        again = send(twin, method, path, a_patient())
        assert (first.status_code, first.headers["Location"], first.content) == (
            again.status_code,
            again.headers["Location"],
            again.content,
        )


def test_a_put_creates_first_and_updates_then():
    twin = Recorder()
    app = FastAPI()
    app.include_router(fhir_router(twin))

    async def several():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://twin.test") as client:
            for body in (a_patient(), a_patient(gender="male"), a_patient()):
                yield await client.put("/fhir/R4/Patient/p1", json=body)

    async def statuses():
        return [answer.status_code async for answer in several()]

    assert asyncio.run(statuses()) == [201, 200, 200]
    # The store is asked for its own id, too, which tells what comes back to it.
    twin.rows = lambda sql, parameters: [{"subject": "Patient/p1", "first": 1, "id": "twin"}]
    twin.position = 100
    later = send(twin, "PUT", "/fhir/R4/Patient/p1", a_patient(gender="female"))
    assert later.status_code == 200


def test_a_put_takes_its_id_from_the_address(twin):
    body = {"resourceType": "Patient"}
    answer = send(twin, "PUT", "/fhir/R4/Patient/p9", body)
    assert answer.status_code == 201
    assert twin.receipts[0].outcome.events[0].subject.value == "Patient/p9"
    other = send(twin, "PUT", "/fhir/R4/Patient/p9", a_patient())
    assert other.status_code == 400
    assert send(twin, "PUT", "/fhir/R4/Patient/a_b", body).status_code == 400


def test_a_resource_without_an_id_gets_one(twin):
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
    first = send(twin, "POST", "/fhir/R4/Patient", body).headers["Location"]
    again = send(twin, "POST", "/fhir/R4/Patient", {**body, "gender": "male"}).headers["Location"]
    assert first.split("/")[-3] == again.split("/")[-3]


def test_what_was_odd_comes_back_as_a_warning(twin):
    body = an_encounter(period={"start": "2026-03-01"})
    answer = send(twin, "POST", "/fhir/R4/Encounter", body)
    assert answer.status_code == 201
    assert [one["severity"] for one in answer.json()["issue"]] == ["warning"]
    minimal = send(twin, "POST", "/fhir/R4/Encounter", body, {**JSON, "Prefer": "return=minimal"})
    assert (minimal.status_code, minimal.content) == (201, b"")


def test_invalid_content_is_422_with_expressions_and_quarantined(twin):
    body = an_encounter(status="CANARY", location=[{"status": "active"}])
    answer = send(twin, "POST", "/fhir/R4/Encounter", body)
    assert answer.status_code == 422
    assert ("code-invalid", "Encounter.status") in issues(answer)
    assert ("required", "Encounter.location[0].location") in issues(answer)
    assert "CANARY" not in answer.text
    (receipt,) = twin.receipts
    assert isinstance(receipt.outcome, Rejection)
    assert json.loads(receipt.raw) == body


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/fhir/R4/Patient", b"{", 400),
        ("/fhir/R4/Patient", b"", 400),
        ("/fhir/R4/Patient", {"resourceType": "Device"}, 400),
        ("/fhir/R4/Patient", {"id": "x"}, 400),
        ("/fhir/R4/Ward", {"resourceType": "Ward"}, 404),
        ("/fhir/R4/EncounterHistory", {"resourceType": "EncounterHistory"}, 404),
        ("/fhir/R4", a_patient(), 400),
        ("/fhir/R4/Patient?source=a/b", a_patient(), 400),
        ("/fhir/R4/Patient?source=", a_patient(), 400),
        ("/fhir/R4/Patient?source=a&source=b", a_patient(), 400),
        ("/fhir/R4/Patient?source=" + "a" * 65, a_patient(), 400),
    ],
)
def test_what_cannot_be_read_says_why(twin, path, body, status):
    answer = send(twin, "POST", path, body)
    assert answer.status_code == status
    assert issues(answer)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/fhir+json", 201),
        ("application/json", 201),
        ("application/fhir+json; charset=UTF-8", 201),
        ("application/fhir+json; fhirVersion=4.0", 201),
        ("application/fhir+json;fhirVersion=4.0.1; charset=utf-8", 201),
        ("application/fhir+json; fhirVersion=5.0", 415),
        ("application/fhir+json; charset=latin-1", 415),
        ("application/fhir+xml", 415),
        ("application/xml", 415),
        ("text/plain", 415),
        ("nonsense", 415),
        ("", 415),
    ],
)
def test_only_json_in_utf_8_of_this_edition_is_taken(twin, content_type, status):
    headers = {"Content-Type": content_type}
    answer = send(twin, "POST", "/fhir/R4/Patient", a_patient(), headers)
    assert answer.status_code == status
    assert issues(answer)


def test_a_sender_that_reads_xml_only_is_told_so(twin):
    headers = {**JSON, "Accept": "application/fhir+xml"}
    assert send(twin, "POST", "/fhir/R4/Patient", a_patient(), headers).status_code == 406
    headers = {**JSON, "Accept": "application/fhir+xml;q=0.5, application/fhir+json"}
    assert send(twin, "POST", "/fhir/R4/Patient", a_patient(), headers).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/fhir/R4", 404),
        ("GET", "/fhir/R4/Condition", 404),
        ("GET", "/fhir/R4/Condition/p1", 404),
        ("GET", "/fhir/R5/Condition", 404),
        ("GET", "/fhir/R5/Condition/p1/_history/1", 404),
        ("DELETE", "/fhir/R4/Patient", 405),
        ("DELETE", "/fhir/R4/Ward/1", 404),
        ("PATCH", "/fhir/R4/Patient/p1", 405),
        ("PUT", "/fhir/R4", 405),
        ("PUT", "/fhir/R4/Patient", 405),
        ("POST", "/fhir/R4/Patient/p1", 405),
        ("POST", "/fhir/R4/Condition/_search", 404),
        ("POST", "/fhir/R5/Condition/_search", 404),
        ("OPTIONS", "/fhir/R4/Patient", 405),
    ],
)
def test_what_this_server_does_not_do_is_said_in_fhir(twin, method, path, status):
    answer = send(twin, method, path)
    assert answer.status_code == status
    assert issues(answer)[0][0] == "not-supported"
    assert twin.receipts == []


@pytest.mark.parametrize("release", list(Release))
def test_the_capability_statement_is_valid_and_true(twin, release):
    answer = send(twin, "GET", f"/fhir/{release}/metadata")
    statement = answer.json()
    assert judge(statement, release) == []
    assert statement["fhirVersion"].startswith({"R4": "4.0", "R4B": "4.3", "R5": "5.0"}[release])
    types = {one["type"] for one in statement["rest"][0]["resource"]}
    assert {"Patient", "Encounter", "Location", "Device"} <= types
    assert ("EncounterHistory" in types) == (release == Release.R5)


def test_the_source_is_the_senders_name(twin):
    send(twin, "POST", "/fhir/R4/Patient?source=icu-2", a_patient(meta={"source": "lab"}))
    send(twin, "POST", "/fhir/R4/Patient", a_patient(meta={"source": "lab"}))
    send(twin, "POST", "/fhir/R4/Patient", a_patient(meta={"source": "https://lab.example/x"}))
    assert [receipt.feed for receipt in twin.receipts] == ["icu-2", "lab", "fhir"]


def test_a_delete_is_stored_before_it_is_answered_without_a_body(twin):
    for _ in range(2):
        answer = send(twin, "DELETE", "/fhir/R4/Encounter/e1?source=icu")
        assert (answer.status_code, answer.content) == (204, b"")
    receipts = twin.receipts
    assert [receipt.feed for receipt in receipts] == ["icu", "icu"]
    assert [receipt.outcome.events[0].subject.value for receipt in receipts] == ["Encounter/e1"] * 2
    assert json.loads(receipts[0].raw)["request"] == {"method": "DELETE", "url": "Encounter/e1"}
    twin.failure = StoreError("The disk is full.")
    assert send(twin, "DELETE", "/fhir/R4/Encounter/e1").status_code == 503


def test_a_transaction_may_delete(twin):
    gone = {"request": {"method": "DELETE", "url": "Encounter/e1"}}
    answer = send(twin, "POST", "/fhir/R4", transaction(asks(a_patient(id="p2")), gone))
    assert answer.status_code == 200
    statuses = [one["response"]["status"] for one in answer.json()["entry"]]
    assert statuses == ["201 Created", "204 No Content"]
    twice = transaction(asks(an_encounter(), "PUT", "Encounter/e1"), gone)
    assert send(twin, "POST", "/fhir/R4", twice).status_code == 422


def test_a_transaction_is_one_group(twin):
    body = transaction(
        asks({"resourceType": "Location", "id": "w1"}, "PUT", "Location/w1"),
        {
            "fullUrl": "urn:uuid:a",
            **asks({"resourceType": "Patient", "identifier": [{"system": "s", "value": "1"}]}),
        },
        asks(an_encounter(subject={"reference": "urn:uuid:a"})),
    )
    answer = send(twin, "POST", "/fhir/R4", body)
    assert answer.status_code == 200
    response = answer.json()
    assert judge(response, Release.R4) == []
    assert response["type"] == "transaction-response"
    assert [one["response"]["status"] for one in response["entry"]] == ["201 Created"] * 3
    assert [len(group) for group in twin.groups] == [3]
    _, patient, encounter = (receipt.outcome.events[0] for receipt in twin.receipts)
    assert encounter.patient == (patient.subject,)
    assert response["entry"][1]["response"]["location"].startswith(
        f"http://twin.test/fhir/R4/{patient.subject.value}/_history/"
    )


@pytest.mark.parametrize(
    ("entry", "expression"),
    [
        (asks(an_encounter(status="nonsense")), "Bundle.entry[1].resource.status"),
        (asks(a_patient(), "PATCH", "Patient/p1"), "Bundle.entry[1].request.method"),
        (asks(a_patient(), "DELETE", "Patient?name=x"), "Bundle.entry[1].request.url"),
        (asks(a_patient(), "PUT", "Patient/other"), "Bundle.entry[1].request.url"),
        (asks(a_patient(), "POST", "Device"), "Bundle.entry[1].request.url"),
        (asks(a_patient(id="p0")), "Bundle.entry[1].request.url"),
        ({"resource": a_patient()}, "Bundle.entry[1].request.method"),
        ({"request": {"method": "POST", "url": "Patient"}}, "Bundle.entry[1]"),
    ],
)
def test_one_bad_entry_refuses_the_whole_transaction(twin, entry, expression):
    body = transaction(asks(a_patient(id="p0")), entry)
    answer = send(twin, "POST", "/fhir/R4", body)
    assert answer.status_code == 422
    assert expression in [where for _, where in issues(answer)]
    (receipt,) = twin.receipts
    assert isinstance(receipt.outcome, Rejection)
    assert json.loads(receipt.raw) == body


def test_a_batch_is_answered_entry_by_entry(twin):
    body = transaction(
        asks(a_patient()),
        asks(an_encounter(status="nonsense")),
        {"request": {"method": "GET", "url": "Condition/p1"}},
        kind="batch",
    )
    answer = send(twin, "POST", "/fhir/R4", body)
    response = answer.json()
    assert judge(response, Release.R4) == []
    assert response["type"] == "batch-response"
    statuses = [one["response"]["status"][:3] for one in response["entry"]]
    # The recorder behind this application has nothing to read from.
    assert statuses == ["201", "422", "404"]
    outcome = response["entry"][1]["response"]["outcome"]
    assert outcome["issue"][0]["expression"] == ["Bundle.entry[1].resource.status"]
    assert len(twin.receipts) == 2


@pytest.mark.parametrize("kind", ["collection", "searchset", "message", "history", "document"])
def test_other_bundles_are_taken_entry_by_entry(twin, kind):
    body = transaction({"resource": a_patient()}, {"resource": an_encounter()}, kind=kind)
    answer = send(twin, "POST", "/fhir/R4/", body)
    assert answer.status_code == 200
    assert [len(receipt.outcome.events) for receipt in twin.receipts] == [1, 1]


def test_an_empty_bundle_stores_nothing(twin):
    answer = send(twin, "POST", "/fhir/R4", {"resourceType": "Bundle", "type": "batch"})
    assert answer.status_code == 200
    assert twin.receipts == []


def test_too_many_entries_are_refused():
    twin = Recorder(Settings(limits=LimitSettings(bundle_entries=2)))
    answer = send(twin, "POST", "/fhir/R4", transaction(*[asks(a_patient())] * 3))
    assert answer.status_code == 413


def test_a_large_bundle_is_taken_too(twin):
    entries = [asks(a_patient(id=f"p{number}")) for number in range(2_000)]
    answer = send(twin, "POST", "/fhir/R4", transaction(*entries))
    assert answer.status_code == 200
    assert len(answer.json()["entry"]) == 2_000


def test_a_batch_may_state_one_resource_again_and_the_last_one_stands(twin):
    body = transaction(
        asks(a_patient(gender="male"), "PUT", "Patient/p1"),
        asks(a_patient(gender="female"), "PUT", "Patient/p1"),
        kind="batch",
    )
    response = send(twin, "POST", "/fhir/R4", body).json()
    assert [one["response"]["status"][:3] for one in response["entry"]] == ["201", "200"]
    first, second = (receipt.outcome.events[0] for receipt in twin.receipts)
    assert first.occurred_at < second.occurred_at


def test_requests_of_one_instant_are_ordered_by_receipt(twin):
    app = FastAPI()
    app.include_router(fhir_router(twin))

    async def several():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://twin.test") as client:
            for gender in ("male", "female", "other"):
                await client.put("/fhir/R4/Patient/p1", json=a_patient(gender=gender))

    asyncio.run(several())
    told = [receipt.outcome.events[0].occurred_at for receipt in twin.receipts]
    assert told == sorted(set(told))


def test_if_none_exist_answers_with_what_exists(twin):
    asked = []

    def rows(sql, parameters):
        asked.append(parameters)
        return [] if "starts_with" in sql else [{"id": "pabc"}]

    twin.rows = rows
    headers = {**JSON, "If-None-Exist": "identifier=urn:mrn|4711"}
    answer = send(twin, "POST", "/fhir/R4/Patient", a_patient(), headers)
    assert answer.status_code == 200
    assert answer.headers["Location"] == "http://twin.test/fhir/R4/Patient/pabc"
    assert asked[0] == {"system": "urn:mrn", "value": "4711"}
    assert twin.receipts == []
    twin.rows = lambda sql, parameters: [{"id": "a"}, {"id": "b"}]
    assert send(twin, "POST", "/fhir/R4/Patient", a_patient(), headers).status_code == 412
    twin.rows = lambda sql, parameters: []
    assert send(twin, "POST", "/fhir/R4/Patient", a_patient(), headers).status_code == 201


@pytest.mark.parametrize(
    "condition",
    ["identifier=x' OR '1'='1", "identifier=a", "name=a|b", "identifier=a|b&active=true", "a"],
)
def test_if_none_exist_in_another_form_is_refused(twin, condition):
    headers = {**JSON, "If-None-Exist": condition}
    answer = send(twin, "POST", "/fhir/R4/Patient", a_patient(), headers)
    assert answer.status_code == 412
    assert "OR" not in answer.text


def test_a_transaction_points_at_what_exists(twin):
    twin.rows = lambda sql, _: (
        [{"value": "Patient/known"}] if "starts_with" in sql else [{"id": "x"}]
    )
    body = transaction(
        {"fullUrl": "urn:uuid:a", **asks(a_patient(), ifNoneExist="identifier=s|1")},
        asks(an_encounter(subject={"reference": "urn:uuid:a"})),
    )
    response = send(twin, "POST", "/fhir/R4", body).json()
    assert [one["response"]["status"][:3] for one in response["entry"]] == ["200", "201"]
    (encounter,) = twin.receipts
    assert encounter.outcome.events[0].patient[0].value == "Patient/known"


@pytest.mark.parametrize("failure", [StoreBusy("busy"), StoreError("full", why="CANARY")])
def test_a_store_that_fails_is_503_and_may_be_tried_again(twin, failure):
    twin.failure = failure
    for path, body in (
        ("/fhir/R4/Patient", a_patient()),
        ("/fhir/R4", transaction()),
        ("/fhir/R4", b"{"),
    ):
        answer = send(twin, "POST", path, body)
        if answer.status_code != 200:
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert issues(answer) == [("transient", "")]
            assert "CANARY" not in answer.text


def test_strictness_is_a_setting():
    body = an_encounter(ward="W1")
    for strictness, status in (("lenient", 201), ("standard", 201), ("strict", 422)):
        twin = Recorder(Settings(fhir=FhirSettings(strictness=strictness)))
        assert send(twin, "POST", "/fhir/R4/Encounter", body).status_code == status
