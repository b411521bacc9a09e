"""A slow reading of what ADT events mean, to hold the twin to.

Written from the standard's rules, not from the twin. Nothing is carried along from event to event:
every question (is the patient here, where, in which status) is answered by searching the record
backwards from the instant asked about, and stays are what changes between such answers.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import UNSET

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
    Movement,
    PatientDescribed,
    PatientsMerged,
    Planned,
    Registered,
    TransferPending,
    Transferred,
    Visit,
    VisitPurged,
)
from twin_core.identifiers import NOWHERE, Identifier, Place

PLANNING = (Planned, AdmissionPending)
TOLD = (EncounterUpdated, AttendingChanged, ConsultantsChanged)
"""What tells of a visit and means no more."""
RANKS = (
    PLANNING,
    (Admitted, Registered),
    (TransferPending, DischargePending),
    (Transferred,),
    (ClassChanged,),
    (LeaveStarted, LeaveEnded, Departed, Arrived),
    (Discharged,),
    (PatientsMerged,),
    (EventCancelled, VisitPurged),
    (Event,),
)
OPENING = (Admitted, Registered)
KEPT = (*PLANNING, *TOLD, EventCancelled)
"""What does not belong to an admission: it stands whatever becomes of the one before it."""
UNDOES = {
    Cancelled.ADMISSION: OPENING,
    Cancelled.TRANSFER: (Transferred,),
    Cancelled.DISCHARGE: (Discharged,),
    Cancelled.CLASS_CHANGE: (ClassChanged,),
    Cancelled.PRE_ADMISSION: (Planned,),
    Cancelled.PENDING_ADMISSION: (AdmissionPending,),
    Cancelled.PENDING_TRANSFER: (TransferPending,),
    Cancelled.PENDING_DISCHARGE: (DischargePending,),
    Cancelled.DEPARTURE: (Departed,),
    Cancelled.ARRIVAL: (Arrived,),
    Cancelled.LEAVE: (LeaveStarted,),
    Cancelled.RETURN: (LeaveEnded,),
    Cancelled.ATTENDING: (AttendingChanged,),
    Cancelled.CONSULTANTS: (ConsultantsChanged,),
}
OF_PLANNING = {Cancelled.PRE_ADMISSION, Cancelled.PENDING_ADMISSION}
OF_SOMEONE_HERE = {
    Cancelled.TRANSFER,
    Cancelled.DISCHARGE,
    Cancelled.CLASS_CHANGE,
    Cancelled.LEAVE,
    Cancelled.RETURN,
}
OF_WHAT_IS_TOLD = {
    Cancelled.PENDING_TRANSFER,
    Cancelled.PENDING_DISCHARGE,
    Cancelled.ATTENDING,
    Cancelled.CONSULTANTS,
}


BEDDED = {"IMP", "ACUTE", "NONAC", "OBSENC"}
"""Classes whose patients take up room in a unit even where no bed is named."""


class Found(EncounterEvent):
    """Where the patient still was when a discharge that was cancelled later was reported."""


class Message(NamedTuple):
    """An event as a message brought it: when it was sent and under which control id."""

    event: Event
    sent_at: datetime
    control: int
    ordinal: int = 0


class Stay(NamedTuple):
    """A patient at one place."""

    place: Place
    from_at: datetime
    to_at: datetime | None


class Course(NamedTuple):
    """What can be said of one encounter."""

    stays: tuple[Stay, ...]
    status: str
    class_: str | None
    admitted_at: datetime | None
    discharged_at: datetime | None
    attending: str | None = None
    consulting: tuple[str, ...] = ()


def in_order(messages: Iterable[Message]) -> list[Message]:
    """The record as it is read: by instant, then by what comes first at one instant."""

    def position(message: Message) -> tuple[datetime, int, datetime, int, int]:
        rank = next(n for n, kinds in enumerate(RANKS) if isinstance(message.event, kinds))
        at = message.event.occurred_at
        return (at, rank, message.sent_at, message.control, message.ordinal)

    return sorted(messages, key=position)


def written(message: Message) -> tuple[datetime, datetime, int, int]:
    """When a message was written: as its event was entered, and then as it was sent."""
    event = message.event
    at = event.entered_at if isinstance(event, EncounterEvent) else event.occurred_at
    return (at, message.sent_at, message.control, message.ordinal)


class Record:
    """The lines of one encounter's record that stand, in order, and questions to it.

    What a cancel undid is gone, and the cancel stays as a line of its own. A cancelled discharge
    leaves a line of where the cancel says that the patient was found. A record that begins in the
    middle of a stay is opened by the admission it implies.
    """

    def __init__(self, told: Sequence[Message]) -> None:
        void, found, baseless, undone = _void(told)
        told, now = _with_possible_discharges(told, void)
        events = [message.event for message in told]
        void, baseless = {now[n] for n in void}, {now[n] for n in baseless}
        found = {now[n]: line for n, line in found.items()}
        self.undone = {now[n]: now[by] for n, by in undone.items()}
        self.said = [event for n, event in enumerate(events) if n not in void]
        void |= _repeated(events, void)
        lines = [found.get(n, e) for n, e in enumerate(events) if n in found or n not in void]
        implied = self.implied = _implied(events, void, found, baseless)
        if implied is not None:
            at = implied.occurred_at
            before = [(e.occurred_at, not isinstance(e, PLANNING)) < (at, True) for e in lines]
            lines.insert(before.index(False), implied)
        self.whole = events
        self.lines = lines
        self._held: dict[int, Place] = {}

    def here(self, n: int) -> bool:
        """Whether the patient is in the hospital after line n."""
        ends = (line for _, line in self._back(n) if isinstance(line, (*OPENING, Discharged)))
        return isinstance(next(ends, None), OPENING)

    def where(self, n: int) -> Place:
        """Where the patient is after line n."""
        if n not in self._held:
            self._held[n] = self._search(n)
        return self._held[n]

    def _search(self, n: int) -> Place:
        for i, line in self._back(n):
            if isinstance(line, Discharged):
                return NOWHERE
            if self._moves(i):
                return line.place
        return NOWHERE

    def _moves(self, i: int) -> bool:
        line = self.lines[i]
        if not line.place or not self.here(i):
            return False
        if isinstance(line, Registered):
            return line.place.names_a_bed()
        if isinstance(line, ClassChanged):
            before = self.where(i - 1)
            return not _agree(line.place, before) if before else _takes_up_room(line)
        if isinstance(line, Found):
            return not _agree(line.place, self.where(i - 1))
        return isinstance(line, (Admitted, Transferred))

    def status(self, n: int) -> str:
        """The encounter's status after line n."""
        for i, line in self._back(n):
            if not self.opened(i):
                if isinstance(line, PLANNING):
                    return "planned"
                if _cancels(line, {Cancelled.ADMISSION}):
                    return "cancelled"
                if _cancels(line, OF_PLANNING) and not self.planned():
                    return "cancelled"
            elif isinstance(line, Discharged):
                return "finished"
            elif not self.here(i):
                continue
            elif isinstance(line, LeaveStarted):
                return "onleave"
            elif isinstance(line, (Admitted, LeaveEnded)):
                return "in-progress"
            elif isinstance(line, Registered) and (not self.here(i - 1) or self._moves(i)):
                placed = self.where(n) or any(map(_admits, self.lines[i : n + 1]))
                return "in-progress" if placed else "arrived"
        return "unknown"

    def planned(self) -> bool:
        """Whether anything that plans an admission stands."""
        return any(isinstance(line, PLANNING) for line in self.lines)

    def counts(self, n: int) -> bool:
        """Whether line n is of account: nothing is that follows a cancelled admission or an end."""
        line = self.lines[n]
        if isinstance(line, (*OPENING, *KEPT)):
            return True
        if not self.opened(n):
            voided = (_cancels(earlier, {Cancelled.ADMISSION}) for earlier in self.lines[:n])
            return not any(voided)
        gone = (Transferred, ClassChanged, LeaveStarted, LeaveEnded, Departed, Arrived, Found)
        return self.here(n) or not isinstance(line, gone)

    def opened(self, n: int) -> bool:
        """Whether the encounter had been opened by line n."""
        return any(isinstance(line, OPENING) for line in self.lines[: n + 1])

    def stays(self) -> tuple[Stay, ...]:
        """What changes between the places held after every instant."""
        last_of = {line.occurred_at: n for n, line in enumerate(self.lines)}
        held = [(at, self.where(n)) for at, n in sorted(last_of.items())]
        changes = [
            (at, place) for n, (at, place) in enumerate(held) if n == 0 or place != held[n - 1][1]
        ]
        ends = [*(at for at, _ in changes[1:]), None]
        return tuple(
            Stay(place, at, end) for (at, place), end in zip(changes, ends, strict=True) if place
        )

    def stated(self, attribute: str) -> object:
        """What the last line that says anything of an attribute of the visit says."""
        said = [getattr(event.visit, attribute) for event in self.said]
        return next((value for value in reversed(said) if value is not UNSET), UNSET)

    def class_(self) -> str | None:
        """The class last stated; of a visit that was wholly cancelled, the one it had had."""
        stated = self.stated("class_")
        if stated is UNSET:
            said = [event.visit.class_ for event in self.whole]
            stated = next((value for value in reversed(said) if value is not UNSET), None)
        return stated

    def admitted_at(self) -> datetime | None:
        """The start of the visit as last stated, else when it was opened."""
        stated = self.stated("admitted_at")
        if stated is not UNSET:
            return stated
        first = next((line.occurred_at for line in self.lines if isinstance(line, OPENING)), None)
        stays = self.stays()
        return stays[0].from_at if stays else first

    def discharged_at(self) -> datetime | None:
        """When the patient left; nothing while the patient has not."""
        last = len(self.lines) - 1
        if self.status(last) != "finished":
            return None
        return next(e.occurred_at for _, e in self._back(last) if isinstance(e, Discharged))

    def _back(self, n: int) -> Iterator[tuple[int, EncounterEvent]]:
        return ((i, self.lines[i]) for i in range(n, -1, -1))


