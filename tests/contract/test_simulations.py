"""Simulations over HTTP: asked, followed, cancelled, answered, and worked out again."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from api.app import create_app
from api.cli import main
from api.simulations.answering import answer_to, digest_of
from api.simulations.asked import SimulationAsked, document_of, run_of, task_of
from api.simulations.desk import ENDED_WITH_SERVER, SimulationDesk, opened_desk
from api.simulations.ledger import Ledger, ledger_path
from tests.contract.conftest import Caller
from twin_core.errors import UsageError
from twin_core.settings import Settings
from twin_core.settings.simulation import SimulationSettings
from twin_core.simulation import Run, flow_from, load_flow, simulate
from twin_core.simulation.calibrate.history import History, Lay, Spot, Visit, hour_of
from twin_core.simulation.calibrate.passing import plain
from twin_core.simulation.drawn import run_drawn
from twin_core.twin import Twin

WARD: dict[str, Any] = {
    "units": [
        {"code": "ED", "kind": "emergency", "beds": 3, "stay": {"family": "exponential", "mean": 2},
         "then": {"home": 0.6, "MED": 0.4}},
        {"code": "MED", "beds": 5, "stay": {"median": 9, "p90": 20}, "then": {"home": 1.0}},
    ],
    "classes": [{"code": "a", "encounter_class": "EMER"}],
    "arrivals": [{"class": "a", "unit": "ED", "per_hour": 1}],
}  # fmt: skip
CLOSED = {"name": "Two closed", "close_beds": [{"unit": "MED", "beds": 2}]}
ASKED: dict[str, Any] = {
    "model": WARD, "scenarios": [CLOSED], "days": 2, "replications": 12, "seed": 5,
}  # fmt: skip
ENDLESS = ASKED | {"days": 300, "replications": 2000}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A server that runs one simulation at a time and lets one wait."""
    limits = SimulationSettings(waiting=1, replications=2000)
    path = tmp_path_factory.mktemp("store") / "hospital.duckdb"
    with Twin.open(path, settings=Settings(simulation=limits)) as twin:
        caller = Caller(create_app(twin))
        yield caller
        caller.close()


def asked(app: Caller, **said: Any) -> dict[str, Any]:
    """A simulation that was taken."""
    answer = app.post("/v1/simulations", json=ASKED | said)
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/simulations/{taken['id']}"
    return taken


def until(app: Caller, id_: str, *states: str) -> dict[str, Any]:
    """A simulation once it is in one of some states."""
    ends = monotonic() + 900
    while monotonic() < ends:
        found: dict[str, Any] = app.get(f"/v1/simulations/{id_}").json()
        if found["simulation"]["state"] in states:
            return found
        sleep(0.05)
    raise AssertionError(f"still {found['simulation']}")


