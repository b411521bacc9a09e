"""What a statement tells of patients: whether it reads about them, and whether one in each row.

A count of three persons tells of three persons and names none. So the ledger of accesses asks of a
statement more than which ids are in its answer: only where each row of the answer is one patient's,
and names them, are those who are named all whom it told of. What is not known to be so is not:
every list here is of what may pass.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb

from twin_core.store.permit import OWN_SCHEMAS, TABLE_FUNCTIONS, explained

IDENTIFIERS = frozenset({"patient_identifier", "encounter_identifier", "appointment_identifier"})
_NOBODY = frozenset(
    {
        *("location", "location_identifier", "location_status", "device_identifier"),
        *("device_metric", "directory", "schedule", "slot", "source_census", "hourly_census"),
    }
)
"""Tables of the twin about places, things, staff and counts."""
_FIGURES = frozenset({"kpi", "information_schema", "pg_catalog"})
"""Schemas that show no row about anybody; KPIs are shown to all who see the hospital."""
_SAME_PATIENT = frozenset(
    {*("patient_id", "encounter_id", "stay_id", "appointment_id", "observation_id", "account_id")}
)
"""Columns that are alike in two rows only where both are the same patient's."""
_WITHIN_A_ROW = frozenset(
    {
        *("abs", "age", "ceil", "concat", "contains", "date_add", "date_diff", "date_part"),
        *("date_sub", "date_trunc", "datediff", "datepart", "datetrunc", "day", "epoch", "floor"),
        *("format", "hour", "ifnull", "left", "length", "lower", "minute", "month", "now"),
        *("nullif", "prefix", "regexp_extract", "regexp_matches", "replace", "right", "round"),
        *("starts_with", "strftime", "strptime", "substr", "substring", "suffix", "timezone"),
        *("to_days", "to_hours", "to_minutes", "to_months"),
        *("to_seconds", "to_weeks", "to_years", "today", "trim", "upper", "week", "year"),
    }
)
"""Functions of the values of one row."""


class Asked(NamedTuple):
    """What a statement reads of patients, and how far its answer can say of whom."""

    about_patients: bool = True
    one_by_one: bool = False
    """Whether each row of the answer is one patient's: nothing is counted, ranked or compared."""
    identifiers: bool = False
    """Whether it reads the numbers by which patients, visits and appointments are known."""


def asked(sql: str) -> Asked:
    """What `sql` reads of patients. A text that cannot be read may have read anything."""
    read = explained(sql)
    with duckdb.connect() as connection:
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [read]).fetchone()
    tree = json.loads(row[0]) if row else {}
    if tree.get("error", True):
        return Asked()
    about = _about(tree)
    mixed = read != sql or any(_mixes(node) for node in _nodes(tree))
    return Asked(bool(about), not mixed, not about.isdisjoint(IDENTIFIERS))


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            if not _only_describes(node):
                waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _only_describes(node: dict[str, Any]) -> bool:
    return node.get("type") == "SHOW_REF" and node.get("show_type") != "SUMMARY"


def _about(tree: Any) -> set[str]:
    """The tables about patients that a part of a statement reads, within its CTEs, too."""
    nodes = list(_nodes(tree))
    own = {
        str(one["key"]).lower() for node in nodes for one in node.get("cte_map", {}).get("map", ())
    }
    tables = [_table(node) for node in nodes]
    return {
        name
        for schema, name in filter(None, tables)
        if schema not in _FIGURES and name not in _NOBODY and (schema or name not in own)
    }


def _table(node: dict[str, Any]) -> tuple[str, str] | None:
    if node.get("type") == "BASE_TABLE":
        schema, name = str(node["schema_name"]).lower(), str(node["table_name"]).lower()
        listing = name.startswith(("duckdb_", "pg_"))
    elif node.get("type") == "TABLE_FUNCTION":
        function = node["function"]
        schema, name = str(function["schema"]).lower(), str(function["function_name"]).lower()
        listing = name in TABLE_FUNCTIONS and schema not in OWN_SCHEMAS
    else:
        return None
    return None if listing else (schema, name)


def _mixes(node: dict[str, Any]) -> bool:
    """Whether a part of a statement makes one row of several, or lets one tell of another."""
    if node.get("group_expressions") or node.get("aggregate_handling") == "FORCE_AGGREGATES":
        return True
    if node.get("class") == "FUNCTION":
        name, schema = str(node["function_name"]).lower(), str(node["schema"]).lower()
        known = name in _WITHIN_A_ROW or name in TABLE_FUNCTIONS or schema in OWN_SCHEMAS
        return not (known or node.get("is_operator") or not name[:1].isalpha())
    if node.get("class") in ("WINDOW", "SUBQUERY"):
        return True
    if node.get("type") == "JOIN":
        return bool(_about(node["left"]) and _about(node["right"]) and not _joins_same(node))
    return node.get("type") in ("PIVOT", "SHOW_REF")


def _joins_same(join: dict[str, Any]) -> bool:
    named = {str(column).lower() for column in join["using_columns"]}
    equal = [_column_of_both(one) for one in _conjunction(join["condition"])]
    return not _SAME_PATIENT.isdisjoint(named.union(equal))


def _conjunction(condition: dict[str, Any] | None) -> Sequence[dict[str, Any]]:
    if condition is None:
        return ()
    return condition["children"] if condition["type"] == "CONJUNCTION_AND" else (condition,)


def _column_of_both(condition: dict[str, Any]) -> str:
    """The column that is alike on both sides, such as `s.patient_id = p.patient_id`."""
    if condition["type"] != "COMPARE_EQUAL":
        return ""
    left, right = (
        str(condition[side].get("column_names", [""])[-1]).lower() for side in ("left", "right")
    )
    return left if left == right else ""
