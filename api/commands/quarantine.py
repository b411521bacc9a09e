"""`wardtwin quarantine`: what could not be applied, why, and another try after a fix."""

import argparse
from typing import Any

from api.commands import Call, Command
from api.desk import desk
from twin_core.errors import UsageError

_COLUMNS = ("message_id", "feed", "trigger_event", "received_at", "code", "reason")


def _limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", metavar="N", type=int, help="how many at most")


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("message_id", metavar="MESSAGE_ID", type=int)


def _some(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "message_ids", metavar="MESSAGE_ID", type=int, nargs="*", help="all where none is given"
    )


def list_all(call: Call) -> int:
    """Print what is in quarantine, newest first."""
    if call.options.limit is not None and call.options.limit < 1:
        raise UsageError("--limit is 1 or more.", do="Leave it out for the newest hundred.")
    with desk(call) as answering:
        rows = answering.ask("quarantine_list", limit=call.options.limit)
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(_COLUMNS, rows)
    return 0


def show(call: Call) -> int:
    """Explain one message, with its raw bytes."""
    with desk(call) as answering:
        message = answering.ask("quarantine_show", message_id=call.options.message_id)
    if call.terminal.as_json:
        call.terminal.json(message)
        return 0
    raw, kept = message.pop("raw"), message.pop("kept")
    for name, value in message.items():
        if value not in (None, "", []):
            call.terminal.line(f"{name:<16} {_one_line(value)}")
    call.terminal.line()
    if not kept:
        call.terminal.line("  Its bytes are not kept any more.")
    for line in raw.replace("\r\n", "\r").replace("\n", "\r").rstrip("\r").split("\r"):
        call.terminal.line("  " + _one_line(line))
    return 0


def replay(call: Call) -> int:
    """Translate and apply again; findings (exit 1) where some are still rejected."""
    with desk(call) as answering:
        answers = answering.ask("quarantine_replay", message_ids=call.options.message_ids)
    if call.terminal.as_json:
        call.terminal.json(answers)
    else:
        call.terminal.table(("message_id", "status", "code"), answers)
    return 1 if any(answer["status"] == "rejected" for answer in answers) else 0


def _one_line(value: Any) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


COMMAND = Command(
    name="quarantine",
    help="messages that could not be applied: list, explain, replay",
    examples=(
        "wardtwin quarantine list",
        "wardtwin quarantine show 4711",
        "wardtwin quarantine replay 4711",
    ),
    commands=(
        Command(
            name="list",
            help="what is in quarantine, newest first",
            examples=("wardtwin quarantine list --limit 20",),
            arguments=_limit,
            run=list_all,
        ),
        Command(
            name="show",
            help="why one message is there, with its raw bytes",
            examples=("wardtwin quarantine show 4711 --json",),
            arguments=_one,
            run=show,
        ),
        Command(
            name="replay",
            help="translate again with the settings of now, and apply",
            examples=("wardtwin quarantine replay", "wardtwin quarantine replay 4711 4712"),
            arguments=_some,
            run=replay,
        ),
    ),
)
