"""Textbook cases of one queue: what comes, how long it takes, who goes first, who is lost."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from twin_core.errors import UsageError
from twin_core.simulation.results import Estimate, Results, estimate
from twin_core.simulation.textbook_parts import (
    Json,
    duration_of,
    exponential,
    interarrival_of,
    service_of,
    spread,
)

SERVED = 30_000.0
"""How many patients a replication sees of the scarcest kind, about; more where it is crowded."""
REPLICATIONS = 40
NEARLY_NEVER = 1e-12
"""A share that lets nobody out of a closed system in any run, and leaves it a way out."""
Of = Callable[[Results], Estimate]


@dataclass(frozen=True)
class Trial:
    """A model to run for a case, and which statistic each expected quantity is."""

    label: str
    model: Json
    hours: float
    quantities: Mapping[str, tuple[float, Of]]
    sample_hours: float = 0.0
    replications: int = REPLICATIONS
    warm_up_share: float = 0.1


def long_enough(rate: float, load: float) -> float:
    """Hours for `SERVED` patients, and more where the queue forgets slowly."""
    return SERVED / rate * max(1.0, 0.005 / (1 - min(load, 0.99)) ** 2)


def of_unit(statistic: str, unit: str = "Q") -> Of:
    """A statistic of a unit."""
    return lambda results: results.unit(unit, statistic)


def there(at: int = 0) -> Of:
    """Patients in a unit's beds and waiting for them."""
    return lambda results: estimate(_there(results, at))


def _there(results: Results, at: int) -> Any:
    return results.unit_values["queue_mean"][:, at] + results.unit_values["census_mean"][:, at]


def _let_in(results: Results, at: int = 0) -> Any:
    """Patients an hour who asked for a bed and were not turned away."""
    values = results.unit_values
    hours = results.run.hours - results.run.warm_up_hours
    return (values["asked"][:, at] - values["turned_away"][:, at]) / hours


def time_there(at: int = 0) -> Of:
    """Time from asking for a bed to leaving it, of all who were not turned away (Little)."""
    return lambda results: estimate(_there(results, at) / _let_in(results, at))


def _wait_of_all(results: Results) -> Estimate:
    return estimate(results.unit_values["queue_mean"][:, 0] / _let_in(results))


def _waited_of_all(results: Results) -> Estimate:
    """Of all let in, those who had to wait: for a bed, or until their patience ended."""
    values = {name: results.unit_values[name][:, 0] for name in ("started", "wait_share")}
    waited = values["started"] * values["wait_share"] + results.unit_values["reneged"][:, 0]
    hours = results.run.hours - results.run.warm_up_hours
    return estimate(waited / (_let_in(results) * hours))


_ONE_QUEUE: Mapping[str, Of] = {
    "P_wait": _waited_of_all,
    "Wq": _wait_of_all,
    "Wq_served": of_unit("wait_mean"),
    "Lq": of_unit("queue_mean"),
    "L": there(),
    "W": time_there(),
    "wait_p50": of_unit("wait_p50"),
    "wait_p90": of_unit("wait_p90"),
    "wait_p95": of_unit("wait_p95"),
    "P_block": of_unit("turned_away_share"),
    "P_abandon": of_unit("renege_share"),
    "rho": of_unit("occupancy"),
    "X": of_unit("throughput"),
    "L_up": lambda results: results.unit("UP", "census_mean"),
}
QUANTITIES = frozenset(_ONE_QUEUE)


def known(one: Json) -> dict[str, tuple[float, Of]]:
    """What a case expects of its one queue."""
    return {name: (one[name], of) for name, of in _ONE_QUEUE.items() if name in one}


def _queue(beds: int | str, stay: Json, coming: Json, **unit: Any) -> dict[str, Any]:
    return {
        "units": [{"code": "Q", "beds": beds, "stay": stay, "then": {"home": 1}, **unit}],
        "classes": [{"code": "class 1", "priority": 1}],
        "arrivals": [{"class": "class 1", "unit": "Q", **coming}],
    }


def named(family: str, one: Json) -> dict[str, Any]:
    """A case with what only its name says: M/D/1, D/M/1, M/G/inf, E3/M/1."""
    letters = re.sub(r"[^a-z0-9]", "", family.lower())
    more: dict[str, Any] = {}
    if re.match(r"md[0-9cs]", letters):
        more["cv"] = 0
    if re.match(r"dm[0-9cs]", letters):
        more["ca"] = 0
    if re.match(r"(e\d*|ek|gi|g)m[0-9cs]", letters) and "arrival" not in one and "k" in one:
        more["arrival"] = f"erlang{one['k']}"
    if re.match(r"m[mgd]inf", letters):
        more["c"] = "inf"
    kept = {name: value for name, value in one.items() if not (name == "k" and "arrival" in more)}
    return more | kept


