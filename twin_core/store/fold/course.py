"""The course of one encounter: its movements in order become stays, statuses and classes.

Rules are those of HL7 v2 chapter 3, read as in docs/explanation/adt-semantics.md: A01 and A04
open, A02 moves, A03 frees the bed, A06 and A07 change the class and may move, leave keeps the bed
assigned, A08 never moves anyone. Plans and tracking leave the course as it is: see `plans` and
`tracking`.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import takewhile

from msgspec import UNSET
from msgspec.structs import replace

from twin_core.events import (
    AdmissionPending,
    Admitted,
    Arrived,
    AttendingChanged,
    Cancelled,
    ClassChanged,
    ConsultantsChanged,
    Departed,
    Discharged,
    DischargePending,
    EncounterEvent,
    EncounterUpdated,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    MilestoneReached,
    Planned,
    Registered,
    TransferPending,
    Transferred,
    VisitPurged,
)
from twin_core.identifiers import NOWHERE, Place
from twin_core.store.facts import Fact, Order
from twin_core.store.fold.cancels import (
    ADMISSION_PLANS,
    MOVEMENTS,
    OF_AN_ADMISSION,
    OPENINGS,
    Undone,
    apply_cancels,
)
from twin_core.store.fold.corrections import stated
from twin_core.store.fold.rows import Note, ResolvedPlace

BEDDED_CLASSES = frozenset({"IMP", "ACUTE", "NONAC", "OBSENC"})
"""Classes whose patients occupy a unit even where the message names no bed."""


class Relocated(EncounterEvent, frozen=True, kw_only=True, tag=True):
    """A cancelled discharge left the patient at `place`, last seen at `origin` (A13)."""

    origin: Place = NOWHERE


class OpenedStay:
    """A stay while the course is being followed."""

    __slots__ = ("from_at", "inferred", "place", "to_at")

    def __init__(self, place: ResolvedPlace, from_at: datetime, inferred: bool) -> None:
        self.place, self.from_at, self.inferred = place, from_at, inferred
        self.to_at: datetime | None = None


class Course:
    """What the movements of one encounter amount to.

    `stays` in order, `statuses` and `classes` as (instant, code) changes, `milestones` as (kind,
    instant), and notes of what did not fit.
    """

    def __init__(self, locate: Callable[[Place], ResolvedPlace]) -> None:
        self._locate = locate
        self.stays: list[OpenedStay] = []
        self.statuses: list[tuple[datetime, str]] = []
        self.classes: list[tuple[datetime, str]] = []
        self.milestones: list[tuple[str, datetime]] = []
        self.notes: list[Note] = []
        self.known: Sequence[Fact] = ()
        self.live: Sequence[Fact] = ()
        self.kinds: frozenset[type[Event]] = frozenset()
        """Which kinds of events are live."""
        self.standing: Sequence[Fact] = ()
        """What is followed: live facts without repeated discharges, with relocations."""
        self.ignored: set[Order] = set()
        """Where in the order facts stand that are of no account where they stand."""
        self.undone: Sequence[Undone] = ()
        self.discharged_at: datetime | None = None
        self.untold_discharge: Fact | None = None
        """The update that last stated a discharge of whoever was there."""
        self.stated = NOWHERE
        """The place as the message that last moved the patient named it."""
        self.moved = False
        self.inferred = False
        self.unseen_until: Order | None = None
        self.cancelled = False

    @property
    def open(self) -> OpenedStay | None:
        """The stay the patient is in, if any."""
        last = self.stays[-1] if self.stays else None
        return last if last is not None and last.to_at is None else None

    @property
    def status(self) -> str:
        """The latest status; empty before anything was known."""
        return self.statuses[-1][1] if self.statuses else ""

    def is_first_sight(self, fact: Fact) -> bool:
        """Whether nothing was known of the patient's whereabouts before a fact."""
        unseen = self.unseen_until is None or fact.order < self.unseen_until
        return unseen and not self.moved and not self.cancelled

    # --- what happens to a patient -----------------------------------------------------------

    def become(self, status: str, at: datetime) -> None:
        """Change the status of the encounter."""
        if status != self.status:
            self.statuses.append((at, status))

    def occupy(self, stated: Place, at: datetime, *, inferred: bool = False) -> None:
        """Be at a place from an instant on, leaving the previous one."""
        here, place = self.open, self.locate(stated)
        self.stated = stated
        if here is not None:
            if here.place[:4] == place[:4]:
                return
            here.to_at = max(at, here.from_at)
        self.stays.append(OpenedStay(place, at, inferred))
        self.inferred = self.inferred or inferred

    def leave(self, at: datetime) -> None:
        """Free the place."""
        if self.open is not None:
            self.open.to_at = max(at, self.open.from_at)

    def locate(self, place: Place) -> ResolvedPlace:
        """Where a place is."""
        return self._locate(place)

    def note(self, kind: str, fact: Fact, detail: str) -> None:
        """Remember that something did not fit."""
        self.notes.append(Note(kind, fact, detail))

    def ignore(self, kind: str, fact: Fact, detail: str) -> None:
        """Take a fact for nothing, and remember why."""
        self.ignored.add(fact.order)
        self.note(kind, fact, detail)

    def compare(self, fact: Fact, stated: Place, what: str) -> None:
        """Note a drift where a message states another place than the patient is held to be at."""
        if stated and self.open is not None and stated != self.stated:
            if not self.locate(stated).agrees_with(self.open.place):
                self.note("drift", fact, f"{what} is not where the twin has the patient")


