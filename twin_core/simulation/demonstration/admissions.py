"""Admissions past the emergency department: booked, direct, and those already here."""

from twin_core.simulation.demonstration.agenda import DAY, HOUR, MINUTE, poisson
from twin_core.simulation.demonstration.beds import Bed
from twin_core.simulation.demonstration.inpatients import Inpatients
from twin_core.simulation.demonstration.movements import House, Movements
from twin_core.simulation.demonstration.patients import Visit
from twin_core.simulation.model import WEEKDAYS, DirectStream, PlannedStream

OFFICE_HOURS = (8, 17)


class Admissions:
    """The admission desk: bookings made and kept, direct admissions, and who was here before."""

    def __init__(self, house: House, movements: Movements, inpatients: Inpatients) -> None:
        self._house, self._movements, self._inpatients = house, movements, inpatients

    def open(self) -> None:
        """Start all streams now; the next weeks' bookings are made today."""
        house = self._house
        for stream in house.model.planned:
            for days_ahead in range(stream.booked_days_ahead):
                self._book_day(stream, days_ahead)
        for direct in house.model.direct:
            self._next_direct(direct)
        house.agenda.at(house.agenda.midnight(1), self._daily)

    def already_here(self, bed: Bed, remaining: int) -> None:
        """A patient of the time before the demo is admitted to `bed`."""
        visit = self._newcomer("IMP", bed.unit.service, "1")
        self._movements.begin(visit, bed)
        self._inpatients.settle(visit, bed, remaining=remaining)

    def _newcomer(self, class_: str, service: str, source: str) -> Visit:
        house = self._house
        person = house.people.somebody(house.agenda.local().date())
        return house.people.visit(person, class_, service, source)

    def _daily(self) -> None:
        house = self._house
        for stream in house.model.planned:
            self._book_day(stream, stream.booked_days_ahead - 1)
        house.agenda.at(house.agenda.midnight(1), self._daily)

    def _book_day(self, stream: PlannedStream, days_ahead: int) -> None:
        """Book what one day takes, from an office hour of today until the day itself."""
        house = self._house
        midnight = house.agenda.midnight(days_ahead)
        weekday = WEEKDAYS[house.agenda.local(midnight).weekday()]
        opens, closes = (hour * HOUR for hour in stream.arrive_between)
        for _ in range(poisson(house.chance, stream.by_weekday.get(weekday, 0.0))):
            expected = midnight + house.chance.randrange(opens, closes)
            if expected < house.agenda.now + HOUR:
                continue  # the demo begins in the middle of this day
            office = house.chance.randrange(OFFICE_HOURS[0] * HOUR, OFFICE_HOURS[1] * HOUR)
            booked = min(house.agenda.midnight() + office, expected - 20 * MINUTE)
            house.agenda.at(booked, self._book, stream, expected)

    def _book(self, stream: PlannedStream, expected: int) -> None:
        visit = self._newcomer("PRENC", self._house.model.unit(stream.unit).service, "1")
        self._movements.book(visit, stream.unit, expected)
        self._house.agenda.at(expected, self._arrive, visit, stream)

    def _arrive(self, visit: Visit, stream: PlannedStream) -> None:
        self._house.beds.request(
            stream.unit, lambda bed: self._admit_planned(visit, stream, bed), urgent=False
        )

    def _admit_planned(self, visit: Visit, stream: PlannedStream, bed: Bed) -> None:
        house = self._house
        day_case = stream.day_case and bed.unit.kind == "day"
        visit.class_ = "AMB" if day_case else "IMP"
        self._movements.begin(visit, bed, registered=day_case)
        self._inpatients.settle(visit, bed)
        if house.chance.random() < stream.operated:
            minutes = house.model.theatre.begins_after_minutes.draw(house.chance)
            house.agenda.after(
                round(minutes * MINUTE) + MINUTE, self._inpatients.operate, visit, visit.stay
            )

    def _next_direct(self, stream: DirectStream) -> None:
        wait = self._house.chance.expovariate(stream.per_day / DAY)
        self._house.agenda.after(max(1, round(wait)), self._direct, stream)

    def _direct(self, stream: DirectStream) -> None:
        self._next_direct(stream)
        self._house.beds.request(stream.unit, lambda bed: self._admit_direct(stream, bed))

    def _admit_direct(self, stream: DirectStream, bed: Bed) -> None:
        visit = self._newcomer("IMP", bed.unit.service, stream.source)
        self._movements.begin(visit, bed)
        self._inpatients.settle(visit, bed)
