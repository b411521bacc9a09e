"""The pages of the operations room for everybody who may open them: nothing on them leads to a door
that is shut, and what they show stands in the words of a ward.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from api.access.control import AccessControl
from api.access.doors import door_of
from api.access.roles import ROLE_NAMES, ROLES, Role
from api.app import create_app
from api.routes.pages import target_of, target_words
from api.sources.ledger import Ledger, ledger_path
from api.sources.status import store_id
from api.web.called import came_from, went_to
from tests.contract.conftest import BROKEN, HEARD, NOON, SETTINGS, Caller, StoppedClock
from twin_core.clock import SystemClock
from twin_core.kpi.catalogue import catalogue
from twin_core.settings import AccessSettings, SourceSettings
from twin_core.twin import Twin

FHIR = "https://fhir.example.org/r4"
ASKED = "?start=2026-03-02&end=2026-03-03&by=unit"
ROWS = "start=2026-03-02T00:00:00Z&end=2026-03-03T00:00:00Z&grain=day&by=unit&statistic=mean"
PAGES = (
    "/",
    "/past",
    "/units/GEN/MED",
    "/units/GEN/ICU",
    f"/kpis/alos{ASKED}",
    f"/kpis/alos/rows?{ROWS}",
    "/kpis",
    "/alerts",
    "/feeds",
    "/messages",
    "/messages/1",
    "/quarantine",
    "/quarantine/6",
    "/next",
    "/sql",
    "/audit",
    "/settings",
    "/docs",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Caller, dict[Role, str]]]:
    """A server with locks that reads a FHIR server, too, and a key for every role."""
    path = tmp_path_factory.mktemp("room") / "room.duckdb"
    settings = SETTINGS.model_copy(
        update={
            "access": AccessSettings(requests_per_minute=100_000),
            "sources": {"ehr": SourceSettings(url=FHIR), "lab": SourceSettings(url=FHIR)},
        }
    )
    with Twin.open(path, settings=settings, clock=StoppedClock()) as twin:
        with closing(Ledger(ledger_path(path), store_id(twin), None)) as ledger:
            ledger.begin("ehr", FHIR, 0)
            ledger.count("ehr", "Encounter", {"accepted": 7, "rejected": 2})
            ledger.tell("ehr", "unreachable", "Nobody answers there.", NOON, 1, breaker="open")
        control = AccessControl(settings.access, path, clock=SystemClock())
        keys = {role: control.store.create(role, (role,))[1] for role in ROLE_NAMES}
        caller = Caller(create_app(twin, access=control))
        for raw in (*HEARD, BROKEN):
            caller.post("/v1/hl7v2", content=raw, headers=bearer(keys["interface"]))
        twin.wait_applied()
        yield caller, keys
        caller.close()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def shut(text: str, path: str, role: Role) -> list[str]:
    """Links and forms of a page that lead where a role may not go."""
    text = re.sub(r"<template.*?</template>", "", text, flags=re.DOTALL)
    links = [("GET", href) for href in re.findall(r'<a [^>]*?href="([^"]+)"', text)]
    sent = [("POST", to) for to in re.findall(r'method="post" action="([^"]+)"', text)]
    sent += [("POST", to) for to in re.findall(r'formaction="([^"]+)"', text)]
    if "?phi=show" in text and "messages:show" not in ROLES[role]:
        return ["?phi=show"]
    found = []
    for method, to in {*links, *sent}:
        address = urlsplit(urljoin(path, unescape(to))).path
        door = door_of(method, address)
        # Whoever may not see the board is led on from its address to what they may see.
        if address != "/" and (door is None or door.permission not in {"", *ROLES[role]}):
            found.append(to)
    return found


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_no_page_leads_to_what_its_reader_may_not_open(
    kept: tuple[Caller, dict[Role, str]], role: Role
) -> None:
    caller, keys = kept
    opened = 0
    for path in PAGES:
        answer = caller.get(path, headers=bearer(keys[role]) | {"Accept": "text/html"})
        if answer.status_code == 200:
            opened += 1
            assert (path, shut(answer.text, path, role)) == (path, [])
    assert opened > 0


def test_the_page_of_feeds_says_how_every_fhir_server_is(
    kept: tuple[Caller, dict[Role, str]],
) -> None:
    caller, keys = kept
    text = caller.get("/feeds", headers=bearer(keys["interface"])).text
    rows = re.findall(r"<tr>(.*?)</tr>", text.split('id="sources"')[1], re.DOTALL)[1:]
    words = [re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", row)).strip() for row in rows]
    assert words == [
        f"ehr unreachable, not asked for now {FHIR} 7 0 2 0 Nobody answers there.",
        f"lab never synced {FHIR} 0 0 0 0",
    ]


@pytest.mark.parametrize("kpi_id", ["alos", "or_raw"])
def test_a_kpi_page_shows_the_sql_that_counts_it(api: Any, kpi_id: str) -> None:
    text = unescape(api.get(f"/kpis/{kpi_id}").text)
    kpi = catalogue()[kpi_id]
    assert kpi.sql in text
    assert kpi.behind in text
    assert f"kpi.{kpi_id}(" in text


def test_every_kpi_that_states_a_target_of_its_headline_has_it_drawn() -> None:
    targets = {kpi.id: target_of(kpi) for kpi in catalogue().values()}
    assert {kpi_id: tuple(target) for kpi_id, target in targets.items() if target} == {
        "amb_offload": (None, 15),
        "arr12": (None, 0),
        "dq_reconcile": (None, 0),
        "dta12": (None, 0),
        "ed_census": (None, 100),
        "nhs4h": (95, None),
        "occ_midnight": (85, 92),
        "or_adj": (75, 85),
        "or_raw": (75, 85),
    }


@pytest.mark.parametrize(
    ("kpi_id", "words"),
    [
        ("nhs4h", "target at least 95 %"),
        ("amb_offload", "target at most 15 min"),
        ("occ_midnight", "target 85 to 92 %"),
    ],
)
def test_a_target_says_which_side_of_it_is_good(kpi_id: str, words: str) -> None:
    kpi = catalogue()[kpi_id]
    target = target_of(kpi)
    assert target is not None
    assert target_words(target, kpi.unit) == words


def test_a_run_chart_says_its_target(api: Any) -> None:
    text = api.get(f"/kpis/occ_midnight{ASKED}").text
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert captions
    assert all(caption.endswith(", target 85 to 92 %") for caption in captions)


@pytest.mark.parametrize(
    ("language", "source", "disposition"),
    [
        ("en", "from the emergency department (7)", "home (01)"),
        ("de", "aus der Notaufnahme (7)", "nach Hause (01)"),
        ("fr", "des urgences (7)", "à domicile (01)"),
    ],
)
def test_where_a_patient_came_from_and_went_stands_in_words_beside_its_code(
    fresh: Any, twin: Twin, language: str, source: str, disposition: str
) -> None:
    for at, raw in enumerate((HEARD[0], HEARD[3])):
        *others, pv1 = raw.decode().split("\r")
        fields = pv1.split("|")
        fields[14], fields[36] = "7", "01" if at else ""
        stated = "\r".join([*others, "|".join(fields)])
        assert fresh.post("/v1/hl7v2", content=stated.encode()).status_code == 200
    twin.wait_applied()
    [row] = twin.query("SELECT encounter_id FROM twin.encounter")
    text = unescape(fresh.get(f"/visits/{row['encounter_id']}?lang={language}").text)
    assert source in text
    assert disposition in text


def test_a_code_that_no_table_knows_is_shown_as_it_is() -> None:
    assert (came_from("X9"), went_to("X9"), went_to(None)) == ("X9", "X9", "")
