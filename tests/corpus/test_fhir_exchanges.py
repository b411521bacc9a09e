"""Exchanges that were recorded from a real server: each is handled as it was meant."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from fhir_peer import Time, settings

from adapters.fhir.client.bulk import Export, ExportFile, ExportState
from adapters.fhir.client.capability import read_capability
from adapters.fhir.client.deletions import DeletedSearch, read_again
from adapters.fhir.client.faults import Declined, Lost, SourceError, Unauthorized, Untrustworthy
from adapters.fhir.client.fetching import Fetcher
from adapters.fhir.client.manners import Reply, refused
from adapters.fhir.client.outcome import issue_codes
from adapters.fhir.client.page import entry, head_of, read_page
from adapters.fhir.client.patience import asked_pause
from adapters.fhir.client.search import Search
from adapters.fhir.client.server import FhirServer
from twin_core.settings import LimitSettings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT.parent / "shared" / "corpus" / "fhir" / "server-exchanges"
FILES = sorted(FOLDER.glob("*.json"))
BASE = "http://localhost:58103/fhir/R4"
DELETED = "c68b463a-e73a-4d5f-b429-c60f40cb9578"
pytestmark = pytest.mark.skipif(not FILES, reason="the corpus is not here")


def recorded(number):
    [file] = [file for file in FILES if file.name.startswith(f"{number:02d}_")]
    return json.loads(file.read_text("utf-8"))


def body(number):
    told = recorded(number)["response"]["body"]
    return (told if isinstance(told, str) else json.dumps(told)).encode()


def reply(number):
    exchange = recorded(number)
    told = exchange["response"]
    return Reply(told["status"], told["headers"], body(number), exchange["request"]["url"])


class Replayed:
    """Answers what was recorded for an address, whatever the order of its parameters."""

    def __init__(self, *numbers):
        self.asked = []
        self.answers = {}
        for number in numbers:
            exchange = recorded(number)
            key = (exchange["request"]["method"], httpx.URL(exchange["request"]["url"]).path)
            self.answers.setdefault(key, []).append(exchange["response"])

    def __call__(self, request):
        self.asked.append(request)
        several = self.answers[request.method, request.url.path]
        told = several.pop(0) if len(several) > 1 else several[0]
        kept = {
            k: v
            for k, v in told["headers"].items()
            if not k.startswith(("content-e", "content-l", "transfer"))
        }
        sent = told["body"]
        content = (
            b""
            if sent is None
            else sent.encode()
            if isinstance(sent, str)
            else json.dumps(sent).encode()
        )
        location = told["headers"].get("content-location")
        headers = kept | ({"content-location": location} if location else {})
        return httpx.Response(told["status"], headers=headers, stream=httpx.ByteStream(content))


def with_server(replayed, work, **changed):
    async def run():
        async with httpx.AsyncClient(transport=httpx.MockTransport(replayed)) as http:
            source = settings(url=BASE, types=("Encounter", "Patient"), **changed)
            limits = LimitSettings()
            return await work(FhirServer("pas", source, limits, http, Time().world()))

    return asyncio.run(run())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_body_is_read_or_refused_with_a_reason(file):
    told = json.loads(file.read_text("utf-8")).get("response")
    if told is None or told["body"] is None:
        return
    sent = told["body"] if isinstance(told["body"], str) else json.dumps(told["body"])
    with contextlib.suppress(SourceError):
        read_page(sent.encode(), LimitSettings(), "pas")
    assert isinstance(issue_codes(sent.encode()), str)


@pytest.mark.parametrize(
    ("number", "entries", "next_"),
    [
        (10, 20, "_cursor="),
        (11, 20, "_cursor="),
        (12, 21, "_offset=3"),
        (13, 5, "_offset=5"),
        (15, 75, ""),
        (34, 2, ""),
        (37, 3, ""),
        (40, 1, ""),
        (43, 10, "_offset"),
    ],
)
def test_pages(number, entries, next_):
    page = read_page(body(number), LimitSettings(), "pas")
    assert len(page.entries) == entries
    assert next_ in page.next
    assert bool(page.next) == bool(next_)
    assert all(one.kind and one.id for one in page.entries)
    assert all(one.updated_at for one in page.entries if one.raw)


def test_a_search_goes_on_from_page_to_page():
    replayed = Replayed(10, 11)

    async def work(server):
        steps = []
        async for step in Search(server, "Encounter").passed(None):
            steps.append(step)
            if len(steps) == 2:
                return steps

    first, second = with_server(replayed, work)
    assert "_cursor=2-1795299039018" in str(replayed.asked[1].url)
    assert second.checkpoint.is_ordered
    assert second.checkpoint.watermark > first.checkpoint.watermark
    ids = {one.id for step in (first, second) for one in step.entries}
    assert 39 <= len(ids) <= 40


def test_what_is_included_does_not_move_the_watermark():
    replayed = Replayed(12)

    async def work(server):
        async for step in Search(server, "Encounter").passed(None):
            return step

    step = with_server(replayed, work, includes={"Encounter": ["Encounter:subject"]})
    assert {one.kind for one in step.entries} > {"Encounter"}
    matches = [one for one in step.entries if one.kind == "Encounter" and one.mode == "match"]
    assert len(matches) == 3
    assert step.checkpoint.reached == max(one.updated for one in matches)


@pytest.mark.parametrize(
    ("number", "kind", "codes"),
    [
        (14, Declined, "error invalid"),
        (16, Declined, "error invalid"),
        (20, Unauthorized, "error login"),
        (21, Unauthorized, "error login"),
        (22, Declined, "invalid_request"),
        (23, Lost, "error not-found"),
        (32, Declined, "error processing"),
        (33, Declined, "error structure"),
        (36, Lost, "error deleted"),
        (38, Lost, "error not-found"),
        (55, Lost, "error not-found"),
        (63, Declined, "error invalid"),
        (71, Declined, "invalid_request"),
        (72, Declined, "invalid_request"),
        (80, Declined, "error throttled"),
    ],
)
def test_refusals(number, kind, codes):
    error = refused("pas", reply(number), "it")
    assert type(error) is kind
    assert codes in str(error)
    assert DELETED not in str(error)


def test_the_capability_statement():
    capability = read_capability(body(2), "pas")
    assert (capability.version, str(capability.release)) == ("4.0.1", "R4")
    assert capability.software == "medplum 5.0.10-6a4145c"
    assert capability.token_url.endswith(":58103/oauth2/token")
    assert capability.can("Encounter", "search-type")
    assert not capability.can("Encounter", "history-type")
    assert capability.address == BASE


@pytest.mark.parametrize("answer", [1, 70])
def test_a_token_is_got_from_the_discovered_endpoint(answer):
    replayed = Replayed(3, answer, 23)

    async def work(server):
        return await server.authorization.headers()

    auth = {"method": "client_secret", "client_id": "twin", "client_secret": "s"}
    assert with_server(replayed, work, auth=auth) == {"Authorization": "Bearer <redacted>"}
    assert str(replayed.asked[-1].url) == "http://localhost:58103/oauth2/token"


@pytest.mark.parametrize("answer", [22, 71, 72])
def test_a_refused_token(answer):
    replayed = Replayed(3, answer)

    async def work(server):
        await server.authorization.headers()

    auth = {"method": "client_secret", "client_id": "twin", "client_secret": "s"}
    with pytest.raises(Unauthorized, match=r"invalid_request.*sources\.pas\.auth|client_id"):
        with_server(replayed, work, auth=auth)


def test_a_limit_without_retry_after():
    exchange = recorded(80)
    assert asked_pause(exchange["response"]["headers"], Time().now()) == 59


def test_a_history_tells_of_a_delete_and_an_instance_of_its_versions():
    deleted, *versions = read_page(body(37), LimitSettings(), "pas").entries
    assert deleted.is_delete
    assert (deleted.kind, deleted.id) == ("Encounter", DELETED)
    assert deleted.version == "06d887fc-5e17-4372-954f-5af429836551"
    assert [one.is_delete for one in versions] == [False, False]
    assert versions[0].updated_at > versions[1].updated_at
    assert not any(one.is_delete for one in read_page(body(34), LimitSettings(), "pas").entries)


def test_a_read_that_answers_gone_is_a_delete_that_the_history_names():
    replayed = Replayed(2, 36, 37)

    async def work(server):
        return await read_again(server, "Encounter", DELETED, "60ba316a")

    gone = with_server(replayed, work)
    assert (gone.is_delete, gone.kind, gone.id) == (True, "Encounter", DELETED)
    assert gone.version == "06d887fc-5e17-4372-954f-5af429836551"
    assert gone.updated == "2026-11-21T22:11:58.000Z"
    assert replayed.asked[0].headers["if-none-match"] == 'W/"60ba316a"'


def test_a_read_of_what_has_not_changed_or_was_never_there_is_no_delete():
    for number in (41, 23):
        path = httpx.URL(recorded(number)["request"]["url"]).path.split("/")

        async def work(server, path=path):
            return await read_again(server, path[-2], path[-1], "1")

        assert with_server(Replayed(number), work) is None


def test_deletes_that_a_search_shows_are_confirmed_one_by_one():
    replayed = Replayed(40)

    async def work(server):
        found = DeletedSearch(server, "Encounter").passed(None)
        return [one async for step in found for one in step.entries]

    [stub] = with_server(replayed, work)
    assert stub.id == DELETED
    assert dict(replayed.asked[0].url.params)["_deleted"] == "true"


def test_an_export_from_its_kick_off_to_its_last_file(tmp_path):
    replayed = Replayed(50, 51, 52, 53, 54)
    files = {}
    [told] = next(several for at, several in replayed.answers.items() if "/storage/" in at[1])
    whole = told["body"].rpartition("\n")[0]  # the recording itself ends within a line
    told["body"] = whole

    async def work(server):
        state = ExportState()
        export = Export(server, ("Patient", "Encounter", "Observation"), lambda said: None)
        async for further in export.ready(state):
            state = further
        [file] = [one for one in state.files if one.kind == "Encounter"]
        files["path"] = await Fetcher(server, tmp_path).fetched(file, "one", needs_token=False)
        await export.thank(state)
        return state

    auth = {"method": "token", "token": "abc"}
    state = with_server(replayed, work, auth=auth)
    assert state.transaction_time == "2026-11-21T22:11:59.550Z"
    assert [file.kind for file in state.files] == ["Encounter", "Observation", "Patient"]
    assert state.ended().watermark == state.transaction_time
    lines = files["path"].read_bytes().splitlines()
    assert lines == whole.encode().splitlines()
    assert len(lines) == 22
    [signed] = [one for one in replayed.asked if "/storage/" in one.url.path]
    assert "authorization" not in signed.headers, "a signature is spoilt by a token"
    assert replayed.asked[-1].method == "DELETE"


def test_a_file_that_ends_within_a_line_is_not_taken_for_whole(tmp_path):
    replayed = Replayed(53)
    url = recorded(53)["request"]["url"]

    async def work(server):
        file = ExportFile(url=url, kind="Encounter", category="output")
        await Fetcher(server, tmp_path).fetched(file, "one", needs_token=False)

    with pytest.raises(Untrustworthy, match="cut off"):
        with_server(replayed, work, attempts=2)
    assert len(replayed.asked) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_was_deleted_is_a_stub_in_a_search():
    [stub] = read_page(body(40), LimitSettings(), "pas").entries
    assert (stub.kind, stub.id, stub.version) == ("Encounter", DELETED, "")
    assert set(json.loads(stub.raw)) == {"resourceType", "id", "meta"}


def test_resources_as_answers():
    for number in (30, 31, 39, 42, 60):
        head = head_of(body(number))
        etag = recorded(number)["response"]["headers"]["etag"]
        assert head.resource_type
        assert f'W/"{head.meta.version_id}"' == etag


def test_an_entry_that_is_no_object_is_no_page():
    with pytest.raises(SourceError):
        entry(b"7", "pas")
