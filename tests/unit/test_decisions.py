"""Decisions: what matters most, the best of some, the fewest beds that will do."""

import json
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli import main
from twin_core.errors import UsageError
from twin_core.simulation import (
    Run,
    Target,
    best_of,
    fewest_beds,
    flow_from,
    scenario_from,
    screening,
    sensitivity,
)
from twin_core.simulation.scenario.choosing import AS_IT_IS, Race
from twin_core.simulation.scenario.sensitivity import inputs

PER_HOUR, HOURS = 2.0, 3.0


def lossy(beds: int = 8) -> dict[str, Any]:
    """Patients who find no bed are turned away: Erlang's loss system with a load of 6."""
    return {
        "units": [
            {
                "code": "W",
                "beds": beds,
                "waiting_places": 0,
                "stay": {"family": "exponential", "mean": HOURS},
                "then": {"home": 1},
            },
            {"code": "X", "beds": "unlimited", "stay": {"exactly": 5}, "then": {"home": 1}},
        ],
        "classes": [{"code": "a"}, {"code": "b"}],
        "arrivals": [
            {"class": "a", "unit": "W", "per_hour": PER_HOUR},
            {"class": "b", "unit": "X", "per_hour": 1},
        ],
    }


def turned_away_a_day(beds: int) -> float:
    """Erlang's loss formula (1917)."""
    load = PER_HOUR * HOURS
    terms = [load**n / factorial(n) for n in range(beds + 1)]
    return 24 * PER_HOUR * terms[-1] / sum(terms)


def test_the_fewest_beds_are_those_of_erlangs_formula() -> None:
    wanted = 9
    limit = (turned_away_a_day(wanted) + turned_away_a_day(wanted - 1)) / 2
    run = Run(hours=24 * 40, warm_up_hours=48, replications=10, seed=11)
    model = flow_from(lossy(), "lossy")
    found = fewest_beds(model, "W", Target("cancelled", limit, "W"), run, between=(2, 20))
    assert found.beds == wanted
    assert [one.kept for one in found.tried] == [one.beds >= wanted for one in found.tried]
    for one in found.tried:
        assert abs(one.found.mean - turned_away_a_day(one.beds)) < 5 * one.found.se + 0.1
        assert (one.at_most < limit) == one.kept
    assert {wanted, wanted - 1} <= {one.beds for one in found.tried}

    short = Run(hours=24 * 4, replications=5, seed=11)
    hopeless = fewest_beds(model, "W", Target("cancelled", limit, "W"), short, between=(1, 6))
    assert hopeless.beds is None
    assert [one.beds for one in hopeless.tried] == [6]


def test_what_was_not_shown_is_not_kept() -> None:
    model = flow_from(lossy(), "lossy")
    target = Target("cancelled", turned_away_a_day(8) * 1.01, "W")
    run = Run(hours=24 * 3, replications=5, seed=1)
    found = fewest_beds(model, "W", target, run, between=(8, 8), at_most=10)
    [one] = found.tried
    assert (found.beds, one.kept, one.found.n) == (None, False, 10)


def test_questions_that_have_no_answer_are_refused() -> None:
    model, run = flow_from(lossy(), "lossy"), Run(hours=24, replications=10)
    for unit, between in (("X", (1, 2)), ("Y", (1, 2)), ("W", (0, 2)), ("W", (3, 2))):
        with pytest.raises(UsageError):
            fewest_beds(model, unit, Target("cancelled", 1, "W"), run, between=between)
    with pytest.raises(UsageError, match="not counted"):
        fewest_beds(model, "W", Target("left_unseen", 1, "W"), run, between=(1, 2))
    more = scenario_from({"open_beds": [{"unit": "W", "beds": 1}]}, "more")
    with pytest.raises(UsageError, match="Neither more nor less"):
        best_of(model, [more], run, measure="census", indifferent=1)
    with pytest.raises(UsageError, match="nothing to choose"):
        best_of(model, [], run, measure="cancelled", indifferent=1)
    with pytest.raises(UsageError, match="above 0"):
        best_of(model, [more], run, measure="cancelled", indifferent=0)
    with pytest.raises(UsageError, match="no measure"):
        sensitivity(model, run, measure="joy")


def test_the_best_is_chosen_and_the_worst_are_ruled_out_first() -> None:
    model = flow_from(lossy(), "lossy")
    scenarios = [
        scenario_from({"open_beds": [{"unit": "W", "beds": 4}]}, "four more"),
        scenario_from({"open_beds": [{"unit": "W", "beds": 1}]}, "one more"),
        scenario_from({"close_beds": [{"unit": "W", "beds": 4}]}, "four fewer"),
    ]
    run = Run(hours=24 * 5, replications=10, seed=2)
    choice = best_of(model, scenarios, run, measure="cancelled", unit="W", indifferent=1.0)
    assert (choice.best, choice.decided) == ("four more", True)
    assert set(choice.ruled_out_after) == {AS_IT_IS, "one more", "four fewer"}
    assert choice.ruled_out_after["four fewer"] <= choice.ruled_out_after["one more"]
    assert choice.found["four fewer"].mean > choice.found["one more"].mean

    capped = best_of(
        model, scenarios[1:2], run, measure="cancelled", unit="W", indifferent=0.01, at_most=12
    )
    assert not capped.decided