def record_of(messages: Iterable[Message]) -> Record | None:
    """The record of one encounter as it stands; None of one that was deleted."""
    told = [m for m in in_order(messages) if isinstance(m.event, EncounterEvent)]
    deleted = [written(m) for m in told if isinstance(m.event, VisitPurged)]
    if not deleted:
        return Record(_as_corrected(told))
    # What was written after the last deletion counts if it begins the visit anew.
    record = Record(_as_corrected([m for m in told if written(m) > max(deleted)]))
    begun = any(isinstance(e, (*OPENING, *PLANNING)) for e in record.said)
    return record if begun else None


def course(messages: Iterable[Message]) -> Course:
    """What a careful reader makes of the messages about one encounter."""
    record = record_of(messages)
    if record is None:
        return Course((), "entered-in-error", None, None, None)
    return Course(
        attending=_or_none(record.stated("attending")),
        consulting=_or_none(record.stated("consulting")) or (),
        stays=record.stays(),
        status=record.status(len(record.lines) - 1),
        class_=record.class_(),
        admitted_at=record.admitted_at(),
        discharged_at=record.discharged_at(),
    )


def _or_none(stated: object) -> object:
    return None if stated is UNSET else stated


def _cancels(event: EncounterEvent, kinds: set[Cancelled]) -> bool:
    return isinstance(event, EventCancelled) and event.cancels in kinds


