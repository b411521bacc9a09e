"""The kernel against queueing theory: the shared cases, and more from formulas written here."""

import json
from collections.abc import Callable, Mapping
from math import cos, exp, pi, sin
from pathlib import Path
from typing import Any

import pytest

from twin_core.errors import UsageError
from twin_core.simulation.textbook import compared, not_compared

SHARED = Path(__file__).parents[3] / "shared" / "validation" / "simulation"
CASES = sorted(SHARED.glob("*.json"))
SHORT = 0.3
"""Runs here are shorter than those of `simulate --validate`; the tolerance grows with the error."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_shared_case_is_met(case: Path) -> None:
    disagreeing([*compared(json.loads(case.read_text("utf-8")), scale=SHORT)])


def loss(servers: int, load: float) -> float:
    """Erlang's loss formula, by its recursion."""
    share = 1.0
    for n in range(1, servers + 1):
        share = load * share / (n + load * share)
    return share


def waits_by_priority(rates: list[float], means: list[float], squares: list[float]) -> list[float]:
    """Mean waits of M/G/1 with classes in order of urgency, none interrupted (Cobham 1954)."""
    residual = sum(r * s for r, s in zip(rates, squares, strict=True)) / 2
    below, waits = 0.0, []
    for rate, mean in zip(rates, means, strict=True):
        upto = below + rate * mean
        waits.append(residual / ((1 - below) * (1 - upto)))
        below = upto
    return waits


def times_with_preemption(rates: list[float], mus: list[float]) -> list[float]:
    """Mean times in M/M/1 where the more urgent interrupts, each class with its own rate."""
    below, residual, times = 0.0, 0.0, []
    for rate, mu in zip(rates, mus, strict=True):
        residual += rate / mu**2
        upto = below + rate / mu
        times.append(1 / mu / (1 - below) + residual / ((1 - below) * (1 - upto)))
        below = upto
    return times


def root(laplace: Callable[[float], float]) -> float:
    """The root of GI/M/1: the share of those who come that find the server busy, at mu = 1."""
    share = 0.5
    for _ in range(500):
        share = laplace(1 - share)
    return share


def shared_servers(servers: int, loads: list[float], each: list[int]) -> list[float]:
    """Loss by class where each needs so many servers at once (Kaufman 1981, Roberts 1981)."""
    weights = [1.0]
    for n in range(1, servers + 1):
        terms = zip(loads, each, strict=True)
        weights.append(sum(a * b * weights[n - b] for a, b in terms if b <= n) / n)
    return [sum(weights[servers - b + 1 :]) / sum(weights) for b in each]


def closed_means(population: int, demands: list[float]) -> tuple[float, list[float]]:
    """Throughput and numbers of a closed ring of single servers, by mean value analysis."""
    there, rate = [0.0] * len(demands), 0.0
    for n in range(1, population + 1):
        times = [d * (1 + q) for d, q in zip(demands, there, strict=True)]
        rate = n / sum(times)
        there = [rate * time for time in times]
    return rate, there


def repairs(machines: int, crews: int, breaks: float) -> dict[str, float]:
    """Machines that break at a rate each, and crews that mend one an hour."""
    shares = birth_and_death(
        {n: (machines - n) * breaks for n in range(machines)},
        {n: float(min(n, crews)) for n in range(1, machines + 1)},
    )
    there = sum(n * share for n, share in enumerate(shares))
    queue = sum(max(0, n - crews) * share for n, share in enumerate(shares))
    rate = breaks * (machines - there)
    return {"L": there, "Lq": queue, "X": rate, "Wq": queue / rate, "W": there / rate}


def room_for(servers: int, rate: float, room: int) -> dict[str, float]:
    """M/M/c/K, as time in it and as loss."""
    deaths = {n: float(min(n, servers)) for n in range(1, room + 1)}
    shares = birth_and_death(dict.fromkeys(range(room), rate), deaths)
    there = sum(n * share for n, share in enumerate(shares))
    return {"L": there, "W": there / (rate * (1 - shares[-1])), "P_block": shares[-1]}


def disagreeing(rows: list[Any]) -> None:
    """Fail with the rows that do not agree with theory."""
    assert rows
    assert [row for row in rows if not row.agrees] == []


def birth_and_death(births: Mapping[int, float], deaths: Mapping[int, float]) -> list[float]:
    """The stationary distribution of a birth-and-death chain, from its detailed balance."""
    weights = [1.0]
    for state in range(len(births)):
        weights.append(weights[-1] * births[state] / deaths[state + 1])
    return [weight / sum(weights) for weight in weights]


