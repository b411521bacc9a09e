"""A stay on a ward: its length, what happens during it, and where it leads."""

from collections.abc import Callable

from twin_core.simulation.demonstration.agenda import DAY, HOUR, MINUTE, poisson, weighted
from twin_core.simulation.demonstration.beds import Bed
from twin_core.simulation.demonstration.movements import House, Movements
from twin_core.simulation.demonstration.patients import Visit
from twin_core.simulation.demonstration.slips import SlipsOfStaff
from twin_core.simulation.model import DESTINATIONS, DIED, Unit

RETRY = 17 * MINUTE
SHORT = 5 * MINUTE


class Inpatients:
    """Everybody who has a ward bed."""

    def __init__(self, house: House, movements: Movements, slips: SlipsOfStaff) -> None:
        self._house, self._movements = house, movements
        habits, mistakes = house.model.habits, house.model.slips
        self._incidents: tuple[tuple[float, Callable[[Visit], None]], ...] = (
            (habits.visit_updates, movements.update),
            (habits.person_updates, movements.update_person),
            (habits.swaps, self._swap),
            (mistakes.wrong_transfers, slips.transfer),
            (mistakes.wrong_discharges, slips.discharge),
        )
        """Per patient and day, what may happen during a stay."""

    def settle(self, visit: Visit, bed: Bed, *, remaining: int | None = None) -> None:
        """The patient has just come to lie in `bed` of a ward; plan the stay there."""
        house, unit = self._house, bed.unit
        visit.stay += 1
        visit.service = unit.service
        seconds = remaining
        if seconds is None and unit.stay_days is not None:
            seconds = max(round(unit.stay_days.draw(house.chance) * DAY), HOUR)
        assert seconds is not None  # noqa: S101
        house.agenda.after(seconds, self._stay_over, visit, visit.stay)
        for rate, incident in (
            *self._incidents,
            (unit.leaves_per_patient_day, self._go_on_leave),
        ):
            for _ in range(poisson(house.chance, rate * seconds / DAY)):
                house.agenda.after(
                    house.chance.randrange(seconds), self._happen, visit, visit.stay, incident
                )

    def operate(self, visit: Visit, stay: int) -> None:
        """Take the patient to theatre when a table is free; the bed on the ward is kept."""
        house = self._house
        if visit.stay != stay:
            return
        table = None
        if self._movements.free_to_act(visit):
            table = house.beds.take(house.model.theatre.unit)
        if table is None:
            house.agenda.after(RETRY, self.operate, visit, stay)
            return
        self._movements.transfer(visit, table.place)
        visit.engaged = True
        minutes = house.model.theatre.operation_minutes.draw(house.chance)
        house.agenda.after(round(minutes * MINUTE) + SHORT, self._back_from_theatre, visit, table)

    def _back_from_theatre(self, visit: Visit, table: Bed) -> None:
        assert visit.bed is not None  # noqa: S101
        visit.engaged = False
        self._movements.transfer(visit, visit.bed.place)
        self._house.beds.give_back(table)

    def _happen(self, visit: Visit, stay: int, incident: Callable[[Visit], None]) -> None:
        if visit.stay == stay and self._movements.free_to_act(visit):
            incident(visit)

    def _go_on_leave(self, visit: Visit) -> None:
        house = self._house
        away = 2 * HOUR + round(house.model.habits.leave_hours.draw(house.chance) * HOUR)
        self._movements.leave(visit, house.agenda.now + away)
        house.agenda.after(away, self._movements.come_back, visit)

    def _swap(self, visit: Visit) -> None:
        assert visit.bed is not None  # noqa: S101
        beds = self._house.beds.all[visit.bed.unit.code]
        neighbour = self._house.chance.choice(beds)
        other = neighbour.visit
        if (
            other is not None
            and other is not visit
            and other.place == neighbour.place
            and self._movements.free_to_act(other)
        ):
            self._movements.swap(visit, other)

    def _stay_over(self, visit: Visit, stay: int) -> None:
        house, bed = self._house, visit.bed
        if visit.stay != stay or bed is None:
            return
        if not self._movements.free_to_act(visit):
            house.agenda.after(RETRY, self._stay_over, visit, stay)
            return
        where = weighted(house.chance, bed.unit.then)
        if where == DIED:
            self._movements.discharge(visit, DIED)
        elif where in DESTINATIONS:
            leaving = self._hour_of_leaving(bed.unit)
            self._movements.expect_discharge(visit, leaving)
            house.agenda.at(leaving, self._go, visit, stay, where)
        else:
            wish = house.beds.request(where, lambda granted: self._called(visit, granted))
            if not wish.answered:
                self._movements.expect_transfer(visit, house.model.unit(where))

    def _hour_of_leaving(self, unit: Unit) -> int:
        house = self._house
        if unit.kind == "day":
            return house.agenda.now
        hours = dict(zip(map(str, range(24)), house.model.departures.by_hour, strict=True))
        drawn = int(weighted(house.chance, hours)) * HOUR + house.chance.randrange(HOUR)
        today = house.agenda.midnight() + drawn
        return today if today > house.agenda.now else house.agenda.midnight(1) + drawn

    def _called(self, visit: Visit, bed: Bed) -> None:
        self._movements.expect_transfer(visit, bed)
        minutes = self._house.model.habits.transport_minutes.draw(self._house.chance)
        self._house.agenda.after(round(minutes * MINUTE) + 1, self._move, visit, bed)

    def _move(self, visit: Visit, bed: Bed) -> None:
        if not self._movements.free_to_act(visit):
            self._house.agenda.after(SHORT, self._move, visit, bed)
            return
        left = visit.bed
        visit.service = bed.unit.service
        self._movements.transfer(visit, bed)
        if left is not None:
            self._house.beds.release(left)
        self.settle(visit, bed)

    def _go(self, visit: Visit, stay: int, how: str) -> None:
        house = self._house
        if visit.stay != stay:
            return
        if not self._movements.free_to_act(visit):
            house.agenda.after(RETRY, self._go, visit, stay, how)
            return
        departures, left = house.model.departures, visit.bed
        chair = None
        if house.chance.random() < departures.through_lounge:
            chair = house.beds.take(departures.lounge)
        if chair is None or left is None or left.unit.kind == "day":
            if chair is not None:
                house.beds.give_back(chair)
            self._movements.discharge(visit, how)
            return
        self._movements.transfer(visit, chair)
        house.beds.release(left)
        visit.stay += 1
        minutes = departures.lounge_minutes.draw(house.chance)
        house.agenda.after(round(minutes * MINUTE) + SHORT, self._go_from_lounge, visit, how)

    def _go_from_lounge(self, visit: Visit, how: str) -> None:
        self._movements.discharge(visit, how)
