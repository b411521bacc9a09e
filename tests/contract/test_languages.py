"""The pages in every language: no word is missing, none is left over, none is shown in English."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from jinja2 import nodes

from adapters.fhir.codes import ENCOUNTER_CLASSES
from api.feeds import FeedState
from api.figures import COUNTED_FROM, FIGURES
from api.routes.next_pages import BASELINES, MEASURED_IN, MEASURES
from api.routes.pages import STATUSES
from api.routes.workbench import CHARTS
from api.simulations.ledger import State
from api.sources.status import NEVER, NOT_CONFIGURED
from api.sources.syncing import (
    FAILED,
    IN_STEP,
    PARTLY,
    REFUSED,
    RESTING,
    STOPPED,
    SYNCING,
    UNREACHABLE,
)  # fmt: skip
from api.web.called import (
    ADMIT_SOURCES,
    CLASSES,
    DISPOSITIONS,
    MILESTONES,
    STATISTICS,
    STRATA,
    called,
)
from api.web.reader import LANGUAGES, catalogue, texts_of_scripts
from api.web.rendering import (
    ALERT_STATES,
    LEGEND,
    MARKS,
    MONTHS,
    NAVIGATION,
    OPERATIONAL,
    WEEKDAYS,
    environment,
)
from tests.contract.conftest import adt
from twin_core.audit import Actor, Outcome
from twin_core.audit.access import Act
from twin_core.audit.verify import Kind
from twin_core.kpi.catalogue import By, Grain
from twin_core.kpi.catalogue import catalogue as kpi_catalogue
from twin_core.kpi.control import RULES
from twin_core.store.fold.plans import MILESTONES as REACHED

WEB = Path(__file__).parents[2] / "api" / "web"
OTHERS = [language for language in LANGUAGES if language != "en"]
PAGES = (
    "/",
    "/past?against=2026-03-02T09:00",
    "/feeds",
    "/alerts",
    "/units/GEN/ICU",
    "/kpis",
    "/kpis/alos?start=2026-03-01&end=2026-03-03",
    "/messages",
    "/messages/1",
    "/quarantine",
    "/next",
    "/sql",
    "/audit",
    "/settings",
    "/nowhere",
)
NAMES = {"API", "SQL", "Alarm", "Code", "Name", "Text", "Status", "Signal"}
"""English words that other languages have taken over, or that name something."""


def texts_of_templates() -> Iterator[str]:
    for file in sorted((WEB / "templates").glob("*.html")):
        for call in environment().parse(file.read_text("utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in {"t", "many"}:
                for argument in call.args:
                    constants = [argument, *argument.find_all(nodes.Const)]
                    values = [one.value for one in constants if isinstance(one, nodes.Const)]
                    yield from (value for value in values if isinstance(value, str))


def texts_of_modules() -> Iterator[str]:
    for file in sorted(WEB.parent.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            named = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            if named and call.func.id in {"t", "many", "Said"}:
                for node in (node for argument in call.args for node in ast.walk(argument)):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        yield node.value


def texts_of_tables() -> Iterator[str]:
    """Words that pages take from tables of the code."""
    yield from (words for _, _, words in LEGEND)
    yield from (words for _, _, words, _ in NAVIGATION)
    yield from (*MARKS, *OPERATIONAL.values(), *ALERT_STATES.values(), *WEEKDAYS, *MONTHS)
    yield from (*RULES.values(), *STATUSES, *get_args(Grain), *get_args(By), *filter(None, CHARTS))
    yield from (*get_args(State), *MEASURES.values(), *MEASURED_IN, *BASELINES.values())
    yield from (*get_args(FeedState), *get_args(Act), *get_args(Outcome), *get_args(Kind))
    yield from get_args(Actor.__annotations__["kind"])
    yield from (word for f in FIGURES for word in (f.title, f.window, f.unit) if word)
    yield from (words for words, _ in COUNTED_FROM.values())
    for kpi in kpi_catalogue().values():
        yield from (kpi.title, kpi.unit, kpi.direction)
    yield from (*CLASSES.values(), *STATISTICS.values(), *STRATA.values(), *MILESTONES.values())
    yield from (*ADMIT_SOURCES.values(), *DISPOSITIONS.values())
    yield from (IN_STEP, SYNCING, FAILED, REFUSED, UNREACHABLE, RESTING, STOPPED, PARTLY)
    yield from (NOT_CONFIGURED, NEVER)


NEEDED = {*texts_of_templates(), *texts_of_modules(), *texts_of_tables(), *texts_of_scripts()}


@pytest.mark.parametrize("language", OTHERS)
def test_every_word_of_the_pages_is_in_the_catalogue(language: str) -> None:
    assert sorted(NEEDED - catalogue(language).keys()) == []


def test_every_language_has_the_same_words_with_the_same_places() -> None:
    keys = {language: list(catalogue(language)) for language in OTHERS}
    assert len({tuple(found) for found in keys.values()}) == 1
    for language in OTHERS:
        for text, said in catalogue(language).items():
            assert said.strip() == said != "", text
            places = re.findall(r"\{\w*\}", text), re.findall(r"\{\w*\}", said)
            assert sorted(places[0]) == sorted(places[1]), (language, text)


def test_no_template_has_a_word_outside_the_catalogue() -> None:
    loose = []
    for file in sorted((WEB / "templates").glob("*.html")):
        # The attributes of the page's own element stand in a block outside its tag.
        source = re.sub(r"{% block root %}.*?{% endblock %}", "", file.read_text("utf-8"))
        source = re.sub(r"(?s)\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "\0", source)
        source = re.sub(r"<code>[^<]*</code>|<!doctype html>", "", source)
        attributes = re.findall(r'\s(?:aria-label|title|placeholder|alt)="([^"\0]+)"', source)
        texts = re.sub(r"<[^>]*>", "\0", source).split("\0")
        for text in (*attributes, *texts):
            if re.search(r"[A-Za-z]{2}", text) and text.strip() not in ALLOWED:
                loose.append((file.name, text.strip()))
    assert loose == []


ALLOWED = {"wardtwin", "TLS", "ms", "SIU^S12", "/v1/encounters"}


class Shown(HTMLParser):
    """The texts of a page outside code, scripts and parts in another language than the page's."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, bool]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        told = dict(attributes)
        hidden = tag in {"code", "title"} or (tag != "html" and "lang" in told)
        if tag not in {"meta", "link", "input", "br", "line", "rect", "circle", "path"}:
            self.open.append((tag, hidden))
        if not any(hidden for _, hidden in self.open):
            names = ("aria-label", "placeholder", "title")
            self.texts += [told[name] or "" for name in names if name in told]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, text: str) -> None:
        if not any(hidden for _, hidden in self.open):
            self.texts.append(text.strip())


