"""How good forecasts were: asked for as a job, kept, and shown beside every forecast."""

import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from api.app import create_app
from api.cli import main
from api.simulations.asked import BacktestAsked, HalfWidth, SimulationAsked, task_of
from api.simulations.backtesting import plan_of, unit_scores
from api.simulations.desk import SimulationDesk, opened_desk
from api.simulations.ledger import OVER
from tests.contract.conftest import Caller, StoppedClock
from tests.contract.foreseen import (
    BACKTEST_ID,
    CHANGED_ID,
    FORECAST_ID,
    SCORES,
    keep_backtest,
    keep_forecasts,
)
from tests.contract.test_simulations import ASKED, history
from twin_core.errors import UsageError
from twin_core.settings import Settings
from twin_core.settings.simulation import SimulationSettings
from twin_core.simulation.backtest import backtest, document
from twin_core.simulation.calibrate.passing import history_from, plain
from twin_core.twin import Twin

TESTED = SimulationAsked(
    days=0.25,
    replications=4,
    draws=2,
    seed=3,
    backtest=BacktestAsked(every_hours=50, learnt_days=18),
)


@pytest.fixture(scope="module")
def foreseen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A server that keeps forecasts and nothing about how good such are."""
    path = tmp_path_factory.mktemp("foreseen") / "hospital.duckdb"
    with Twin.open(path, settings=Settings(), clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin))
        keep_forecasts(caller.app.state.simulations.ledger)
        yield caller
        caller.close()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A server that keeps forecasts and a backtest."""
    path = tmp_path_factory.mktemp("judged") / "hospital.duckdb"
    with Twin.open(path, settings=Settings(), clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin))
        keep_forecasts(caller.app.state.simulations.ledger)
        keep_backtest(caller.app.state.simulations.ledger)
        yield caller
        caller.close()


def figure(text: str, unit: str) -> str:
    """What stands beside the fan of a unit, without marks."""
    part = text.split(f"<figcaption>{unit}</figcaption>")[1].split("<details>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", part.partition("</svg>")[2]).split())


@pytest.mark.parametrize("path", ["/next", f"/next/{FORECAST_ID}", f"/next/{CHANGED_ID}"])
def test_every_fan_has_its_score_beside_it(judged: Caller, path: str) -> None:
    text = judged.get(path).text
    assert text.count('<polygon class="fan"') == 3
    beside = figure(text, "ED")
    assert beside.startswith("24 hours ahead: error (CRPS) 1.4 patients;")
    assert "staying as it is 1.75 (20 % less)" in beside
    assert "the usual for the hour of the week 2 (30 % less)" in beside
    assert "The 90 % band held 91 % of what came." in beside
    assert "Worse" not in beside
    assert "Worse than a simple forecast 72 hours ahead." in figure(text, "ICU")
    assert figure(text, "MED") == "Forecasts of this unit were not scored."
    verdict = text.split('class="verdict')[1].split("</div>")[0]
    assert "2 forecasts of the past, from 2026-02-01 06:00 to 2026-02-20 18:00" in verdict


def test_where_nothing_was_scored_it_is_said_and_offered(foreseen: Caller) -> None:
    text = foreseen.get("/next").text
    assert "How good such forecasts are here is not known" in text
    assert 'action="/next/backtest"' in text
    assert figure(text, "ED") == ""
    assert "is not known" in foreseen.get(f"/next/{FORECAST_ID}").text


def test_a_forecast_by_another_model_has_no_score(judged: Caller) -> None:
    ledger = judged.app.state.simulations.ledger
    answer = ledger.answer(FORECAST_ID)
    at = judged.app.state.twin.clock.now()
    ledger.ask("other", task_of(SimulationAsked(**ASKED), SimulationSettings()), "x", {}, "", at)
    ledger.answered("other", answer, {}, at)
    text = judged.get("/next/other").text
    assert "Nobody tested this model on the past" in text
    assert figure(text, "ED") == ""


def test_a_backtest_has_a_page_with_every_score_and_a_file(judged: Caller) -> None:
    text = judged.get(f"/next/{BACKTEST_ID}").text
    assert text.count('class="list scores"') == 3
    tables = [part.split("</table>")[0] for part in text.split('class="list scores"')[1:]]
    assert [table.count("<tr>") for table in tables] == [4, 4, 4]
    assert [table.count('<small class="bad">better</small>') for table in tables] == [0, 0, 1]
    csv = judged.get(f"/next/{BACKTEST_ID}/scores.csv").text.splitlines()
    assert len(csv) == 1 + len(SCORES["table"])
    assert csv[0].startswith("horizon,unit,crps,persistence,")
    assert judged.get(f"/next/{BACKTEST_ID}/census.csv").status_code == 404
    assert judged.get(f"/next/{FORECAST_ID}/scores.csv").status_code == 404
    assert f'href="/next/{BACKTEST_ID}"' in judged.get("/next").text


