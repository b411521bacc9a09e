"""`wardtwin erase`: remove a patient from the store for good."""

import argparse
from typing import Any

from api.access.said import letters_said
from api.audit.opening import open_ledger
from api.commands import Call, Command
from api.desk import desk
from api.holder import reach
from twin_core import Twin
from twin_core.errors import StoreBusy, UsageError

_COUNTS = (
    ("identifiers", "identifiers, of the patient and of visits, orders and resources"),
    ("events", "events, with every version that follows from them"),
    ("messages", "messages about the patient alone"),
    ("messages_of_others", "messages about others that name the patient: their bytes"),
    ("staged_lines", "lines that are staged"),
)
_LEFT = (
    ("linked_ids", "Linked patients stay: they are others"),
    ("backups", "Backups that must expire or be destroyed"),
    ("releases", "De-identified releases to publish again, or to destroy"),
    ("files", "Files and folders that messages were read from"),
    ("destinations", "Systems that are fed from this store, and were told what it knew"),
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "patient", metavar="PATIENT", help="a patient_id, or an identifier as system|value"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why; it is kept, so it names nobody")
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")


def run(call: Call) -> int:
    """Erase a patient, or say what that would remove."""
    options = call.options
    if options.dry_run:
        with desk(call) as answering:
            _print(call, answering.ask("erase_plan", patient=options.patient))
        call.terminal.note("Nothing was erased.")
        return 0
    if not letters_said(options.reason or ""):
        raise UsageError("An erasure needs a reason.", do="Give one with --reason.")
    _print(call, _erased(call))
    return 0


def _erased(call: Call) -> dict[str, Any]:
    from api.erasing import erase
    from api.operations import plainly

    holder = reach(call.path, call.environ)
    if holder is not None:
        holder.close()
        raise StoreBusy(
            f"The store {call.path} is held by a server.",
            why="An erasure writes the store anew, and a server has the patient in memory.",
            do="Stop the server, erase, and start it again: what is sent meanwhile is sent again.",
        )
    with Twin.open(call.path, settings=call.settings, create=False) as twin:
        with open_ledger(call.settings.audit, call.path, twin.key) as ledger:
            report: dict[str, Any] = plainly(
                erase(twin, ledger, call.options.patient, call.options.reason)
            )
    # Opened once more, it is whole and furnished again.
    with Twin.open(call.path, settings=call.settings, create=False):
        return report


def _print(call: Call, report: dict[str, Any]) -> None:
    if call.terminal.as_json:
        call.terminal.json(report)
        return
    call.terminal.line(f"Erasure {report['erasure_id']}")
    for name, words in _COUNTS:
        call.terminal.line(f"  {report[name]:>7,} {words}")
    for name, words in _LEFT:
        if report[name]:
            call.terminal.line(f"{words}:")
        for one in report[name]:
            call.terminal.line(f"  {_listed(one)}")


def _listed(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    return f"{one['path']}  {one['made_at'] or ''}".rstrip()


COMMAND = Command(
    name="erase",
    help="remove a patient from the store and from the files beside it, for good",
    description=(
        "Remove everything of a patient: the record and those merged into it, visits, results,\n"
        "appointments, messages with their bytes, quarantine. The files are written anew, so that\n"
        "nothing is left in free pages. Keyed marks stay, by which a message that comes again is\n"
        "known and kept out. No server may hold the store. Nothing undoes it."
    ),
    examples=(
        "wardtwin erase p0123456789abcdef01234567 --dry-run",
        'wardtwin erase "urn:wardtwin:authority:GEN|MR123" --reason "request 2026-17"',
    ),
    arguments=_arguments,
    run=run,
)
