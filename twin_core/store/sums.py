"""Counts and digests of what a store holds, by which a copy is compared with what was copied."""

import hashlib

import duckdb
import msgspec

from twin_core.inbox.contents import Sum, Sums
from twin_core.store.database import CATALOG


def table_sums(connection: duckdb.DuckDBPyConnection) -> Sums:
    """Every table of a store, in one state of it.

    A copy gets views of its own, so what the store notes of them is left out.
    """
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables()"
        " WHERE database_name = ? AND schema_name = 'core' ORDER BY 1",
        [CATALOG],
    ).fetchall()
    return {str(table): _sum(connection, str(table)) for (table,) in tables}


def differing(one: Sums, other: Sums) -> list[str]:
    """The names under which two differ; a table that one has no name for is like an empty one."""
    return sorted(
        name
        for name in {*one, *other}
        if one.get(name) != other.get(name)
        and any(sums[name].rows for sums in (one, other) if name in sums)
    )


def _sum(connection: duckdb.DuckDBPyConnection, table: str) -> Sum:
    rows = "WHERE key <> 'views'" if table == "meta" else ""
    # Two sums of one hash: an even number of equal changes would leave one of them as it was.
    # Read to the end: an answer that is not keeps hold of the file, which cannot be taken anew.
    [(count, *parts)] = connection.execute(
        "SELECT count(*), coalesce(bit_xor(hash(kept)), 0)::VARCHAR,"
        f" coalesce(sum(hash(kept)), 0)::VARCHAR FROM {CATALOG}.core.{table} AS kept {rows}"
    ).fetchall()
    return Sum(int(count), hashlib.sha256(msgspec.json.encode(parts)).hexdigest())
