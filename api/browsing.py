"""What a profile has to be asked for: its tables, with what each column means."""

from typing import Any

import msgspec

from api.research import ResearchDesk
from twin_core.store.tables import ENTITIES

# One row, because the cap on rows is for answers, not for the list of what can be asked.
SCHEMA = """
WITH told AS (
    SELECT schema_name, table_name, comment FROM duckdb_tables()
    UNION ALL SELECT schema_name, view_name, comment FROM duckdb_views()
), described AS (
    SELECT c.schema_name || '.' || c.table_name AS name, any_value(t.comment) AS meaning,
           list({'name': c.column_name, 'type': c.data_type, 'meaning': c.comment}
                ORDER BY c.column_index) AS columns
    FROM duckdb_columns() c LEFT JOIN told t USING (schema_name, table_name)
    WHERE c.schema_name IN ('twin', 'history', 'kpi', 'deid')
    GROUP BY ALL
)
SELECT list(described ORDER BY name) AS tables,
       (SELECT list(DISTINCT function_name ORDER BY function_name)
        FROM duckdb_functions() WHERE schema_name = 'kpi') AS kpis
FROM described
"""
_ENTITIES = {f"twin.{entity.name}": entity for entity in ENTITIES}
_DERIVED = {
    "_year": "the year alone",
    "_weekday": "local weekday, 1 is Monday, before any shift",
    "_hour": "local hour, before any shift",
}
_COUNTED = {
    "hours": "Whole hours between start and end",
    "nights": "Local midnights between start and end",
    "age_years": "Age in years, 90 for everybody who is older",
    "length_band": "Length as a band",
}


class ColumnShown(msgspec.Struct, frozen=True, kw_only=True):
    """A column: name, DuckDB type, and what it means where that is known."""

    name: str
    type: str
    meaning: str | None


class TableShown(msgspec.Struct, frozen=True, kw_only=True):
    """A table or view, as `schema.name`."""

    name: str
    meaning: str | None
    columns: list[ColumnShown]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile can be asked for; KPIs are called as `kpi.ID(window_start, window_end)`."""

    release: str
    tables: list[TableShown]
    kpis: list[str]


def shown(desk: ResearchDesk, release: str) -> Shown:
    """The tables and KPIs of a profile. Raises as `ResearchDesk.query` does."""
    [row] = desk.query(release, SCHEMA).rows
    tables = [_table(**told) for told in row["tables"] or ()]
    return Shown(release=release, tables=tables, kpis=row["kpis"] or [])


def _table(name: str, meaning: str | None, columns: list[dict[str, Any]]) -> TableShown:
    entity = _ENTITIES.get(name)
    meanings = {column.name: column.comment for column in entity.columns} if entity else {}
    told = [
        ColumnShown(
            name=column["name"],
            type=column["type"],
            meaning=column["meaning"] or _meaning(column["name"], meanings),
        )
        for column in columns
    ]
    return TableShown(
        name=name, meaning=meaning or (entity.comment if entity else None), columns=told
    )


def _meaning(column: str, meanings: dict[str, str]) -> str | None:
    """What a column of a release means; a derived one is told by what it was derived from."""
    for ending, words in _DERIVED.items():
        derived_from = f"{column.removesuffix(ending)}_at"
        if column.endswith(ending) and derived_from in meanings:
            return f"{meanings[derived_from]}: {words}"
    return meanings.get(column) or _COUNTED.get(column)
