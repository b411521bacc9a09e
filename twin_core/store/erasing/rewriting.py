"""The database written anew without what goes, beside the old one and then in its place.

A row that was deleted lies in free pages until they are used again; a new file has none. Rows that
stay are copied as they are, but for ids of what went, which become NULL.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from twin_core.erased import LEAST_TELLING
from twin_core.errors import StoreError
from twin_core.store.cipher import attach
from twin_core.store.database import CATALOG, Database, get_meta
from twin_core.store.erasing.found import Erasure
from twin_core.store.replacing import to_disk
from twin_core.store.tables import ENTITIES, Entity

DONE = "erasure"
"""Key in core.meta of the last erasure that the database went through."""
_FRESH = "fresh"
_OF_THE_PERSON = frozenset(
    {
        "patient_identifier",
        "patient_link",
        "observation",
        "device_event",
        "procedure",
        "service_request",
        "task",
        "appointment_patient",
    }
)
"""Tables in which a row of the person goes whosever family it was in; elsewhere it is told of
nobody: a visit or an appointment that is somebody else's by now stays theirs."""
_REFERENCES = frozenset({"merged_into", "part_of", "focus", "based_on", "requested_by"})
_MESSAGE = {
    "sender": "''",
    "control_id": "''",
    "sent_at": "NULL",
    "sequence": "0",
    "digest": "NULL",
    "origin": "''",
    "status": "'erased'",
    "code": "'AA'",
    "reason": "'It was about an erased patient; nothing of it is kept.'",
    "faults": "NULL",
    "replayed_at": "NULL",
}
"""What is left of a message about the person: its number, batch, feed, trigger and receipt."""


def fresh_path(path: Path) -> Path:
    """Where the database is written anew."""
    return path.with_name(path.name + ".erase")


def rewrite(path: Path, erasure: Erasure, *, memory_limit: str, key: str | None) -> None:
    """Write a store's database anew without what goes, and put it in its place.

    The new one is encrypted as the old one is, by `key`.
    Nothing happens where that is done already. The store must be closed. Raises StoreError, with
    the old database in its place, where the disk refuses.
    """
    fresh = fresh_path(path)
    remove_file(fresh)
    old = Database(path, memory_limit=memory_limit, key=key)
    try:
        if get_meta(old.connection, DONE) == erasure.erasure_id:
            return
        _fill(old, fresh, erasure)
        # Nothing may be left in the old log that the new file could take for its own.
        old.connection.execute(f"CHECKPOINT {CATALOG}")
    except (duckdb.Error, OSError) as error:
        remove_file(fresh)
        raise StoreError(
            "The store could not be written anew.",
            why=str(error).partition("\n")[0],
            do="Make room for a second copy of it; the erasure goes on with the next start.",
        ) from error
    finally:
        old.close()
    _put_in_place(fresh, path)


def remove_file(path: Path) -> None:
    """Remove a database's file and its log, where there are any."""
    for one in (path, _log(path)):
        one.unlink(missing_ok=True)


def _put_in_place(fresh: Path, path: Path) -> None:
    fresh.chmod(path.stat().st_mode & 0o777)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    _log(path).unlink(missing_ok=True)
    os.replace(fresh, path)
    to_disk(path.parent)