def follow(facts: Sequence[Fact], locate: Callable[[Place], ResolvedPlace]) -> Course:
    """The course of an encounter from its facts in order."""
    surviving = apply_cancels(facts)
    course = Course(locate)
    course.notes.extend(surviving.notes)
    live = course.live = _left_after_coming(surviving.live, course)
    course.unseen_until = surviving.unseen_until
    course.known, course.undone = surviving.known, surviving.undone
    course.kinds = frozenset([type(fact.event) for fact in live])
    course.standing = _once_discharged(_with_relocations(live, surviving.undone), course)
    for fact in course.standing:
        if course.cancelled and isinstance(fact.event, _BASELESS):
            course.ignore("movement_after_cancel", fact, "a movement of no admission is ignored")
            continue
        step = _STEPS.get(type(fact.event))
        if step is not None:
            step(course, fact, fact.event)  # type: ignore[arg-type]  # only these have steps
    if course.untold_discharge is not None and course.open is not None:
        detail = "an update states a discharge that no A03 told"
        course.note("drift", course.untold_discharge, detail)
    course.stays = _joined(s for s in course.stays if s.to_at is None or s.to_at > s.from_at)
    return course


def _joined(stays: Iterable[OpenedStay]) -> list[OpenedStay]:
    # There and back at one instant is no move: the stay was not interrupted.
    joined: list[OpenedStay] = []
    for stay in stays:
        last = joined[-1] if joined else None
        if last is not None and last.to_at == stay.from_at and last.place[:4] == stay.place[:4]:
            last.to_at = stay.to_at
        else:
            joined.append(stay)
    return joined


def _left_after_coming(facts: Sequence[Fact], course: Course) -> Sequence[Fact]:
    # A discharge reported after the first admission, yet dated before it, is of whoever was there:
    # PV1-45 cannot be right, and the patient left when the discharge was recorded.
    before = list(takewhile(lambda fact: not isinstance(fact.event, OPENINGS), facts))
    if not before or len(before) == len(facts):
        return facts
    opening = facts[len(before)]
    dated: dict[Order, Fact] = {}
    for fact in before:
        event = fact.event
        if isinstance(event, Discharged) and stated(fact) > stated(opening):
            at = max(event.entered_at, opening.event.occurred_at)
            course.note("discharge_before_admission", fact, "taken for when it was recorded")
            order = (at, *fact.order[1:])
            dated[fact.order] = fact._replace(order=order, event=replace(event, occurred_at=at))
    if not dated:
        return facts
    return sorted((dated.get(f.order, f) for f in facts), key=lambda fact: fact.order)


def _with_relocations(live: Sequence[Fact], undone: Sequence[Undone]) -> Sequence[Fact]:
    # A13 with another PV1-3 than before: the patient is in that bed from the instant of the
    # discharge that never was, so that no gap and no overlap appears.
    moves = []
    for cancel, target in undone:
        event, discharge = cancel.event, target.event
        if isinstance(event, EncounterEvent) and isinstance(discharge, Discharged):
            move = Relocated(
                occurred_at=discharge.occurred_at,
                entered_at=event.entered_at,
                encounter=event.encounter,
                visit=discharge.visit,
                place=event.place,
                origin=discharge.place,
            )
            moves.append(target._replace(event=move))
    return sorted([*live, *moves], key=lambda fact: fact.order) if moves else live


def _once_discharged(facts: Sequence[Fact], course: Course) -> Sequence[Fact]:
    # A patient leaves once: until the encounter is opened again, the last discharge counts, and
    # movements before it are movements of a patient who was still there.
    standing: list[Fact] = []
    repeats: Fact | None = None
    for fact in reversed(facts):
        if isinstance(fact.event, OPENINGS):
            repeats = None
        elif isinstance(fact.event, Discharged):
            if repeats is not None:
                course.note("repeated_discharge", repeats, "discharged before; the later counts")
                repeats = fact
                continue
            repeats = fact
        standing.append(fact)
    return standing[::-1]


