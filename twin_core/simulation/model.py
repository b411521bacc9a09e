"""A hospital as data: units, beds, arrivals, routes and habits, in words a charge nurse can check.

The files in `hospitals/` are read into `Hospital`. Shares are probabilities between 0 and 1;
a `Spread` gives a typical and a long value of a duration in the unit its key names.
"""

import math
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twin_core.errors import ConfigurationError
from twin_core.identifiers import Place

Share = float
HOME, CARE_HOME, DIED = "home", "care_home", "died"
DESTINATIONS = (HOME, CARE_HOME, DIED)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_P90 = 1.2815515655446004
"""Standard normal quantile at 90%."""


class Part(BaseModel):
    """A table of a hospital file: frozen, refusing keys it does not know and endless numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spread(Part):
    """A skewed duration: half are below `median`, nine in ten below `p90` (a lognormal)."""

    median: float = Field(gt=0)
    p90: float = Field(gt=0)

    def draw(self, chance: Random) -> float:
        """One duration."""
        return self.median * math.exp(self._sigma() * chance.gauss(0.0, 1.0))

    def draw_ongoing(self, chance: Random) -> float:
        """The whole duration of one found under way: longer ones are found more often."""
        sigma = self._sigma()
        return self.median * math.exp(sigma * sigma + sigma * chance.gauss(0.0, 1.0))

    def _sigma(self) -> float:
        return math.log(self.p90 / self.median) / _P90


class RoomBlock(Part):
    """Some rooms alike: `count` rooms numbered from `first`, each with `beds` beds A, B, ..."""

    first: int
    count: int = Field(gt=0)
    beds: int = Field(gt=0, le=8)
    prefix: str = ""


class Unit(Part):
    """A nursing unit, the emergency department, the theatres or the discharge lounge."""

    code: str
    name: str
    kind: Literal["emergency", "intensive", "ward", "day", "theatre", "lounge"]
    service: str = ""
    rooms: tuple[RoomBlock, ...]
    stay_days: Spread | None = None
    then: dict[str, Share] = {}
    """Where a stay here leads: another unit, home, care_home or died."""
    overflow: tuple[str, ...] = ()
    """Units that help out when no bed has come free for `patience_hours`."""
    filled_at_start: Share = 0.0
    cleaning_minutes: Spread | None = None
    leaves_per_patient_day: float = 0.0
    closures_per_week: float = 0.0

    def places(self, facility: str) -> Iterator[Place]:
        """Every bed of the unit."""
        for block in self.rooms:
            for number in range(block.first, block.first + block.count):
                for bed in "ABCDEFGH"[: block.beds]:
                    yield Place(facility, self.code, f"{block.prefix}{number}", bed)


class Emergency(Part):
    """How patients come to the emergency department and what becomes of them."""

    unit: str
    waiting_room: str
    arrivals_per_day: float
    by_hour: tuple[float, ...] = Field(min_length=24, max_length=24)
    by_weekday: dict[str, float]
    straight_to_bay: Share
    leaves_unseen_after_minutes: Spread
    leaves_unseen: Share
    treatment_minutes: Spread
    admitted: Share
    died: Share
    boards_as_inpatient: Share
    """Share of admitted patients made inpatients while still in their bay."""
    unidentified: Share
    admitted_to: dict[str, Share]


class PlannedStream(Part):
    """Planned admissions to one unit, booked ahead."""

    unit: str
    by_weekday: dict[str, float]
    booked_days_ahead: int = Field(gt=0)
    arrive_between: tuple[int, int]
    """Hours of the day."""
    operated: Share = 0.0
    day_case: bool = False


class DirectStream(Part):
    """Unplanned admissions that come straight to a unit, such as women in labour."""

    unit: str
    per_day: float
    source: str = "1"


class Theatre(Part):
    """How long operations take, and how long after admission they begin."""

    unit: str
    operation_minutes: Spread
    begins_after_minutes: Spread


class Departures(Part):
    """When patients go home."""

    by_hour: tuple[float, ...] = Field(min_length=24, max_length=24)
    lounge: str
    through_lounge: Share
    lounge_minutes: Spread


class Habits(Part):
    """Everyday events of a stay, per patient and day unless the name says otherwise."""

    patience_hours: float
    transport_minutes: Spread
    returning_patients: Share
    leave_hours: Spread
    closure_hours: Spread
    swaps: float
    visit_updates: float
    person_updates: float
    updated_after_discharge: Share
    merge_after_hours: Spread
    duplicate_record: Share
    """Share of emergency patients registered anew although they have a record."""


class Slips(Part):
    """Mistakes people make and take back, and how late things are written down."""

    wrong_admissions_per_day: float
    wrong_registrations_per_day: float
    wrong_transfers: float
    """Per patient and day."""
    wrong_discharges: float
    """Per patient and day."""
    back_in_another_bed: Share
    noticed_after_minutes: Spread
    written_promptly: Share
    """Share of events entered within a minute; others after `written_after_minutes`."""
    written_after_minutes: Spread


class Hospital(Part):
    """One hospital: where patients can be, how they come, move and go."""

    code: str
    name: str
    building: str
    time_zone: str
    patient_numbers: str
    """Assigning authority of medical record numbers."""
    visit_numbers: str
    """Assigning authority of visit numbers."""
    units: tuple[Unit, ...]
    emergency: Emergency
    planned: tuple[PlannedStream, ...]
    direct: tuple[DirectStream, ...]
    theatre: Theatre
    departures: Departures
    habits: Habits
    slips: Slips

    @property
    def zone(self) -> ZoneInfo:
        """The wall clock of the hospital."""
        return ZoneInfo(self.time_zone)

    def unit(self, code: str) -> Unit:
        """The unit with a code."""
        return next(unit for unit in self.units if unit.code == code)

    @model_validator(mode="after")
    def _names_existing_units(self) -> "Hospital":
        known = {unit.code for unit in self.units}
        named = {self.emergency.unit, self.theatre.unit, self.departures.lounge}
        named.update(self.emergency.admitted_to, (s.unit for s in self.planned))
        named.update(s.unit for s in self.direct)
        for unit in self.units:
            named.update(unit.overflow, (u for u in unit.then if u not in DESTINATIONS))
        if unknown := sorted(named - known):
            raise ValueError(f"unknown units: {', '.join(unknown)}")
        return self


def hospital_names() -> list[str]:
    """The hospitals that come with the package."""
    folder = resources.files(__package__) / "hospitals"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir())


def load_hospital(name: str | Path) -> Hospital:
    """A hospital by its name in the package, or from a file of the same form.

    Raises ConfigurationError where there is none, or where it contradicts itself.
    """
    try:
        return Hospital.model_validate(tomllib.loads(hospital_text(name)))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"{name} does not describe a hospital.", why=str(error)) from error


def hospital_text(name: str | Path) -> str:
    """The file of a hospital of the package, or a file, as it is written.

    Raises ConfigurationError where there is none.
    """
    if isinstance(name, str) and name in hospital_names():
        return (resources.files(__package__) / "hospitals" / f"{name}.toml").read_text("utf-8")
    return _read(Path(name))


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"There is no hospital {file}.",
            why=error.strerror or str(error),
            do=f"Name a file, or one of: {', '.join(hospital_names())}.",
        ) from error
