"""Hospital facts: what happened on the wards of a simulated hospital, and when it was written down.

A fact is one thing somebody recorded, true or mistaken. `occurred_at` is when it happened,
`recorded_at` when it was entered, `sent_at` when the patient administration system told others.
Facts know nothing of any wire format; `adapters.hl7v2.encode` turns them into messages.
"""

from datetime import date, datetime

import msgspec

from twin_core.identifiers import NOWHERE, Place


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A person as registration knows them. Every name is an ordinary word: nobody is real."""

    record_number: str
    family_name: str
    given_name: str
    birth_date: date
    sex: str
    """FHIR administrative gender."""
    street: str
    postal_code: str
    deceased_at: datetime | None = None


class VisitState(msgspec.Struct, frozen=True, kw_only=True):
    """What the record of a visit said right after a fact."""

    number: str
    class_: str
    """v3 ActCode: EMER, IMP, AMB, PRENC."""
    place: Place
    service: str
    attending: str
    admit_source: str
    disposition: str = ""
    admitted_at: datetime | None = None
    discharged_at: datetime | None = None


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something recorded in the hospital. Subclasses say what."""

    occurred_at: datetime
    recorded_at: datetime
    sent_at: datetime


class VisitFact(Fact, frozen=True, kw_only=True):
    """A fact about one person's visit."""

    person: Person
    visit: VisitState


class Admitted(VisitFact, frozen=True, kw_only=True):
    """The patient was admitted to a bed."""


class Registered(VisitFact, frozen=True, kw_only=True):
    """The patient arrived and was registered, in the waiting room or straight in a bay."""


class Preadmitted(VisitFact, frozen=True, kw_only=True):
    """An admission to a unit was booked for `expected_at`; no bed is kept yet."""

    destination: Place
    expected_at: datetime


class TransferExpected(VisitFact, frozen=True, kw_only=True):
    """A bed was asked for in a unit, or is kept; `destination` names the bed only once one is."""

    destination: Place


class DischargeExpected(VisitFact, frozen=True, kw_only=True):
    """The patient is well enough to leave, and is expected to at `expected_at`."""

    expected_at: datetime


class Transferred(VisitFact, frozen=True, kw_only=True):
    """The patient was moved from `origin` to the place of the visit."""

    origin: Place


class Discharged(VisitFact, frozen=True, kw_only=True):
    """The patient left from the place of the visit."""


class ClassChanged(VisitFact, frozen=True, kw_only=True):
    """An emergency patient became an inpatient, moving from `origin` if the place differs."""

    origin: Place = NOWHERE


class LeaveStarted(VisitFact, frozen=True, kw_only=True):
    """The patient went on leave; the bed stays theirs."""

    expected_at: datetime


class LeaveEnded(VisitFact, frozen=True, kw_only=True):
    """The patient came back from leave."""


class VisitUpdated(VisitFact, frozen=True, kw_only=True):
    """Doctor, service or another detail of the visit was corrected."""


class AdmissionCancelled(VisitFact, frozen=True, kw_only=True):
    """An admission or registration was entered by mistake."""

    cancelled_at: datetime
    """When the cancelled event was said to have occurred."""


class TransferCancelled(VisitFact, frozen=True, kw_only=True):
    """A transfer to `destination` was entered by mistake; the patient is where the visit says."""

    cancelled_at: datetime
    destination: Place


class DischargeCancelled(VisitFact, frozen=True, kw_only=True):
    """A discharge was entered by mistake; the patient is where the visit says."""

    cancelled_at: datetime


class Swapped(Fact, frozen=True, kw_only=True):
    """Two patients changed beds with each other. Places and origins are each patient's own."""

    persons: tuple[Person, Person]
    visits: tuple[VisitState, VisitState]
    origins: tuple[Place, Place]


class PersonUpdated(Fact, frozen=True, kw_only=True):
    """Somebody's address or name was corrected."""

    person: Person


class PersonsMerged(Fact, frozen=True, kw_only=True):
    """Two records turned out to be one person; `source` is the number that is given up."""

    person: Person
    source: str


class BedStatusChanged(Fact, frozen=True, kw_only=True):
    """A bed needs cleaning (H), is ready (U) or was closed (C)."""

    place: Place
    status: str
