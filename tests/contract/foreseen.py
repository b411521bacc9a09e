"""A forecast and a backtest in the shapes in which they are answered, written by hand."""

from datetime import UTC, datetime
from typing import Any

from api.simulations.asked import BACKTEST, FORECAST, Task, Testing
from api.simulations.ledger import Ledger

HOURS = 73
BEGAN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FORECAST_ID, CHANGED_ID, BACKTEST_ID = "f0b1c2d3e4f50617", "c0b1c2d3e4f50617", "b0b1c2d3e4f50617"
SHIFTS = {"p05": -2, "p25": -1, "p50": 0, "p75": 1, "p95": 2, "mean": 0.25}


def spread(middle: float) -> dict[str, list[float]]:
    """A census that opens around a middle for three days."""
    return {
        name: [middle + shift * min(hour, 24) / 24 for hour in range(HOURS)]
        for name, shift in SHIFTS.items()
    }


def hospital(scenario: str | None, **units: float) -> dict[str, Any]:
    census = {unit: spread(middle) for unit, middle in units.items()}
    return {"scenario": scenario, "census": census, "waiting": census, "boarding": census}


def difference(unit: str | None, low: float, high: float) -> dict[str, Any]:
    return {
        "scenario": "Two closed", "measure": "boarding", "in": "patients", "unit": unit,
        "baseline": 2.0, "changed": 2.0 + (low + high) / 2, "difference": (low + high) / 2,
        "low": low, "high": high, "probability_better": 0.25, "confidence_better": 0.1,
        "replications": 200,
    }  # fmt: skip


def answered(*hospitals: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "start": BEGAN.isoformat(),
        "draws": 1,
        "replications": 200,
        "half_width_reached": None,
        "hours": [float(hour) for hour in range(HOURS)],
        "hospitals": list(hospitals),
        "differences": [],
    } | more


PRESENT = hospital(None, ED=12, ICU=8, MED=25)
FORESEEN = answered(PRESENT)
CHANGED = answered(
    PRESENT,
    hospital("Two closed", ED=14, ICU=8, MED=23),
    differences=[difference(None, 0.5, 1.5), difference("ED", 0.5, 1.5), difference("MED", -1, 1)],
)


def row(horizon: int, unit: str, crps: float, still: float, usual: float) -> dict[str, Any]:
    return {
        "horizon": horizon, "unit": unit, "crps": crps,
        "persistence": still, "better than persistence": round(1 - crps / still, 3),
        "hour of week": usual, "better than hour of week": round(1 - crps / usual, 3),
        "90%": 0.91, "50%": 0.48, "bias": -0.2,
    }  # fmt: skip


SCORES: dict[str, Any] = {
    "facility": "GEN",
    "window": ["2026-01-01T00:00:00+00:00", BEGAN.isoformat()],
    "origins": ["2026-02-01T06:00:00+00:00", "2026-02-20T18:00:00+00:00"],
    "replications": 100,
    "draws": 20,
    "seed": 0,
    "verdict": ["24 h ahead the model's CRPS is 20% smaller than that of persistence."],
    "worse": ["ICU at 72 h: worse than hour of week by 50%"],
    "table": [
        row(6, "all", 0.8, 1.0, 1.6), row(24, "all", 1.2, 1.5, 1.6), row(72, "all", 1.6, 2.0, 1.7),
        row(6, "ED", 0.7, 1.0, 1.4), row(24, "ED", 1.4, 1.75, 2.0), row(72, "ED", 1.5, 2.5, 2.0),
        row(6, "ICU", 0.4, 0.5, 0.8), row(24, "ICU", 0.6, 0.75, 0.8), row(72, "ICU", 1.2, 1.6, 0.8),
    ],
}  # fmt: skip
"""A backtest as `twin_core.simulation.backtest.document` tells it; of MED nothing was scored."""


def keep_forecasts(ledger: Ledger) -> None:
    """A forecast with nothing changed, and one of a hospital with two beds closed."""
    for id_, title, answer, kind in (
        (CHANGED_ID, "calibrated, from now: Two closed", CHANGED, "simulation"),
        (FORECAST_ID, "calibrated, from now", FORESEEN, FORECAST),
    ):
        run = {"hours": 72.0, "replications": 200, "seed": 0, "kind": kind}
        task = Task(models=[], scenarios=[], run=run, start=BEGAN.isoformat(), calibrated=True)
        _keep(ledger, id_, title, task, answer)


def keep_backtest(ledger: Ledger, id_: str = BACKTEST_ID) -> None:
    """Forecasts of the past that were scored."""
    run = {"hours": 72.0, "replications": 100, "seed": 0, "kind": BACKTEST}
    task = Task(models=[], scenarios=[], run=run, testing=Testing(plan={}), calibrated=True)
    _keep(ledger, id_, "Backtest", task, SCORES)


def _keep(ledger: Ledger, id_: str, title: str, task: Task, answer: dict[str, Any]) -> None:
    ledger.ask(id_, task, title, {}, "", BEGAN)
    ledger.begin(id_, BEGAN)
    ledger.answered(id_, answer, {"kernel": "1"}, BEGAN)
