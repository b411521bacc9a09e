"""Which patients an answer is about, read from the answer itself.

Whatever a route meant to say, what counts is what leaves: the twin's ids are found in the bytes,
and ids of visits, stays, appointments, results and requests are traced to their patients. Where an
answer may be about others than those whom it names (a count, a birth date alone, a message that was
never applied), that is said, too: nobody named is not nobody touched.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from twin_core.audit import Beside
from twin_core.store.asked import asked

Query = Callable[[str], Sequence[Mapping[str, object]]]
"""Rows of the twin's own SQL over the store."""

_ID = re.compile(rb"(?<![0-9A-Za-z])([peasovqnb][0-9a-f]{24})(?![0-9A-Za-z])")
_SHORT = re.compile(rb"(?<![0-9A-Za-z])(e[0-9a-f]{6})(?![0-9A-Za-z])")
_MESSAGE_NUMBER = re.compile(rb'"message_id":\s?(\d+)|/(?:messages|quarantine)/(\d+)')
LONGEST_ID = 25
LONGEST_NUMBER = 64
"""Letters of an identifier that is looked for in an answer."""
MOST_ASKED = 1_000
"""Values in one statement of our own."""

_TRACES = {
    "e": "SELECT DISTINCT patient_id FROM twin.encounter WHERE encounter_id IN ({})",
    "s": "SELECT DISTINCT patient_id FROM twin.stay WHERE stay_id IN ({})",
    "a": "SELECT DISTINCT patient_id FROM twin.appointment WHERE appointment_id IN ({})",
    "o": "SELECT DISTINCT patient_id FROM twin.observation WHERE observation_id IN ({})",
    "v": "SELECT DISTINCT patient_id FROM twin.device_event WHERE device_event_id IN ({})",
    "b": "SELECT DISTINCT patient_id FROM twin.encounter WHERE account_id IN ({})",
    "n": "SELECT DISTINCT patient_id FROM twin.encounter_plan"
    " JOIN twin.encounter USING (encounter_id) WHERE plan_id IN ({})",
    "q": "SELECT patient_id FROM twin.procedure WHERE procedure_id IN ({0})"
    " UNION SELECT patient_id FROM twin.service_request WHERE service_request_id IN ({0})"
    " UNION SELECT patient_id FROM twin.task WHERE task_id IN ({0})",
}
_SHORT_TRACE = "SELECT DISTINCT patient_id FROM twin.encounter WHERE left(encounter_id, 7) IN ({})"
_MESSAGE = """
WITH said AS (
    SELECT DISTINCT e.message_id, n.kind, n.system, n.value FROM core.event e
    JOIN core.node n ON n.node = e.node WHERE e.message_id IN ({})
)
SELECT message_id, i.patient_id FROM said JOIN twin.patient_identifier i USING (system, value)
WHERE said.kind = 'p'
UNION
SELECT message_id, v.patient_id FROM said JOIN twin.encounter_identifier i USING (system, value)
JOIN twin.encounter v ON v.encounter_id = i.encounter_id
WHERE said.kind = 'e' AND v.patient_id IS NOT NULL
"""

_OWNERS = """
SELECT value, patient_id FROM twin.patient_identifier WHERE value IN ({0})
UNION
SELECT i.value, v.patient_id FROM twin.encounter_identifier i
JOIN twin.encounter v USING (encounter_id) WHERE i.value IN ({0}) AND v.patient_id IS NOT NULL
UNION
SELECT i.value, a.patient_id FROM twin.appointment_identifier i
JOIN twin.appointment_patient a USING (appointment_id) WHERE i.value IN ({0})
AND a.patient_id IS NOT NULL
"""


def ids_in(shown: bytes, *, board: bool = False) -> frozenset[str]:
    """The twin's ids in an answer; on a board, visits go by the first letters of theirs."""
    found = {told.decode() for told in _ID.findall(shown)}
    if board:
        found |= {told.decode() for told in _SHORT.findall(shown)}
    return frozenset(found)


ids_in_part = lru_cache(maxsize=8)(ids_in)
"""`ids_in` of a part of a stream, which many are sent at the same time."""


