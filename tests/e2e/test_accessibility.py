"""Every page against the rules of WCAG 2.2 AA that a machine can judge, in both colour schemes.

With WARDTWIN_SCREENSHOTS=FOLDER in the environment, what every page looked like is kept there.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from api.access.store import AccessStore, access_path
from api.simulations.ledger import kept
from tests.contract.foreseen import (
    BACKTEST_ID,
    CHANGED_ID,
    FORECAST_ID,
    keep_backtest,
    keep_forecasts,
)
from tests.e2e.conftest import Served
from twin_core.clock import SystemClock

sync_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.browser

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
JUDGED = {"light": RULES, "dark": {"type": "rule", "values": ["color-contrast"]}}
"""All rules in light; in dark, the one that colours can break."""
WIDTHS = {"light": 1280, "dark": 320}
"""In dark on a phone, which no page may be wider than."""
VISIT = "/visits/one"
"""The page of a visit of the unit, whose id is only known then."""
PAGES = (
    "/",
    "/past?against=2026-01-01T00:00",
    "/units/GEN/MED",
    "/kpis",
    "/alerts",
    "/feeds",
    "/kpis/occ_midnight",
    "/messages",
    "/messages/1",
    "/quarantine",
    "/quarantine/5",
    VISIT,
    "/kpis/alos/rows?start=2026-01-01T00:00:00Z&end=2027-01-01T00:00:00Z&grain=all&by=hospital",
    "/next",
    f"/next/{FORECAST_ID}",
    f"/next/{CHANGED_ID}",
    f"/next/{BACKTEST_ID}",
    "/next?lang=de",
    "/sql",
    "/audit",
    "/settings",
    "/docs",
    "/nowhere",
    "/?wall=1",
    "/?lang=de&hours=12",
    "/units/GEN/MED?lang=fr",
)
REFUSED = b"MSH|^~\\&|PAS|GEN|||20260302||ADT^A03|R|P|2.5\r"


@pytest.fixture(scope="module")
def furnished(server: Served) -> Served:
    """A server that knows beds taken and free, an ED patient and a refused message."""
    server.send("A01", "V1", "MED^1^1^GEN")
    server.send("A01", "V2", "MED^1^2^GEN")
    server.send("A02", "V2", "ICU^1^1^GEN")
    server.send("A04", "V3", "ED^^^GEN", kind="E")
    refused = server.http.post(
        "/v1/hl7v2", content=b"MSH|^~\\&|PAS|GEN|||20260302||ADT^A03|R|P|2.5\r"
    )
    assert "MSA|AE" in refused.text
    server.wait_for("/units/GEN/ICU")
    server.wait_for("/quarantine/5")
    server.wait_for("/next")  # which makes the file of simulations
    with kept(server.store, None) as ledger:
        keep_forecasts(ledger)
        keep_backtest(ledger)
    return server


def keep_screenshot(page: Any, name: str) -> None:
    if folder := os.environ.get("WARDTWIN_SCREENSHOTS"):
        file = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        page.screenshot(path=Path(folder) / f"{file}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_a_rule(chromium: Any, furnished: Served, scheme: Any) -> None:
    context = chromium.new_context(
        color_scheme=scheme, viewport={"width": WIDTHS[scheme], "height": 900}
    )
    page = context.new_page()
    broken, wide = {}, {}
    [visit] = re.findall(r'href="(/visits/\w+)"', furnished.http.get("/units/GEN/MED").text)
    for path in PAGES:
        page.goto(furnished.url + (visit if path == VISIT else path))
        page.locator("main h1").wait_for(state="attached")
        found = sync_playwright.Axe().run(page, options={"runOnly": JUDGED[scheme]})
        if found.violations_count:
            broken[path] = found.generate_report()
        if (width := page.evaluate("document.documentElement.scrollWidth")) > WIDTHS[scheme]:
            wide[path] = width
        keep_screenshot(page, f"{scheme}{path}")
    context.close()
    assert (broken, wide) == ({}, {})


def judged(page: Any, scheme: str) -> str:
    found = sync_playwright.Axe().run(page, options={"runOnly": JUDGED[scheme]})
    return str(found.generate_report()) if found.violations_count else ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signing_in_breaks_no_rule(
    chromium: Any, tmp_path_factory: pytest.TempPathFactory, scheme: Any
) -> None:
    served = Served(tmp_path_factory.mktemp("guarded"), "[access]\n")
    page = chromium.new_context(
        color_scheme=scheme, viewport={"width": WIDTHS[scheme], "height": 900}
    ).new_page()
    try:
        page.goto(f"{served.url}/kpis")
        page.get_by_label("API key").fill("no such key")
        assert judged(page, scheme) == ""
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("alert").wait_for()
        assert judged(page, scheme) == ""
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[scheme]
        keep_screenshot(page, f"{scheme}/login")
        key = AccessStore(access_path(served.store), SystemClock()).create("reads", ("viewer",))[1]
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Sign out").wait_for()
        assert page.goto(f"{served.url}/settings").status == 403
        assert judged(page, scheme) == ""
        keep_screenshot(page, f"{scheme}/forbidden")
    finally:
        page.context.close()
        served.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_board_that_lost_its_server_can_still_be_read(
    chromium: Any, own_server: Served, scheme: Any
) -> None:
    own_server.send("A01", "V1", "MED^1^1^GEN")
    own_server.send("A04", "V3", "ED^^^GEN", kind="E")
    own_server.wait_for("/units/GEN/MED")
    page = chromium.new_context(color_scheme=scheme).new_page()
    page.goto(own_server.url)
    page.locator('#link[data-state="live"]').wait_for()
    own_server.kill()
    page.locator("#stale").wait_for()
    page.wait_for_timeout(500)  # until what turns grey has turned
    assert judged(page, scheme) == ""
    keep_screenshot(page, f"{scheme}/stale")
    page.context.close()


PAPER = 720
"""The width of an A4 sheet within its margins, in pixels."""


def test_what_is_printed_fits_the_sheet_and_has_no_controls(
    chromium: Any, furnished: Served
) -> None:
    page = chromium.new_context(color_scheme="dark").new_page()
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.emulate_media(media="print")
    wide, controls = {}, {}
    for path in ("/", "/kpis", "/kpis/occ_midnight", "/next", "/feeds", "/messages", "/messages/1"):
        page.goto(furnished.url + path)
        page.locator("main h1").wait_for(state="attached")
        if (width := page.evaluate("document.documentElement.scrollWidth")) > PAPER:
            wide[path] = width
        shown = "all => all.filter((one) => one.checkVisibility()).length"
        if found := page.locator("button, input, select, nav").evaluate_all(shown):
            controls[path] = found
    page.context.close()
    assert (wide, controls) == ({}, {})


BROKEN_WORDS = """all => all.flatMap((cell) => {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), broken = [];
    while (walker.nextNode()) {
        const text = walker.currentNode, range = document.createRange();
        for (const word of text.data.matchAll(/[A-Za-z]+/g)) {
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
    return broken;
})"""


def test_a_phone_shows_names_and_words_whole(chromium: Any, own_server: Served) -> None:
    own_server.send("A01", "V1", "ONCOLOGY^1^1^GEN")
    own_server.send("A16", "V1", "ONCOLOGY^1^1^GEN")
    own_server.wait_for("/messages/2")
    own_server.wait_for("/units/GEN/ONCOLOGY")
    page = chromium.new_context(viewport={"width": 320, "height": 700}).new_page()
    page.goto(own_server.url)
    page.get_by_role("link", name="ONCOLOGY").wait_for()
    heading = page.locator(".unit:not([hidden]) h3").first
    heading.evaluate("one => one.append(' Oncology, haematology and a name that is long')")
    assert heading.evaluate("one => one.scrollWidth <= one.clientWidth")
    page.goto(f"{own_server.url}/units/GEN/ONCOLOGY")
    page.locator("a[href^='/visits/']").first.click()
    page.get_by_role("heading", name="What was planned").wait_for()
    assert page.locator(".list th, .list td").evaluate_all(BROKEN_WORDS) == []
    page.context.close()
