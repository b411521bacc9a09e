"""`wardtwin outbound`: the systems that this twin feeds, what they were sent, what is parked."""

import argparse

from api.commands import Call, Command
from api.desk import desk

_COLUMNS = (
    *("destination", "to", "state", "delivered", "rejected", "parked", "behind", "lag_seconds"),
    "reason",
)
_PARKED = ("message_id", "trigger_event", "control_id", "code", "attempts", "parked_at", "reason")


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("destination", metavar="NAME", help="as in the settings: outbound.NAME")


def _some(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    parser.add_argument(
        "message_ids", metavar="MESSAGE_ID", type=int, nargs="*", help="all where none is given"
    )


def list_all(call: Call) -> int:
    """Print every destination and how it is doing."""
    with desk(call) as answering:
        rows = answering.ask("outbound_list")
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(_COLUMNS, rows)
    return 0


def show(call: Call) -> int:
    """Print one destination, its counts, and the messages parked for it."""
    with desk(call) as answering:
        shown = answering.ask("outbound_show", destination=call.options.destination)
    if call.terminal.as_json:
        call.terminal.json(shown)
        return 0
    parked, tallies = shown.pop("parked_messages"), shown.pop("tallies")
    for name, value in shown.items():
        if value is not None:
            call.terminal.line(f"{name:<16} {value}")
    for outcome, messages in tallies.items():
        call.terminal.line(f"  {outcome:<14} {messages:,}")
    call.terminal.line()
    call.terminal.table(_PARKED, parked)
    return 0


def retry(call: Call) -> int:
    """Ask for another try, and say of how many messages."""
    options = call.options
    with desk(call) as answering:
        answer = answering.ask(
            "outbound_retry", destination=options.destination, message_ids=options.message_ids
        )
    if call.terminal.as_json:
        call.terminal.json(answer)
    else:
        call.terminal.line(
            f"{answer['to_be_retried']:,} parked messages are sent again by the server."
        )
    return 0


COMMAND = Command(
    name="outbound",
    help="systems that are fed: list, show, retry",
    description=(
        "Show the systems that the settings under outbound.NAME feed over MLLP: how each is\n"
        "doing, what it was sent, and which messages it did not take. See\n"
        "docs/how-to/feed-another-system.md."
    ),
    examples=(
        "wardtwin outbound list",
        "wardtwin outbound show engine",
        "wardtwin outbound retry engine 4711",
    ),
    commands=(
        Command(
            name="list",
            help="every destination and how it is doing",
            examples=("wardtwin outbound list --json",),
            run=list_all,
        ),
        Command(
            name="show",
            help="one destination with its parked messages",
            examples=("wardtwin outbound show engine",),
            arguments=_one,
            run=show,
        ),
        Command(
            name="retry",
            help="send parked messages again; let a stopped destination go on",
            examples=("wardtwin outbound retry engine", "wardtwin outbound retry engine 4711"),
            arguments=_some,
            run=retry,
        ),
    ),
)