def _as_corrected(told: Sequence[Message]) -> list[Message]:
    """The record with every correction in the place of the line that it corrects."""
    while (late := _corrects_a_cancelled(told)) is not None:
        told = [message for n, message in enumerate(told) if n != late]
    events = [message.event for message in told]
    wrong = {_corrects(events, n) for n in range(len(events))}
    return [
        message._replace(event=_reading(events, n))
        for n, message in enumerate(told)
        if n not in wrong
    ]


def _corrects_a_cancelled(told: Sequence[Message]) -> int | None:
    """The first written line that corrects a movement which had been taken back by then."""
    events = [message.event for message in told]
    movements = [n for n, e in enumerate(events) if e.movement is not None]
    for n in sorted(movements, key=lambda n: _entered(events, n)):
        event = events[n]
        if isinstance(event, EventCancelled) or not event.movement.corrects:
            continue
        wrong = _corrects(events, n)
        since = None if wrong is None else written(told[wrong])
        for i in movements:
            cancel = events[i]
            if (
                isinstance(cancel, EventCancelled)
                and type(event) in UNDOES[cancel.cancels]
                and set(cancel.movement.identifiers) & set(event.movement.identifiers)
                and (since is None or since < written(told[i]))
                and written(told[i]) < written(told[n])
            ):
                return n
    return None


