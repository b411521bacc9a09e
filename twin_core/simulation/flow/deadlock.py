"""Routes that can lock each other: patients who hold what others wait for, in a ring."""

from typing import TYPE_CHECKING

from twin_core.simulation.flow.steps import Step

if TYPE_CHECKING:
    from twin_core.simulation.flow.model import FlowModel

Waits = dict[str, set[str]]


def lockable(model: "FlowModel", steps: dict[tuple[str, str], Step]) -> list[str]:
    """Rings of resources held by patients who wait for the next of the ring.

    Beds that can be swapped do not lock; staff and theatres in a ring do, whatever is swapped.
    """
    waits = _waits(model, steps)
    beds = {unit.code for unit in model.units}
    reasons = []
    for ring in _rings(waits):
        of_beds = _rings({one: waits[one] & beds for one in ring & beds})
        of_staff = _rings({one: waits[one] - beds for one in ring - beds})
        if model.swaps != "never" and of_beds and not of_staff:
            continue
        reasons.append(
            f"the routes between {', '.join(sorted(ring))} can lock each other: patients who keep "
            "their bed wait for each other's in a ring (allow `swaps`, say `boards = false`, or "
            "let staff not stay with boarders)"
        )
    return reasons


def _waits(model: "FlowModel", steps: dict[tuple[str, str], Step]) -> Waits:
    leaving = {pool.code for pool in model.staff if not pool.stays_with_boarders}
    leaving |= {theatre.code for theatre in model.theatres}
    endless = {unit.code for unit in model.units if unit.beds == "unlimited"}
    waits: Waits = {}
    for step in steps.values():
        if not step.unit.boards:
            continue
        held = ({step.unit.code, *step.unit.overflow, *step.needs} - leaving) - endless
        for to in step.then:
            if to.unit is None or to.share <= 0:
                continue
            after = steps[to.class_, to.unit]
            wanted = {after.unit.code, *after.unit.overflow, *after.needs} - endless
            if after.unit is step.unit:
                wanted -= {step.unit.code, *step.unit.overflow}  # goes on in the same bed
            for one in held:
                waits.setdefault(one, set()).update(wanted - {one})
    return waits


def _rings(waits: Waits) -> list[set[str]]:
    """Sets of resources each of which waits for every other, directly or not."""
    reach = {one: _reached(one, waits) for one in waits}
    rings: list[set[str]] = []
    for one in waits:
        ring = {other for other in reach[one] if one in reach.get(other, ())}
        if len(ring) > 1 and ring not in rings:
            rings.append(ring)
    return rings


def _reached(start: str, waits: Waits) -> set[str]:
    reached: set[str] = set()
    ahead = list(waits[start])
    while ahead:
        one = ahead.pop()
        if one not in reached:
            reached.add(one)
            ahead += waits.get(one, ())
    return reached
