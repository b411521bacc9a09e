"""Where checkpoints are kept: anywhere but beside the ledger they vouch for."""

import hashlib
import os
import secrets
from contextlib import suppress
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
        """Write the note whole, on disk, and read-only.

        Where another note has the name, both are kept, and verification finds that they disagree:
        a ledger that was cut short and went on signs the same size once more.
        """
        beside = self._folder / f".{file_name}.{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with beside.open("w", encoding="utf-8", newline="\n") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            beside.chmod(0o444)
            target = self._folder / file_name
            if target.exists() and target.read_bytes() != note.encode():
                digest = hashlib.sha256(note.encode()).hexdigest()[:12]
                target = target.with_name(f"{target.stem}.{digest}{target.suffix}")
            _named(beside, target)
        except OSError as error:
            raise StoreError(
                f"A checkpoint could not be kept in {self._folder}.",
                why=error.strerror or str(error),
            ) from error


def _named(beside: Path, target: Path) -> None:
    """Give a whole file its name, unless another has it."""
    try:
        with suppress(FileExistsError):
            os.link(beside, target)
    except OSError:
        # A share without hard links.
        if not target.exists():
            beside.replace(target)
    beside.unlink(missing_ok=True)


def notes_in(place: Path) -> list[str]:
    """The signed notes in a folder of checkpoints, or in one file. Raises StoreError."""
    try:
        files = sorted(place.glob("*.checkpoint")) if place.is_dir() else [place]
        return [file.read_text("utf-8") for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"The checkpoints in {place} cannot be read.", why=str(error)) from error