def test_the_best_of_normal_samples_is_chosen_as_often_as_promised() -> None:
    """The least favourable case: all others are worse by just the difference that matters."""
    chance = np.random.default_rng(5)
    right = 0
    for _ in range(150):
        common = chance.normal(0, 1, 4096)
        samples = {
            name: common + chance.normal(0.5 * (name == "best"), 1.5, 4096)
            for name in ("best", "a", "b", "c")
        }
        race, have = Race(0.5, 0.05, 12, 4), 12
        while not race.go_on({name: of[:have] for name, of in samples.items()}):
            have *= 2
        right += race.left == ["best"]
    assert right >= 0.95 * 150 - 2 * (150 * 0.95 * 0.05) ** 0.5


def test_who_is_ahead_without_any_variance_wins_at_once() -> None:
    race = Race(1.0, 0.05, 10, 2)
    assert race.go_on({"a": np.full(10, 3.0), "b": np.full(10, 2.0)})
    assert (race.left, race.ruled_out_after) == (["a"], {"b": 10})


def test_what_matters_is_what_littles_law_says() -> None:
    run = Run(hours=24 * 30, warm_up_hours=24, replications=8, seed=4)
    effects = sensitivity(flow_from(lossy(), "lossy"), run, measure="census", unit="X", percent=20)
    by_name = {one.input: one for one in effects}
    assert set(by_name) == {
        "arrivals of a", "arrivals of b", "stays in W", "stays in X", "beds in W",
    }  # fmt: skip
    # Of 5 patients on average, a fifth more arrivals or longer stays make one more.
    for name in ("arrivals of b", "stays in X"):
        assert by_name[name].effect.mean == pytest.approx(1.0, abs=0.15)
        assert by_name[name].clear
    for name in ("arrivals of a", "stays in W", "beds in W"):
        assert by_name[name].effect.mean == 0
        assert not by_name[name].clear
    assert by_name["beds in W"].change == "+2"
    assert {one.input for one in effects[:2]} == {"arrivals of b", "stays in X"}


def test_inputs_that_act_together_are_told_from_those_that_do_not() -> None:
    run = Run(hours=24 * 30, warm_up_hours=24, replications=6, seed=4)
    model = flow_from(lossy(), "lossy")
    found = screening(model, run, measure="census", unit="X", percent=20, ways=4)
    by_name = {one.input: one for one in found}
    assert set(by_name) == {one.name for one in inputs(model, 20)}
    assert {one.input for one in found[:2]} == {"arrivals of b", "stays in X"}
    # By Little's law 5 patients are there on average; a fifth more arrivals make 0.8 to 1.2 more,
    # as stays are short or long just then: 1 on average of many ways.
    for name in ("arrivals of b", "stays in X"):
        one = by_name[name]
        assert set(np.round(one.effects, 1)) <= {0.7, 0.8, 0.9, 1.1, 1.2, 1.3}
        assert one.spread > 3 * by_name["beds in W"].spread
        assert one.importance == pytest.approx(np.abs(one.effects).mean())
        assert one.effect.n == 4
    for name in ("arrivals of a", "stays in W", "beds in W"):
        assert by_name[name].importance == 0
    with pytest.raises(UsageError, match="two ways"):
        screening(model, run, measure="census", ways=1)


def test_the_command_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, more = tmp_path / "lossy.json.toml", tmp_path / "more.toml"
    model.write_text(
        '[[units]]\ncode = "W"\nbeds = 8\nwaiting_places = 0\nthen = { home = 1 }\n'
        'stay = { family = "exponential", mean = 3 }\n[[classes]]\ncode = "a"\n'
        '[[arrivals]]\nclass = "a"\nunit = "W"\nper_hour = 2\n'
    )
    more.write_text('[[open_beds]]\nunit = "W"\nbeds = 6\n')
    words = ["simulate", str(model), "--days", "6", "--replications", "10"]
    best = [*words, "--scenario", str(more), "--best", "W:cancelled=2"]
    assert main([*best, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == "more"
    assert main([*best, "--at-most", "10"]) in (0, 1)
    fewest = [*words, "--fewest-beds", "W=4-16", "--under", "W:cancelled=4"]
    assert main(fewest) == 0
    assert "beds in W keep cancelled under 4" in capsys.readouterr().out
    assert main([*words, "--fewest-beds", "W=1-2", "--under", "W:cancelled=4", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["beds"] is None
    assert main([*words, "--sensitivity", "W:cancelled", "--json"]) == 0
    [first, *_] = json.loads(capsys.readouterr().out)["effects"]
    assert first["input"] in ("stays in W", "arrivals of a", "beds in W")
    assert main([*words, "--sensitivity", "W:cancelled", "--ways", "2", "--json"]) == 0
    screened = json.loads(capsys.readouterr().out)["screened"]
    assert {one["ways"] for one in screened} == {2}
    assert screened[0]["importance"] >= screened[-1]["importance"] > 0
    for wrong in (
        ["--ways", "2"],
        ["--fewest-beds", "W=4-16"],
        ["--fewest-beds", "W", "--under", "W:cancelled=4"],
        ["--fewest-beds", "W=4-16", "--under", "cancelled"],
        ["--sensitivity", "wait", "--best", "wait=1"],
    ):
        assert main([*words, *wrong]) == 2
