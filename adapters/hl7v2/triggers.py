"""What each ADT trigger event means: one function per event, one row in `TRANSLATORS`.

Every function takes one message and returns its events, the description of the patient first.
"""

from collections.abc import Callable

from msgspec import UNSET
from msgspec.structs import replace

from adapters.hl7v2.codes import BED_STATUSES, NO_VISIT
from adapters.hl7v2.fields import Person, Reading, Segment, patient_identifiers, person
from adapters.hl7v2.refusal import (
    REQUIRED_FIELD,
    SEGMENT_SEQUENCE,
    TABLE_VALUE,
    content_fault,
)
from adapters.hl7v2.visits import (
    ADMITTED,
    DISCHARGED,
    VisitFacts,
    numbered,
    visit_facts,
    without_place,
)
from twin_core.events import (
    Admitted,
    BedStatusChanged,
    Cancelled,
    ClassChanged,
    Discharged,
    EncounterUpdated,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    PatientDescribed,
    PatientsMerged,
    Planned,
    Registered,
    Transferred,
)
from twin_core.identifiers import Identifier

Events = tuple[Event, ...]
Translator = Callable[[Reading], Events]


def described(reading: Reading, who: Person) -> PatientDescribed:
    """What the message says of the person, as of its recording."""
    return PatientDescribed(
        occurred_at=reading.recorded_at,
        patient=who.identifiers,
        demographics=who.demographics,
        other_identifiers=who.others,
    )


def _patient_and_visit(
    reading: Reading, own_time: int = 0
) -> tuple[PatientDescribed, VisitFacts | None]:
    pid = reading.pid()
    who = person(reading, pid)
    facts = visit_facts(reading, who.identifiers, pid, reading.pv1(), own_time=own_time)
    return described(reading, who), facts


def admitted(reading: Reading) -> Events:
    """A01: the patient was admitted at PV1-44 to PV1-3."""
    patient, facts = _patient_and_visit(reading, ADMITTED)
    return (patient, Admitted(**facts)) if facts else (patient,)


def transferred(reading: Reading) -> Events:
    """A02: the patient moved from PV1-6 to PV1-3."""
    patient, facts = _patient_and_visit(reading)
    if facts is None:
        return (patient,)
    return (patient, _transfer(reading, facts, reading.pv1() or [], swapped=False))


def discharged(reading: Reading) -> Events:
    """A03: the patient left at PV1-45; PV1-3 is the last location."""
    patient, facts = _patient_and_visit(reading, DISCHARGED)
    return (patient, Discharged(**facts)) if facts else (patient,)


def registered(reading: Reading) -> Events:
    """A04: the patient arrived at PV1-44."""
    patient, facts = _patient_and_visit(reading, ADMITTED)
    return (patient, Registered(**facts)) if facts else (patient,)


def planned(reading: Reading) -> Events:
    """A05: an admission was planned."""
    patient, facts = _patient_and_visit(reading)
    return (patient, Planned(**facts)) if facts else (patient,)


def became_inpatient(reading: Reading) -> Events:
    """A06: an outpatient became an inpatient."""
    return _class_changed(reading, "IMP")


def became_outpatient(reading: Reading) -> Events:
    """A07: an inpatient became an outpatient."""
    return _class_changed(reading, "AMB")


def updated(reading: Reading) -> Events:
    """A08: patient or visit information changed; nobody moved."""
    patient, facts = _patient_and_any_visit(reading)
    return (patient, EncounterUpdated(**facts)) if facts else (patient,)


def admission_cancelled(reading: Reading) -> Events:
    """A11: an admission (A01) or a registration (A04) was cancelled."""
    return _cancelled(reading, Cancelled.ADMISSION)


def transfer_cancelled(reading: Reading) -> Events:
    """A12: a transfer was cancelled; PV1-3 is where the patient was before it."""
    return _cancelled(reading, Cancelled.TRANSFER)


