"""`wardtwin retention`: what is kept for how long, and the removal of what is older."""

import argparse
from collections.abc import Mapping
from typing import Any

from api.commands import Call, Command
from api.desk import desk

_COLUMNS = ("kept", "days", "before", "due", "oldest")


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--apply", action="store_true", help="remove it; without, only show it")


def show(call: Call) -> int:
    """Print every policy with what it would remove now."""
    with desk(call) as answering:
        rows = answering.ask("retention_show")
    _print(call, rows)
    return 0


def run(call: Call) -> int:
    """Remove what is due with --apply; show it without."""
    if not call.options.apply:
        status = show(call)
        call.terminal.note("Nothing was removed. To remove what is due, add --apply.")
        return status
    with desk(call) as answering:
        rows = answering.ask("retention_run")
    _print(call, rows)
    call.terminal.note(f"{sum(row['due'] for row in rows):,} were removed.")
    return 0


def _print(call: Call, rows: list[Mapping[str, Any]]) -> None:
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        shown = [{**row, "days": "all" if row["days"] is None else row["days"]} for row in rows]
        call.terminal.table(_COLUMNS, shown)


COMMAND = Command(
    name="retention",
    help="what is kept for how long, and the removal of what is older",
    description=(
        "Bytes of messages, parked messages and texts beside the ledger, by [retention] of the\n"
        "settings. Events, versions, figures and the ledger's entries stay. A server does it by\n"
        "itself, every [retention] every_hours."
    ),
    examples=("wardtwin retention show", "wardtwin retention run --apply"),
    commands=(
        Command(
            name="show",
            help="every policy, and what it would remove now",
            examples=("wardtwin retention show --json",),
            run=show,
        ),
        Command(
            name="run",
            help="what would be removed; with --apply, remove it",
            examples=("wardtwin retention run", "wardtwin retention run --apply"),
            arguments=_run_arguments,
            run=run,
        ),
    ),
)
