"""`wardtwin keys`: API keys made, listed and revoked."""

import argparse
from datetime import timedelta

from api.access.roles import MEANT_FOR, ROLE_NAMES
from api.access.store import AccessStore, access_path
from api.audit.opening import open_ledger
from api.audit.operating import act
from api.commands import Call, Command
from twin_core.audit import Ledger
from twin_core.clock import SystemClock
from twin_core.encryption import read_key
from twin_core.errors import UsageError

_COLUMNS = ("id", "name", "roles", "facilities", "units", "created_at", "expires_at", "revoked_at")


def _creating(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="whose key it is, or what for")
    parser.add_argument(
        "--role",
        metavar="ROLE",
        action="append",
        default=[],
        help=f"one of {', '.join(ROLE_NAMES)}; may be given again",
    )
    parser.add_argument(
        "--facility", metavar="CODE", action="append", default=[], help="rows of it only"
    )
    parser.add_argument(
        "--unit", metavar="FACILITY/UNIT", action="append", default=[], help="rows of it only"
    )
    parser.add_argument("--days", metavar="N", type=float, help="until it ends (default: never)")


def run_create(call: Call) -> int:
    """Make a key and print it, this once."""
    options, store = call.options, _store(call)
    now = SystemClock().now()
    expires_at = now + timedelta(days=options.days) if options.days is not None else None
    with _ledger(call) as ledger, act(ledger, "keys create"):
        key_id, key = store.create(
            options.name,
            tuple(options.role),
            facilities=tuple(options.facility),
            units=tuple(options.unit),
            expires_at=expires_at,
        )
    if call.terminal.as_json:
        call.terminal.json({"id": key_id, "key": key})
    else:
        call.terminal.line(key)
        call.terminal.note(f"Key {key_id} of {options.name}. It is not shown again.")
    if call.settings.access is None:
        call.terminal.note("No [access] is configured, so no key is asked for yet.")
    return 0


def run_list(call: Call) -> int:
    """Print every key without its secret."""
    rows = [key._asdict() for key in _store(call).keys()]
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        words = ("roles", "facilities", "units")
        call.terminal.table(
            _COLUMNS, [{**row, **{w: " ".join(row[w]) for w in words}} for row in rows]
        )
    return 0


def _revoking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key_id", metavar="ID", help="as `wardtwin keys list` shows it")


def run_revoke(call: Call) -> int:
    """Let a key open nothing from now on, in a running server too."""
    with _ledger(call) as ledger, act(ledger, "keys revoke"):
        _store(call).revoke(call.options.key_id)
    call.terminal.note(f"Key {call.options.key_id} opens nothing any more.")
    return 0


def _ledger(call: Call) -> Ledger:
    return open_ledger(call.settings.audit, call.path, read_key(call.settings.encryption))


def _store(call: Call) -> AccessStore:
    if not call.path.parent.is_dir():
        raise UsageError(f"There is no folder {call.path.parent}.", do="Name the store with --db.")
    return AccessStore(access_path(call.path), SystemClock())


_ROLES = "\n".join(f"  {role:<14} {words}" for role, words in MEANT_FOR.items())

COMMAND = Command(
    name="keys",
    help="make, list and revoke API keys",
    description=f"Keys are kept by their hashes, beside the store.\n\nroles:\n{_ROLES}",
    examples=("wardtwin keys create 'ward 3 screen' --role viewer", "wardtwin keys list"),
    commands=(
        Command(
            name="create",
            help="a new key, shown once",
            examples=(
                "wardtwin keys create 'ward 3' --role operations --unit GENERAL/MED --days 365",
            ),
            run=run_create,
            arguments=_creating,
        ),
        Command(
            name="list",
            help="every key, without its secret",
            examples=("wardtwin keys list --json",),
            run=run_list,
        ),
        Command(
            name="revoke",
            help="end a key at once",
            examples=("wardtwin keys revoke 3f0a9c1d2e4b",),
            run=run_revoke,
            arguments=_revoking,
        ),
    ),
)
