"""How far each source is read: a SQLite file beside the store that survives any end.

A checkpoint is stored after the entries before it are durable in the inbox, so that an end in
between reads a page twice and never not at all; what is read twice the inbox knows by its version.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from api.beside import BesideStore, Words, instant_text
from twin_core.encryption import Files, StoreKey

BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS source (
    name TEXT PRIMARY KEY, base TEXT, version TEXT DEFAULT '', state TEXT DEFAULT '',
    reason TEXT DEFAULT '', since TEXT DEFAULT '', pid INTEGER DEFAULT 0, breaker TEXT DEFAULT '',
    synced_at TEXT DEFAULT '', position INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (
    source TEXT, what TEXT, held BLOB, PRIMARY KEY (source, what)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    source TEXT, what TEXT, resource TEXT, version TEXT, updated TEXT,
    PRIMARY KEY (source, what, resource, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (
    source TEXT, kind TEXT, outcome TEXT, resources INTEGER,
    PRIMARY KEY (source, kind, outcome)) WITHOUT ROWID;
"""
_WORDS = Words(
    use="It says how far FHIR servers are read; without it they are read anew.",
    about="It says how far FHIR servers were read into that one.",
    anew="servers are read anew",
)

Key = tuple[str, str]
"""`Type/id` and version of a resource."""


class Progress(NamedTuple):
    """Where a source stands, as last written."""

    name: str
    base: str
    version: str
    state: str
    reason: str
    since: str
    pid: int
    breaker: str
    synced_at: str
    position: int


def ledger_path(store: Path) -> Path:
    """Where the ledger of a store is."""
    return store.with_name(store.name + ".sources")


class Ledger(BesideStore):
    """The ledger of one store; every method is one transaction, on any thread."""

    def __init__(self, path: Path, store_id: str, key: StoreKey | None) -> None:
        super().__init__(
            path, store_id, key, kind=".sources", schema=_SCHEMA, words=_WORDS, busy_s=BUSY_S
        )
        self.files = Files.of(key)
        """How exports on their way in are kept."""

    def begin(self, name: str, base: str, high: int) -> None:
        """A source is about to be read, at a store that holds messages up to `high`.

        What was kept of another server, or of a store that held more than this one, is forgotten.
        """
        with self._writing() as db:
            row = db.execute("SELECT base, position FROM source WHERE name = ?", (name,)).fetchone()
            if row is not None and (row[0] != base or row[1] > high):
                for table in ("checkpoint", "seen"):
                    db.execute(f"DELETE FROM {table} WHERE source = ?", (name,))  # noqa: S608
                db.execute(
                    "UPDATE source SET base = ?, position = 0, synced_at = '' WHERE name = ?",
                    (base, name),
                )
            db.execute("INSERT OR IGNORE INTO source (name, base) VALUES (?, ?)", (name, base))

    def forget(self, name: str) -> None:
        """Forget how far a source is read: the next sync reads everything."""
        with self._writing() as db:
            for table in ("checkpoint", "seen"):
                db.execute(f"DELETE FROM {table} WHERE source = ?", (name,))  # noqa: S608

    def checkpoint(self, name: str, what: str) -> bytes | None:
        """What was kept last."""
        rows = self._read("SELECT held FROM checkpoint WHERE source = ? AND what = ?", (name, what))
        if not rows:
            return None
        held = self._cells.said("checkpoint", "held", (name, what), rows[0][0])
        return held if isinstance(held, bytes) else None

    def unseen(self, name: str, what: str, keys: Sequence[Key]) -> set[Key]:
        """Which of these versions were not taken before, as far as that is remembered."""
        kept = {self._seen(name, what, resource): resource for resource, _ in keys}
        marks = ", ".join("?" * len(kept))
        rows = self._read(
            "SELECT resource, version FROM seen WHERE source = ? AND what = ?"  # noqa: S608
            f" AND resource IN ({marks})",
            (name, what, *kept),
        )
        return set(keys) - {(kept[resource], version) for resource, version in rows}

    def _seen(self, name: str, what: str, resource: str) -> object:
        return self._cells.kept("seen", "resource", (name, what), resource)

    def keep(
        self,
        name: str,
        what: str,
        held: bytes,
        *,
        position: int = 0,
        seen: Iterable[tuple[str, str, str]] = (),
        forget_before: str = "",
    ) -> None:
        """Everything up to a checkpoint is durable.

        `position` is the last inbox position of it, `seen` what it held as (resource, version,
        update), `forget_before` the update before which nothing needs to be remembered.
        """
        kept = self._cells.kept("checkpoint", "held", (name, what), held)
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)", (name, what, kept))
            db.execute(
                "UPDATE source SET position = max(position, ?) WHERE name = ?", (position, name)
            )
            db.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)",
                [
                    (name, what, self._seen(name, what, resource), version, updated)
                    for resource, version, updated in seen
                ],
            )
            if forget_before:
                db.execute(
                    "DELETE FROM seen WHERE source = ? AND what = ? AND updated < ?",
                    (name, what, forget_before),
                )

    def count(self, name: str, kind: str, outcomes: Mapping[str, int]) -> None:
        """Count what became of resources of a type, on top of what was counted before."""
        with self._writing() as db:
            db.executemany(
                "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT (source, kind, outcome)"
                " DO UPDATE SET resources = resources + excluded.resources",
                [(name, kind, outcome, number) for outcome, number in outcomes.items() if number],
            )

    def drop(self, name: str, what: str) -> None:
        """A checkpoint is needed no more."""
        with self._writing() as db:
            db.execute("DELETE FROM checkpoint WHERE source = ? AND what = ?", (name, what))

    def tell(self, name: str, state: str, reason: str, at: datetime, pid: int, **more: str) -> None:
        """Write down how a source is doing, for other programs to see."""
        told = {"state": state, "reason": reason, "since": instant_text(at), "pid": pid, **more}
        marks = ", ".join(f"{column} = ?" for column in told)
        with self._writing() as db:
            db.execute(
                f"UPDATE source SET {marks} WHERE name = ?",  # noqa: S608  (names of this module)
                (*told.values(), name),
            )

    def progress(self) -> list[Progress]:
        """Every source that was ever read."""
        rows = self._read(
            "SELECT name, base, version, state, reason, since, pid, breaker, synced_at, position"
            " FROM source ORDER BY name"
        )
        return [Progress(*row) for row in rows]

    def tallies(self) -> dict[str, dict[str, dict[str, int]]]:
        """What became of resources, by source, type and outcome, since the ledger was made."""
        counted: dict[str, dict[str, dict[str, int]]] = {}
        for source, kind, outcome, number in self._read("SELECT * FROM tally"):
            counted.setdefault(source, {}).setdefault(kind, {})[outcome] = number
        return counted


def held(checkpoint: msgspec.Struct) -> bytes:
    """A checkpoint as the ledger keeps it."""
    return msgspec.json.encode(checkpoint)
