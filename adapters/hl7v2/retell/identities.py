"""Merges, moves, links and changes of identifiers told again: PID and PV1 what holds, MRG what was.

A set of segments can be read in more ways than one here, so a message is sent only where reading
it again gives the very events that it tells.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from adapters.hl7v2.encode import Segment
from adapters.hl7v2.retell import segments
from adapters.hl7v2.retell.fields import cx
from adapters.hl7v2.retell.tables import UNKNOWN_CLASS
from adapters.hl7v2.retell.words import Dialect, Said, Untellable
from adapters.hl7v2.translate import translate
from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    EncounterMoved,
    EncounterRenumbered,
    EncountersMerged,
    Event,
    ObservationsReported,
    PatientDescribed,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientsUnlinked,
    Translation,
)
from twin_core.identifiers import Identifier
from twin_core.settings import FeedSettings, LimitSettings

_MOVES = (EncounterMoved, AccountMoved, PatientIdentifiersMoved)
"""Whose prior owner is known only where the event says so."""
_FEED, _LIMITS = FeedSettings(), LimitSettings()

TRIGGERS: dict[frozenset[type[Event]], tuple[str, ...]] = {
    # what a message says: the trigger events that say so, the usual one first
    frozenset({PatientsMerged}): ("A40", "A18", "A30", "A34", "A39"),
    frozenset({PatientsMerged, AccountsMerged, EncountersMerged}): ("A18", "A36"),
    frozenset({PatientsMerged, EncountersMerged}): ("A18",),
    frozenset({AccountsMerged, EncountersMerged}): ("A41", "A18", "A35"),
    frozenset({AccountMoved, AccountsMerged, EncountersMerged}): ("A41", "A35"),
    frozenset({EncountersMerged}): ("A42", "A18"),
    frozenset({PatientsLinked}): ("A24",),
    frozenset({PatientsUnlinked}): ("A37",),
    frozenset({PatientIdentifiersMoved}): ("A43",),
    frozenset({AccountMoved}): ("A44",),
    frozenset({AccountMoved, AccountRenumbered, EncounterRenumbered}): ("A44",),
    frozenset({EncounterMoved}): ("A45",),
    frozenset({PatientRenumbered}): ("A47",),
    frozenset({AccountRenumbered, EncounterRenumbered}): ("A49",),
    frozenset({EncounterRenumbered}): ("A50", "A51"),
}


def triggers_of(rest: Sequence[Event]) -> tuple[str, ...]:
    """The trigger events that can say these; none where they are not about identity alone."""
    return TRIGGERS.get(frozenset(map(type, rest)), ())


def told(
    described: Sequence[PatientDescribed], rest: Sequence[Event], dialect: Dialect
) -> list[Segment]:
    """PID, MRG and PV1 of every patient; of a link the two patients alone."""
    if isinstance(rest[0], PatientsLinked | PatientsUnlinked):
        return [segments.patient(who, dialect, n) for n, who in enumerate(described, 1)]
    if len(described) < 2 and all(isinstance(event, EncounterMoved) for event in rest):
        return _of_one_patient(described, rest, dialect)
    if len(described) < 2:
        return _Set(described[0] if described else None, dialect).told(rest)
    shares: list[list[Event]] = [[] for _ in described]
    for event in rest:
        shares[_whose(event, described)].append(event)
    return [
        segment
        for number, (who, share) in enumerate(zip(described, shares, strict=True), 1)
        for segment in _Set(who, dialect, number).told(share)
    ]


def refuse_another_reading(raw: bytes, said: Said) -> None:
    """Raise Untellable where the message, in no receiver's names, is read as anything else."""
    again = translate(raw, feed="", settings=_FEED, limits=_LIMITS, received_at=said.sent_at)
    if isinstance(again, Translation):
        told, read = meanings(said.events), meanings(again.events)
        # OBR-4 is required: what nobody knows is said somehow, and read.
        unknown = {n for n, e in enumerate(told) if getattr(e, "ordered", None) == ()}
        if told == [_not_ordered(e) if n in unknown else e for n, e in enumerate(read)]:
            return
    raise Untellable("No message of ours says this so that it is read in one way only.")


def meanings(events: Sequence[Event]) -> list[Event]:
    """The events, the device of a report given with each of its results: it means the same."""
    return [_by_result(e) if isinstance(e, ObservationsReported) else e for e in events]


def _not_ordered(event: Event) -> Event:
    if isinstance(event, ObservationsReported):
        return msgspec.structs.replace(event, ordered=())
    return event


def _by_result(report: ObservationsReported) -> ObservationsReported:
    if report.device is None:
        return report
    measured = tuple(
        msgspec.structs.replace(one, device=one.device or report.device)
        for one in report.observations
    )
    return msgspec.structs.replace(report, device=None, observations=measured)


