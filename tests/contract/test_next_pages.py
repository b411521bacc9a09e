"""Forecast and scenarios as pages: the question in the ward's words, the answer as fans."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.app import create_app
from api.routes.next_words import question, scenario
from api.simulations.asked import SimulationAsked, task_of
from api.web import rendering
from api.web.chart import Mark, Spread, fan_chart
from api.web.fans import census_rows, day_marks, fans, told_differences
from tests.contract.conftest import NOON, Caller, StoppedClock
from tests.contract.test_simulations import ASKED
from twin_core.errors import UsageError
from twin_core.settings import Settings
from twin_core.settings.simulation import SimulationSettings
from twin_core.simulation import scenario_from
from twin_core.twin import Twin

HOURS = 49
SHIFTS = {"p05": -2, "p25": -1, "p50": 0, "p75": 1, "p95": 2, "mean": 0.25}
ID = "a0b1c2d3e4f50617"


def spread(middle: float) -> dict[str, list[float]]:
    """A census that stays around a middle for two days."""
    return {name: [middle + shift] * HOURS for name, shift in SHIFTS.items()}


def hospital(scenario: str | None, **units: float) -> dict[str, Any]:
    census = {unit: spread(middle) for unit, middle in units.items()}
    return {"scenario": scenario, "census": census, "waiting": census, "boarding": census}


def difference(measure: str, unit: str | None, low: float, high: float) -> dict[str, Any]:
    return {
        "scenario": "Two closed",
        "measure": measure,
        "in": "patients",
        "unit": unit,
        "baseline": 2.0,
        "changed": 2.0 + (low + high) / 2,
        "difference": (low + high) / 2,
        "low": low,
        "high": high,
        "probability_better": 0.25,
        "confidence_better": 0.1,
        "replications": 12,
    }


ANSWER: dict[str, Any] = {
    "start": None,
    "draws": 1,
    "replications": 12,
    "half_width_reached": None,
    "hours": [float(hour) for hour in range(HOURS)],
    "hospitals": [hospital(None, ED=3, MED=5), hospital("Two closed", ED=4, MED=3)],
    "differences": [
        difference("boarding", "ED", 0.5, 1.5),
        difference("census", "MED", -0.5, 1.5),
        difference("boarding", None, 0.5, 1.5),
        difference("census", None, -0.5, 1.5),
    ],
}
"""An answer in the shape of `api.simulations.answering.answer_to`."""


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A server that keeps an answer."""
    path = tmp_path_factory.mktemp("next") / "hospital.duckdb"
    with Twin.open(path, settings=Settings(), clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin))
        ledger = caller.app.state.simulations.ledger
        task = task_of(SimulationAsked(**ASKED), SimulationSettings())
        ledger.ask(ID, task, "a model: Two closed", {}, "", NOON)
        ledger.begin(ID, NOON)
        ledger.answered(ID, ANSWER, {"kernel": "1"}, NOON)
        yield caller
        caller.close()


def test_an_answer_is_a_fan_for_every_unit_with_its_table_and_file(
    answered: Caller,
) -> None:
    api, id_ = answered, ID
    text = api.get(f"/next/{id_}").text
    assert text.count('<polygon class="fan"') == text.count('class="line other"') == 2
    assert text.count("<summary>As a table</summary>") == 2
    med = text.split("<figcaption>MED</figcaption>")[1].split("</table>")[0]
    assert med.count('<th scope="row"') == 49  # two days, both ends included
    csv = api.get(f"/next/{id_}/census.csv")
    assert csv.headers["content-type"].startswith("text/csv")
    lines = csv.text.splitlines()
    assert lines[0] == "scenario,what,unit,hour,at,p05,p25,p50,p75,p95,mean"
    assert len(lines) == 1 + 2 * 3 * 2 * 49
    assert api.get(f"/next/{id_}/nothing.csv").status_code == 404
    assert api.get("/next/none").status_code == 404
    listed = api.get("/next").text
    assert f'href="/next/{id_}"' in listed


def test_the_english_names_of_questions_say_that_they_are_english(answered: Caller) -> None:
    headers = {"Accept-Language": "de"}
    text = answered.get(f"/next/{ID}", headers=headers).text
    assert '<h1><span lang="en">a model: Two closed</span>' in text
    assert 'Gestrichelt: <span lang="en">Two closed</span>.' in text
    assert (
        '<span lang="en">a model: Two closed</span></a>'
        in answered.get("/next", headers=headers).text
    )


def test_differences_are_shown_with_intervals_and_as_a_file(
    answered: Caller,
) -> None:
    api, id_ = answered, ID
    text = api.get(f"/next/{id_}").text
    table = text.split('aria-label="What it would change"')[1].split("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr")[2:]]
    told = api.get(f"/v1/simulations/{id_}").json()["answer"]["differences"]
    of_hospital = [row for row in told if row["unit"] is None]
    assert [row[1] for row in rows] == ["hospital"] * len(of_hospital) + ["ED"]
    for shown in rows:
        low, high = (float(n) for n in re.findall(r"-?[\d.]+", shown[5])[:2])
        assert ("holds nought" in shown[5]) == (low <= 0 <= high), shown
    csv = api.get(f"/next/{id_}/differences.csv").text.splitlines()
    assert len(csv) == 1 + len(told)


def test_the_form_asks_and_says_what_it_cannot_ask(answered: Caller) -> None:
    api = answered
    refused = api.post("/next", data={"model": "riverside", "days": "2", "replications": "x"})
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text
    assert 'value="x"' in refused.text
    taken = api.post(
        "/next", data={"model": "riverside", "days": "300", "replications": "2000", "seed": "3"}
    )
    assert taken.status_code == 303
    address = taken.headers["location"]
    waiting = api.get(address).text
    assert "<progress" in waiting
    cancelled = api.post(f"{address}/cancel")
    assert (cancelled.status_code, cancelled.headers["location"]) == (303, address)
    assert 'class="badge cancelled"' in api.get(address).text


