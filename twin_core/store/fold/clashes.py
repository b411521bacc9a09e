"""Sources, or records that were merged, that state different birth dates or sexes of one person."""

from collections.abc import Iterator, Sequence

from twin_core.events import PatientDescribed, PatientStated
from twin_core.store.facts import Fact
from twin_core.store.fold.records import Records
from twin_core.store.fold.rows import Note

Said = dict[str, object]
"""What is said of a person, by the fields of `Demographics`."""

_COMPARED = {"birth_date": "birth dates", "sex": "administrative sexes"}


def clashes(facts: Sequence[Fact], people: Records) -> Iterator[Note]:
    """A note per field of which the last words of two sources or two merged records differ.

    What one source says anew of one record is a correction.
    """
    if len(people.identifiers) == 1 and all(fact.feed == facts[0].feed for fact in facts):
        return
    last: dict[tuple[int, str], dict[tuple[int, str], Fact]] = {}
    for fact in facts:
        event = fact.event
        if isinstance(event, PatientDescribed):
            key, source = event.patient[0].key, fact.feed
        elif isinstance(event, PatientStated):
            key, source = event.subject.key, event.source
        else:
            continue
        for field in _COMPARED:
            value = getattr(event.demographics, field)
            of_person = last.setdefault((people.survivor(key), field), {})
            if isinstance(value, str):
                of_person[people.record(key), source] = fact
            elif value is None:
                of_person.pop((people.record(key), source), None)
    for (_, field), stated in last.items():
        values = {str(getattr(f.event.demographics, field)) for f in stated.values()}  # type: ignore[attr-defined]
        if len(values) > 1 and not _AGREE[field](values):
            # Two servers may have a version of one id and instant each.
            latest = max(stated.values(), key=lambda fact: (fact.order, fact.feed, fact.message_id))
            detail = f"sources or merged records state different {_COMPARED[field]}"
            yield Note("demographics_clash", latest, detail)


def _same_date(values: set[str]) -> bool:
    # A date may lack its day or month.
    longest = max(values, key=len)
    return all(longest.startswith(value) for value in values)


def _same_sex(values: set[str]) -> bool:
    return len(values - {"unknown"}) < 2


_AGREE = {"birth_date": _same_date, "sex": _same_sex}
