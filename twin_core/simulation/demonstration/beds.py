"""Who gets which bed: free beds, waiting patients, cleaning and closures.

A bed is free, taken, being cleaned or closed, and never holds two patients. A request that finds
no free bed waits; when it has waited too long, other units that help out may answer it as well.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from twin_core.identifiers import Place
from twin_core.simulation.demonstration.agenda import HOUR, MINUTE, Agenda
from twin_core.simulation.demonstration.report import Report
from twin_core.simulation.model import Hospital, Unit

if TYPE_CHECKING:
    from twin_core.simulation.demonstration.patients import Visit

HOUSEKEEPING, UNOCCUPIED, CLOSED = "H", "U", "C"


@dataclass(slots=True, eq=False)
class Bed:
    """One bed, bay, table or chair, and the visit it is assigned to."""

    place: Place
    unit: Unit
    visit: "Visit | None" = None


@dataclass(slots=True, eq=False, order=False)
class Request:
    """A wish for a bed: answered at most once, by calling `granted`."""

    granted: Callable[[Bed], None]
    answered: bool = False


@dataclass(slots=True)
class _Queue:
    free: list[Bed] = field(default_factory=list)
    waiting: list[tuple[int, int, Request]] = field(default_factory=list)


class Beds:
    """The beds of one hospital and everybody waiting for one."""

    def __init__(self, hospital: Hospital, chance: Random, agenda: Agenda, report: Report) -> None:
        self._chance, self._agenda, self._report = chance, agenda, report
        self._patience = round(hospital.habits.patience_hours * HOUR)
        self._closure = hospital.habits.closure_hours
        self._asked = 0
        self.all: dict[str, list[Bed]] = {
            unit.code: [Bed(place, unit) for place in unit.places(hospital.code)]
            for unit in hospital.units
        }
        self._queues = {code: _Queue(list(beds)) for code, beds in self.all.items()}

    def take(self, unit: str) -> Bed | None:
        """A free bed of the unit at once, or None. Nobody who waits is passed over."""
        free = self._queues[unit].free
        if not free:
            return None
        index = self._chance.randrange(len(free))
        free[index], free[-1] = free[-1], free[index]
        return free.pop()

    def request(self, unit: str, granted: Callable[[Bed], None], *, urgent: bool = True) -> Request:
        """Ask for a bed; `granted` is called with it, now or later."""
        wish = Request(granted)
        bed = self.take(unit)
        if bed is not None:
            self._answer(wish, bed)
            return wish
        self._queue(unit, wish, urgent)
        if overflow := self.all[unit][0].unit.overflow:
            self._agenda.after(self._patience, self._widen, wish, overflow, urgent)
        return wish

    def release(self, bed: Bed) -> None:
        """The patient has left the bed; where cleaning is due, that comes before the next one."""
        bed.visit = None
        cleaning = bed.unit.cleaning_minutes
        if cleaning is None:
            self._offer(bed)
            return
        self._agenda.after(self._chance.randrange(40, 240), self._state, bed, HOUSEKEEPING)
        duration = 5 * MINUTE + round(cleaning.draw(self._chance) * MINUTE)
        self._agenda.after(duration, self._ready, bed)

    def give_back(self, bed: Bed) -> None:
        """The bed was only reserved, nobody lay in it."""
        bed.visit = None
        self._offer(bed)

    def close_one(self, unit: str) -> None:
        """Close a free bed of the unit for a while, if there is one."""
        bed = self.take(unit)
        if bed is not None:
            self._state(bed, CLOSED)
            self._agenda.after(
                round(self._closure.draw(self._chance) * HOUR) + MINUTE, self._ready, bed
            )

    def _queue(self, unit: str, wish: Request, urgent: bool) -> None:
        self._asked += 1
        heapq.heappush(self._queues[unit].waiting, (0 if urgent else 1, self._asked, wish))

    def _widen(self, wish: Request, units: tuple[str, ...], urgent: bool) -> None:
        for unit in units:
            if wish.answered:
                return
            bed = self.take(unit)
            if bed is not None:
                self._answer(wish, bed)
            else:
                self._queue(unit, wish, urgent)

    def _state(self, bed: Bed, status: str) -> None:
        self._report.bed_status(bed.place, status)

    def _ready(self, bed: Bed) -> None:
        self._state(bed, UNOCCUPIED)
        self._offer(bed)

    def _offer(self, bed: Bed) -> None:
        queue = self._queues[bed.unit.code]
        while queue.waiting:
            wish = heapq.heappop(queue.waiting)[2]
            if not wish.answered:
                self._answer(wish, bed)
                return
        queue.free.append(bed)

    def _answer(self, wish: Request, bed: Bed) -> None:
        wish.answered = True
        wish.granted(bed)
