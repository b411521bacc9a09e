"""Questions about what comes next, in the ward's words: what a form says, as what is simulated."""

from collections.abc import Mapping
from typing import Any

from api.simulations.asked import CALIBRATED, BacktestAsked, SimulationAsked
from twin_core.errors import UsageError

UNCHANGED = {"model": CALIBRATED, "days": "3", "replications": "200", "seed": "0"}
"""A question that nobody has changed yet: the next three days of this hospital."""
FIELDS = (
    *UNCHANGED,
    "close_beds",
    "close_unit",
    "close_days",
    "arrivals",
    "arrivals_days",
    "earlier",
    "surge_beds",
    "surge_for",
    "surge_days",
)
TESTED = {"days": "3", "every_hours": "30", "learnt_days": "14", "replications": "100"}
"""A backtest that nobody has changed yet: as far ahead as the forecast."""


def question(asked: Mapping[str, str]) -> SimulationAsked:
    """What a form asks. Raises UsageError for a number that is none."""
    told = {name: asked.get(name) or usual for name, usual in UNCHANGED.items()}
    edits = scenario(asked)
    return SimulationAsked(
        model=told["model"],
        from_now=told["model"] == CALIBRATED,
        scenarios=[edits] if edits else [],
        days=_number(told["days"]),
        replications=int(_number(told["replications"])),
        seed=int(_number(told["seed"])),
    )


def backtest_asked(asked: Mapping[str, str]) -> SimulationAsked:
    """What the form for a backtest asks. Raises UsageError for a number that is none."""
    return SimulationAsked(
        days=_number(asked["days"]),
        replications=int(_number(asked["replications"])),
        backtest=BacktestAsked(
            every_hours=_number(asked["every_hours"]), learnt_days=_number(asked["learnt_days"])
        ),
    )


def scenario(asked: Mapping[str, str]) -> dict[str, Any] | None:
    """The edits of a form as a scenario; None where nothing is changed."""
    edits: dict[str, Any] = {}
    names = []
    if beds := asked.get("close_beds"):
        unit = asked.get("close_unit", "")
        edits["close_beds"] = [
            {"unit": unit, "beds": int(_number(beds)), **_lasting(asked.get("close_days"))}
        ]
        names.append(f"{beds} beds closed in {unit}")
    if percent := asked.get("arrivals"):
        edits["arrivals"] = [{"percent": _number(percent), **_lasting(asked.get("arrivals_days"))}]
        names.append(f"{_number(percent):+g} % arrivals")
    if hours := asked.get("earlier"):
        edits["discharge_earlier"] = [{"hours": _number(hours)}]
        names.append(f"discharge {hours} h earlier")
    if beds := asked.get("surge_beds"):
        helped = asked.get("surge_for", "")
        edits["open_unit"] = [
            {
                "unit": "SURGE",
                "beds": int(_number(beds)),
                "takes_from": [helped],
                **_lasting(asked.get("surge_days")),
            }
        ]
        names.append(f"{beds} surge beds for {helped}")
    return {"name": ", ".join(names), **edits} if edits else None


def _lasting(days: str | None) -> dict[str, float]:
    return {"for_days": _number(days)} if days else {}


def _number(text: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e9:
        raise UsageError("A number of the question is none.", do="Write it like 8 or 12.5.")
    return number
