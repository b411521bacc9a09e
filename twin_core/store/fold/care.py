"""What is requested, done and offered: one row per FHIR resource, as its source last stated it.

A request or a task that the settings take for a milestone also gives one to its encounter, for as
long as the resource stands.
"""

from collections.abc import Callable, Iterable, Sequence

from twin_core.events import CareStated
from twin_core.identifiers import Identifier, content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import EntityRow, Note, Resolver, finding_row, text, unresolved
from twin_core.store.fold.slots import Told, standing_slots, told_by_messages
from twin_core.store.fold.stated import latest_statements

LINKED = frozenset({"Schedule", "ServiceRequest", "Task", "Procedure"})
"""Types that others of these resources refer to."""


class _Ids:
    """The twin's ids of what a resource refers to, and what of it nobody has described."""

    def __init__(self, fact: Fact, event: CareStated, resolver: Resolver) -> None:
        self.patient = self.encounter = self.location = self.device = self.of = None
        self.notes: list[Note] = []
        if event.patient:
            self.patient, known = resolver.patient(event.patient)
            self._note(fact, "Patient", self.patient, known)
        if event.encounter is not None:
            self.encounter, known = resolver.encounter(event.encounter)
            self._note(fact, "Encounter", self.encounter, known)
        if event.place:
            at = resolver.place(event.place)
            self.location = at.location_id
            self._note(fact, "Location", self.location, at.known)
        if event.device is not None:
            self.device = resolver.device(event.device)
            self._note(fact, "Device", self.device, resolver.device_known(event.device))
        if event.of is not None:
            self.of = care_id_of(event.of)
            kind = linked_kind(event.of)
            self._note(fact, kind, self.of, not kind or resolver.care(event.of))

    def _note(self, fact: Fact, kind: str, id_: str | None, known: bool) -> None:
        if not known:
            self.notes.append(unresolved(fact, kind, id_))


def fold_care(facts: Sequence[Fact], resolver: Resolver) -> list[EntityRow]:
    """The rows of one resource, given its facts in order."""
    rows: list[EntityRow] = []
    for fact, event in _standing(facts):
        ids, id_ = _Ids(fact, event, resolver), care_id_of(event.subject)
        entity, columns = _TABLES[event.resource_type]
        rows.append((entity, (id_, *columns(event, ids))))
        for i in (event.subject, *event.identifiers):
            known_as = (event.resource_type, id_, i.system, i.value, text(i.type))
            rows.append(("care_identifier", known_as))
        if ids.encounter is not None:
            for reached in event.milestones:
                row = (ids.encounter, reached.value, reached.start)
                rows.append(("encounter_milestone", row))
        rows += [finding_row(note, id_, fact.recorded_at) for note in ids.notes]
    return list(dict.fromkeys(rows))


def _standing(facts: Sequence[Fact]) -> Iterable[Told]:
    """What is stated now: what a source stated last, or what messages left of a block of time."""
    if told_by_messages(facts):
        return standing_slots(facts)
    latest = latest_statements(facts)
    return [(fact, fact.event) for fact in latest if isinstance(fact.event, CareStated)]


def care_id_of(identifier: Identifier) -> str:
    """The stable id of a request, task, procedure, schedule, slot or metric."""
    return content_id("q", *identifier.key)


def linked_kind(identifier: Identifier) -> str:
    """Which of the LINKED types an identifier refers to by address; empty for anything else."""
    kind = identifier.value.partition("/")[0] if identifier.type == "reference" else ""
    return kind if kind in LINKED else ""


def _named(identifier: Identifier | None) -> str | None:
    return identifier.value if identifier is not None else None


def _coded(event: CareStated) -> tuple[object, ...]:
    return text(event.system), text(event.code), text(event.display)


def _procedure(event: CareStated, ids: _Ids) -> tuple[object, ...]:
    whose = (ids.patient, ids.encounter, text(event.status), *_coded(event))
    when = (event.starts_at, event.ends_at, ids.location)
    return (*whose, *when, _named(event.performer), ids.of)


def _request(event: CareStated, ids: _Ids) -> tuple[object, ...]:
    asked = (text(event.status), text(event.intent), text(event.priority), *_coded(event))
    when = (event.authored_at, event.starts_at, event.ends_at)
    return (ids.patient, ids.encounter, *asked, *when, _named(event.performer), ids.of)


def _schedule(event: CareStated, ids: _Ids) -> tuple[object, ...]:
    offered = (text(event.status), *_coded(event), ids.location, _named(event.performer))
    return (*offered, event.starts_at, event.ends_at)


def _slot(event: CareStated, ids: _Ids) -> tuple[object, ...]:
    return (ids.of, text(event.status), *_coded(event), event.starts_at, event.ends_at)


def _metric(event: CareStated, ids: _Ids) -> tuple[object, ...]:
    told = (text(event.status), text(event.category), *_coded(event), text(event.unit))
    return (ids.device, *told)


_TABLES: dict[str, tuple[str, Callable[[CareStated, _Ids], tuple[object, ...]]]] = {
    "Procedure": ("procedure", _procedure),
    "ServiceRequest": ("service_request", _request),
    "Task": ("task", _request),
    "Schedule": ("schedule", _schedule),
    "Slot": ("slot", _slot),
    "DeviceMetric": ("device_metric", _metric),
}
"""Which table each type has, and its columns after the id."""
