"""Bulk Data exports over HTTP from a server that loses, cuts and expires what it promised."""

import asyncio
import json
import logging
import re
import sys
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fhir_peer import Peer, PeerExport, listening, settings, stamp

from adapters.fhir.client.faults import SourceError, Unreachable, Untrustworthy
from adapters.fhir.client.server import FhirServer
from api.ingesting import Summary
from api.sources.exporting import Exporting
from api.sources.intake import KindSummary, SourceIntake
from api.sources.ledger import Ledger
from twin_core.encryption import Files, StoreKey
from twin_core.inbox import Answer
from twin_core.settings import LimitSettings, Settings

KEY = StoreKey(bytes(range(32)))


class Shelf:
    """Takes what an export gives, and shows it."""

    def __init__(self, key):
        self.lines, self.receipts, self.stops_at = [], [], None
        self.key = key
        self.meanwhile = None
        """Done with who follows a file, half of it taken."""

    def submit(self, receipts):
        self.receipts += receipts
        done = Future()
        done.set_result([Answer(status="accepted", code="AA", position=1) for _ in receipts])
        return done

    def position(self):
        return 1

    async def ingested(self, order, follow):
        [source] = order.sources
        if self.meanwhile is not None:
            self.meanwhile(lambda note: follow(source.size // 2, note))
        for file in Path(source.path).parent.iterdir():
            assert (b"resourceType" in file.read_bytes()) == (self.key is None)
        with Files(order.sealed_by).opened(source.path) as opened:
            read = [json.loads(line) for line in opened]
        if self.stops_at is not None and len(self.lines) >= self.stops_at:
            raise KilledError
        self.lines += read
        return Summary(messages=len(read), accepted=len(read)), 1

    async def open_encounters(self, source):
        return []


class KilledError(Exception):
    """The process ended here."""


@pytest.fixture
def peer():
    peer = Peer()
    peer.people(10)
    peer.time.at += timedelta(seconds=1)
    with listening(peer.app) as address:
        peer.base = peer.known_as = f"{address}/fhir"
        PeerExport(peer)
        yield peer


@pytest.fixture(params=[None, KEY], ids=["open", "encrypted"])
def shelf(request):
    """Of a store as it is, and of an encrypted one."""
    return Shelf(request.param)


def exported(peer, tmp_path, shelf, kinds=("Patient",), said=None, **changed):
    """One run of an export with what a ledger kept of the last; the state behind it."""
    source = settings(url=peer.base, types=kinds, **changed)

    async def run():
        ledger = Ledger(tmp_path / "store.duckdb.sources", "one", shelf.key)
        async with httpx.AsyncClient() as http:
            world = peer.time.world()
            server = FhirServer("pas", source, LimitSettings(), http, world)
            intake = SourceIntake(server, ledger, shelf, Settings(), peer.time)
            intake.capability, _ = await server.capability_now()
            ledger.begin("pas", peer.base, 1)
            exporting = Exporting(intake, (said if said is not None else []).append)
            try:
                return await exporting.run([KindSummary(kind=kind) for kind in kinds])
            finally:
                ledger.close()
                left.append(exporting.folder.exists())

    left = []
    state = asyncio.run(run())
    assert left == [False], "files are removed"
    return state


def ids(shelf):
    return [line["id"] for line in shelf.lines]


EVERYONE = [f"p{n}" for n in range(10)]


def test_an_export_is_kicked_off_polled_fetched_and_thanked_for(peer, tmp_path, shelf):
    said = []
    state = exported(peer, tmp_path, shelf, said=said)
    assert ids(shelf) == EVERYONE
    [(path, asked, headers)] = peer.export.kicked
    assert path == "$export"
    assert asked == {"_type": "Patient"}
    assert headers["prefer"] == "respond-async"
    assert headers["accept"] == "application/fhir+json"
    assert peer.time.slept[0] == 7
    assert said[0] == "export 50%", "no words of the server's own"
    assert peer.export.removed == ["jobs/1"]
    assert state.watermark == peer.export.made


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ("12.5 % of it", "12.5 %"),
        ("Patient Secret, 3 of 20 files", "3 of 20"),
        ("in progress for Mrs Secret", "under way"),
        ("MR4711123450%", "under way"),
        (None, "under way"),
    ],
)
def test_of_what_a_server_says_of_its_progress_only_the_number_is_said(peer, tmp_path, told, heard):
    peer.export.poll_headers = [{"X-Progress": told} if told else {}, {}]
    said = []
    exported(peer, tmp_path, Shelf(None), said=said)
    assert said[0] == f"export {heard}"


