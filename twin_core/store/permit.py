"""Which SQL an analyst or a site may have run: one SELECT that stays inside the store.

DuckDB parses the statement and hands over its syntax tree; whatever the tree says is checked
against lists, and what is in no list is refused. Table functions must be on the allow-list,
because that is where files, settings and other statements can be reached. Scalar functions pass
unless they read the process, its settings or its log, or run SQL of their own.
"""

import json
import re
from collections.abc import Iterator, Set
from typing import Any

import duckdb

HEAVIEST_SQL = 100_000

OWN_SCHEMAS = frozenset({"twin", "history", "kpi", "kpi_rows", "core"})
CATALOGS = frozenset({"", "wardtwin", "system"})

TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_schemas",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "generate_series",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_table_info",
        "range",
        "regexp_split_to_table",
        "repeat",
        "repeat_row",
        "unnest",
    }
)

REFUSED_SCALARS = frozenset(
    {
        "current_setting",
        "currval",
        "getenv",
        "getvariable",
        "json_execute_serialized_sql",
        "json_serialize_plan",
        "nextval",
        "parse_duckdb_log_message",
        "pg_sleep",
        "query",
        "query_table",
        "sleep_ms",
        "which_secret",
        "write_log",
    }
)
REFUSED_SCALAR_PREFIXES = ("read_", "pragma_", "sniff_", "parquet_", "duckdb_")

REFUSED_TABLES = frozenset({("core", "raw")})
"""Bytes as received: the copy that analysts read while a server runs does not hold them."""

# Names that DuckDB could take for a file, an address or a variable of the host language.
_PLAIN_NAME = re.compile(r"[^\W\d][\w $-]*\Z")
_SYSTEM_TABLES = re.compile(
    r"(duckdb_(?!columns|constraints|schemas|tables|types|views)|pragma_|pg_settings)"
)


_BLANK = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)"
_EXPLAIN = re.compile(
    rf"{_BLANK}*EXPLAIN"
    rf"(?:{_BLANK}*\((?P<options>\s*(?:ANALYZE|FORMAT)\b[\w\s,]*)\)|(?={_BLANK}|\())"
    rf"(?:{_BLANK}*(?P<analyze>ANALYZE)(?={_BLANK}|\())?",
    re.IGNORECASE | re.DOTALL,
)
_EXPLAIN_OPTIONS: dict[tuple[str, ...], str] = {
    ("analyze",): "ANALYZE",
    ("analyze", "true"): "ANALYZE",
    **{
        ("format", form): f"FORMAT {form.upper()}"
        for form in ("text", "json", "html", "graphviz", "yaml", "mermaid")
    },
}
"""What an EXPLAIN may be told, by its words, and how it is told DuckDB."""
_KINDS = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})
_PIVOT = re.compile(r"\bPIVOT(?:_WIDER)?\b", re.IGNORECASE)
_NO_SELECT = "Only SELECT, FROM, VALUES, PIVOT, UNPIVOT, DESCRIBE, SHOW and SUMMARIZE may run here."
# DuckDB makes two statements of it, the first of which creates a type.
_PIVOTED = (
    "A PIVOT must name its columns here: PIVOT twin.stay ON unit IN ('ED', 'ICU') USING count(*)."
)


class Refused(Exception):
    """The statement is not one that may run; the text says what is wrong with it."""


def permit(
    connection: duckdb.DuckDBPyConnection, sql: str, schemas: Set[str] = OWN_SCHEMAS
) -> None:
    """Raise Refused unless `sql` is one SELECT statement that reads nothing but the store.

    `schemas` are those whose table macros it may use.
    """
    if len(sql) > HEAVIEST_SQL:
        raise Refused(f"The statement is longer than {HEAVIEST_SQL:,} characters.")
    for node in _nodes(_tree(connection, sql)):
        if "function_name" in node:
            _check_scalar(node)
        if node.get("type") == "TABLE_FUNCTION":
            _check_table_function(node["function"], schemas)
        elif node.get("type") == "BASE_TABLE":
            _check_table(node)


