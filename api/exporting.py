"""The rows of a KPI as a file for other tools: CSV, JSON, Parquet, or an Arrow stream.

Every form has the same columns in the same order. Instants are UTC; what is not known is an empty
cell in CSV and null elsewhere, never zero.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from twin_core.errors import UsageError
from twin_core.kpi.catalogue import RESULT_COLUMNS

Format = Literal["json", "csv", "parquet", "arrow"]
Row = Mapping[str, Any]

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
"""The first is the answer to a caller who accepts anything."""

COMPARED = ("value_before", "change")
"""The columns of a comparison, beside those of every KPI."""

TEXT_FORMATS = ("json", "csv")

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Text that begins like this is a formula to a spreadsheet; an apostrophe before it makes it text
again (OWASP, CSV injection). Numbers stay numbers."""


def exported(rows: Sequence[Row], form: Format, more: Sequence[str] = ()) -> bytes:
    """The rows in a form; `more` are columns of numbers beside those of every KPI."""
    return _WRITERS[form](rows, {**RESULT_COLUMNS, **dict.fromkeys(more, "DOUBLE")})


def accepted(accept: str) -> Format | None:
    """The form that a caller's Accept header likes best; None where it takes none of them.

    The more particular range decides about a form (RFC 9110, 12.5.1), and the order of
    `MEDIA_TYPES` where two are liked equally.
    """
    wanted = [_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    liked = {form: _quality(media_type, wanted) for form, media_type in MEDIA_TYPES.items()}
    best = max(liked, key=lambda form: liked[form])
    return best if liked[best] > 0 else None


def _csv(rows: Sequence[Row], columns: Mapping[str, str]) -> bytes:
    return csv_of(columns, (row.values() for row in _typed(rows, columns)))


def csv_of(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> bytes:
    """A CSV file with a line of column names; every row has its values in their order."""
    text = io.StringIO()
    writer = csv.writer(text)  # lines end in CRLF, as RFC 4180 has it
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def cell(value: Any) -> Any:
    """A value as a cell of a CSV file that a spreadsheet takes for no formula."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value


def _json(rows: Sequence[Row], columns: Mapping[str, str]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_typed(rows, columns)), indent=2) + b"\n"


def _parquet(rows: Sequence[Row], columns: Mapping[str, str]) -> bytes:
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(_table(rows, columns), sink)
    return sink.getvalue()


def _arrow(rows: Sequence[Row], columns: Mapping[str, str]) -> bytes:
    import pyarrow.ipc

    table, sink = _table(rows, columns), io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _table(rows: Sequence[Row], columns: Mapping[str, str]) -> Any:
    # Imported here because it takes longer to load than most commands take to run.
    import pyarrow as pa

    kinds = {
        "VARCHAR": pa.string(),
        "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
        "DOUBLE": pa.float64(),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    return pa.Table.from_pylist(_typed(rows, columns), schema)


def _typed(rows: Sequence[Row], columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows in these columns; instants may have come as text, through another process."""
    return [{name: _read(row.get(name), kind) for name, kind in columns.items()} for row in rows]


def _read(value: Any, kind: str) -> Any:
    if kind == "TIMESTAMPTZ" and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return value


_WRITERS: dict[Format, Callable[[Sequence[Row], Mapping[str, str]], bytes]] = {
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
}


def _range(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip() for piece in part.split(";"))
    quality = next((p[2:] for p in parameters if p.lower().startswith("q=")), "1")
    try:
        return media_type.lower(), float(quality)
    except ValueError:
        raise UsageError(
            "The Accept header has a quality that is no number.", do="Write it like q=0.5."
        ) from None


def _quality(media_type: str, wanted: Sequence[tuple[str, float]]) -> float:
    ranges = dict(wanted)
    for particular in (media_type, media_type.split("/")[0] + "/*", "*/*"):
        if particular in ranges:
            return ranges[particular]
    return 0.0
