"""What happened, in the past tense: the vocabulary between the wire formats and the store.

Adapters translate one message into one `Translation` (events and findings) or one `Rejection`.
Events are frozen, know nothing of the format they came from, and encode to one JSON object each
(`encode_events`, `decode_events`), which is what the journal keeps.

Events hold no cycles, so they are kept out of the garbage collector (`gc=False`): a busy feed makes
millions of them. Three field conventions hold everywhere:
- instants are aware UTC datetimes; `occurred_at` is when it happened in the hospital;
- an attribute is UNSET where the message said nothing (keep the old value), None where the
  message cleared it (HL7 `""`), and a value otherwise;
- codes are FHIR R4 codes (Encounter.status, v3 ActCode class, administrative gender).
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from twin_core.identifiers import NOWHERE, Identifier, Place

Text = str | None | UnsetType
Instant = datetime | None | UnsetType
Minutes = float | None | UnsetType


class Demographics(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What a message says of a person. Birth date is ISO text (a date may lack day or month)."""

    birth_date: Text = UNSET
    sex: Text = UNSET
    """FHIR administrative gender: male, female, other, unknown."""
    deceased_at: Instant = UNSET
    deceased: bool | UnsetType | None = UNSET
    family_name: Text = UNSET
    given_name: Text = UNSET
    postal_code: Text = UNSET