def test_the_address_holds_the_question(answered: Caller) -> None:
    api = answered
    text = api.get("/next?model=riverside&close_beds=8&close_days=3&days=5").text
    assert "<option selected>riverside</option>" in text
    assert 'name="close_beds" min="1" value="8"' in text
    assert 'name="days" min="1" max="28" step="any" value="5"' in text


def test_the_words_of_the_ward_become_a_scenario() -> None:
    assert scenario({}) is None
    assert question({}).from_now
    asked = {
        "model": "riverside",
        "close_beds": "8",
        "close_unit": "MED",
        "close_days": "3",
        "arrivals": "-12,5",
        "earlier": "2",
        "surge_beds": "6",
        "surge_for": "GERI",
    }
    found = question(asked)
    assert not found.from_now
    [edits] = found.scenarios
    assert isinstance(edits, dict)
    read = scenario_from(edits, "asked")
    assert (read.close_beds[0].beds, read.close_beds[0].ends) == (8, 72.0)
    assert read.arrivals[0].percent == -12.5
    assert read.discharge_earlier[0].hours == 2
    assert read.open_unit[0].takes_from == ("GERI",)
    assert read.name.startswith("8 beds closed in MED, -12.5 % arrivals")
    for wrong in ("eight", "nan", "inf", "1e400"):
        with pytest.raises(UsageError):
            question({"earlier": wrong})


def told(census: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    return {"scenario": None, "census": census, "waiting": {}, "boarding": {}}


def test_a_unit_that_only_a_scenario_opens_has_a_fan_and_an_empty_one_has_none() -> None:
    full = {name: [3.0, 4.0] for name in ("p05", "p25", "p50", "p75", "p95")}
    empty = {name: [0.0, 0.0] for name in full}
    answer = {
        "start": "2026-03-02T12:00:00+00:00",
        "hours": [0.0, 1.0],
        "hospitals": [told({"A": full, "B": empty}), told({"A": full, "B": empty, "S": full})],
    }
    found = {fan.unit: fan for fan in fans(answer, "Europe/Berlin")}
    assert set(found) == {"A", "S"}
    assert found["S"].hours[1].high == 0.0
    assert found["S"].other == [3.0, 4.0]
    assert found["A"].hours[0].label == "2026-03-02 13:00"
    [first, *_] = census_rows(answer)
    assert (first["unit"], first["at"].isoformat()) == ("A", "2026-03-02T12:00:00+00:00")


def test_differences_of_units_are_shown_where_they_are_clear() -> None:
    def row(unit: str | None, low: float | None, high: float | None) -> dict[str, Any]:
        return {"unit": unit, "in": "patients", "low": low, "high": high}

    rows = [row("A", -1.0, 1.0), row("B", 0.1, 2.0), row(None, -1.0, 1.0), row("C", None, None)]
    kept = told_differences(rows)
    assert [(one["unit"], one["is_clear"]) for one in kept] == [(None, False), ("B", True)]


def test_shares_are_told_in_percent_and_differences_with_their_sign() -> None:
    row = {"unit": None, "in": "share", "baseline": 0.81, "changed": 0.8225}
    [told] = told_differences([{**row, "difference": 0.0125, "low": None, "high": 0.02}])
    assert (told["in"], told["baseline"], told["low"]) == ("%", 81.0, None)
    assert [rendering.difference(told["difference"]), rendering.difference(told["high"])] == [
        "+1.25",
        "+2",
    ]
    assert [rendering.difference(one) for one in (-0.0041, -0.2, 0.0, -0.0, 1234.5)] == [
        "-0.0041",
        "-0.2",
        "0",
        "0",
        "+1,234.5",
    ]
    assert [rendering.figure(one) for one in (-0.001, -0.0, 10.0, 100.0)] == ["0", "0", "10", "100"]


def test_the_days_of_a_fan_begin_at_the_midnights_of_the_hospital() -> None:
    hours = [float(hour) for hour in range(49)]
    found = day_marks({"start": "2026-03-28T12:30:00+00:00", "hours": hours}, "Europe/Berlin")
    # The night in which clocks go forward: the 29th has 23 hours.
    assert found == [Mark(10.5, "Sun 29"), Mark(33.5, "Mon 30")]
    assert day_marks({"hours": hours}, "UTC") == [
        Mark(24.0 * day, f"day {day}") for day in (0, 1, 2)
    ]
    assert day_marks({"hours": [0.0]}, "UTC") == []
    drawn = str(fan_chart([Spread("now", 1, 2, 3, 4, 5)] * 49, title="T", days=found))
    assert re.findall(r">(\w{3} \d+)</text>", drawn) == ["Sun 29", "Mon 30"]


def test_a_fan_is_drawn_from_its_edges_and_says_them_in_words() -> None:
    hours = [Spread("now", 5, 5, 5, 5, 5), Spread("<b>", 2, 4, 6, 8, 12)]
    drawn = str(fan_chart(hours, title="T", other=[5, 20], capacity=10))
    assert "<b>" not in drawn
    assert "nine in ten between 2 and 12" in drawn
    outer, inner = re.findall(r'<polygon class="fan[^"]*" points="([^"]+)"', drawn)
    heights = [[float(at.split(",")[1]) for at in points.split()] for points in (outer, inner)]
    assert len(heights[0]) == len(heights[1]) == 4
    assert min(heights[0]) < min(heights[1]) <= max(heights[1]) < max(heights[0])
    assert drawn.count('class="limit"') == 1
