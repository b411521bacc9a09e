"""The capacity of units, staff pools and theatre blocks over a week."""

from typing import TYPE_CHECKING

from twin_core.simulation.flow.parts import Theatre, Unit
from twin_core.simulation.flow.weekly import Steps, weekly_steps

if TYPE_CHECKING:
    from twin_core.simulation.flow.model import FlowModel

UNLIMITED = 1 << 30


def bed_steps(unit: Unit) -> Steps:
    """Open beds of a unit over the week."""
    beds = UNLIMITED if unit.beds == "unlimited" else unit.beds
    return weekly_steps(beds, [(*when, plan.beds) for plan in unit.plan for when in plan.hours()])


def pool_steps(model: "FlowModel", code: str, class_: str) -> Steps:
    """What a staff pool or theatre has for a class over the week, in patients at a time."""
    for pool in model.staff:
        if pool.code == code:
            each = pool.patients_each
            periods = [(*when, each * s.on_duty) for s in pool.shifts for when in s.hours()]
            return weekly_steps(each * (pool.on_duty or 0), periods)
    theatre = next(theatre for theatre in model.theatres if theatre.code == code)
    return theatre_steps(theatre, block_of(theatre, class_))


def block_of(theatre: Theatre, class_: str) -> tuple[str, ...]:
    """The classes that share a class's blocks; none for a class without blocks."""
    return next((block.classes for block in theatre.blocks if class_ in block.classes), ())


def theatre_steps(theatre: Theatre, classes: tuple[str, ...] = ()) -> Steps:
    """Theatres over the week: those of the blocks of `classes`, or all there are."""
    if not classes:
        return weekly_steps(theatre.theatres, [])
    periods = [
        (*when, block.theatres)
        for block in theatre.blocks
        if block.classes == classes
        for when in block.hours()
    ]
    return weekly_steps(0, periods)
