"""Which rows a message changed: the versions that its batch ended and began.

A batch is one instant of knowledge, so its versions are found by that instant. Of a batch of many
messages only rows of the records that this message is about are told; messages of the same batch
about the same records changed them together.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from twin_core.store.tables import ENTITIES, Entity

Query = Callable[[str, Mapping[str, object]], list[dict[str, Any]]]

_BATCH = """
SELECT b.batch_no, b.known_at, b.messages
FROM core.message m JOIN core.batch b ON b.batch_no = m.batch_no
WHERE m.message_id = $message_id
"""
# The records that a message is about: the families of what its events are filed under.
_OWNERS = """
WITH about AS (
    SELECT DISTINCT coalesce(f.family, e.node) AS family
    FROM core.event e LEFT JOIN core.family f ON f.node = e.node
    WHERE e.message_id = $message_id
)
SELECT family AS owner FROM about
UNION SELECT f.node FROM core.family f SEMI JOIN about ON about.family = f.family
"""
_COMPANY = """
SELECT count(DISTINCT e.message_id) AS others
FROM core.event e JOIN core.message m ON m.message_id = e.message_id
LEFT JOIN core.family f ON f.node = e.node
WHERE m.batch_no = $batch_no AND m.message_id <> $message_id
  AND list_contains($owners, coalesce(f.family, e.node))
"""
_WITHIN = ("from_at", "at", "kind", "system", "value", "code")
"""What tells the rows of one record apart in a table that has several of them."""


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """A row before and after a message; None before where it is new, after where it is gone."""

    table: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """What a message changed, and when that became known."""

    known_at: datetime
    together_with: int
    """Other messages of the same batch about the same records: the changes are of all of them."""
    rows: list[RowChange]


def touched(query: Query, message_id: int) -> Touched | None:
    """The rows that a message changed; None for a message that was never applied."""
    found = query(_BATCH, {"message_id": message_id})
    if not found:
        return None
    batch = found[0]
    owners = [row["owner"] for row in query(_OWNERS, {"message_id": message_id})]
    alone = batch["messages"] == 1
    asked = {"known_at": batch["known_at"], "owners": owners, "alone": alone}
    rows = [change for entity in ENTITIES for change in _changes(query, entity, asked)]
    company = {"batch_no": batch["batch_no"], "message_id": message_id, "owners": owners}
    others = 0 if alone or not owners else query(_COMPANY, company)[0]["others"]
    return Touched(known_at=batch["known_at"], together_with=others, rows=rows)


def _changes(query: Query, entity: Entity, asked: Mapping[str, object]) -> list[RowChange]:
    names = [column.name for column in entity.columns]
    listed = ", ".join(f'"{name}"' for name in names)
    # Alone in its batch, a message also moved whatever followed: the visits of a merged patient,
    # the stays in a place that was renamed.
    rows = query(
        f"SELECT {listed}, known_from = $known_at AS is_new FROM core.{entity.name}_version"
        " WHERE (known_from = $known_at OR known_to = $known_at)"
        " AND ($alone OR list_contains($owners, owner)) ORDER BY version_no",
        asked,
    )
    key = _key(entity.name, names)
    before: dict[tuple[object, ...], dict[str, Any]] = {}
    after: dict[tuple[object, ...], dict[str, Any]] = {}
    for row in rows:
        into = after if row.pop("is_new") else before
        into[tuple(row[name] for name in key)] = row
    return [
        RowChange(table=entity.name, before=before.get(one), after=after.get(one))
        for one in dict.fromkeys((*before, *after))
    ]


def _key(table: str, columns: list[str]) -> list[str]:
    """The columns that say which row it is, before and after."""
    if columns[0] == f"{table}_id":
        return columns[:1]
    return [columns[0], *(name for name in columns[1:] if name in _WITHIN)]
