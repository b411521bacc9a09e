"""What a perfect observer of the simulated hospital knows: the yardstick for the twin.

The simulation writes down here where everybody physically is, at the moment it happens. Mistaken
records never reach this file, so that nothing here has to be undone. It shares no code with
the store: agreement of the two is evidence.

Instants are whole seconds since 1970 on the way in and aware UTC datetimes on the way out.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from twin_core.identifiers import Place

_What = TypeVar("_What")


class TrueStay(NamedTuple):
    """One uninterrupted stay of one visit at one place; `to_at` is None while it lasts."""

    visit: str
    facility: str
    unit: str
    room: str
    bed: str
    from_at: datetime
    to_at: datetime | None


class TrueEncounter(NamedTuple):
    """One visit: whose, of which class, in which state, from when to when."""

    visit: str
    patient: str
    class_: str
    status: str
    admitted_at: datetime | None
    discharged_at: datetime | None


class TruePeriod(NamedTuple):
    """A class of a visit, or a leave of it, from when to when."""

    visit: str
    code: str
    from_at: datetime
    to_at: datetime | None


class TruePatient(NamedTuple):
    """One patient record, and the record it was merged into."""

    record_number: str
    merged_into: str | None


@dataclass(slots=True)
class _Visit:
    patient: str
    status: str
    admitted_at: int | None
    classes: list[tuple[str, int]]
    """Of which class since when; each ends where the next begins."""
    discharged_at: int | None = None
    leaves: list[tuple[int, int | None]] = field(default_factory=list)
    stays: list[tuple[Place, int]] = field(default_factory=list)
    """In which bed from when; each ends where the next begins, the last at the discharge."""


class Truth:
    """Everybody's whereabouts so far."""

    def __init__(self) -> None:
        self._visits: dict[str, _Visit] = {}
        self._patients: dict[str, str | None] = {}
        self._bed_statuses: dict[Place, str] = {}

    # ------------------------------------------------------------ written by the simulation

    def patient_known(self, record_number: str) -> None:
        """A record exists for the person from now on."""
        self._patients.setdefault(record_number, None)

    def visit_planned(self, visit: str, patient: str, class_: str, at: int) -> None:
        """An admission is booked."""
        self._visits[visit] = _Visit(patient, "planned", None, [(class_, at)])

    def visit_began(self, visit: str, patient: str, class_: str, place: Place, at: int) -> None:
        """The patient is in the hospital, booked before or not; a waiting room is no stay."""
        planned = self._visits.get(visit)
        classes = [*planned.classes, (class_, at)] if planned is not None else [(class_, at)]
        status, stays = ("in-progress", [(place, at)]) if place.bed else ("arrived", [])
        self._visits[visit] = _Visit(patient, status, at, classes, stays=stays)

    def visit_mistaken(self, visit: str, patient: str, class_: str, at: int) -> None:
        """A visit was recorded as begun at `at` that never took place."""
        self._visits[visit] = _Visit(patient, "cancelled", at, [(class_, at)])

    def moved(self, visit: str, place: Place, at: int) -> None:
        """The patient is at `place` from `at` on."""
        record = self._visits[visit]
        record.stays.append((place, at))
        record.status = "in-progress"

    def class_changed(self, visit: str, class_: str, at: int) -> None:
        """The patient counts as `class_` from `at` on."""
        self._visits[visit].classes.append((class_, at))

    def went_on_leave(self, visit: str, at: int) -> None:
        """The patient is out, the bed is kept."""
        record = self._visits[visit]
        record.status = "onleave"
        record.leaves.append((at, None))

    def came_back(self, visit: str, at: int) -> None:
        """The patient is in again."""
        record = self._visits[visit]
        record.status = "in-progress"
        record.leaves[-1] = (record.leaves[-1][0], at)

    def left(self, visit: str, at: int) -> None:
        """The patient left the hospital."""
        record = self._visits[visit]
        record.discharged_at, record.status = at, "finished"

    def merged(self, source: str, target: str) -> None:
        """Two records are one person; `target` is the number that stays."""
        for number, merged_into in self._patients.items():
            if number == source or merged_into == source:
                self._patients[number] = target
        for record in self._visits.values():
            if record.patient == source:
                record.patient = target

    def bed_status(self, place: Place, status: str) -> None:
        """The bed needs cleaning (H), is ready (U) or is closed (C)."""
        self._bed_statuses[place] = status

    def forget_before(self, instant: datetime) -> None:
        """Drop visits that ended before `instant`, so that a demo can run for weeks."""
        limit = int(instant.timestamp())
        for number, record in list(self._visits.items()):
            if record.discharged_at is not None and record.discharged_at < limit:
                del self._visits[number]

    # ------------------------------------------------------------ read by the comparison

    def encounters(self) -> list[TrueEncounter]:
        """Every visit, planned and mistaken ones included."""
        return [
            TrueEncounter(
                number,
                v.patient,
                v.classes[-1][0],
                v.status,
                _utc(v.admitted_at),
                _utc(v.discharged_at),
            )
            for number, v in self._visits.items()
        ]

    def patients(self) -> list[TruePatient]:
        """Every patient record."""
        return [TruePatient(number, target) for number, target in self._patients.items()]

    def stays(self) -> list[TrueStay]:
        """Every stay, visit by visit in order of time."""
        rows = []
        for number, visit in self._visits.items():
            for place, start, end in _until_next(visit.stays, visit.discharged_at):
                rows.append(
                    TrueStay(
                        number, place.facility, place.unit, place.room, place.bed,
                        datetime.fromtimestamp(start, UTC), _utc(end),
                    )
                )  # fmt: skip
        return rows

    def classes(self) -> list[TruePeriod]:
        """The class history of every visit that took place or is planned."""
        return [
            TruePeriod(number, code, datetime.fromtimestamp(start, UTC), _utc(end))
            for number, visit in self._visits.items()
            if visit.status != "cancelled"
            for code, start, end in _until_next(visit.classes, None)
        ]

    def leaves(self) -> list[TruePeriod]:
        """Every leave of absence."""
        return [
            TruePeriod(number, "onleave", datetime.fromtimestamp(start, UTC), _utc(end))
            for number, visit in self._visits.items()
            for start, end in visit.leaves
        ]

    def bed_statuses(self) -> dict[Place, str]:
        """The last housekeeping status of every bed that had one."""
        return dict(self._bed_statuses)

    def census(self, at: datetime) -> dict[str, int]:
        """Patients per unit at an instant; units that were never used are missing."""
        return {unit: counts[0] for unit, counts in self.census_series([at]).items()}

    def census_series(self, instants: Sequence[datetime]) -> dict[str, list[int]]:
        """Patients per unit at each of some instants. A stay counts from its start, not its end."""
        starts: dict[str, list[int]] = defaultdict(list)
        ends: dict[str, list[int]] = defaultdict(list)
        for visit in self._visits.values():
            for place, start, end in _until_next(visit.stays, visit.discharged_at):
                starts[place.unit].append(start)
                if end is not None:
                    ends[place.unit].append(end)
        seconds = [instant.timestamp() for instant in instants]
        return {
            unit: _difference(sorted(begun), sorted(ends[unit]), seconds)
            for unit, begun in starts.items()
        }


def _until_next(
    changes: Sequence[tuple[_What, int]], end: int | None
) -> Iterator[tuple[_What, int, int | None]]:
    """Each thing from when it began until the next began, the last until `end`."""
    ends = [at for _, at in changes[1:]]
    for (what, start), until in zip(changes, [*ends, end], strict=False):
        yield what, start, until


def _difference(begun: list[int], ended: list[int], instants: Iterable[float]) -> list[int]:
    return [bisect_right(begun, at) - bisect_right(ended, at) for at in instants]


def _utc(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
