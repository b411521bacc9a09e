"""Rows as an Arrow IPC stream, with the types that DuckDB has them in."""

import io
from typing import Any

import duckdb
import pyarrow as pa

from api.sidecar.rows import distinct

_BATCH = 10_000


def read_stream(
    cursor: duckdb.DuckDBPyConnection, cap: int, heaviest: int
) -> tuple[tuple[str, ...], bytes, bool]:
    """Column names, the stream, and whether there were more than `cap` rows.

    A stream that grows beyond `heaviest` bytes is not written to its end.
    """
    reader = cursor.to_arrow_reader(_BATCH)
    schema = _named(reader.schema)
    sink, left, cut = io.BytesIO(), cap, False
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in reader:
            if batch.num_rows > left:
                batch, cut = batch.slice(0, left), True
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
            left -= batch.num_rows
            if cut or sink.tell() > heaviest:
                break
    return tuple(schema.names), sink.getvalue(), cut


def _named(schema: Any) -> Any:
    """A stream's columns with names of their own, as the other forms have them."""
    names = distinct(schema.names)
    return pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
