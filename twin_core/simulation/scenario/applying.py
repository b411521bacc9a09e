"""A scenario laid over a hospital: pure functions from one model to the next.

Edits that open come before edits that close, so that beds of a new unit can be closed again.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from twin_core.errors import ConfigurationError
from twin_core.simulation.flow.arrivals import Closure, Surge
from twin_core.simulation.flow.durations import scaled
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import Block, Discharge, Route, StaffPool, Theatre, Unit
from twin_core.simulation.flow.steps import steps_of
from twin_core.simulation.model import Part
from twin_core.simulation.scenario.checks import contradictions
from twin_core.simulation.scenario.edits import (
    AddBlock,
    CancelBlock,
    CloseBeds,
    Coming,
    DischargeEarlier,
    ForAWhile,
    OpenBeds,
    OpenUnit,
    Scenario,
    Staff,
    Stays,
)

_Coded = TypeVar("_Coded", Unit, StaffPool, Theatre)


def applied(scenario: Scenario, model: FlowModel) -> FlowModel:
    """The hospital as it would be.

    Raises ConfigurationError with every reason and its place, for edits that the hospital does
    not allow and for a hospital that could not be.
    """
    if reasons := contradictions(scenario, model):
        raise _impossible(scenario, "; ".join(reasons))
    try:
        for kind, edit in _EDITS.items():
            for one in getattr(scenario, kind):
                model = edit(one, model)
        return FlowModel(**parts_of(model))
    except ValidationError as error:
        said = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
        raise _impossible(scenario, said) from error


def _impossible(scenario: Scenario, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{scenario.name!r} cannot be laid over this hospital.",
        why=f"{why}.",
        do="`wardtwin simulate --schema scenario` prints what a scenario may say.",
    )


def parts_of(part: Part) -> dict[str, Any]:
    """The fields of a part by the names a file gives them."""
    return {
        field.alias or name: getattr(part, name) for name, field in type(part).model_fields.items()
    }


def _with(model: FlowModel, **parts: Any) -> FlowModel:
    """A model in between: it is judged when all edits are made."""
    return model.model_copy(update=parts)


def _changed(
    parts: tuple[_Coded, ...], code: str, change: Callable[[_Coded], Mapping[str, Any]]
) -> tuple[_Coded, ...]:
    return tuple(
        part.model_copy(update=dict(change(part))) if part.code == code else part for part in parts
    )


def _shut(unit: str, beds: int, begins: float, ends: float | None) -> Closure:
    return Closure.model_validate(
        {"unit": unit, "beds": beds, "from_hours": begins, "to_hours": ends}
    )


def _not_yet(unit: str, beds: int, edit: ForAWhile) -> tuple[Closure, ...]:
    """Beds that are there for a while, closed before and after."""
    before = [_shut(unit, beds, 0.0, edit.begins)] if edit.begins else []
    after = [_shut(unit, beds, edit.ends, None)] if edit.ends is not None else []
    return *before, *after


def _close_beds(edit: CloseBeds, model: FlowModel) -> FlowModel:
    return _with(
        model, closures=(*model.closures, _shut(edit.unit, edit.beds, edit.begins, edit.ends))
    )


def _open_beds(edit: OpenBeds, model: FlowModel) -> FlowModel:
    def more(unit: Unit) -> dict[str, Any]:
        plan = tuple(p.model_copy(update={"beds": p.beds + edit.beds}) for p in unit.plan)
        return {"beds": int(unit.beds) + edit.beds, "plan": plan}

    return _with(
        model,
        units=_changed(model.units, edit.unit, more),
        closures=(*model.closures, *_not_yet(edit.unit, edit.beds, edit)),
    )


def _arrivals(edit: Coming, model: FlowModel) -> FlowModel:
    surge = Surge(
        factor=1 + edit.percent / 100,
        classes=edit.classes,
        units=edit.units,
        from_hours=edit.begins,
        to_hours=edit.ends,
    )
    return _with(model, surges=(*model.surges, surge))


def _discharge_earlier(edit: DischargeEarlier, model: FlowModel) -> FlowModel:
    def earlier(unit: Unit) -> Unit:
        rule = unit.discharge
        if rule is None or (edit.units and unit.code not in edit.units):
            return unit
        won = Discharge(**parts_of(rule) | {"earlier_hours": rule.earlier_hours + edit.hours})
        return unit.model_copy(update={"discharge": won})

    return _with(model, units=tuple(map(earlier, model.units)))


def _stays(edit: Stays, model: FlowModel) -> FlowModel:
    """Every length of stay that holds for a step it concerns, written on the step's route."""
    routes = {(route.class_, route.unit): route for route in model.routes}
    factor = 1 + edit.percent / 100
    for key, step in steps_of(model).items():
        class_, unit = key
        if (edit.units and unit not in edit.units) or (edit.classes and class_ not in edit.classes):
            continue
        route = routes.get(key) or Route.model_validate({"class": class_, "unit": unit})
        routes[key] = route.model_copy(
            update={
                "stay": step.stay and scaled(step.stay, factor),
                "stay_if": {to: scaled(stay, factor) for to, stay in step.stay_if.items()},
            }
        )
    return _with(model, routes=tuple(routes.values()))


