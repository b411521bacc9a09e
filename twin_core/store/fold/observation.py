"""Results and device events: what was last reported of each, corrections and deletions applied.

The results of one order (or of one subject at one instant) are one unit. A report goes to the
result of its patient, order, OBR, code, sub-id and place among repeats, by these rules:

- to the one of the same effective instant, if there is one;
- of an order, a correction, deletion or cancellation goes to the only one with its value, else to
  the latest one before it, with a finding if there are several;
- of an order, a report of something so far registered or preliminary continues it, whatever time
  it gives: a laboratory may move from collection to analysis time between the two;
- anything else is another result: a final result changes by a correction only (table 0085).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from twin_core.events import DeviceEventReported, Observation, ObservationsReported
from twin_core.identifiers import Identifier, content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import EntityRow, Note, Resolver, finding_row, text
from twin_core.store.fold.series import PENDING, Result, SeriesFound

REVISIONS = frozenset({"amended", "corrected", "entered-in-error", "cancelled"})
_Note = tuple[Fact, Result]


def fold_results(facts: Sequence[Fact], resolver: Resolver) -> list[EntityRow]:
    """The observations of one order, or of one subject and instant, from its reports in order."""
    if not any(isinstance(fact.event, ObservationsReported) for fact in facts):
        return []
    found, guessed = SeriesFound(facts), list[_Note]()
    for fact in facts:
        report = fact.event
        if not isinstance(report, ObservationsReported):
            continue
        patient_id = resolver.patient(report.patient)[0] if report.patient else None
        alone, scope = report.standalone or report.order is None, found.scope(report)
        for one in report.observations:
            at = one.effective_at or report.effective_at
            told = (patient_id, one.sub_id, one.repeat, _told_by(report, one))
            results = found.of(fact, scope, told, one).results
            held, guess = _meant(results, one, at, alone=alone) if results else (None, False)
            if held is None:
                results.append(Result(report, one, at, patient_id))
                continue
            held.add(report, one, at)
            if guess:
                guessed.append((fact, held))
    asked = _Asked(resolver)
    rows = [_row(result, asked) for series in found.all for result in series.results]
    rows += list(dict.fromkeys(_guess(fact, result, asked) for fact, result in guessed))
    return rows + [_several(facts, *one) for one in asked.ambiguous.items()]


class _Asked:
    """What the results of one unit ask again and again, asked once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._devices: dict[Identifier, str] = {}
        self._encounters: dict[Identifier, str] = {}
        self.ambiguous: dict[Identifier, str] = {}
        """Accounts by which visits are named of which several may be meant."""
        self._stamps: dict[datetime, str] = {}

    def device(self, identifier: Identifier | None) -> str | None:
        if identifier is None:
            return None
        found = self._devices.get(identifier)
        if found is None:
            found = self._devices[identifier] = self._resolver.device(identifier)
        return found

    def encounter(
        self, identifier: Identifier | None, patient_id: str | None, at: datetime
    ) -> str | None:
        if identifier is None:
            return None
        if identifier.type == "AN":
            visit = self._resolver.visit(identifier, patient_id, at)
            if visit.ambiguous:
                self.ambiguous[identifier] = visit.encounter_id
            return visit.encounter_id
        found = self._encounters.get(identifier)
        if found is None:
            found = self._encounters[identifier] = self._resolver.encounter(identifier)[0]
        return found

    def stamp(self, at: datetime) -> str:
        found = self._stamps.get(at)
        if found is None:
            found = self._stamps[at] = at.isoformat()
        return found


def _told_by(report: ObservationsReported, one: Observation) -> str:
    """What tells apart equal codes outside an order: the device that measured."""
    if report.order is not None and not report.standalone:
        return ""
    device = one.device or report.device
    return "" if device is None else f"{device.system}|{device.value}"


def _meant(
    results: list[Result], one: Observation, at: datetime, *, alone: bool
) -> tuple[Result | None, bool]:
    """The result that a report is about, and whether that is but a guess."""
    for result in reversed(results):
        if at in (result.effective_at, result.first[2]):
            return result, False
    if alone:
        return None, False
    latest = results[-1]
    if one.status_only or one.status in REVISIONS:
        if len(results) == 1:
            return latest, False
        equal = [result for result in results if one.value and _equal(result.valued, one)]
        return (equal[0], False) if len(equal) == 1 else (latest, True)
    return latest if latest.latest.status in PENDING else None, False


