"""The files beside a store: what in them may be about a patient, and its removal.

Every table of every such file is listed here, so that nobody adds one without a word on whether it
may tell of a patient.
"""

import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from twin_core.encryption import BESIDE as SEALED_BESIDE
from twin_core.encryption import EXPORTS, Cells, StoreKey, opened_cells
from twin_core.erased import LEAST_TELLING
from twin_core.errors import StoreError
from twin_core.store.erasing.found import Erasure

Forgetting = Callable[[sqlite3.Connection, Erasure, Cells], None]


def _parked(db: sqlite3.Connection, erasure: Erasure, cells: Cells) -> None:
    gone = [(one,) for one in (*erasure.messages, *erasure.touched)]
    db.executemany("DELETE FROM parked WHERE message_id = ?", gone)


def _seen(db: sqlite3.Connection, erasure: Erasure, cells: Cells) -> None:
    gone = [value for _, _, value in erasure.identifiers]
    for place in db.execute("SELECT DISTINCT source, what FROM seen").fetchall():
        # As it was written down, sealed or not.
        rows = [(*place, cells.kept("seen", "resource", place, value)) for value in gone]
        db.executemany("DELETE FROM seen WHERE source = ? AND what = ? AND resource = ?", rows)


def _checkpoint(db: sqlite3.Connection, erasure: Erasure, cells: Cells) -> None:
    rows = db.execute("SELECT source, what, held FROM checkpoint").fetchall()
    gone = [
        place
        for *place, held in rows
        if _tells(_bytes(cells.said("checkpoint", "held", place, held)), erasure)
    ]
    db.executemany("DELETE FROM checkpoint WHERE source = ? AND what = ?", gone)


def _texts(db: sqlite3.Connection, erasure: Erasure, cells: Cells) -> None:
    rows = db.execute("SELECT seq, said FROM texts").fetchall()
    gone = [
        (seq,)
        for seq, kept in rows
        if _tells(_bytes(cells.said("texts", "said", (seq,), kept)), erasure)
    ]
    db.executemany("DELETE FROM texts WHERE seq = ?", gone)


def _view(db: sqlite3.Connection, erasure: Erasure, cells: Cells) -> None:
    rows = db.execute("SELECT principal, name, href FROM view").fetchall()
    gone = []
    for who, *kept in rows:
        told = (
            str(cells.said("view", column, (who,), held))
            for column, held in zip(("name", "href"), kept, strict=True)
        )
        if _tells("\n".join(told).encode(), erasure):
            gone.append((who, kept[0]))
    db.executemany("DELETE FROM view WHERE principal = ? AND name = ?", gone)


def _simulation(db: sqlite3.Connection, erasure: Erasure, cells: Cells) -> None:
    columns = ("title", "learned", "task", "answer")
    rows = db.execute(f"SELECT id, {', '.join(columns)} FROM simulation").fetchall()
    gone = []
    for id_, *kept in rows:
        title, learned, *packed = (
            _bytes(cells.said("simulation", column, (id_,), held))
            for column, held in zip(columns, kept, strict=True)
        )
        opened = [title, learned, *(zlib.decompress(held) for held in packed if held)]
        if any(_tells(held, erasure) for held in opened):
            gone.append((id_,))
    db.executemany("DELETE FROM simulation WHERE id = ?", gone)


BESIDE: dict[str, dict[str, Forgetting | None]] = {
    # Digests of messages go with the tombstones; entries are pruned whole.
    ".inbox": dict.fromkeys(
        ("meta", "entry", "digest", "recent_digest", "tally", "heard", "tombstone")
    ),
    # Control ids and reasons of messages that another system did not take.
    ".outbound": {"meta": None, "destination": None, "parked": _parked, "tally": None},
    # Ids of resources that were read, and where reading goes on.
    ".sources": {
        "meta": None,
        "source": None,
        "checkpoint": _checkpoint,
        "seen": _seen,
        "tally": None,
    },
    # Whoever is in a calibrated model is there by a number of its own; a model that was sent may
    # name anybody.
    ".simulations": {"meta": None, "simulation": _simulation},
    # Entries name patients by keyed pseudonyms; words of queries and reasons stand beside them.
    ".audit": {
        "meta": None,
        "entry": None,
        "patients": None,
        "texts": _texts,
        "checkpoint": None,
        "kept": None,
    },
    # Keys and whoever broke glass: people of the site, no patients. An address may name anybody.
    ".access": {"meta": None, "api_key": None, "broken_glass": None, "view": _view},
}
"""By the ending of a file's name: its tables, and how each forgets a patient."""
_OPEN = Cells("", None, "")
_FOLDERS = (EXPORTS,)
"""Exports on their way in: lines of whoever the server told of."""


def forget_beside(path: Path, erasure: Erasure, key: StoreKey | None) -> None:
    """Take a patient out of the files beside a store. Raises StoreError where one refuses."""
    for suffix, tables in BESIDE.items():
        file = path.with_name(path.name + suffix)
        if suffix == ".inbox" or not file.exists():
            continue
        try:
            with closing(sqlite3.connect(file, isolation_level=None)) as db:
                name = f"The file {file.name}"
                cells = opened_cells(db, suffix, key, name) if suffix in SEALED_BESIDE else _OPEN
                _forget(db, tables, erasure, cells)
        except sqlite3.Error as error:
            raise StoreError(
                f"{file.name} could not be written anew.",
                why=f"{error}.",
                do="End whatever uses it; the erasure goes on with the next start.",
            ) from error
    for folder in _FOLDERS:
        shutil.rmtree(path.with_name(path.name + folder), ignore_errors=True)


def written_anew(db: sqlite3.Connection) -> None:
    """Leave nothing of what was removed in free pages or in the log."""
    db.execute("VACUUM")
    rows = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if rows and rows[0][0]:
        raise sqlite3.OperationalError("another program is reading it")


def _forget(
    db: sqlite3.Connection, tables: dict[str, Forgetting | None], erasure: Erasure, cells: Cells
) -> None:
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.execute("BEGIN IMMEDIATE")
    for table, forgetting in tables.items():
        if forgetting is not None and table in there:
            forgetting(db, erasure, cells)
    db.execute("COMMIT")
    written_anew(db)


def _bytes(said: object) -> bytes:
    if isinstance(said, str):
        return said.encode("utf-8", "surrogatepass")
    return said if isinstance(said, bytes) else b""


def _tells(held: bytes, erasure: Erasure) -> bool:
    """Whether text or JSON holds a word, an id or a name of the patient."""
    if any(form in held for form in _forms(erasure)):
        return True
    return erasure.names.stand_in(held.decode("utf-8", "replace"))


def _forms(erasure: Erasure) -> Iterator[bytes]:
    telling = (word for word in erasure.words if len(word) >= LEAST_TELLING)
    for word in (*telling, *erasure.record_ids):
        yield word.encode("utf-8", "surrogatepass")
        yield msgspec.json.encode(word)[1:-1]
        # As it stands in an address.
        yield quote(word, safe="").encode()
