"""Sizes that no hospital has: numbers without room for them, or that are not what they say."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from twin_core.simulation.flow.capacity import pool_steps
from twin_core.simulation.flow.durations import Duration
from twin_core.simulation.flow.endless import (
    MOST_BEDS,
    MOST_PER_HOUR,
    average_of,
    durations_of,
)
from twin_core.simulation.flow.parts import Theatre
from twin_core.simulation.flow.steps import Step
from twin_core.simulation.flow.weekly import weekly_steps

if TYPE_CHECKING:
    from twin_core.simulation.flow.model import FlowModel

MOST_HOURS = 1e7
"""More than a thousand years."""
MOST_AT_ONCE, MOST_STAFF, LEAST_STEP = 10_000, 1_000_000_000, 1e-4
_NEAR = 0.01


def oversized(model: "FlowModel") -> list[str]:
    """Numbers that are too large, too small, or not what they are called, with their places."""
    return [*_durations(model), *_capacities(model), *_coming(model), *_blocks(model.theatres)]


def _durations(model: "FlowModel") -> Iterator[str]:
    for place, duration in durations_of(model):
        if average_of(duration) > MOST_HOURS:
            yield f"{place}: {average_of(duration):g} h on average are more than a thousand years"
        for part in duration.mix or (duration,):
            if part.family == "normal" and (drawn := _not_negative(part)) is not None:
                yield (
                    f"{place}: a normal of mean {part.mean:g} and sd {drawn[0]:g} is often "
                    f"negative; with nought instead its mean would be {drawn[1]:g} (a lognormal or "
                    "a gamma never is)"
                )


def _not_negative(of: Duration) -> tuple[float, float] | None:
    """The spread of a normal, and its mean without negative times, where that is another one."""
    mean = (of.mean or 0.0) + of.plus
    spread = of.sd if of.sd is not None else (of.cv or 0.0) * abs(of.mean or 0.0)
    if mean <= 0 or not spread or mean > 10 * spread:
        return None
    below = math.erf(mean / spread / math.sqrt(2))
    density = math.exp(-((mean / spread) ** 2) / 2) / math.sqrt(2 * math.pi)
    kept = mean * (1 + below) / 2 + spread * density
    return (spread, kept - of.plus) if kept > mean * (1 + _NEAR) else None


def _capacities(model: "FlowModel") -> Iterator[str]:
    for unit in model.units:
        for at, plan in enumerate(unit.plan, 1):
            if plan.beds > MOST_BEDS:
                yield f"unit {unit.code}, plan[{at}].beds: {plan.beds} are too many"
    for pool in model.staff:
        most = max([pool.on_duty or 0, *(shift.on_duty for shift in pool.shifts)])
        if most * pool.patients_each > MOST_STAFF:
            yield f"staff {pool.code}: {most} with {pool.patients_each} patients each are too many"
    for theatre in model.theatres:
        if theatre.theatres > MOST_BEDS:
            yield f"theatre {theatre.code}, theatres: {theatre.theatres} are too many"


def _coming(model: "FlowModel") -> Iterator[str]:
    for stream in model.arrivals:
        place = f"arrivals {stream.label}"
        if stream.step_hours < LEAST_STEP:
            yield f"{place}, step_hours: {stream.step_hours:g} is less than a second"
        for at, clinic in enumerate(stream.slots or (), 1):
            if clinic.each > MOST_AT_ONCE:
                yield f"{place}, slots[{at}].each: {clinic.each} at once are too many"
        rates = stream.hourly() if stream.rated else (0.0,)
        for number, surge in enumerate(model.surges, 1):
            if surge.meets(stream) and max(rates) * surge.factor > MOST_PER_HOUR:
                yield f"surges[{number}].factor: {max(rates) * surge.factor:g} an hour are too many"
    for number, surge in enumerate(model.surges, 1):
        if surge.factor > MOST_AT_ONCE:
            yield f"surges[{number}].factor: {surge.factor:g} times as many are too many"


def _blocks(theatres: Sequence[Theatre]) -> Iterator[str]:
    for theatre in theatres:
        given = [(*when, block.theatres) for block in theatre.blocks for when in block.hours()]
        most = max(count for _, count in weekly_steps(0, given))
        if most > theatre.theatres:
            yield (
                f"theatre {theatre.code}, blocks: {most} theatres are given away at once, "
                f"of {theatre.theatres}"
            )


def short_of_more(model: "FlowModel", steps: Mapping[tuple[str, str], Step]) -> Iterator[str]:
    """Staff whom boarders keep while they wait for more of the same: some can lock each other.

    They cannot where a full house of them leaves as many as the next of them still needs.
    """
    for pool in (pool for pool in model.staff if pool.stays_with_boarders):
        waiting = [
            (step, held, more)
            for step in steps.values()
            if step.unit.boards and (held := step.needs.get(pool.code, 0)) > 0
            if (more := _most_wanted(step, pool.code, steps) - held) > 0
        ]
        there = [count for _, count in pool_steps(model, pool.code, "") if count]
        if not waiting or not there:
            continue
        kept = sum(held * _beds(step, min(there)) for step, held, _ in waiting)
        if kept + max(more for _, _, more in waiting) > min(there):
            places = ", ".join(sorted({step.place for step, _, _ in waiting}))
            yield (
                f"staff {pool.code}: {places} keep theirs while they wait for more of them, and "
                "can lock each other (let staff not stay with boarders)"
            )


def _most_wanted(step: Step, pool: str, steps: Mapping[tuple[str, str], Step]) -> int:
    """The most of a pool that whoever goes on from a step may need there."""
    onward = [to for to in step.then if to.unit is not None and to.share > 0]
    return max((steps[to.class_, to.unit or ""].needs.get(pool, 0) for to in onward), default=0)


def _beds(step: Step, otherwise: int) -> int:
    """How many of a step there may be at once; outliers lie in beds of other units, too."""
    if step.unit.beds == "unlimited" or step.unit.overflow:
        return otherwise
    return step.unit.beds
