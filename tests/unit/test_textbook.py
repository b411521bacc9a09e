"""The kernel against queueing theory: the shared cases, and more from formulas written here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from twin_core.errors import UsageError
from twin_core.simulation.textbook import compared

SHARED = Path(__file__).parents[3] / "shared" / "validation" / "simulation"
CASES = sorted(SHARED.glob("*.json"))
SHORT = 0.3
"""Runs here are shorter than those of `simulate --validate`; the tolerance grows with the error."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_shared_case_is_met(case: Path) -> None:
    disagreeing([*compared(json.loads(case.read_text("utf-8")), scale=SHORT)])


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
