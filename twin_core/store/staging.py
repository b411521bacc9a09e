"""Files made durable in the database first, as they are, and applied later.

A bulk export of a million resources is written as Arrow tables in seconds, each with how far its
file has come in one transaction, so that after a crash staging goes on where it was. Nothing is
read out of the resources here: they are translated like any other when they are applied.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import NamedTuple

import duckdb
import pyarrow as pa

from twin_core.errors import StoreError
from twin_core.store import writing
from twin_core.store.database import Database

_FILE = {
    "file_no": "BIGINT",
    "document": "VARCHAR",
    "feed": "VARCHAR",
    "path": "VARCHAR",
    "received_at": "TIMESTAMPTZ",
    "staged": "BIGINT",
    "complete": "BOOLEAN",
}


class StagedFile(NamedTuple):
    """A file that is staged: `staged` lines of it so far, all of them where it is `complete`."""

    file_no: int
    document: str
    """Digest of its bytes."""
    feed: str
    path: str
    received_at: datetime
    staged: int
    complete: bool


class StagedLines(NamedTuple):
    """Some lines of a staged file, in order: where each begins in it, and their bytes."""

    begins: list[int]
    ends: bytes
    """Where each begins and the last one ends, in 64 bits each, from where `content` begins."""
    content: bytes

    def parts(self, limit: int, most_bytes: int) -> Iterator["StagedLines"]:
        """The same lines, as many at a time as `Staging.read` gives."""
        ends = memoryview(self.ends).cast("q")
        first, count = 0, len(self.begins)
        while first < count:
            last = first + 1
            while last < min(first + limit, count) and ends[last] - ends[first] < most_bytes:
                last += 1
            yield StagedLines(
                self.begins[first:last],
                ends[first : last + 1].tobytes(),
                self.content[ends[first] : ends[last]],
            )
            first = last


class Staging:
    """What is staged in a store; `between` is held while nobody else may write."""

    def __init__(self, database: Database, between: Lock) -> None:
        self._database, self._between = database, between

    def files(self) -> list[StagedFile]:
        """The files that are staged and not applied, the oldest first."""
        found = self._database.cursor().execute("FROM core.staged_file ORDER BY file_no")
        return [StagedFile(*row) for row in found.fetchall()]

    def begin(self, document: str, feed: str, path: str, received_at: datetime) -> StagedFile:
        """Begin to stage a file, or go on with one of the same bytes for the same feed."""
        files = self.files()
        for file in files:
            if (file.document, file.feed) == (document, feed):
                return file
        number = 1 + max((file.file_no for file in files), default=0)
        file = StagedFile(number, document, feed, path, received_at, 0, complete=False)
        with self._writing() as connection:
            writing.insert(connection, "staged_file", _FILE, [file])
        return file

    def add(self, file: StagedFile, at_bytes: Sequence[int], raws: Sequence[bytes]) -> StagedFile:
        """Make the next lines of a file durable: where each begins, and its bytes."""
        count, number = len(raws), pa.scalar(file.file_no, pa.int64())
        columns = [
            pa.repeat(number, count),
            pa.array(range(file.staged, file.staged + count), pa.int64()),
            pa.array(at_bytes, pa.int64()),
            pa.array(raws, pa.binary()),
        ]
        names = ["file_no", "line", "at_byte", "raw"]
        incoming = pa.table(columns, names=names)  # noqa: F841  (DuckDB reads it by name)
        after = file._replace(staged=file.staged + count)
        with self._writing() as connection:
            connection.execute("INSERT INTO core.staged SELECT * FROM incoming")
            self._state(after)
        return after

    def complete(self, file: StagedFile) -> StagedFile:
        """Say that all lines of a file are staged: from now on the file itself may go."""
        after = file._replace(complete=True)
        with self._writing():
            self._state(after)
        return after

    def read(self, file: StagedFile, first: int, limit: int, most_bytes: int) -> StagedLines:
        """Lines of a file from the `first` on, in order.

        They are fewer than `limit` where they weigh more than `most_bytes`, but for the last one.
        """
        cursor, lines = self._database.cursor(), [file.file_no, first, first + limit]
        asked = "FROM core.staged WHERE file_no = ? AND line >= ? AND line < ? ORDER BY line"
        # Where they begin says what they weigh, before any of them is in memory.
        begins = [at for (at,) in cursor.execute(f"SELECT at_byte {asked}", lines).fetchall()]
        count = lines[2] = sum(at - begins[0] < most_bytes for at in begins)
        lines[2] += first
        found = cursor.execute(f"SELECT raw {asked}", lines).to_arrow_table()
        # Left as Arrow has them: an object for each would keep everybody from folding meanwhile.
        raw = found.column("raw").cast(pa.large_binary()).combine_chunks()
        _, ends, content = raw.buffers()
        return StagedLines(begins[:count], ends.to_pybytes(), content.to_pybytes())

    def drop(self, file: StagedFile) -> None:
        """Forget a file whose lines have all been applied: the journal has them."""
        with self._writing() as connection:
            for table in ("staged", "staged_file"):
                connection.execute(f"DELETE FROM core.{table} WHERE file_no = {file.file_no}")

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with self._between, self._database.transaction() as connection:
                yield connection
        except duckdb.Error as error:
            raise StoreError(
                "The store takes in no more of what is to be staged.",
                why=str(error).splitlines()[0],
                do="Make room on its disk and run the command again: it goes on where it was.",
            ) from error

    def _state(self, file: StagedFile) -> None:
        self._database.connection.execute(
            "UPDATE core.staged_file SET staged = ?, complete = ? WHERE file_no = ?",
            [file.staged, file.complete, file.file_no],
        )
