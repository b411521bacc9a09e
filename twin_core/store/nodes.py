"""Identifiers as numbered nodes, and families of nodes that belong to one entity.

Families only grow: a fold decides what its members mean. What is kept in memory is a bounded copy
of `core.node` and `core.family`; whatever is missing is looked up by hash, once per batch.
"""

import hashlib
import struct
from collections.abc import Iterable, Set
from itertools import chain
from typing import NamedTuple

import pyarrow as pa

from twin_core.identifiers import Identifier
from twin_core.store.committed import Committed

Wanted = tuple[str, Identifier]
"""Kind of entity (the letters of `subjects`) and identifier."""
Key = tuple[str, str, str]

REMEMBERED = 60_000
"""Nodes kept in memory at most."""
_HASHED, _NUMBER = hashlib.blake2b(digest_size=8), struct.Struct(">q")


class NewNode(NamedTuple):
    """A row of core.node."""

    node: int
    kind: str
    system: str
    value: str
    type: str
    hash: int


class Nodes:
    """The numbers and families of identifiers, as of the last committed batch and this one."""

    def __init__(self, committed: Committed) -> None:
        self._committed = committed
        self.created: list[NewNode] = []
        self.regrouped: set[int] = set()
        self.forget()

    def forget(self) -> None:
        """Drop everything remembered and not committed; the tables know."""
        connection = self._committed.settled()
        # All of each: who has fetched one row only still reads, and keeps the store from being
        # taken anew.
        [[last]] = connection.execute("SELECT coalesce(max(node), 0) FROM core.node").fetchall()
        self._next = int(last) + 1
        self.first_new = self._next
        self._node: dict[Key, int] = {}
        self._family: dict[int, int] = {}
        self._members: dict[int, list[int]] = {}
        self._identifier: dict[int, tuple[str, Identifier]] = {}
        self._words: dict[str, str] = {}
        """Systems and types, each once: every message brings its own copy of the same few."""
        accounts = connection.execute(
            "SELECT system, value FROM core.node WHERE kind = 'b'"
        ).fetchall()
        self.accounts = set(accounts)
        """Accounts that something was said of besides which visits they have: few."""
        visits = connection.execute(
            "SELECT system, value FROM core.node WHERE kind = 'e' AND type = 'AN'"
        ).fetchall()
        self.account_visits = set(visits)
        """Accounts by which messages name a visit that they give no number: none on most feeds."""
        started = connection.execute(
            "SELECT 1 FROM core.node WHERE kind = 'e' AND type = 'start' LIMIT 1"
        )
        self.starts = bool(started.fetchall())
        """Whether any visit is known by its patient and start only, as on few feeds."""
        cared = connection.execute("SELECT 1 FROM core.node WHERE kind = 'q' LIMIT 1")
        self.cares = bool(cared.fetchall())
        """Whether any request, task, procedure, schedule, slot or metric was ever stated."""
        self.begin()

    def begin(self) -> Set[int] | None:
        """Start a batch, after all that was created before.

        Where memory was full it returns the families that are still remembered.
        """
        kept = self._shorten() if len(self._node) > REMEMBERED else None
        self.created = []
        self.regrouped = set()
        self.first_new = self._next
        return kept

    def learn(self, wanted: Iterable[Wanted]) -> None:
        """Number every identifier, looking up those not remembered and creating the rest."""
        missing: dict[Key, Identifier] = {}
        known = self._node
        for kind, identifier in wanted:
            key = (kind, identifier.system, identifier.value)
            if key not in known and key not in missing:
                missing[key] = identifier
        if missing:
            hashes = [_hash(key) for key in missing]
            if self.first_new > 1:
                self._look_up(set(hashes))
            self._create(missing, hashes)

    def recall(self, numbers: Iterable[int]) -> None:
        """Look up nodes by number, with their families."""
        missing = [number for number in numbers if number not in self._identifier]
        if missing:
            wanted = pa.table({"node": pa.array(missing)})  # noqa: F841  (DuckDB reads it by name)
            found = (
                self._committed.settled()
                .execute(
                    "SELECT n.node, n.kind, n.system, n.value, n.type"
                    " FROM core.node n SEMI JOIN wanted USING (node)"
                )
                .fetchall()
            )
            self._remember(found)
            self._look_up_families([row[0] for row in found])

    def number(self, kind: str, identifier: Identifier) -> int:
        """The node of an identifier that was learned."""
        return self._node[kind, identifier.system, identifier.value]

    def known(self, kind: str, identifier: Identifier) -> int | None:
        """The node of an identifier if it is remembered."""
        return self._node.get((kind, identifier.system, identifier.value))

    def is_new(self, node: int) -> bool:
        """Whether the node was created in this batch."""
        return node >= self.first_new

    def family(self, node: int) -> int:
        """The family that a node belongs to: the number of its first member."""
        return self._family.get(node, node)

    def members(self, family: int) -> list[int]:
        """The nodes of a family."""
        return self._members.get(family) or [family]

    def identifiers(self, family: int) -> list[Identifier]:
        """The identifiers of a family."""
        return [self._identifier[node][1] for node in self.members(family)]

    def unite(self, one: int, other: int) -> tuple[int, int] | None:
        """Make two nodes one family; (kept, gone) where they were not."""
        first, second = self.family(one), self.family(other)
        if first == second:
            return None
        kept, gone = min(first, second), max(first, second)
        moving = self._members.pop(gone, None) or [gone]
        staying = self._members.setdefault(kept, [kept])
        if kept not in self._family:
            self._family[kept] = kept
            self.regrouped.add(kept)
        for node in moving:
            self._family[node] = kept
            self.regrouped.add(node)
        staying.extend(moving)
        return kept, gone

    def regroupings(self) -> list[tuple[int, int]]:
        """(node, family) rows that this batch changed."""
        return [(node, self._family[node]) for node in sorted(self.regrouped)]

    def _shorten(self) -> Set[int]:
        """Forget all families but those that the batch being written has to do with, if one is.

        What it brought together is known here only, and waiting for it would take as long as it.
        """
        unwritten = self._committed.unwritten
        told = chain(unwritten, self.regrouped, range(self.first_new, self._next))
        kept = {self.family(node) for node in told} if unwritten else set()
        members = {family: self.members(family) for family in kept}
        known = {n: self._identifier[n] for several in members.values() for n in several}
        self._identifier = known
        self._words.clear()
        self._node = {(kind, i.system, i.value): node for node, (kind, i) in known.items()}
        self._family = {node: self._family[node] for node in known if node in self._family}
        self._members = {f: several for f, several in members.items() if f in self._members}
        return kept

    def _create(self, missing: dict[Key, Identifier], hashes: list[int]) -> None:
        """Give numbers to those that are not known, in their order."""
        node, known, word = self._next, self._node, self._words.setdefault
        for (key, identifier), hashed in zip(missing.items(), hashes, strict=True):
            if key in known:
                continue
            kind, system, value = key
            system, type_ = word(system, system), word(identifier.type, identifier.type)
            known[kind, system, value] = node
            self._identifier[node] = (kind, Identifier(system, value, type_))
            self.created.append(NewNode(node, kind, system, value, type_, hashed))
            node += 1
            if kind == "q":
                self.cares = True
            elif kind == "b":
                self.accounts.add(identifier.key)
            elif kind == "e" and type_ == "AN":
                self.account_visits.add(identifier.key)
            elif kind == "e" and type_ == "start":
                self.starts = True
        self._next = node

    def _look_up(self, hashes: set[int]) -> None:
        wanted = pa.table({"hash": pa.array(list(hashes))})  # noqa: F841  (DuckDB reads it by name)
        # All nodes of the batch that is being written are remembered, with their families.
        found = self._committed.so_far.execute(
            "SELECT n.node, n.kind, n.system, n.value, n.type"
            " FROM core.node n SEMI JOIN wanted USING (hash)"
        ).fetchall()
        self._remember(found)
        self._look_up_families([row[0] for row in found])

    def _look_up_families(self, numbers: list[int]) -> None:
        if not numbers:
            return
        wanted = pa.table({"node": pa.array(numbers, pa.int64())})  # noqa: F841  (read by name)
        grouped = self._committed.so_far.execute(
            "WITH f AS (SELECT DISTINCT family FROM core.family SEMI JOIN wanted USING (node))"
            " SELECT n.node, n.kind, n.system, n.value, n.type, g.family"
            " FROM f JOIN core.family g USING (family) JOIN core.node n USING (node) ORDER BY 1"
        ).fetchall()
        self._remember([row[:5] for row in grouped])
        for row in grouped:
            node, family = row[0], row[5]
            if node not in self._family:
                self._family[node] = family
                self._members.setdefault(family, []).append(node)

    def _remember(self, rows: Iterable[tuple[int, str, str, str, str]]) -> None:
        word = self._words.setdefault
        for node, kind, system, value, type_ in rows:
            if (kind, system, value) not in self._node:
                of, by, as_ = (word(one, one) for one in (kind, system, type_))
                self._node[of, by, value] = node
                self._identifier[node] = (of, Identifier(by, value, as_))


def _hash(key: Key) -> int:
    digest = _HASHED.copy()
    digest.update("\x1f".join(key).encode("utf-8", "surrogatepass"))
    number: int = _NUMBER.unpack(digest.digest())[0]
    return number
