"""The SQL workbench: what it shows of a release, and that opening an address asks nothing."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.routes.workbench import drawn
from api.sidecar import Rows
from api.web.chart import LEFT
from tests.contract.conftest import HEARD, SETTINGS, Caller, StoppedClock
from twin_core.settings import DeidSettings
from twin_core.twin import Twin

BY_UNIT = "SELECT unit, count(*) AS stays FROM twin.stay GROUP BY unit ORDER BY unit"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: Any) -> Any:
    """A server with one release."""
    folder: Path = tmp_path_factory.mktemp("workbench")
    deid = DeidSettings(
        pseudonym_key="ab" * 32,
        shift_key="cd" * 32,
        known=("GEN", "MED", "ICU", "ED"),
        releases={"limited": folder / "limited.duckdb"},
    )
    settings = SETTINGS.model_copy(update={"deid": deid})
    with Twin.open(folder / "w.duckdb", settings=settings, clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin))
        for raw in HEARD:
            caller.post("/v1/hl7v2", content=raw)
        twin.wait_applied()
        twin.publish(folder / "limited.duckdb", "limited", cut_off=twin.clock.now())
        yield caller
        caller.close()


def ask(bench: Any, sql: str, **more: str) -> Any:
    return bench.post("/sql", data={"sql": sql, "release": "limited", **more})


def cells(text: str) -> list[str]:
    table = text.split('aria-label="Rows"')[1].split("</table>")[0]
    return re.findall(r"<td[^>]*>(.*?)</td>", table)


def test_a_question_is_answered_with_a_table_a_chart_and_a_link(bench: Any) -> None:
    answer = ask(bench, BY_UNIT, chart="bars")
    assert answer.status_code == 200
    assert cells(answer.text) == ["ICU", "1", "MED", "2"]
    assert answer.text.count('<rect class="column"') == 2
    assert not re.search(r"<script(?![^>]* src=)", answer.text)
    [link] = re.findall(r'href="(/sql\?sql=[^"]*chart=bars)"', answer.text)
    sheet = bench.get(unescape(link)).text
    assert BY_UNIT.replace("(*)", "(*)") in unescape(sheet)
    assert 'aria-label="Rows"' not in sheet, "opening an address asks nothing"


def test_the_same_answer_is_one_click_from_csv(bench: Any) -> None:
    answer = ask(bench, BY_UNIT, answer="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == "unit,stays\r\nICU,1\r\nMED,2\r\n"


def test_a_question_that_is_none_is_explained_on_the_same_sheet(bench: Any) -> None:
    answer = ask(bench, "DROP TABLE twin.stay")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "DROP TABLE twin.stay</textarea>" in answer.text
    assert ask(bench, "SELECT 1", release="other").status_code == 400


def test_what_can_be_asked_is_listed_with_its_columns(bench: Any) -> None:
    text = bench.get("/sql").text
    tables = re.findall(r"<summary><code>(.*?)</code></summary>", text)
    assert "twin.stay" in tables
    assert "twin.encounter" in tables
    stay = text.split("<summary><code>twin.stay</code>")[1].split("</details>")[0]
    assert "<code>unit</code>" in stay


def test_what_was_asked_is_in_the_ledger(bench: Any) -> None:
    ask(bench, "SELECT 41 + 1 AS answer")
    text = bench.get("/audit?what=POST%20/sql").text
    assert re.search(r"<code>POST /sql</code>", text)


def test_a_chart_needs_a_column_of_numbers() -> None:
    rows = Rows(("unit", "stays"), [{"unit": "A", "stays": 2}, {"unit": "B", "stays": None}], False)
    [bar] = re.findall(r'<rect class="column" x="([\d.]+)"', str(drawn(rows, "bars")))
    assert float(bar) > LEFT, "no bar lies over the axis"
    assert "<polyline" in str(drawn(rows, "line"))
    assert drawn(rows, "") is None
    assert drawn(Rows(("a", "b"), [{"a": 1, "b": "x"}], False), "line") is None
    assert drawn(Rows(("a",), [], False), "line") is None


def test_without_a_release_the_sheet_says_how_to_make_one(fresh: Any) -> None:
    text = fresh.get("/sql").text
    assert "There is no release to ask" in text
    assert "<textarea" not in text


def kept_names(text: str) -> list[str]:
    return re.findall(r'<article class="kept">\s*<h3><a href="[^"]*">(.*?)</a>', text)


def test_a_question_is_kept_by_a_name_and_one_click_from_chart_and_csv(bench: Any) -> None:
    kept = bench.post(
        "/sql/queries",
        data={"sql": BY_UNIT, "release": "limited", "name": "stays by unit", "about": "who lay"},
    )
    assert (kept.status_code, kept.headers["location"]) == (303, "/sql?query=stays+by+unit")
    sheet = bench.get(kept.headers["location"]).text
    assert f"{BY_UNIT}</textarea>" in unescape(sheet)
    assert 'aria-label="Rows"' not in sheet, "opening an address asks nothing"
    assert kept_names(sheet) == ["stays by unit"]
    address = "/sql/queries/stays%20by%20unit"
    assert f'action="{address}"' in sheet
    drawn_as_bars = bench.post(address, data={"answer": "bars"}).text
    assert drawn_as_bars.count('<rect class="column"') == 2
    assert "<polyline" in bench.post(address, data={"answer": "line"}).text
    assert cells(bench.post(address, data={"answer": "rows"}).text) == ["ICU", "1", "MED", "2"]
    csv = bench.post(address, data={"answer": "csv"})
    assert csv.text == "unit,stays\r\nICU,1\r\nMED,2\r\n"
    assert [one["about"] for one in bench.get("/v1/sql/queries").json()] == ["who lay"]
    assert bench.post(f"{address}/forget").status_code == 303
    assert kept_names(bench.get("/sql").text) == []
    assert bench.post(address, data={}).status_code == 400


def test_what_cannot_be_asked_is_not_kept_and_stays_on_the_sheet(bench: Any) -> None:
    for sql, name in ((BY_UNIT, "../x"), (BY_UNIT, ""), ("DROP TABLE twin.stay", "a")):
        answer = bench.post("/sql/queries", data={"sql": sql, "release": "limited", "name": name})
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
        assert f"{sql}</textarea>" in unescape(answer.text)
    assert kept_names(bench.get("/sql").text) == []


def test_an_answer_is_one_click_from_a_chart(bench: Any) -> None:
    first = ask(bench, BY_UNIT)
    assert "<svg class" not in first.text
    assert ask(bench, BY_UNIT, answer="bars").text.count('<rect class="column"') == 2
