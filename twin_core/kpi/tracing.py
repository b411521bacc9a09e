"""From a figure to what it was counted from: the rows behind it, their events and messages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from twin_core.errors import UsageError
from twin_core.kpi.catalogue import BEHIND_COLUMNS, Definition, definition
from twin_core.kpi.measuring import Edge, Query, asked_for

Row = dict[str, Any]
Key = tuple[str, str]

PAGE = 100
"""Rows behind a figure that are given where nobody says how many."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the journal and the message that said so."""

    event_id: int
    kind: str
    occurred_at: datetime | None
    message_id: int


class RowBehind(msgspec.Struct, frozen=True, kw_only=True):
    """One row behind a figure: what it is about, when, and what it adds.

    facility, unit, period and stratum are those of its figure; statistic is None where the row
    counts for every statistic. The rows of a figure add up to its numerator and denominator; for
    means, quantiles and shares within a target the numerator is the amount of one event, the
    denominator 1. Both are None where the row adds nothing, or where an input is not known.
    subject_type is encounter, appointment, schedule, location, census or message; None where only
    settings are behind the row.
    """

    facility: str | None
    unit: str | None
    period_start: datetime
    period_end: datetime
    stratum: str | None
    statistic: str | None
    subject_type: str | None
    subject_id: str | None
    from_at: datetime | None
    to_at: datetime | None
    numerator: float | None
    denominator: float | None
    events: list[Said]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures of a KPI are meant; None is all of them, `-` a name that is missing."""

    facility: str | None = None
    unit: str | None = None
    period: Edge | None = None
    """An instant of the period; a date is its midnight."""
    stratum: str | None = None
    statistic: str | None = None


def rows_behind(
    query: Query,
    kpi: str | Definition,
    start: Edge,
    end: Edge,
    *,
    grain: str = "day",
    by: str = "unit",
    known_at: Edge | None = None,
    figure: Figure | None = None,
    limit: int = PAGE,
    offset: int = 0,
) -> list[RowBehind]:
    """The rows behind the figures of a KPI, in the order of its figures.

    Raises UsageError as `measure` does, and for a KPI that has no rows behind it.
    """
    told = definition(kpi)
    if not told.behind:
        raise UsageError(
            f"No rows are told behind {told.id}.",
            why="Its file gives figures, not what they count.",
        )
    meant = figure or Figure()
    window, known, period = asked_for(
        query, told, start, end, grain=grain, by=by, known_at=known_at, within=meant.period
    )
    clauses, parameters = _meant(meant, period)
    rows = query(
        _SELECT.format(kpi_id=told.id, grain=grain, by=by, clauses=clauses),
        [*window, known, *parameters, limit, offset],
    )
    said = _said(query, rows, known)
    return [
        RowBehind(**row, events=said.get((row["subject_type"], row["subject_id"]), []))
        for row in rows
    ]


# grain and by are words of the catalogue, so they may be literals.
_SELECT = (
    f"SELECT {', '.join(BEHIND_COLUMNS)}"  # noqa: S608 - only names of this module and the catalogue
    " FROM kpi_rows.{kpi_id}(?, ?, grain := '{grain}', \"by\" := '{by}', known_at := ?)"
    " WHERE {clauses}"
    " ORDER BY facility NULLS FIRST, unit NULLS FIRST, period_start, stratum NULLS FIRST,"
    " statistic NULLS FIRST, from_at, subject_type, subject_id, numerator, denominator"
    " LIMIT ? OFFSET ?"
)

_MISSING = "-"


def _meant(figure: Figure, period: datetime | None) -> tuple[str, list[object]]:
    clauses: list[str] = ["true"]
    parameters: list[object] = []
    for name in ("facility", "unit", "stratum"):
        word = getattr(figure, name)
        if word == _MISSING:
            clauses.append(f"{name} IS NULL")
        elif word is not None:
            clauses.append(f"{name} = ?")
            parameters.append(word)
    if figure.statistic is not None:
        clauses.append("(statistic IS NULL OR statistic = ?)")
        parameters.append(figure.statistic)
    if period is not None:
        clauses.append("period_start <= ? AND period_end > ?")
        parameters += [period, period]
    return " AND ".join(clauses), parameters


# By the journal's own keys: the analysts' view would join the whole journal first. What became
# known later, and what an encounter is called since, were not behind a figure of that time.
_NAMED = """
    SELECT i.{subject}_id AS subject_id, n.node
    FROM history.{subject}_identifier($known) i
    JOIN core.node n ON n.kind = '{letter}' AND n.system = i.system AND n.value = i.value
    WHERE i.{subject}_id IN (SELECT unnest($subjects::VARCHAR[]))
