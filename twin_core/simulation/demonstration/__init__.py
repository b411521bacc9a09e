"""The demonstration hospital: a hospital model lived through, second by second, in plain Python.

`Demonstration` yields hospital facts in order of time, for a bounded period or for ever, and
keeps the truth beside them. It reads no wall clock; all chance comes from one generator, so that
a seed gives the same hospital again.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from random import Random
from typing import Any

from twin_core.simulation.demonstration.admissions import Admissions
from twin_core.simulation.demonstration.agenda import DAY, HOUR, Agenda, utc
from twin_core.simulation.demonstration.beds import Beds
from twin_core.simulation.demonstration.emergency import EmergencyDepartment
from twin_core.simulation.demonstration.inpatients import Inpatients
from twin_core.simulation.demonstration.movements import House, Movements
from twin_core.simulation.demonstration.patients import People
from twin_core.simulation.demonstration.report import Report
from twin_core.simulation.demonstration.slips import SlipsOfStaff
from twin_core.simulation.facts import Fact
from twin_core.simulation.model import Hospital
from twin_core.simulation.truth import Truth

LONGEST_PAST_STAY = 21 * DAY
"""Patients already here at the start came at most this long before it."""
CALM_BEFORE_END = 3 * HOUR


class Demonstration:
    """One hospital from `start` on, with its wards already filled.

    `began_at` is when the first of the patients came who are there at `start`. With `until`, the
    last hours pass without mistakes, so that none is left uncorrected.
    """

    def __init__(
        self, model: Hospital, chance: Random, start: datetime, until: datetime | None = None
    ) -> None:
        self.model, self.start, self.until = model, start, until
        self.truth = Truth()
        starts = int(start.timestamp())
        self._agenda = Agenda(starts - LONGEST_PAST_STAY, model.zone)
        report = Report(self._agenda, chance, model.slips, self.truth)
        beds = Beds(model, chance, self._agenda, report)
        people = People(chance, model.habits.returning_patients)
        self._house = House(model, chance, self._agenda, self.truth, report, beds, people)
        if until is not None:
            self._house.last_slip_at = int(until.timestamp()) - CALM_BEFORE_END
        movements = Movements(self._house)
        self._slips = SlipsOfStaff(self._house)
        inpatients = Inpatients(self._house, movements, self._slips)
        self._admissions = Admissions(self._house, movements, inpatients)
        self._emergency = EmergencyDepartment(self._house, movements, inpatients)
        self.began_at = utc(self._fill(starts))
        self._agenda.at(starts, self._open)

    def facts(self) -> Iterator[Fact]:
        """What was recorded, in order of `occurred_at`; endless without `until`."""
        end = None if self.until is None else int(self.until.timestamp())
        written = self._house.report.facts
        while (due := self._agenda.next_at()) is not None and (end is None or due < end):
            self._agenda.step()
            if written:
                yield from written
                written.clear()

    def now(self) -> datetime:
        """How far the simulation has come."""
        return utc(self._agenda.now)

    def _fill(self, starts: int) -> int:
        """Put patients into beds who are in the middle of their stay; when the first one came."""
        chance, began = self._house.chance, starts
        for unit in self.model.units:
            for _ in range(sum(1 for _ in unit.places(self.model.code))):
                if unit.stay_days is None or chance.random() >= unit.filled_at_start:
                    continue
                bed = self._house.beds.take(unit.code)
                if bed is None:
                    break
                whole = max(unit.stay_days.draw_ongoing(chance), 0.1) * DAY
                past = min(round(whole * chance.random()), LONGEST_PAST_STAY)
                remaining = max(round(whole) - past, HOUR)
                self._agenda.at(starts - past, self._admissions.already_here, bed, past + remaining)
                began = min(began, starts - past)
        return began

    def _open(self) -> None:
        self._admissions.open()
        self._emergency.open()
        for unit in self.model.units:
            if unit.closures_per_week:
                self._repeat(unit.closures_per_week / 7, self._house.beds.close_one, unit.code)
        self._repeat(self.model.slips.wrong_admissions_per_day, self._slips.admission)
        self._repeat(self.model.slips.wrong_registrations_per_day, self._slips.registration)

    def _repeat(self, per_day: float, action: Callable[..., None], *arguments: Any) -> None:
        """Let something happen now and then for ever, `per_day` times on average."""

        def happen() -> None:
            action(*arguments)
            wait()

        def wait() -> None:
            seconds = self._house.chance.expovariate(per_day / DAY)
            self._agenda.after(max(1, round(seconds)), happen)

        wait()


def in_sent_order(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Facts in the order in which they were sent, where they come in the order they occurred.

    Lazy: a fact is passed on as soon as nothing that happens later can be sent before it.
    """
    held: list[tuple[datetime, int, Fact]] = []
    for number, fact in enumerate(facts):
        heapq.heappush(held, (fact.sent_at, number, fact))
        while held[0][0] <= fact.occurred_at:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]