def discharge_cancelled(reading: Reading) -> Events:
    """A13: a discharge was cancelled; PV1-3 is where the patient is."""
    return _cancelled(reading, Cancelled.DISCHARGE)


def swapped(reading: Reading) -> Events:
    """A17: two patients swapped beds; each PID and PV1 pair is one half of one swap."""
    pairs = _pairs(reading, "PV1")
    if len(pairs) != 2 or any(pv1 is None for _, pv1 in pairs):
        reason = "A swap needs exactly two PID segments, each followed by its PV1."
        raise content_fault("PID^2", SEGMENT_SEQUENCE, reason)
    descriptions: list[Event] = []
    transfers: list[Event] = []
    for sequence, (pid, pv1) in enumerate(pairs, start=1):
        who = person(reading, pid, sequence)
        facts = visit_facts(reading, who.identifiers, pid, pv1, sequence=sequence)
        if facts is None or pv1 is None:
            reason = "Both visits of a swap must be named; send PV1-19."
            raise content_fault(f"PV1^{sequence}^19", REQUIRED_FIELD, reason)
        descriptions.append(described(reading, who))
        transfers.append(_transfer(reading, facts, pv1, swapped=True))
    return (*descriptions, *transfers)


def bed_status_changed(reading: Reading) -> Events:
    """A20: the bed NPU-1 has the status NPU-2; there is no patient."""
    npu = reading.segment("NPU")
    place = reading.conventions.place(reading.message, npu[1])
    if not place:
        raise content_fault("NPU^1^1", REQUIRED_FIELD, "The bed is not named; send it in NPU-1.")
    status = reading.message.code(npu[2]).upper()
    if status not in BED_STATUSES:
        reason = "The bed status is no code of table 0116; send C, H, O, U, K or I."
        raise content_fault("NPU^1^2", TABLE_VALUE, reason)
    occurred_at = reading.event_at or reading.recorded_at
    return (BedStatusChanged(occurred_at=occurred_at, place=place, operational_status=status),)


def leave_started(reading: Reading) -> Events:
    """A21: the patient went on leave; the bed stays assigned."""
    patient, facts = _patient_and_visit(reading)
    return (patient, LeaveStarted(**facts)) if facts else (patient,)


def leave_ended(reading: Reading) -> Events:
    """A22: the patient came back from leave."""
    patient, facts = _patient_and_visit(reading)
    return (patient, LeaveEnded(**facts)) if facts else (patient,)


def person_added(reading: Reading) -> Events:
    """A28: a person became known; there is no visit."""
    return (described(reading, person(reading, reading.pid())),)


def person_updated(reading: Reading) -> Events:
    """A31: person information changed; a visit's attributes may come along, its place never."""
    patient, facts = _patient_and_any_visit(reading)
    return (patient, EncounterUpdated(**without_place(facts))) if facts else (patient,)


def patients_merged(reading: Reading) -> Events:
    """A40: MRG-1 of every set was merged into the PID-3 before it."""
    descriptions: list[Event] = []
    merges: list[Event] = []
    for sequence, (pid, mrg) in enumerate(_pairs(reading, "MRG"), start=1):
        if mrg is None:
            reason = "Every PID of a merge must be followed by its MRG."
            raise content_fault(f"MRG^{sequence}", SEGMENT_SEQUENCE, reason)
        who = person(reading, pid, sequence)
        descriptions.append(described(reading, who))
        merges += _merges(reading, who, mrg, sequence)
    if not merges:
        raise content_fault("PID^1", SEGMENT_SEQUENCE, "The merge has no PID; send PID and MRG.")
    return (*descriptions, *merges)


TRANSLATORS: dict[str, Translator] = {
    "A01": admitted,
    "A02": transferred,
    "A03": discharged,
    "A04": registered,
    "A05": planned,
    "A06": became_inpatient,
    "A07": became_outpatient,
    "A08": updated,
    "A11": admission_cancelled,
    "A12": transfer_cancelled,
    "A13": discharge_cancelled,
    "A17": swapped,
    "A20": bed_status_changed,
    "A21": leave_started,
    "A22": leave_ended,
    "A28": person_added,
    "A31": person_updated,
    "A40": patients_merged,
}
"""Trigger events that are applied. Any other of A01 to A62 is journalled and not applied."""


