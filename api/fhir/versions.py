"""Resources as they were known at an instant, and the instants at which they changed."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from adapters.fhir.encode import ENCODERS, Json, in_release, instant, pruned
from api.fhir.served import Served
from twin_core.kpi.measuring import Query

Row = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ALONGSIDE = frozenset({"observation_source"})
"""Parts that begin and end with the main one, and so never change a resource by themselves."""
_PERIOD = "known_from AS _from, CASE WHEN isfinite(known_to) THEN known_to END AS _to"


class Version(NamedTuple):
    """A resource at an instant of knowledge."""

    id: str
    at: datetime


def version_id(at: datetime) -> str:
    """The version that began at an instant: microseconds since 1970, so that they are in order."""
    return str((at - EPOCH) // _MICROSECOND)


def version_at(version: str) -> datetime | None:
    """The instant at which a version began, or None where it is no version id of ours."""
    if not version.isascii() or not version.isdecimal() or len(version) > 17:
        return None
    try:
        return EPOCH + int(version) * _MICROSECOND
    except OverflowError:
        return None


def latest_batch(query: Query) -> datetime | None:
    """The instant up to which everything is known; None where nothing is."""
    (row,) = query("SELECT max(known_at) AS changed_at FROM core.batch", {})
    at = row["changed_at"]
    return at if isinstance(at, datetime) else None


def as_known(served: Served, sql: str) -> str:
    """SQL with `{table}` standing for that table of a resource type, as known at `$known_at`."""
    for name, part in served.parts.items():
        known = f"(SELECT * FROM ({part}) WHERE known_from <= $known_at AND known_to > $known_at)"
        sql = sql.replace(f"{{{name}}}", known)
    return sql


def changes(served: Served) -> str:
    """SQL of every instant at which a resource changed: rows of `_id` and `changed_at`."""
    return " UNION ALL ".join(
        f"SELECT _id, known_from AS changed_at FROM ({part}) UNION ALL"
        f" SELECT _id, known_to FROM ({part}) WHERE isfinite(known_to)"
        for name, part in served.parts.items()
        if name not in _ALONGSIDE
    )


def last_changes(
    query: Query, served: Served, ids: Collection[str], until: datetime
) -> dict[str, datetime]:
    """When each resource last changed, as far as known at an instant."""
    if not ids:
        return {}
    sql = (
        f"SELECT _id, max(changed_at) AS changed_at FROM ({changes(served)})"
        f" WHERE _id IN ({_quoted(ids)}) AND changed_at <= $until GROUP BY _id"
    )
    return {row["_id"]: row["changed_at"] for row in query(sql, {"until": until})}


def all_changes(query: Query, served: Served, id_: str) -> list[datetime]:
    """Every instant at which one resource changed, the newest first."""
    every = f"SELECT DISTINCT changed_at FROM ({changes(served)}) WHERE _id = $id"
    sql = f"{every} ORDER BY changed_at DESC"
    return [row["changed_at"] for row in query(sql, {"id": id_})]


def resources(
    query: Query,
    served: Served,
    wanted: Sequence[Version],
    *,
    source: Callable[[Collection[str]], Mapping[str, str]],
) -> dict[Version, Json]:
    """Resources as they were known, without `meta`-data that was not known then.

    What did not exist at its instant is not in the answer. `Version.at` becomes lastUpdated, so it
    is an instant at which the resource changed.
    """
    if not wanted:
        return {}
    ids = {version.id for version in wanted}
    parts = _rows(query, served, ids, wanted)
    sources = source(ids)
    found = {}
    for version in wanted:
        held = {name: _known(rows[version.id], version.at) for name, rows in parts.items()}
        if held[served.main]:
            found[version] = _resource(served, version, held, sources[version.id])
    return found


def _rows(
    query: Query, served: Served, ids: Collection[str], wanted: Iterable[Version]
) -> dict[str, defaultdict[str, list[Row]]]:
    instants = {version.at for version in wanted}
    asked = {"since": min(instants), "until": max(instants)}
    found: dict[str, defaultdict[str, list[Row]]] = {}
    for name, part in served.parts.items():
        by_id: defaultdict[str, list[Row]] = defaultdict(list)
        sql = (
            f"SELECT * EXCLUDE (known_from, known_to), {_PERIOD} FROM ({part})"
            f" WHERE _id IN ({_quoted(ids)}) AND known_from <= $until AND known_to > $since"
        )
        for row in query(sql, asked):
            by_id[row["_id"]].append(row)
        found[name] = by_id
    return found


def _known(rows: Iterable[Row], at: datetime) -> list[Row]:
    return [row for row in rows if row["_from"] <= at and (row["_to"] is None or row["_to"] > at)]


def _resource(served: Served, version: Version, held: Mapping[str, list[Row]], source: str) -> Json:
    told = in_release(pruned(ENCODERS[served.type](held)), served.release)
    meta = {
        "versionId": version_id(version.at),
        "lastUpdated": instant(version.at),
        "source": source,
    }
    kind = told.pop("resourceType")
    return {"resourceType": kind, "id": version.id, "meta": meta, **told}


def _quoted(ids: Iterable[str]) -> str:
    """Ids as constants, which reach the tables where a bound list would not."""
    return ", ".join("'" + id_.replace("'", "''") + "'" for id_ in sorted(ids))
