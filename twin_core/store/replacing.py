"""Files of a store replaced together: all of them or, whatever ends in between, none.

New files are made in a folder beside the store. Once they are whole, a mark is put there, and only
then do they take their places, one after the other. Whoever opens the store next finishes what has
the mark and discards what has not. Nobody opens a store while this is under way.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from twin_core.errors import StoreBusy, StoreError

_LOCK, _READY = ".lock", ".ready"
_COMPANIONS = (".wal", "-wal", "-shm")
"""Files that belong to one that is replaced, and that would be read into its successor."""


def replacement_path(path: Path) -> Path:
    """The folder in which the new files of a store are made."""
    return path.with_name(path.name + ".new")


class Replacement:
    """New files of a store under the names of those that they shall replace."""

    def __init__(self, path: Path) -> None:
        self.folder = replacement_path(path)

    def finish(self) -> None:
        """Let the files, which must be whole and closed, take their places.

        Those that they replace must be closed, too.
        """
        for file in self._files():
            to_disk(file)
        (self.folder / _READY).touch()
        to_disk(self.folder)
        _finish(self.folder)

    def _files(self) -> list[Path]:
        return [file for file in self.folder.iterdir() if file.name not in (_LOCK, _READY)]


@contextmanager
def replacement(path: Path) -> Iterator[Replacement]:
    """Replace files of a store; what was not finished is discarded.

    Raises StoreBusy where somebody else does that.
    """
    settle(path)
    folder = replacement_path(path)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise busy(path) from None
    except OSError as error:
        raise StoreError(f"{folder} cannot be made.", why=error.strerror or str(error)) from error
    try:
        lock = (folder / _LOCK).open("wb")
    except FileNotFoundError:
        raise busy(path) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_there(lock):
            # Who opens the store looked before this was locked, and took it for left behind.
            raise busy(path)
        try:
            yield Replacement(path)
        finally:
            if not (folder / _READY).exists():
                shutil.rmtree(folder, ignore_errors=True)


def settle(path: Path) -> None:
    """Finish what was ready to be replaced when a program ended, and discard what was not.

    Raises StoreBusy where the files of the store are being replaced now.
    """
    folder = replacement_path(path)
    if not folder.exists():
        return
    try:
        lock = (folder / _LOCK).open("ab")
    except FileNotFoundError:
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise busy(path) from None
        if not _is_there(lock):
            # That one is done, and what is there now is another's.
            raise busy(path)
        if (folder / _READY).exists():
            _finish(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def is_replaced(path: Path) -> bool:
    """Whether the files of a store are being replaced."""
    return replacement_path(path).exists()


def _is_there(lock: IO[bytes]) -> bool:
    """Whether an open file is the one that its name leads to."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name))
    except FileNotFoundError:
        return False


def _finish(folder: Path) -> None:
    for file in sorted(folder.iterdir()):
        if file.name in (_LOCK, _READY):
            continue
        target = folder.parent / file.name
        # Done again after an end in between: a file that has taken its place is not here any more.
        for suffix in _COMPANIONS:
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        os.replace(file, target)
    to_disk(folder.parent)
    (folder / _READY).unlink()
    shutil.rmtree(folder)
    to_disk(folder.parent)


def to_disk(path: Path) -> None:
    """Make a file durable, or what was renamed or removed in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def busy(path: Path) -> StoreBusy:
    """What to say to who would open a store meanwhile."""
    return StoreBusy(
        f"The files of the store {path.name} are being replaced.",
        why="It is being encrypted anew, or restored.",
        do="Try again when that is done.",
    )