class Visit(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What a message says of an encounter besides where the patient is."""

    class_: Text = msgspec.field(default=UNSET, name="class")
    """v3 ActCode: EMER, IMP, AMB, OBSENC, PRENC, SS, HH, VR, NONAC, ACUTE."""
    service: Text = UNSET
    admit_source: Text = UNSET
    disposition: Text = UNSET
    admitted_at: Instant = UNSET
    discharged_at: Instant = UNSET
    attending: Text = UNSET
    consulting: tuple[str, ...] | UnsetType | None = UNSET
    """Every consulting doctor (PV1-9); a message that names any names all."""
    facility: Text = UNSET


class Movement(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Which movement of the sender's own record an event states (IHE PAM, segment ZBE).

    `identifiers` are the movement's ids as `system|id` (ZBE-1), never empty.
    """

    identifiers: tuple[str, ...]
    corrects: bool = False
    """ZBE-4 UPDATE: the event takes the place of what was said of this movement before."""


class Event(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False, tag_field="event"
):
    """Something that happened at an instant. Subclasses say what."""

    occurred_at: datetime


class PatientEvent(Event, frozen=True, kw_only=True):
    """An event about a person. `patient` lists identifiers, the primary one first; never empty."""

    patient: tuple[Identifier, ...]


class EncounterEvent(Event, frozen=True, kw_only=True):
    """An event of one encounter.

    `encounter` lists its identifiers (visit number, FHIR id), the primary one first; never empty:
    where a message has no visit number, the adapter builds the fallback identifiers of the design.
    `patient` lists the patient's identifiers and may be empty (a FHIR Encounter without subject).
    `entered_at` is when the source recorded it (EVN-2, else MSH-7). `account` is the account that
    the encounter belongs to (PID-18); several encounters may share one.
    """

    encounter: tuple[Identifier, ...]
    patient: tuple[Identifier, ...] = ()
    account: Identifier | None = None
    entered_at: datetime
    visit: Visit = Visit()
    place: Place = NOWHERE
    movement: Movement | None = None


class PatientDescribed(PatientEvent, frozen=True, kw_only=True, tag=True):
    """Demographics or identifiers of a person were stated (any PID, A28, A31)."""

    demographics: Demographics = Demographics()
    other_identifiers: tuple[Identifier, ...] = ()
    """Recorded for the person but never used to connect records (social security, licence)."""


class PatientsMerged(Event, frozen=True, kw_only=True, tag=True):
    """One person's record was merged into another (A40: MRG-1 into PID-3)."""

    source: Identifier
    target: Identifier


class PatientRenumbered(Event, frozen=True, kw_only=True, tag=True):
    """A person's identifier was changed (A46, A47, A48); the old one and the new one both hold."""

    source: Identifier
    target: Identifier


class PatientIdentifiersMoved(Event, frozen=True, kw_only=True, tag=True):
    """Identifiers filed under the wrong person were moved to another (A43), and what is theirs.

    `target` names the record they belong to now; one of themselves where they stand alone.
    `source` is the person they were taken from, where the message says.
    """

    identifiers: tuple[Identifier, ...]
    target: Identifier
    source: Identifier | None = None


class PatientsLinked(Event, frozen=True, kw_only=True, tag=True):
    """Two people's records were linked and remain two records (A24)."""

    one: Identifier
    other: Identifier


class PatientsUnlinked(Event, frozen=True, kw_only=True, tag=True):
    """A link between two people's records was taken back (A37)."""

    one: Identifier
    other: Identifier


class AccountsMerged(Event, frozen=True, kw_only=True, tag=True):
    """One account was merged into another (A35, A41: MRG-3 into PID-18)."""

    source: Identifier
    target: Identifier


class AccountRenumbered(Event, frozen=True, kw_only=True, tag=True):
    """An account's number was changed (A49); the old one and the new one both hold."""

    source: Identifier
    target: Identifier


class AccountMoved(Event, frozen=True, kw_only=True, tag=True):
    """An account filed under the wrong person was moved to another, with its encounters (A44).

    `patient` lists the identifiers of whom it belongs to now, the primary one first; never empty.
    `source` is the person it was taken from, where the message says.
    """

    account: Identifier
    patient: tuple[Identifier, ...]
    source: Identifier | None = None


class Admitted(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient was admitted to `place` (A01)."""


class Registered(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient arrived and was registered (A04); consumes a bed only if `place` names one."""


class Planned(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """An admission was planned (A05), to `place` where it is known; no occupancy."""

    expected_at: datetime | None = None


class AdmissionPending(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """An admission to `place` is imminent or reserved (A14): a bed is requested, none occupied."""

    expected_at: datetime | None = None


class TransferPending(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient at `place` is to move to `destination` (A15); nobody has moved."""

    destination: Place = NOWHERE
    expected_at: datetime | None = None


class DischargePending(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient at `place` is to leave (A16); the bed is not free yet."""

    expected_at: datetime | None = None


class Transferred(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient moved from `origin` to `place` (A02; each half of an A17)."""

    origin: Place = NOWHERE
    swapped: bool = False


class Discharged(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient left; `place` is the last location, now freed (A03)."""


class ClassChanged(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The encounter changed class (A06, A07), moving to `place` where it differs.

    `prior_account` is the account that the encounter had until then (MRG-3), where the message
    names the encounter by a number of its own; an EncounterContinued says so of the account.
    """

    prior_account: Identifier | None = None


class LeaveStarted(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient left on leave of absence (A21); the bed stays assigned."""

    expected_return_at: datetime | None = None


class LeaveEnded(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient came back from leave (A22)."""


class EncounterUpdated(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """Visit attributes were stated with no other trigger (A08); `place` never moves the patient."""


class Departed(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient left for `destination` (A09); the assigned bed stays what it was.

    `temporary` where the destination is a temporary location (PV1-11), such as theatre or imaging.
    """

    destination: Place = NOWHERE
    temporary: bool = False


class Arrived(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The patient arrived at `destination` (A10); the assigned bed stays what it was."""

    destination: Place = NOWHERE
    temporary: bool = False


class AttendingChanged(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The visit has another attending doctor (A54)."""


class ConsultantsChanged(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The visit has other consulting doctors (A61)."""


class VisitPurged(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """The visit was deleted from the record (A23); the person stays."""


class Cancelled(StrEnum):
    """Which kind of event a cancel undoes."""

    ADMISSION = "admission"
    TRANSFER = "transfer"
    DISCHARGE = "discharge"
    PRE_ADMISSION = "pre_admission"
    PENDING_ADMISSION = "pending_admission"
    PENDING_TRANSFER = "pending_transfer"
    PENDING_DISCHARGE = "pending_discharge"
    CLASS_CHANGE = "class_change"
    DEPARTURE = "departure"
    ARRIVAL = "arrival"
    LEAVE = "leave"
    RETURN = "return"
    ATTENDING = "attending"
    CONSULTANTS = "consultants"


class EventCancelled(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """An earlier event was cancelled (A11, A12, A13, ...). `occurred_at` is when it was cancelled.

    `cancelled_at` is when the cancelled event had occurred (EVN-6), where the message gives it.
    `place` is where the patient is after the cancel (PV1-3); `destination` is where a cancelled
    transfer had led to (PV1-6 of an A12).
    """

    cancels: Cancelled
    cancelled_at: datetime | None = None
    destination: Place = NOWHERE


class EncountersMerged(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """Two numbers are one visit (A42); `encounter` is the surviving number, then the other."""


class EncounterRenumbered(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """A visit's number was changed (A50, A51); `encounter` is the new number, then the old one."""


class EncounterMoved(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """A visit was moved to `account` and to the patient whose account that is (A45)."""


class EncounterContinued(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """A visit of an account goes on under another number (A06, A07 with MRG-3).

    `encounter` is the prior account; which visit of it goes on is the one open then.
    """

    successor: Identifier


class MilestoneReached(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """A named instant of the encounter's course (bed_requested, decision_to_admit, triaged ...)."""

    milestone: str


class BedStatusChanged(Event, frozen=True, kw_only=True, tag=True):
    """The operational status of a bed changed (A20, HL7 table 0116: C H O U K I)."""

    place: Place
    operational_status: str


class Booking(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What a message says of an appointment besides its patients and resources."""

    status: Text = UNSET
    """FHIR R4 Appointment.status: proposed, pending, booked, arrived, fulfilled, cancelled, noshow,
    entered-in-error, checked-in, waitlist."""
    starts_at: Instant = UNSET
    ends_at: Instant = UNSET
    duration_minutes: Minutes = UNSET
    occurrence: str | UnsetType = UNSET
    """Which appointment of a series (SCH-3)."""
    kind: Text = UNSET
    """Type of appointment (HL7 table 0277: Normal, Tentative, Complete), as sent."""
    urgency: Text = UNSET
    """Priority (TQ1-9, SCH-11.6), as sent."""
    reason: Text = UNSET
    """Why the appointment is needed (SCH-7)."""
    event_reason: Text = UNSET
    """Why it was booked, moved or cancelled (SCH-6)."""
    facility: Text = UNSET
    place: Place = NOWHERE
    """Where it is, as far as no location resource says so."""


class Attendance(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A patient of an appointment, and the visit it belongs to where the message names one."""

    patient: tuple[Identifier, ...]
    visit: Identifier | None = None


class ResourceBooked(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What a message says of one service or resource of an appointment (AIS, AIG, AIL, AIP).

    `action` is HL7 table 0206 (A added, U changed, D removed, X unchanged), or empty: then the
    message lists all resources of that kind. `position` is group and set id (`1.2`), which name the
    resource within its message, and the one it takes the place of in the message before.
    """

    kind: str
    """service, general, location or personnel."""
    action: str = ""
    position: str = ""
    system: str = ""
    code: str = ""
    name: Text = UNSET
    role: Text = UNSET
    place: Place = NOWHERE
    starts_at: Instant = UNSET
    offset_minutes: Minutes = UNSET
    """From the start of the appointment; negative before it."""
    duration_minutes: Minutes = UNSET
    status: Text = UNSET
    """As `Booking.status`."""


class AppointmentEvent(Event, frozen=True, kw_only=True):
    """An event of one appointment; `occurred_at` is when the schedule was changed.

    `appointment` lists its identifiers (placer, filler; of a series with the occurrence number
    after a `#`), never empty. `patients` are all of them; none where the message names none.
    """

    appointment: tuple[Identifier, ...]
    patients: tuple[Attendance, ...] = ()
    booking: Booking = Booking()
    resources: tuple[ResourceBooked, ...] = ()


class AppointmentBooked(AppointmentEvent, frozen=True, kw_only=True, tag=True):
    """An appointment was booked (S12)."""


class AppointmentRescheduled(AppointmentEvent, frozen=True, kw_only=True, tag=True):
    """An appointment was moved to another time (S13)."""


class AppointmentModified(AppointmentEvent, frozen=True, kw_only=True, tag=True):
    """Something of an appointment changed (S14), or of its services and resources (S18 to S22)."""


class AppointmentCancelled(AppointmentEvent, frozen=True, kw_only=True, tag=True):
    """An appointment will not be (S15), or what is left of it will not be (S16)."""


class AppointmentMissed(AppointmentEvent, frozen=True, kw_only=True, tag=True):
    """The patient did not come (S26)."""


class AppointmentDeleted(AppointmentEvent, frozen=True, kw_only=True, tag=True):
    """An appointment had been booked in error and was deleted (S17)."""


class StatedPeriod(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A period of a FHIR statement: a status, a class or a location, half-open [start, end)."""

    value: str = ""
    place: Place = NOWHERE
    start: datetime | None = None
    end: datetime | None = None


class CensusReported(Event, frozen=True, kw_only=True, tag=True):
    """A source counted the patients in a unit at `occurred_at`; compared with the twin's census."""

    source: str
    facility: str
    unit: str
    census: int


class Statement(Event, frozen=True, kw_only=True):
    """One source's whole view of one FHIR resource; it supersedes that source's earlier one.

    `occurred_at` is meta.lastUpdated, else the instant of receipt; `version` is meta.versionId.
    `subject` is the resource itself: its (source, `Type/id`) identifier.
    """

    source: str
    subject: Identifier
    version: str = ""
    identifiers: tuple[Identifier, ...] = ()


class Withdrawn(Statement, frozen=True, kw_only=True, tag=True):
    """A source no longer has a resource (FHIR DELETE): what it stated of it until then is void.

    Where the source does not say when it deleted it (`dated` False), `occurred_at` is the receipt,
    and what is received later counts again only in a later version than all received before.
    """

    dated: bool = True


class PatientStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Patient. `replaced_by` comes from link.type replaced-by (a merge)."""

    demographics: Demographics = Demographics()
    replaced_by: Identifier | None = None
    active: bool = True


class EncounterStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Encounter with its status, class and location histories."""

    patient: tuple[Identifier, ...] = ()
    status: str = ""
    """FHIR R4 code; R5 codes are mapped to R4 by the adapter."""
    statuses: tuple[StatedPeriod, ...] = ()
    classes: tuple[StatedPeriod, ...] = ()
    locations: tuple[StatedPeriod, ...] = ()
    """Active and completed locations only; planned and reserved ones are not occupancy."""
    milestones: tuple[StatedPeriod, ...] = ()
    visit: Visit = Visit()
    part_of: Identifier | None = None


class LocationStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Location in the hierarchy site > building > ward > room > bed."""

    kind: str = ""
    """FHIR physical type code: si, bu, wi, wa, ro, bd, area, ..."""
    name: str = ""
    part_of: Identifier | None = None
    status: str = ""
    """active, suspended or inactive; a suspended or inactive bed is not staffed."""
    operational_status: str = ""
    """HL7 table 0116 code: C H O U K I."""
    place: Place = NOWHERE
    """Facility, unit, room and bed where configured identifiers give them directly."""


class DeviceStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Device, with where it is and whose it is as far as the resource says."""

    kind: str = ""
    name: str = ""
    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    status: str = ""
    location: Identifier | None = None
    patient: Identifier | None = None


class Observation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One measurement, finding or result as a report states it.

    `system` and the like are FHIR code system URIs. Empty text means not stated.
    """

    system: str
    code: str
    display: str = ""
    also: tuple[tuple[str, str], ...] = ()
    """Further (system, code) of it: whatever one of them was reported of is the same result."""
    sub_id: str = ""
    """Tells apart results of one code in one report (OBX-4); a device's containment path."""
    repeat: int = 0
    """How many results of this code and sub-id stand before it in the same report."""
    status: str
    """FHIR R4 Observation.status."""
    status_only: bool = False
    """The report changes the status and sends no value: what was reported before stands."""
    effective_at: datetime | None = None
    """When it was true of the patient, where that is not `effective_at` of the report."""
    value_type: str = ""
    """FHIR value[x] type: Quantity, CodeableConcept, string, dateTime, ...; empty: no value."""
    value: str = ""
    value_number: float | None = None
    comparator: str = ""
    """`<`, `<=`, `>=` or `>` where `value_number` is a limit."""
    value_system: str = ""
    value_code: str = ""
    unit: str = ""
    unit_system: str = ""
    withheld: str = ""
    """Why a value that was sent is not kept: narrative, attachment, waveform or person."""
    reference_range: str = ""
    interpretation: str = ""
    body_site: str = ""
    device: Identifier | None = None
    """What measured it, where that is not `device` of the report."""


class OrderedService(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A service that was ordered, by one code and its text."""

    system: str
    code: str
    display: str = ""


class ObservationsReported(Event, frozen=True, kw_only=True, tag=True):
    """Results were reported; `occurred_at` is when, and orders corrections (OBR-22, else MSH-7).

    Results of one order correct each other. Those that stand alone, without an order or measured
    by a device, are corrected only by a report of the same instant for the same subject.
    """

    order: Identifier | None = None
    """The filler's number of the order, else the placer's."""
    placer: Identifier | None = None
    standalone: bool = False
    source: str
    """Who reported it (MSH-3|MSH-4), which is the subject where no patient or device is named."""
    patient: tuple[Identifier, ...] = ()
    encounter: Identifier | None = None
    device: Identifier | None = None
    effective_at: datetime
    panel: tuple[str, ...] = ()
    """Codes of the part of the order (OBR-4) that tell it from others; `#1`: only its place."""
    ordered: tuple[OrderedService, ...] = ()
    """What was ordered (OBR-4); two of them are two codes of one service."""
    observations: tuple[Observation, ...]


class DeviceEventReported(Event, frozen=True, kw_only=True, tag=True):
    """A device raised, changed or ended an alarm, or something else happened to it."""

    kind: str
    """alarm, alarm-status (what became of telling someone) or event."""
    alarm: Identifier
    """What the reports of one alarm have in common: the number of its first report."""
    report: str = ""
    """The number of this report."""
    source: str
    device: Identifier | None = None
    patient: tuple[Identifier, ...] = ()
    encounter: Identifier | None = None
    place: Place = NOWHERE
    system: str = ""
    code: str = ""
    display: str = ""
    priority: str = ""
    """high, medium, low or none."""
    alarm_type: str = ""
    """physiological, technical or advisory."""
    phase: str = ""
    """start, continue, end, tpoint, ..."""
    state: str = ""
    """active, inactive or latched; of an alarm-status what became of the message."""
    inactivation: str = ""
    """enabled, audio-paused, alarm-off, ..."""


class ObservationStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Observation: its own result, those of its components, or both."""

    patient: tuple[Identifier, ...] = ()
    encounter: Identifier | None = None
    device: Identifier | None = None
    effective_at: datetime | None = None
    issued_at: datetime | None = None
    observations: tuple[Observation, ...]


class AppointmentStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Appointment, with everybody and everything that takes part in it."""

    booked_at: datetime | None = None
    patients: tuple[Attendance, ...] = ()
    booking: Booking = Booking()
    resources: tuple[ResourceBooked, ...] = ()


class CareStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Procedure, ServiceRequest, Task, Schedule, Slot or DeviceMetric."""

    resource_type: str
    status: str = ""
    intent: str = ""
    priority: str = ""
    system: str = ""
    code: str = ""
    display: str = ""
    category: str = ""
    unit: str = ""
    patient: tuple[Identifier, ...] = ()
    encounter: Identifier | None = None
    place: Place = NOWHERE
    device: Identifier | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    authored_at: datetime | None = None
    performer: Identifier | None = None
    of: Identifier | None = None
    """What it belongs to: a slot's schedule, a task's focus, what a procedure is based on."""
    milestones: tuple[StatedPeriod, ...] = ()
    """Milestones of the encounter that it stands for, by the settings of the site."""


class DirectoryStated(Statement, frozen=True, kw_only=True, tag=True):
    """A FHIR Organization, Practitioner or the like: who is who, without occupancy."""

    resource_type: str
    name: str = ""
    active: bool = True


AnyEvent = (
    PatientDescribed
    | PatientsMerged
    | PatientRenumbered
    | PatientIdentifiersMoved
    | PatientsLinked
    | PatientsUnlinked
    | AccountsMerged
    | AccountRenumbered
    | AccountMoved
    | Admitted
    | Registered
    | Planned
    | AdmissionPending
    | TransferPending
    | DischargePending
    | Transferred
    | Discharged
    | ClassChanged
    | LeaveStarted
    | LeaveEnded
    | Departed
    | Arrived
    | AttendingChanged
    | ConsultantsChanged
    | VisitPurged
    | EncounterUpdated
    | EventCancelled
    | EncountersMerged
    | EncounterRenumbered
    | EncounterMoved
    | EncounterContinued
    | MilestoneReached
    | BedStatusChanged
    | AppointmentBooked
    | AppointmentRescheduled
    | AppointmentModified
    | AppointmentCancelled
    | AppointmentMissed
    | AppointmentDeleted
    | CensusReported
    | Withdrawn
    | PatientStated
    | EncounterStated
    | LocationStated
    | DeviceStated
    | DirectoryStated
    | CareStated
    | ObservationStated
    | AppointmentStated
    | ObservationsReported
    | DeviceEventReported
)


class NotedFinding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A data-quality finding an adapter noted on an accepted message. Never holds PHI.

    Kinds in use: reduced_precision, no_time_zone, ambiguous_local_time, clock_skew, unknown_code,
    missing_identifier, unexpected_repetition, test_message, bare_line_feed, reused_control_id,
    guessed_charset, displaced_field, missing_element, reversed_period, invalid_time, future_time,
    invalid_duration, unresolved_reference, site_trigger, ignored_trigger, unsupported_event,
    not_understood, unreadable_line, unknown_unit, invalid_number, payload_not_kept,
    impossible_date, status_period_mismatch, unsupported_version.
    """

    kind: str
    detail: str = ""


class KeptField(NamedTuple):
    """A component of a field that the feed is set to keep; see `twin.message_field`."""

    segment: str
    sequence: int
    """Which of the segments of that name: 1 for the first."""
    field: int
    component: int
    repetition: int
    value: str | None
    """None where the sender cleared it."""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Who sent a message, and what orders it among messages of the same effective instant.

    `digest` is 16 bytes over the content without MSH-7 and MSH-13: equal digests from one sender
    under one control id are the same message sent again.
    """

    feed: str
    sender: str
    """Who gives control ids meaning: MSH-3|MSH-4, or the FHIR source."""
    control_id: str
    trigger_event: str
    """`ADT^A01`, or `FHIR Encounter`."""
    sent_at: datetime
    """MSH-7, or meta.lastUpdated, else the instant of receipt."""
    sequence: int = 0
    """MSH-13, or 0."""
    digest: bytes
    unversioned: bool = False
    """A resource posted without a version: its control id stands for the resource, and it repeats
    only when it equals the latest content received for it."""


class Translation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that was understood: its events and what was odd about it.

    No events means received, not applied: the message is journalled and reported as such.
    """

    envelope: Envelope
    events: tuple[Event, ...] = ()
    findings: tuple[NotedFinding, ...] = ()
    kept: tuple[KeptField, ...] = ()


class Fault(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One reason for a reject: where, which HL7 table 0357 code, and what to do. Never PHI."""

    where: str
    """`PV1^1^44` (segment^sequence^field, as ERR-2 has it) or a FHIRPath expression."""
    code: str
    reason: str


class Rejection(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that cannot be applied. `code` is AE (content) or AR (envelope, unsupported)."""

    code: str
    faults: tuple[Fault, ...]
    feed: str
    sender: str = ""
    control_id: str = ""
    trigger_event: str = ""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[AnyEvent, ...])


def encode_events(events: tuple[Event, ...]) -> bytes:
    """The events of one message as a JSON array, each object tagged by `event`."""
    return _ENCODER.encode(events)


def decode_events(encoded: bytes) -> tuple[Event, ...]:
    """The inverse of `encode_events`; raises msgspec.ValidationError on anything else."""
    return _DECODER.decode(encoded)
