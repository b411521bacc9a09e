"""What a simulation is asked to be: a hospital, scenarios, how long, how often, from which seed."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from twin_core.errors import ConfigurationError, UsageError
from twin_core.settings.simulation import SimulationSettings
from twin_core.simulation import (
    FlowModel,
    Precision,
    Run,
    Scenario,
    flow_from,
    load_flow,
    load_scenario,
    scenario_from,
)
from twin_core.simulation.model import hospital_names
from twin_core.simulation.scenario.comparing import edited
from twin_core.simulation.scenario.loading import known_scenarios

CALIBRATED = "calibrated"
FORECAST, BACKTEST = "forecast", "backtest"
"""What a run is that tells what the hospital's own model makes of how it stands, with nothing
changed; and one that scores such forecasts of the past."""


class HalfWidth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sure the answer shall be: see `twin_core.simulation.Precision`."""

    measure: str
    half_width: float
    unit: str | None = None
    at_most: int | None = None


class BacktestAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Forecasts of the past to be scored by what came: from where they are made."""

    every_hours: float = 30.0
    """From one origin to the next; 30 go round the hours of the day."""
    learnt_days: float = 14.0
    """Days of history before the first origin."""


class SimulationAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question. `model` and each of `scenarios` is a name in the package, or a document.

    The model `calibrated` is learned from the hospital's own history, in `draws` models as
    uncertain as what was learned (0: one, with every number as estimated). With `from_now` the
    hospital begins as it stands, at the hour of the week that it is. With `backtest` forecasts of
    the past are scored instead, up to `days` ahead.
    """

    model: str | dict[str, Any] = "calibrated"
    from_now: bool = False
    draws: int = 20
    scenarios: list[str | dict[str, Any]] = []
    days: float = 14.0
    """Warm-up included."""
    warm_up_days: float = 0.0
    hour_of_week: float = 0.0
    """When it begins, in hours after Monday 00:00."""
    replications: int = 100
    seed: int = 0
    half_width: HalfWidth | None = None
    backtest: BacktestAsked | None = None


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is still to be learned from a history, or to begin as the hospital stands."""

    history: dict[str, Any]
    """As `calibrate.passing` passes it on."""
    draws: int
    from_now: bool


class Testing(msgspec.Struct, frozen=True, kw_only=True):
    """Forecasts of the past that are to be scored; the history goes once they are."""

    plan: dict[str, Any]
    """As `twin_core.simulation.backtest.Plan` has it."""
    history: dict[str, Any] | None = None
    """As `calibrate.passing` passes it on."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A question with everything written out, so that it can be answered anywhere, and again."""

    models: list[dict[str, Any]]
    """One, or draws of one hospital; none before a calibrated one was learned."""
    scenarios: list[dict[str, Any]]
    run: dict[str, Any]
    precision: dict[str, Any] | None = None
    threads: int = 1
    start: str | None = None
    """The instant at which it begins, where it begins as the hospital stands."""
    learning: Learning | None = None
    testing: Testing | None = None
    calibrated: bool = False
    """Whether its model is the hospital's own, so that a backtest of the hospital is about it."""

    @property
    def hospitals(self) -> int:
        """How many hospitals are run: as it is, and as each scenario has it."""
        return 1 + len(self.scenarios)


def task_of(
    asked: SimulationAsked,
    limits: SimulationSettings,
    history: Callable[[], dict[str, Any]] | None = None,
) -> Task:
    """What is to be done; `history` gives that of the store, where a model is learned from it.

    Raises UsageError for what cannot be simulated, or is more than is allowed here.
    """
    _within(asked, limits)
    if asked.backtest is not None:
        return _testing_task(asked, asked.backtest, history)
    try:
        models = [] if asked.model == CALIBRATED else [_model(asked.model)]
        scenarios = [_scenario(one, at) for at, one in enumerate(asked.scenarios, 1)]
        run = Run(
            hours=24 * asked.days,
            replications=asked.replications,
            seed=asked.seed,
            hour_of_week=asked.hour_of_week,
            warm_up_hours=24 * asked.warm_up_days,
        )
        precision = _precision(asked.half_width, limits)
        if models:
            edited(models, scenarios, run)
    except ConfigurationError as error:
        raise UsageError(error.what, why=error.why, do=error.do) from error
    return Task(
        models=[document_of(model) for model in models],
        scenarios=[document_of(scenario) for scenario in scenarios],
        run=_run_document(run) | ({"kind": FORECAST} if _is_forecast(asked) else {}),
        precision=precision,
        threads=limits.threads,
        learning=_learning(asked, history),
        calibrated=asked.model == CALIBRATED,
    )


