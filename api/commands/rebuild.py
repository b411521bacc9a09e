"""`wardtwin rebuild`: fold the journal again."""

from api.audit.opening import open_ledger
from api.audit.operating import act
from api.commands import Call, Command
from api.holder import reach
from api.translating import read_anew
from twin_core import Twin
from twin_core.errors import StoreBusy


def run(call: Call) -> int:
    """Fold every journalled event again, and say how many there were."""
    holder = reach(call.path, call.environ)
    if holder is not None:
        holder.close()
        raise StoreBusy(
            f"The store {call.path} is held by a server.",
            why="A rebuild replaces what the server shows.",
            do="Stop the server, rebuild, and start it again.",
        )
    with Twin.open(call.path, settings=call.settings, create=False) as twin:
        batches = twin.sequence()
        with (
            open_ledger(call.settings.audit, call.path, twin.key) as ledger,
            act(ledger, "rebuild"),
            call.terminal.progress("Rebuilding", batches, "batches") as report,
        ):
            events = twin.rebuild(
                read_anew(call.settings), lambda done, total: report(done, f"of {total:,} batches")
            )
    if call.terminal.as_json:
        call.terminal.json({"events": events})
    else:
        call.terminal.line(f"The store was rebuilt from {events:,} events.")
    return 0


COMMAND = Command(
    name="rebuild",
    help="fold the journal again, after an upgrade",
    description=(
        "Read the kept HL7 v2 messages by the settings of now, fold the whole journal again, and\n"
        "put the result in the place of the old one. What was known when stays what it was."
    ),
    examples=("wardtwin rebuild --db hospital.duckdb",),
    run=run,
)
