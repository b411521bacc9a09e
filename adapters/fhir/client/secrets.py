"""Credentials from settings or files: read when they are needed, and never part of what is said."""

from pathlib import Path

from pydantic import SecretStr

from twin_core.errors import ConfigurationError

MOST_BYTES = 256 * 1024


def secret(where: str, value: SecretStr | None, file: Path | None) -> str:
    """A secret of the setting `where`, as it is now, without white space around it.

    Raises ConfigurationError, without a word of its content, where there is none.
    """
    if value is not None:
        text = value.get_secret_value()
    elif file is not None:
        text = _read(where, file)
    else:
        text = ""
    if not text.strip():
        raise ConfigurationError(f"The setting {where} holds nothing.", do=f"Set {where}.")
    return text.strip()


def _read(where: str, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES).decode("ascii")
    except OSError as error:
        raise ConfigurationError(
            f"The setting {where}_file is not usable.",
            why=f"{file}: {error.strerror or type(error).__name__}.",
            do="Name a file that this user may read.",
        ) from error
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"The setting {where}_file is not usable.", why=f"{file} is no text file."
        ) from None
