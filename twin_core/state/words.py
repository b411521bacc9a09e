"""The words for the hospital at one instant: beds, patients in them, units, and what is planned."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

Rows = list[dict[str, Any]]
BedStatus = Literal["occupied", "free", "dirty", "closed", "isolated"]
Spot = tuple[str, str, str, str]
"""Facility, unit, room and bed."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to come for a patient: an admission, a transfer, a discharge, a return from leave.

    Where the patient is to go is empty where nobody named it; `expected_at` is null where no time
    was given.
    """

    encounter_id: str
    patient_id: str | None
    kind: str
    stated_at: datetime
    expected_at: datetime | None
    facility: str
    unit: str
    room: str
    bed: str


class Away(msgspec.Struct, frozen=True, kw_only=True):
    """Where a patient is besides the assigned bed: `departed` (on the way there) or `arrived`."""

    status: str
    facility: str
    unit: str
    room: str
    bed: str
    since: datetime


class Occupant(msgspec.Struct, frozen=True, kw_only=True):
    """A patient at a place: ids only; names stay in the store.

    `leaving` is the transfer or discharge that is planned next, `away` where the patient is
    meanwhile.
    """

    stay_id: str
    encounter_id: str
    patient_id: str | None
    class_: str | None = msgspec.field(name="class")
    service: str | None
    since: datetime
    on_leave: bool
    leaving: Plan | None = None
    away: Away | None = None


class Bed(msgspec.Struct, frozen=True, kw_only=True):
    """A bed at an instant. An open stay makes it occupied, whatever else was said of it.

    `conflict` means that two patients are in it; `isolated` that it is so marked, occupied or not;
    `operational_status` is the HL7 table 0116 code in force, as the source gave it.
    """

    location_id: str | None
    room: str
    bed: str
    status: BedStatus
    isolated: bool
    conflict: bool
    operational_status: str | None
    staffed: bool | None
    occupants: tuple[Occupant, ...]
    reserved_for: tuple[Plan, ...] = ()
    """Planned admissions and transfers into this bed; it stays free or occupied until they come."""


class BedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many beds are in which status; the five statuses add up to `beds`.

    `staffed` counts open beds stated to be staffed and is null where none of the beds says.
    `on_leave` counts occupied beds held for patients on leave; `expected_out` those whose patient
    is planned to leave; `conflicts` those with two patients. `reserved` counts beds without a
    patient that someone is planned into.
    """

    beds: int = 0
    occupied: int = 0
    free: int = 0
    dirty: int = 0
    closed: int = 0
    isolated: int = 0
    staffed: int | None = None
    on_leave: int = 0
    reserved: int = 0
    expected_out: int = 0
    conflicts: int = 0


class UnitState(msgspec.Struct, frozen=True, kw_only=True):
    """A nursing unit or department: its beds, and its patients without a bed.

    `census` counts each patient with an open stay in the unit once, in a bed or not, on leave or
    not. `expected_in` are the planned admissions and transfers into the unit, `expected_out` the
    patients planned to leave it, both within a day of the instant; `census_expected` is the census
    after all of them.
    """

    facility: str
    unit: str
    kind: str
    name: str
    census: int
    counts: BedCounts
    beds: tuple[Bed, ...]
    without_bed: tuple[Occupant, ...]
    expected_in: tuple[Plan, ...] = ()
    expected_out: tuple[Plan, ...] = ()
    census_expected: int = 0


class EdPatient(msgspec.Struct, frozen=True, kw_only=True):
    """Someone in the emergency department; `bay` is empty while waiting for a place.

    Who is to be admitted boards from the decision (else the bed request, else the change to an
    inpatient class) until they leave the unit. Inpatients are on the list only while they board.
    """

    encounter_id: str
    patient_id: str | None
    facility: str
    unit: str
    bay: str
    class_: str | None = msgspec.field(name="class")
    status: str
    arrived_at: datetime | None
    waited_minutes: int | None
    triaged_at: datetime | None = None
    seen_at: datetime | None = None
    boards_from: datetime | None = None
    boarding_minutes: int | None = None
    leaving: Plan | None = None


class HospitalState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole hospital at `at`, as known at `known_at` (null: as known now)."""

    at: datetime
    known_at: datetime | None
    sequence: int
    census: int
    counts: BedCounts
    units: tuple[UnitState, ...]
    ed: tuple[EdPatient, ...]


def spot(row: Mapping[str, Any]) -> Spot:
    """The place that a row names; what it does not name is empty."""
    return (row["facility"] or "", row["unit"] or "", row["room"] or "", row["bed"] or "")