def _reopen(course: Course, fact: Fact) -> None:
    course.cancelled, course.moved = False, True
    course.untold_discharge = None
    if course.discharged_at is not None:
        course.note("movement_after_discharge", fact, "the encounter was opened again")
        course.discharged_at = None


def _admitted(course: Course, fact: Fact, event: EncounterEvent) -> None:
    _reopen(course, fact)
    course.become("in-progress", event.occurred_at)
    if event.place:
        course.occupy(event.place, event.occurred_at)


def _registered(course: Course, fact: Fact, event: EncounterEvent) -> None:
    _reopen(course, fact)
    if _takes_a_bed(course, event.place):
        course.become("in-progress", event.occurred_at)
        course.occupy(event.place, event.occurred_at)
    elif course.status not in {"in-progress", "onleave"}:
        course.become("arrived", event.occurred_at)


def _planned(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if not course.moved:
        course.become("planned", event.occurred_at)


def _transferred(course: Course, fact: Fact, event: EncounterEvent) -> None:
    assert isinstance(event, Transferred)  # noqa: S101  (narrows the type)
    if course.discharged_at is not None:
        course.ignore("movement_after_discharge", fact, "a transfer after the discharge is ignored")
        return
    if course.is_first_sight(fact):
        _infer_start(course, event, event.origin)
    course.compare(fact, event.origin, "the prior location")
    _be_in_progress(course, event)
    if event.place:
        course.occupy(event.place, event.occurred_at)


def _relocated(course: Course, fact: Fact, event: EncounterEvent) -> None:
    assert isinstance(event, Relocated)  # noqa: S101  (narrows the type)
    if course.discharged_at is not None:
        course.ignored.add(fact.order)
        return
    if course.is_first_sight(fact) and event.origin:
        _infer_start(course, event, event.origin)
    here = course.open
    if event.place and (here is None or not course.locate(event.place).agrees_with(here.place)):
        _be_in_progress(course, event)
        course.occupy(event.place, event.occurred_at)


def _discharged(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if course.is_first_sight(fact):
        _infer_start(course, event, event.place)
    course.compare(fact, event.place, "the last location")
    if course.discharged_at is not None and course.stays:
        # Only an update had told of it; the discharge itself says when.
        course.statuses.pop()
        course.stays[-1].to_at = None
    course.leave(event.occurred_at)
    course.become("finished", event.occurred_at)
    course.discharged_at = event.occurred_at
    course.moved = True


def _class_changed(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if course.discharged_at is not None:
        course.ignore("movement_after_discharge", fact, "a class change after the discharge")
        return
    if course.is_first_sight(fact):
        _infer_start(course, event, NOWHERE, "arrived")
    bedded = event.visit.class_ in BEDDED_CLASSES
    here = course.open
    if event.place and (bedded or here is not None or _takes_a_bed(course, event.place)):
        if here is None or not course.locate(event.place).agrees_with(here.place):
            course.occupy(event.place, event.occurred_at)
    if bedded or course.open is not None:
        _be_in_progress(course, event)
    elif not course.moved:
        course.moved = True
        course.become("arrived", event.occurred_at)


def _be_in_progress(course: Course, event: EncounterEvent) -> None:
    # Whose bed changes during a leave is still on leave.
    course.moved = True
    if course.status != "onleave":
        course.become("in-progress", event.occurred_at)


def _leave_started(course: Course, fact: Fact, event: EncounterEvent) -> None:
    _leave(course, fact, event, "onleave")


def _leave_ended(course: Course, fact: Fact, event: EncounterEvent) -> None:
    _leave(course, fact, event, "in-progress")


def _leave(course: Course, fact: Fact, event: EncounterEvent, status: str) -> None:
    if course.discharged_at is not None:
        course.ignored.add(fact.order)
        return
    if course.is_first_sight(fact):
        _infer_start(course, event, event.place if _occupies(course, event) else NOWHERE)
    course.moved = True
    course.become(status, event.occurred_at)


def _cancelled(course: Course, fact: Fact, event: EncounterEvent) -> None:
    assert isinstance(event, EventCancelled)  # noqa: S101  (narrows the type)
    if event.cancels is Cancelled.DISCHARGE:
        course.untold_discharge = None
    if event.cancels is Cancelled.ADMISSION:
        if not course.moved:
            course.cancelled = True
            course.become("cancelled", event.occurred_at)
    elif event.cancels in _OF_ADMISSION_PLANS:
        if not course.moved and not any(_plans_admission(one) for one in course.live):
            course.become("cancelled", event.occurred_at)
    elif event.cancels in _OF_A_PRESENT_PATIENT:
        if course.is_first_sight(fact) and _occupies(course, event):
            _infer_start(course, event, event.place)
    elif event.cancels not in _OF_TRACKING:
        _updated(course, fact, event)


def _plans_admission(fact: Fact) -> bool:
    return isinstance(fact.event, ADMISSION_PLANS)


def _tracked(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if course.discharged_at is not None:
        course.ignore("movement_after_discharge", fact, "tracked after the discharge")


def _purged(course: Course, fact: Fact, event: EncounterEvent) -> None:
    course.become("entered-in-error", event.occurred_at)


def _updated(course: Course, fact: Fact, event: EncounterEvent) -> None:
    visit = event.visit
    if not course.is_first_sight(fact):
        course.compare(fact, event.place, "the location of an update")
        if visit.discharged_at is not UNSET:
            course.untold_discharge = fact if visit.discharged_at is not None else None
    elif course.status == "planned" or visit.class_ == "PRENC":
        course.become("planned", event.occurred_at)
    elif course.status == "cancelled":
        return
    elif _occupies(course, event):
        _infer_start(course, event, event.place)
        if isinstance(visit.discharged_at, datetime) and visit.discharged_at <= event.occurred_at:
            course.leave(visit.discharged_at)
            course.become("finished", visit.discharged_at)
            course.discharged_at = visit.discharged_at
    elif not course.status:
        course.become("unknown", event.occurred_at)


def _milestone(course: Course, fact: Fact, event: EncounterEvent) -> None:
    assert isinstance(event, MilestoneReached)  # noqa: S101  (narrows the type)
    course.milestones.append((event.milestone, event.occurred_at))


def _infer_start(
    course: Course, event: EncounterEvent, place: Place, status: str = "in-progress"
) -> None:
    # First sight in the middle of a stay: it began at PV1-44, or at the latest now.
    admitted_at = event.visit.admitted_at
    known = isinstance(admitted_at, datetime) and admitted_at <= event.occurred_at
    start = admitted_at if known and isinstance(admitted_at, datetime) else event.occurred_at
    course.moved = True
    while course.statuses and course.statuses[-1][0] >= start:
        course.statuses.pop()  # what was told before of a time when the patient was there already
    if place:
        course.occupy(place, start, inferred=True)
    course.become(status, start)


def _occupies(course: Course, event: EncounterEvent) -> bool:
    """Whether whoever is at the event's place takes up room there."""
    bedded = event.visit.class_ in BEDDED_CLASSES
    return bool(event.place) and (bedded or _takes_a_bed(course, event.place))


def _takes_a_bed(course: Course, place: Place) -> bool:
    return place.names_a_bed() or (place.reference is not None and bool(course.locate(place).bed))


_STEPS: dict[type[Event], Callable[[Course, Fact, EncounterEvent], None]] = {
    Admitted: _admitted,
    Registered: _registered,
    Planned: _planned,
    AdmissionPending: _planned,
    TransferPending: _updated,
    DischargePending: _updated,
    AttendingChanged: _updated,
    ConsultantsChanged: _updated,
    Departed: _tracked,
    Arrived: _tracked,
    VisitPurged: _purged,
    Transferred: _transferred,
    Discharged: _discharged,
    ClassChanged: _class_changed,
    LeaveStarted: _leave_started,
    LeaveEnded: _leave_ended,
    EncounterUpdated: _updated,
    EventCancelled: _cancelled,
    Relocated: _relocated,
    MilestoneReached: _milestone,
}

_BASELESS = (Relocated, *OF_AN_ADMISSION)
"""What is ignored of an encounter whose admission was cancelled."""

_OF_ADMISSION_PLANS = (Cancelled.PRE_ADMISSION, Cancelled.PENDING_ADMISSION)
_OF_A_PRESENT_PATIENT = (
    Cancelled.TRANSFER,
    Cancelled.DISCHARGE,
    Cancelled.CLASS_CHANGE,
    Cancelled.LEAVE,
    Cancelled.RETURN,
)
_OF_TRACKING = (Cancelled.DEPARTURE, Cancelled.ARRIVAL)

HAS_COURSE = (*MOVEMENTS, *ADMISSION_PLANS, EventCancelled, VisitPurged)


def stated_classes(facts: Sequence[Fact]) -> list[tuple[datetime, str]]:
    """Changes of class as (instant, code), from whichever encounter events stated one, in order."""
    changes: list[tuple[datetime, str]] = []
    latest = ""
    for fact in facts:
        code = fact.event.visit.class_  # type: ignore[attr-defined]
        if code is not UNSET and code is not None and code != latest:
            latest = code
            changes.append((fact.event.occurred_at, code))
    return changes