def test_a_queue_with_impatience_is_the_erlang_a_chain() -> None:
    beds, rate, theta, most = 5, 6.0, 0.5, 200
    deaths = {n: min(n, beds) + theta * max(0, n - beds) for n in range(1, most + 1)}
    shares = birth_and_death(dict.fromkeys(range(most), rate), deaths)
    queue = sum(max(0, n - beds) * share for n, share in enumerate(shares))
    case = {"c": beds, "lam": rate, "mu": 1.0, "theta": theta}
    expected = case | {"P_abandon": theta * queue / rate, "Lq": queue}
    disagreeing(compared({"id": "erlang_a", "expected": [expected]}, scale=SHORT))


def test_a_finite_queue_loses_whom_the_chain_says() -> None:
    beds, rate, room = 3, 3.5, 7
    deaths = {n: float(min(n, beds)) for n in range(1, room + 1)}
    shares = birth_and_death(dict.fromkeys(range(room), rate), deaths)
    queue = sum(max(0, n - beds) * share for n, share in enumerate(shares))
    wq = queue / (rate * (1 - shares[-1]))
    expected = {"c": beds, "lam": rate, "mu": 1, "K": room, "P_block": shares[-1], "Wq": wq}
    disagreeing(compared({"id": "finite_mmck", "expected": [expected]}, scale=SHORT))


def test_preemptive_priorities_are_those_of_the_formula() -> None:
    """M/M/1, resume: T_k = (1/mu) / ((1 - s_{k-1}) (1 - s_k)), with sums s of the loads."""
    rates, below, expected = [0.2, 0.3, 0.3], 0.0, []
    for rate in rates:
        upto = below + rate
        expected.append(1.0 / ((1 - below) * (1 - upto)))
        below = upto
    case = {"c": 1, "lams": rates, "mu": 1, "T": expected}
    disagreeing(compared({"id": "preemptive_mm1", "expected": [case]}, scale=SHORT))


def test_a_line_with_room_between_is_its_chain() -> None:
    """Two exponential stations, saturated, with room b between: X = (b + 2) / (b + 3)."""
    lines = {"room 1": {"mu": [1, 1], "X": 3 / 4, "buffers": [1]}}
    lines["room 3"] = {"mu": [1, 1], "X": 5 / 6, "buffers": [3]}
    disagreeing(compared({"id": "tandem_room", "expected": lines}, scale=SHORT))


