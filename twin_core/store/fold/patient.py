"""People: which identifiers are one record, which records were merged, and what is said of them.

Identifiers that a source lists together are one record. A merge points one record at another and
destroys nothing, so that late messages naming the source still resolve, and another order of the
same messages gives the same people. A link connects two records that remain two.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from datetime import date
from typing import Any

from msgspec import UNSET

from twin_core.events import (
    Demographics,
    PatientDescribed,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientStated,
    PatientsUnlinked,
)
from twin_core.identifiers import (
    REFERENCE,
    UNIDENTIFYING_TYPES,
    Identifier,
    content_id,
    identifying,
)
from twin_core.store.facts import Fact
from twin_core.store.fold.clashes import Said, clashes
from twin_core.store.fold.links import links
from twin_core.store.fold.records import Key, Records
from twin_core.store.fold.rows import EntityRow, Note, canonical, finding_row, text
from twin_core.store.fold.stated import latest_statements


class FoldedPeople:
    """Rows of a family of patient records, and the surviving patient_id by identifier."""

    def __init__(self, rows: list[EntityRow], survivors: dict[Key, str]) -> None:
        self.rows, self.survivors = rows, survivors


def fold_people(
    facts: Sequence[Fact], identifiers: Sequence[Identifier], gone: Set[Key] = frozenset()
) -> FoldedPeople:
    """The patients of one family, given its facts in order and every identifier in it.

    `gone` are identifiers that only deleted resources gave: they still resolve, without a row.
    """
    if not facts and all(i.type == REFERENCE for i in identifiers):
        # Whom others refer to, and nobody has described: in a first load that is nearly everyone.
        return FoldedPeople([], {i.key: _patient_id([i]) for i in identifiers})
    return fold_records(facts, identifiers, gone)


def fold_records(
    facts: Sequence[Fact], identifiers: Sequence[Identifier], gone: Set[Key] = frozenset()
) -> FoldedPeople:
    """The patients of a family by the rules for any facts; `fold_people` has a shorter way."""
    people = Records(identifiers)
    notes = _identify(people, facts)
    members = people.members()
    ids = {record: _patient_id(known_by) for record, known_by in members.items()}
    survivors = {key: ids[people.survivor(key)] for key in people.identifiers}
    said = _said(people, facts)
    rows: list[EntityRow] = []
    for record, known_by in members.items():
        into = people.merged_into(record)
        if gone and all(i.key in gone for i in known_by):
            continue
        if record not in said and into is None and all(i.type == REFERENCE for i in known_by):
            continue
        columns = _demographics(said.get(record, {}))
        rows.append(("patient", (ids[record], *columns, None if into is None else ids[into])))
        rows += [
            ("patient_identifier", (ids[record], i.system, i.value, text(i.type))) for i in known_by
        ]
    rows += dict.fromkeys(_other_identifiers(people, facts, ids))
    if len(identifiers) > 1:
        rows += links(facts, survivors)
    notes += clashes(facts, people)
    for note in notes:
        rows.append(finding_row(note, _subject(note, survivors), facts[-1].recorded_at))
    return FoldedPeople(rows, survivors)


def repeats(last: Fact, fact: Fact) -> bool:
    """Whether a fact says of a person, word for word, what the one before it said.

    Most messages repeat who the patient is; folding them again would give what stands.
    """
    said, event = last.event, fact.event
    return (
        isinstance(event, PatientDescribed)
        and isinstance(said, PatientDescribed)
        and event.patient == said.patient
        and event.demographics == said.demographics
        and event.other_identifiers == said.other_identifiers
        and fact.feed == last.feed
    )


def unnamed(facts: Sequence[Fact], identifiers: Sequence[Identifier]) -> frozenset[Key]:
    """The identifiers of a family that none of these facts names."""
    named = {i.key for fact in facts for i in identifiers_of(fact.event)}
    return frozenset(i.key for i in identifiers if i.key not in named)


def identifiers_of(event: object) -> tuple[Identifier, ...]:
    """The identifiers by which an event about a person connects records."""
    if isinstance(event, PatientDescribed):
        return event.patient
    if isinstance(event, PatientsMerged | PatientRenumbered):
        return (event.target, event.source)
    if isinstance(event, PatientIdentifiersMoved):
        return (event.target, *event.identifiers)
    if isinstance(event, PatientsLinked | PatientsUnlinked):
        return (event.one, event.other)
    if isinstance(event, PatientStated):
        linked = (event.replaced_by,) if event.replaced_by else ()
        return (event.subject, *identifying(event.identifiers), *linked)
    return ()


def _identify(people: Records, facts: Sequence[Fact]) -> list[Note]:
    notes = []
    for fact in facts:
        event = fact.event
        if isinstance(event, PatientDescribed) and len(event.patient) == 1:
            continue
        odd = _IDENTIFYING[type(event)](people, event)
        if odd is not None:
            notes.append(Note(odd[0], fact, odd[1]))
    return notes


_Odd = tuple[str, str] | None
_APART = ("identifier_moved_before", "lists an identifier with those it was moved away from")


def _describe(people: Records, event: PatientDescribed) -> _Odd:
    return None if people.connect(event.patient) else _APART


def _state(people: Records, event: PatientStated) -> _Odd:
    agreed = people.connect((event.subject, *identifying(event.identifiers)))
    if event.replaced_by is not None:
        people.merge(event.subject.key, event.replaced_by.key)
    return None if agreed else _APART


def _merge(people: Records, event: PatientsMerged) -> _Odd:
    merged = people.merge(event.source.key, event.target.key)
    return None if merged else ("merge_of_one_record", "both identifiers are one record")


def _renumber(people: Records, event: PatientRenumbered) -> _Odd:
    people.unite(event.target.key, event.source.key)
    return None


def _move(people: Records, event: PatientIdentifiersMoved) -> _Odd:
    people.move([i.key for i in event.identifiers], event.target.key)
    return None


def _leave_apart(people: Records, event: PatientsLinked | PatientsUnlinked) -> _Odd:
    return None


_IDENTIFYING: dict[type, Callable[[Records, Any], _Odd]] = {
    PatientDescribed: _describe,
    PatientStated: _state,
    PatientsMerged: _merge,
    PatientRenumbered: _renumber,
    PatientIdentifiersMoved: _move,
    PatientsLinked: _leave_apart,
    PatientsUnlinked: _leave_apart,
}


def _subject(note: Note, survivors: dict[Key, str]) -> str:
    assert note.fact is not None  # noqa: S101  (every note on people has its fact)
    return survivors[identifiers_of(note.fact.event)[0].key]


def _said(people: Records, facts: Sequence[Fact]) -> dict[int, Said]:
    # Last writer wins, field by field, within the record that was named.
    latest = {id(fact) for fact in latest_statements(facts)} if _has_resources(facts) else set()
    said: dict[int, Said] = {}
    previous = None
    for fact in facts:
        event = fact.event
        if isinstance(event, PatientDescribed):
            key = event.patient[0].key
        elif isinstance(event, PatientStated) and id(fact) in latest:
            key = event.subject.key
        else:
            continue
        if (key, event.demographics) == previous:
            continue
        previous = (key, event.demographics)
        fields = said.setdefault(people.record(key), {})
        for name in Demographics.__struct_fields__:
            value = getattr(event.demographics, name)
            if value is not UNSET:
                fields[name] = value
    return said


def _has_resources(facts: Sequence[Fact]) -> bool:
    return any(fact.format == "fhir" for fact in facts)


def _other_identifiers(
    people: Records, facts: Sequence[Fact], ids: dict[int, str]
) -> Iterator[EntityRow]:
    for fact in facts:
        event = fact.event
        if isinstance(event, PatientDescribed):
            key, others = event.patient[0].key, event.other_identifiers
        elif isinstance(event, PatientStated):
            key = event.subject.key
            others = tuple(i for i in event.identifiers if i.type in UNIDENTIFYING_TYPES)
        else:
            continue
        for i in others:
            patient_id = ids[people.record(key)]
            yield ("patient_identifier", (patient_id, i.system, i.value, text(i.type)))


def _patient_id(members: Sequence[Identifier]) -> str:
    named = canonical(members)
    return content_id("p", named.system, named.value)


_PRECISION = {4: ("-01-01", "year"), 7: ("-01", "month"), 10: ("", "day")}


def _demographics(said: Said) -> tuple[object, ...]:
    born, precision = _birth_date(said.get("birth_date"))
    died_at = said.get("deceased_at")
    deceased = True if died_at else said.get("deceased")
    names = (said.get("family_name"), said.get("given_name"), said.get("postal_code"))
    return (born, precision, said.get("sex"), deceased, died_at, *names)


def _birth_date(stated: object) -> tuple[date | None, str | None]:
    if not isinstance(stated, str) or len(stated) not in _PRECISION:
        return None, None
    rest, precision = _PRECISION[len(stated)]
    try:
        return date.fromisoformat(stated + rest), precision
    except ValueError:
        return None, None
