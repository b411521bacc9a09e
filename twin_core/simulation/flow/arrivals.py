"""How patients come, what changes for a while, and who is there at the start."""

from math import isfinite
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from twin_core.simulation.flow.durations import Duration
from twin_core.simulation.flow.parts import EVERY_DAY, EXITS, Weekday, each_once, hour_of_day
from twin_core.simulation.model import WEEKDAYS, Part, Share

_FORMS = ("per_day", "per_hour", "rates", "interarrival", "slots", "booked", "saturated")
_RATES = frozenset({"per_day", "per_hour", "rates"})


class Clinic(Part):
    """Appointments at the same times of some days, `each` patients at every time."""

    days: tuple[Weekday, ...] = Field(EVERY_DAY, min_length=1)
    times: tuple[str, ...] = Field(min_length=1)
    each: int = Field(1, gt=0)

    _differ = field_validator("days")(each_once)

    @field_validator("times")
    @classmethod
    def _are_times(cls, times: tuple[str, ...]) -> tuple[str, ...]:
        for time in times:
            hour_of_day(time)
        return times

    def hours(self) -> list[float]:
        """The appointments of a week, as hours since Monday 00:00, one for every patient."""
        clock = [hour_of_day(time) for time in self.times]
        starts = [24.0 * WEEKDAYS.index(day) for day in self.days]
        return sorted(m + t for m in starts for t in clock for _ in range(self.each))


class Arrivals(Part):
    """One stream of patients of one class to one unit, in exactly one of these forms.

    - `per_day` or `per_hour`: at random (Poisson), shaped by `by_hour` and `by_weekday`, which are
      weights: only their proportions count
    - `rates`: patients per hour in equal steps of `step_hours`, repeated for ever; 24 steps are a
      day, 168 a week from Monday 00:00
    - `interarrival`: a duration from one to the next
    - `slots`: appointments, with `lateness`, `early_at_most_hours` and `no_show`
    - `booked`: single appointments in hours after the start, with the same three
    - `saturated`: somebody is always waiting
    """

    class_: str = Field(alias="class")
    unit: str
    name: str = ""
    per_day: float | None = Field(None, ge=0)
    per_hour: float | None = Field(None, ge=0)
    by_hour: tuple[float, ...] | None = None
    by_weekday: dict[Weekday, float] | None = None
    rates: tuple[float, ...] | None = None
    step_hours: float = Field(1.0, gt=0)
    day_variation: float = Field(0.0, ge=0)
    """Coefficient of variation of a factor common to one day: more than chance alone."""
    interarrival: Duration | None = None
    slots: tuple[Clinic, ...] | None = Field(None, min_length=1)
    booked: tuple[float, ...] | None = Field(None, min_length=1)
    lateness: Duration | None = None
    """Hours after the appointment; a `normal` may be negative: early."""
    early_at_most_hours: float = Field(2.0, ge=0)
    no_show: Share = Field(0.0, ge=0, le=1)
    saturated: Literal[True] | None = None
    begins_after_hours: float = Field(0.0, ge=0)
    ends_after_hours: float | None = Field(None, gt=0)

    @property
    def label(self) -> str:
        """Its name, or its class and unit."""
        return self.name or f"{self.class_} to {self.unit}"

    @property
    def rated(self) -> bool:
        """Whether patients come at a rate, and not one after another or by appointment."""
        return any(getattr(self, form) is not None for form in _RATES)

    @field_validator("booked")
    @classmethod
    def _are_to_come(cls, booked: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if booked is not None and not all(isfinite(hours) and hours >= 0 for hours in booked):
            raise ValueError("hours after the start, none of them negative")
        return booked

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [form for form in _FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_FORMS)}; here: {given or 'none'}")
        if (self.by_hour or self.by_weekday) and given[0] not in ("per_day", "per_hour"):
            raise ValueError("by_hour and by_weekday shape per_day or per_hour only")
        if self.by_hour is not None and len(self.by_hour) != 24:
            raise ValueError("by_hour takes 24 weights")
        for weights in (self.by_hour, self.rates, tuple((self.by_weekday or {}).values()) or None):
            if weights is not None and (not weights or min(weights) < 0):
                raise ValueError("rates and weights are none negative")
        for weights in (self.by_hour, tuple((self.by_weekday or {}).values()) or None):
            if weights is not None and sum(weights) <= 0:
                raise ValueError("some weight is above 0")
        if (self.lateness or self.no_show) and not (self.slots or self.booked):
            raise ValueError("lateness and no_show belong to slots and booked")
        if self.day_variation and not self.rated:
            raise ValueError("day_variation belongs to a rate")
        if self.day_variation and 24 / self.step_hours % 1:
            raise ValueError("day_variation needs steps of which a whole number makes a day")
        if self.ends_after_hours is not None and self.ends_after_hours <= self.begins_after_hours:
            raise ValueError("ends before it begins")
        return self

    def hourly(self) -> tuple[float, ...]:
        """Patients per hour in each step of `rates`, or in each of the 168 hours of the week."""
        if self.rates is not None:
            return self.rates
        mean = self.per_hour if self.per_hour is not None else (self.per_day or 0.0) / 24
        if self.by_hour is None and self.by_weekday is None:
            return (mean,)
        hours = self.by_hour or (1.0,) * 24
        given = self.by_weekday
        days = [1.0 if given is None else given.get(day, 0.0) for day in EVERY_DAY]
        scale = mean * 168 / (sum(hours) * sum(days))
        return tuple(scale * day * hour for day in days for hour in hours)


