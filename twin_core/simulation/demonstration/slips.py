"""Mistakes of the staff: recorded, noticed a little later, and taken back.

Nothing of this happens to a patient, so the truth hears of it only where the correction itself
says something new: a visit that never was, or another bed after a discharge was taken back.
"""

from msgspec.structs import replace

from twin_core.identifiers import Place
from twin_core.simulation import facts
from twin_core.simulation.demonstration.agenda import HOUR, MINUTE, utc
from twin_core.simulation.demonstration.beds import Bed
from twin_core.simulation.demonstration.movements import House
from twin_core.simulation.demonstration.patients import Visit

LONGEST = 2 * HOUR
"""Every mistake is noticed within this time."""


class SlipsOfStaff:
    """Wrong admissions, registrations, transfers and discharges, and their cancellation."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._wards = [unit.code for unit in house.model.units if unit.kind == "ward"]

    def allowed(self) -> bool:
        """Whether a mistake made now would still be taken back in time."""
        last = self._house.last_slip_at
        return last is None or self._house.agenda.now < last

    def admission(self) -> None:
        """Somebody is admitted who was never there."""
        bed = self._house.beds.take(self._house.chance.choice(self._wards))
        if bed is None or not self.allowed():
            if bed is not None:
                self._house.beds.give_back(bed)
            return
        self._phantom(facts.Admitted, "IMP", bed.unit.service, bed.place, bed)

    def registration(self) -> None:
        """Somebody is registered in the emergency department twice, the second time by mistake."""
        if self.allowed():
            model = self._house.model
            place = Place(model.code, model.emergency.unit, model.emergency.waiting_room)
            self._phantom(facts.Registered, "EMER", "EMR", place, None)

    def transfer(self, visit: Visit) -> None:
        """The patient is recorded in another bed than their own."""
        house = self._house
        bed = house.beds.take(house.chance.choice(self._wards)) if self.allowed() else None
        if bed is None:
            return
        now = house.agenda.now
        visit.engaged, visit.last_at = True, now
        house.report.write(
            facts.Transferred,
            at_once=True,
            person=visit.person,
            visit=replace(visit.state(), place=bed.place),
            origin=visit.place,
        )
        house.agenda.after(self._until_noticed(), self._transfer_cancelled, visit, bed, now)

    def discharge(self, visit: Visit) -> None:
        """The patient is recorded as gone and is not; some come back to another bed."""
        house = self._house
        if not self.allowed() or visit.bed is None:
            return
        now = house.agenda.now
        other = None
        if house.chance.random() < house.model.slips.back_in_another_bed:
            other = house.beds.take(visit.bed.unit.code)
        visit.engaged, visit.last_at = True, now
        house.report.write(
            facts.Discharged,
            at_once=True,
            person=visit.person,
            visit=replace(visit.state(), discharged_at=utc(now), disposition="01"),
        )
        house.agenda.after(self._until_noticed(), self._discharge_cancelled, visit, other, now)

    def _phantom(
        self,
        kind: type[facts.VisitFact],
        class_: str,
        service: str,
        place: Place,
        bed: Bed | None,
    ) -> None:
        house = self._house
        now = house.agenda.now
        person = house.people.somebody(house.agenda.local().date())
        visit = house.people.visit(person, class_, service, "1")
        visit.place, visit.admitted_at = place, now
        house.truth.patient_known(person.record_number)
        house.truth.visit_mistaken(visit.number, person.record_number, class_, now)
        house.report.write(kind, at_once=True, person=person, visit=visit.state())
        house.agenda.after(self._until_noticed(), self._admission_cancelled, visit, bed, now)

    def _admission_cancelled(self, visit: Visit, bed: Bed | None, wrong_at: int) -> None:
        self._write(facts.AdmissionCancelled, visit, cancelled_at=utc(wrong_at))
        if bed is not None:
            self._house.beds.give_back(bed)
        self._house.people.went_home(visit.person)

    def _transfer_cancelled(self, visit: Visit, bed: Bed, wrong_at: int) -> None:
        self._write(
            facts.TransferCancelled, visit, cancelled_at=utc(wrong_at), destination=bed.place
        )
        self._house.beds.give_back(bed)

    def _discharge_cancelled(self, visit: Visit, other: Bed | None, wrong_at: int) -> None:
        left = visit.bed
        if other is not None and left is not None:
            visit.bed, other.visit, visit.place = other, visit, other.place
            self._house.truth.moved(visit.number, other.place, wrong_at)
        self._write(facts.DischargeCancelled, visit, cancelled_at=utc(wrong_at))
        if other is not None and left is not None:
            self._house.beds.release(left)

    def _write(self, kind: type[facts.VisitFact], visit: Visit, **fields: object) -> None:
        visit.engaged, visit.last_at = False, self._house.agenda.now
        self._house.report.write(
            kind, at_once=True, person=visit.person, visit=visit.state(), **fields
        )

    def _until_noticed(self) -> int:
        drawn = self._house.model.slips.noticed_after_minutes.draw(self._house.chance) * MINUTE
        return min(round(drawn) + MINUTE, LONGEST)