def messages_in(shown: bytes) -> frozenset[int]:
    """The numbers of messages in an answer that lists messages or findings."""
    return frozenset(int(one or other) for one, other in _MESSAGE_NUMBER.findall(shown))


def patients_of(ids: Iterable[str], query: Query) -> tuple[str, ...]:
    """The patients behind ids, in the order of their ids; an id of nothing known stands for none.

    The ids are those that `ids_in` finds, and so cannot say anything in SQL.
    """
    return tuple(sorted(set().union(*_traced(ids, query))))


def _traced(ids: Iterable[str], query: Query) -> Iterator[set[str]]:
    by_kind: dict[str, list[str]] = {}
    for told in ids:
        by_kind.setdefault(told[0] if len(told) == LONGEST_ID else "", []).append(told)
    yield set(by_kind.pop("p", ()))
    for kind, named in by_kind.items():
        for listed in _listed(named):
            rows = query((_TRACES[kind] if kind else _SHORT_TRACE).format(listed))
            yield {str(row["patient_id"]) for row in rows if row["patient_id"] is not None}


def _listed(named: Sequence[str]) -> Iterator[str]:
    """Values as lists in SQL, each short enough for a statement."""
    for first in range(0, len(named), MOST_ASKED):
        quoted = (one.replace("'", "''") for one in named[first : first + MOST_ASKED])
        yield ", ".join(f"'{one}'" for one in quoted)


class Tracing:
    """Whom the ids on a board lead to, asked once for everybody who is shown the same of it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._sequence = -1
        self._known: dict[frozenset[str], tuple[str, ...]] = {}

    def patients(self, ids: frozenset[str], query: Query, sequence: int) -> tuple[str, ...]:
        """As `patients_of`; a batch may change whose a visit is, so each `sequence` asks anew."""
        with self._turn:
            if sequence != self._sequence:
                self._sequence, self._known = sequence, {}
            if ids not in self._known:
                self._known[ids] = patients_of(ids, query)
            return self._known[ids]


class Told(NamedTuple):
    """Whom an answer tells of: those whom it leads to, and whether there may be others."""

    patients: frozenset[str] = frozenset()
    beside: Beside = ""


def told_by_messages(numbers: Iterable[int], query: Query) -> Told:
    """The patients whom messages spoke of. Of one that was not applied, who that was is unknown."""
    asked_for = sorted(numbers)
    spoken: dict[int, set[str]] = {number: set() for number in asked_for}
    for first in range(0, len(asked_for), MOST_ASKED):
        listed = ", ".join(str(int(one)) for one in asked_for[first : first + MOST_ASKED])
        for row in query(_MESSAGE.format(listed)):
            spoken[int(str(row["message_id"]))].add(str(row["patient_id"]))
    return Told(frozenset().union(*spoken.values()), "" if all(spoken.values()) else "unknown")


def told_by_rows(sql: str, rows: Sequence[Mapping[str, Any]], query: Query) -> Told:
    """The patients whom the rows of a statement over the identified store are about.

    They are all only where each row is one patient's and names them: by an id of the twin, or by a
    number of a patient, visit or appointment where the statement reads those.
    """
    ids = [ids_in(msgspec.json.encode(row)) for row in rows]
    patients = set(patients_of(frozenset().union(*ids), query))
    question = asked(sql)
    unnamed = [row for row, found in zip(rows, ids, strict=True) if not found]
    if question.identifiers and unnamed:
        owners = _owners({value for row in unnamed for value in _texts(row)}, query)
        patients |= {owner for found in owners.values() for owner in found}
        unnamed = [row for row in unnamed if owners.keys().isdisjoint(_texts(row))]
    known = not rows or (question.one_by_one and not unnamed)
    return Told(frozenset(patients), "" if known or not question.about_patients else "unknown")


def _texts(row: Mapping[str, Any]) -> set[str]:
    texts = (one for one in row.values() if isinstance(one, str) and "\0" not in one)
    return {one for one in texts if 0 < len(one) <= LONGEST_NUMBER}


def _owners(values: Iterable[str], query: Query) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for listed in _listed(sorted(values)):
        for row in query(_OWNERS.format(listed)):
            found.setdefault(str(row["value"]), set()).add(str(row["patient_id"]))
    return found