def _transfer(reading: Reading, facts: VisitFacts, pv1: Segment, *, swapped: bool) -> Transferred:
    origin = reading.conventions.place(reading.message, pv1[6])  # prior patient location
    return Transferred(**facts, origin=origin, swapped=swapped)


def _class_changed(reading: Reading, usual_class: str) -> Events:
    """A06 or A07, with the prior visit or account number (MRG-5, MRG-3) as a second identifier."""
    patient, facts = _patient_and_visit(reading)
    if facts is None:
        return (patient,)
    if facts["visit"].class_ is UNSET:
        facts["visit"] = replace(facts["visit"], class_=usual_class)
    mrg = reading.message.segment("MRG")
    prior: Identifier | None = None
    if mrg is not None:
        # MRG-3 is an account: it names the visit only where accounts do (no PV1-19).
        by_account = numbered(reading, (reading.pv1() or [])[19], "VN") is None
        prior = numbered(reading, mrg[5], "VN") or (
            numbered(reading, mrg[3], "AN") if by_account else None
        )
    if prior is not None and prior.key != facts["encounter"][0].key:
        facts["encounter"] = (*facts["encounter"], prior)
    return (patient, ClassChanged(**facts))


def _patient_and_any_visit(reading: Reading) -> tuple[PatientDescribed, VisitFacts | None]:
    """A08 and A31 may be about a person only: without a PV1, or with patient class N."""
    pv1 = reading.pv1()
    if pv1 is None or reading.message.code(pv1[2]) == NO_VISIT:
        return described(reading, person(reading, reading.pid())), None
    return _patient_and_visit(reading)


def _cancelled(reading: Reading, kind: Cancelled) -> Events:
    patient, facts = _patient_and_visit(reading)
    if facts is None:
        return (patient,)
    facts["occurred_at"] = reading.recorded_at
    if kind is Cancelled.DISCHARGE:
        # A sender may repeat the discharge time that it is taking back.
        facts["visit"] = replace(facts["visit"], discharged_at=UNSET)
    return (patient, EventCancelled(**facts, cancels=kind, cancelled_at=reading.event_at))


def _pairs(reading: Reading, partner: str) -> list[tuple[Segment, Segment | None]]:
    """Every PID with the first segment of the partner's name that follows it."""
    pairs: list[tuple[Segment, Segment | None]] = []
    for line in reading.message.lines:
        if line.startswith("PID"):
            pairs.append((reading.split(line), None))
        elif line.startswith(partner) and pairs and pairs[-1][1] is None:
            pairs[-1] = (pairs[-1][0], reading.split(line))
    return pairs


def _merges(reading: Reading, who: Person, mrg: Segment, sequence: int) -> list[Event]:
    where = f"MRG^{sequence}^1"
    sources, _ = patient_identifiers(reading, mrg[1])
    if not sources:
        reason = "The patient to be merged is not identified; send MRG-1."
        raise content_fault(where, REQUIRED_FIELD, reason)
    known = {identifier.key for identifier in who.identifiers}
    others = [source for source in sources if source.key not in known]
    if not others:
        reason = "MRG-1 and PID-3 name the same patient; a record is not merged into itself."
        raise content_fault(where, TABLE_VALUE, reason)
    return [
        PatientsMerged(
            occurred_at=reading.event_at or reading.recorded_at,
            source=source,
            target=_counterpart(source, who.identifiers),
        )
        for source in others
    ]


def _counterpart(source: Identifier, targets: tuple[Identifier, ...]) -> Identifier:
    """The surviving identifier of the same kind: same issuer and type, else type, else primary."""
    for target in targets:
        if (target.system, target.type) == (source.system, source.type):
            return target
    return next((target for target in targets if target.type == source.type), targets[0])