def test_files_of_the_folder_a_server_runs_in_are_no_part_of_its_simulations(
    app: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "api.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert until(app, asked(app)["id"], "done", "failed")["simulation"]["state"] == "done"


def events(text: str) -> list[dict[str, Any]]:
    """What a stream of progress said."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_a_question_is_followed_answered_and_answered_again(
    app: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = asked(app)
    told = events(app.get(f"/v1/simulations/{taken['id']}/progress").text)
    assert told[-1]["state"] == "done"
    assert told[-1]["done"] == told[-1]["of"] == 24
    assert [one["done"] for one in told] == sorted(one["done"] for one in told)
    assert [one["doing"] for one in told if one["done"] and one["state"] == "running"] != []
    assert {one["doing"] for one in told} <= {"", "compiling", "simulating"}
    assert told[-1]["doing"] == ""

    found = until(app, taken["id"], "done")
    simulation, answer = found["simulation"], found["answer"]
    assert (simulation["title"], simulation["seed"]) == ("a model: Two closed", 5)
    assert set(simulation["versions"]) >= {"wardtwin", "kernel", "numba", "numpy"}
    assert [one["scenario"] for one in answer["hospitals"]] == [None, "Two closed"]
    boarding = next(
        d for d in answer["differences"] if (d["measure"], d["unit"]) == ("boarding", "ED")
    )
    assert boarding["low"] > 0
    assert boarding["probability_better"] < 0.5

    # The same task gives the same answer to the last bit, here and in any other process.
    task = task_of(SimulationAsked(**ASKED), SimulationSettings())
    again = answer_to(task, lambda done: None)
    assert digest_of(again) == simulation["digest"]
    assert json.loads(json.dumps(again)) == answer
    other = answer_to(task_of(SimulationAsked(**ASKED | {"seed": 6}), SimulationSettings()), print)
    assert digest_of(other) != simulation["digest"]
    store = ["--db", str(app.app.state.twin.path)]
    capsys.readouterr()
    assert main(["simulate", "--again", taken["id"], *store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True
    assert main(["simulate", "--again", "none", *store]) == 2


def test_another_answer_is_a_finding(
    twin: Twin, desk: SimulationDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    task = task_of(SimulationAsked(**ASKED), SimulationSettings())
    desk.ledger.ask("a", task, "t", {}, "", twin.clock.now())
    store = ["--db", str(twin.path)]
    assert main(["simulate", "--again", "a", *store]) == 2
    desk.ledger.answered("a", {"x": 1}, {"kernel": "another"}, twin.clock.now())
    assert main(["simulate", "--again", "a", *store]) == 1
    assert "kernel was another, is " in capsys.readouterr().out


def test_the_census_is_told_hour_by_hour_in_counts_that_occurred() -> None:
    task = task_of(SimulationAsked(model=WARD, days=1, replications=40), SimulationSettings())
    answer = answer_to(task, lambda done: None)
    [hospital] = answer["hospitals"]
    sampled = simulate(flow_from(WARD, "ward"), run_of(task.run)).census()
    assert answer["hours"] == list(range(25))
    at_noon = np.sort(sampled[:, 12, 1])
    told = {name: hours[12] for name, hours in hospital["census"]["MED"].items()}
    # Of 40 counts in order, the 2nd, 10th, 20th, 30th and 38th.
    assert [told[name] for name in ("p05", "p25", "p50", "p75", "p95")] == [
        at_noon[n - 1] for n in (2, 10, 20, 30, 38)
    ]
    assert told["mean"] == pytest.approx(at_noon.mean(), abs=0.001)
    assert set(hospital["boarding"]) == {"ED", "MED"}


def test_others_wait_their_turn_too_many_are_refused_and_all_can_be_cancelled(app: Caller) -> None:
    first = asked(app, **ENDLESS)
    until(app, first["id"], "running")
    second = asked(app)
    assert second["state"] == "waiting"
    refused = app.post("/v1/simulations", json=ASKED)
    assert refused.status_code == 400
    assert "wait already" in refused.json()["detail"]
    listed = app.get("/v1/simulations?limit=2").json()["simulations"]
    assert [one["id"] for one in listed] == [second["id"], first["id"]]

    assert app.post(f"/v1/simulations/{second['id']}/cancel").json()["state"] == "cancelled"
    assert app.post(f"/v1/simulations/{first['id']}/cancel").json()["state"] == "cancelled"
    told = events(app.get(f"/v1/simulations/{first['id']}/progress").text)
    assert told[-1]["state"] == "cancelled"
    ends = monotonic() + 900
    while app.app.state.simulations.running:
        assert monotonic() < ends, "its process goes on"
        sleep(0.05)
    assert app.post(f"/v1/simulations/{first['id']}/cancel").json()["state"] == "cancelled"
    assert app.get(f"/v1/simulations/{first['id']}").json()["answer"] is None


def test_who_waits_for_the_kernel_to_be_compiled_is_told_so_and_can_cancel(
    twin: Twin, tmp_path: Path
) -> None:
    # On a machine that has never run a simulation.
    desk = SimulationDesk(
        lambda: Ledger(ledger_path(twin.path), "this store", None),
        twin.settings.simulation,
        twin.clock.now,
        {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )
    task = task_of(SimulationAsked(**ASKED), SimulationSettings())
    taken = desk.ask(task, "t", {}, "")
    ends = monotonic() + 900
    while (said := desk.progress(taken.id)) is None or said.doing != "compiling":
        assert monotonic() < ends, said
        assert said is None or said.state in ("waiting", "running"), said
        sleep(0.05)
    assert (said.state, said.done) == ("running", 0)
    assert desk.cancel(taken.id)
    while desk.running:
        assert monotonic() < ends, "its process goes on"
        sleep(0.05)
    said = desk.progress(taken.id)
    assert said is not None
    assert (said.state, said.doing) == ("cancelled", "")
    found = desk.ledger.simulation(taken.id)
    assert found is not None
    assert found.state == "cancelled"
    desk.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"replications": 2001}, "more than the 2000"),
        ({"days": 400}, "more than the 366"),
        ({"model": "/etc/hostname"}, "no hospital of that name"),
        ({"model": {"units": []}}, "does not describe a hospital"),
        ({"scenarios": ["../../x"]}, "no scenario of that name"),
        ({"scenarios": [{"close_beds": [{"unit": "X", "beds": 1}]}]}, "there is no unit X"),
        ({"scenarios": [CLOSED, CLOSED]}, "one name"),
        ({"seed": -1}, "seed"),
        ({"half_width": {"measure": "joy", "half_width": 1}}, "no measure 'joy'"),
        ({"moodel": 1}, "unknown field `moodel`"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_it_waits(
    app: Caller, said: dict[str, Any], reason: str
) -> None:
    before = len(app.get("/v1/simulations").json()["simulations"])
    answer = app.post("/v1/simulations", json=ASKED | said)
    assert answer.status_code == 400
    assert reason in answer.json()["detail"]
    assert len(app.get("/v1/simulations").json()["simulations"]) == before


def test_a_body_that_is_no_question_is_told_so(app: Caller) -> None:
    assert app.post("/v1/simulations", content=b"{").status_code == 400
    assert app.get("/v1/simulations/none").status_code == 404
    assert app.get("/v1/simulations/none/progress").status_code == 404
    assert app.post("/v1/simulations/none/cancel").status_code == 404


def history(days: int = 21) -> History:
    """What a store would tell of the ward after some weeks, six hours after a Monday's midnight."""
    end = datetime(2026, 3, 23, 6, tzinfo=UTC)
    start = end - timedelta(days=days)
    run = Run(hours=24 * days, replications=1, seed=3, stays=True)
    rows = [r for r in simulate(flow_from(WARD, "ward"), run).stays(start).to_pylist() if r["unit"]]
    visits: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        visits.setdefault(row["encounter_id"], []).append(row)
    hour = {row["stay_id"]: (hour_of(row["from_at"]), row["to_at"]) for row in rows}
    return History(
        facility="H",
        zone=ZoneInfo("UTC"),
        start=start,
        end=end,
        known_at=None,
        lays=tuple(
            Lay(row["encounter_id"], Spot(row["unit"], "", row["bed"]), hour[row["stay_id"]][0],
                None if row["to_at"] is None else hour_of(row["to_at"]), False)
            for row in rows
        ),
        visits={
            key: Visit(key, "emergency", hour_of(of[0]["from_at"]),
                       None if of[-1]["to_at"] is None else hour_of(of[-1]["to_at"]),
                       None if of[-1]["to_at"] is None else "home")
            for key, of in visits.items()
        },
        beds={
            unit: tuple(Spot(unit, "", str(bed)) for bed in range(1, beds + 1))
            for unit, beds in (("ED", 3), ("MED", 5))
        },
        bed_periods=(),
    )  # fmt: skip


def test_a_hospital_is_learned_and_begins_as_it_stands(desk: SimulationDesk) -> None:
    said = SimulationAsked(
        scenarios=[CLOSED], from_now=True, draws=3, days=2, replications=12, seed=5
    )
    known = history()
    task = task_of(said, SimulationSettings(), lambda: plain(known))
    taken = desk.ask(task, "calibrated", {}, "somebody")
    ends = monotonic() + 900
    while (found := desk.ledger.simulation(taken.id)) is None or found.state in (
        "waiting",
        "running",
    ):
        assert monotonic() < ends
        sleep(0.05)
    assert (found.state, found.reason) == ("done", "")
    assert datetime.fromisoformat(found.learned["window_end"]) == known.end
    kept_task, answer = desk.ledger.task(taken.id), desk.ledger.answer(taken.id)
    assert kept_task is not None
    assert answer is not None
    assert (len(kept_task.models), kept_task.run["hour_of_week"], kept_task.learning) == (
        3,
        6,
        None,
    )
    assert len({json.dumps(model["arrivals"]) for model in kept_task.models}) == 3
    assert (answer["draws"], answer["replications"]) == (3, 12)
    assert datetime.fromisoformat(answer["start"]) == known.end

    # At first everybody is there who is there now, in every replication of both hospitals.
    lying = Counter(lay.spot.unit for lay in known.lays if lay.to_hour is None)
    assert sum(lying.values()) > 0
    for hospital in answer["hospitals"]:
        for unit, count in lying.items():
            told = {hours[0] for hours in hospital["census"][unit].values()}
            assert told == {count}
    assert digest_of(answer_to(kept_task, lambda done: None)) == found.digest


def test_there_must_be_something_to_learn_from(app: Caller) -> None:
    answer = app.post("/v1/simulations", json={"model": "calibrated"})
    assert answer.status_code == 400
    assert "nothing to calibrate from" in answer.json()["detail"]


def test_intervals_over_draws_are_as_wide_as_what_draws_leave_open() -> None:
    busier = WARD | {"arrivals": [{"class": "a", "unit": "ED", "per_hour": 1.6}]}
    models = [flow_from(one, "ward") for one in (WARD, busier)]
    drawn = run_drawn(models, Run(hours=48, replications=21, seed=2))
    assert drawn.replications == 22, "as many of every draw"
    census = drawn.unit_values["census_mean"][:, 0]
    of, means = drawn.estimate(census), (census[:11].mean(), census[11:].mean())
    assert (of.mean, of.n) == (pytest.approx(sum(means) / 2), 2)
    assert of.se == pytest.approx(abs(means[1] - means[0]) / 2)
    assert run_drawn(models[:1], Run(hours=48, replications=5)).estimate(census[:5]).n == 5


def test_a_model_written_out_is_the_same_model() -> None:
    model = load_flow("riverside")
    assert flow_from(document_of(model), "again") == model


@pytest.fixture
def desk(twin: Twin) -> Iterator[SimulationDesk]:
    """A desk without a server."""
    opened = opened_desk(twin)
    yield opened
    opened.close()


def test_what_a_server_left_undone_failed_and_what_it_answered_stays(twin: Twin) -> None:
    desk = opened_desk(twin)
    task = task_of(SimulationAsked(**ASKED), SimulationSettings())
    for name in ("a", "b", "c"):
        desk.ledger.ask(name, task, "t", {"from": "here"}, "somebody", twin.clock.now())
    desk.ledger.begin("a", twin.clock.now())
    desk.ledger.answered("a", {"x": 1}, {"kernel": "k"}, twin.clock.now())
    desk.ledger.begin("b", twin.clock.now())
    desk.close()

    later = opened_desk(twin)
    states = {one.id: (one.state, one.reason) for one in later.ledger.simulations(10)}
    assert states == {
        "a": ("done", ""),
        "b": ("failed", ENDED_WITH_SERVER),
        "c": ("failed", ENDED_WITH_SERVER),
    }
    assert later.ledger.answer("a") == {"x": 1}
    assert later.ledger.task("a") == task
    kept = later.ledger.simulation("a")
    assert kept is not None
    assert (kept.learned, kept.asked_by, kept.versions) == (
        {"from": "here"}, "somebody", {"kernel": "k"},
    )  # fmt: skip
    later.ledger.forget(1)
    assert [one.id for one in later.ledger.simulations(10)] == ["c"]
    later.close()


def test_a_file_of_simulations_belongs_to_its_owner_and_its_store(
    twin: Twin, desk: SimulationDesk, tmp_path: Path
) -> None:
    assert not ledger_path(twin.path).exists(), "made when it is first needed"
    assert desk.ledger.simulations(1) == []
    assert ledger_path(twin.path).stat().st_mode & 0o777 == 0o600
    Ledger(tmp_path / "other", "another store", None).close()
    with pytest.raises(Exception, match="different store"):
        Ledger(tmp_path / "other", "this store", None)


def test_nothing_is_taken_by_a_desk_that_is_closed(twin: Twin, serve: Callable[..., Any]) -> None:
    desk = opened_desk(twin)
    desk.close()
    with pytest.raises(UsageError, match="ending"):
        desk.ask(task_of(SimulationAsked(**ASKED), SimulationSettings()), "t", {}, "")
