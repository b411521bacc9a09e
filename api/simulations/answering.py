"""The answer to a question: statistics, differences, and the census of every unit hour by hour.

An answer is a function of its task and of the versions that made it, whoever works it out.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np

from api.simulations.asked import Task, document_of, run_of
from api.simulations.backtesting import scores_of, told_history
from twin_core.simulation import Precision, compare, flow_from, scenario_from
from twin_core.simulation.drawn import Drawn, run_drawn

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
"""What is told of every hour: between p05 and p95 lie nine in ten replications."""
CENSUS = ("census", "waiting", "boarding")


def answer_to(task: Task, advance: Callable[[int], None]) -> dict[str, Any]:
    """Work a question out on `task.threads` threads.

    `hospitals` holds what became of the hospital as it is (its `scenario` is null) and of each
    scenario; `differences` how each scenario differs. A census is `{unit: {p05: [...], ...}}`, one
    number for every one of `hours`, with the mean; `waiting` waits for a bed there, `boarding` lies
    there and waits for one elsewhere. Hours count from `start`, where there is one. A backtest is
    answered as `scores_of` says.
    """
    if task.testing is not None:
        return scores_of(task.testing, advance)
    models = [flow_from(one, "The model") for one in task.models]
    scenarios = [scenario_from(one, "scenario") for one in task.scenarios]
    run = run_of(task.run)
    precision = None if task.precision is None else Precision(**task.precision)
    with ThreadPoolExecutor(task.threads) as executor:
        if not scenarios:
            drawn = run_drawn(models, run, executor=executor, advance=advance)
            return _answer(task, {None: drawn}, [], None)
        comparison = compare(
            models, scenarios, run, precision=precision, executor=executor, advance=advance
        )
    hospitals: dict[str | None, Drawn] = {None: comparison.baseline}
    for name, changed in comparison.changed.items():
        hospitals[name] = changed
    differences = [one.row() for one in comparison.differences]
    return _answer(task, hospitals, differences, None if precision is None else comparison.reached)


def learned(task: Task) -> tuple[Task, dict[str, Any]]:
    """The task with its models written out, and what they were learned from.

    Who was there is told apart by numbers, as histories are passed on, never by ids of the store.
    """
    if task.testing is not None:
        return task, told_history(task.testing)
    if task.learning is None:
        return task, {}
    from twin_core.simulation.calibrate import calibrated
    from twin_core.simulation.calibrate.passing import history_from
    from twin_core.simulation.forecasting import drawn_models, hour_of_week, standing_models

    asked, run = task.learning, dict(task.run)
    calibration = calibrated(history_from(asked.history))
    own = flow_from(task.models[0], "The model") if task.models else None
    draws, seed = min(asked.draws, run["replications"]), run["seed"]
    if asked.from_now:
        models = standing_models(calibration, own, draws, run["replications"], seed)
        run["hour_of_week"] = hour_of_week(calibration)
    else:
        models = drawn_models(calibration, draws, seed)
    ready = msgspec.structs.replace(
        task,
        models=[document_of(model) for model in models],
        run=run,
        start=calibration.history.end.isoformat() if asked.from_now else None,
        learning=None,
    )
    return ready, calibration.provenance.model_dump(mode="json")


def digest_of(answer: Mapping[str, Any]) -> str:
    """What tells an answer from any other."""
    return sha256(msgspec.json.encode(answer, order="sorted")).hexdigest()


def _answer(
    task: Task,
    hospitals: Mapping[str | None, Drawn],
    differences: list[dict[str, Any]],
    reached: bool | None,
) -> dict[str, Any]:
    [results, *_] = hospitals.values()
    return {
        "start": task.start,
        "draws": len(task.models),
        "replications": results.replications,
        "half_width_reached": reached,
        "hours": results.sample_times().tolist(),
        "hospitals": [_hospital(name, one) for name, one in hospitals.items()],
        "differences": [_known(row) for row in differences],
    }


def _hospital(scenario: str | None, results: Drawn) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "events": results.events,
        "statistics": [_known(row) for row in _statistics(results)],
        **{what: _by_unit(results, what) for what in CENSUS},
    }


def _statistics(results: Drawn) -> list[dict[str, Any]]:
    return [
        {"unit": code, "statistic": name, "mean": of.mean, "low": of.interval[0],
         "high": of.interval[1], "n": of.n}
        for at, code in enumerate(results.units)
        for name, values in results.unit_values.items()
        for of in (results.estimate(values[:, at]),)
    ]  # fmt: skip


def _by_unit(results: Drawn, what: str) -> dict[str, dict[str, list[float]]]:
    """Quantiles over replications are counts that occurred; the mean is rounded to 0.001."""
    sampled = results.census(what)
    found = np.quantile(sampled, list(QUANTILES.values()), axis=0, method="inverted_cdf")
    means = sampled.mean(axis=0).round(3)
    return {
        code: {
            **{name: found[q, :, at].tolist() for q, name in enumerate(QUANTILES)},
            "mean": means[:, at].tolist(),
        }
        for at, code in enumerate(results.units)
    }


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with null for what is not known: JSON has no other word for it."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in row.items()
    }