def _equal(one: Observation, other: Observation) -> bool:
    if one.value_number is not None and other.value_number is not None:
        return (one.value_number, one.comparator) == (other.value_number, other.comparator)
    return one.value == other.value


def _guess(fact: Fact, result: Result, asked: _Asked) -> EntityRow:
    detail = "A correction names no time and fits several results of a series; the latest is taken."
    note = Note("ambiguous_correction", fact, detail)
    return finding_row(note, _observation_id(result, asked), fact.recorded_at)


def _several(facts: Sequence[Fact], account: Identifier, encounter_id: str) -> EntityRow:
    first = next(fact for fact in facts if getattr(fact.event, "encounter", None) == account)
    detail = "several visits of the account that results name may be meant"
    note = Note("ambiguous_account", first, detail)
    return finding_row(note, encounter_id, first.recorded_at)


def _row(result: Result, asked: _Asked) -> EntityRow:
    report, latest, valued = result.report, result.latest, result.valued
    filler, placer = result.filler, result.placer
    return (
        "observation",
        (
            _observation_id(result, asked),
            result.whose,
            asked.encounter(result.encounter, result.whose, result.effective_at),
            asked.device(valued.device or report.device),
            latest.system,
            latest.code,
            latest.display or valued.display or None,
            latest.sub_id or None,
            latest.status,
            result.effective_at,
            report.occurred_at,
            valued.value_type or None,
            valued.value or None,
            valued.value_number,
            valued.comparator or None,
            valued.value_system or None,
            valued.value_code or None,
            valued.unit or None,
            valued.unit_system or None,
            valued.withheld or None,
            valued.reference_range or None,
            valued.interpretation or None,
            valued.body_site or None,
            filler.value if filler else None,
            placer.value if placer else None,
        ),
    )


def _observation_id(result: Result, asked: _Asked) -> str:
    """Derived from how the observation was first reported, so that a correction keeps it."""
    report, one, at = result.first
    who = report.patient[0].key if report.patient else ("", "")
    order = ("", "") if report.order is None else report.order.key
    told = _told_by(report, one) or ("" if report.order else report.source)
    what = (one.system, one.code, one.sub_id, str(one.repeat), asked.stamp(at))
    further = (*report.panel, *(part for coding in one.also for part in coding))
    return content_id("o", *order, *who, told, *what, *further)


def fold_device_events(facts: Sequence[Fact], resolver: Resolver) -> list[EntityRow]:
    """The reports of one alarm; of two with one number and instant the later sent one counts."""
    latest: dict[tuple[object, ...], DeviceEventReported] = {}
    for event in _device_events(facts):
        latest[event.report, event.occurred_at, event.kind, event.phase, event.code] = event
    return [_device_event_row(event, resolver) for event in latest.values()]


def _device_events(facts: Sequence[Fact]) -> Iterator[DeviceEventReported]:
    for fact in facts:
        if isinstance(fact.event, DeviceEventReported):
            yield fact.event


def _device_event_row(event: DeviceEventReported, resolver: Resolver) -> EntityRow:
    alarm = event.alarm
    at = event.occurred_at.isoformat()
    patient_id = resolver.patient(event.patient)[0] if event.patient else None
    visit = event.encounter and resolver.visit(event.encounter, patient_id, event.occurred_at)
    return (
        "device_event",
        (
            content_id("v", *alarm.key, event.report, at, event.kind, event.phase, event.code),
            content_id("v", "alarm", *alarm.key),
            resolver.device(event.device) if event.device else None,
            patient_id,
            visit.encounter_id if visit else None,
            resolver.place(event.place).location_id if event.place else None,
            event.kind,
            text(event.system),
            text(event.code),
            text(event.display),
            text(event.priority),
            text(event.alarm_type),
            text(event.phase),
            text(event.state),
            text(event.inactivation),
            event.occurred_at,
        ),
    )
