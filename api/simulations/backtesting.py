"""Backtests as a server keeps them: worked out beside it, told beside the forecasts they judge."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from api.simulations.asked import Task, Testing
from twin_core.errors import UsageError

if TYPE_CHECKING:
    from twin_core.simulation.backtest import Plan
    from twin_core.simulation.calibrate import History

_SHARE = "better than "
"""What comes before a simple forecast's name where a row says by which share it is worse."""
ALL_UNITS = "all"
"""What a row of a backtest's table calls the hospital."""
FIRST_READ = 24
"""The horizon, in hours, by which a unit's forecasts are judged at a glance."""


class Skill(NamedTuple):
    """A forecast beside one without a model: its error, and by which share the model's is less."""

    baseline: str
    crps: float
    share: float | None

    @property
    def is_worse(self) -> bool:
        """Whether the model does worse than no model."""
        return self.share is not None and self.share < 0


class Scored(NamedTuple):
    """How good forecasts of one unit were, so many hours ahead."""

    horizon: int
    crps: float
    skills: tuple[Skill, ...]
    held_90: float
    held_50: float
    bias: float

    @property
    def worse_than(self) -> tuple[str, ...]:
        """The simple forecasts that do better."""
        return tuple(skill.baseline for skill in self.skills if skill.is_worse)


class UnitScore(NamedTuple):
    """The scores of a unit (or of all of them) by horizon, and the one to be read first."""

    rows: tuple[Scored, ...]
    first: Scored

    @property
    def worse_at(self) -> tuple[int, ...]:
        """Hours ahead at which a simple forecast does better."""
        return tuple(row.horizon for row in self.rows if row.worse_than)


def scores_of(testing: Testing, advance: Callable[[int], None]) -> dict[str, Any]:
    """Score forecasts of the past: `twin_core.simulation.backtest.document`.

    Raises UsageError where the history is too short, or was not kept.
    """
    from twin_core.simulation.backtest import backtest, document

    found = backtest(_history(testing), plan_of(testing), advance=advance)
    return _known(document(found))


def origins_of(testing: Testing) -> int:
    """How many forecasts are made."""
    from twin_core.simulation.backtest import origins

    return len(list(origins(_history(testing), plan_of(testing))))


def told_history(testing: Testing) -> dict[str, Any]:
    """Of which history a backtest is, without the history."""
    history = _history(testing)
    return {
        "facility": history.facility,
        "window_start": history.start.isoformat(),
        "window_end": history.end.isoformat(),
        "known_at": history.known_at and history.known_at.isoformat(),
        "batches": history.position,
    }


def without_history(task: Task) -> Task:
    """The task as it is kept: stays of patients, by number though they are, are not."""
    if task.testing is None:
        return task
    return msgspec.structs.replace(
        task, testing=msgspec.structs.replace(task.testing, history=None)
    )


def plan_of(testing: Testing) -> "Plan":
    """What is asked for, as it was written down."""
    from twin_core.simulation.backtest import Plan

    plan = dict(testing.plan)
    return Plan(**plan | {"horizons": tuple(plan["horizons"])})


def unit_scores(answer: Mapping[str, Any]) -> dict[str, UnitScore]:
    """What a backtest says of every unit, and of all of them, by horizon."""
    rows: dict[str, list[Scored]] = {}
    for row in answer["table"]:
        if row["crps"] is not None:
            rows.setdefault(row["unit"], []).append(_scored(row))
    return {unit: UnitScore(tuple(of), _first(of)) for unit, of in rows.items()}


def _first(rows: Sequence[Scored]) -> Scored:
    return next((row for row in rows if row.horizon >= FIRST_READ), rows[-1])


def _scored(row: Mapping[str, Any]) -> Scored:
    return Scored(
        horizon=row["horizon"],
        crps=row["crps"],
        skills=tuple(
            Skill(base, row[base], share)
            for base, share in (
                (name.removeprefix(_SHARE), share)
                for name, share in row.items()
                if name.startswith(_SHARE)
            )
        ),
        held_90=row["90%"],
        held_50=row["50%"],
        bias=row["bias"],
    )


def _history(testing: Testing) -> "History":
    from twin_core.simulation.calibrate.passing import history_from

    if testing.history is None:
        raise UsageError(
            "The history that a backtest was made of is not kept.",
            do="Ask for the backtest anew.",
        )
    return history_from(testing.history)


def _known(said: dict[str, Any]) -> dict[str, Any]:
    """A document with null for what is not known, such as a share of nothing."""
    table = [
        {name: None if value != value else value for name, value in row.items()}
        for row in said["table"]
    ]
    return said | {"table": table}