def _corrects(events: Sequence[EncounterEvent], n: int) -> int | None:
    """The line that an update corrects: of those of its name the one entered last before it."""
    movement = events[n].movement
    if movement is None or not movement.corrects or isinstance(events[n], EventCancelled):
        return None
    earlier = [i for i in range(len(events)) if _entered(events, i) < _entered(events, n)]
    same = [i for i in earlier if set(movement.identifiers) & set(_names(events, i))]
    return max(same, key=lambda i: _entered(events, i), default=None)


def _entered(events: Sequence[EncounterEvent], n: int) -> tuple[datetime, bool, int]:
    movement = events[n].movement
    return (events[n].entered_at, movement is not None and movement.corrects, n)


def _names(events: Sequence[EncounterEvent], n: int) -> tuple[str, ...]:
    """Every name that a movement was ever given."""
    event = events[n]
    if event.movement is None or isinstance(event, EventCancelled):
        return ()
    before = _corrects(events, n)
    return event.movement.identifiers + (() if before is None else _names(events, before))


def _reading(events: Sequence[EncounterEvent], n: int) -> EncounterEvent:
    """A line, and what a correction leaves out as the corrected line has it."""
    event, before = events[n], _corrects(events, n)
    if before is None:
        return event
    wrong = _reading(events, before)
    fields = Visit.__struct_fields__
    said = {f: getattr(wrong.visit, f) for f in fields}
    said |= {f: v for f in fields if (v := getattr(event.visit, f)) is not UNSET}
    named = Movement(identifiers=_names(events, n), corrects=True)
    place = event.place if event.place else wrong.place
    return msgspec.structs.replace(event, visit=Visit(**said), place=place, movement=named)


def _void(
    told: Sequence[Message],
) -> tuple[set[int], dict[int, Found], set[int], dict[int, int]]:
    """Numbers of the lines that cancels undid, where cancelled discharges find the patient, the
    lines that cancel an admission which no message reported, and by which line each was undone."""
    events = [message.event for message in told]
    void: set[int] = set()
    undone: dict[int, int] = {}
    baseless: set[int] = set()
    found: dict[int, Found] = {}
    openings = [i for i, event in enumerate(events) if isinstance(event, OPENING)]
    for n, cancel in enumerate(events):
        if not isinstance(cancel, EventCancelled):
            continue
        target = _target(told, n, void)
        if cancel.cancels is Cancelled.ADMISSION:
            if target is None:
                baseless.add(n)
            for i in _swept(events, n, target, openings):
                void.add(i)
                found.pop(i, None)
                undone.pop(i, None)
        elif target is not None:
            void.add(target)
            undone[target] = n
            if cancel.cancels is Cancelled.DISCHARGE:
                found[target] = _found(events[target], cancel.place)
                void |= _same_departure(told, n, target, void)
    return void, found, baseless, undone


def _with_possible_discharges(
    told: Sequence[Message], void: set[int]
) -> tuple[Sequence[Message], list[int]]:
    """The record with every discharge that its own time has before the patient came, though it was
    written after that, at the time of its entry; and where each line is now."""
    coming = [n for n, m in enumerate(told) if n not in void and isinstance(m.event, OPENING)]
    lines = list(told)
    for n in range(min(coming, default=0)):
        event, first = told[n].event, told[coming[0]]
        if isinstance(event, Discharged) and n not in void and written(told[n]) > written(first):
            at = max(event.entered_at, first.event.occurred_at)
            lines[n] = told[n]._replace(event=msgspec.structs.replace(event, occurred_at=at))
    dated = in_order(lines)
    places = {id(line): n for n, line in enumerate(dated)}
    return dated, [places[id(line)] for line in lines]


def _same_departure(told: Sequence[Message], n: int, target: int, void: set[int]) -> set[int]:
    """Discharges that the one undone at n had repeated: they tell of the same departure."""
    events = [message.event for message in told]
    cancel = events[n]
    if cancel.movement is not None or not cancel.place:
        return set()
    opened = [i for i in range(target) if isinstance(events[i], OPENING) and i not in void]
    since = max(opened, default=-1)
    return {
        i
        for i in range(since + 1, target)
        if isinstance(events[i], Discharged)
        and written(told[i]) < written(told[n])
        and events[i].occurred_at <= cancel.occurred_at
    }


