"""Reading a ledger: its entries, newest first, by who, which patient, what and when."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from twin_core.audit import file
from twin_core.audit.access import Entry, Texts
from twin_core.audit.keys import AuditKeys
from twin_core.encryption import StoreKey, read_cells
from twin_core.errors import StoreError


class Sought(NamedTuple):
    """What entries are looked for; an empty word or None stands for any."""

    who: str = ""
    patient: str = ""
    """A patient id of the twin; found by its pseudonym."""
    what: str = ""
    since: datetime | None = None
    until: datetime | None = None


class LedgerReader:
    """A ledger for reading, which also works while a server writes it."""

    def __init__(self, path: Path, key: StoreKey | None = None) -> None:
        self.path = path
        self._db = file.readable(path)
        try:
            self._cells = read_cells(self._db, file.KIND, key, f"The file {path.name}")
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"{path} cannot be read as a ledger.", why=f"{error}.") from error
        except BaseException:
            self._db.close()
            raise

    @property
    def has_closed_texts(self) -> bool:
        """Whether the texts are sealed and no key is at hand."""
        return self._cells.is_locked

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def ledger_id(self) -> str:
        """The id of the ledger; empty where somebody took it out, so that no chain begins by it."""
        rows = self._all("SELECT value FROM meta WHERE key = 'ledger_id'")
        return str(rows[0][0]) if rows else ""

    def entries(self, *, newest_first: bool = False) -> Iterator[Entry]:
        """Every entry that can be read as one."""
        order = "DESC" if newest_first else "ASC"
        for (body,) in self._rows(f"SELECT body FROM entry ORDER BY seq {order}"):  # noqa: S608
            with contextlib.suppress(msgspec.DecodeError):
                yield msgspec.json.decode(body, type=Entry)

    def sought(self, sought: Sought, keys: AuditKeys | None = None) -> Iterator[Entry]:
        """The entries that are looked for, newest first; patients need the keys."""
        pseudonym = keys.pseudonym(sought.patient) if keys and sought.patient else ""
        for entry in self.entries(newest_first=True):
            if sought.since is not None and entry.at < sought.since:
                # Clocks go back now and then, so this is no reason to stop looking.
                continue
            if sought.until is not None and entry.at >= sought.until:
                continue
            if sought.who not in ("", entry.who.id, entry.who.name):
                continue
            if sought.what not in entry.what or (sought.patient and not pseudonym):
                continue
            if not pseudonym or pseudonym in self.patients(entry):
                yield entry

    def patients(self, entry: Entry) -> tuple[str, ...]:
        """The pseudonyms of the patients that an access touched."""
        if not entry.patients_digest:
            return entry.patients
        rows = self._all("SELECT pseudonyms FROM patients WHERE digest = ?", entry.patients_digest)
        return tuple(str(rows[0][0]).split()) if rows else ()

    def texts(self, entry: Entry) -> Texts | None:
        """The query and the reason, where they are kept.

        Raises ConfigurationError where they are sealed and no key is at hand.
        """
        rows = self._all("SELECT said FROM texts WHERE seq = ?", entry.seq)
        if not rows:
            return None
        said = self._cells.said("texts", "said", (entry.seq,), rows[0][0])
        return msgspec.json.decode(_bytes(said), type=Texts)

    def notes(self) -> list[str]:
        """The ledger's own copies of its checkpoints."""
        return [str(note) for (note,) in self._all("SELECT note FROM checkpoint ORDER BY size")]

    def snapshot(self) -> None:
        """Read what follows as it is at the first read, whatever is written meanwhile."""
        self._all("BEGIN")

    def noted_tip(self) -> str | None:
        """The signed line that the ledger holds of its own end."""
        rows = self._all("SELECT value FROM meta WHERE key = 'tip'")
        return str(rows[0][0]) if rows else None

    def shape(self) -> dict[tuple[str, str], str]:
        """What the file is made of."""
        with file.failing():
            return file.shape(self._db)

    def frontiers(self) -> list[tuple[int, str, bytes]]:
        """The sizes of the ledger's own checkpoints, their notes, and their subtrees."""
        rows = self._all("SELECT size, note, subtrees FROM checkpoint ORDER BY size")
        return [(int(size), str(note), _bytes(roots)) for size, note, roots in rows]

    def delivered(self) -> dict[str, int]:
        """Up to which checkpoint each keeper was served."""
        return {str(name): int(size) for name, size in self._all("SELECT keeper, size FROM kept")}

    def raw(self) -> Iterator[tuple[int, bytes, bytes, bytes]]:
        """The rows as they stand, for verification."""
        sql = "SELECT seq, body, link, signature FROM entry ORDER BY seq, rowid"
        for seq, *cells in self._rows(sql):
            body, link, signature = map(_bytes, cells)
            yield int(seq), body, link, signature

    def patient_lists(self) -> Iterator[tuple[str, str]]:
        """Digests and the lists of pseudonyms they stand for."""
        yield from self._rows("SELECT digest, pseudonyms FROM patients")

    def all_texts(self) -> dict[int, bytes]:
        """The texts beside the ledger, by the number of their entry; a changed one is empty."""
        rows = self._rows("SELECT seq, said FROM texts")
        return {int(seq): self._text(int(seq), kept) for seq, kept in rows}

    def _text(self, seq: int, kept: object) -> bytes:
        try:
            return _bytes(self._cells.said("texts", "said", (seq,), kept))
        except StoreError:
            return b""

    def _all(self, sql: str, *asked: object) -> list[tuple[Any, ...]]:
        return list(self._rows(sql, *asked))

    def _rows(self, sql: str, *asked: object) -> Iterator[tuple[Any, ...]]:
        try:
            # Not `yield from`: a reader that stops early would close the cursor of a closed file.
            for row in self._db.execute(sql, asked):  # noqa: UP028
                yield row
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be read.", why=f"{error}.") from error


def _bytes(cell: object) -> bytes:
    """A cell as bytes, whatever somebody put there."""
    if isinstance(cell, bytes):
        return cell
    return cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else b""