"""
# A bed is known by what was said of it, or else because somebody lay in it: its first visit.
_PLACED = """
    UNION
    SELECT l.location_id, n.node
    FROM history.location($known) l
    JOIN core.node n ON n.kind = 'l' AND n.system = 'urn:wardtwin:path'
     AND n.value = array_to_string(list_transform(
             [l.facility, l.unit, l.room, l.bed],
             lambda part: replace(coalesce(part, ''), '/', '%2F')), '/')
    WHERE l.location_id IN (SELECT unnest($subjects::VARCHAR[]))
    UNION
    SELECT f.location_id, n.node
    FROM (SELECT location_id, arg_min(encounter_id, from_at) AS encounter_id
          FROM history.stay($known)
          WHERE location_id IN (SELECT unnest($subjects::VARCHAR[])) GROUP BY ALL) f
    JOIN history.encounter_identifier($known) i ON i.encounter_id = f.encounter_id
    JOIN core.node n ON n.kind = 'e' AND n.system = i.system AND n.value = i.value
"""
_COUNTED = """
    SELECT value AS subject_id, node FROM core.node
    WHERE kind = 'c' AND value IN (SELECT unnest($subjects::VARCHAR[]))
"""
_CARED = """
    SELECT i.care_id AS subject_id, n.node
    FROM history.care_identifier($known) i
    JOIN core.node n ON n.kind = 'q' AND n.system = i.system AND n.value = i.value
    WHERE i.resource_type = 'Schedule' AND i.care_id IN (SELECT unnest($subjects::VARCHAR[]))
"""
_NODES = {
    "encounter": _NAMED.format(subject="encounter", letter="e"),
    "appointment": _NAMED.format(subject="appointment", letter="a"),
    "schedule": _CARED,
    "location": _NAMED.format(subject="location", letter="l") + _PLACED,
    "census": _COUNTED,
}
"""The nodes of the journal under which the events about a subject are filed."""
_EVENTS = """
WITH subject AS ({nodes})
SELECT s.subject_id, e.event_no AS event_id, e.event AS kind, e.occurred_at, e.message_id
FROM subject s JOIN core.event e ON e.node = s.node
WHERE $known::TIMESTAMPTZ IS NULL OR e.recorded_at <= $known ORDER BY e.event_no
"""
_OF_MESSAGES = """
SELECT message_id::VARCHAR AS subject_id, event_no AS event_id, event AS kind, occurred_at,
       message_id
FROM core.event
WHERE message_id IN (SELECT unnest($subjects::VARCHAR[])::BIGINT)
  AND ($known::TIMESTAMPTZ IS NULL OR recorded_at <= $known) ORDER BY event_no
"""


def _said(query: Query, rows: Sequence[Row], known: datetime | None) -> dict[Key, list[Said]]:
    """The events about every subject of the rows, in the order of the journal."""
    subjects: dict[str, set[str]] = {}
    for row in rows:
        if row["subject_id"] is not None:
            subjects.setdefault(row["subject_type"], set()).add(row["subject_id"])
    found: dict[Key, list[Said]] = {}
    for kind, ids in subjects.items():
        sql = _OF_MESSAGES if kind == "message" else _EVENTS.format(nodes=_NODES[kind])
        for event in query(sql, {"subjects": sorted(ids), "known": known}):
            found.setdefault((kind, event.pop("subject_id")), []).append(Said(**event))
    return found