def _log(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _fill(old: Database, fresh: Path, erasure: Erasure) -> None:
    connection = old.connection
    attach(connection, fresh, _FRESH, key=old.key)
    try:
        _note(connection, erasure)
        connection.execute("BEGIN")
        connection.execute(f"CREATE SCHEMA {_FRESH}.core")
        for table, select in _tables(connection):
            connection.execute(f"CREATE TABLE {_FRESH}.core.{table} AS {select}")
        connection.execute(
            f"INSERT INTO {_FRESH}.core.meta VALUES (?, ?)", [DONE, erasure.erasure_id]
        )
        connection.execute("COMMIT")
        connection.execute(f"CHECKPOINT {_FRESH}")
    except BaseException:
        _undo(connection)
        raise
    connection.execute(f"DETACH {_FRESH}")


def _undo(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        pass  # it failed outside of a transaction
    connection.execute(f"DETACH DATABASE IF EXISTS {_FRESH}")


def _note(connection: duckdb.DuckDBPyConnection, erasure: Erasure) -> None:
    """What goes as temporary tables, which the copying asks."""
    changed = [(number, payload) for number, payload in erasure.events.items()]
    noted: dict[str, tuple[dict[str, pa.DataType], Sequence[Sequence[Any]]]] = {
        "gone_id": ({"id": pa.string()}, [(one,) for one in erasure.record_ids]),
        "gone_word": ({"word": pa.string()}, [(one,) for one in erasure.words]),
        "gone_owner": ({"owner": pa.int64()}, [(one,) for one in erasure.owners]),
        "gone_node": ({"node": pa.int64()}, [(one,) for one in erasure.nodes]),
        "gone_message": ({"message_id": pa.int64()}, [(one,) for one in erasure.messages]),
        "touched_message": ({"message_id": pa.int64()}, [(one,) for one in erasure.touched]),
        "changed_event": ({"event_no": pa.int64(), "payload": pa.string()}, changed),
        "renumbered": (
            {"owner": pa.int64(), "follower": pa.int64()},
            list(erasure.renumbered.items()),
        ),
        "gone_key": (
            {"system": pa.string(), "value": pa.string()},
            [(system, value) for _, system, value in erasure.identifiers],
        ),
        "gone_query": ({"owner": pa.string(), "name": pa.string()}, erasure.queries),
        "gone_line": ({"file_no": pa.int64(), "line": pa.int64()}, erasure.staged),
    }
    for name, (columns, rows) in noted.items():
        arrays = [
            pa.array([row[n] for row in rows], type_) for n, type_ in enumerate(columns.values())
        ]
        listed = pa.table(arrays, names=list(columns))  # noqa: F841  (DuckDB reads it by name)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM listed")


def _tables(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    """Every table with the SELECT of what stays of it."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables()"
        " WHERE database_name = ? AND schema_name = 'core' ORDER BY 1",
        [CATALOG],
    ).fetchall()
    versions = {f"{entity.name}_version": entity for entity in ENTITIES}
    for (table,) in found:
        entity = versions.get(table)
        yield table, _versions(entity) if entity is not None else _written(table)


def _written(table: str) -> str:
    source = f"{CATALOG}.core.{table}"
    select = _STAYING.get(table)
    return f"FROM {source}" if select is None else select.format(source=source)


_STAYING = {
    # The copy gets its views when it is opened.
    "meta": f"FROM {{source}} WHERE key NOT IN ('views', '{DONE}')",
    "raw": "FROM {source} ANTI JOIN gone_message USING (message_id)"
    " ANTI JOIN touched_message USING (message_id)",
    "message": "SELECT * REPLACE ("
    + ", ".join(
        f"CASE WHEN message_id IN (FROM gone_message) THEN {left} ELSE {column} END AS {column}"
        for column, left in _MESSAGE.items()
    )
    + ") FROM {source}",
    "message_finding": "FROM {source} ANTI JOIN gone_message USING (message_id)",
    "message_field": "FROM {source} WHERE message_id NOT IN (FROM gone_message)"
    " AND NOT (message_id IN (FROM touched_message) AND coalesce(value, '') IN (FROM gone_word))",
    "event": "SELECT e.* REPLACE (coalesce(c.payload, e.payload) AS payload) FROM {source} e"
    " LEFT JOIN changed_event c USING (event_no)"
    " WHERE c.event_no IS NULL OR c.payload IS NOT NULL ORDER BY e.event_no",
    "node": "FROM {source} ANTI JOIN gone_node USING (node)",
    "family": "SELECT f.node, coalesce(r.follower, f.family) AS family FROM {source} f"
    " LEFT JOIN renumbered r ON r.owner = f.family ANTI JOIN gone_node g ON g.node = f.node",
    "staged": "FROM {source} ANTI JOIN gone_line USING (file_no, line)",
    # Somebody's own words, which may hold a number or a name of the person.
    "saved_query": "FROM {source} q ANTI JOIN gone_query USING (owner, name)"
    " WHERE NOT EXISTS (SELECT 1 FROM ("
    f"SELECT word FROM gone_word WHERE length(word) >= {LEAST_TELLING}"
    " UNION ALL SELECT id FROM gone_id) g"
    " WHERE contains(concat_ws(chr(10), q.name, q.sql, q.about), g.word))",
}
"""Of tables that are no versions: what stays. Any other table is copied whole: batches, facilities,
alerts and settings name no patient."""


def _versions(entity: Entity) -> str:
    columns = ", ".join(_column(entity, n) for n in range(len(entity.columns)))
    source = f"{CATALOG}.core.{entity.name}_version"
    return (
        f"SELECT {columns}, v.version_no, coalesce(r.follower, v.owner) AS owner,"
        f" v.known_from, v.known_to FROM {source} v LEFT JOIN renumbered r ON r.owner = v.owner"
        f" WHERE NOT ({' OR '.join(_going(entity))}) ORDER BY v.version_no"
    )


# The first patient of an appointment of several is the next one who attended.
_NEXT_ATTENDING = f"""(
    SELECT first(p.patient_id ORDER BY p.version_no)
    FROM {CATALOG}.core.appointment_patient_version p
    WHERE p.owner = v.owner AND p.known_from <= v.known_from AND p.known_to > v.known_from
      AND p.patient_id NOT IN (FROM gone_id)
)"""


def _column(entity: Entity, number: int) -> str:
    name = entity.columns[number].name
    if (entity.name, name) == ("appointment", "patient_id"):
        return (
            'CASE WHEN v."patient_id" IN (FROM gone_id)'
            f' THEN {_NEXT_ATTENDING} ELSE v."patient_id" END AS "patient_id"'
        )
    refers = name.endswith("_id") or name in _REFERENCES
    if number and refers and entity.columns[number].type == "VARCHAR":
        return f'CASE WHEN v."{name}" IN (FROM gone_id) THEN NULL ELSE v."{name}" END AS "{name}"'
    return f'v."{name}"'


def _going(entity: Entity) -> Iterator[str]:
    names = [column.name for column in entity.columns]
    yield "v.owner IN (FROM gone_owner)"
    if names[0].endswith("_id"):
        yield f'coalesce(v."{names[0]}" IN (FROM gone_id), false)'
    if entity.name in _OF_THE_PERSON:
        for name in ("patient_id", "linked_patient_id"):
            if name in names[1:]:
                yield f"coalesce(v.{name} IN (FROM gone_id), false)"
    if "system" in names and "value" in names:
        yield (
            'EXISTS (SELECT 1 FROM gone_key k WHERE k.system = v.system AND k.value = v."value")'
        )
    if entity.name == "fold_finding":
        yield "coalesce(v.subject IN (FROM gone_id), false)"
        yield "EXISTS (SELECT 1 FROM gone_id g WHERE contains(v.detail, g.id))"