def _is_forecast(asked: SimulationAsked) -> bool:
    return asked.model == CALIBRATED and asked.from_now and not asked.scenarios


def _testing_task(
    asked: SimulationAsked,
    backtest: BacktestAsked,
    history: Callable[[], dict[str, Any]] | None,
) -> Task:
    """Forecasts by calibrated models, each from the history before its origin."""
    from twin_core.simulation.backtest import HORIZONS

    horizons = tuple(hours for hours in HORIZONS if hours <= 24 * asked.days)
    if asked.model != CALIBRATED or asked.scenarios or asked.half_width is not None:
        raise UsageError(
            "A backtest calibrates its models from the history before every origin.",
            do="Leave out model, scenarios and half_width.",
        )
    if not horizons or backtest.every_hours <= 0 or backtest.learnt_days <= 0:
        raise UsageError(
            "A backtest needs hours ahead, hours between origins, and days to learn from.",
            do=f"Ask for {HORIZONS[0] / 24:g} days ahead or more.",
        )
    if history is None:
        raise UsageError("A backtest needs a store.")
    plan = {
        "horizons": horizons,
        "apart_hours": backtest.every_hours,
        "learnt_days": backtest.learnt_days,
        "replications": asked.replications,
        "draws": asked.draws,
        "seed": asked.seed,
    }
    return Task(
        models=[],
        scenarios=[],
        run={
            "hours": float(max(horizons)),
            "replications": asked.replications,
            "seed": asked.seed,
            "kind": BACKTEST,
        },
        testing=Testing(plan=plan, history=history()),
        calibrated=True,
    )


def _learning(
    asked: SimulationAsked, history: Callable[[], dict[str, Any]] | None
) -> Learning | None:
    if asked.model != CALIBRATED and not asked.from_now:
        return None
    if history is None:
        raise UsageError("A calibrated model, or one that begins now, needs a store.")
    return Learning(history=history(), draws=asked.draws, from_now=asked.from_now)


def document_of(part: FlowModel | Scenario) -> dict[str, Any]:
    """A model or scenario as the document that describes it."""
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _within(asked: SimulationAsked, limits: SimulationSettings) -> None:
    for what, wanted, most in (
        ("replications", asked.replications, limits.replications),
        ("days", asked.days, limits.days),
        ("scenarios", len(asked.scenarios), limits.scenarios),
        ("draws", asked.draws, limits.replications),
    ):
        if wanted > most:
            raise UsageError(
                f"{wanted:g} {what} are more than the {most:g} that are allowed here.",
                do=f"Ask for less, or raise simulation.{what}.",
            )
    if asked.draws < 0 or (asked.scenarios and asked.replications < 2):
        raise UsageError("A comparison needs two replications or more, and draws are none or more.")


def _model(asked: str | dict[str, Any]) -> FlowModel:
    if isinstance(asked, dict):
        return flow_from(asked, "The model")
    if asked not in hospital_names():
        raise UsageError(
            "There is no hospital of that name.",
            do=f"Name {CALIBRATED}, {', '.join(hospital_names())}, or send the model itself.",
        )
    return load_flow(asked)


def _scenario(asked: str | dict[str, Any], at: int) -> Scenario:
    if isinstance(asked, dict):
        return scenario_from(asked, f"scenario {at}")
    if asked not in known_scenarios():
        raise UsageError(
            "There is no scenario of that name.",
            do=f"Name one of {', '.join(known_scenarios())}, or send the scenario itself.",
        )
    return load_scenario(asked)


def _precision(asked: HalfWidth | None, limits: SimulationSettings) -> dict[str, Any] | None:
    if asked is None:
        return None
    at_most = min(asked.at_most or limits.replications, limits.replications)
    document = {**msgspec.structs.asdict(asked), "at_most": at_most}
    Precision(**document)
    return document


def _run_document(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__dataclass_fields__}


def run_of(document: Mapping[str, Any]) -> Run:
    """A run as it was written down, whatever kind it is of."""
    return Run(**{name: told for name, told in document.items() if name != "kind"})
