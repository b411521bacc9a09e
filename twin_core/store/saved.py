"""Questions in SQL that somebody keeps by a name: their own, or shared with everybody."""

from datetime import datetime

import duckdb
import msgspec

from twin_core.errors import UsageError
from twin_core.store.database import Database

QUERY_NAME = r"[A-Za-z0-9][A-Za-z0-9._ -]{0,79}"
_COLUMNS = "name, owner, shared, release, sql, about, saved_at"


class SavedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One question; `release` is the profile it was tried on, None for the usual one."""

    name: str
    owner: str
    shared: bool
    release: str | None
    sql: str
    about: str
    saved_at: datetime


def saved_queries(database: Database, owner: str) -> list[SavedQuery]:
    """What somebody may ask by name: their own questions first, then those that are shared."""
    rows = database.query(
        f"SELECT {_COLUMNS} FROM core.saved_query WHERE owner = $owner OR shared"
        " ORDER BY owner <> $owner, name, owner",
        {"owner": owner},
    )
    return [msgspec.convert(row, SavedQuery) for row in rows]


def saved_query(database: Database, owner: str, name: str) -> SavedQuery:
    """The question of this name. Raises UsageError where there is none that they may ask."""
    for found in saved_queries(database, owner):
        if found.name == name:
            return found
    raise UsageError(f"There is no saved query {name!r}.", do="List them with GET /v1/sql/queries.")


def save(database: Database, query: SavedQuery) -> None:
    """Keep a question in the place of their own one of its name.

    Nobody else may write the store meanwhile. Raises UsageError where somebody else shares one of
    that name, since it would not be known which is meant.
    """
    others = [one for one in saved_queries(database, query.owner) if one.owner != query.owner]
    if query.shared and query.name in {one.name for one in others}:
        raise UsageError(
            f"Somebody else shares a query named {query.name!r}.", do="Choose another name."
        )
    marks = ", ".join(f"${name}" for name in _COLUMNS.split(", "))
    with database.transaction() as connection:
        _remove(connection, query.owner, query.name)
        connection.execute(
            f"INSERT INTO core.saved_query ({_COLUMNS}) VALUES ({marks})",
            msgspec.structs.asdict(query),
        )


def forget(database: Database, owner: str, name: str) -> None:
    """Remove one's own question. Nobody else may write the store meanwhile.

    Raises UsageError where they keep none of that name.
    """
    if all(one.owner != owner or one.name != name for one in saved_queries(database, owner)):
        raise UsageError(f"You keep no saved query {name!r}.")
    with database.transaction() as connection:
        _remove(connection, owner, name)


def _remove(connection: duckdb.DuckDBPyConnection, owner: str, name: str) -> None:
    connection.execute(
        "DELETE FROM core.saved_query WHERE owner = $owner AND name = $name",
        {"owner": owner, "name": name},
    )
