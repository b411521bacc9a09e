"""Cases with a known answer from queueing theory, run by the kernel and compared.

A case is a JSON document with `id` (its family) and `expected`: one or more sets of parameters with
the values theory gives. Durations are in the case's own unit of time, here called an hour.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from twin_core.errors import UsageError
from twin_core.simulation.flow.loading import flow_from
from twin_core.simulation.replicate import Run, simulate
from twin_core.simulation.results import Estimate, Results, estimate
from twin_core.simulation.textbook_parts import Json, duration_of, exponential
from twin_core.simulation.textbook_queues import (
    QUANTITIES,
    SERVED,
    Trial,
    balking,
    closed_network,
    long_enough,
    loss,
    machines,
    named,
    of_unit,
    one_queue,
    preemptive,
    priorities,
    several_servers_each,
    there,
    time_there,
    vacations,
)

SEED = 20261122
TOLERANCE, STANDARD_ERRORS = 0.01, 3.0


_PARAMETERS = frozenset(
    "c lam lams mu ES ES2 cv scv var sd k p K buffer theta patience service arrival ca a b N join "
    "EV EV2 cv_V cV cv_v var_V lam0 P T W_total rate_by_hour rate_mean amplitude period los "
    "m_at_hour preemptive".split()
)


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


def compared(case: Json, *, seed: int = SEED, scale: float = 1.0) -> list[Compared]:
    """Every quantity of a case; `scale` makes runs longer or shorter.

    Raises UsageError for a family that is not known.
    """
    family, expected = str(case.get("id", "")), case.get("expected", [])
    sets = expected if isinstance(expected, list) else [expected]
    trials = [trial for one in sets for trial in _trials(family, one)]
    if not any(trial.quantities for trial in trials):
        raise UsageError(f"Nothing of {family!r} can be compared.")
    return [row for at, trial in enumerate(trials) for row in _run(trial, seed + at, scale)]


def _trials(family: str, one: Json) -> list[Trial]:
    """The trials of one set of parameters.

    Raises UsageError for a family that is not known, and for parameters that one of it lacks.
    """
    asked = _renamed(one, family)
    try:
        return list(_maker(family, asked)(asked))
    except KeyError as missing:
        raise UsageError(f"A case of {family!r} lacks {missing}.") from missing
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise UsageError(f"A case of {family!r} cannot be read.", why=f"{error}.") from error


def _maker(family: str, one: Json) -> Callable[[Json], Iterator[Trial]]:
    """What makes trials of a case: by what its parameters are, or known by its id."""
    shaped = next((make for wanted, make in SHAPES if wanted <= set(one)), None)
    by_name = next((make for name, make in FAMILIES.items() if family.startswith(name)), None)
    if "engset" in family or "batch" in family:
        by_name, shaped = None, None
    elif shaped is priorities and "preempt" in family and not _says_not(family):
        return preemptive
    found = shaped if shaped in _TELLING or by_name is None else by_name
    if found is None:
        raise UsageError(
            f"There is no textbook family {family!r}.", do=f"One of: {', '.join(FAMILIES)}."
        )
    return found


def _says_not(family: str) -> bool:
    return any(word in family.replace("-", "_") for word in ("nonpre", "non_pre", "no_pre"))


def _renamed(one: Json, family: str) -> Json:
    asked = {_ALIASES.get(name, name): value for name, value in one.items()}
    if "c" in one and isinstance(one.get("C"), float):
        asked |= {"c": one["c"], "P_wait": one["C"]}  # Erlang's C, not the number of servers
    if "lams" not in asked and isinstance(asked.get("lam"), list) and "lam0" not in asked:
        asked["lams"] = asked.pop("lam")
    if "lam" not in asked and isinstance(asked.get("a"), int | float) and "lams" not in asked:
        asked["lam"] = asked["a"] * asked.get("mu", 1.0)
    return named(family, asked)


def not_compared(case: Json) -> list[str]:
    """What a case gives that is neither compared nor known to be a parameter, by name."""
    expected = case.get("expected", [])
    known = QUANTITIES | _PARAMETERS
    sets = expected if isinstance(expected, list) else [expected]
    names = {_ALIASES.get(name, name) for one in sets for name in one}
    lines = {name for one in sets for name, value in one.items() if isinstance(value, Mapping)}
    return sorted(names - known - lines - {"two_stations", "three_stations", "four_stations"})


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
                "stay": exponential(one["mu"][at]),
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
        f"{name} {code}": (one[name][at], of_unit(statistic, code))
        for name, statistic in names.items()
        if name in one
        for at, code in enumerate(codes)
    }
    for at, code in enumerate(codes):
        if "L" in one:
            quantities[f"L {code}"] = (one["L"][at], there(at))
        if isinstance(one.get("W"), list):
            quantities[f"W {code}"] = (one["W"][at], time_there(at))
    if "W_total" in one:
        quantities["W_total"] = (one["W_total"], _hours_of_all)
    model = {"units": units, "classes": [{"code": "all"}], "arrivals": arrivals}
    load = max(one.get("rho", [0.8]))
    yield Trial("Jackson", model, long_enough(sum(one["lam0"]), load), quantities)


def _hours_of_all(results: Results) -> Estimate:
    return results.of_class("all", "hours_in_hospital")


def _tandem(one: Json) -> Iterator[Trial]:
    """A line that is never short of patients at its first station, without room between."""
    lines = {"two_stations": [1.0] * 2, "three_stations": [1.0] * 3, "four_stations": [1.0] * 4}
    if isinstance(one.get("mu"), list) and "X" in one:
        yield _line(
            "line", one["mu"], one["X"], one.get("buffers", one.get("buffer", one.get("b")))
        )
        return
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
        stages.append((f"S{at + 1}", 1, exponential(rate)))
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
    return Trial(name, model, SERVED / 2, {"X": (theory, of_unit("throughput", last))})


# ---- rates that change


def _mt_g_inf(one: Json) -> Iterator[Trial]:
    """Nobody ever waits: the mean census at every hour of the day follows the rates."""
    rates, step_hours = _rates(one)
    period = round(len(rates) * step_hours)
    stay = duration_of(one["los"])
    model = {
        "units": [{"code": "Q", "beds": "unlimited", "stay": stay, "then": {"home": 1}}],
        "classes": [{"code": "all"}],
        "arrivals": [{"class": "all", "unit": "Q", "rates": rates, "step_hours": step_hours}],
    }

    def at_hour(hour: int) -> Callable[[Results], Estimate]:
        return lambda results: estimate(
            results.census()[:, 10 * period + hour :: period, 0].mean(axis=1).astype(np.float64)
        )

    theory = {f"m({hour})": (m, at_hour(hour)) for hour, m in enumerate(one["m_at_hour"])}
    # Of a week there are many hours, and all of them are to agree.
    periods = 200.0 if period <= 24 else 800.0
    yield Trial("M(t)/G/inf", model, periods * period, theory, sample_hours=1.0)


_PARTS = 60
"""Steps of an hour in which a rate that changes all the time is taken to be constant."""


def _rates(one: Json) -> tuple[list[float], float]:
    """Patients an hour in steps; of a sine, the mean of each minute."""
    if "rate_by_hour" in one:
        return list(one["rate_by_hour"]), 1.0
    mean, height, period = one.get("rate_mean", one.get("lam")), one["amplitude"], one["period"]
    if period != round(period):
        raise UsageError("The period of a rate is a whole number of hours.")
    turn = 2 * np.pi / period
    edges = np.cos(turn * np.arange(int(period) * _PARTS + 1) / _PARTS)
    return list(mean - height * np.diff(edges) * _PARTS / turn), 1 / _PARTS


FAMILIES: Mapping[str, Callable[[Json], Iterator[Trial]]] = {
    "mmc": one_queue,
    "mm1": one_queue,
    "erlang_c": one_queue,
    "erlang_a": one_queue,
    "finite_source": machines,
    "finite": one_queue,
    "mg1": one_queue,
    "erlang_b": loss,
    "cobham": priorities,
    "priority": priorities,
    "preempt": preemptive,
    "jackson": _jackson,
    "tandem": _tandem,
    "mt_": _mt_g_inf,
    "machine": machines,
    "closed": closed_network,
    "gordon": closed_network,
    "kaufman": several_servers_each,
    "balking": balking,
}
"""By how the id of a case begins."""
SHAPES: Sequence[tuple[set[str], Callable[[Json], Iterator[Trial]]]] = (
    ({"N", "P", "mu"}, closed_network),
    ({"N", "lam"}, machines),
    ({"lam0", "P", "mu", "c"}, _jackson),
    ({"rate_by_hour", "los"}, _mt_g_inf),
    ({"amplitude", "los"}, _mt_g_inf),
    ({"lams"}, priorities),
    ({"a", "b", "c"}, several_servers_each),
    ({"EV", "lam"}, vacations),
    ({"join", "lam"}, balking),
    ({"a", "P_block", "c"}, loss),
    ({"two_stations"}, _tandem),
    ({"lam"}, one_queue),
)
"""By the parameters a case has: those that say more than an id come before it."""
_TELLING = (closed_network, machines, priorities, several_servers_each, vacations, balking)
_ALIASES = {
    "lambda": "lam",
    "lambdas": "lams",
    "rate": "lam",
    "servers": "c",
    "s": "c",
    "R": "c",
    "C": "c",
    "mus": "mu",
    "mean_service": "ES",
    "E_S": "ES",
    "Es2": "ES2",
    "cs": "cv",
    "cv_s": "cv",
    "cv_service": "cv",
    "cs2": "scv",
    "cv2": "scv",
    "cv_a": "ca",
    "cv_arrival": "ca",
    "arrivals": "arrival",
    "M": "N",
    "machines": "N",
    "B": "P_block",
    "P_loss": "P_block",
    "P_balk": "P_block",
    "P_abandonment": "P_abandon",
    "P_ab": "P_abandon",
    "patience_rate": "theta",
    "util": "rho",
    "utilization": "rho",
    "throughput": "X",
    "up": "L_up",
    "P_delay": "P_wait",
    "p95": "wait_p95",
}