def one_queue(one: Json) -> Iterator[Trial]:
    """M/M/c and its kin: room for `K`, patience, arrivals and stays of any kind."""
    endless = str(one.get("c", 1)).lower() in ("inf", "infinity", "unlimited")
    beds: int | str = "unlimited" if endless else int(one.get("c", 1))
    stay, gaps = service_of(one), interarrival_of(one)
    mean, rate = _average(stay), float(one["lam"])
    unit: dict[str, Any] = {}
    label = f"{'GI' if gaps else 'M'}/{_letter(stay)}/{'inf' if endless else beds} {rate:g}"
    if not endless and (places := _places(one, int(beds))) is not None:
        unit["waiting_places"] = places
        label += f" K={places + int(beds)}"
    if (theta := one.get("theta")) is not None:
        unit["patience"] = exponential(theta)
        label += f" +M {theta:g}"
    elif (patience := one.get("patience")) is not None:
        unit["patience"] = duration_of(patience)
        label += " +G"
    load = 0.5 if unit or endless else rate * mean / int(beds)
    slower = 1 + one.get("cv", 1) ** 2 if stay.get("cv") or "mix" in stay else 1.0
    coming: Json = {"interarrival": gaps} if gaps else {"per_hour": rate}
    model = _queue(beds, stay, coming, **unit)
    yield Trial(label, model, long_enough(rate, load) * slower, known(one))


def _places(one: Json, beds: int) -> int | None:
    if "K" in one:
        return int(one["K"]) - beds
    return int(one["buffer"]) if "buffer" in one else None


def _letter(stay: Json) -> str:
    if "exactly" in stay:
        return "D"
    return "M" if stay.get("family") == "exponential" else f"G cv {stay.get('cv', 0):g}"


def _average(stay: Json) -> float:
    if "mix" in stay:
        return math.fsum(part["share"] * part["mean"] for part in stay["mix"])
    if "between" in stay:
        return float(sum(stay["between"])) / 2
    return float(stay.get("mean", stay.get("exactly", stay.get("scale", 1.0))))


def loss(one: Json) -> Iterator[Trial]:
    """The loss formula does not depend on how lengths of stay are spread: three ways."""
    mean = 1.0 / one["mu"] if "mu" in one else float(one.get("ES", 1.0))
    load = one["a"] if "a" in one else one["lam"] * mean
    for cv in (1.0, 1.5, 0.0):
        rate, stay = load / mean, spread(mean, cv)
        model = _queue(one["c"], stay, {"per_hour": rate}, waiting_places=0)
        yield Trial(
            f"M/G/{one['c']}/{one['c']} {load:g} cv {cv:g}", model, SERVED / rate, known(one)
        )


# ---- several classes


def priorities(one: Json, **unit: Any) -> Iterator[Trial]:
    """Classes in order of urgency, of one length of stay or each of its own."""
    rates, beds = one["lams"], one.get("c", 1)
    stays = [service_of(one, at) for at in range(len(rates))]
    names = [f"class {at + 1}" for at in range(len(rates))]
    model = {
        "units": [{"code": "Q", "beds": beds, "then": {"home": 1}, **unit}],
        "classes": [{"code": name, "priority": at + 1} for at, name in enumerate(names)],
        "routes": [
            {"class": name, "unit": "Q", "stay": stay}
            for name, stay in zip(names, stays, strict=True)
        ],
        "arrivals": [
            {"class": name, "unit": "Q", "per_hour": rate}
            for name, rate in zip(names, rates, strict=True)
        ],
    }
    quantities = {
        f"{quantity} {name}": (theory, of(name))
        for quantity, of in (("Wq", _wait_of), ("W", _time_of), ("T", _time_of))
        for name, theory in zip(names, one.get(quantity, ()), strict=False)
    }
    kind = "preemptive" if unit else "priority"
    load = sum(rate * _average(stay) for rate, stay in zip(rates, stays, strict=True)) / beds
    label = f"M/{_letter(stays[0])}/{beds} {kind} {'/'.join(f'{rate:g}' for rate in rates)}"
    yield Trial(label, model, long_enough(min(rates), load), quantities)


def _wait_of(class_: str) -> Of:
    return lambda results: results.step(class_, "Q", "wait_mean")


def _time_of(class_: str) -> Of:
    return lambda results: results.of_class(class_, "hours_in_hospital")


def preemptive(one: Json) -> Iterator[Trial]:
    """Priorities of which the more urgent interrupts the less urgent, who goes on later."""
    return priorities(one, preemption="resume")


def vacations(one: Json) -> Iterator[Trial]:
    """Whoever serves goes away when nobody waits, again and again until somebody does.

    The absences are patients of the least urgency of whom there is always one.
    """
    mean = float(one["EV"])
    spread_of = {"ES": mean, **{to: one[name] for name, to in _ABSENCES.items() if name in one}}
    model = _queue(1, service_of(one), {"per_hour": one["lam"]})
    model["classes"].append({"code": "away", "priority": 9})
    model["arrivals"].append({"class": "away", "unit": "Q", "saturated": True})
    model["routes"] = [{"class": "away", "unit": "Q", "stay": service_of(spread_of)}]
    quantities = {
        name: (one[name], of)
        for name, of in (("Wq", _wait_of("class 1")), ("W", _time_of("class 1")))
        if name in one
    }
    if "Lq" in one:
        quantities["Wq (from Lq)"] = (one["Lq"] / one["lam"], _wait_of("class 1"))
    load = one["lam"] * _average(service_of(one))
    yield Trial(f"vacations {one['lam']:g}", model, long_enough(one["lam"], load), quantities)


