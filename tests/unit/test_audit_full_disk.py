"""A disk that takes no more: what cannot be recorded raises, and the ledger goes on once it can."""

import sqlite3

import pytest

from tests.unit.ledgers import KEYS, access, ledger
from twin_core.audit import verified
from twin_core.errors import AuditFailed

FEW_PAGES = 40


def test_a_full_disk_lets_nothing_be_recorded_and_loses_nothing_that_was(path):
    """SQLite itself is told that its file may grow no further, which it answers as a full disk."""
    with ledger(path) as book:
        book.record(access())
        book._db.execute(f"PRAGMA max_page_count = {FEW_PAGES}")
        recorded = 1
        long = access(text="SELECT " + "x" * 3_000)
        written = book.append(long)
        while written.exception() is None and recorded < 1_000:
            recorded += 1
            written = book.append(long)
        with pytest.raises(AuditFailed, match="cannot be used") as failed:
            written.result()
        assert "full" in str(failed.value.why)
        with pytest.raises(AuditFailed):
            book.record(long)
        assert book.failure
        book._db.execute("PRAGMA max_page_count = 1000000")
        assert book.record(access()) == recorded + 1
        assert book.failure is None
    assert verified(path, keys=KEYS, remembered=True).findings == ()
    [(count,)] = sqlite3.connect(path).execute("SELECT count(*) FROM entry")
    assert count == recorded + 1


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.duckdb.audit"
