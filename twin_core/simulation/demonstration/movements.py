"""What really happens to patients: each step is lived, known to the truth, and written down."""

from dataclasses import dataclass
from random import Random
from typing import Any

from msgspec.structs import replace

from twin_core.identifiers import Place
from twin_core.simulation import facts
from twin_core.simulation.demonstration.agenda import HOUR, MINUTE, Agenda, utc
from twin_core.simulation.demonstration.beds import Bed, Beds
from twin_core.simulation.demonstration.patients import People, Visit
from twin_core.simulation.demonstration.report import Report
from twin_core.simulation.model import DIED, Hospital, Unit
from twin_core.simulation.truth import Truth

DISPOSITIONS = {"home": "01", "care_home": "03", "unseen": "07", DIED: "20"}
"""HL7 table 0112."""


@dataclass(slots=True)
class House:
    """Everything that the parts of a running hospital share."""

    model: Hospital
    chance: Random
    agenda: Agenda
    truth: Truth
    report: Report
    beds: Beds
    people: People
    last_slip_at: int | None = None
    """After this instant nobody makes mistakes, so that all are taken back in time."""


class Movements:
    """The verbs of a patient's course."""

    def __init__(self, house: House) -> None:
        self._house = house

    def free_to_act(self, visit: Visit) -> bool:
        """Whether something may happen to the visit in this very second."""
        return not visit.engaged and visit.last_at < self._house.agenda.now

    def book(self, visit: Visit, unit: str, expected: int) -> None:
        """An admission to a unit is planned."""
        truth, to = self._house.truth, Place(self._house.model.code, unit)
        truth.patient_known(visit.person.record_number)
        truth.visit_planned(
            visit.number, visit.person.record_number, visit.class_, self._house.agenda.now
        )
        self._write(facts.Preadmitted, visit, destination=to, expected_at=utc(expected))

    def begin(self, visit: Visit, at: Bed | Place, *, registered: bool = False) -> None:
        """The patient is here: admitted to a bed, or registered in a bay or the waiting room."""
        house = self._house
        visit.admitted_at = house.agenda.now
        self._settle(visit, at)
        house.truth.patient_known(visit.person.record_number)
        house.truth.visit_began(
            visit.number, visit.person.record_number, visit.class_, visit.place, visit.admitted_at
        )
        self._write(facts.Registered if registered else facts.Admitted, visit)

    def expect_transfer(self, visit: Visit, to: Bed | Unit) -> None:
        """A bed is wanted in a unit, or is kept."""
        code = self._house.model.code
        destination = to.place if isinstance(to, Bed) else Place(code, to.code)
        self._plan(facts.TransferExpected, visit, visit.stay, {"destination": destination})

    def expect_discharge(self, visit: Visit, leaving: int) -> None:
        """The patient is to leave later today or tomorrow; the bed is theirs until then."""
        if leaving > self._house.agenda.now + MINUTE:
            self._plan(facts.DischargeExpected, visit, visit.stay, {"expected_at": utc(leaving)})

    def _plan(
        self, kind: type[facts.VisitFact], visit: Visit, stay: int, fields: dict[str, Any]
    ) -> None:
        """Record a plan, in a second of its own; none for who is away or recorded elsewhere."""
        house = self._house
        if visit.stay != stay or visit.engaged:
            return
        if not self.free_to_act(visit):
            house.agenda.after(1, self._plan, kind, visit, stay, fields)
            return
        visit.last_at = house.agenda.now
        house.report.plan(kind, person=visit.person, visit=visit.state(), **fields)

    def transfer(self, visit: Visit, to: Bed | Place) -> None:
        """The patient moves. To a bed for good; to a mere place while the own bed is kept."""
        origin = visit.place
        self._settle(visit, to)
        self._house.truth.moved(visit.number, visit.place, self._house.agenda.now)
        self._write(facts.Transferred, visit, origin=origin)

    def become_inpatient(self, visit: Visit, bed: Bed | None = None) -> None:
        """An emergency patient is admitted, moving to a bed or waiting for one where they are."""
        origin, visit.class_ = visit.place, "IMP"
        self._house.truth.class_changed(visit.number, "IMP", self._house.agenda.now)
        if bed is not None:
            self._settle(visit, bed)
            self._house.truth.moved(visit.number, visit.place, self._house.agenda.now)
        self._write(facts.ClassChanged, visit, origin=origin)

    def swap(self, one: Visit, other: Visit) -> None:
        """Two patients change beds."""
        origins = (one.place, other.place)
        assert one.bed is not None  # noqa: S101  (swaps are between beds)
        assert other.bed is not None  # noqa: S101
        first, second = one.bed, other.bed
        for visit, bed in ((one, second), (other, first)):
            self._settle(visit, bed)
            visit.last_at = self._house.agenda.now
            self._house.truth.moved(visit.number, visit.place, self._house.agenda.now)
        self._house.report.write(
            facts.Swapped,
            persons=(one.person, other.person),
            visits=(one.state(), other.state()),
            origins=origins,
        )

    def leave(self, visit: Visit, back: int) -> None:
        """The patient goes on leave until about `back`."""
        visit.engaged = True
        self._house.truth.went_on_leave(visit.number, self._house.agenda.now)
        self._write(facts.LeaveStarted, visit, expected_at=utc(back))

    def come_back(self, visit: Visit) -> None:
        """The patient is back from leave."""
        visit.engaged = False
        self._house.truth.came_back(visit.number, self._house.agenda.now)
        self._write(facts.LeaveEnded, visit)

    def discharge(self, visit: Visit, how: str) -> None:
        """The patient leaves, alive or not, and the bed is free to be cleaned."""
        house = self._house
        visit.discharged_at, visit.disposition = house.agenda.now, DISPOSITIONS[how]
        visit.stay += 1
        if how == DIED:
            visit.person = replace(visit.person, deceased_at=utc(house.agenda.now))
        house.truth.left(visit.number, house.agenda.now)
        self._write(facts.Discharged, visit)
        if visit.bed is not None:
            house.beds.release(visit.bed)
            visit.bed = None
        if visit.settled:
            house.people.went_home(visit.person)
        if house.chance.random() < house.model.habits.updated_after_discharge:
            house.agenda.after(house.chance.randrange(HOUR, 48 * HOUR), self.update, visit)

    def update(self, visit: Visit) -> None:
        """A detail of the visit is corrected: another doctor, or only the same things again."""
        if not self.free_to_act(visit):
            return
        if self._house.chance.random() < 0.5:
            visit.attending = self._house.people.doctor()
        self._write(facts.VisitUpdated, visit, at_once=True)

    def update_person(self, visit: Visit) -> None:
        """The patient's address is corrected."""
        visit.person = self._house.people.moved_house(visit.person)
        self._house.report.write(facts.PersonUpdated, at_once=True, person=visit.person)

    def merge(self, visit: Visit, known: facts.Person) -> None:
        """The patient turns out to be somebody with a record already, which stays."""
        house, source = self._house, visit.person
        visit.person = replace(known, deceased_at=source.deceased_at)
        visit.settled = True
        house.truth.patient_known(known.record_number)
        house.truth.merged(source.record_number, known.record_number)
        house.report.write(
            facts.PersonsMerged, at_once=True, person=visit.person, source=source.record_number
        )
        if visit.discharged_at is not None:
            house.people.went_home(visit.person)

    def _settle(self, visit: Visit, to: Bed | Place) -> None:
        if isinstance(to, Bed):
            visit.bed, to.visit, visit.place = to, visit, to.place
        else:
            visit.place = to

    def _write(
        self, kind: type[facts.VisitFact], visit: Visit, *, at_once: bool = False, **fields: object
    ) -> None:
        visit.last_at = self._house.agenda.now
        self._house.report.write(
            kind, at_once=at_once, person=visit.person, visit=visit.state(), **fields
        )
