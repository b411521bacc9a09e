"""What a batch of events changes while it is folded: families to be folded, versions that result.

What every fold shares stands here: the remembered families, the journal behind them, and how rows
are compared with those that hold now.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence, Set
from typing import NamedTuple

import duckdb

from twin_core.identifiers import Identifier
from twin_core.settings import PrecedenceSettings
from twin_core.store.committed import Committed
from twin_core.store.facts import Fact
from twin_core.store.fold.billed import BilledVisit
from twin_core.store.fold.by_account import Shared
from twin_core.store.fold.rows import EntityRow, Note
from twin_core.store.nodes import NewNode, Nodes
from twin_core.store.places import Places
from twin_core.store.subjects import CARE, DEVICE_EVENT, RESULT
from twin_core.store.tables import ENTITIES
from twin_core.store.units import Unit, Units, owners_waiting, owners_where

REPORTED = (("observation", RESULT), ("device_event", DEVICE_EVENT))
"""Tables of what devices and laboratories report, with the kind of unit that writes each."""
_CARED = {
    "patient_id": ("procedure", "service_request", "task"),
    "encounter_id": ("procedure", "service_request", "task"),
    "device_id": ("device_metric",),
    "location_id": ("procedure", "schedule"),
}
"""Tables of requests and the like that have a column; few hospitals send any."""


class Opened(NamedTuple):
    """Rows of one family that begin, and the number of the first of their versions."""

    rows: Sequence[EntityRow]
    first: int
    owner: int


class Changes(NamedTuple):
    """What a batch changes: rows that begin, rows that end with the numbers of their versions.

    `nodes` are those that the events of the batch are filed under, event by event; `touched` are
    the owners of all families that were folded.
    """

    opened: list[Opened]
    closed: list[tuple[EntityRow, int]]
    nodes: list[int]
    created: list[NewNode]
    regrouped: list[tuple[int, int]]
    """(node, family) of nodes that belong to another family now."""
    first_new: int
    """The first number that a node of this batch may have."""
    touched: Set[int]


class Batch:
    """The families that a batch touches, and the versions that come of it.

    Whatever changes what others refer to names those that must be folded again (`_refold`).
    """

    def __init__(self, committed: Committed, precedence: PrecedenceSettings) -> None:
        self._committed, self._precedence = committed, precedence
        self.nodes = Nodes(committed)
        self.units = Units(committed, self.nodes)
        self.places = Places(committed)
        self._next_version = _last_version(committed.settled())
        self._opened: list[Opened] = []
        self._closed: list[tuple[EntityRow, int]] = []
        self._ended: set[int] = set()
        """Owners of rows that end."""
        self._dirty: dict[str, set[int]] = defaultdict(set)
        self._sighted: list[Identifier] = []
        self._numbers: list[list[int]] = []
        """The nodes that each event of the batch ties together."""
        self._shared: dict[int, Shared] = {}
        self._given: dict[int, list[Fact]] = {}
        self._joined: dict[int, int] = {}
        """Visits that go on another one, by owner, each with the one that it goes on."""
        self._billed: dict[str, list[BilledVisit]] = {}
        self._noted: dict[int, list[Note]] = defaultdict(list)
        self._unnaming: set[int] = set()
        """Nodes of placers' numbers that stand for too many orders to name any."""

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """The database as the last batch left it, which is waited for."""
        return self._committed.settled()

    def forget(self) -> None:
        """Drop whatever is remembered and not committed."""
        self.nodes.forget()
        self.units.forget()
        self.places.forget()
        self._unnaming.clear()
        self._next_version = _last_version(self._connection)

    def _refold(self, kind: str, owners: Iterable[int]) -> None:
        found = set(owners)
        self._recall(kind, found)
        self._dirty[kind] |= {self.nodes.family(owner) for owner in found}

    def _refold_reports(self, column: str, ids: set[str]) -> None:
        for entity, kind in REPORTED:
            self._refold(kind, owners_where(self._connection, entity, column, ids))
        self._refold_care(column, ids)

    def _refold_care(self, column: str, ids: Iterable[str]) -> None:
        if self.nodes.cares:
            for entity in _CARED[column]:
                self._refold(CARE, owners_where(self._connection, entity, column, ids))

    def _refold_waiting(self, kind: str, ids: Collection[str]) -> None:
        """Fold again what found that nobody had described one of these, under the id it had."""
        if not ids:
            return
        for waiting, owners in owners_waiting(self._connection, kind, ids).items():
            self._refold(waiting, owners)

    def _recall(self, kind: str, owners: set[int]) -> None:
        # Owners come from rows; their nodes must be at hand before their facts can be loaded.
        self.nodes.recall(owners)
        self.units.fetch(kind, {self.nodes.family(owner) for owner in owners})

    def _replace(self, unit: Unit, rows: Sequence[EntityRow]) -> None:
        held = unit.rows
        if not held:
            unit.rows = self._numbered(rows, unit)
            return
        if len(held) == len(rows) and all(
            before[0] == row for before, row in zip(held, rows, strict=True)
        ):
            return
        kept: dict[EntityRow, int] = {}
        present = set(rows)
        for row, number in held:
            if row in present:
                kept[row] = number
            else:
                self._closed.append((row, number))
                self._ended.add(unit.owner)
        begun = iter(self._numbered([row for row in rows if row not in kept], unit))
        unit.rows = [(row, kept[row]) if row in kept else next(begun) for row in rows]

    def _numbered(self, rows: Sequence[EntityRow], unit: Unit) -> list[tuple[EntityRow, int]]:
        """Rows that begin, each with the number of its version."""
        first = self._next_version + 1
        self._next_version += len(rows)
        self._opened.append(Opened(rows, first, unit.owner))
        return list(zip(rows, range(first, self._next_version + 1), strict=True))


def _last_version(connection: duckdb.DuckDBPyConnection) -> int:
    newest = " UNION ALL ".join(
        f"SELECT max(version_no) AS n FROM core.{entity.name}_version" for entity in ENTITIES
    )
    # To the end of what is found: an answer that is not read whole keeps hold of the file, which
    # then cannot be taken anew.
    [(last,)] = connection.execute(f"SELECT coalesce(max(n), 0) FROM ({newest})").fetchall()
    return int(last)
