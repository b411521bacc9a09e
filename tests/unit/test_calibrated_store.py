"""A known hospital, sent over a socket: its numbers come back, and forecasts from it are tested."""

import json
import sys
import tomllib
from datetime import timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from known_hospital import (
    AFTER_ALL,
    BY_HOUR,
    CLEANED,
    CODE,
    ENDS,
    LEAVING,
    MODEL,
    SETTINGS,
    STARTS,
    ZONE,
    Watch,
    sent,
)

from api.cli import main
from twin_core import Twin
from twin_core.errors import UsageError
from twin_core.simulation import Run, flow_from, simulate
from twin_core.simulation.backtest import MODEL as BY_MODEL
from twin_core.simulation.backtest import Plan, Score, backtest, document, score
from twin_core.simulation.calibrate import calibrated, read_history, standing
from twin_core.simulation.calibrate.history import hour_of
from twin_core.simulation.calibrate.parameters import Parameter, parameters
from twin_core.simulation.calibrate.passing import history_from, plain
from twin_core.simulation.calibrate.writing import toml_of
from twin_core.simulation.forecasting import forecast, hour_of_week

SEED = 1


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A closed store that heard five weeks of the known hospital."""
    path = tmp_path_factory.mktemp("known") / "known.duckdb"
    twin = sent(path, SEED)
    twin.close()
    config = f'[facilities.{CODE}]\ntime_zone = "{ZONE}"\n[store]\npath = "{path}"\n'
    path.with_name("wardtwin.toml").write_text(config)
    return path


def test_a_feed_that_fell_silent_is_told_with_its_last_stay(store: Path) -> None:
    later = Watch(ENDS + timedelta(days=200))
    with (
        Twin.open(store, settings=SETTINGS, clock=later) as twin,
        pytest.raises(UsageError, match=rf"Nobody came to {CODE} .* began at {ENDS:%Y-%m}"),
    ):
        twin.calibrate()


@pytest.fixture(scope="module")
def history(store):
    """What the store tells of all five weeks."""
    with Twin.open(store, settings=SETTINGS, clock=Watch(ENDS)) as twin:
        read = read_history(twin.query, end=ENDS)
        there = twin.query(
            "SELECT unit, patients FROM twin.census_at($at) ORDER BY unit",
            {"at": ENDS - timedelta(days=10)},
        )
    return read, {row["unit"]: row["patients"] for row in there}


@pytest.fixture(scope="module")
def found(history):
    """The hospital calibrated from it."""
    return calibrated(history[0])


def true_of(parameter: Parameter) -> float:
    """The number with which the hospital was run."""
    part, name = parameter.part, parameter.name
    ed, med, icu = MODEL["units"]
    if part == "ED stay":
        return {"median_hours": 2.5, "sigma": ed["stay"]["sigma"]}[name]
    if part == "MED stay":
        return {"median_hours": med["stay"]["median"], "sigma": med["stay"]["sigma"]}[name]
    if part == "ICU stay":
        return {"shape": icu["stay"]["shape"], "scale_hours": icu["stay"]["scale"]}[name]
    if part.endswith(" then"):
        return next(u for u in MODEL["units"] if u["code"] == part.split()[0])["then"][name]
    if part == "MED hour of leaving":
        return LEAVING[int(name)] / sum(LEAVING)
    emergency, direct = MODEL["arrivals"]
    stream = emergency if part == "emergency to ED" else direct
    if name == "per_day":
        return stream["per_day"]
    if name.endswith(":00"):
        weights = BY_HOUR if stream is emergency else [1.0] * 24
        return weights[int(name[:2])] * 24 / sum(weights)
    weekdays = stream.get("by_weekday", {name: 1.0})
    return weekdays[name] * len(weekdays) / sum(weekdays.values())


def missed(found, level: float) -> list[Parameter]:
    """Numbers whose interval does not hold the true one."""
    tiny = 1e-9
    return [
        one
        for one in parameters(found, level)
        if true_of(one) > 0 and not one.low - tiny <= true_of(one) <= one.high + tiny
    ]


def test_every_number_of_a_known_hospital_comes_back_within_its_interval(found) -> None:
    count = sum(true_of(one) > 0 for one in parameters(found))
    assert count > 50
    # All intervals together hold all numbers with a probability of 95% (Bonferroni).
    assert missed(found, 1 - 0.05 / count) == []
    # Of so many single 95% intervals one in twenty misses on average; twice as many hardly ever.
    assert len(missed(found, 0.95)) <= 0.1 * count
    widths = [one.high / one.estimate for one in parameters(found) if one.part == "MED stay"]
    assert max(widths) < 1.15


def test_what_is_alike_for_all_is_not_told_apart_and_what_is_not_there_is_not_found(found) -> None:
    assert {unit.code: unit.stay.family for unit in found.units} == {
        "ED": "lognormal", "MED": "lognormal", "ICU": "weibull"
    }  # fmt: skip
    assert {unit.code: unit.beds for unit in found.units} == {"ED": 7, "MED": 30, "ICU": 4}
    assert [unit.code for unit in found.units if unit.leaving is not None] == ["MED"]
    assert not any(unit.routes for unit in found.units)
    assert all(stream.day_variation == 0 for stream in found.streams)
    for code in ("MED", "ICU"):
        cleaning = found.unit(code).cleaning
        assert cleaning is not None
        assert float(cleaning.surviving(CLEANED - 0.1)) > 0.95
        assert float(cleaning.surviving(CLEANED + 0.1)) < 0.05


def test_the_calibrated_model_is_read_back_as_it_was_written(found) -> None:
    written = toml_of(found)
    assert flow_from(tomllib.loads(written), "written") == found.model
    assert "# then: " in written
    assert found.model.calibrated_from is not None
    assert found.model.calibrated_from.window_start == STARTS


def test_a_history_without_patients_names_gives_the_same_model(history, found) -> None:
    read = history[0]
    passed = plain(read)
    text = json.dumps(passed)
    assert not any(visit.patient in text for visit in read.visits.values() if visit.patient)
    assert calibrated(history_from(json.loads(text))).model == found.model


def test_a_forecast_begins_with_the_census_of_that_instant(history, found) -> None:
    read, census = history
    at = ENDS - timedelta(days=10)
    here = found.at(at, read)
    model = standing(here, found.model)
    assert {
        unit: sum(p.unit == unit and not p.waiting for p in model.present) for unit in census
    } == census
    assert all(here.for_hours > 0 for here in model.present)
    ahead = forecast(here, hours=72, replications=40, draws=4, seed=3)
    for unit, patients in census.items():
        assert (ahead.census()[:, 0, ahead.units.index(unit)] == patients).all()
    assert ahead.at == at
    assert hour_of_week(here) == pytest.approx(4 * 24)  # ENDS is a Monday, ten days before
    # Drawn models differ, and so does what they forecast; the same seed forecasts the same.
    assert len({result.model.units[1].stay for result in ahead.results}) == 4
    again = forecast(here, hours=72, replications=40, draws=4, seed=3)
    assert (again.census() == ahead.census()).all()


def test_announced_discharges_are_read_and_what_they_are_worth_is_learned(history, found) -> None:
    announced = found.announced
    assert announced.near is not None
    assert announced.near.hours == pytest.approx(AFTER_ALL, abs=1 / 3600)
    assert announced.share["MED"] > 0.95
    assert announced.share["ED"] == 0
    at = ENDS - timedelta(days=10)
    here = found.at(at, history[0])
    due = [plan.at_hour for plan in here.history.plans if plan.ended is None]
    ready = [p for p in standing(here, found.model).present if p.stay_over]
    assert len(due) > 0
    assert {(p.unit, p.next) for p in ready} == {("MED", "home")}
    assert sorted(p.rest_hours for p in ready) == pytest.approx(
        sorted(hour + AFTER_ALL - hour_of(at) for hour in due), abs=1e-3
    )


def test_a_forecast_on_the_past_beats_what_needs_no_model(history) -> None:
    plan = Plan(horizons=(6, 24), apart_hours=110, learnt_days=20, replications=40, draws=4)
    tested = backtest(history[0], plan)
    said = document(tested)
    assert len(tested.origins) == 4
    assert tested.skill(6, "persistence") > 0
    assert tested.skill(24, "hour of week") > 0
    assert 0.75 <= tested.mean("covered_90", BY_MODEL, 24) <= 1.0
    assert abs(tested.bias(BY_MODEL, 24)) < 1
    assert said["verdict"][0].startswith("24 h ahead the model's CRPS is ")


def test_a_model_that_is_worse_says_so_first() -> None:
    def scored(forecaster: str, crps: float) -> Score:
        return Score(forecaster, ENDS, 24, "MED", 5, 5.0, crps, 1.0, 1.0, 0.5)

    from twin_core.simulation.backtest import Backtest
    from twin_core.simulation.calibrate.history import History

    nobody: History = History(CODE, None, STARTS, ENDS, None, (), {}, {}, ())  # type: ignore
    scores = (scored("model", 2.0), scored("persistence", 1.0), scored("hour of week", 4.0))
    found = Backtest(nobody, Plan(horizons=(24,)), ("MED",), (ENDS,), scores)
    verdict = " ".join(document(found)["verdict"])
    assert "LARGER (the model is worse) than that of persistence" in verdict
    assert "WORSE THAN A SIMPLE FORECAST in 2 places" in verdict
    assert "MED at 24 h: worse than persistence by 100%" in verdict


def test_scores_are_those_of_the_definition() -> None:
    members, came = np.array([1.0, 2.0, 2.0, 7.0]), 3.0
    pairs = [abs(x - y) for i, x in enumerate(members) for j, y in enumerate(members) if i != j]
    by_definition = np.abs(members - came).mean() - np.mean(pairs) / 2
    mean, crps, covered_50, covered_90, pit = score(members, 3, 0.5)
    assert (mean, crps) == pytest.approx((3.0, by_definition))
    assert (pit, covered_50, covered_90) == (0.75, 1.0, 1.0)
    assert score(members, 2, 0.5)[4] == pytest.approx(0.5)
    assert score(members, 9, 0.5)[2:] == (0.0, 0.0, 1.0)
    assert score(np.array([4.0]), 6, 0.0)[1] == 2.0


def command(store: Path, *words: str) -> tuple[int, str]:
    out = StringIO()
    config = str(store.with_name("wardtwin.toml"))
    status = main([*words, "--config", config], environ={}, out=out, err=StringIO())
    return status, out.getvalue()


def test_the_commands_calibrate_forecast_and_test(store: Path, tmp_path: Path) -> None:
    model, fits = tmp_path / "model.toml", tmp_path / "fits"
    window = ("--to", ENDS.isoformat())
    status, _ = command(store, "calibrate", *window, "--out", str(model), "--plots", str(fits))
    assert status == 0
    assert {file.name for file in fits.iterdir()} == {
        "stay-ed.svg", "stay-med.svg", "stay-icu.svg", "arrivals-emergency-to-ed.svg",
        "arrivals-direct-to-med.svg",
    }  # fmt: skip
    assert "still staying" in (fits / "stay-med.svg").read_text()
    status, said = command(
        store, "simulate", str(model), "--from-now", "--at", ENDS.isoformat(), "--days", "1",
        "--replications", "8", "--json",
    )  # fmt: skip
    assert status == 0
    ahead = json.loads(said)
    assert ahead["draws"] == 1
    assert {row["unit"] for row in ahead["census"]} == {"ED", "MED", "ICU"}
    assert len(ahead["census"]) == 3 * 25
    fewer = tmp_path / "fewer.toml"
    fewer.write_text('[[close_beds]]\nunit = "MED"\nbeds = 20\n')
    asked = (
        "simulate", "--from-now", "--scenario", str(fewer), "--at", ENDS.isoformat(), "--days", "2",
        "--replications", "8", "--draws", "2",
    )  # fmt: skip
    status, said = command(store, *asked, "--json")
    assert status == 0
    compared = json.loads(said)
    assert (compared["scenarios"], compared["draws"], compared["facility"]) == (["fewer"], 2, CODE)
    occupied = {(d["measure"], d["unit"]): d["difference"] for d in compared["differences"]}
    assert occupied["occupancy", "MED"] > 0
    assert occupied["boarding", "ED"] > 0
    status, said = command(store, *asked)
    assert status == 0
    assert said.splitlines()[0] == "fewer"
    unknown = tmp_path / "unknown.toml"
    unknown.write_text('[[close_beds]]\nunit = "X"\nbeds = 2\n')
    assert command(store, *asked, "--scenario", str(unknown))[0] == 3
    report = tmp_path / "backtest.html"
    status, said = command(
        store, "simulate", "--backtest", *window, "--every-hours", "480", "--replications", "8",
        "--draws", "2", "--report", str(report), "--json",
    )  # fmt: skip
    tested = json.loads(said)
    assert status == (1 if tested["worse"] else 0)
    page = report.read_text()
    assert page.index(tested["verdict"][0].replace("'", "&#x27;")) < page.index("<svg")
    assert json.loads(report.with_suffix(".json").read_text()) == tested


def test_what_was_not_known_yet_is_not_in_a_history(store: Path) -> None:
    with Twin.open(store, settings=SETTINGS, clock=Watch(ENDS)) as twin:
        # Everything was received when the clock showed ENDS.
        with pytest.raises(UsageError, match="nothing to calibrate from"):
            twin.history(ENDS, known_at=ENDS - timedelta(days=1))
        ahead = twin.forecast(6, at=ENDS - timedelta(days=3), replications=8)
        there = twin.query(
            "SELECT patient_id FROM twin.stay WHERE unit = 'ICU' AND from_at <= $at"
            " AND coalesce(to_at > $at, true)",
            {"at": ahead.at},
        )
    here = {p.patient for p in ahead.results[0].model.present if p.unit == "ICU"}
    assert here == {row["patient_id"] for row in there} != set()


def test_what_makes_no_sense_together_is_refused(store: Path) -> None:
    assert command(store, "simulate", "--from-now", "--backtest")[0] == 2
    assert command(store, "simulate", "riverside", "--at", "2026-01-20")[0] == 2
    assert command(store, "simulate", "riverside", "--backtest")[0] == 2
    assert command(store, "calibrate", "--from", "2020-01-01", "--to", "2020-02-01")[0] == 2


def test_the_known_hospital_is_run_by_its_own_model() -> None:
    results = simulate(flow_from(MODEL, "known"), Run(hours=24 * 14, replications=10, seed=5))
    assert results.unit("MED", "occupancy").mean < 0.9
