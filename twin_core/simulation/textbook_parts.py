"""The words of textbook cases: rates, spreads and durations as queueing theory writes them."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from twin_core.errors import UsageError

Json = Mapping[str, Any]
_DISTRIBUTIONS = {
    "exponential": ("exp", "m", "exponential", "markov"),
    "lognormal": ("lnorm", "ln", "lognormal"),
    "gamma": ("gamma",),
    "weibull": ("weibull",),
    "exactly": ("d", "det", "deterministic", "fixed", "constant"),
    "uniform": ("u", "unif", "uniform"),
    "erlang": ("e", "ek", "erlang"),
    "mix": ("h", "hyperexp", "hyperexponential"),
}
"""What a distribution is called here, and in the books."""


def exponential(rate: float) -> dict[str, Any]:
    """Exponential times at a rate."""
    return {"family": "exponential", "mean": 1.0 / rate}


def spread(mean: float, cv: float, family: str = "lognormal") -> dict[str, Any]:
    """Times of a mean and a coefficient of variation: exactly 0 and 1 are what they are."""
    if cv == 0:
        return {"exactly": mean}
    if cv == 1:
        return exponential(1.0 / mean)
    return {"family": family, "mean": mean, "cv": cv}


def mixture(shares: list[float], rates: list[float]) -> dict[str, Any]:
    """Hyperexponential times: one of some rates, each with its share."""
    parts = zip(shares, rates, strict=True)
    return {"mix": [{"share": share, **exponential(rate)} for share, rate in parts if share]}


def duration_of(said: Json | str, mean: float | None = None) -> dict[str, Any]:
    """The duration of `{"dist": "gamma", "mean": 2, "cv": 0.5}`, or of `"erlang3"` with its mean.

    Raises UsageError for a distribution that is not known, or lacks a number.
    """
    of: dict[str, Any] = {"dist": said} if isinstance(said, str) else dict(said)
    named = re.fullmatch(r"([a-z]+)[ _-]?(\d*)", str(of.get("dist", "exp")).lower())
    known = [one for one, names in _DISTRIBUTIONS.items() if named and named[1] in names]
    if not known or named is None:
        raise UsageError(f"There is no distribution {of.get('dist')!r} of a textbook case.")
    try:
        return _written(known[0], of, int(named[2] or of.get("k", 1)), of.get("mean", mean))
    except KeyError as missing:
        raise UsageError(f"A duration of {known[0]} lacks {missing}.") from missing


def _written(name: str, of: Json, phases: int, mean: float | None) -> dict[str, Any]:
    if name == "mix":
        rates = of["rates"] if "rates" in of else of["mus"] if "mus" in of else of["mu"]
        return mixture(of["p"], rates)
    if name == "uniform":
        low = of["low"] if "low" in of else of["a"]
        return {"between": [low, of["high"] if "high" in of else of["b"]]}
    if name == "weibull" and "scale" in of:
        return {"family": name, "shape": of["shape"], "scale": of["scale"]}
    if mean is None:
        mean = 1.0 / float(of["rate"])
    if name == "exactly":
        return {"exactly": mean}
    if name == "exponential":
        return exponential(1.0 / mean)
    if name == "erlang":
        return spread(mean, 1 / math.sqrt(phases), "gamma")
    if name == "weibull":
        return {"family": name, "mean": mean, "shape": of["shape"]}
    cv = of["cv"] if "cv" in of else of["sd"] / mean
    return spread(mean, cv, name)


def service_of(one: Json, at: int | None = None) -> dict[str, Any]:
    """The time in service that a case describes; of class `at`, where classes have their own."""
    given = {name: _own(value, at) for name, value in one.items()}
    if isinstance(given.get("service"), Mapping | str):
        return duration_of(given["service"], _mean_of(given))
    if "p" in given and isinstance(given.get("mu"), list):
        return mixture(given["p"], given["mu"])
    mean = _mean_of(given)
    family = "gamma" if "k" in given else "lognormal"
    return spread(mean, _cv_of(given, mean), family)


def _own(value: Any, at: int | None) -> Any:
    return value[at] if at is not None and isinstance(value, list | tuple) else value


def _mean_of(given: Json) -> float:
    if "ES" in given:
        return float(given["ES"])
    rate = given.get("mu", 1.0)
    if isinstance(rate, list | tuple):
        raise UsageError("A rate of service for each class needs `lams` for each class.")
    return 1.0 / float(rate)


def _cv_of(given: Json, mean: float) -> float:
    """The coefficient of variation, in whatever way it is said; an exponential's without."""
    ways: dict[str, Callable[[float], float]] = {
        "cv": lambda value: value,
        "scv": math.sqrt,
        "ES2": lambda value: math.sqrt(max(0.0, value / mean**2 - 1)),
        "var": lambda value: math.sqrt(value) / mean,
        "sd": lambda value: value / mean,
        "k": lambda value: 1 / math.sqrt(value),
    }
    for name, cv in ways.items():
        if name in given:
            found = cv(float(given[name]))
            return round(found) if abs(found - round(found)) < 1e-9 else found
    return 1.0


def interarrival_of(one: Json) -> dict[str, Any] | None:
    """The time between arrivals, where they are not at random."""
    mean = 1.0 / one["lam"]
    if (said := one.get("arrival")) is not None:
        return duration_of(said, mean)
    if (cv := one.get("ca")) is not None and cv != 1:
        return spread(mean, cv, "gamma")
    return None