def plain(dialect: Dialect, said: Said) -> Dialect:
    """The dialect without the receiver's names, as the sender itself would say it."""
    application = said.sender.partition("|")[0] or dialect.application
    return msgspec.structs.replace(
        dialect,
        application=application,
        facility="",
        authorities={},
        facilities={},
        units={},
        classes={},
        services={},
    )


def _of_one_patient(
    described: Sequence[PatientDescribed], rest: Sequence[Event], dialect: Dialect
) -> list[Segment]:
    """Several visits that were moved to one patient or account: one PID, MRG and PV1 by turns."""
    sets = [_Set(described[0] if described else None, dialect).told([event]) for event in rest]
    return [sets[0][0], *(segment for one in sets for segment in one[1:])]


def _whose(event: Event, described: Sequence[PatientDescribed]) -> int:
    """Which of the patients an event is about: the one of the number that holds."""
    for number, who in enumerate(described):
        if getattr(event, "target", None) in who.patient:
            return number
        patient = getattr(event, "patient", ())
        if patient and patient[0] in who.patient:
            return number
    raise Untellable("An event of several patients does not say whose it is.")


class _Set:
    """One PID with its MRG and PV1, filled event by event."""

    def __init__(self, who: PatientDescribed | None, dialect: Dialect, number: int = 1) -> None:
        self._who, self._dialect = who, dialect
        self.pid = segments.patient(who, dialect, number) if who else Segment("PID").put(1, "1")
        self.pv1 = Segment("PV1").put(1, str(number)).put(2, UNKNOWN_CLASS)
        self.prior: dict[int, list[Identifier]] = {}
        self.has_visit = False
        self.of_accounts: set[tuple[Identifier, ...]] = set()

    def told(self, events: Sequence[Event]) -> list[Segment]:
        """The segments that say what happened."""
        for event in events:
            _FILLED[type(event)](self, event)
        if self._who is not None and not any(isinstance(e, _MOVES) for e in events):
            # Above the number that changed, MRG repeats what stayed as it was; MRG-1 is required.
            self.prior.setdefault(1, [self._who.patient[0]])
        mrg = Segment("MRG")
        for position, numbers in self.prior.items():
            distinct = dict.fromkeys(numbers)
            mrg.put(position, "~".join(cx(number, self._dialect) for number in distinct))
        return [self.pid, mrg, *([self.pv1] if self.has_visit else [])]

    def was(self, position: int, *numbers: Identifier | None) -> None:
        """MRG holds these."""
        self.prior.setdefault(position, []).extend(n for n in numbers if n is not None)

    def account(self, number: Identifier | None) -> None:
        """PID-18 holds this."""
        self.pid.put(18, "" if number is None else cx(number, self._dialect))

    def visit(self, number: Identifier, position: int = 19) -> None:
        """PV1 holds this."""
        self.has_visit = True
        self.pv1.put(position, cx(number, self._dialect))


def _numbers_changed(one: _Set, event: PatientsMerged | PatientRenumbered) -> None:
    one.was(1, event.source)


def _identifiers_moved(one: _Set, event: PatientIdentifiersMoved) -> None:
    one.was(1, *event.identifiers, event.source)


def _account_changed(one: _Set, event: AccountsMerged | AccountRenumbered) -> None:
    one.account(event.target)
    one.was(3, event.source)
    # The visit that only its account names goes with it, and needs no words of its own.
    one.of_accounts.add((event.target, event.source))


def _account_moved(one: _Set, event: AccountMoved) -> None:
    one.was(1, event.source)
    if not one.of_accounts:
        one.account(event.account)
        one.was(3, event.account)


def _visit_changed(one: _Set, event: EncountersMerged | EncounterRenumbered) -> None:
    if event.encounter in one.of_accounts:
        return
    one.account(event.account)
    one.visit(event.encounter[0])
    if len(event.encounter) > 2:
        one.visit(event.encounter[1], 50)
        one.was(6, event.encounter[2])
    else:
        one.was(5, event.encounter[1])


def _visit_moved(one: _Set, event: EncounterMoved) -> None:
    one.account(event.account)
    one.visit(event.encounter[0])
    one.was(5, event.encounter[-1])


_FILLED: dict[type[Event], Callable[[_Set, Any], None]] = {
    PatientsMerged: _numbers_changed,
    PatientRenumbered: _numbers_changed,
    PatientIdentifiersMoved: _identifiers_moved,
    AccountsMerged: _account_changed,
    AccountRenumbered: _account_changed,
    AccountMoved: _account_moved,
    EncountersMerged: _visit_changed,
    EncounterRenumbered: _visit_changed,
    EncounterMoved: _visit_moved,
}