def test_the_horizon_that_is_read_first_is_a_day_or_the_furthest() -> None:
    scores = unit_scores(SCORES)
    assert {unit: of.first.horizon for unit, of in scores.items()} == {
        "all": 24,
        "ED": 24,
        "ICU": 24,
    }
    near = [row for row in SCORES["table"] if row["horizon"] == 6]
    assert unit_scores({"table": near})["ED"].first.horizon == 6
    unknown = SCORES["table"][0] | {"crps": None}
    assert unit_scores({"table": [unknown]}) == {}


def test_the_form_asks_for_a_backtest_and_says_why_it_cannot(foreseen: Caller) -> None:
    refused = foreseen.post("/next/backtest", data={"days": "3"})
    assert refused.status_code == 400
    assert "nothing to calibrate from" in refused.text
    assert foreseen.post("/next/backtest", data={"days": "far"}).status_code == 400


def test_the_backtest_that_counts_is_not_forgotten(judged: Caller) -> None:
    ledger = judged.app.state.simulations.ledger
    keep_backtest(ledger, "older")
    keep_backtest(ledger, "newer")
    keep_forecasts_again = task_of(SimulationAsked(**ASKED), SimulationSettings())
    at = judged.app.state.twin.clock.now()
    for number in range(3):
        ledger.ask(f"later{number}", keep_forecasts_again, "x", {}, "", at)
        ledger.answered(f"later{number}", {}, {}, at)
    ledger.forget(2)
    assert [one.id for one in ledger.simulations(10)] == ["later2", "later1", "newer"]
    assert ledger.backtest().id == "newer"


@pytest.mark.parametrize(
    "said",
    [
        {"model": "riverside"},
        {"scenarios": ["winter"]},
        {"half_width": HalfWidth(measure="boarding", half_width=0.1)},
        {"days": 0.1},
        {"backtest": BacktestAsked(every_hours=0)},
        {"backtest": BacktestAsked(learnt_days=-1)},
    ],
)
def test_what_cannot_be_tested_on_the_past_is_refused(said: dict[str, Any]) -> None:
    asked = SimulationAsked(**{"backtest": BacktestAsked(), "days": 3} | said)
    with pytest.raises(UsageError):
        task_of(asked, SimulationSettings(), dict)


def test_forecasts_of_the_past_are_scored_beside_the_server_as_by_the_command(
    twin: Twin, capsys: pytest.CaptureFixture[str]
) -> None:
    known = history()
    task = task_of(TESTED, SimulationSettings(), lambda: plain(known))
    assert task.testing is not None
    # As visits are numbered on the way, so chance is dealt out to them. Worked out here first, so
    # that the kernel is compiled by now.
    expected = document(backtest(history_from(plain(known)), plan_of(task.testing)))
    desk: SimulationDesk = opened_desk(twin)
    try:
        taken = desk.ask(task, "Backtest", {}, "somebody")
        ends = monotonic() + 900
        while (found := desk.ledger.simulation(taken.id)) is None or found.state not in OVER:
            assert monotonic() < ends
            sleep(0.05)
        assert (found.state, found.reason, found.kind) == ("done", "", "backtest")
        kept, answer, told = (
            desk.ledger.task(taken.id),
            desk.ledger.answer(taken.id),
            desk.progress(taken.id),
        )
        newest = desk.ledger.backtest()
    finally:
        desk.close()
    assert newest == found
    assert kept is not None
    assert kept.testing is not None
    assert kept.testing.history is None, "nobody's stays are kept"
    assert found.learned["window_end"] == known.end.isoformat()
    assert answer == expected
    assert answer is not None
    assert told is not None
    assert (told.done, told.of) == (len(answer["origins"]), len(answer["origins"])) == (2, 2)
    assert main(["simulate", "--again", taken.id, "--db", str(twin.path)]) == 2
    assert "not kept" in capsys.readouterr().err


def test_a_history_that_is_too_short_is_said_so(tmp_path: Path) -> None:
    from api.simulations.answering import answer_to

    known = history(days=5)
    task = task_of(TESTED, SimulationSettings(), lambda: plain(known))
    with pytest.raises(UsageError, match="too short"):
        answer_to(task, lambda done: None)
