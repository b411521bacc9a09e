"""A slow reading of what ADT events mean, to hold the twin to.

Written from the standard's rules, not from the twin. Nothing is carried along from event to event:
every question (is the patient here, where, in which status) is answered by searching the record
backwards from the instant asked about, and stays are what changes between such answers.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

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
    PatientDescribed,
    PatientsMerged,
    Planned,
    Registered,
    Transferred,
)
from twin_core.identifiers import NOWHERE, Identifier, Place

RANKS = (
    (Planned,),
    (Admitted, Registered),
    (Transferred,),
    (ClassChanged,),
    (LeaveStarted, LeaveEnded),
    (Discharged,),
    (PatientsMerged,),
    (EventCancelled,),
    (Event,),
)
OPENING = (Admitted, Registered)
KEPT = (Planned, EncounterUpdated, EventCancelled)
"""What is not a movement: it stands whatever becomes of the admission before it."""
UNDOES = {
    Cancelled.ADMISSION: OPENING,
    Cancelled.TRANSFER: (Transferred,),
    Cancelled.DISCHARGE: (Discharged,),
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


def in_order(messages: Iterable[Message]) -> list[Event]:
    """The record as it is read: by instant, then by what comes first at one instant."""

    def position(message: Message) -> tuple[datetime, int, datetime, int, int]:
        rank = next(n for n, kinds in enumerate(RANKS) if isinstance(message.event, kinds))
        at = message.event.occurred_at
        return (at, rank, message.sent_at, message.control, message.ordinal)

    return [message.event for message in sorted(messages, key=position)]


class Record:
    """The lines of one encounter's record that stand, in order, and questions to it.

    What a cancel undid is gone, and the cancel stays as a line of its own. A cancelled discharge
    leaves a line of where the cancel says that the patient was found. A record that begins in the
    middle of a stay is opened by the admission it implies.
    """

    def __init__(self, events: Sequence[EncounterEvent]) -> None:
        void, found, baseless = _void(events)
        self.said = [event for n, event in enumerate(events) if n not in void]
        void |= _repeated(events, void)
        lines = [found.get(n, e) for n, e in enumerate(events) if n in found or n not in void]
        implied = _implied(events, void, found, baseless)
        if implied is not None:
            at = implied.occurred_at
            before = [(e.occurred_at, not isinstance(e, Planned)) < (at, True) for e in lines]
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
                if isinstance(line, Planned):
                    return "planned"
                if isinstance(line, EventCancelled) and line.cancels is Cancelled.ADMISSION:
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


def course(messages: Iterable[Message]) -> Course:
    """What a careful reader makes of the messages about one encounter."""
    record = Record([e for e in in_order(messages) if isinstance(e, EncounterEvent)])
    return Course(
        stays=record.stays(),
        status=record.status(len(record.lines) - 1),
        class_=record.class_(),
        admitted_at=record.admitted_at(),
        discharged_at=record.discharged_at(),
    )


def _void(
    events: Sequence[EncounterEvent],
) -> tuple[set[int], dict[int, Found], set[int]]:
    """Numbers of the lines that cancels undid, where cancelled discharges find the patient, and
    the lines that cancel an admission which no message reported."""
    void: set[int] = set()
    baseless: set[int] = set()
    found: dict[int, Found] = {}
    openings = [i for i, event in enumerate(events) if isinstance(event, OPENING)]
    for n, cancel in enumerate(events):
        if not isinstance(cancel, EventCancelled):
            continue
        target = _target(events, n, void)
        if cancel.cancels is Cancelled.ADMISSION:
            if target is None:
                baseless.add(n)
            for i in _swept(events, n, target, openings):
                void.add(i)
                found.pop(i, None)
        elif target is not None:
            void.add(target)
            if cancel.cancels is Cancelled.DISCHARGE:
                found[target] = _found(events[target], cancel.place)
    return void, found, baseless


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


def _target(events: Sequence[EncounterEvent], n: int, void: set[int]) -> int | None:
    """The line that the cancel at n undoes.

    EVN-6 names it; among several that occurred then, one that had been entered by the time of the
    cancel, and nothing where it was undone before. Else it is the latest one before the cancel.
    """
    cancel = events[n]
    of_kind = [i for i, event in enumerate(events) if isinstance(event, UNDOES[cancel.cancels])]
    entered = [
        i for i in of_kind if max(events[i].entered_at, events[i].occurred_at) <= cancel.entered_at
    ]
    for known in (entered, of_kind):
        named = [i for i in known if events[i].occurred_at == cancel.cancelled_at]
        if named:
            return max((i for i in named if i not in void), default=None)
    return max((i for i in entered if i not in void), default=None)


def _implied(
    events: Sequence[EncounterEvent], void: set[int], found: dict[int, Found], baseless: set[int]
) -> EncounterEvent | None:
    """The admission that a record implies whose first sight is in the middle of a stay."""
    openings = [n for n, event in enumerate(events) if isinstance(event, OPENING)]
    unseen = range(min(openings, default=len(events)))
    if any(n in baseless for n in unseen):
        return None
    planned = False
    for n in unseen:
        event = events[n]
        planned = planned or isinstance(event, Planned)
        if isinstance(event, EventCancelled) and event.cancels is Cancelled.ADMISSION:
            return None
        if n in found and (event.place or found[n].place):
            return _admission_before(event)
        if n not in void and _shows_presence(event, planned):
            return _admission_before(event)
    return None


def _shows_presence(event: EncounterEvent, planned: bool) -> bool:
    """Whether a first message shows that the patient is in the hospital, or was until then."""
    if isinstance(event, EncounterUpdated):
        return not planned and _takes_up_room(event)
    if isinstance(event, EventCancelled):
        return event.cancels is not Cancelled.ADMISSION and _takes_up_room(event)
    return not isinstance(event, Planned)


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
    events = in_order(messages)
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
