"""The course of one encounter: its movements in order become stays, statuses and classes.

Rules are those of HL7 v2 chapter 3, read as in docs/explanation/adt-semantics.md: A01 and A04
open, A02 moves, A03 frees the bed, A06 and A07 change the class and may move, leave keeps the bed
assigned, A08 never moves anyone.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import UNSET

from twin_core.events import (
    Admitted,
    Cancelled,
    ClassChanged,
    Discharged,
    EncounterEvent,
    EncounterUpdated,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    MilestoneReached,
    Planned,
    Registered,
    Transferred,
)
from twin_core.identifiers import NOWHERE, Place
from twin_core.store.facts import Fact
from twin_core.store.fold.cancels import MOVEMENTS, Undone, apply_cancels
from twin_core.store.fold.rows import Note, ResolvedPlace

BEDDED_CLASSES = frozenset({"IMP", "ACUTE", "NONAC", "OBSENC"})
"""Classes whose patients occupy a unit even where the message names no bed."""


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
        self.live: Sequence[Fact] = ()
        self.discharged_at: datetime | None = None
        self.stated = NOWHERE
        """The place as the message that last moved the patient named it."""
        self.moved = False
        self.inferred = False

    @property
    def open(self) -> OpenedStay | None:
        """The stay the patient is in, if any."""
        last = self.stays[-1] if self.stays else None
        return last if last is not None and last.to_at is None else None

    @property
    def status(self) -> str:
        """The latest status; empty before anything was known."""
        return self.statuses[-1][1] if self.statuses else ""

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
    course.live = surviving.live
    if surviving.cancelled_at is not None:
        cancel = surviving.cancelled_at
        course.become("cancelled", cancel.event.occurred_at)
        course.moved = True
        return course
    for fact in _with_relocations(surviving.live, surviving.undone, locate):
        step = _STEPS.get(type(fact.event))
        if step is not None:
            step(course, fact, fact.event)  # type: ignore[arg-type]  # only these have steps
    course.stays = [s for s in course.stays if s.to_at is None or s.to_at > s.from_at]
    return course


def _with_relocations(
    live: Sequence[Fact], undone: Sequence[Undone], locate: Callable[[Place], ResolvedPlace]
) -> Sequence[Fact]:
    # A13 with another PV1-3 than before: the patient is in that bed from the instant of the
    # discharge that never was, so that no gap and no overlap appears.
    moves = []
    for cancel, target in undone:
        event = cancel.event
        assert isinstance(event, EventCancelled)  # noqa: S101  (narrows the type)
        if event.cancels is Cancelled.DISCHARGE and event.place:
            at = target.event.occurred_at
            move = Transferred(
                occurred_at=at,
                entered_at=event.entered_at,
                encounter=event.encounter,
                place=event.place,
            )
            moves.append(target._replace(event=move))
    return sorted([*live, *moves], key=lambda fact: fact.order) if moves else live


def _reopen(course: Course, fact: Fact) -> None:
    if course.discharged_at is not None:
        course.note("movement_after_discharge", fact, "the encounter was opened again")
        course.discharged_at = None


def _admitted(course: Course, fact: Fact, event: EncounterEvent) -> None:
    _reopen(course, fact)
    course.become("in-progress", event.occurred_at)
    course.moved = True
    if event.place:
        course.occupy(event.place, event.occurred_at)


def _registered(course: Course, fact: Fact, event: EncounterEvent) -> None:
    _reopen(course, fact)
    course.moved = True
    if _takes_a_bed(course, event.place):
        course.become("in-progress", event.occurred_at)
        course.occupy(event.place, event.occurred_at)
    elif course.status != "in-progress":
        course.become("arrived", event.occurred_at)


def _planned(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if not course.moved:
        course.become("planned", event.occurred_at)


def _transferred(course: Course, fact: Fact, event: EncounterEvent) -> None:
    assert isinstance(event, Transferred)  # noqa: S101  (narrows the type)
    if course.discharged_at is not None:
        course.note("movement_after_discharge", fact, "a transfer after the discharge is ignored")
        return
    if not course.moved and event.origin:
        _infer_start(course, event, event.origin)
    course.compare(fact, event.origin, "the prior location")
    course.moved = True
    course.become("in-progress", event.occurred_at)
    if event.place:
        course.occupy(event.place, event.occurred_at)


def _discharged(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if not course.moved and event.place:
        _infer_start(course, event, event.place)
    course.compare(fact, event.place, "the last location")
    if course.discharged_at is not None:
        course.note("repeated_discharge", fact, "discharged before; the later one counts")
        if course.stays:
            course.stays[-1].to_at = event.occurred_at
    course.leave(event.occurred_at)
    course.become("finished", event.occurred_at)
    course.discharged_at = event.occurred_at
    course.moved = True


def _class_changed(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if course.discharged_at is not None:
        course.note("movement_after_discharge", fact, "a class change after the discharge")
        return
    bedded = event.visit.class_ in BEDDED_CLASSES
    here = course.open
    if event.place and (bedded or here is not None or _takes_a_bed(course, event.place)):
        if here is None or not course.locate(event.place).agrees_with(here.place):
            course.occupy(event.place, event.occurred_at)
    course.moved = True
    course.become("in-progress" if bedded or course.open else "arrived", event.occurred_at)


def _leave_started(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if course.discharged_at is None:
        course.become("onleave", event.occurred_at)


def _leave_ended(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if course.discharged_at is None:
        course.become("in-progress", event.occurred_at)


def _updated(course: Course, fact: Fact, event: EncounterEvent) -> None:
    if course.moved:
        course.compare(fact, event.place, "the location of an update")
        return
    visit = event.visit
    if course.status == "planned" or visit.class_ == "PRENC":
        course.become("planned", event.occurred_at)
    elif course.open is not None:
        course.compare(fact, event.place, "the location of an update")
    elif course.discharged_at is not None:
        return
    elif event.place and (visit.class_ in BEDDED_CLASSES or _takes_a_bed(course, event.place)):
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


def _infer_start(course: Course, event: EncounterEvent, place: Place) -> None:
    # First sight in the middle of a stay: it began at PV1-44, or at the latest now.
    if course.open is not None:
        return
    admitted_at = event.visit.admitted_at
    known = isinstance(admitted_at, datetime) and admitted_at <= event.occurred_at
    start = admitted_at if known and isinstance(admitted_at, datetime) else event.occurred_at
    course.occupy(place, start, inferred=True)
    course.become("in-progress", start)


def _takes_a_bed(course: Course, place: Place) -> bool:
    return place.names_a_bed() or (place.reference is not None and bool(course.locate(place).bed))


_STEPS: dict[type[Event], Callable[[Course, Fact, EncounterEvent], None]] = {
    Admitted: _admitted,
    Registered: _registered,
    Planned: _planned,
    Transferred: _transferred,
    Discharged: _discharged,
    ClassChanged: _class_changed,
    LeaveStarted: _leave_started,
    LeaveEnded: _leave_ended,
    EncounterUpdated: _updated,
    MilestoneReached: _milestone,
}

HAS_COURSE = (*MOVEMENTS, Planned, EventCancelled)


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
