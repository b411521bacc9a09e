"""The board in a real Chromium, in front of a real server that is killed and started again."""

import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.conftest import Served

REFUSED = "\r".join(
    (
        r"MSH|^~\&|PAS|GEN|TWIN|GEN|20260302080000+0000||ADT^A03|R-1|P|2.5.1",
        "EVN|A03|20260302080000+0000",
        "PID|1||P1^^^GEN^MR||QUISENBERRY^ADA",
        "PV1|1|I|MED^1^1^GEN" + "|" * 16 + "V1^^^GEN^VN" + "|" * 26 + "20260230",
    )
)
SAID_ONCE_LIVE = """() => {
    const link = document.getElementById("link");
    new MutationObserver(() => {
        if (link.dataset.state !== "live" || window.said) return;
        window.said = [...document.querySelectorAll("#units li.bed")].map((bed) => bed.title);
    }).observe(link, { attributes: true, attributeFilter: ["data-state"] });
}"""
# Whether the last unit is laid out: what is beside the screen has a place and nothing in it.
_LAID_OUT = """document.querySelector('[data-unit="GEN/SIDE7"] h3')
    .checkVisibility({ contentVisibilityAuto: true })"""
BESIDE, SEEN = f"!{_LAID_OUT}", _LAID_OUT
HEIGHT = "(unit) => unit.getBoundingClientRect().height"

pytestmark = pytest.mark.browser


def tile(page: Any, unit: str, label: str) -> Any:
    return page.locator(f'[data-unit="GEN/{unit}"] li.bed', has_text=label)


def shows(locator: Any, pattern: str, within_s: float = 60.0) -> None:
    """Wait for an element whose title begins as given."""
    locator.and_(locator.page.locator(f'[title^="{pattern}"]')).wait_for(timeout=within_s * 1000)


def until(page: Any, condition: str) -> None:
    """Wait until an expression holds; the page's own policy lets no waiter evaluate in it."""
    ends = time.monotonic() + 180
    while not page.evaluate(condition):
        assert time.monotonic() < ends, condition
        page.wait_for_timeout(50)


def test_a_bed_changes_on_the_board_without_a_reload(page: Any, server: Served) -> None:
    server.send("A01", "V1", "MED^1^1^GEN")
    page.goto(server.url)
    page.locator('#link[data-state="live"]').wait_for()
    page.evaluate("window.opened = true")
    shows(tile(page, "MED", "1-1"), "1-1: occupied")
    server.send("A02", "V1", "MED^1^2^GEN")
    shows(tile(page, "MED", "1-1"), "1-1: free")
    shows(tile(page, "MED", "1-2"), "1-2: occupied")
    server.send("A01", "V2", "ICU^7^1^GEN")  # a unit nobody had heard of
    shows(tile(page, "ICU", "7-1"), "7-1: occupied")
    server.send("A04", "V3", "ED^^^GEN", kind="E")
    page.locator("#ed tr", has_text="waiting").wait_for()
    assert page.evaluate("window.opened")
    assert "QUISENBERRY" not in page.content()


def test_the_board_is_correct_once_it_says_live_again_after_a_kill(
    page: Any, own_server: Served
) -> None:
    own_server.send("A01", "V1", "MED^1^1^GEN")
    own_server.send("A01", "V2", "MED^1^2^GEN")
    page.goto(own_server.url)
    page.locator('#link[data-state="live"]').wait_for()
    page.evaluate("window.opened = true")
    own_server.kill()
    page.locator('#link[data-state="reconnecting"]').wait_for()
    assert "stale since" in page.locator("#link").inner_text()
    # What the beds say at the very moment at which the page says again that it is live.
    page.evaluate(SAID_ONCE_LIVE)
    page.context.set_offline(True)
    own_server.start()
    own_server.send("A03", "V1", "MED^1^1^GEN")
    own_server.send("A02", "V2", "ICU^1^1^GEN")
    own_server.wait_for("/units/GEN/ICU")
    page.context.set_offline(False)
    until(page, "Boolean(window.said)")
    beds = [title.split(",")[0] for title in page.evaluate("window.said")]
    assert sorted(beds) == ["1-1: free", "1-1: occupied", "1-2: free"]
    shows(tile(page, "ICU", "1-1"), "1-1: occupied")
    assert page.evaluate("window.opened")


