"""`wardtwin sql`: one SELECT over the store or a profile of it, run in a process of its own."""

import argparse
import sys

from api.commands import Call, Command
from api.desk import desk


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", help="one SELECT statement; `-` reads it")
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="ask rows without identities: `limited` (live), or a release of deid.releases",
    )


def run(call: Call) -> int:
    """Print the rows: a table, or with --json a list of objects with ISO 8601 times."""
    query = sys.stdin.read() if call.options.query == "-" else call.options.query
    with desk(call) as answering:
        profile = {"profile": call.options.profile} if call.options.profile else {}
        answer = answering.ask("sql", sql=query, **profile)
    if call.terminal.as_json:
        call.terminal.json(answer["rows"])
    else:
        call.terminal.table(answer["columns"], answer["rows"])
    if answer["cut"]:
        call.terminal.note(
            f"Only the first {len(answer['rows']):,} rows are shown (store.query_rows)."
        )
    return 0


COMMAND = Command(
    name="sql",
    help="ask the store in SQL",
    description=(
        "Run one SELECT over the schemas twin, history and kpi. The query runs in its own process\n"
        "with a deadline, a memory limit and a row cap, and reads nothing but the store.\n"
        "Without --profile it asks the identified store: that is an operator's access, and the\n"
        "ledger hears of it before the answer is printed."
    ),
    examples=(
        'wardtwin sql "SELECT unit, count(*) FROM twin.stay WHERE to_at IS NULL GROUP BY unit"',
        "wardtwin sql \"FROM kpi.occ_hourly('2026-11-01', '2026-11-02')\" --json",
        'wardtwin sql "SELECT table_name, column_name, comment FROM duckdb_columns() '
        "WHERE schema_name = 'twin'\"",
        'wardtwin sql --profile limited "SELECT unit, count(*) FROM twin.stay GROUP BY unit"',
        "wardtwin sql - < question.sql",
    ),
    arguments=_arguments,
    run=run,
)
