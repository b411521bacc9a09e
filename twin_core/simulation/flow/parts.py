"""The parts of a hospital: units with their beds, staff, theatres, patient classes, routes."""

from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from twin_core.simulation.flow.durations import Duration
from twin_core.simulation.model import WEEKDAYS, Part, Share

EXITS = ("home", "care_home", "died", "transferred", "left")
"""Where a stay in the hospital ends."""
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
EVERY_DAY: tuple[Weekday, ...] = get_args(Weekday)
ClockTime = str


def hour_of_day(clock: str) -> float:
    """Hours since midnight of `07:30`; `24:00` ends the day.

    Raises ValueError for anything else.
    """
    hour, colon, minute = clock.partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and int(minute) < 60):
        raise ValueError(f"{clock!r} is no time of day such as 07:30")
    hours = int(hour) + int(minute) / 60
    if hours > 24:
        raise ValueError(f"{clock!r} is after 24:00")
    return hours


def each_once(days: tuple[Weekday, ...]) -> tuple[Weekday, ...]:
    """Days of the week as they are, where none is named twice.

    Raises ValueError for one that is: what holds on it would count twice.
    """
    for day in days:
        if days.count(day) > 1:
            raise ValueError(f"{day} is named {days.count(day)} times")
    return days


class Times(Part):
    """Some hours of some days, every week; one that ends before it begins goes past midnight."""

    days: tuple[Weekday, ...] = Field(EVERY_DAY, min_length=1)
    between: tuple[ClockTime, ClockTime]

    _differ = field_validator("days")(each_once)

    @field_validator("between")
    @classmethod
    def _are_times(cls, times: tuple[str, str]) -> tuple[str, str]:
        if hour_of_day(times[0]) == hour_of_day(times[1]):
            raise ValueError("begins when it ends; a whole day is 00:00 to 24:00")
        return times

    def hours(self) -> list[tuple[float, float]]:
        """The periods as hours since Monday 00:00; the last may end in the next week."""
        first, last = (hour_of_day(time) for time in self.between)
        if last < first:
            last += 24
        starts = (24.0 * WEEKDAYS.index(day) for day in self.days)
        return sorted((midnight + first, midnight + last) for midnight in starts)


class BedPlan(Times):
    """How many beds are open in some hours of the week, where that is not all of them."""

    beds: int = Field(ge=0)


class Shift(Times):
    """How many of a staff pool are on duty in some hours of the week."""

    on_duty: int = Field(ge=0)


class Block(Times):
    """Theatre time given to some patient classes."""

    theatres: int = Field(gt=0)
    classes: tuple[str, ...] = Field(min_length=1)


class Discharge(Part):
    """When patients whose stay is over may leave: only within `windows`, or by the hour of day.

    With `by_hour` (24 weights) the hour of leaving is drawn for the day on which the stay ended,
    and is of the next day where that hour has passed.
    """

    windows: tuple[Times, ...] = ()
    by_hour: tuple[float, ...] | None = None
    earlier_hours: float = Field(default=0.0, ge=0)
    """Everybody leaves so much earlier than that, but nobody before the stay is over."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.windows) == (self.by_hour is not None):
            raise ValueError("give windows or by_hour")
        if self.by_hour is not None and (
            len(self.by_hour) != 24 or min(self.by_hour) < 0 or sum(self.by_hour) <= 0
        ):
            raise ValueError("by_hour takes 24 weights, none negative")
        return self


class Balking(Part):
    """Newcomers who find `waiting` or more before them turn away with a probability."""

    waiting: int = Field(ge=0)
    share: Share = Field(gt=0, le=1)


class Unit(Part):
    """A nursing unit, a department or a bay: beds, and what holds for all who stay there."""

    code: str = Field(min_length=1)
    name: str = ""
    kind: Literal["emergency", "intensive", "step_down", "ward", "day", "lounge", "clinic"] = "ward"
    service: str = ""
    beds: int | Literal["unlimited"]
    bed_names: tuple[str, ...] = ()
    """Names of the beds, `room-bed` or `bed`; numbers where there are none."""
    plan: tuple[BedPlan, ...] = ()
    """Hours with another number of open beds. A bed closes when it is next free and clean."""
    cleaning: Duration | None = None
    boards: bool = True
    """Those who wait here for a bed elsewhere keep their bed (blocking after service)."""
    waiting_places: int | None = Field(None, ge=0)
    """Newcomers beyond so many waiting are turned away; no limit without."""
    balking: tuple[Balking, ...] = ()
    overflow: tuple[str, ...] = ()
    """Units that take patients of this one as outliers, in order of preference."""
    overflow_after_hours: float = Field(0.0, ge=0)
    repatriates: bool = False
    """Outliers are brought home when a bed comes free and nobody waits for it."""
    preemption: Literal["none", "resume", "restart"] = "none"
    """Whether a more urgent patient takes the bed of a less urgent one, who waits again."""
    discharge: Discharge | None = None
    stay: Duration | None = None
    then: dict[str, Share] = Field(default_factory=dict)
    """Where a stay leads: a unit, `UNIT/CLASS` for one who goes on as another class, or an exit."""
    needs: dict[str, int] = Field(default_factory=dict)
    """Staff or theatres held together with the bed, all through the stay."""
    patience: Duration | None = None
    """How long one waits for a bed here before leaving without being seen."""
    impatient: Share = Field(1.0, ge=0, le=1)
    """Share of patients whose patience ends at all."""

    @field_validator("beds", mode="before")
    @classmethod
    def _is_number(cls, beds: object) -> object:
        if isinstance(beds, bool):
            raise ValueError("a number of beds, or `unlimited`")
        return beds

    @field_validator("beds")
    @classmethod
    def _has_beds(cls, beds: int | str) -> int | str:
        if isinstance(beds, int) and beds <= 0:
            raise ValueError("a unit has at least one bed; leave out a unit that has none")
        return beds


class StaffPool(Part):
    """People who are needed with a bed: nurses, surgical teams, transport."""

    code: str = Field(min_length=1)
    name: str = ""
    on_duty: int | None = Field(None, ge=0)
    """How many are on duty outside the shifts."""
    shifts: tuple[Shift, ...] = ()
    patients_each: int = Field(1, gt=0)
    """How many patients one of them looks after."""
    stays_with_boarders: bool = True
    """Whether a patient who waits for a bed elsewhere still needs them."""


class Theatre(Part):
    """Operating theatres alike, and the blocks in which classes have them for themselves."""

    code: str = Field(min_length=1)
    name: str = ""
    theatres: int = Field(gt=0)
    blocks: tuple[Block, ...] = ()
    """Classes named in a block operate in their blocks only; others whenever a theatre is free."""


class PatientClass(Part):
    """Patients alike: how urgent they are, and as which class of encounter they count."""

    code: str = Field(min_length=1)
    name: str = ""
    priority: int = 3
    """1 is the most urgent."""
    encounter_class: Literal["EMER", "IMP", "AMB", "OBSENC"] = "IMP"


class Route(Part):
    """What holds for one class in one unit, where it differs from what holds for the unit."""

    class_: str = Field(alias="class")
    unit: str
    stay: Duration | None = None
    stay_if: dict[str, Duration] = Field(default_factory=dict)
    """Length of stay of those who go on to a destination, where it differs."""
    then: dict[str, Share] | None = None
    needs: dict[str, int] | None = None
    patience: Duration | None = None
    impatient: Share | None = Field(None, ge=0, le=1)
    priority: int | None = None
