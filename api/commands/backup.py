"""`wardtwin backup`: copy both halves of the store at one position."""

import argparse
from pathlib import Path

from api.commands import Call, Command
from api.desk import desk


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "destination", metavar="DEST", type=Path, help="the folder or file to write"
    )


def run(call: Call) -> int:
    """Write the copy, and say where it is."""
    destination = call.options.destination.absolute()
    with call.terminal.progress("Copying", 0, "bytes"), desk(call) as answering:
        outcome = answering.ask("backup", destination=str(destination))
    if call.terminal.as_json:
        call.terminal.json({"backup": outcome, "destination": str(destination)})
    else:
        call.terminal.line(f"The store was copied to {destination}.")
    return 0


COMMAND = Command(
    name="backup",
    help="copy both halves of the store at one position",
    examples=("wardtwin backup /backups/2026-11-01",),
    arguments=_arguments,
    run=run,
)