def test_it_is_said_every_few_seconds_how_far_a_file_is(peer, tmp_path, shelf):
    def meanwhile(half):
        for number in range(9):
            peer.time.at += timedelta(seconds=1)
            half(f"{number} messages")

    said, shelf.meanwhile = [], meanwhile
    exported(peer, tmp_path, shelf, said=said)
    told = [one for one in said if one.startswith("file ")]
    assert told == [f"file {n} of 3, Patient: 50%, 4 messages" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("says_length", "heard"),
    [(True, r"\d+% of 0\.0 MiB fetched"), (False, r"0\.0 MiB fetched")],
)
def test_it_is_said_every_few_seconds_how_far_a_file_is_fetched(
    peer, tmp_path, shelf, says_length, heard
):
    peer.export.slow_s, peer.export.says_length = 2, says_length
    said = []
    exported(peer, tmp_path, shelf, said=said)
    assert ids(shelf) == EVERYONE
    told = [one for one in said if one.startswith("file ")]
    # Of parts that arrive together only the last is told.
    assert {one.split(":")[0] for one in told} == {f"file {n} of 3, Patient" for n in (1, 2, 3)}
    assert all(re.fullmatch(heard, one.partition(": ")[2]) for one in told), told


def test_a_short_file_is_fetched_without_a_word(peer, tmp_path, shelf):
    said = []
    exported(peer, tmp_path, shelf, said=said)
    assert not [one for one in said if "fetched" in one]


def test_the_next_export_begins_where_the_server_says_that_the_last_one_ended(
    peer, tmp_path, shelf
):
    exported(peer, tmp_path, shelf)
    first = peer.export.made
    peer.time.at += timedelta(days=1)
    peer.put("Patient", "p3", gender="male")
    shelf.lines.clear()
    exported(peer, tmp_path, shelf)
    assert peer.export.kicked[1][1]["_since"] == first
    assert ids(shelf) == ["p3"]


