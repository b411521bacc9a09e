"""`wardtwin sql`: one SELECT over the store or a profile of it, run in a process of its own."""

import argparse
import sys

from api.commands import Call, Command
from api.desk import Desk, desk
from twin_core.errors import UsageError
from twin_core.store.permit import explained


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "query", metavar="QUERY", nargs="?", help="one SELECT statement; `-` reads it"
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="ask rows without identities: `limited` (live), or a release of deid.releases",
    )
    saved = parser.add_mutually_exclusive_group()
    saved.add_argument("--saved", action="store_true", help="list the queries that are saved")
    saved.add_argument("--ask", metavar="NAME", help="ask a saved query")
    saved.add_argument("--save", metavar="NAME", help="keep QUERY of --profile by a name")
    saved.add_argument("--forget", metavar="NAME", help="forget a query that you saved")
    parser.add_argument("--shared", action="store_true", help="let everybody ask what is saved")
    parser.add_argument("--about", metavar="TEXT", default="", help="what a saved query is for")


def run(call: Call) -> int:
    """Print the rows: a table, or with --json a list of objects with ISO 8601 times."""
    options = call.options
    if options.query is None and not (options.saved or options.ask or options.forget):
        raise UsageError("No QUERY was given.", do="Name one, or `-` to read it.")
    with desk(call) as answering:
        if options.saved:
            return _list(call, answering)
        if options.forget:
            answering.ask("query_forget", query=options.forget)
            call.terminal.note(f"{options.forget} is forgotten.")
            return 0
        if options.save:
            return _save(call, answering)
        return _ask(call, answering)


def _list(call: Call, answering: Desk) -> int:
    rows = answering.ask("query_list")
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(("name", "owner", "shared", "release", "about", "sql"), rows)
    return 0


def _save(call: Call, answering: Desk) -> int:
    options, sql = call.options, _question(call)
    if not options.profile:
        raise UsageError(
            "A saved query is of rows without identities.", do="Name them with --profile."
        )
    # Planned over its rows first: what cannot be asked is not kept.
    answering.ask("sql", sql=f"EXPLAIN {explained(sql)}", profile=options.profile)
    kept = {"sql": sql, "release": options.profile, "about": options.about}
    answering.ask("query_keep", query=options.save, shared=options.shared, **kept)
    call.terminal.note(f"{options.save} is kept; ask it with `wardtwin sql --ask`.")
    return 0


def _question(call: Call) -> str:
    query: str | None = call.options.query
    if query is None:
        raise UsageError("No query was given.", do="Name one, or `-` to read it.")
    return sys.stdin.read() if query == "-" else query


def _asked(call: Call, answering: Desk) -> tuple[str, str | None]:
    """The question, and the profile that it is asked of."""
    if not call.options.ask:
        return _question(call), call.options.profile
    found = answering.ask("query_show", query=call.options.ask)
    profile = call.options.profile or found["release"]
    if not profile:
        raise UsageError("The query was saved without a release.", do="Name one with --profile.")
    return found["sql"], profile


def _ask(call: Call, answering: Desk) -> int:
    sql, profile = _asked(call, answering)
    answer = answering.ask("sql", sql=sql, **({"profile": profile} if profile else {}))
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
        "ledger hears of it before the answer is printed. Queries of a profile can be saved by a\n"
        "name, for oneself or shared with whoever asks over HTTP; they are tried before."
    ),
    examples=(
        'wardtwin sql "SELECT unit, count(*) FROM twin.stay WHERE to_at IS NULL GROUP BY unit"',
        "wardtwin sql \"FROM kpi.occ_hourly('2026-11-01', '2026-11-02')\" --json",
        'wardtwin sql "SELECT table_name, column_name, comment FROM duckdb_columns() '
        "WHERE schema_name = 'twin'\"",
        'wardtwin sql --profile limited "SELECT unit, count(*) FROM twin.stay GROUP BY unit"',
        "wardtwin sql - < question.sql",
        'wardtwin sql --profile limited --save "Open stays" "SELECT count(*) FROM twin.stay"',
        'wardtwin sql --ask "Open stays"',
    ),
    arguments=_arguments,
    run=run,
)