def test_units_beside_the_screen_keep_their_place_change_and_are_found(
    page: Any, server: Served
) -> None:
    for number in range(8):
        server.send("A01", f"S{number}", f"SIDE{number}^1^{number}^GEN")
    page.set_viewport_size({"width": 360, "height": 320})
    page.goto(server.url)
    page.locator('#link[data-state="live"]').wait_for()
    last = page.locator('[data-unit="GEN/SIDE7"]')
    last.wait_for(state="attached")
    until(page, BESIDE)
    height = last.evaluate(HEIGHT)
    server.send("A02", "S7", "SIDE7^1^8^GEN")
    shows(tile(page, "SIDE7", "1-8"), "1-8: occupied")
    server.send("A03", "S7", "SIDE7^1^8^GEN")
    shows(tile(page, "SIDE7", "1-8"), "1-8: free")
    assert page.evaluate("window.find('SIDE7')")
    last.scroll_into_view_if_needed()
    until(page, SEEN)
    assert abs(last.evaluate(HEIGHT) - height) < 1
    page.locator('[data-unit="GEN/SIDE7"] h3 a').focus()
    assert page.evaluate("document.activeElement.textContent") == "SIDE7"


def test_a_unit_page_follows_its_unit(page: Any, server: Served) -> None:
    server.send("A01", "U1", "SURG^1^1^GEN")
    server.wait_for("/units/GEN/SURG")
    page.goto(f"{server.url}/units/GEN/SURG")
    page.locator('#link[data-state="live"]').wait_for()
    server.send("A01", "U2", "SURG^1^2^GEN")
    page.locator("tbody tr", has_text="1-2").wait_for()
    # The door has been shut meanwhile: the page does not go on as if it followed its unit.
    page.route(page.url, lambda route: route.fulfill(status=403, body="This door is shut."))
    server.send("A01", "U3", "SURG^1^3^GEN")
    page.get_by_text("This door is shut.").wait_for()


def test_beds_are_found_and_the_address_says_what_was_asked(page: Any, own_server: Served) -> None:
    own_server.send("A01", "V1", "MED^1^1^GEN")
    own_server.send("A01", "V2", "MED^1^2^GEN")
    own_server.send("A02", "V2", "ICU^1^1^GEN")
    own_server.wait_for("/messages/3")
    page.goto(own_server.url)
    shows(tile(page, "MED", "1-2"), "1-2: free")
    page.get_by_label("Find").fill("icu")
    assert not page.locator('[data-unit="GEN/MED"]').is_visible()
    page.get_by_label("Find").fill("")
    page.get_by_label("Show").select_option("free")
    assert page.locator("li.bed:visible:not(.key)").count() == 1
    assert page.locator("#found").inner_text() == "1 bed in 1 unit"
    own_server.send("A03", "V1", "MED^1^1^GEN")
    tile(page, "MED", "1-1").wait_for()
    page.goto(page.url)
    tile(page, "MED", "1-1").wait_for()
    assert not page.locator('[data-unit="GEN/ICU"]').is_visible()
    assert "show=free" in page.url
    page.get_by_label("Show").select_option("dirty")
    page.get_by_role("link", name="Deutsch").click()
    page.wait_for_url("**lang=de**")
    assert "show=dirty" in page.url