class Closure(Part):
    """Beds closed for a while, in hours after the start; until the end without `to_hours`."""

    unit: str
    beds: int = Field(gt=0)
    from_hours: float = Field(0.0, ge=0)
    to_hours: float | None = Field(None, gt=0)


class Surge(Part):
    """More arrivals, or fewer, for a while: everybody, or some classes or units."""

    factor: float = Field(ge=0)
    classes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    from_hours: float = Field(0.0, ge=0)
    to_hours: float | None = Field(None, gt=0)

    def meets(self, arrivals: Arrivals) -> bool:
        """Whether a stream is one of those it changes."""
        return (not self.classes or arrivals.class_ in self.classes) and (
            not self.units or arrivals.unit in self.units
        )


class Present(Part):
    """Patients who are there at the start: in a bed, waiting for one, or ready to go on.

    `for_hours` is how long they have been as they are: in the bed, so that the rest of the stay is
    drawn given that; or waiting. `stay_over` patients have ended their stay in `unit` and wait for
    `next`, or to be let go; with `rest_hours` they leave then. `in_unit` is where an outlier lies.
    """

    class_: str = Field(alias="class")
    unit: str
    in_unit: str | None = None
    bed: str | None = None
    for_hours: float = Field(0.0, ge=0)
    waiting: bool = False
    """Waits for a bed in `unit`, in none so far."""
    stay_over: bool = False
    next: str | None = None
    """Where the stay leads, where that is known."""
    rest_hours: float | None = Field(None, ge=0)
    """The rest of the stay, where it is known; of a stay that is over, until the patient leaves."""
    goes_on: bool = False
    """Known not to be over, where a stay may be over hours before its patient leaves."""
    patient: str = ""
    """The patient's identifier, passed through to the stays."""

    @model_validator(mode="after")
    def _one_state(self) -> Self:
        if self.waiting and (self.stay_over or self.in_unit or self.bed or self.rest_hours):
            raise ValueError("who waits for a first bed is in none")
        if self.goes_on and (self.waiting or self.stay_over):
            raise ValueError("a stay that goes on has begun and is not over")
        if self.stay_over and self.next is None:
            raise ValueError("a stay that is over has a `next`")
        if self.stay_over and self.rest_hours is not None and self.next not in EXITS:
            raise ValueError("only of who leaves the hospital is more known than that it is over")
        return self
