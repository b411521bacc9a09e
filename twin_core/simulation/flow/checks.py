"""What makes a hospital impossible, each with its place in the model."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from twin_core.simulation.flow.arrivals import Closure
from twin_core.simulation.flow.capacity import bed_steps, pool_steps
from twin_core.simulation.flow.deadlock import lockable
from twin_core.simulation.flow.endless import absurd, nobody_comes, timeless
from twin_core.simulation.flow.parts import EXITS
from twin_core.simulation.flow.sizes import oversized, short_of_more
from twin_core.simulation.flow.steps import Step, steps_of, target

if TYPE_CHECKING:
    from twin_core.simulation.flow.model import FlowModel

_NEAR = 1e-6


def impossible(model: "FlowModel") -> list[str]:
    """Why the hospital cannot be, as sentences that name the place; none where it can."""
    wrong = [*_ambiguous(model), *_unknown(model), *absurd(model), *oversized(model)]
    if wrong:
        return wrong
    steps = steps_of(model)
    if not steps:
        return ["nobody ever comes: there are no arrivals and nobody is present"]
    if nobody_comes(model):
        return ["nobody ever comes: every arrival rate is 0, or nobody keeps an appointment"]
    wrong = [why for step in steps.values() for why in _without_way(step)]
    if wrong:
        return wrong
    return [
        *_never_leaving(steps),
        *timeless(steps),
        *_without_beds(model),
        *_without_staff(model, steps.values()),
        *lockable(model, steps),
        *short_of_more(model, steps),
    ]


def _ambiguous(model: "FlowModel") -> Iterator[str]:
    resources = [
        *(unit.code for unit in model.units),
        *(pool.code for pool in model.staff),
        *(theatre.code for theatre in model.theatres),
    ]
    for kind, codes in (
        ("unit, staff or theatre", resources),
        ("class", [of.code for of in model.classes]),
        ("route", [f"{route.class_} in {route.unit}" for route in model.routes]),
    ):
        for code, count in Counter(codes).items():
            if count > 1:
                yield f"{kind} {code} is given {count} times"
    for code in (*resources, *(of.code for of in model.classes)):
        if code in EXITS or "/" in code:
            yield f"{code!r} cannot be a code: it is an exit, or has a slash"


def _unknown(model: "FlowModel") -> Iterator[str]:
    units = {unit.code for unit in model.units}
    classes = {of.code for of in model.classes}
    pools = {pool.code for pool in model.staff} | {theatre.code for theatre in model.theatres}
    for place, kind, names in _mentions(model):
        known = {"unit": units, "class": classes, "staff or theatre": pools}[kind]
        for name in names:
            if name not in known:
                yield f"{place}: there is no {kind} {name}"


def _mentions(model: "FlowModel") -> Iterator[tuple[str, str, Iterable[str]]]:
    for unit in model.units:
        place = f"unit {unit.code}"
        yield f"{place}, overflow", "unit", unit.overflow
        yield f"{place}, needs", "staff or theatre", unit.needs
        yield from _targets(f"{place}, then", unit.then)
    for route in model.routes:
        place = f"route of {route.class_} in {route.unit}"
        yield place, "unit", (route.unit,)
        yield place, "class", (route.class_,)
        yield f"{place}, needs", "staff or theatre", route.needs or ()
        yield from _targets(f"{place}, then", route.then or ())
        yield from _targets(f"{place}, stay_if", route.stay_if)
    for stream in model.arrivals:
        yield f"arrivals {stream.label}", "unit", (stream.unit,)
        yield f"arrivals {stream.label}", "class", (stream.class_,)
    for theatre in model.theatres:
        for block in theatre.blocks:
            yield f"theatre {theatre.code}, blocks", "class", block.classes
    for closure in model.closures:
        yield "closures", "unit", (closure.unit,)
    for surge in model.surges:
        yield "surges", "unit", surge.units
        yield "surges", "class", surge.classes
    for here in model.present:
        yield "present", "unit", filter(None, (here.unit, here.in_unit))
        yield "present", "class", (here.class_,)
        yield from _targets("present, next", filter(None, (here.next,)))
    yield "being_cleaned", "unit", model.being_cleaned


def _targets(place: str, names: Iterable[str]) -> Iterator[tuple[str, str, Iterable[str]]]:
    for named in names:
        to = target(named, 1.0, "")
        if to.unit is not None:
            yield place, "unit", (to.unit,)
            yield place, "class", filter(None, (to.class_,))


def _without_way(step: Step) -> Iterator[str]:
    if step.stay is None and not step.stay_if:
        yield f"{step.place}: there is no length of stay"
    if not step.then:
        yield f"{step.place}: there is no route out (`then` is empty)"
        return
    shares = sum(to.share for to in step.then)
    if min(to.share for to in step.then) < 0:
        yield f"{step.place}, then: a share is negative"
    elif abs(shares - 1) > _NEAR:
        yield f"{step.place}, then: the shares add up to {shares:.6g}, not to 1"
    named = {to.named for to in step.then}
    for other in step.stay_if:
        if other not in named:
            yield f"{step.place}, stay_if: {other} is not among its destinations"
    if step.stay is None and named - set(step.stay_if):
        yield f"{step.place}: there is no length of stay for some destinations"


def _never_leaving(steps: dict[tuple[str, str], Step]) -> Iterator[str]:
    """Steps from which no exit can be reached."""
    leaving: set[tuple[str, str]] = set()
    grown = True
    while grown:
        more = {key for key, step in steps.items() if key not in leaving and _leads(step, leaving)}
        leaving |= more
        grown = bool(more)
    for key, step in steps.items():
        if key not in leaving:
            yield f"{step.place}: there is no route out of the hospital from here"


def _leads(step: Step, leaving: set[tuple[str, str]]) -> bool:
    return any(
        to.share > 0 and (to.unit is None or (to.class_, to.unit) in leaving) for to in step.then
    )


def _without_beds(model: "FlowModel") -> Iterator[str]:
    for unit in model.units:
        if unit.beds == "unlimited":
            if unit.plan or unit.cleaning or any(c.unit == unit.code for c in model.closures):
                yield f"unit {unit.code}: unlimited beds have no plan, cleaning or closures"
            continue
        most = max(beds for _, beds in bed_steps(unit))
        for_ever = sum(closure.beds for closure in model.closures if _shuts(closure, unit.code))
        if most - for_ever <= 0 and not (for_ever and unit.overflow):
            yield f"unit {unit.code}: no bed is ever open (zero capacity)"
        if len(unit.bed_names) > unit.beds:
            yield f"unit {unit.code}, bed_names: more names than beds"


def _shuts(closure: Closure, unit: str) -> bool:
    return closure.unit == unit and closure.from_hours == 0 and closure.to_hours is None


def _without_staff(model: "FlowModel", steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        for pool, amount in step.needs.items():
            if amount < 0:
                yield f"{step.place}, needs: {amount} of {pool}"
            elif amount > (most := max(c for _, c in pool_steps(model, pool, step.class_))):
                yield f"{step.place}, needs: {amount} of {pool}, which never has more than {most}"
