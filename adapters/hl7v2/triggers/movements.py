"""Admissions, transfers, discharges, changes of class, and updates of a visit."""

from datetime import datetime

from msgspec import UNSET
from msgspec.structs import replace

from adapters.hl7v2.fields import Reading, Segment, person
from adapters.hl7v2.refusal import REQUIRED_FIELD, SEGMENT_SEQUENCE, content_fault
from adapters.hl7v2.triggers.identities import ACCOUNT, VISIT, IdentitySet
from adapters.hl7v2.triggers.reading import (
    Events,
    Translator,
    described,
    pairs,
    patient_and_any_visit,
    patient_and_visit,
)
from adapters.hl7v2.visits import ADMITTED, DISCHARGED, VisitFacts, visit_facts
from twin_core.events import (
    Admitted,
    ClassChanged,
    Discharged,
    EncounterContinued,
    EncounterUpdated,
    Event,
    Registered,
    Transferred,
)
from twin_core.identifiers import Identifier


def admitted(reading: Reading) -> Events:
    """A01: the patient was admitted at PV1-44 to PV1-3."""
    patient, facts = patient_and_visit(reading, ADMITTED)
    return (patient, Admitted(**facts)) if facts else (patient,)


def transferred(reading: Reading) -> Events:
    """A02: the patient moved from PV1-6 to PV1-3."""
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    return (patient, _transfer(reading, facts, reading.pv1() or [], swapped=False))


def discharged(reading: Reading) -> Events:
    """A03: the patient left at PV1-45; PV1-3 is the last location."""
    patient, facts = patient_and_visit(reading, DISCHARGED)
    return (patient, Discharged(**facts)) if facts else (patient,)


def registered(reading: Reading) -> Events:
    """A04: the patient arrived at PV1-44."""
    patient, facts = patient_and_visit(reading, ADMITTED)
    return (patient, Registered(**facts)) if facts else (patient,)


def became_inpatient(reading: Reading) -> Events:
    """A06: an outpatient became an inpatient."""
    return _class_changed(reading, "IMP")


def became_outpatient(reading: Reading) -> Events:
    """A07: an inpatient became an outpatient."""
    return _class_changed(reading, "AMB")


def updated(reading: Reading) -> Events:
    """A08: patient or visit information changed; nobody moved."""
    patient, facts = patient_and_any_visit(reading)
    if facts is None:
        return (patient,)
    visit = facts["visit"]
    for number, at in ((ADMITTED, visit.admitted_at), (DISCHARGED, visit.discharged_at)):
        if isinstance(at, datetime) and at > reading.latest and visit.class_ != "PRENC":
            reading.note_future(f"PV1^1^{number}")
    return (patient, EncounterUpdated(**facts))


def swapped(reading: Reading) -> Events:
    """A17: two patients swapped beds; each PID and PV1 pair is one half of one swap."""
    halves = pairs(reading, "PV1")
    if len(halves) != 2 or any(pv1 is None for _, pv1 in halves):
        reason = "A swap needs exactly two PID segments, each followed by its PV1."
        raise content_fault("PID^2", SEGMENT_SEQUENCE, reason)
    descriptions: list[Event] = []
    transfers: list[Event] = []
    for sequence, (pid, pv1) in enumerate(halves, start=1):
        who = person(reading, pid, sequence)
        facts = visit_facts(reading, who.identifiers, pid[18], pv1, sequence=sequence)
        if facts is None or pv1 is None:
            reason = "Both visits of a swap must be named; send PV1-19."
            raise content_fault(f"PV1^{sequence}^19", REQUIRED_FIELD, reason)
        descriptions.append(described(reading, who))
        transfers.append(_transfer(reading, facts, pv1, swapped=True))
    return (*descriptions, *transfers)


def _transfer(reading: Reading, facts: VisitFacts, pv1: Segment, *, swapped: bool) -> Transferred:
    origin = reading.conventions.place(reading.message, pv1[6])  # prior patient location
    return Transferred(**facts, origin=origin, swapped=swapped)


def _class_changed(reading: Reading, usual_class: str) -> Events:
    """A06 or A07, with the prior visit or account number (MRG-5, MRG-3) as a second identifier.

    A prior account beside a PV1-19 says that the visit which is open under it goes on.
    """
    patient, facts = patient_and_visit(reading)
    if facts is None:
        return (patient,)
    if facts["visit"].class_ is UNSET:
        facts["visit"] = replace(facts["visit"], class_=usual_class)
    visit, account = _prior(reading)
    named = facts["encounter"][0]
    by_account = named == facts["account"]
    # MRG-3 is an account: it names the visit itself only where accounts do (no PV1-19).
    if visit is None and by_account:
        visit = account
    if visit is not None and visit.key != named.key:
        facts["encounter"] = (*facts["encounter"], visit)
    if visit is not None or account is None or account == facts["account"]:
        return (patient, ClassChanged(**facts))
    changed = ClassChanged(**facts, prior_account=account)
    continued = EncounterContinued(
        occurred_at=changed.occurred_at,
        entered_at=changed.entered_at,
        encounter=(account,),
        patient=changed.patient,
        account=account,
        successor=named,
    )
    return (patient, changed, continued)


def _prior(reading: Reading) -> tuple[Identifier | None, Identifier | None]:
    """The prior visit (MRG-5) and the prior account (MRG-3) of a visit, as far as they are told."""
    mrg = reading.message.segment("MRG")
    if mrg is None:
        return None, None
    one = IdentitySet(1, reading.pid(), mrg, reading.pv1(), reading)
    return next(iter(one.prior(VISIT)), None), next(iter(one.prior(ACCOUNT)), None)


TRANSLATORS: dict[str, Translator] = {
    "ADT^A01": admitted,
    "ADT^A02": transferred,
    "ADT^A03": discharged,
    "ADT^A04": registered,
    "ADT^A06": became_inpatient,
    "ADT^A07": became_outpatient,
    "ADT^A08": updated,
    "ADT^A17": swapped,
}
