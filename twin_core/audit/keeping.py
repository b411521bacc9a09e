"""Where checkpoints are kept: anywhere but beside the ledger they vouch for."""

import os
import secrets
from pathlib import Path
from typing import Protocol

from twin_core.errors import StoreError


class Keeper(Protocol):
    """Takes checkpoints and never gives up one that it has."""

    name: str
    """How settings and reports call it."""

    def keep(self, file_name: str, note: str) -> None:
        """Keep a signed note under a name. Raises StoreError where that failed; try again later."""
        ...


class FolderKeeper:
    """A folder, on another disk or another machine's share."""

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = str(folder), folder

    def keep(self, file_name: str, note: str) -> None:
        """Write the note whole, on disk, and read-only."""
        beside = self._folder / f".{file_name}.{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with beside.open("w", encoding="utf-8", newline="\n") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            beside.chmod(0o444)
            beside.replace(self._folder / file_name)
        except OSError as error:
            raise StoreError(
                f"A checkpoint could not be kept in {self._folder}.",
                why=error.strerror or str(error),
            ) from error


def notes_in(place: Path) -> list[str]:
    """The signed notes in a folder of checkpoints, or in one file. Raises StoreError."""
    try:
        files = sorted(place.glob("*.checkpoint")) if place.is_dir() else [place]
        return [file.read_text("utf-8") for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"The checkpoints in {place} cannot be read.", why=str(error)) from error
