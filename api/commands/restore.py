"""`wardtwin restore`: a new store of a backup, compared with what was backed up."""

import argparse
from pathlib import Path

from api.audit.opening import open_ledger
from api.audit.operating import act
from api.commands import Call, Command
from twin_core.encryption import read_key
from twin_core.store.backup import restore


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", metavar="BACKUP", type=Path, help="the folder of a backup")
    parser.add_argument("to", metavar="TO", type=Path, help="the file of the new store")


def run(call: Call) -> int:
    """Restore, and say what the new store holds."""
    folder, path = call.options.backup, call.options.to.absolute()
    key = read_key(call.settings.encryption)
    with call.terminal.progress("Restoring", 0, "bytes"):
        manifest = restore(folder, path, key)
    with open_ledger(call.settings.audit, path, key) as ledger, act(ledger, "restore"):
        rows = sum(table.rows for table in manifest.tables.values())
    told = {
        "store": str(path),
        "made_at": manifest.made_at,
        "messages_applied": manifest.position,
        "tables": len(manifest.tables),
        "rows": rows,
        "waiting": manifest.inbox.high - manifest.position,
        "encrypted": bool(manifest.key),
    }
    if call.terminal.as_json:
        call.terminal.json(told)
    else:
        call.terminal.line(
            f"{path} holds what {manifest.store} held at {manifest.made_at:%Y-%m-%d %H:%M}Z:"
            f" {rows:,} rows in {len(manifest.tables)} tables, {manifest.position:,} messages."
        )
        call.terminal.note("Every table and the inbox were compared with what was backed up.")
    return 0


COMMAND = Command(
    name="restore",
    help="a new store of a backup, compared with what was backed up",
    description=(
        "Copy the files of a backup to a new place, open them, and compare counts and digests of\n"
        "every table and of the inbox with what was backed up; only then is the store there.\n"
        "Nothing is overwritten, and half a backup is refused."
    ),
    examples=("wardtwin restore /backups/2026-11-01 /srv/wardtwin/hospital.duckdb",),
    arguments=_arguments,
    run=run,
)
