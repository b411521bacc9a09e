"""Simulation: a hospital as data, run many times, and what it would be like.

    from twin_core.simulation import Run, load_flow, simulate

    results = simulate(load_flow("riverside"), Run(hours=28 * 24, replications=100, seed=7))
    results.unit("MED", "occupancy").interval
    results.table()          # an Arrow table of every statistic
    results.census()         # NumPy: replications x hours x units

    answer = compare(load_flow("riverside"), [load_scenario("winter")], Run(hours=28 * 24))
    answer.of("boarding")[0].difference.interval

The names are loaded when they are first asked for: who only plays the demonstration does not wait
for what runs models.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin_core.simulation.calibrate import Calibration, calibrated, read_history, standing
    from twin_core.simulation.flow.loading import flow_from, load_flow
    from twin_core.simulation.flow.model import FlowModel
    from twin_core.simulation.forecasting import Forecast, forecast
    from twin_core.simulation.replicate import Run, simulate
    from twin_core.simulation.results import Estimate, Results
    from twin_core.simulation.scenario.applying import applied
    from twin_core.simulation.scenario.choosing import Target, best_of, fewest_beds
    from twin_core.simulation.scenario.comparing import Comparison, Precision, compare
    from twin_core.simulation.scenario.edits import Scenario
    from twin_core.simulation.scenario.loading import load_scenario, scenario_from
    from twin_core.simulation.scenario.screening import screening
    from twin_core.simulation.scenario.sensitivity import sensitivity

__all__ = [
    "Calibration",
    "Comparison",
    "Estimate",
    "FlowModel",
    "Forecast",
    "Precision",
    "Results",
    "Run",
    "Scenario",
    "Target",
    "applied",
    "best_of",
    "calibrated",
    "compare",
    "fewest_beds",
    "flow_from",
    "forecast",
    "load_flow",
    "load_scenario",
    "read_history",
    "scenario_from",
    "screening",
    "sensitivity",
    "simulate",
    "standing",
]
_HOMES = {
    "FlowModel": "flow.model",
    "load_flow": "flow.loading",
    "flow_from": "flow.loading",
    "Run": "replicate",
    "simulate": "replicate",
    "Results": "results",
    "Estimate": "results",
    "Calibration": "calibrate",
    "calibrated": "calibrate",
    "read_history": "calibrate",
    "standing": "calibrate",
    "Forecast": "forecasting",
    "forecast": "forecasting",
    "applied": "scenario.applying",
    "compare": "scenario.comparing",
    "Comparison": "scenario.comparing",
    "Precision": "scenario.comparing",
    "Scenario": "scenario.edits",
    "best_of": "scenario.choosing",
    "fewest_beds": "scenario.choosing",
    "Target": "scenario.choosing",
    "screening": "scenario.screening",
    "sensitivity": "scenario.sensitivity",
    "load_scenario": "scenario.loading",
    "scenario_from": "scenario.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"twin_core.simulation has no {name}")
    return getattr(import_module(f"twin_core.simulation.{_HOMES[name]}"), name)