LEVELS = {"system": "$export", "patient": "Patient/$export", "group/ward-7": "Group/ward-7/$export"}


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_exported(peer, tmp_path, shelf, level):
    exported(
        peer,
        tmp_path,
        shelf,
        kinds=("Patient", "Encounter"),
        export=level,
        filters={"Encounter": "status=in-progress&class=IMP"},
        since="2026-01-01T00:00:00Z",
    )
    [(path, asked, _)] = peer.export.kicked
    assert path == LEVELS[level]
    assert asked["_type"] == "Patient,Encounter"
    assert asked["_typeFilter"] == "Encounter?status=in-progress&class=IMP"
    assert asked["_since"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("polls", [0, 1, 9])
def test_polling_ends_when_the_server_is_ready(peer, tmp_path, shelf, polls, relative):
    peer.export.polls_until_ready, peer.export.relative = polls, relative
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE
    assert peer.export.polls == polls + 1


def test_an_export_whose_status_is_lost_begins_anew(peer, tmp_path, shelf):
    peer.export.lost_polls = {2}

    def mend():
        peer.export.lost_polls = set()

    original = peer.export.kick_off

    def kick_off(request, below):
        if peer.export.kicked:
            mend()
        return original(request, below)

    peer.export.kick_off = kick_off
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE
    assert len(peer.export.kicked) == 2


def test_an_export_that_is_always_lost_is_given_up(peer, tmp_path, shelf):
    peer.export.lost_polls = {1, 2, 3}
    with pytest.raises(SourceError, match="again and again"):
        exported(peer, tmp_path, shelf)
    assert len(peer.export.kicked) == 4


def test_an_export_that_never_ends_is_given_up(peer, tmp_path, shelf):
    peer.export.polls_until_ready = 10**9
    with pytest.raises(SourceError):
        exported(peer, tmp_path, shelf, export_timeout_s=600)


def test_a_server_without_exports_says_so(peer, tmp_path, shelf):
    peer.export = None
    with pytest.raises(SourceError, match=r"refuses a Bulk Data export.*404"):
        exported(peer, tmp_path, shelf)


REFUSING = {
    "unless it may pass them over": lambda kinds, prefer: "lenient" in prefer,
    "that it does not list": lambda kinds, prefer: "Location" not in kinds,
    "whatever they are": lambda kinds, prefer: not kinds,
}


@pytest.mark.parametrize("name", REFUSING)
def test_a_server_that_refuses_types_is_asked_for_fewer_or_for_all(peer, tmp_path, shelf, name):
    peer.kinds.remove("Location")
    peer.put("Observation", "o1", status="final")
    peer.time.at += timedelta(seconds=1)
    kick_off, made = peer.export.kick_off, peer.export.make
    everything = ["Patient", "Observation"]

    def kicked(request, below):
        asked = request.query_params.get("_type", "")
        if not REFUSING[name](asked, request.headers["prefer"]):
            return peer.outcome(400, "invalid")
        return kick_off(request, below)

    def make(request):
        asked = request.query_params.get("_type", "")
        listed = ",".join(kind for kind in everything if not asked or kind in asked)
        url = f"{request.url.path}?_type={listed}"
        return made(SimpleNamespace(url=httpx.URL(f"http://h{url}")))

    peer.export.kick_off, peer.export.make = kicked, make
    exported(peer, tmp_path, shelf, kinds=("Patient", "Location"))
    assert ids(shelf) == EVERYONE, "what nobody wants is not taken"


def test_addresses_of_a_server_behind_a_proxy_are_asked_of_the_proxy(peer, tmp_path, shelf):
    inner, outer = "http://inner.test:8080/fhir", peer.base
    peer.known_as = inner
    kick_off, listed = peer.export.kick_off, peer.export.listed

    def kicked(request, below):
        answer = kick_off(request, below)
        answer.headers["content-location"] = answer.headers["content-location"].replace(
            outer, inner
        )
        return answer

    def told(*of):
        one = listed(*of)
        return {**one, "url": one["url"].replace(outer, inner)}

    peer.export.kick_off, peer.export.listed = kicked, told
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE


BREAKS = {
    "once": ([300], True),
    "again and again": ([200, 200, 200, 100, 100], True),
    "at its beginning": ([0, 0], True),
    "of a server that cannot continue": ([300, 200], False),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", BREAKS)
def test_a_file_whose_connection_breaks_is_continued(peer, tmp_path, shelf, name, packed):
    peer.export.breaks, peer.export.ranges = list(BREAKS[name][0]), BREAKS[name][1]
    peer.export.packed = packed
    if packed:
        peer.export.breaks = [n // 4 for n in peer.export.breaks]
    peer.export.file_lines = 10
    exported(peer, tmp_path, shelf, attempts=4)
    assert ids(shelf) == EVERYONE
    ranged = [headers["range"] for headers in peer.headers if "range" in headers]
    assert bool(ranged) == (name != "at its beginning")


def test_a_file_that_always_breaks_at_once_is_given_up_and_gone_on_with(peer, tmp_path, shelf):
    peer.export.breaks = [None] + [0] * 100
    with pytest.raises(Unreachable):
        exported(peer, tmp_path, shelf, attempts=3, breaker_failures=99)
    peer.export.breaks = []
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE
    assert len(peer.export.kicked) == 1


@pytest.mark.parametrize("says_count", [True, False])
def test_a_file_that_was_cut_off_is_fetched_again(peer, tmp_path, shelf, says_count):
    peer.export.says_count = says_count
    peer.export.cuts = [40, 0, 40]
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE


def test_a_file_that_lost_whole_lines_is_known_by_its_count(peer, tmp_path, shelf):
    line = len(json.dumps(peer.resource(peer.live("Patient")[0]))) + 1
    peer.export.cuts = [line]
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE


def test_a_file_that_is_never_whole_is_no_file(peer, tmp_path, shelf):
    peer.export.cuts = [40] * 100
    with pytest.raises(Untrustworthy, match=r"never whole.*last line"):
        exported(peer, tmp_path, shelf, attempts=3)
    assert shelf.lines == []


def test_addresses_that_expire_are_asked_for_anew(peer, tmp_path, shelf):
    peer.export.expire_after = 1
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE
    assert len(peer.export.kicked) == 1


def test_a_manifest_that_expires_between_files_begins_the_export_anew(peer, tmp_path, shelf):
    peer.export.expire_after = 1
    first = peer.export.file

    def file(request, below):
        answer = first(request, below)
        if peer.export.file_answers == 1 and len(peer.export.kicked) == 1:
            peer.export.forgotten = True
        if len(peer.export.kicked) == 2:
            peer.export.expire_after = 0
        return answer

    peer.export.file = file
    exported(peer, tmp_path, shelf)
    assert set(ids(shelf)) == set(EVERYONE)
    assert len(peer.export.kicked) == 2


@pytest.mark.parametrize("stops_at", [0, 4, 8])
def test_killed_between_any_two_files_it_goes_on(peer, tmp_path, shelf, stops_at):
    shelf.stops_at = stops_at
    with pytest.raises((KilledError, AssertionError)):
        exported(peer, tmp_path, shelf)
    shelf.stops_at = None
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE
    assert len(peer.export.kicked) == 1


@pytest.mark.parametrize("left", [None, StoreKey(bytes(32))])
def test_what_was_kept_in_another_way_is_fetched_again(peer, tmp_path, left):
    """By another key, or open by an earlier version: it does not open."""
    folder = tmp_path / "store.duckdb.sources.files" / "pas"
    folder.mkdir(parents=True)
    for name in ("00000.output.Patient.ndjson", "00001.output.Patient.part"):
        with Files.of(left).continued(folder / name, 0) as written:
            written.write(b'{"resourceType": "Patient", "id": "somebody"}\n')
    shelf = Shelf(KEY)
    exported(peer, tmp_path, shelf)
    assert ids(shelf) == EVERYONE


def test_files_that_need_the_token_get_it_and_signed_ones_do_not(peer, tmp_path, shelf):
    auth = {"method": "client_secret", "client_id": "twin", "client_secret": "s"}
    for needs_token in (False, True):
        peer.tokens, peer.token_uses = 0, 3
        peer.export.needs_token = needs_token
        shelf.lines.clear()
        peer.headers.clear()
        peer.asked.clear()
        (tmp_path / str(needs_token)).mkdir()
        exported(peer, tmp_path / str(needs_token), shelf, auth=auth)
        assert ids(shelf) == EVERYONE
        shown = [
            "authorization" in headers
            for headers, (_, path) in zip(peer.headers, peer.asked, strict=True)
            if "/files/" in path
        ]
        assert set(shown) == {needs_token}


def test_a_token_is_not_shown_to_another_server(peer, tmp_path, shelf):
    peer.export.needs_token = True
    peer.tokens = 0
    listed = peer.export.listed
    peer.export.listed = lambda *told: {**listed(*told), "url": "http://127.0.0.1:9/f"}
    auth = {"method": "client_secret", "client_id": "twin", "client_secret": "s"}
    with pytest.raises(Untrustworthy, match="other_origins"):
        exported(peer, tmp_path, shelf, auth=auth)


def test_what_was_deleted_is_withdrawn_as_of_the_export(peer, tmp_path, shelf):
    gone = [
        {"request": {"method": "DELETE", "url": "Patient/p3"}},
        {"request": {"method": "DELETE", "url": f"{peer.base}/Encounter/e1"}},
    ]
    peer.export.deleted = [{"resourceType": "Bundle", "type": "transaction", "entry": gone}]
    exported(peer, tmp_path, shelf)
    told = [
        (one.outcome.envelope.control_id, one.outcome.envelope.sent_at) for one in shelf.receipts
    ]
    assert [control_id.rpartition("/")[0] for control_id, _ in told] == [
        "Patient/p3",
        "Encounter/e1",
    ]
    assert {stamp(at) for _, at in told} == {peer.export.made}


def test_errors_of_an_export_are_said_in_codes(peer, tmp_path, shelf):
    issue = {"severity": "error", "code": "processing", "diagnostics": "Mrs Secret"}
    peer.export.errors = [{"resourceType": "OperationOutcome", "issue": [issue]}]
    said = []
    exported(peer, tmp_path, shelf, said=said)
    assert any("error processing" in one for one in said)
    assert "Secret" not in "".join(said[2:])


def test_no_address_of_a_file_is_logged(peer, tmp_path, shelf, caplog):
    caplog.set_level(logging.INFO, "wardtwin")
    peer.export.breaks = [100, 100]
    exported(peer, tmp_path, shelf)
    assert "sig=" not in caplog.text
