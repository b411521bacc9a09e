"""Where the keys come from: a file that only its owner reads, the environment, or a command.

A file, and what a command prints, is TOML with two keys of at least 32 bytes in hexadecimal:

    pseudonym = "..."
    shift = "..."

Keys are never in a database, and no message or error shows them.
"""

import os
import secrets
import stat
import subprocess
import tomllib
from pathlib import Path

from twin_core.deid.codebook import Keys
from twin_core.errors import ConfigurationError
from twin_core.settings import DeidSettings

KEY_BYTES = 32
COMMAND_TIMEOUT_S = 30.0
_DO = "Make keys with `wardtwin deid keys FILE`, and name the file in [deid] keys_file."


def read_keys(settings: DeidSettings) -> Keys | None:
    """The keys that a site has set; None where it has set none.

    Raises ConfigurationError for two sources, keys that others may read, and keys that are none.
    """
    given = {
        "keys_file": settings.keys_file is not None,
        "keys_command": bool(settings.keys_command),
        "pseudonym_key and shift_key": bool(settings.pseudonym_key or settings.shift_key),
    }
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise ConfigurationError(
            "The keys have two sources.", why=f"[deid] sets {' and '.join(named)}.", do="Keep one."
        )
    if settings.keys_file is not None:
        return _of_text(_guarded(settings.keys_file), f"The file {settings.keys_file}")
    if settings.keys_command:
        return _of_text(_printed(settings.keys_command), "What [deid] keys_command prints")
    if not named:
        return None
    pseudonym, shift = settings.pseudonym_key, settings.shift_key
    if pseudonym is None or shift is None:
        raise ConfigurationError("One of two keys is missing.", do=f"Set both. {_DO}")
    return _checked(pseudonym.get_secret_value(), shift.get_secret_value(), "[deid]")


def drawn_keys() -> Keys:
    """Keys drawn for one use and kept nowhere: what they made cannot be made again."""
    return Keys(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))


def write_keys(path: Path, keys: Keys) -> None:
    """Write keys to a new file that only its owner reads.

    Raises ConfigurationError where there is such a file: pseudonyms made under lost keys are lost.
    """
    text = f'pseudonym = "{keys.pseudonym.hex()}"\nshift = "{keys.shift.hex()}"\n'
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists already.", do="Name a new file; to rotate keys, name that one then."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written.", why=error.strerror or "") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _guarded(path: Path) -> str:
    """What a file says that nobody but its owner may read or write, checked on the open file."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            said = file.read(16_384)
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be read.", why=error.strerror or "", do=_DO
        ) from None
    if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o077:
        raise ConfigurationError(
            f"The key file {path} is open to others.",
            why=f"Its mode is {stat.S_IMODE(state.st_mode):04o}.",
            do=f"Run `chmod 600 {path}`, and draw new keys if anyone may have read these.",
        )
    if state.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"The key file {path} belongs to somebody else.", do="Make it this user's or root's."
        )
    return said.decode("utf-8", "replace")


def _printed(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the command is the site's own setting, no shell reads it
            command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"The command {command[0]} of [deid] keys_command gave no keys.",
            why=type(error).__name__,
        ) from None
    if done.returncode:
        raise ConfigurationError(
            f"The command {command[0]} of [deid] keys_command failed.",
            why=f"It ended with {done.returncode}.",
        )
    return done.stdout.decode("utf-8", "replace")


def _of_text(text: str, origin: str) -> Keys:
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # Its message would quote the line.
        raise ConfigurationError(f"{origin} is no TOML.", do=_DO) from None
    return _checked(str(told.get("pseudonym", "")), str(told.get("shift", "")), origin)


def _checked(pseudonym: str, shift: str, origin: str) -> Keys:
    try:
        keys = Keys(bytes.fromhex(pseudonym), bytes.fromhex(shift))
    except ValueError:
        raise ConfigurationError(f"{origin} has keys that are not hexadecimal.", do=_DO) from None
    if min(map(len, keys)) < KEY_BYTES:
        raise ConfigurationError(
            f"{origin} has keys of fewer than {KEY_BYTES} bytes, or not both.", do=_DO
        )
    if keys.pseudonym == keys.shift:
        raise ConfigurationError(f"{origin} has one key twice.", do=_DO)
    return keys
