"""`wardtwin store`: the key of the store made, used, rotated and given up."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from api.audit.opening import open_ledger
from api.audit.operating import act
from api.commands import Call, Command
from api.encryption import encryption_of
from api.holder import reach
from twin_core import Twin
from twin_core.encryption import StoreKey, read_key, write_key
from twin_core.encryption.keys import key_in, key_of
from twin_core.errors import ConfigurationError, StoreBusy, UsageError
from twin_core.settings import EncryptionSettings, Settings


def run_new_key(call: Call) -> int:
    """Make a key and say its fingerprint; the key itself is in the file only."""
    key, path = StoreKey.drawn(), call.options.file
    write_key(path, key)
    if call.terminal.as_json:
        call.terminal.json({"file": str(path), "fingerprint": key.fingerprint})
    else:
        call.terminal.line(f"{path} holds a new key with the fingerprint {key.fingerprint}.")
        call.terminal.note("Keep a copy elsewhere: without it the store and its backups are lost.")
    return 0


def run_status(call: Call) -> int:
    """Print whether the store is encrypted, and which key is set. 1 where they do not match."""
    found = encryption_of(call.settings)
    if call.terminal.as_json:
        told = {"store": str(call.path), "encrypted": found.encrypted, "key": found.key}
        call.terminal.json({**told, "open_files": found.open_files, "said": found.said})
    else:
        call.terminal.line(f"{found.said}.")
    return 1 if found.verdict == "fail" else 0


def run_encrypt(call: Call) -> int:
    """Encrypt an open store by the key that is set."""
    key = read_key(call.settings.encryption)
    if key is None:
        raise ConfigurationError(
            "No key is set.",
            do="Make one with `wardtwin store new-key FILE`, and name it in [encryption] key_file.",
        )
    return _rekeyed(call, "store encrypt", None, lambda: key)


def run_decrypt(call: Call) -> int:
    """Write an encrypted store as an open one."""
    key = read_key(call.settings.encryption)
    if key is None:
        raise ConfigurationError("No key is set.", do="Set the key of the store.")
    return _rekeyed(call, "store decrypt", key, lambda: None)


def run_rotate(call: Call) -> int:
    """Encrypt the store by another key."""
    key = read_key(call.settings.encryption)
    if key is None:
        raise ConfigurationError("No key is set.", do="Set the present key; name the new one here.")
    return _rekeyed(call, "store rotate-key", key, lambda: _new_key(call, key))


def _new_key(call: Call, key: StoreKey) -> StoreKey:
    named = call.options.file
    new = key_of(sys.stdin.read(), "Standard input") if str(named) == "-" else key_in(named)
    if new == key:
        raise UsageError("The new key is the present one.", do="Make another to rotate to.")
    return new


def _rekeyed(
    call: Call, operation: str, key: StoreKey | None, chosen: Callable[[], StoreKey | None]
) -> int:
    holder = reach(call.path, call.environ)
    if holder is not None:
        holder.close()
        raise StoreBusy(
            f"The store {call.path} is held by a server.",
            why="Its files are written anew.",
            do="Stop the server, and start it again with the new settings.",
        )
    new = chosen()
    with (
        Twin.open(call.path, settings=_opened_by(call.settings, key), create=False) as twin,
        open_ledger(call.settings.audit, call.path, key) as ledger,
        act(ledger, operation),
        call.terminal.progress("Encrypting" if new else "Decrypting", 0, "rows"),
    ):
        rows = twin.rekey(new)
    fingerprint = new.fingerprint if new else None
    if call.terminal.as_json:
        call.terminal.json({"store": str(call.path), "rows": rows, "key": fingerprint})
    else:
        by = f"encrypted by the key with the fingerprint {fingerprint}" if new else "not encrypted"
        call.terminal.line(f"{call.path} is now {by}; all {rows:,} rows were compared.")
        call.terminal.note(_NEXT[operation])
    return 0


_NEXT = {
    "store encrypt": "Backups made before are open: let them expire, or encrypt where they are.",
    "store decrypt": "Set no key from now on.",
    "store rotate-key": "Set the new key now. Keep the old one as long as backups made by it.",
}


def _opened_by(settings: Settings, key: StoreKey | None) -> Settings:
    """The same settings; with no key where the store is opened without one."""
    if key is not None:
        return settings
    return settings.model_copy(update={"encryption": EncryptionSettings()})


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a file that does not exist yet")


def _new_key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="the new key; `-` reads it")


COMMAND = Command(
    name="store",
    help="encrypt the store, rotate its key, give it up",
    description=(
        "The key is named in [encryption] of the settings. Encrypting, rotating and giving up\n"
        "write both halves of the store anew, compare them, and replace both together; the store\n"
        "is whole under one key or the other, whenever that ends. No server may hold it."
    ),
    examples=("wardtwin store new-key /etc/wardtwin/store.key", "wardtwin store status"),
    commands=(
        Command(
            name="new-key",
            help="make a key in a new file",
            examples=("wardtwin store new-key /etc/wardtwin/store.key",),
            arguments=_file,
            run=run_new_key,
        ),
        Command(
            name="status",
            help="whether the store is encrypted, and which key is set",
            examples=("wardtwin store status --json",),
            run=run_status,
        ),
        Command(
            name="encrypt",
            help="encrypt a store by the key that is set",
            examples=("wardtwin store encrypt --config site.toml",),
            run=run_encrypt,
        ),
        Command(
            name="rotate-key",
            help="encrypt the store by another key",
            examples=(
                "wardtwin store rotate-key /etc/wardtwin/new.key",
                "vault kv get -field=key secret/wardtwin | wardtwin store rotate-key -",
            ),
            arguments=_new_key_arguments,
            run=run_rotate,
        ),
        Command(
            name="decrypt",
            help="give the key up, and write the store openly",
            examples=("wardtwin store decrypt",),
            run=run_decrypt,
        ),
    ),
)
