"""Each role's walk: signing in, every page that it is offered, and none that it is not."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.access.roles import ROLE_NAMES, ROLES
from api.access.store import AccessStore, access_path
from api.web.rendering import NAVIGATION
from tests.e2e.conftest import Served
from twin_core.clock import SystemClock

pytestmark = pytest.mark.browser

FETCHED = """(paths) => Promise.all(paths.map(
    (path) => fetch(path, { headers: { Accept: "text/html" } }).then((answer) => answer.status),
))"""
ALWAYS = {"researcher": "/sql", "auditor": "/audit"}
"""Where somebody lands who may not see the board."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that lets in whom it knows, with two patients."""
    served = Served(tmp_path_factory.mktemp("guarded"), "[access]\n")
    try:
        key = made_key(served, "interface")
        served.http.headers["Authorization"] = f"Bearer {key}"
        served.send("A01", "V1", "MED^1^1^GEN")
        served.send("A04", "V2", "ED^^^GEN", kind="E")
        served.wait_for("/messages/2")
        del served.http.headers["Authorization"]
        yield served
    finally:
        served.stop()


def made_key(served: Served, role: Any, name: str = "sends") -> str:
    return AccessStore(access_path(served.store), SystemClock()).create(name, (role,))[1]


@pytest.fixture(scope="module")
def keys(guarded: Served) -> dict[str, str]:
    return {role: made_key(guarded, role, role) for role in ROLE_NAMES}


def sign_in(page: Any, url: str, key: str) -> None:
    page.goto(url)
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_role_is_led_to_what_it_may_open_and_nowhere_else(
    page: Any, guarded: Served, keys: dict[str, str], role: Any
) -> None:
    sign_in(page, guarded.url, keys[role])
    assert page.url == guarded.url + ALWAYS.get(role, "/")
    offered = page.locator("nav a").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
    assert offered == [href for _, href, _, needed in NAVIGATION if needed in ROLES[role]]
    others = [href for _, href, _, _ in NAVIGATION if href not in offered]
    assert page.evaluate(FETCHED, offered) == [200] * len(offered)
    assert page.evaluate(FETCHED, others) == [403] * len(others)
    text = page.evaluate("fetch('/').then((answer) => answer.text())")
    assert "QUISENBERRY" not in text
    assert ('href="/visits/' in text) == ("patients:read" in ROLES[role])


def test_a_view_is_kept_with_the_person_and_found_in_another_browser(
    chromium: Any, guarded: Served, keys: dict[str, str]
) -> None:
    def opened(role: str, path: str) -> Any:
        page = chromium.new_context().new_page()
        sign_in(page, guarded.url, keys[role])
        page.goto(guarded.url + path)
        page.get_by_text("Views", exact=True).click()
        return page

    first = opened("operations", "/?show=free")
    first.get_by_label("Keep this view as").fill("Free / now")
    first.get_by_role("button", name="Keep", exact=True).click()
    first.get_by_role("link", name="Free / now").wait_for()
    second = opened("operations", "/kpis")
    second.get_by_role("link", name="Free / now").click()
    second.wait_for_url("**/?show=free")
    other = opened("viewer", "/kpis")
    assert other.get_by_role("link", name="Free / now").count() == 0
    first.get_by_role("button", name="Forget the view Free / now").click()
    first.get_by_role("link", name="Free / now").wait_for(state="detached")
    for page in (first, second, other):
        page.context.close()


def test_signing_out_ends_it(page: Any, guarded: Served, keys: dict[str, str]) -> None:
    sign_in(page, f"{guarded.url}/kpis?by=unit", keys["viewer"])
    assert page.url.endswith("/kpis?by=unit"), "where somebody wanted to go"
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    page.goto(f"{guarded.url}/kpis")
    page.get_by_label("API key").wait_for()


def test_a_shut_door_is_a_page_that_leads_on(
    page: Any, guarded: Served, keys: dict[str, str]
) -> None:
    sign_in(page, guarded.url, keys["viewer"])
    for path, status in (("/settings", 403), ("/nowhere", 404)):
        assert page.goto(guarded.url + path).status == status
        assert page.locator("main .code").inner_text() == str(status)
        page.get_by_role("button", name="Sign out").wait_for()
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="KPIs").wait_for()
    page.get_by_role("link", name="Back to the board").click()
    page.wait_for_url(f"{guarded.url}/")
