"""Counts that may be published: one fixed cube, small cells and what would give them away hidden.

The cube is visits by unit and local week, with its totals. A cell of fewer than `least` visits is
hidden (primary suppression), and so is whatever else would let it be computed from the totals
(complementary suppression). There are no other windows and no other groupings, so no pair of
queries differs by a few people.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

ALL = "(all)"
"""The total over units, or over weeks."""
Key = tuple[str, str]
"""Unit (with its facility) and week; either may be ALL."""
Query = Callable[..., list[dict[str, object]]]

CUBE = """
SELECT coalesce(s.facility, '') || '/' || coalesce(s.unit, '') AS unit,
       date_trunc('week', timezone(coalesce(z.time_zone, 'UTC'), s.from_at))::DATE AS week,
       count(DISTINCT s.encounter_id) AS visits,
       count(DISTINCT coalesce(s.patient_id, s.encounter_id)) AS patients
FROM twin.stay s LEFT JOIN core.facility z ON z.facility = s.facility
WHERE s.from_at < date_trunc('week', $cut_off::TIMESTAMPTZ)
GROUP BY ALL ORDER BY ALL
"""
"""Visits that came into each unit in each whole week before the cut-off."""


class AggregateCell(NamedTuple):
    """One cell of the cube; `visits` is None where it is hidden."""

    unit: str
    week: str
    visits: int | None


def visits_by_unit_and_week(
    query: Query, cut_off: object, least: int, known: Iterable[str] = ()
) -> list[AggregateCell]:
    """The cube as published. Units that fewer than `least` patients saw are one unit, "(rare)"."""
    rows = query(CUBE, {"cut_off": cut_off})
    patients: dict[str, int] = {}
    for row in rows:
        unit = str(row["unit"])
        # A patient who came back counts twice here, and so a unit passes a little too easily only
        # where its visits, which are what is published, are many.
        patients[unit] = patients.get(unit, 0) + int(str(row["patients"]))
    vouched = set(known)
    counts: dict[Key, int] = {}
    for row in rows:
        unit, week = str(row["unit"]), row["week"]
        passes = patients[unit] >= least or unit.partition("/")[2] in vouched
        key = (unit if passes else "(rare)", week.isoformat() if isinstance(week, date) else "")
        counts[key] = counts.get(key, 0) + int(str(row["visits"]))
    return published(counts, least)


def published(counts: Mapping[Key, int], least: int) -> list[AggregateCell]:
    """A table of counts with its totals, none of which gives a small cell away.

    Cells that are not in `counts` are zero and published as such.
    """
    table = with_totals(counts)
    hidden = suppressed(table, least)
    return [AggregateCell(*key, None if key in hidden else n) for key, n in sorted(table.items())]


def with_totals(counts: Mapping[Key, int]) -> dict[Key, int]:
    """Every cell of the table, zeros included, and the totals of its rows and columns."""
    rows, columns = sorted({r for r, _ in counts}), sorted({c for _, c in counts})
    table = {(r, c): counts.get((r, c), 0) for r in rows for c in columns}
    for r in rows:
        table[r, ALL] = sum(table[r, c] for c in columns)
    for c in columns:
        table[ALL, c] = sum(table[r, c] for r in rows)
    table[ALL, ALL] = sum(table[r, ALL] for r in rows)
    return table


def suppressed(table: Mapping[Key, int], least: int) -> set[Key]:
    """The cells to hide: small ones, and those by which small ones could be told."""
    hidden = {key for key, n in table.items() if 0 < n < least}
    lines = _lines(table)
    while True:
        exposed = [line for line in lines if _gives_away(line, hidden, table, least)]
        if not exposed:
            exposed = [line for key in determined(hidden, lines) for line in lines if key in line]
        further = {
            smallest
            for line in exposed
            if (smallest := _smallest_visible(line, hidden, table)) is not None
        }
        if not further:
            return hidden
        hidden |= further


def determined(hidden: set[Key], lines: Sequence[Sequence[Key]]) -> list[Key]:
    """The hidden cells that the visible ones and the sums leave one value only.

    A line is a sum: its cells, then their total. A cell is free where some solution of all sums
    without their visible parts is not zero in it.
    """
    if not hidden:
        return []
    cells = sorted(hidden)
    column = {key: at for at, key in enumerate(cells)}
    touched = [line for line in lines if any(key in hidden for key in line)]
    matrix = np.zeros((len(touched), len(cells)))
    for at, line in enumerate(touched):
        for key in line:
            if key in column:
                matrix[at, column[key]] = -1 if key == line[-1] else 1
    _, sizes, rows = np.linalg.svd(matrix)
    rank = int((sizes > 1e-9).sum())
    free = np.abs(rows[rank:]).max(axis=0) if rank < len(cells) else np.zeros(len(cells))
    return [key for key in cells if free[column[key]] < 1e-9]


def _lines(table: Mapping[Key, int]) -> list[list[Key]]:
    rows, columns = sorted({r for r, _ in table}), sorted({c for _, c in table})
    by_row = [[(r, c) for c in columns if c != ALL] + [(r, ALL)] for r in rows]
    by_column = [[(r, c) for r in rows if r != ALL] + [(ALL, c)] for c in columns]
    return by_row + by_column


def _gives_away(
    line: Sequence[Key], hidden: set[Key], table: Mapping[Key, int], least: int
) -> bool:
    """Whether a sum shows what is hidden in it: one cell alone, or few people together."""
    within = [key for key in line if key in hidden]
    if not within or line[-1] in hidden:
        return len(within) == 1
    return len(within) == 1 or sum(table[key] for key in within) < least


def _smallest_visible(
    line: Sequence[Key], hidden: set[Key], table: Mapping[Key, int]
) -> Key | None:
    """The cell that costs least to hide; a total only where nothing else is left."""
    visible = [key for key in line if key not in hidden and table[key] > 0]
    return min(visible, key=lambda key: (ALL in key, table[key], key), default=None)
