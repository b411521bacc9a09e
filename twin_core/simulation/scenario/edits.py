"""What a ward can change, as a file says it: beds, arrivals, discharges, theatres, staff.

Each edit is a table of a scenario file. Times count from the start of the run, or from the end of
its warm-up; an edit that says none holds all along.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from twin_core.simulation.flow.parts import EVERY_DAY, Times, Weekday
from twin_core.simulation.model import Part


class ForAWhile(Part):
    """An edit that begins at the start, or later, and lasts until the end, or a while."""

    from_hours: float | None = Field(None, ge=0)
    from_days: float | None = Field(None, ge=0)
    for_hours: float | None = Field(None, gt=0)
    for_days: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_word_for_each(self) -> Self:
        for word in ("from", "for"):
            if None not in (getattr(self, f"{word}_hours"), getattr(self, f"{word}_days")):
                raise ValueError(f"give {word}_hours or {word}_days, not both")
        return self

    @property
    def begins(self) -> float:
        """Hours after the start."""
        return self.from_hours or 24 * (self.from_days or 0)

    @property
    def ends(self) -> float | None:
        """Hours after the start; None for the end of the run."""
        lasts = self.for_hours or 24 * (self.for_days or 0)
        return self.begins + lasts if lasts else None

    def after(self, hours: float) -> Self:
        """The edit with its times counted from so many hours after the start."""
        if self.begins == 0 and self.ends is None:
            return self
        return self.model_copy(update={"from_hours": self.begins + hours, "from_days": None})


class CloseBeds(ForAWhile):
    """Beds of a unit that nobody new is given; who lies there stays."""

    unit: str
    beds: int = Field(gt=0)


class OpenBeds(ForAWhile):
    """More beds in a unit that there is."""

    unit: str
    beds: int = Field(gt=0)


class Coming(ForAWhile):
    """More arrivals, or fewer (below 0): of everybody, or of some classes or to some units."""

    percent: float = Field(ge=-100, le=1_000_000)
    classes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


class DischargeEarlier(Part):
    """Patients leave earlier than they do, but not before their stay is over; nobody later.

    It concerns units with hours of discharge: all of them, or those named.
    """

    hours: float = Field(gt=0, le=24)
    units: tuple[str, ...] = ()


class Stays(Part):
    """Longer stays, or shorter ones (below 0): of everybody, or of some units or classes."""

    percent: float = Field(gt=-100, le=1_000_000)
    units: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


class OpenUnit(ForAWhile):
    """A surge unit that takes patients of others as their outliers, before other units do.

    Beds are cleaned there as in the first unit that it helps.
    """

    unit: str = Field(min_length=1)
    name: str = ""
    kind: Literal["ward", "step_down", "intensive", "day", "lounge"] = "ward"
    beds: int = Field(gt=0)
    takes_from: tuple[str, ...] = Field(min_length=1)


class AddBlock(Times):
    """Theatre time that classes have for themselves, every week.

    Classes that had no block until now operate in theirs only.
    """

    theatre: str
    theatres: int = Field(1, gt=0)
    classes: tuple[str, ...] = Field(min_length=1)


class CancelBlock(Part):
    """Theatre time that classes no longer have, on some days of every week."""

    theatre: str
    classes: tuple[str, ...] = Field(min_length=1)
    days: tuple[Weekday, ...] = EVERY_DAY


class Staff(Part):
    """More of a staff pool on duty, or fewer (below 0), in the shifts of some days."""

    pool: str
    more: int
    days: tuple[Weekday, ...] = EVERY_DAY


class Prices(Part):
    """What things cost, in one currency; what has no price costs nothing here."""

    currency: str = "EUR"
    open_bed_day: float = Field(0.0, ge=0)
    open_bed_day_in: dict[str, float] = Field(default_factory=dict)
    """Where a unit's differs."""
    patient_day: float = Field(0.0, ge=0)
    outlier_day: float = Field(0.0, ge=0)
    boarding_hour: float = Field(0.0, ge=0)
    left_unseen: float = Field(0.0, ge=0)
    cancelled: float = Field(0.0, ge=0)
    staff_hour: dict[str, float] = Field(default_factory=dict)
    """By staff pool, for every hour that one of it is on duty."""


class Scenario(Part):
    """A what-if: a name, and edits that hold together."""

    name: str = Field(min_length=1)
    close_beds: tuple[CloseBeds, ...] = ()
    open_beds: tuple[OpenBeds, ...] = ()
    arrivals: tuple[Coming, ...] = ()
    discharge_earlier: tuple[DischargeEarlier, ...] = ()
    stays: tuple[Stays, ...] = ()
    open_unit: tuple[OpenUnit, ...] = ()
    add_block: tuple[AddBlock, ...] = ()
    cancel_block: tuple[CancelBlock, ...] = ()
    staff: tuple[Staff, ...] = ()
    prices: Prices | None = None

    def after(self, hours: float) -> "Scenario":
        """The scenario with its times counted from so many hours after the start."""
        whiles = ("close_beds", "open_beds", "arrivals", "open_unit")
        return self.model_copy(
            update={kind: tuple(e.after(hours) for e in getattr(self, kind)) for kind in whiles}
        )
