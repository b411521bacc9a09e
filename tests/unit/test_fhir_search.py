"""Search sync against a server whose habits and faults are switched on one by one."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fhir_peer import Peer, met, settings

from adapters.fhir.client.faults import (
    Declined,
    Lost,
    Resting,
    SourceError,
    Unreachable,
    Untrustworthy,
)
from adapters.fhir.client.links import next_page
from adapters.fhir.client.search import Search

STYLES = [
    (style, links)
    for style in ("cursor", "offset", "stored")
    for links in ("absolute", "relative", "query")
]


def one_pass(peer, at=None, source=None, kind="Patient", stop_after=None):
    """The (id, version) pairs that a pass gives, its last checkpoint, and what ended it."""

    async def passing():
        got, last = [], at
        async with met(peer, source) as server:
            try:
                async for step in Search(server, kind).passed(at):
                    got += [(one.id, one.version) for one in step.entries]
                    last = step.checkpoint
                    if stop_after and len(got) >= stop_after:
                        break
            except SourceError as error:
                return got, last, error
        return got, last, None

    return asyncio.run(passing())


def newest(peer, kind="Patient"):
    return {(one.body["id"], str(one.number)) for one in peer.live(kind)}


@pytest.fixture
def peer():
    peer = Peer()
    peer.people(10)
    return peer


@pytest.mark.parametrize(("style", "links"), STYLES)
def test_everything_is_read_and_then_only_what_changed(peer, style, links):
    peer.page_style, peer.links = style, links
    got, at, error = one_pass(peer)
    assert error is None
    assert set(got) == newest(peer)
    assert at.next == ""

    peer.time.at += timedelta(hours=1)
    peer.put("Patient", "p3", gender="male")
    got, at, _ = one_pass(peer, at)
    assert ("p3", "2") in got
    peer.time.at += timedelta(hours=1)
    peer.put("Patient", "p4", gender="male")
    got, _, _ = one_pass(peer, at)
    assert set(got) == {("p3", "2"), ("p4", "2")}, "the overlap is of minutes, not of hours"


@pytest.mark.parametrize(("style", "links"), STYLES)
@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_a_pass_that_was_cut_off_goes_on(peer, style, links, stop_after):
    peer.page_style, peer.links = style, links
    before, at, _ = one_pass(peer, stop_after=stop_after)
    asked = len(peer.asked)
    after, _, _ = one_pass(peer, at)
    assert set(before) | set(after) == newest(peer)
    assert "_count" in peer.asked[asked][1]
    assert not set(before[:-1]) & set(after), "what was read is not read again"


@pytest.mark.parametrize("style", ["cursor", "offset", "stored"])
def test_nothing_is_skipped_while_resources_change_under_the_reader(peer, style):
    peer.page_style = style

    def change():
        # Every one that was read moves to the end: pages by offset lose as many at their edge.
        peer.put("Patient", "p0", gender="male")
        peer.put("Patient", "p1", gender="male")
        peer.put("Patient", "p2", gender="male")

    peer.on_page[2] = change
    got, at, error = one_pass(peer)
    again, _, _ = one_pass(peer, at)
    assert error is None
    assert {(f"p{n}", "1") for n in range(3, 10)} <= set(got)
    assert newest(peer) <= set(got) | set(again)


@pytest.mark.parametrize("style", ["offset", "stored"])
@pytest.mark.parametrize("ignored", [{"_sort"}, {"_sort", "_lastUpdated"}, {"_lastUpdated"}])
def test_a_server_that_passes_parameters_over(peer, style, ignored):
    peer.page_style, peer.ignores = style, ignored
    peer.put("Patient", "p0", gender="male")  # now the oldest first is not in order
    got, at, _ = one_pass(peer)
    assert set(got) == newest(peer)
    peer.time.at += timedelta(hours=1)
    peer.put("Patient", "p5", gender="male")
    got, _, _ = one_pass(peer, at)
    assert ("p5", "2") in got


@pytest.mark.parametrize("refused", [{"_sort"}, {"_sort", "_lastUpdated"}])
def test_a_server_that_refuses_parameters_is_asked_more_plainly_and_not_again(peer, refused):
    peer.page_style, peer.refuses = "stored", refused
    got, at, error = one_pass(peer)
    assert error is None
    assert set(got) == newest(peer)
    peer.time.at += timedelta(hours=1)
    peer.put("Patient", "p5", gender="male")
    got, at, error = one_pass(peer, at)
    assert ("p5", "2") in got
    asked = len(peer.asked)
    one_pass(peer, at)
    assert not any(f"{name}=" in path for name in refused for _, path in peer.asked[asked:])


def test_an_unordered_pass_moves_its_watermark_only_at_its_end_and_never_past_its_beginning(peer):
    peer.page_style, peer.ignores = "offset", {"_sort"}
    began = peer.time.at
    peer.put("Patient", "p0", gender="male")

    def change():
        peer.time.at += timedelta(minutes=30)
        peer.put("Patient", "p1", gender="male")  # was read already
        peer.time.at += timedelta(minutes=30)
        peer.put("Patient", "p9", gender="male")  # will be read

    peer.on_page[2] = change
    _, at, _ = one_pass(peer)
    assert at.watermark <= (began + timedelta(seconds=2)).isoformat()
    got, _, _ = one_pass(peer, at)
    assert ("p1", "2") in got


def test_an_order_that_was_chance_moves_no_watermark(peer):
    peer.page_style, peer.ignores = "stored", {"_sort"}

    def change():
        peer.time.at += timedelta(minutes=15)
        peer.put("Patient", "p0", gender="male")  # was read already
        peer.time.at += timedelta(minutes=15)
        # The last of the next page, which is in order still; the one after is not.
        peer.stored["search-0"][0][5] = peer.put("Patient", "p5", gender="male")

    peer.on_page[2] = change
    _, at, _ = one_pass(peer)
    got, _, _ = one_pass(peer, at)
    assert ("p0", "2") in got


def test_a_resource_dated_in_the_future_hides_no_other(peer):
    peer.put("Patient", "late", at=peer.time.at + timedelta(days=365), gender="male")
    _, at, _ = one_pass(peer)
    peer.time.at += timedelta(hours=1)
    peer.put("Patient", "p5", gender="male")
    got, _, _ = one_pass(peer, at)
    assert ("p5", "2") in got


def test_a_change_that_becomes_visible_late_is_found_within_the_overlap(peer):
    _, at, _ = one_pass(peer)
    written = peer.time.at
    peer.time.at += timedelta(minutes=1)
    peer.put("Patient", "p5", gender="male")
    _, at, _ = one_pass(peer, at)
    peer.put("Patient", "slow", at=written + timedelta(seconds=1), gender="male")
    got, _, _ = one_pass(peer, at)
    assert ("slow", "1") in got


@pytest.mark.parametrize("style", ["cursor", "offset", "stored"])
def test_a_page_that_is_gone_is_replaced(peer, style):
    peer.page_style, peer.lost_pages = style, {3}
    got, _, error = one_pass(peer)
    assert error is None
    assert set(got) == newest(peer)


@pytest.mark.parametrize("ignored", [set(), {"_sort"}])
def test_pages_that_are_always_gone_are_given_up(peer, ignored):
    peer.page_style, peer.ignores = "stored", ignored
    peer.put("Patient", "p0", gender="male")
    peer.lost_pages = set(range(2, 1000, 2))
    got, at, error = one_pass(peer)
    if ignored:
        assert isinstance(error, Lost)
        assert at.watermark == "", "nothing is passed over"
    else:
        assert set(got) == newest(peer), "an ordered pass gets on by one page at a time"


@pytest.mark.parametrize("loops", ["same", "fresh"])
@pytest.mark.parametrize("ignored", [set(), {"_sort"}])
def test_links_that_lead_in_circles_end(peer, loops, ignored):
    peer.page_style, peer.loops, peer.ignores = "stored", loops, ignored
    got, at, error = one_pass(peer)
    assert isinstance(error, Untrustworthy)
    assert len(peer.asked) < 10
    assert {one for one, _ in got} == {"p0", "p1", "p2"}, "what was read is given"
    assert at.next == ""


def test_empty_pages_without_end_are_no_pages(peer):
    peer.kept.clear()
    peer.loops = "fresh"
    _, _, error = one_pass(peer)
    assert isinstance(error, Untrustworthy)
    assert len(peer.asked) < 100


def test_nothing_there_is_nothing_wrong(peer):
    peer.kept.clear()
    assert one_pass(peer)[0::2] == ([], None)


def test_a_page_that_was_cut_off_is_asked_for_again(peer):
    peer.cut_pages = {2, 5}
    got, _, error = one_pass(peer)
    assert error is None
    assert set(got) == newest(peer)


def test_a_page_that_is_always_cut_off_keeps_what_came_before(peer):
    peer.cut_pages = set(range(3, 100))
    got, at, error = one_pass(peer)
    assert isinstance(error, Untrustworthy)
    assert len(got) == 6
    peer.cut_pages = set()
    more, _, _ = one_pass(peer, at)
    assert set(got) | set(more) == newest(peer)


def test_what_is_refused_is_said_in_codes_and_never_in_the_servers_words(peer):
    _, _, error = one_pass(peer, kind="Nonsense")
    assert isinstance(error, Declined)
    assert error.status == 404
    assert "not-found" in str(error)
    assert "Secret" not in str(error)


def test_a_first_page_that_has_not_changed_is_not_sent_again(peer):
    peer.says_etag = True
    source = settings(page_size=50)
    _, at, _ = one_pass(peer, source=source)
    _, at, _ = one_pass(peer, at, source)
    got, at, _ = one_pass(peer, at, source)
    assert got == []
    assert peer.headers[-1]["if-none-match"] == at.etag
    peer.put("Patient", "p5", gender="male")
    assert ("p5", "2") in one_pass(peer, at, source)[0]


def test_another_search_begins_anew(peer):
    _, at, _ = one_pass(peer)
    got, _, _ = one_pass(peer, at, settings(filters={"Patient": "gender=female"}))
    assert len(got) == 10
    assert "gender=female" in peer.asked[-1][1]


def test_what_is_asked(peer):
    source = settings(
        types=("Encounter",),
        filters={"Encounter": "status=in-progress&class=IMP"},
        includes={"Encounter": ("Encounter:subject", "Encounter:location")},
        since="2026-10-01T00:00:00Z",
    )
    one_pass(peer, source=source, kind="Encounter")
    assert peer.asked[-1][1] == (
        "/fhir/Encounter?status=in-progress&class=IMP&_count=3&_sort=_lastUpdated"
        "&_lastUpdated=ge2026-10-01T00:00:00Z"
        "&_include=Encounter:subject&_include=Encounter:location"
    )
    assert peer.headers[-1]["accept"].startswith("application/fhir+json")


THROTTLED = [
    (429, {"Retry-After": "20"}, 20),
    (503, {"Retry-After": "20"}, 20),
    (429, {"RateLimit": '"requests";r=0;t=20'}, 20),
    (429, {"Retry-After": "1795299705000"}, 300),
    (429, {"Retry-After": "86400"}, 300),
    (500, {}, 0.2),
    (429, {"Retry-After": "whenever"}, 0.2),
]


@pytest.mark.parametrize(("status", "headers", "waits_s"), THROTTLED)
def test_a_busy_server_is_left_alone_as_long_as_it_asks_up_to_a_limit(
    peer, status, headers, waits_s
):
    peer.answers = [(status, headers, b"")] * 2
    got, _, error = one_pass(peer)
    assert error is None
    assert set(got) == newest(peer)
    for slept in peer.time.slept[:2]:
        assert waits_s <= slept <= waits_s + 2


def test_a_server_that_stays_broken_is_left_alone(peer):
    peer.answers = [(502, {}, b"")] * 100
    source = settings(attempts=3, breaker_failures=5, breaker_rest_s=60)

    async def asking():
        raised = []
        async with met(peer, source) as server:
            for _ in range(4):
                try:
                    await server.ask(server.address("Patient"))
                except SourceError as error:
                    raised.append(type(error))
            sent = len(peer.asked)
            peer.answers = []
            peer.time.at += timedelta(seconds=61)
            assert (await server.ask(server.address("Patient"))).status == 200
        return raised, sent

    raised, sent = asyncio.run(asking())
    assert raised == [Unreachable, Resting, Resting, Resting]
    assert sent == 5


def test_throttling_alone_opens_no_breaker(peer):
    peer.answers = [(429, {"Retry-After": "1"}, b"")] * 8
    _, _, error = one_pass(peer, source=settings(attempts=9, breaker_failures=3))
    assert error is None


def test_the_last_request_of_a_limit_is_followed_by_a_rest(peer):
    peer.answers = [(200, {"RateLimit": '"r";r=0;t=30'}, b'{"resourceType":"Bundle"}')]
    one_pass(peer)
    began = peer.time.at
    one_pass(peer)
    assert peer.time.at == began  # another client, another limit

    async def asking():
        async with met(peer) as server:
            peer.answers = [(200, {"RateLimit": '"r";r=0;t=30'}, b"{}")]
            await server.ask(server.address("Patient"))
            before = peer.time.at
            await server.ask(server.address("Patient"))
            return (peer.time.at - before).total_seconds()

    assert asyncio.run(asking()) == 30


BASE = "https://proxy.test/hapi/fhir"
LINKS = [
    ("https://proxy.test/hapi/fhir?_getpages=7", "", f"{BASE}?_getpages=7"),
    ("http://inner:8080/fhir?_getpages=7", "http://inner:8080/fhir", f"{BASE}?_getpages=7"),
    ("http://inner:8080/fhir/Patient?page=2", "", f"{BASE}/Patient?page=2"),
    ("Patient?page=2", "", f"{BASE}/Patient?page=2"),
    ("?page=2", "", f"{BASE}/Patient?page=2"),
    ("/hapi/fhir/Patient?page=2", "", f"{BASE}/Patient?page=2"),
]


@pytest.mark.parametrize(("link", "known_as", "address"), LINKS)
def test_links_stay_at_the_server_that_was_configured(link, known_as, address):
    told = "http://inner:8080/fhir/Patient?_count=3"
    asked = f"{BASE}/Patient?_count=3"
    assert next_page(link, asked=asked, told=told, base=BASE, known_as=known_as) == address


@pytest.mark.parametrize(
    "link",
    ["https://evil.test/fhir/Patient?page=2", "http://inner:8080/fhirx?page=2", "file:///etc/x"],
)
def test_links_to_elsewhere_are_not_followed(link):
    told = "http://inner:8080/fhir/Patient"
    with pytest.raises(Untrustworthy):
        next_page(link, asked=f"{BASE}/Patient", told=told, base=BASE)


def test_an_address_that_is_none_is_not_asked(peer):
    peer.link = lambda kind, parameters: "http://[peer/fhir?page=2"
    _, _, error = one_pass(peer)
    assert isinstance(error, SourceError)