def _open_unit(edit: OpenUnit, model: FlowModel) -> FlowModel:
    def helped(unit: Unit) -> Unit:
        if unit.code not in edit.takes_from:
            return unit
        return unit.model_copy(update={"overflow": (edit.unit, *unit.overflow)})

    first = next(unit for unit in model.units if unit.code == edit.takes_from[0])
    surge = Unit.model_validate(
        {
            "code": edit.unit,
            "name": edit.name,
            "kind": edit.kind,
            "beds": edit.beds,
            "cleaning": first.cleaning,
        }
    )
    return _with(
        model,
        units=(*map(helped, model.units), surge),
        closures=(*model.closures, *_not_yet(edit.unit, edit.beds, edit)),
    )


def _add_block(edit: AddBlock, model: FlowModel) -> FlowModel:
    block = Block(
        days=edit.days, between=edit.between, theatres=edit.theatres, classes=edit.classes
    )
    return _with(
        model,
        theatres=_changed(model.theatres, edit.theatre, lambda t: {"blocks": (*t.blocks, block)}),
    )


def _cancel_block(edit: CancelBlock, model: FlowModel) -> FlowModel:
    def left(theatre: Theatre) -> dict[str, Any]:
        blocks = []
        for block in theatre.blocks:
            days = block.days
            if block.classes == edit.classes:
                days = tuple(day for day in days if day not in edit.days)
            if days:
                blocks.append(block.model_copy(update={"days": days}))
        return {"blocks": tuple(blocks)}

    return _with(model, theatres=_changed(model.theatres, edit.theatre, left))


def _staff(edit: Staff, model: FlowModel) -> FlowModel:
    def other(pool: StaffPool) -> dict[str, Any]:
        if not pool.shifts:
            return {"on_duty": (pool.on_duty or 0) + edit.more}
        shifts = []
        for shift in pool.shifts:
            met = tuple(day for day in shift.days if day in edit.days)
            same = tuple(day for day in shift.days if day not in edit.days)
            on_duty = shift.on_duty + edit.more
            if met:
                shifts.append(shift.model_copy(update={"days": met, "on_duty": on_duty}))
            if same:
                shifts.append(shift.model_copy(update={"days": same}))
        return {"shifts": tuple(shifts)}

    return _with(model, staff=_changed(model.staff, edit.pool, other))


_EDITS: dict[str, Callable[[Any, FlowModel], FlowModel]] = {
    "open_unit": _open_unit,
    "open_beds": _open_beds,
    "close_beds": _close_beds,
    "arrivals": _arrivals,
    "discharge_earlier": _discharge_earlier,
    "stays": _stays,
    "add_block": _add_block,
    "cancel_block": _cancel_block,
    "staff": _staff,
}
