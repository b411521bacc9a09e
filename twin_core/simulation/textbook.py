"""Cases with a known answer from queueing theory, run by the kernel and compared.

A case is a JSON document with `id` (its family) and `expected`: one or more sets of parameters with
the values theory gives. Durations are in the case's own unit of time, here called an hour.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from twin_core.errors import UsageError
from twin_core.simulation.flow.loading import flow_from
from twin_core.simulation.replicate import Run, simulate
from twin_core.simulation.results import Estimate, Results, estimate

Json = Mapping[str, Any]
SEED = 20261122
REPLICATIONS = 40
SERVED = 30_000.0
"""How many patients a replication sees of the scarcest kind, about; more where it is crowded."""
TOLERANCE, STANDARD_ERRORS = 0.01, 3.0


class Compared(NamedTuple):
    """One quantity: what theory says, and what the simulation says of it."""

    case: str
    quantity: str
    theory: float
    simulated: float
    se: float

    @property
    def agrees(self) -> bool:
        """Within the larger of 1% and three standard errors."""
        allowed = max(TOLERANCE * abs(self.theory), STANDARD_ERRORS * self.se)
        return bool(abs(self.simulated - self.theory) <= allowed)

    def row(self) -> dict[str, Any]:
        """A row of the table shown."""
        numbers = {name: round(getattr(self, name), 5) for name in ("theory", "simulated", "se")}
        return {"case": self.case, "quantity": self.quantity, **numbers, "agrees": self.agrees}


@dataclass(frozen=True)
class Trial:
    """A model to run for a case, and which statistic each expected quantity is."""

    label: str
    model: Json
    hours: float
    quantities: Mapping[str, tuple[float, Callable[[Results], Estimate]]]
    sample_hours: float = 0.0
    replications: int = REPLICATIONS
    warm_up_share: float = 0.1


def compared(case: Json, *, seed: int = SEED, scale: float = 1.0) -> list[Compared]:
    """Every quantity of a case; `scale` makes runs longer or shorter.

    Raises UsageError for a family that is not known.
    """
    family, expected = str(case.get("id", "")), case.get("expected", [])
    sets = expected if isinstance(expected, list) else [expected]
    trials = [trial for one in sets for trial in _maker(family, one)(_renamed(one))]
    return [row for at, trial in enumerate(trials) for row in _run(trial, seed + at, scale)]


def _maker(family: str, one: Json) -> Callable[[Json], Iterator[Trial]]:
    """What makes trials of a case: known by its id, or by what its parameters are."""
    for name, make in FAMILIES.items():
        if family.startswith(name):
            return make
    keys = set(_renamed(one))
    for wanted, make in SHAPES:
        if wanted <= keys:
            return _preemptive if make is _priority and "preempt" in family else make
    raise UsageError(
        f"There is no textbook family {family!r}.", do=f"One of: {', '.join(FAMILIES)}."
    )


def _renamed(one: Json) -> Json:
    return {_ALIASES.get(name, name): value for name, value in one.items()}


def _run(trial: Trial, seed: int, scale: float) -> Iterator[Compared]:
    hours = trial.hours * scale
    run = Run(
        hours=hours,
        replications=trial.replications,
        seed=seed,
        warm_up_hours=hours * trial.warm_up_share,
        sample_hours=trial.sample_hours,
    )
    results = simulate(flow_from(trial.model, trial.label), run)
    for quantity, (theory, of) in trial.quantities.items():
        found = of(results)
        yield Compared(trial.label, quantity, float(theory), found.mean, found.se)


# ---- one queue


def _exponential(rate: float) -> Json:
    return {"family": "exponential", "mean": 1.0 / rate}


def _spread(mean: float, cv: float) -> Json:
    if cv == 0:
        return {"exactly": mean}
    if cv == 1:
        return {"family": "exponential", "mean": mean}
    return {"family": "lognormal", "mean": mean, "cv": cv}


def _queue(beds: int, stay: Json, rates: Sequence[float], **unit: Any) -> Json:
    names = [f"class {at + 1}" for at in range(len(rates))]
    return {
        "units": [{"code": "Q", "beds": beds, "stay": stay, "then": {"home": 1}, **unit}],
        "classes": [{"code": name, "priority": at + 1} for at, name in enumerate(names)],
        "arrivals": [
            {"class": name, "unit": "Q", "per_hour": rate}
            for name, rate in zip(names, rates, strict=True)
        ],
    }


def _of_unit(statistic: str, unit: str = "Q") -> Callable[[Results], Estimate]:
    return lambda results: results.unit(unit, statistic)


def _long_enough(rate: float, load: float) -> float:
    """Hours for `SERVED` patients, and more where the queue forgets slowly."""
    return SERVED / rate * max(1.0, 0.005 / (1 - min(load, 0.99)) ** 2)


_ONE_QUEUE: Mapping[str, Callable[[Results], Estimate]] = {
    "P_wait": _of_unit("wait_share"),
    "Wq": _of_unit("wait_mean"),
    "Lq": _of_unit("queue_mean"),
    "L": lambda results: estimate(
        results.unit_values["queue_mean"][:, 0] + results.unit_values["census_mean"][:, 0]
    ),
    "W": lambda results: results.of_class("class 1", "hours_in_hospital"),
    "wait_p50": _of_unit("wait_p50"),
    "wait_p90": _of_unit("wait_p90"),
    "wait_p95": _of_unit("wait_p95"),
    "P_block": _of_unit("turned_away_share"),
    "P_loss": _of_unit("turned_away_share"),
    "P_abandon": _of_unit("renege_share"),
    "P_ab": _of_unit("renege_share"),
    "rho": _of_unit("occupancy"),
    "X": _of_unit("throughput"),
    "throughput": _of_unit("throughput"),
}


def _known(one: Json) -> dict[str, tuple[float, Callable[[Results], Estimate]]]:
    return {name: (one[name], of) for name, of in _ONE_QUEUE.items() if name in one}


def _mmc(one: Json) -> Iterator[Trial]:
    beds, rate, mu = one.get("c", 1), one["lam"], one.get("mu", 1.0)
    label = f"M/M/{beds} {rate:g}"
    unit: dict[str, Any] = {}
    if (places := _places(one, beds)) is not None:
        unit["waiting_places"] = places
        label += f" K={places + beds}"
    if (theta := one.get("theta", one.get("patience_rate"))) is not None:
        unit["patience"] = _exponential(theta)
        label += f" +M {theta:g}"
    bounded = bool(unit)
    load = 0.5 if bounded else rate / (beds * mu)
    yield Trial(
        label,
        _queue(beds, _exponential(mu), [rate], **unit),
        _long_enough(rate, load),
        _known(one),
    )


def _places(one: Json, beds: int) -> int | None:
    if "K" in one:
        return int(one["K"]) - beds
    return int(one["buffer"]) if "buffer" in one else None


def _mg1(one: Json) -> Iterator[Trial]:
    beds, rate, mean = one.get("c", 1), one["lam"], one.get("ES", 1.0)
    yield Trial(
        f"M/G/{beds} {rate:g} cv {one['cv']:g}",
        _queue(beds, _spread(mean, one["cv"]), [rate]),
        _long_enough(rate, rate * mean / beds) * (1 + one["cv"] ** 2),
        _known(one),
    )


def _erlang_b(one: Json) -> Iterator[Trial]:
    """The loss formula does not depend on how lengths of stay are spread: three ways."""
    for cv in (1.0, 1.5, 0.0):
        yield Trial(
            f"M/G/{one['c']}/{one['c']} {one['a']:g} cv {cv:g}",
            _queue(one["c"], _spread(1.0, cv), [one["a"]], waiting_places=0),
            SERVED / one["a"],
            {"P_block": (one["P_block"], _of_unit("turned_away_share"))},
        )


def _priority(one: Json, **unit: Any) -> Iterator[Trial]:
    rates, mu, beds = one["lams"], one.get("mu", 1.0), one.get("c", 1)

    def of(at: int, statistic: str) -> Callable[[Results], Estimate]:
        return lambda results: results.step(f"class {at + 1}", "Q", statistic)

    def stay(at: int) -> Callable[[Results], Estimate]:
        return lambda results: results.of_class(f"class {at + 1}", "hours_in_hospital")

    quantities: dict[str, tuple[float, Callable[[Results], Estimate]]] = {}
    for at, theory in enumerate(one.get("Wq", ())):
        quantities[f"Wq class {at + 1}"] = (theory, of(at, "wait_mean"))
    for name in ("W", "T"):
        for at, theory in enumerate(one.get(name, ())):
            quantities[f"{name} class {at + 1}"] = (theory, stay(at))
    kind = "preemptive" if unit else "priority"
    yield Trial(
        f"M/M/{beds} {kind} {'/'.join(f'{rate:g}' for rate in rates)}",
        _queue(beds, _exponential(mu), rates, **unit),
        _long_enough(min(rates), sum(rates) / (mu * beds)),
        quantities,
    )


def _preemptive(one: Json) -> Iterator[Trial]:
    return _priority(one, preemption="resume")


# ---- networks


def _jackson(one: Json) -> Iterator[Trial]:
    """Units without limits on waiting, left as soon as the stay is over."""
    codes = [f"S{at + 1}" for at in range(len(one["mu"]))]
    units = []
    for at, code in enumerate(codes):
        then = {to: share for to, share in zip(codes, one["P"][at], strict=True) if share > 0}
        rest = 1.0 - sum(then.values())
        units.append(
            {
                "code": code,
                "beds": one["c"][at],
                "boards": False,
                "stay": _exponential(one["mu"][at]),
                "then": then | ({"home": rest} if rest > 1e-12 else {}),
            }
        )
    arrivals = [
        {"class": "all", "unit": code, "per_hour": rate, "name": code}
        for code, rate in zip(codes, one["lam0"], strict=True)
        if rate > 0
    ]
    names = {"lam": "throughput", "rho": "occupancy", "Wq": "wait_mean", "Lq": "queue_mean"}
    quantities = {
        f"{name} {code}": (one[name][at], _of_unit(statistic, code))
        for name, statistic in names.items()
        if name in one
        for at, code in enumerate(codes)
    }
    for at, code in enumerate(codes):
        if "L" in one:
            quantities[f"L {code}"] = (one["L"][at], _in_unit(at))
    if "W_total" in one:
        quantities["W_total"] = (one["W_total"], _hours_of_all)
    model = {"units": units, "classes": [{"code": "all"}], "arrivals": arrivals}
    load = max(one.get("rho", [0.8]))
    yield Trial("Jackson", model, _long_enough(sum(one["lam0"]), load), quantities)


def _in_unit(at: int) -> Callable[[Results], Estimate]:
    return lambda results: estimate(
        results.unit_values["queue_mean"][:, at] + results.unit_values["census_mean"][:, at]
    )


def _hours_of_all(results: Results) -> Estimate:
    return results.of_class("all", "hours_in_hospital")


def _tandem(one: Json) -> Iterator[Trial]:
    """A line that is never short of patients at its first station, without room between."""
    lines = {"two_stations": [1.0] * 2, "three_stations": [1.0] * 3, "four_stations": [1.0] * 4}
    for name, value in one.items():
        if name in lines:
            yield _line(name, lines[name], value)
        elif isinstance(value, Mapping) and "mu" in value:
            yield _line(name, value["mu"], value["X"], value.get("buffers", value.get("buffer")))


def _line(name: str, rates: Sequence[float], theory: float, buffers: Any = None) -> Trial:
    """Room between two stations is a unit of its own, with as many beds and no length of stay."""
    between = [buffers] * (len(rates) - 1) if isinstance(buffers, int) else list(buffers or ())
    stages: list[tuple[str, int, Json]] = []
    for at, rate in enumerate(rates):
        stages.append((f"S{at + 1}", 1, _exponential(rate)))
        if at < len(between) and between[at] > 0:
            stages.append((f"B{at + 1}", between[at], {"exactly": 0}))
    units = [
        {
            "code": code,
            "beds": beds,
            "stay": stay,
            "then": {stages[at + 1][0]: 1} if at + 1 < len(stages) else {"home": 1},
        }
        for at, (code, beds, stay) in enumerate(stages)
    ]
    model = {
        "units": units,
        "classes": [{"code": "all"}],
        "arrivals": [{"class": "all", "unit": "S1", "saturated": True}],
    }
    last = stages[-1][0]
    return Trial(name, model, SERVED / 2, {"X": (theory, _of_unit("throughput", last))})


# ---- rates that change


def _mt_g_inf(one: Json) -> Iterator[Trial]:
    """Nobody ever waits: the mean census at every hour of the day follows the rates."""
    rates, los = one["rate_by_hour"], dict(one["los"])
    stay: dict[str, Any] = {"mean": los["mean"]}
    if los["dist"] in ("deterministic", "fixed", "constant"):
        stay = {"exactly": los["mean"]}
    else:
        stay["family"] = {"exp": "exponential", "lnorm": "lognormal"}.get(los["dist"], los["dist"])
        stay |= {name: los[name] for name in ("sd", "cv") if name in los}
    model = {
        "units": [{"code": "Q", "beds": "unlimited", "stay": stay, "then": {"home": 1}}],
        "classes": [{"code": "all"}],
        "arrivals": [{"class": "all", "unit": "Q", "rates": rates}],
    }
    period = len(rates)

    def at_hour(hour: int) -> Callable[[Results], Estimate]:
        return lambda results: estimate(
            results.census()[:, 10 * period + hour :: period, 0].mean(axis=1).astype(np.float64)
        )

    theory = {f"m({hour})": (m, at_hour(hour)) for hour, m in enumerate(one["m_at_hour"])}
    yield Trial("M(t)/G/inf", model, 200.0 * period, theory, sample_hours=1.0)


FAMILIES: Mapping[str, Callable[[Json], Iterator[Trial]]] = {
    "mmc": _mmc,
    "mm1": _mmc,
    "erlang_c": _mmc,
    "erlang_a": _mmc,
    "finite": _mmc,
    "mg1": _mg1,
    "erlang_b": _erlang_b,
    "cobham": _priority,
    "priority": _priority,
    "preempt": _preemptive,
    "jackson": _jackson,
    "tandem": _tandem,
    "mt_g_inf": _mt_g_inf,
}
"""By how the id of a case begins."""
SHAPES: Sequence[tuple[set[str], Callable[[Json], Iterator[Trial]]]] = (
    ({"lam0", "P", "mu", "c"}, _jackson),
    ({"rate_by_hour", "los"}, _mt_g_inf),
    ({"lams"}, _priority),
    ({"a", "P_block", "c"}, _erlang_b),
    ({"lam", "cv"}, _mg1),
    ({"two_stations"}, _tandem),
    ({"lam"}, _mmc),
)
"""By the parameters a case has, where its id says nothing."""
_ALIASES = {
    "lambda": "lam",
    "lambdas": "lams",
    "servers": "c",
    "s": "c",
    "mean_service": "ES",
    "B": "P_block",
    "P_abandonment": "P_abandon",
}
