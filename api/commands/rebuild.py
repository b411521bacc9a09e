"""`wardtwin rebuild`: fold the journal again."""

from api.commands import Call, Command
from api.desk import desk


def run(call: Call) -> int:
    """Fold every journalled event again, and say what came of it."""
    with call.terminal.progress("Rebuilding", 0, "messages"), desk(call) as answering:
        outcome = answering.ask("rebuild")
    if call.terminal.as_json:
        call.terminal.json({"rebuilt": outcome})
    else:
        call.terminal.line("The store was rebuilt from its journal.")
    return 0


COMMAND = Command(
    name="rebuild",
    help="fold the journal again, after an upgrade",
    examples=("wardtwin rebuild --db hospital.duckdb",),
    run=run,
)
