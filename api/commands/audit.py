"""`wardtwin audit`: the ledger of accesses listed, exported and verified."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from api.commands import Call, Command, instant
from twin_core.audit import (
    Entry,
    LedgerReader,
    Sought,
    counted,
    ledger_path,
    notes_in,
    public_key,
    verified,
    verifier_line,
)
from twin_core.encryption import read_key
from twin_core.errors import UsageError

_COLUMNS = ("seq", "at", "who", "act", "what", "outcome", "status", "why", "patients", "address")


def _seeking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", metavar="ID", default="", help="accesses of one user or key")
    parser.add_argument("--patient", metavar="ID", default="", help="accesses to one patient")
    parser.add_argument("--what", metavar="TEXT", default="", help="addresses with this in them")
    parser.add_argument("--since", metavar="T", help="from this instant on")
    parser.add_argument("--until", metavar="T", help="before this instant")


def _listing(parser: argparse.ArgumentParser) -> None:
    _seeking(parser)
    parser.add_argument("--limit", metavar="N", type=int, default=50, help="the newest N")
    parser.add_argument("--texts", action="store_true", help="with queries and reasons as sent")


def run_list(call: Call) -> int:
    """Print entries, newest first."""
    reader = _reader(call)
    try:
        rows = [
            _row(reader, entry, texts=call.options.texts)
            for entry, _ in zip(_sought(call, reader), range(call.options.limit), strict=False)
        ]
    finally:
        reader.close()
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        columns = (*_COLUMNS, *(("text", "reason", "named") if call.options.texts else ()))
        call.terminal.table(
            columns,
            [{**row, "patients": counted(len(row["patients"]), row["beside"])} for row in rows],
        )
    return 0


def _exporting(parser: argparse.ArgumentParser) -> None:
    _seeking(parser)
    parser.add_argument(
        "--format", choices=("fhir", "jsonl"), default="fhir", help="AuditEvents, or the entries"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write, as NDJSON")


def run_export(call: Call) -> int:
    """Write entries to a file: FHIR R4 AuditEvents by IHE BALP, or the entries as they are."""
    reader = _reader(call)
    written = 0
    try:
        with call.options.out.open("xb") as file:
            for line in _lines(call, reader):
                file.write(line + b"\n")
                written += 1
    except OSError as error:
        raise UsageError(
            f"{call.options.out} cannot be written.", why=error.strerror or str(error)
        ) from error
    finally:
        reader.close()
    call.terminal.note(f"{written:,} lines were written to {call.options.out}.")
    return 0


def _verifying(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoints",
        metavar="PATH",
        type=Path,
        action="append",
        default=[],
        help="checkpoints kept elsewhere: a folder or a file; may be given again",
    )
    parser.add_argument("--public-key", metavar="KEY", help="as `wardtwin audit key` prints it")
    parser.add_argument("--ledger", metavar="PATH", type=Path, help="a ledger's file")


def run_verify(call: Call) -> int:
    """Say whether the ledger is what was written, and what was done to it where; 1 on findings."""
    options = call.options
    path = options.ledger or ledger_path(call.path)
    places = [*options.checkpoints, *_folders(call)]
    notes = [note for place in places for note in notes_in(place)]
    ledger_id, public, keys = "", None, None
    if options.public_key:
        ledger_id, public = public_key(options.public_key)
    else:
        keys = _keys(call)
    key = read_key(call.settings.encryption)
    verdict = verified(
        path,
        public=public,
        keys=keys,
        key=key,
        notes=notes,
        ledger_id=ledger_id,
        remembered=options.ledger is None,
    )
    told = {
        "entries": verdict.entries,
        "covered": verdict.covered,
        "checkpoints": verdict.checkpoints,
        "kept_elsewhere": len(notes),
        "findings": [finding._asdict() for finding in verdict.findings],
    }
    if call.terminal.as_json:
        call.terminal.json(told)
    else:
        _say(call, told)
    return 1 if verdict.findings else 0


def run_key(call: Call) -> int:
    """Print the public key, by which others verify the ledger and its checkpoints."""
    reader = _reader(call)
    try:
        call.terminal.line(verifier_line(reader.ledger_id(), _keys(call).public()))
    finally:
        reader.close()
    return 0


def _say(call: Call, told: dict[str, Any]) -> None:
    call.terminal.line(
        f"{told['entries']:,} entries, {told['covered']:,} of them under a checkpoint;"
        f" {told['checkpoints']:,} checkpoints, {told['kept_elsewhere']:,} notes kept elsewhere."
    )
    if told["findings"]:
        call.terminal.table(("kind", "first", "last", "said"), told["findings"])
    else:
        call.terminal.line("Nothing was changed, taken out, put in, moved, cut off or rechained.")
    if not told["kept_elsewhere"]:
        call.terminal.note("No checkpoint from elsewhere was asked; see audit.checkpoints.")


def _folders(call: Call) -> list[Path]:
    return [Path(place) for place in call.settings.audit.checkpoints if "://" not in place]


def _reader(call: Call) -> LedgerReader:
    return LedgerReader(ledger_path(call.path), read_key(call.settings.encryption))


def _keys(call: Call) -> Any:
    # Imported late: it brings an HTTP client with it.
    from api.audit.opening import audit_keys

    return audit_keys(call.settings.audit, call.path)


def _sought(call: Call, reader: LedgerReader) -> Iterator[Entry]:
    options = call.options
    sought = Sought(
        who=options.who,
        patient=options.patient,
        what=options.what,
        since=instant(options.since) if options.since else None,
        until=instant(options.until) if options.until else None,
    )
    return reader.sought(sought, _keys(call) if options.patient else None)


def _lines(call: Call, reader: LedgerReader) -> Iterator[bytes]:
    from adapters.fhir.audit_event import audit_events

    ledger_id = reader.ledger_id()
    for entry in _sought(call, reader):
        if call.options.format == "jsonl":
            yield msgspec.json.encode(entry)
            continue
        for event in audit_events(entry, reader.patients(entry), ledger_id):
            yield msgspec.json.encode(event)


def _row(reader: LedgerReader, entry: Entry, *, texts: bool) -> dict[str, Any]:
    row = {
        "seq": entry.seq,
        "at": _shown(entry.at),
        "who": entry.who.name or entry.who.id,
        "act": entry.act,
        "what": entry.what,
        "outcome": entry.outcome,
        "status": entry.status,
        "why": entry.why,
        "objects": entry.objects,
        "patients": reader.patients(entry),
        "beside": entry.beside,
        "address": entry.address,
    }
    if texts:
        said = reader.texts(entry)
        row |= {"text": said.text if said else "", "reason": said.reason if said else ""}
        row |= {"named": said.objects if said else ()}
    return row


def _shown(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


COMMAND = Command(
    name="audit",
    help="list, export and verify who saw what",
    description=(
        "The ledger beside the store holds every access to patients' rows and every act of\n"
        "administration, as a hash chain under signed checkpoints."
    ),
    examples=(
        "wardtwin audit list --patient p1f0c2... --limit 20",
        "wardtwin audit verify --checkpoints /mnt/elsewhere",
        "wardtwin audit export accesses.ndjson",
    ),
    commands=(
        Command(
            name="list",
            help="accesses, newest first",
            examples=("wardtwin audit list", "wardtwin audit list --who analyst-7 --json"),
            run=run_list,
            arguments=_listing,
        ),
        Command(
            name="export",
            help="accesses as FHIR AuditEvents, without query texts",
            examples=("wardtwin audit export accesses.ndjson --since 2026-11-01",),
            run=run_export,
            arguments=_exporting,
        ),
        Command(
            name="verify",
            help="whether the ledger is what was written; exit 1 on findings",
            examples=(
                "wardtwin audit verify",
                "wardtwin audit verify --ledger copy.audit --public-key wardtwin/5e1d...",
            ),
            run=run_verify,
            arguments=_verifying,
        ),
        Command(
            name="key",
            help="the public key by which others verify",
            examples=("wardtwin audit key",),
            run=run_key,
        ),
    ),
)
