"""What merges, moves and changes of identifiers share: sets of PID, MRG and PV1, level by level.

The standard knows four levels, each with a field for the number that holds and one in MRG for the
prior one. PID-2, PID-4, MRG-2 and MRG-4 were withdrawn in v2.7; older feeds still send them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from adapters.hl7v2.fields import (
    CLEARED,
    Reading,
    Segment,
    demographics,
    patient_identifiers,
)
from adapters.hl7v2.refusal import (
    REQUIRED_FIELD,
    SEGMENT_SEQUENCE,
    TABLE_VALUE,
    Refused,
    content_fault,
)
from adapters.hl7v2.triggers.reading import Events, pairs
from adapters.hl7v2.visits import numbered
from twin_core.events import Event, PatientDescribed
from twin_core.identifiers import Identifier

Identifiers = tuple[Identifier, ...]


class Level(NamedTuple):
    """Where a number of one level stands, where in MRG the prior one, its type if none is given."""

    segment: str
    position: int
    prior_position: int
    untyped: str

    @property
    def field(self) -> str:
        """The field of the number that holds, such as `PID-3`."""
        return f"{self.segment}-{self.position}"

    @property
    def prior_field(self) -> str:
        """The field of the prior number, such as `MRG-1`."""
        return f"MRG-{self.prior_position}"


PATIENT = Level("PID", 3, 1, "MR")
EXTERNAL = Level("PID", 2, 4, "PT")
ALTERNATE = Level("PID", 4, 2, "U")
ACCOUNT = Level("PID", 18, 3, "AN")
VISIT = Level("PV1", 19, 5, "VN")
ALTERNATE_VISIT = Level("PV1", 50, 6, "VN")

_OF_PATIENTS = frozenset({PATIENT, EXTERNAL, ALTERNATE})


class IdentitySet(NamedTuple):
    """A patient, what was known before, and a visit; `number` counts the sets of a message."""

    number: int
    pid: Segment
    mrg: Segment
    pv1: Segment | None
    reading: Reading

    def present(self, level: Level) -> Identifiers:
        """The numbers that hold, the primary one first; of accounts and visits at most one."""
        segment = self.pid if level.segment == "PID" else self.pv1
        return _numbers(self.reading, segment[level.position], level) if segment else ()

    def prior(self, level: Level) -> Identifiers:
        """The prior numbers, the primary one first; of accounts and visits at most one.

        A prior number without an authority was given by whoever gave the one that holds.
        """
        field = self.mrg[level.prior_position]
        segment = self.pid if level.segment == "PID" else self.pv1
        if field and segment and segment[level.position]:
            field = _with_authority(self.reading, field, segment[level.position], level.untyped)
        return _numbers(self.reading, field, level)

    def states_prior(self, level: Level) -> bool:
        """Whether the field of the prior number holds anything."""
        return bool(self.mrg[level.prior_position])

    def occurred_at(self) -> datetime:
        """EVN-6, else when it was recorded."""
        return self.reading.event_at or self.reading.recorded_at

    def where(self, field: str) -> str:
        """The path of a field of this set, such as `MRG^2^1`."""
        segment, position = field.split("-")
        return f"{segment}^{self.number}^{position}"


def _numbers(reading: Reading, field: str, level: Level) -> Identifiers:
    if level in _OF_PATIENTS:
        return patient_identifiers(reading, field, level.untyped)[0]
    number = numbered(reading, field, level.untyped)
    return () if number is None else (number,)


def _with_authority(reading: Reading, prior: str, present: str, untyped: str) -> str:
    """A field of prior numbers; each without an authority gets the one of its type that holds.

    Where no type is given either, that of the usual type, else of the first. What a feed's
    `systems` says of a type goes before.
    """
    message, marks = reading.message, reading.message.delimiters
    held = [message.components(sent) for sent in present.split(marks.repetition)]
    held = [parts for parts in held if parts[0] not in ("", CLEARED)]
    completed = []
    for sent in prior.split(marks.repetition):
        parts = message.components(sent)
        kind = parts[4]
        usual = [h for h in held if (h[4] or untyped) == (kind or untyped)] or (
            [] if kind else held[:1]
        )
        systems = reading.conventions.settings.systems
        if usual and not parts[3] and (kind or usual[0][4] or untyped) not in systems:
            parts[3:5] = usual[0][3:5]
            sent = marks.component.join(parts)
        completed.append(sent)
    return marks.repetition.join(completed)


def new_and_old(one: IdentitySet, level: Level) -> tuple[Identifiers, Identifiers]:
    """What holds and what held before, without what is in both; a set without either is refused."""
    present, prior = one.present(level), one.prior(level)
    for numbers, field in ((prior, level.prior_field), (present, level.field)):
        if not numbers:
            raise missing(one, field)
    return present, without(prior, present)


def without(some: Identifiers, others: Identifiers) -> Identifiers:
    """Those of some identifiers that are not among others."""
    known = {identifier.key for identifier in others}
    return tuple(identifier for identifier in some if identifier.key not in known)


def is_another_patient(one: IdentitySet) -> bool:
    """Whether MRG-1 names a patient of whom PID-3 holds nothing."""
    prior = one.prior(PATIENT)
    return bool(prior) and len(without(prior, one.present(PATIENT))) == len(prior)


def counterpart(source: Identifier, targets: Identifiers) -> Identifier:
    """The identifier of the same kind: same issuer and type, else type, else the primary one."""
    for target in targets:
        if (target.system, target.type) == (source.system, source.type):
            return target
    return next((target for target in targets if target.type == source.type), targets[0])


def identity_sets(reading: Reading, *, of_one_patient: bool = False) -> list[IdentitySet]:
    """Every PID with the MRG that belongs to it and the PV1 that follows; refused where one lacks.

    `of_one_patient` allows several MRG and PV1 after one PID, as A45 has them.
    """
    sets: list[IdentitySet] = []
    pid: Segment | None = None
    waiting = False
    for line in reading.message.lines:
        name = line[:3]
        if name == "PID":
            _refuse_waiting(waiting, len(sets) + 1)
            pid, waiting = reading.split(line), True
        elif name == "MRG":
            if pid is None or not (waiting or of_one_patient):
                reason = "An MRG must follow the PID that it belongs to; send one MRG per PID."
                raise content_fault(f"MRG^{len(sets) + 1}", SEGMENT_SEQUENCE, reason)
            sets.append(IdentitySet(len(sets) + 1, pid, reading.split(line), None, reading))
            waiting = False
        elif name == "PV1" and sets and not waiting and sets[-1].pv1 is None:
            sets[-1] = sets[-1]._replace(pv1=reading.split(line))
    _refuse_waiting(waiting, len(sets) + 1)
    if not sets:
        reason = "The message has no PID with its MRG; send both."
        raise content_fault("PID^1", SEGMENT_SEQUENCE, reason)
    return sets


def sets_without_prior(reading: Reading) -> list[IdentitySet]:
    """Every PID with the PV1 that follows it, of a message that names nothing prior."""
    sets = [
        IdentitySet(number, pid, [""] * len(pid), pv1, reading)
        for number, (pid, pv1) in enumerate(pairs(reading, "PV1"), start=1)
    ]
    if not sets:
        raise content_fault("PID^1", SEGMENT_SEQUENCE, "The message has no PID; send one.")
    return sets


def _refuse_waiting(waiting: bool, number: int) -> None:
    if waiting:
        reason = "Every PID of this trigger event must be followed by its MRG."
        raise content_fault(f"MRG^{number}", SEGMENT_SEQUENCE, reason)


def translated(
    reading: Reading,
    sets: Sequence[IdentitySet],
    meaning: Callable[[IdentitySet], Sequence[Event]],
    *levels: Level,
) -> Events:
    """The descriptions of the patients of all sets, then what each set means.

    `levels` are those besides PID-3 whose numbers belong to the patient's record.
    """
    told = list(chain.from_iterable(meaning(one) for one in sets))
    described = {id(one.pid): _description(one, levels) for one in sets}
    return (*(event for event in described.values() if event is not None), *told)


def _description(one: IdentitySet, levels: Sequence[Level]) -> PatientDescribed | None:
    identifiers, others = patient_identifiers(one.reading, one.pid[3])
    if not identifiers:
        detail = "No patient is named in PID-3; only the account or visit is recorded."
        one.reading.note("missing_identifier", detail)
        return None
    for level in levels:
        identifiers += without(one.present(level), identifiers)
    return PatientDescribed(
        occurred_at=one.reading.recorded_at,
        patient=identifiers,
        demographics=demographics(one.reading, one.pid, one.number),
        other_identifiers=others,
    )


def missing(one: IdentitySet, field: str) -> Refused:
    """The refusal of a set that lacks the identifier which a field should hold."""
    reason = f"{field} holds no identifier that says whom or what this is about; send one."
    return content_fault(one.where(field), REQUIRED_FIELD, reason)


def unchanged(one: IdentitySet, level: Level) -> Refused:
    """The refusal of a set whose prior number is the one that holds."""
    reason = f"{level.prior_field} and {level.field} are the same; nothing would change."
    return content_fault(one.where(level.prior_field), TABLE_VALUE, reason)
