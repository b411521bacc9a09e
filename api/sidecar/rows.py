"""Rows as JSON: instants in UTC with a Z, and every other DuckDB value as something readable."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

_LARGEST_EXACT_IN_JSON = 2**63 - 1
_FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


def encode_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A JSON list with one object per row, keys in the order of the columns."""
    return msgspec.json.encode(
        [{name: plain(cell) for name, cell in zip(columns, row, strict=True)} for row in rows]
    )


def distinct(columns: Sequence[str]) -> tuple[str, ...]:
    """The column names with a number behind repeated ones, as an object needs."""
    seen: dict[str, int] = {}
    names = []
    for column in columns:
        seen[column] = seen.get(column, 0) + 1
        names.append(column if seen[column] == 1 else f"{column}_{seen[column]}")
    return tuple(names)


def plain(cell: Any) -> Any:
    """One value as JSON can say it; instants are ISO 8601, `infinity` for an open end."""
    if cell is None or isinstance(cell, str | bool):
        return cell
    if isinstance(cell, int):
        return cell if abs(cell) <= _LARGEST_EXACT_IN_JSON else str(cell)
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else str(cell)
    if isinstance(cell, datetime | date | time | timedelta):
        return _moment(cell)
    if isinstance(cell, Decimal):
        return float(cell) if cell.is_finite() else str(cell)
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell).hex()
    if isinstance(cell, dict):
        return {str(plain(key)): plain(below) for key, below in cell.items()}
    if isinstance(cell, list | tuple | set):
        return [plain(below) for below in cell]
    return str(cell)


def _moment(cell: datetime | date | time | timedelta) -> str:
    if isinstance(cell, timedelta):
        return str(cell)
    if isinstance(cell, datetime):
        # DuckDB gives open ends as the last and first instants of Python, without a zone.
        if cell.replace(tzinfo=UTC) == _LAST_INSTANT:
            return "infinity"
        if cell.replace(tzinfo=UTC) == _FIRST_INSTANT:
            return "-infinity"
        if cell.tzinfo is not None:
            return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    elif isinstance(cell, date):
        if cell == date.max:
            return "infinity"
        if cell == date.min:
            return "-infinity"
    return cell.isoformat()
