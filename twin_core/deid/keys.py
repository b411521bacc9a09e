"""Where the keys come from: a file that only its owner reads, the environment, or a command.

A file, and what a command prints, is TOML with two keys of at least 32 bytes in hexadecimal:

    pseudonym = "..."
    shift = "..."

Keys are never in a database, and no message or error shows them.
"""

import secrets
import tomllib
from pathlib import Path

from twin_core.deid.codebook import Keys
from twin_core.encryption.source import guarded, printed, put_guarded
from twin_core.errors import ConfigurationError
from twin_core.settings import DeidSettings

KEY_BYTES = 32
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
        return _of_text(guarded(settings.keys_file, _DO), f"The file {settings.keys_file}")
    if settings.keys_command:
        said = printed(settings.keys_command, "[deid] keys_command")
        return _of_text(said, "What [deid] keys_command prints")
    if not named:
        return None
    pseudonym, shift = settings.pseudonym_key, settings.shift_key
    if pseudonym is None or shift is None:
        raise ConfigurationError("One of two keys is missing.", do=f"Set both. {_DO}")
    return _checked(pseudonym.get_secret_value(), shift.get_secret_value(), "[deid]")


def has_keys(settings: DeidSettings) -> bool:
    """Whether a site has set where its keys are; whether they can be read is another question."""
    return bool(
        settings.keys_file
        or settings.keys_command
        or (settings.pseudonym_key and settings.shift_key)
    )


def drawn_keys() -> Keys:
    """Keys drawn for one use and kept nowhere: what they made cannot be made again."""
    return Keys(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))


def write_keys(path: Path, keys: Keys) -> None:
    """Write keys to a new file that only its owner reads.

    Raises ConfigurationError where there is such a file: pseudonyms made under lost keys are lost.
    """
    text = f'pseudonym = "{keys.pseudonym.hex()}"\nshift = "{keys.shift.hex()}"\n'
    put_guarded(path, text, "Name a new file; to rotate keys, name that one then.")


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
