"""Alerts as rows of the store: opened once, then acknowledged and closed in place."""

from collections.abc import Iterable, Mapping

from twin_core.errors import UsageError
from twin_core.store.database import Database, Row

_COLUMNS = (
    "alert_id, name, kpi, statistic, facility, unit, threshold, opened_at, opened_value,"
    " acknowledged_at, acknowledged_by, closed_at, closed_value, told_at"
)
OPENED = tuple(_COLUMNS.split(", ")[:9])
_CHANGED = {
    "closed": "SET closed_at = $at, closed_value = $value WHERE alert_id = $id"
    " AND closed_at IS NULL",
    "acknowledged": "SET acknowledged_at = $at, acknowledged_by = $by WHERE alert_id = $id"
    " AND acknowledged_at IS NULL",
    "told": "SET told_at = $at WHERE alert_id = $id",
}
"""What may change on an alert, each once but for how far its webhook was told."""


def alert_rows(
    database: Database, *, clause: str = "true", asked: Mapping[str, object] | None = None
) -> list[Row]:
    """Alerts, the latest first. `clause` is a condition of the product's own."""
    return database.query(
        f"SELECT {_COLUMNS} FROM core.alert WHERE {clause} ORDER BY opened_at DESC, alert_id",
        asked or {},
    )


def write_alerts(
    database: Database, opened: Iterable[Row], changed: Iterable[tuple[str, Row]] = ()
) -> None:
    """Open alerts and change others, as one transaction on the writing connection."""
    with database.transaction() as connection:
        for row in opened:
            connection.execute(
                f"INSERT INTO core.alert ({', '.join(OPENED)}) VALUES"
                f" ({', '.join(f'${name}' for name in OPENED)})",
                {name: row[name] for name in OPENED},
            )
        for kind, asked in changed:
            connection.execute(f"UPDATE core.alert {_CHANGED[kind]}", asked)


def one_alert(database: Database, alert_id: str) -> Row:
    """One alert. Raises UsageError where there is none."""
    found = alert_rows(database, clause="alert_id = $id", asked={"id": alert_id})
    if not found:
        raise UsageError(f"There is no alert {alert_id!r}.", do="List them: wardtwin alerts list.")
    return found[0]
