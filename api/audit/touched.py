"""Which patients an answer is about, read from the answer itself.

Whatever a route meant to say, what counts is what leaves: the twin's ids are found in the bytes,
and ids of visits, stays, appointments and results are traced to their patients.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

Query = Callable[[str], Sequence[Mapping[str, object]]]
"""Rows of the twin's own SQL over the store."""

_ID = re.compile(rb"(?<![0-9A-Za-z])([peasov][0-9a-f]{24})(?![0-9A-Za-z])")
_SHORT = re.compile(rb"(?<![0-9A-Za-z])(e[0-9a-f]{6})(?![0-9A-Za-z])")
LONGEST_ID = 25

_TRACES = {
    "e": "SELECT DISTINCT patient_id FROM twin.encounter WHERE encounter_id IN ({})",
    "s": "SELECT DISTINCT patient_id FROM twin.stay WHERE stay_id IN ({})",
    "a": "SELECT DISTINCT patient_id FROM twin.appointment WHERE appointment_id IN ({})",
    "o": "SELECT DISTINCT patient_id FROM twin.observation WHERE observation_id IN ({})",
    "v": "SELECT DISTINCT patient_id FROM twin.device_event WHERE device_event_id IN ({})",
}
_SHORT_TRACE = "SELECT DISTINCT patient_id FROM twin.encounter WHERE left(encounter_id, 7) IN ({})"
_MESSAGE = """
WITH said AS (
    SELECT DISTINCT n.kind, n.system, n.value FROM core.event e
    JOIN core.node n ON n.node = e.node WHERE e.message_id = {}
)
SELECT i.patient_id FROM said JOIN twin.patient_identifier i USING (system, value)
WHERE said.kind = 'p'
UNION
SELECT v.patient_id FROM said JOIN twin.encounter_identifier i USING (system, value)
JOIN twin.encounter v ON v.encounter_id = i.encounter_id
WHERE said.kind = 'e' AND v.patient_id IS NOT NULL
"""


def ids_in(shown: bytes, *, board: bool = False) -> frozenset[str]:
    """The twin's ids in an answer; on a board, visits go by the first letters of theirs."""
    found = {told.decode() for told in _ID.findall(shown)}
    if board:
        found |= {told.decode() for told in _SHORT.findall(shown)}
    return frozenset(found)


def patients_of(ids: Iterable[str], query: Query) -> tuple[str, ...]:
    """The patients behind ids, in the order of their ids; an id of nothing known stands for none.

    The ids are those that `ids_in` finds, and so cannot say anything in SQL.
    """
    by_kind: dict[str, list[str]] = {}
    for told in ids:
        by_kind.setdefault(told[0] if len(told) == LONGEST_ID else "", []).append(told)
    patients = set(by_kind.pop("p", ()))
    for kind, named in by_kind.items():
        listed = ", ".join(f"'{one}'" for one in named)
        rows = query((_TRACES[kind] if kind else _SHORT_TRACE).format(listed))
        patients |= {str(row["patient_id"]) for row in rows if row["patient_id"] is not None}
    return tuple(sorted(patients))


def patients_of_message(message_id: int, query: Query) -> tuple[str, ...]:
    """The patients whom a message spoke of, as far as it was applied."""
    rows = query(_MESSAGE.format(int(message_id)))
    return tuple(sorted(str(row["patient_id"]) for row in rows))