def test_the_slider_goes_back_and_the_address_follows(page: Any, own_server: Served) -> None:
    own_server.send("A01", "V1", "MED^1^1^GEN")
    own_server.send("A03", "V1", "MED^1^1^GEN")
    own_server.send("A01", "V2", "MED^1^2^GEN")
    own_server.wait_for("/messages/3")
    page.goto(f"{own_server.url}/past")
    shows(tile(page, "MED", "1-2"), "1-2: occupied")
    slider = page.get_by_label("Time", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    shows(tile(page, "MED", "1-1"), "1-1: occupied")
    assert tile(page, "MED", "1-2").get_attribute("title") == "1-2: free"
    assert "at=" in page.url
    assert page.locator("#moment-words").inner_text()[-5:] in page.locator("h2").first.inner_text()
    page.reload()
    shows(tile(page, "MED", "1-1"), "1-1: occupied")
    page.get_by_role("button", name="Play").click()
    shows(tile(page, "MED", "1-2"), "1-2: occupied", within_s=120)
    page.locator('#play[aria-pressed="false"]').wait_for(timeout=120_000)
    page.get_by_role("link", name="Deutsch").click()
    page.wait_for_url("**lang=de**")
    assert "at=" in page.url


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/past",
        "/units/GEN/MED",
        "/kpis/occ_midnight",
        "/messages",
        "/messages/1?phi=show",
        "/next",
        "/sql",
    ],
)
def test_the_pages_fit_a_phone_and_can_be_reached_by_keyboard(
    page: Any, server: Served, path: str
) -> None:
    server.send("A01", "W1", "MED^1^9^GEN")
    server.wait_for("/units/GEN/MED")
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(server.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


SAID = """() => [
    ...document.querySelectorAll("#units li.bed, #units section"),
].map((one) => one.title || one.getAttribute("aria-label")).concat(
    ["units-total", "ed-total", "day"].map((id) => document.getElementById(id).textContent),
    [...document.querySelectorAll(".tally, #feeds .state, #ed .waiting, .kpi-title")]
        .map((one) => one.textContent),
)"""


def test_the_script_says_the_same_words_as_the_server_in_every_language(
    page: Any, server: Served
) -> None:
    server.send("A04", "L2", "ED^^^GEN", kind="E")
    server.send("A01", "L1", "LANG^8^1^GEN")
    server.wait_for("/units/GEN/LANG")  # the last message, so that nothing changes any more
    for language, occupied in (("de", "belegt"), ("fr", "occup\u00e9"), ("en", "occupied")):
        address = f"{server.url}/?lang={language}&hours=12"
        page.route("**/v1/deltas", lambda route: route.abort())
        page.goto(address)
        written = page.evaluate(SAID)
        page.unroute("**/v1/deltas")
        page.goto(address)
        page.locator('#link[data-state="live"]').wait_for()
        assert page.evaluate(SAID) == written
        assert any(f"8-1: {occupied}" in words for words in written)
        assert page.locator("#clock").inner_text()[-2:] in {"am", "pm"}


def test_a_page_on_the_wall_has_no_controls_and_a_way_out(page: Any, server: Served) -> None:
    page.goto(f"{server.url}/?wall=1")
    page.locator('#link[data-state="live"]').wait_for()
    assert not page.get_by_role("navigation").is_visible()
    assert not page.get_by_label("Find").is_visible()
    assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 20
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("navigation").wait_for()
    assert "wall" not in page.url


def test_a_view_is_kept_under_a_name_and_a_form_reaches_the_server(
    page: Any, server: Served
) -> None:
    page.goto(f"{server.url}/audit?outcome=success")
    page.get_by_text("Views", exact=True).click()
    page.get_by_label("Keep this view as").fill("What went well")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.goto(f"{server.url}/kpis")
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("link", name="What went well").click()
    page.get_by_role("button", name="Verify now").wait_for()
    assert page.url.endswith("/audit?outcome=success")
    page.get_by_role("button", name="Verify now").click()
    page.get_by_text("Nothing was changed, taken out").wait_for()
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("button", name="Forget the view What went well").click()
    assert page.get_by_role("link", name="What went well").count() == 0


def test_an_empty_board_says_so_and_fills_itself(page: Any, own_server: Served) -> None:
    page.goto(own_server.url)
    assert page.locator("#no-units").is_visible()
    own_server.send("A01", "V1", "MED^1^1^GEN")
    shows(tile(page, "MED", "1-1"), "1-1: occupied")
    assert not page.locator("#no-units").is_visible()


def test_a_refused_message_is_explained_on_the_way_from_the_board(
    page: Any, own_server: Served
) -> None:
    own_server.send("A01", "V1", "MED^1^1^GEN")
    broken = own_server.http.post("/v1/hl7v2", content=REFUSED.encode())
    assert "MSA|AE" in broken.text
    own_server.wait_for("/messages/2")
    page.goto(own_server.url)
    page.get_by_role("link", name="In quarantine").click()
    page.get_by_role("link", name="2", exact=True).click()
    marked = page.locator("tr.marked.fault")
    assert marked.count() == 1
    assert "20260230" in marked.inner_text()
    assert "Fault 102 at PV1^1^45" in page.locator("tr.mark.fault").inner_text()
    assert "Discharge date/time" in marked.inner_text()
    name = page.locator("tr", has_text="Patient name").first
    assert name.inner_text().split()[-1] == "XXXXXXXXXXX^XXX"
    page.get_by_role("link", name="Show values about patients").click()
    assert "QUISENBERRY^ADA" in name.inner_text()
    page.get_by_role("link", name="Mask them").click()
    assert "QUISENBERRY" not in page.content()
    page.get_by_role("link", name="Messages", exact=True).first.click()
    page.get_by_label("Trigger").fill("adt^a01")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="1", exact=True).click()
    assert page.locator("tr", has_text="stay began").count() == 1


def test_the_server_ends_on_request_although_a_board_is_open(page: Any, own_server: Served) -> None:
    page.goto(own_server.url)
    page.locator('#link[data-state="live"]').wait_for()
    os.kill(own_server.process.pid, signal.SIGTERM)
    assert own_server.process.wait(timeout=180) == 0