def test_every_code_of_the_standards_and_the_catalogue_has_a_word() -> None:
    parts = [(kpi.statistics, kpi.strata) for kpi in kpi_catalogue().values()]
    assert {name for statistics, _ in parts for name in statistics} <= STATISTICS.keys()
    assert {name for _, strata in parts for name in strata if name[0] != "<"} <= STRATA.keys()
    assert CLASSES.keys() >= ENCOUNTER_CLASSES
    assert {name for names in REACHED.values() for name in names} <= MILESTONES.keys()
    assert (called("IMP"), called("site_s_own"), called(None)) == ("inpatient", "site s own", "")


@pytest.mark.parametrize("language", OTHERS)
def test_no_page_shows_an_english_word_that_has_another(api: Any, language: str) -> None:
    words = catalogue(language)
    for path in PAGES:
        headers = {"Accept-Language": f"{language}-CH, en;q=0.5", "Accept": "text/html"}
        answer = api.get(path, headers=headers)
        assert f'<html lang="{language}"' in answer.text
        shown = Shown()
        shown.feed(answer.text)
        left = {text for text in shown.texts if words.get(text, text) != text} - NAMES
        assert left - set(words.values()) == set(), path
        assert not [text for text in shown.texts if re.search(r"\{[a-z]+\}", text)], path


def test_what_was_odd_about_a_message_is_marked_as_english(fresh: Any, twin: Any) -> None:
    fresh.post("/v1/hl7v2", content=adt("A01", "1", "08:00", "V1", "MED^1^1^GEN", kind="Q"))
    twin.wait_applied()
    headers = {"Accept-Language": "de"}
    shown = Shown()
    shown.feed(fresh.get("/messages/1", headers=headers).text)
    explained = fresh.get("/v1/messages/1/explain").json()
    names = [found["kind"].replace("_", " ") for found in explained["findings"]]
    names += [event["kind"] for event in explained["events"]]
    assert explained["findings"]
    assert not set(names) & set(shown.texts)


def test_one_bed_is_not_told_in_the_plural_in_french() -> None:
    for text in ("{n} free", "{n} isolated", "{n} closed"):
        assert re.search(r"s\s: \{n\}$", catalogue("fr")[text]), text


def test_the_address_chooses_the_language_and_a_cookie_keeps_it(api: Any) -> None:
    answer = api.get("/alerts?lang=fr&hours=12", headers={"Accept-Language": "de"})
    assert '<html lang="fr" data-hours="12"' in answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("wardtwin-reader=fr-12; ")
    assert "HttpOnly; SameSite=Lax" in cookie
    kept = api.get("/alerts", headers={"Cookie": cookie.partition(";")[0], "Accept-Language": "de"})
    assert '<html lang="fr" data-hours="12"' in kept.text
    assert "set-cookie" not in kept.headers
    api.http.cookies.clear()


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("it, fr;q=0.8, de;q=0.9", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("fr;q=0, *", "en"),
        ("de;q=x, \u00e9;;, fr;q=0.001", "fr"),
    ],
)
def test_the_browser_says_which_language_is_liked(api: Any, header: str, language: str) -> None:
    answer = api.get("/alerts", headers={"Accept-Language": header.encode("latin-1")})
    assert f'<html lang="{language}"' in answer.text


@pytest.mark.parametrize("asked", ["lang=xx", "lang=../de", "lang=", "hours=25", "hours=<b>"])
def test_a_language_that_there_is_not_is_passed_over(api: Any, asked: str) -> None:
    answer = api.get(
        f"/alerts?{asked}", headers={"Cookie": "wardtwin-reader=xx-\u00e9; a=b".encode()}
    )
    assert '<html lang="en" data-hours="24"' in answer.text
    assert "set-cookie" not in answer.headers


def test_times_are_on_the_readers_clock_in_the_zone_of_the_hospital(api: Any) -> None:
    text = api.get("/units/GEN/MED?at=2026-03-02T15:30:00Z&hours=12").text
    assert "2026-03-02 3:30 pm" in text
    assert "2026-03-02 15:30" in api.get("/units/GEN/MED?at=2026-03-02T15:30:00Z&hours=24").text
    api.http.cookies.clear()