def permitted(
    connection: duckdb.DuckDBPyConnection, sql: str, schemas: Set[str] = OWN_SCHEMAS
) -> duckdb.Statement:
    """The statement to run for a text: one SELECT, or an EXPLAIN of one. Raises Refused.

    It is made of what was checked and of nothing else: our reading of where a comment or an EXPLAIN
    ends may differ from DuckDB's, and then DuckDB's counts.
    """
    explain, checked = _parted(sql)
    permit(connection, checked, schemas)
    statements = connection.extract_statements(f"{explain}{checked}")
    if len(statements) != 1 or statements[0].type not in _KINDS:
        raise Refused("Only one SELECT, or an EXPLAIN of one, may run here.")
    return statements[0]


def explained(sql: str) -> str:
    """The statement behind an EXPLAIN, whatever it is told, or the statement itself."""
    found = _EXPLAIN.match(sql)
    return sql[found.end() :] if found else sql


def _parted(sql: str) -> tuple[str, str]:
    """An EXPLAIN in our own words, empty where there is none, and the statement behind it."""
    found = _EXPLAIN.match(sql)
    if found is None:
        return "", sql
    told = [
        tuple(one.lower().split()) for one in (found["options"] or "").split(",") if one.strip()
    ]
    if unknown := [" ".join(one) for one in told if one not in _EXPLAIN_OPTIONS]:
        raise Refused(
            f"EXPLAIN knows no {unknown[0]} here. Write EXPLAIN, EXPLAIN ANALYZE or, say, "
            "EXPLAIN (ANALYZE, FORMAT JSON)."
        )
    told += [("analyze",)] if found["analyze"] else []
    options = ", ".join(dict.fromkeys(_EXPLAIN_OPTIONS[one] for one in told))
    return f"EXPLAIN {f'({options}) ' if options else ''}", sql[found.end() :]


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    try:
        tree = json.loads(row[0]) if row else {}
    except RecursionError:
        raise Refused("The statement is nested too deeply.") from None
    if tree.get("error"):
        if tree.get("error_type") == "not implemented":
            raise Refused(_PIVOTED if _PIVOT.search(sql) else _NO_SELECT)
        kind, said = tree.get("error_type", "").title(), tree.get("error_message")
        raise Refused(f"{kind} Error: {said}{_line(sql, tree.get('position'))}")
    statements = tree.get("statements", [])
    if len(statements) != 1:
        raise Refused(f"One statement at a time: this text holds {len(statements)}.")
    return statements[0]


def _line(sql: str, position: str | None) -> str:
    """Where in a text of several lines a fault is; DuckDB counts its bytes."""
    if position is None or "\n" not in sql:
        return ""
    lines = sql.encode()[: int(position)].count(b"\n")
    return f" (line {lines + 1} of the SQL)"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _check_table_function(function: dict[str, Any], schemas: Set[str]) -> None:
    name, schema = _name_of(function)
    if schema in schemas:
        return
    if name not in TABLE_FUNCTIONS or schema not in {"", "main", "pg_catalog"}:
        raise Refused(f"The table function {name} may not be used here.")


def _check_scalar(function: dict[str, Any]) -> None:
    name, _ = _name_of(function)
    table_function = name in TABLE_FUNCTIONS
    if name in REFUSED_SCALARS or (name.startswith(REFUSED_SCALAR_PREFIXES) and not table_function):
        raise Refused(f"The function {name} may not be used here.")


def _name_of(function: dict[str, Any]) -> tuple[str, str]:
    if str(function.get("catalog", "")).lower() not in CATALOGS:
        raise Refused("Only the catalog wardtwin can be read here.")
    return str(function["function_name"]).lower(), str(function.get("schema", "")).lower()


def _check_table(table: dict[str, Any]) -> None:
    name = str(table.get("table_name", ""))
    if str(table.get("catalog_name", "")).lower() not in CATALOGS:
        raise Refused("Only the catalog wardtwin can be read here.")
    if not _PLAIN_NAME.match(name):
        raise Refused("Files and addresses cannot be read here, only tables and views.")
    if (str(table.get("schema_name", "")).lower(), name.lower()) in REFUSED_TABLES:
        raise Refused(f"The table {name} may not be read here; see `wardtwin quarantine show`.")
    if _SYSTEM_TABLES.match(name.lower()):
        raise Refused(f"The system table {name} may not be read here.")