RATES, MEANS, CVS = [0.2, 0.3, 0.2], [0.5, 1.0, 1.5], [0, 1, 1.5]
SQUARES = [m * m * (1 + cv * cv) for m, cv in zip(MEANS, CVS, strict=True)]
JOINING = birth_and_death({n: 0.9 / (n + 1) for n in range(60)}, dict.fromkeys(range(1, 61), 1.0))
DET, ERLANG = root(lambda s: exp(-s / 0.8)), root(lambda s: (2.4 / (2.4 + s)) ** 3)
PUBLISHED: dict[str, dict[str, Any]] = {
    "mm1k": {"lam": 0.9, "mu": 1, "K": 5} | room_for(1, 0.9, 5),
    "mm_c_k": {"servers": 2, "lambda": 1.8, "mu": 1, "K": 6} | room_for(2, 1.8, 6),
    "erlang_c by load": {"c": 5, "a": 4, "P_wait": loss(5, 4) / (1 - 0.8 * (1 - loss(5, 4)))},
    "erlang_b by rate": {"c": 8, "lam": 3, "mu": 0.5, "P_block": loss(8, 6)},
    "md1": {"lam": 0.8, "mu": 1, "Wq": 2.0},
    "mek1": {"lam": 0.7, "mu": 1, "k": 4, "Wq": 0.7 * 1.25 / 0.6},
    "mg1 by square": {"lam": 0.7, "ES": 1, "ES2": 3, "Wq": 3.5},
    "mh2_1": {"lam": 0.5, "p": [0.4, 0.6], "mus": [2, 0.75],
              "Wq": 0.5 * (0.4 / 4 + 0.6 / 0.5625) / (1 - 0.5 * (0.2 + 0.8))},
    "dm1": {"lam": 0.8, "mu": 1, "Wq": DET / (1 - DET)},
    "ek_m_1": {"lam": 0.8, "mu": 1, "k": 3, "Wq": ERLANG / (1 - ERLANG)},
    "mg_inf": {"lam": 5, "ES": 2, "cv": 1.5, "L": 10},
    "mg1_priority": {"lams": RATES, "ES": MEANS, "cv": CVS,
                     "Wq": waits_by_priority(RATES, MEANS, SQUARES)},
    "preemptive_resume": {"lams": RATES, "mus": [1, 1.5, 0.8],
                          "T": times_with_preemption(RATES, [1, 1.5, 0.8])},
    "machine_repair": {"N": 6, "R": 2, "lam": 0.2, "mu": 1} | repairs(6, 2, 0.2),
    "mg1_vacations": {"lam": 0.6, "ES": 1, "cv": 1, "EV": 2, "cv_V": 0, "Wq": 0.6 / 0.4 + 1},
    "kaufman_roberts": {"C": 10, "a": [3, 1.5], "b": [1, 2],
                        "P_block": shared_servers(10, [3, 1.5], [1, 2])},
    "mm1_balking": {"lam": 0.9, "mu": 1, "join": "1/(n+1)",
                    "L": sum(n * share for n, share in enumerate(JOINING))},
    "gordon_newell": {"N": 5, "mu": [1, 2, 1.25], "P": [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
                      "X": closed_means(5, [1, 0.5, 0.8])[0],
                      "L": closed_means(5, [1, 0.5, 0.8])[1]},
    "jackson_tandem": {"lam0": [0.5, 0], "P": [[0, 1], [0, 0]], "mu": [1, 1], "c": [1, 1],
                       "L": [1, 1], "W": [2, 2], "W_total": 4},
    "tandem_rooms": {"mu": [1, 1], "b": 1, "X": 3 / 4},
}  # fmt: skip


@pytest.mark.parametrize("id_", PUBLISHED)
def test_other_published_cases_are_understood_and_met(id_: str) -> None:
    rows = compared({"id": id_, "expected": [PUBLISHED[id_]]}, scale=0.1)
    disagreeing(rows)
    # It is the theory that makes them agree, not a wide margin.
    assert not any(row._replace(theory=1.3 * row.theory).agrees for row in rows if row.theory)


def test_who_waits_and_how_long_counts_those_who_lose_patience_too() -> None:
    beds, rate, theta, most = 5, 6.0, 0.5, 200
    deaths = {n: min(n, beds) + theta * max(0, n - beds) for n in range(1, most + 1)}
    shares = birth_and_death(dict.fromkeys(range(most), rate), deaths)
    queue = sum(max(0, n - beds) * share for n, share in enumerate(shares))
    expected = {"P_wait": sum(shares[beds:]), "Wq": queue / rate}
    case = {"c": beds, "lam": rate, "mu": 1.0, "theta": theta} | expected
    disagreeing(compared({"id": "erlang_a", "expected": [case]}, scale=SHORT))


def test_a_rate_that_is_a_sine_is_followed() -> None:
    """Eick, Massey and Whitt (1993): exponential stays, a sine for a rate."""
    mean, height, mu, turn = 5.0, 3.0, 0.5, 2 * pi / 24
    census = [
        mean / mu + height * (mu * sin(turn * t) - turn * cos(turn * t)) / (mu * mu + turn * turn)
        for t in range(24)
    ]
    case = {"rate_mean": mean, "amplitude": height, "period": 24, "m_at_hour": census}
    case |= {"los": {"dist": "exponential", "mean": 2}}
    disagreeing(compared({"id": "mt_m_inf", "expected": case}, scale=SHORT))


@pytest.mark.parametrize(
    ("one", "why"),
    [
        ({"id": "engset", "expected": [{"N": 9, "c": 2, "lam": 1, "P_block": 0.1}]}, "no textbook"),
        ({"id": "mx_m_1_batch", "expected": [{"lam": 1, "batch": 2, "L": 3}]}, "no textbook"),
        ({"id": "mmc", "expected": [{"c": 2, "Wq": 1}]}, "lacks 'lam'"),
        ({"id": "mmc", "expected": [{"lam": "often", "Wq": 1}]}, "cannot be read"),
        ({"id": "mmc", "expected": [{"lam": 0, "Wq": 1}]}, "cannot be read"),
        ({"id": "mmc", "expected": [{"c": 2, "lam": 1}]}, "Nothing of 'mmc' can be compared"),
        ({"id": "mt_g_inf", "expected": {"rate_by_hour": [1], "m_at_hour": [1],
                                         "los": {"dist": "zipf"}}}, "no distribution 'zipf'"),
    ],
)  # fmt: skip
def test_a_case_that_cannot_be_read_says_why(one: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        compared(one)


def test_what_is_not_compared_is_named() -> None:
    one = {"c": 2, "lambda": 1, "mu": 1, "Wq": 0.3, "P_wait_over": 0.1, "t": 2}
    assert not_compared({"id": "mmc", "expected": one}) == ["P_wait_over", "t"]
    for case in CASES:
        assert not_compared(json.loads(case.read_text("utf-8"))) == []


def test_a_wrong_theory_is_told_from_a_right_one() -> None:
    wrong = {"c": 1, "lam": 0.5, "mu": 1, "Wq": 1.2}
    (row,) = compared({"id": "mmc", "expected": [wrong]}, scale=SHORT)
    assert not row.agrees
    assert row.simulated == pytest.approx(1.0, rel=0.05)


def test_a_family_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="no textbook family"):
        compared({"id": "astrology", "expected": [{"star": 1}]})


def test_a_family_without_a_name_is_known_by_its_parameters() -> None:
    one = {"servers": 2, "lambda": 1.0, "mu": 1.0, "P_wait": 1 / 3}
    (row,) = compared({"id": "unheard_of", "expected": one}, scale=SHORT)
    assert row.agrees
