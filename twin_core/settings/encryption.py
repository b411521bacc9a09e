"""Encryption of the store at rest: where its key is."""

from pathlib import Path

from pydantic import SecretStr

from twin_core.settings.section import Section


class EncryptionSettings(Section):
    """The key by which the store is encrypted at rest; without one it is not encrypted.

    The key is one line of 64 hexadecimal digits, kept outside the store; name one source.
    """

    key_file: Path | None = None
    """A file with the key that only its owner may read; `wardtwin store new-key FILE` makes one."""
    key_command: tuple[str, ...] = ()
    """A command that prints the key, as a client of a vault does."""
    key: SecretStr | None = None
    """The key itself; best in the environment, as `WARDTWIN_ENCRYPTION__KEY`."""
