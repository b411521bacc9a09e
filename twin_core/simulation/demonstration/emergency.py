"""The emergency department: arrival, waiting room, bay, decision, and the way to a ward."""

from twin_core.identifiers import Place
from twin_core.simulation.demonstration.agenda import HOUR, MINUTE, weighted
from twin_core.simulation.demonstration.beds import Bed, Request
from twin_core.simulation.demonstration.inpatients import Inpatients
from twin_core.simulation.demonstration.movements import House, Movements
from twin_core.simulation.demonstration.patients import Visit
from twin_core.simulation.facts import Person
from twin_core.simulation.model import DIED, HOME, WEEKDAYS

UNSEEN = "unseen"


class EmergencyDepartment:
    """Walk-ins and ambulances, day and night."""

    def __init__(self, house: House, movements: Movements, inpatients: Inpatients) -> None:
        self._house, self._movements, self._inpatients = house, movements, inpatients
        self._ways = house.model.emergency
        self._waiting_room = Place(house.model.code, self._ways.unit, self._ways.waiting_room)
        hours, days = self._ways.by_hour, self._ways.by_weekday.values()
        self._fastest = self._per_second(max(hours), max(days))

    def open(self) -> None:
        """Let the first patient come."""
        self._next()

    def _per_second(self, hour_weight: float, day_weight: float) -> float:
        share = hour_weight / sum(self._ways.by_hour)
        return self._ways.arrivals_per_day * share * day_weight / HOUR

    def _next(self) -> None:
        """Arrivals come at a rate that changes by the hour: draw at the fastest, keep the share."""
        wait = self._house.chance.expovariate(self._fastest)
        self._house.agenda.after(max(1, round(wait)), self._maybe_arrive)

    def _maybe_arrive(self) -> None:
        house = self._house
        clock = house.agenda.local()
        rate = self._per_second(
            self._ways.by_hour[clock.hour],
            self._ways.by_weekday.get(WEEKDAYS[clock.weekday()], 1.0),
        )
        self._next()
        if house.chance.random() * self._fastest < rate:
            self._arrive()

    def _arrive(self) -> None:
        house, ways = self._house, self._ways
        person, known = self._at_the_desk()
        by_ambulance = house.chance.random() < ways.straight_to_bay
        visit = house.people.visit(person, "EMER", "EMR", "7")
        if known is not None:
            visit.settled = False
            hours = house.model.habits.merge_after_hours.draw(house.chance)
            house.agenda.after(HOUR + round(hours * HOUR), self._movements.merge, visit, known)
        bay = house.beds.take(ways.unit) if by_ambulance else None
        if bay is not None:
            self._movements.begin(visit, bay, registered=True)
            self._treat(visit)
            return
        self._movements.begin(visit, self._waiting_room, registered=True)
        wish = house.beds.request(ways.unit, lambda bed: self._called(visit, bed))
        if house.chance.random() < ways.leaves_unseen:
            patience = ways.leaves_unseen_after_minutes.draw(house.chance)
            house.agenda.after(round(patience * MINUTE) + MINUTE, self._give_up, visit, wish)

    def _at_the_desk(self) -> tuple[Person, Person | None]:
        """Who is registered, and which record they already have where that is not noticed."""
        house = self._house
        today, drawn = house.agenda.local().date(), house.chance.random()
        doubtful = self._ways.unidentified + house.model.habits.duplicate_record
        known = house.people.former() if drawn < doubtful else None
        if known is None:
            return house.people.somebody(today), None
        if drawn < self._ways.unidentified:
            return house.people.unidentified(today), known
        return house.people.registered_again(known), known

    def _give_up(self, visit: Visit, wish: Request) -> None:
        if not wish.answered:
            wish.answered = True
            self._movements.discharge(visit, UNSEEN)

    def _called(self, visit: Visit, bed: Bed) -> None:
        wait = self._house.chance.randrange(2 * MINUTE, 14 * MINUTE)
        self._house.agenda.after(wait, self._to_bay, visit, bed)

    def _to_bay(self, visit: Visit, bed: Bed) -> None:
        self._movements.transfer(visit, bed)
        self._treat(visit)

    def _treat(self, visit: Visit) -> None:
        house = self._house
        seconds = 10 * MINUTE + round(self._ways.treatment_minutes.draw(house.chance) * MINUTE)
        if house.chance.random() < house.model.habits.visit_updates:
            house.agenda.after(house.chance.randrange(1, seconds), self._movements.update, visit)
        house.agenda.after(seconds, self._decide, visit)

    def _decide(self, visit: Visit) -> None:
        house = self._house
        if not self._movements.free_to_act(visit):
            house.agenda.after(1, self._decide, visit)
            return
        drawn = house.chance.random()
        if drawn < self._ways.died:
            self._movements.discharge(visit, DIED)
        elif drawn < self._ways.died + self._ways.admitted:
            self._admit(visit)
        else:
            self._movements.discharge(visit, HOME)

    def _admit(self, visit: Visit) -> None:
        house = self._house
        unit = weighted(house.chance, self._ways.admitted_to)
        visit.service = house.model.unit(unit).service
        if house.chance.random() < self._ways.boards_as_inpatient:
            self._movements.become_inpatient(visit)
        wish = house.beds.request(unit, lambda bed: self._ward_ready(visit, bed))
        if not wish.answered:
            self._movements.expect_transfer(visit, house.model.unit(unit))

    def _ward_ready(self, visit: Visit, bed: Bed) -> None:
        self._movements.expect_transfer(visit, bed)
        minutes = self._house.model.habits.transport_minutes.draw(self._house.chance)
        self._house.agenda.after(round(minutes * MINUTE) + MINUTE, self._to_ward, visit, bed)

    def _to_ward(self, visit: Visit, bed: Bed) -> None:
        if not self._movements.free_to_act(visit):
            self._house.agenda.after(1, self._to_ward, visit, bed)
            return
        bay = visit.bed
        if visit.class_ == "EMER":
            self._movements.become_inpatient(visit, bed)
        else:
            self._movements.transfer(visit, bed)
        if bay is not None:
            self._house.beds.release(bay)
        self._inpatients.settle(visit, bed)
