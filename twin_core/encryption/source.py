"""Secrets from outside: a file that only its owner reads, or what a command prints.

No message or error shows what was read.
"""

import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from twin_core.errors import ConfigurationError

COMMAND_TIMEOUT_S = 30.0
HEAVIEST_FILE = 16_384


def guarded(path: Path, do: str) -> str:
    """What a file says that nobody but its owner may read or write, checked on the open file.

    Raises ConfigurationError, with `do` as advice, where it cannot be read, is open to others or
    belongs to somebody else.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            said = file.read(HEAVIEST_FILE)
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be read.", why=error.strerror or "", do=do
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


def printed(command: Sequence[str], setting: str) -> str:
    """What a command prints that a setting names. Raises ConfigurationError where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - the command is the site's own setting, no shell reads it
            command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"The command {command[0]} of {setting} gave no keys.", why=type(error).__name__
        ) from None
    if done.returncode:
        raise ConfigurationError(
            f"The command {command[0]} of {setting} failed.",
            why=f"It ended with {done.returncode}.",
        )
    return done.stdout.decode("utf-8", "replace")


def put_guarded(path: Path, text: str, again: str) -> None:
    """Write a secret durably to a new file that only its owner reads.

    Raises ConfigurationError, with `again` as advice, where there is such a file.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already.", do=again) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written.", why=error.strerror or "") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