_ABSENCES = {"cv_V": "cv", "cV": "cv", "cv_v": "cv", "EV2": "ES2", "var_V": "var"}


# ---- those who always come back


def machines(one: Json) -> Iterator[Trial]:
    """`N` who come for service again and again, each so long after the last time (M/M/c//N)."""
    population, beds = int(one["N"]), int(one.get("c", 1))
    units: list[dict[str, Any]] = [
        {"code": "Q", "beds": beds, "stay": service_of(one), "then": _for_ever("UP")},
        {"code": "UP", "beds": "unlimited", "stay": exponential(one["lam"]),
         "then": _for_ever("Q")},
    ]  # fmt: skip
    rate = population / (1 / one["lam"] + _average(service_of(one)))
    yield Trial(
        f"machines {population} of {one['lam']:g}, {beds} serve",
        _closed(units, "UP", population), SERVED / min(rate, beds / _average(service_of(one))),
        known(one),
    )  # fmt: skip


def _for_ever(to: str) -> dict[str, float]:
    return {to: 1.0, "home": NEARLY_NEVER}


def _closed(units: list[dict[str, Any]], start: str, population: int) -> dict[str, Any]:
    return {
        "units": [unit | {"boards": False} for unit in units],
        "classes": [{"code": "all"}],
        "present": [{"class": "all", "unit": start, "patient": str(n)} for n in range(population)],
    }


def closed_network(one: Json) -> Iterator[Trial]:
    """`N` who go round between stations for ever (Gordon and Newell 1967)."""
    codes = [f"S{at + 1}" for at in range(len(one["mu"]))]
    beds = one.get("c", [1] * len(codes))
    units = []
    for at, code in enumerate(codes):
        then = {to: share for to, share in zip(codes, one["P"][at], strict=True) if share > 0}
        if abs(sum(then.values()) - 1) > 1e-6:
            raise UsageError("In a closed network every row of P adds up to 1.")
        units.append(
            {
                "code": code,
                "beds": beds[at],
                "stay": exponential(one["mu"][at]),
                "then": then | {"home": NEARLY_NEVER},
            }
        )
    quantities: dict[str, tuple[float, Of]] = {}
    for name, of in (("L", there), ("rho", _occupied), ("X", _through), ("W", time_there)):
        theory = one.get(name, ())
        values = theory if isinstance(theory, list | tuple) else (theory,)
        quantities |= {f"{name} S{at + 1}": (value, of(at)) for at, value in enumerate(values)}
    yield Trial(
        f"closed {one['N']}", _closed(units, "S1", int(one["N"])), SERVED / min(one["mu"]),
        quantities,
    )  # fmt: skip


def _occupied(at: int) -> Of:
    return of_unit("occupancy", f"S{at + 1}")


def _through(at: int) -> Of:
    return of_unit("throughput", f"S{at + 1}")


# ---- one pool for all


def several_servers_each(one: Json) -> Iterator[Trial]:
    """Classes of which each needs so many servers at once, or is lost (Kaufman, Roberts)."""
    names = [f"class {at + 1}" for at in range(len(one["a"]))]
    units = [
        {"code": name, "beds": int(one["c"]), "stay": exponential(1.0), "waiting_places": 0,
         "then": {"home": 1}, "needs": {"servers": int(one["b"][at])}}
        for at, name in enumerate(names)
    ]  # fmt: skip
    model = {
        "units": units,
        "classes": [{"code": name} for name in names],
        "staff": [{"code": "servers", "on_duty": int(one["c"])}],
        "arrivals": [
            {"class": name, "unit": name, "per_hour": rate}
            for name, rate in zip(names, one["a"], strict=True)
        ],
    }
    quantities = {
        f"P_block {name}": (theory, of_unit("turned_away_share", name))
        for name, theory in zip(names, one.get("P_block", ()), strict=False)
    }
    yield Trial(f"{one['c']} shared", model, SERVED / min(one["a"]), quantities)


def balking(one: Json) -> Iterator[Trial]:
    """M/M/c where one who finds `n` there joins with the share `join[n]`, or else 1/(n+1)."""
    beds, said = int(one.get("c", 1)), one["join"]
    shares = said if isinstance(said, list) else [1 / (n + 1) for n in range(60)]
    if any(share != 1 for share in shares[:beds]):
        raise UsageError("Nobody balks here while a server is free: `join` begins with 1.")
    turning = [
        {"waiting": n - beds, "share": 1 - share}
        for n, share in enumerate(shares)
        if n >= beds and share < 1
    ]
    model = _queue(beds, service_of(one), {"per_hour": one["lam"]}, balking=turning)
    yield Trial(f"M/M/{beds} balking {one['lam']:g}", model, SERVED / one["lam"], known(one))