def _swept(
    events: Sequence[EncounterEvent], n: int, target: int | None, openings: Sequence[int]
) -> list[int]:
    """What the cancel of an admission at n undoes: it, and its movements up to the next one."""
    if target is None:
        # An admission that no message reported: then everything followed from it.
        reported = any(i < n for i in openings)
        return [] if reported else [i for i in range(n) if not isinstance(events[i], KEPT)]
    end = min((i for i in openings if target < i < n), default=n)
    return [target, *(i for i in range(target, end) if not isinstance(events[i], KEPT))]


def _target(told: Sequence[Message], n: int, void: set[int]) -> int | None:
    """The line that the cancel at n undoes.

    EVN-6 names it; among several that occurred then, one that had been written before the cancel,
    and nothing where it was undone before. Else it is the latest one before the cancel.
    """
    events = [message.event for message in told]
    cancel = events[n]
    of_kind = [i for i, event in enumerate(events) if isinstance(event, UNDOES[cancel.cancels])]
    if not of_kind and cancel.cancels in OF_PLANNING:
        of_kind = [i for i, event in enumerate(events) if isinstance(event, PLANNING)]
    if cancel.movement is not None:
        wanted = set(cancel.movement.identifiers)
        nameless = [i for i in of_kind if events[i].movement is None]
        own = {i: events[i].movement for i in of_kind if i not in nameless}
        of_kind = [i for i in own if wanted & set(own[i].identifiers)] or nameless
    entered = [
        i
        for i in of_kind
        if written(told[i]) < written(told[n]) and events[i].occurred_at <= cancel.occurred_at
    ]
    for known in (entered, of_kind):
        named = [i for i in known if _is_named_by(cancel.cancelled_at, events[i])]
        if named:
            return max((i for i in named if i not in void), default=None)
    standing = [i for i in entered if i not in void]
    if cancel.cancels is Cancelled.TRANSFER:
        fits = [i for i in standing if _is_told_of(cancel, events[i])]
        standing = fits or standing
    return max(standing, default=None)


def _is_told_of(cancel: EventCancelled, transfer: Transferred) -> bool:
    """Whether a cancel may mean a transfer: nothing they both say of whence and where differs."""
    whence = zip(_parts(cancel.place), _parts(transfer.origin), strict=True)
    where = zip(_parts(cancel.destination), _parts(transfer.place), strict=True)
    return not any(a and b and a != b for a, b in [*whence, *where])


def _is_named_by(at: datetime | None, event: EncounterEvent) -> bool:
    """Whether an EVN-6 is that of an event: when it occurred, or what a plan plans for."""
    if at is None:
        return False
    return at == event.occurred_at or at == getattr(event, "expected_at", None)


def _implied(
    events: Sequence[EncounterEvent], void: set[int], found: dict[int, Found], baseless: set[int]
) -> EncounterEvent | None:
    """The admission that a record implies whose first sight is in the middle of a stay."""
    openings = [n for n, event in enumerate(events) if isinstance(event, OPENING)]
    unseen = range(min(openings, default=len(events)))
    if any(n in baseless for n in unseen):
        return None
    plans = [n for n, e in enumerate(events) if isinstance(e, PLANNING) and n not in void]
    planned = False
    for n in unseen:
        event = events[n]
        # Someone only planned, or planned no more, is not here because a message names a bed.
        planned = planned or n in plans or (not plans and _cancels(event, OF_PLANNING))
        if isinstance(event, EventCancelled) and event.cancels is Cancelled.ADMISSION:
            return None
        if n in found and (event.place or found[n].place):
            return _admission_before(event)
        if n not in void and _shows_presence(event, planned):
            return _admission_before(event)
    return None


def _shows_presence(event: EncounterEvent, planned: bool) -> bool:
    """Whether a first message shows that the patient is in the hospital, or was until then."""
    told = isinstance(event, (*TOLD, TransferPending, DischargePending))
    if told or _cancels(event, OF_WHAT_IS_TOLD):
        return not planned and _takes_up_room(event)
    if isinstance(event, EventCancelled):
        return event.cancels in OF_SOMEONE_HERE and _takes_up_room(event)
    return not isinstance(event, (*PLANNING, Departed, Arrived))


