"""Why a scenario cannot be laid over a hospital: what it names is not there, or not enough."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twin_core.simulation.flow.capacity import bed_steps
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import Theatre, Unit
from twin_core.simulation.flow.steps import steps_of
from twin_core.simulation.flow.weekly import weekly_steps
from twin_core.simulation.scenario.edits import (
    AddBlock,
    CancelBlock,
    CloseBeds,
    ForAWhile,
    OpenBeds,
    OpenUnit,
    Scenario,
)


def contradictions(scenario: Scenario, model: FlowModel) -> list[str]:
    """Every reason, with the place in the scenario that it concerns; none where it can be."""
    if unknown := list(_unknown(scenario, model)):
        return unknown
    units = {unit.code: unit for unit in model.units}
    return [
        *_taken_codes(scenario, units),
        *_endless(scenario, units),
        *_overclosed(scenario, model, units),
        *_nobody(scenario, model),
        *_without_hours(scenario, units),
        *_blocks(scenario, model),
        *_too_few_staff(scenario, model),
    ]


def late(scenario: Scenario, hours: float) -> list[str]:
    """Edits that begin when a run of so many hours is over."""
    return [
        f"{place}: begins after {edit.begins:g} hours, when the run is over"
        for place, edit in _all(scenario)
        if isinstance(edit, ForAWhile) and edit.begins >= hours
    ]


def _all(scenario: Scenario) -> Iterator[tuple[str, Any]]:
    for kind in type(scenario).model_fields:
        edits = getattr(scenario, kind)
        for at, edit in enumerate(edits if isinstance(edits, tuple) else (), 1):
            yield f"{kind}[{at}]", edit


def _unknown(scenario: Scenario, model: FlowModel) -> Iterator[str]:
    opened = [edit.unit for edit in scenario.open_unit]
    known = {
        "unit": [*(unit.code for unit in model.units), *opened],
        "class": [of.code for of in model.classes],
        "theatre": [theatre.code for theatre in model.theatres],
        "staff pool": [pool.code for pool in model.staff],
    }
    for place, kind, names in _mentions(scenario):
        for name in names:
            if name not in known[kind]:
                there = ", ".join(known[kind]) or "none"
                yield f"{place}: there is no {kind} {name} (there is {there})"


_NAMING = {
    "unit": "unit",
    "units": "unit",
    "takes_from": "unit",
    "classes": "class",
    "theatre": "theatre",
    "pool": "staff pool",
}
"""Fields of edits that name something, and what they name."""


def _mentions(scenario: Scenario) -> Iterator[tuple[str, str, Iterable[str]]]:
    for place, edit in _all(scenario):
        for field, kind in _NAMING.items():
            named = getattr(edit, field, ())
            yield f"{place}.{field}", kind, (named,) if isinstance(named, str) else named
    if scenario.prices is not None:
        yield "prices.open_bed_day_in", "unit", scenario.prices.open_bed_day_in
        yield "prices.staff_hour", "staff pool", scenario.prices.staff_hour


def _taken_codes(scenario: Scenario, units: Mapping[str, Unit]) -> Iterator[str]:
    for at, edit in enumerate(scenario.open_unit, 1):
        if edit.unit in units:
            yield f"open_unit[{at}].unit: there is a unit {edit.unit} already (open_beds adds beds)"
        for code in edit.takes_from:
            if code not in units:
                yield f"open_unit[{at}].takes_from: {code} is opened by this scenario itself"


def _endless(scenario: Scenario, units: Mapping[str, Unit]) -> Iterator[str]:
    for kind in ("close_beds", "open_beds"):
        for at, edit in enumerate(getattr(scenario, kind), 1):
            if edit.unit in units and units[edit.unit].beds == "unlimited":
                yield f"{kind}[{at}].unit: {edit.unit} has beds without limit"


def _overclosed(scenario: Scenario, model: FlowModel, units: Mapping[str, Unit]) -> Iterator[str]:
    shut = [(c.unit, c.from_hours, c.to_hours, c.beds) for c in model.closures]
    shut += [(c.unit, c.begins, c.ends, c.beds) for c in scenario.close_beds]
    opened: list[OpenBeds | OpenUnit] = [*scenario.open_beds, *scenario.open_unit]
    for at, edit in enumerate(scenario.close_beds, 1):
        unit = units.get(edit.unit)
        if unit is not None and unit.beds == "unlimited":
            continue
        beds = max(count for _, count in bed_steps(unit)) if unit else 0
        beds += sum(more.beds for more in opened if more.unit == edit.unit and _at(more, edit))
        closed = sum(
            count
            for code, begins, ends, count in shut
            if code == edit.unit and begins <= edit.begins and (ends is None or edit.begins < ends)
        )
        if closed > beds:
            yield (
                f"close_beds[{at}].beds: {closed} beds would be closed in {edit.unit}, "
                f"which has {beds}"
            )


def _at(edit: ForAWhile, other: CloseBeds) -> bool:
    return edit.begins <= other.begins and (edit.ends is None or other.begins < edit.ends)


def _nobody(scenario: Scenario, model: FlowModel) -> Iterator[str]:
    for at, edit in enumerate(scenario.arrivals, 1):
        met = [
            stream
            for stream in model.arrivals
            if (not edit.classes or stream.class_ in edit.classes)
            and (not edit.units or stream.unit in edit.units)
        ]
        if not met:
            yield f"arrivals[{at}]: nobody comes as these classes to these units"
        elif edit.percent > 0 and all(stream.saturated for stream in met):
            yield f"arrivals[{at}]: somebody is always waiting there; more cannot come"


def _without_hours(scenario: Scenario, units: Mapping[str, Unit]) -> Iterator[str]:
    for at, edit in enumerate(scenario.discharge_earlier, 1):
        place = f"discharge_earlier[{at}].units"
        for code in edit.units:
            if code in units and units[code].discharge is None:
                yield f"{place}: patients leave {code} when their stay is over, at any hour"
        if not edit.units and not any(unit.discharge for unit in units.values()):
            yield f"{place}: no unit has hours of discharge"


def _blocks(scenario: Scenario, model: FlowModel) -> Iterator[str]:
    theatres = {theatre.code: theatre for theatre in model.theatres}
    operated = {
        (step.class_, code)
        for step in steps_of(model).values()
        for code, n in step.needs.items()
        if n
    }
    for at, add in enumerate(scenario.add_block, 1):
        yield from _added(f"add_block[{at}]", add, theatres[add.theatre])
        for class_ in add.classes:
            if (class_, add.theatre) not in operated:
                those = ", ".join(sorted(c for c, code in operated if code == add.theatre))
                yield (
                    f"add_block[{at}].classes: {class_} never operate in {add.theatre} "
                    f"({those or 'nobody'} do)"
                )
    for at, cancel in enumerate(scenario.cancel_block, 1):
        yield from _cancelled(f"cancel_block[{at}]", cancel, theatres[cancel.theatre])


def _added(place: str, add: AddBlock, theatre: Theatre) -> Iterator[str]:
    for block in theatre.blocks:
        if set(block.classes) & set(add.classes) and block.classes != add.classes:
            shared = ", ".join(block.classes)
            yield f"{place}.classes: {theatre.code} has a block of {shared}; name the same classes"
    periods = [(*when, b.theatres) for b in theatre.blocks for when in b.hours()]
    periods += [(*when, add.theatres) for when in add.hours()]
    most = max(count for _, count in weekly_steps(0, periods))
    if most > theatre.theatres:
        yield (
            f"{place}: {most} theatres would be given away at once in {theatre.code}, "
            f"which has {theatre.theatres}"
        )


def _cancelled(place: str, cancel: CancelBlock, theatre: Theatre) -> Iterator[str]:
    own = [block for block in theatre.blocks if block.classes == cancel.classes]
    days = {day for block in own for day in block.days}
    if not days & set(cancel.days):
        yield f"{place}: {', '.join(cancel.classes)} have no block in {theatre.code} on these days"
    elif days <= set(cancel.days):
        yield (
            f"{place}: {', '.join(cancel.classes)} would have no block left in {theatre.code}, "
            "and classes without one operate whenever a theatre is free"
        )


def _too_few_staff(scenario: Scenario, model: FlowModel) -> Iterator[str]:
    pools = {pool.code: pool for pool in model.staff}
    for at, edit in enumerate(scenario.staff, 1):
        pool = pools[edit.pool]
        shifts = [shift for shift in pool.shifts if set(shift.days) & set(edit.days)]
        fewest = min((shift.on_duty for shift in shifts), default=pool.on_duty or 0)
        if pool.shifts and not shifts:
            yield f"staff[{at}].days: {edit.pool} has no shift on these days"
        elif fewest + edit.more < 0:
            yield f"staff[{at}].more: {edit.pool} has {fewest} on duty, and loses {-edit.more}"
