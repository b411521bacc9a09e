"""The steps of a hospital: every class in every unit it can come to, and what holds there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from twin_core.simulation.flow.durations import Duration
from twin_core.simulation.flow.parts import EXITS, Route, Unit

if TYPE_CHECKING:
    from twin_core.simulation.flow.model import FlowModel


class Target(NamedTuple):
    """Where a stay leads: a unit as some class, or an exit (`unit` is None)."""

    named: str
    share: float
    unit: str | None
    class_: str


def target(named: str, share: float, class_: str) -> Target:
    """`MED`, `MED/elective` or an exit such as `home`, for a patient of a class."""
    if named in EXITS:
        return Target(named, share, None, class_)
    unit, _, other = named.partition("/")
    return Target(named, share, unit, other or class_)


@dataclass(frozen=True)
class Step:
    """One class in one unit: the unit's rules, and what its route says otherwise."""

    class_: str
    unit: Unit
    route: Route | None
    priority: int

    @property
    def key(self) -> tuple[str, str]:
        """Class and unit."""
        return self.class_, self.unit.code

    @property
    def place(self) -> str:
        """Where the model speaks of it, for a person."""
        return f"class {self.class_} in unit {self.unit.code}"

    @property
    def stay(self) -> Duration | None:
        """Length of stay, whatever follows."""
        return (self.route and self.route.stay) or self.unit.stay

    @property
    def stay_if(self) -> dict[str, Duration]:
        """Length of stay by destination, where it differs."""
        return self.route.stay_if if self.route else {}

    @property
    def then(self) -> tuple[Target, ...]:
        """Where it leads."""
        shares = self.unit.then
        if self.route is not None and self.route.then is not None:
            shares = self.route.then
        return tuple(target(named, share, self.class_) for named, share in shares.items())

    @property
    def needs(self) -> dict[str, int]:
        """Staff and theatres held with the bed."""
        if self.route is not None and self.route.needs is not None:
            return self.route.needs
        return self.unit.needs

    @property
    def patience(self) -> tuple[Duration | None, float]:
        """How long one waits here, and the share of those whose patience ends at all."""
        route, unit = self.route, self.unit
        own = route.patience if route else None
        share = route.impatient if route else None
        return own or unit.patience, unit.impatient if share is None else share


def steps_of(model: "FlowModel") -> dict[tuple[str, str], Step]:
    """Every step a patient can come to, by class and unit, in the order they are met.

    Steps through names the model does not know are left out: `impossible` tells of those.
    """
    units = {unit.code: unit for unit in model.units}
    classes = {of.code: of for of in model.classes}
    routes = {(route.class_, route.unit): route for route in model.routes}
    found: dict[tuple[str, str], Step] = {}
    ahead = list(_entries(model))
    while ahead:
        class_, unit = key = ahead.pop(0)
        if key in found or class_ not in classes or unit not in units:
            continue
        route = routes.get(key)
        own = route.priority if route else None
        priority = classes[class_].priority if own is None else own
        found[key] = Step(class_, units[unit], route, priority)
        ahead += [(to.class_, to.unit) for to in found[key].then if to.unit is not None]
    return found


def inner_steps(model: "FlowModel") -> set[tuple[str, str]]:
    """Steps that are only ever reached from a step of the same unit, in the same bed."""
    steps = steps_of(model)
    outer = set(_entries(model))
    for (_, unit), step in steps.items():
        if not step.unit.boards:
            unit = ""
        outer |= {(to.class_, to.unit) for to in step.then if to.unit not in (None, unit)}
    return set(steps) - outer


def _entries(model: "FlowModel") -> Iterator[tuple[str, str]]:
    for stream in model.arrivals:
        yield stream.class_, stream.unit
    for here in model.present:
        yield here.class_, here.unit
        if here.next is not None and (to := target(here.next, 1.0, here.class_)).unit is not None:
            yield to.class_, to.unit