def _admission_before(event: EncounterEvent) -> EncounterEvent:
    """The admission that must have gone before: at PV1-44, to where the patient was till now."""
    stated = event.visit.admitted_at
    known = isinstance(stated, datetime) and stated <= event.occurred_at
    place = event.origin if isinstance(event, Transferred) else event.place
    kind = Admitted
    if isinstance(event, ClassChanged):
        kind, place = Registered, NOWHERE  # it may have moved the patient: from where is not said
    elif isinstance(event, (LeaveStarted, LeaveEnded)) and not _takes_up_room(event):
        place = NOWHERE
    return kind(
        occurred_at=stated if known else event.occurred_at,
        entered_at=event.entered_at,
        encounter=event.encounter,
        place=place,
    )


def _takes_up_room(event: EncounterEvent) -> bool:
    """Whether whoever is at the event's place takes up room there: a bed, or as an inpatient."""
    named = event.place.names_a_bed()
    return named or (bool(event.place) and event.visit.class_ in BEDDED)


def _admits(event: EncounterEvent) -> bool:
    """Whether an event shows that a registered patient is being treated, wherever."""
    bedded = isinstance(event, ClassChanged) and event.visit.class_ in BEDDED
    return bedded or isinstance(event, Transferred)


def _agree(one: Place, other: Place) -> bool:
    """Whether two places may be one: what both name is the same."""
    return bool(other) and all(
        a == b for a, b in zip(_parts(one), _parts(other), strict=True) if a and b
    )


def _parts(place: Place) -> tuple[str, ...]:
    return (place.facility, place.unit, place.room, place.bed)


def _found(discharge: EncounterEvent, place: Place) -> Found:
    return Found(
        occurred_at=discharge.occurred_at,
        entered_at=discharge.entered_at,
        encounter=discharge.encounter,
        place=place,
    )


def _repeated(events: Sequence[EncounterEvent], void: set[int]) -> set[int]:
    """Discharges that a later discharge of the same time in hospital repeats."""
    repeated: set[int] = set()
    later = False
    for n in range(len(events) - 1, -1, -1):
        if n not in void and isinstance(events[n], (*OPENING, Discharged)):
            if later and isinstance(events[n], Discharged):
                repeated.add(n)
            later = isinstance(events[n], Discharged)
    return repeated


# --- people ------------------------------------------------------------------------------------


def survivors(
    messages: Iterable[Message], identifiers: Sequence[Identifier]
) -> dict[Identifier, Identifier]:
    """For each identifier, one of the record that survived all merges."""
    events = [message.event for message in in_order(messages)]
    lists = [set(e.patient) for e in events if isinstance(e, PatientDescribed)]
    record = {one: _record(one, lists) for one in identifiers}
    merges = [(record[e.source], record[e.target]) for e in events if isinstance(e, PatientsMerged)]
    merges = [(source, target) for source, target in merges if source != target]
    return {one: _path(record[one], merges)[-1] for one in identifiers}


def _record(identifier: Identifier, lists: Sequence[set[Identifier]]) -> Identifier:
    """The record that an identifier is in: whatever is listed together, directly or by others."""
    together = {identifier}
    for _ in lists:
        for listed in lists:
            if listed & together:
                together |= listed
    return min(together, key=lambda one: one.key)


def _path(record: Identifier, merges: Sequence[tuple[Identifier, Identifier]]) -> list[Identifier]:
    """A record, and the records that it went into one after another."""
    path = [record]
    while (into := _merged_into(path[-1], merges)) is not None:
        path.append(into)
    return path


def _merged_into(
    record: Identifier, merges: Sequence[tuple[Identifier, Identifier]]
) -> Identifier | None:
    """Where the last merge that concerns a record put it.

    A merge into a record that had gone into the merged one itself brings it back.
    """
    for n in range(len(merges) - 1, -1, -1):
        source, target = merges[n]
        if source == record:
            return target
        if target == record and source in _path(record, merges[:n]):
            return None
    return None
