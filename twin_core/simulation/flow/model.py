"""The patient flow of a hospital as one document: what the kernel runs and a nurse can review."""

from typing import Literal, Self

from pydantic import Field, model_validator

from twin_core.simulation.flow.arrivals import Arrivals, Closure, Present, Surge
from twin_core.simulation.flow.checks import impossible
from twin_core.simulation.flow.parts import PatientClass, Route, StaffPool, Theatre, Unit
from twin_core.simulation.flow.provenance import Provenance
from twin_core.simulation.model import Part


class FlowModel(Part):
    """A hospital as the simulation sees it; times are local clock times of `time_zone`.

    Refused, with the reason and the place: names that mean nothing, shares that do not add up, a
    class that can never leave, capacity that is never there, and routes that can lock each other.
    """

    name: str = ""
    facility: str = "HOSPITAL"
    time_zone: str = "UTC"
    swaps: Literal["never", "on_deadlock", "at_once"] = "never"
    """When patients who wait for each other's beds change places: never (routes that could lock are
    refused), when nobody in a ring can move otherwise, or as soon as there is a ring."""
    units: tuple[Unit, ...] = Field(min_length=1)
    staff: tuple[StaffPool, ...] = ()
    theatres: tuple[Theatre, ...] = ()
    classes: tuple[PatientClass, ...] = Field(min_length=1)
    arrivals: tuple[Arrivals, ...] = ()
    routes: tuple[Route, ...] = ()
    closures: tuple[Closure, ...] = ()
    surges: tuple[Surge, ...] = ()
    present: tuple[Present, ...] = ()
    """Who is there at the start."""
    being_cleaned: dict[str, int] = Field(default_factory=dict)
    """Beds being cleaned at the start, by unit."""
    calibrated_from: Provenance | None = None
    """Of a calibrated model: which history its numbers come from."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if reasons := impossible(self):
            raise ValueError("; ".join(reasons))
        return self
