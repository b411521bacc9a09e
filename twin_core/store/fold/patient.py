"""People: which identifiers are one record, which records were merged, and what is said of them.

Identifiers that a source lists together are one record. A merge points one record at another and
destroys nothing, so that late messages naming the source still resolve, and another order of the
same messages gives the same people.
"""

from collections.abc import Iterator, Sequence
from datetime import date

from msgspec import UNSET

from twin_core.events import Demographics, PatientDescribed, PatientsMerged, PatientStated
from twin_core.identifiers import UNIDENTIFYING_TYPES, Identifier, content_id, identifying
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import EntityRow, Note, canonical, finding_row, text
from twin_core.store.fold.stated import latest_statements

Key = tuple[str, str]


class People:
    """The records of one family of identifiers, and who survives a merge."""

    def __init__(self, identifiers: Sequence[Identifier]) -> None:
        self._leader: dict[Key, Key] = {i.key: i.key for i in identifiers}
        self._merged: dict[Key, Key] = {}
        self.identifiers = {i.key: i for i in identifiers}

    def record(self, key: Key) -> Key:
        """The record that an identifier belongs to."""
        while (leader := self._leader.setdefault(key, key)) != key:
            key = leader
        return key

    def survivor(self, key: Key) -> Key:
        """The record at the end of the merges that an identifier went through."""
        *_, last = self._merges_of(self.record(key))
        return last

    def _merges_of(self, record: Key) -> Iterator[Key]:
        """A record, and the records that it was merged into one after another."""
        yield record
        while record in self._merged:
            record = self.record(self._merged[record])
            yield record

    def connect(self, identifiers: Sequence[Identifier]) -> None:
        """One source lists these identifiers for one person."""
        for identifier in identifiers[1:]:
            one, other = self.record(identifiers[0].key), self.record(identifier.key)
            if self.survivor(one) != self.survivor(other):
                kept, gone = min(one, other), max(one, other)
                self._leader[gone] = kept
                if gone in self._merged:
                    self._merged.setdefault(kept, self._merged[gone])
                    del self._merged[gone]

    def merge(self, source: Key, target: Key) -> bool:
        """Merge a record into another; False where they were one record already."""
        gone, kept = self.record(source), self.record(target)
        if gone == kept:
            return False
        if gone in self._merges_of(kept):
            # The target had been merged into the source: the newest merge says who survives.
            self._merged.pop(kept, None)
        self._merged[gone] = kept
        return True

    def records(self) -> dict[Key, list[Identifier]]:
        """Every record with its identifiers, in order of the identifiers."""
        members: dict[Key, list[Identifier]] = {}
        for key in sorted(self.identifiers):
            members.setdefault(self.record(key), []).append(self.identifiers[key])
        return members

    def merged_into(self, record: Key) -> Key | None:
        """The surviving record of a merged one."""
        return self.survivor(record) if record in self._merged else None


class FoldedPeople:
    """Rows of a family of patient records, and the surviving patient_id by identifier."""

    def __init__(self, rows: list[EntityRow], survivors: dict[Key, str]) -> None:
        self.rows, self.survivors = rows, survivors


def fold_people(facts: Sequence[Fact], identifiers: Sequence[Identifier]) -> FoldedPeople:
    """The patients of one family, given its facts in order and every identifier in it."""
    people = People(identifiers)
    notes = _identify(people, facts)
    records = people.records()
    ids = {record: _patient_id(members) for record, members in records.items()}
    survivors = {key: ids[people.survivor(key)] for key in people.identifiers}
    said = _said(people, facts)
    rows: list[EntityRow] = []
    for record, members in records.items():
        if record not in said and people.merged_into(record) is None:
            if all(i.type == "reference" for i in members):
                continue
        into = people.merged_into(record)
        columns = _demographics(said.get(record, {}))
        rows.append(("patient", (ids[record], *columns, ids[into] if into else None)))
        rows += [
            ("patient_identifier", (ids[record], i.system, i.value, text(i.type))) for i in members
        ]
    rows += dict.fromkeys(_other_identifiers(people, facts, ids))
    for note in notes:
        subject = ids[people.record(identifiers[0].key)]
        rows.append(finding_row(note, subject, facts[-1].recorded_at))
    return FoldedPeople(rows, survivors)


def identifiers_of(event: object) -> tuple[Identifier, ...]:
    """The identifiers by which an event about a person connects records."""
    if isinstance(event, PatientDescribed):
        return event.patient
    if isinstance(event, PatientsMerged):
        return (event.source, event.target)
    if isinstance(event, PatientStated):
        linked = (event.replaced_by,) if event.replaced_by else ()
        return (event.subject, *identifying(event.identifiers), *linked)
    return ()


def _identify(people: People, facts: Sequence[Fact]) -> list[Note]:
    notes = []
    for fact in facts:
        event = fact.event
        if isinstance(event, PatientDescribed):
            if len(event.patient) > 1:
                people.connect(event.patient)
        elif isinstance(event, PatientStated):
            people.connect((event.subject, *identifying(event.identifiers)))
            if event.replaced_by is not None:
                people.merge(event.subject.key, event.replaced_by.key)
        elif isinstance(event, PatientsMerged):
            if not people.merge(event.source.key, event.target.key):
                notes.append(Note("merge_of_one_record", fact, "both identifiers are one record"))
    return notes


def _said(people: People, facts: Sequence[Fact]) -> dict[Key, dict[str, object]]:
    # Last writer wins, field by field, within the record that was named.
    latest = {id(fact) for fact in latest_statements(facts)} if _has_resources(facts) else set()
    said: dict[Key, dict[str, object]] = {}
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
    people: People, facts: Sequence[Fact], ids: dict[Key, str]
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


def _demographics(said: dict[str, object]) -> tuple[object, ...]:
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
