"""`wardtwin state`: the hospital now, at an instant, or as it was believed to be."""

import argparse
from typing import Any

from api.commands import Call, Command, instant
from api.desk import desk

_COLUMNS = ("facility", "unit", "census", "beds", "occupied", "free", "dirty", "closed")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", metavar="T", type=str, help="the instant to show (default now)")
    parser.add_argument("--known-at", metavar="T", help="as was known then (default now)")


def run(call: Call) -> int:
    """Print the state of every unit; with --json every bed and the ED list too."""
    asked = {
        name: instant(text).isoformat()
        for name in ("at", "known_at")
        if (text := getattr(call.options, name)) is not None
    }
    with desk(call) as answering:
        state = answering.ask("state", **asked)
    if call.terminal.as_json:
        call.terminal.json(state)
        return 0
    known = f", as known at {state['known_at']}" if state["known_at"] else ""
    call.terminal.line(f"At {state['at']}{known}: {state['census']:,} patients.")
    call.terminal.table(_COLUMNS, [_row(unit) for unit in state["units"]])
    call.terminal.line(f"In the emergency department: {len(state['ed']):,}.")
    return 0


def _row(unit: dict[str, Any]) -> dict[str, Any]:
    return {name: unit.get(name, unit["counts"].get(name)) for name in _COLUMNS} | {
        "beds": unit["counts"]["beds"]
    }


COMMAND = Command(
    name="state",
    help="show every unit and bed, now or at an instant",
    examples=(
        "wardtwin state",
        "wardtwin state --at 2026-11-01T08:00Z",
        "wardtwin state --at 2026-11-01T08:00Z --known-at 2026-11-01T09:00Z --json",
    ),
    arguments=_arguments,
    run=run,
)
