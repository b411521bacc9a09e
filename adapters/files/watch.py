"""A folder that files are dropped into: which of them are whole, and where they go afterwards.

A file is whole when its size and times have not changed for a while and nobody has it open for
writing. One that was renamed into its name after its last byte was written is whole at once.
Links, folders and names that begin with a dot are never looked into.
"""

import errno
import fcntl
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import msgspec

from twin_core.settings import FolderSettings

_LONGEST_NAME = 237
"""Bytes that a name may have beside which `.reason.json` fits into the 255 of a file system."""
_LONGEST_SUFFIX = 20


class Signature(NamedTuple):
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    modified_ns: int


class Whole(NamedTuple):
    """A file that has stopped changing, as it was when that was seen."""

    path: Path
    signature: Signature


class Sight(NamedTuple):
    """What a look into the folder found."""

    whole: list[Whole]
    """In the order in which they were written, then by name."""
    waiting: int
    """Files that may still be written."""


class FolderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a watched folder is doing; files are counted from the start of the server."""

    path: str
    done: int
    error: int
    waiting: int
    """Files that are there and not put away yet."""
    trouble: str
    """What keeps files from being taken; empty while all is well."""
    last_file_at: datetime | None
    rejects: dict[str, int] = {}
    """Rejected messages by the code of their first reason, HL7 table 0357."""


class WatchedFolder:
    """Remembers what each file of a folder looked like, and since when."""

    def __init__(self, settings: FolderSettings) -> None:
        self.settings = settings
        self.done = settings.path / settings.done
        self.error = settings.path / settings.error
        self._since: dict[str, tuple[Signature, float]] = {}

    def look(self, now: float) -> Sight:
        """The files that are whole at `now` (any steady clock, in seconds).

        Raises OSError where the folder itself cannot be read.
        """
        found = dict(self._files())
        self._since = {name: seen for name, seen in self._since.items() if name in found}
        whole = [path for name, path in found.items() if self._is_whole(name, path, now)]
        ready = [
            Whole(Path(entry.path), signature_of(entry.stat(follow_symlinks=False)))
            for entry in whole
        ]
        ready.sort(key=lambda file: (file.signature.modified_ns, file.path.name))
        return Sight(ready, len(found) - len(ready))

    def doubt(self, file: Whole) -> None:
        """Wait for a file again: it was not whole after all."""
        self._since.pop(file.path.name, None)

    def _files(self) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        with os.scandir(self.settings.path) as entries:
            for entry in entries:
                hidden = entry.name.startswith(".")
                if hidden or not fnmatchcase(entry.name, self.settings.pattern):
                    continue
                # A file may vanish between the two questions; the next look will not list it.
                try:
                    if entry.is_file(follow_symlinks=False):
                        entry.stat(follow_symlinks=False)
                        yield entry.name, entry
                except FileNotFoundError:
                    continue

    def _is_whole(self, name: str, entry: "os.DirEntry[str]", now: float) -> bool:
        found = entry.stat(follow_symlinks=False)
        signature = signature_of(found)
        before, since = self._since.get(name, (None, now))
        if before != signature:
            since = now
        self._since[name] = (signature, since)
        settled = now - since >= self.settings.settle_s or _was_renamed(found)
        return settled and not is_being_written(Path(entry.path))


def signature_of(found: os.stat_result) -> Signature:
    """The signature of a file's state."""
    return Signature(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def is_unchanged(file: Whole) -> bool:
    """Whether a file is still as it was when it was found whole, and nobody writes it."""
    try:
        found = os.lstat(file.path)
    except OSError:
        return False
    return signature_of(found) == file.signature and not is_being_written(file.path)


def is_being_written(path: Path) -> bool:
    """Whether somebody has the file open for writing, as far as the system can tell.

    Linux grants a read lease only on a file that nobody has open for writing. It gives leases to
    the owner of a file, on local file systems; where it does not, the answer is no.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        opened = os.open(path, flags)
    except OSError:
        return False
    try:
        # Whoever opens the file for writing just now breaks the lease, which must not end us:
        # unlike the usual signal, SIGURG does nothing.
        fcntl.fcntl(opened, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(opened)
    return False


def set_aside(file: Whole, folder: Path, at: datetime, reason: bytes = b"") -> Path:
    """Move a file into a folder under a name that is free there; return where it is now.

    A name is cut that would leave no room for the time or the reason behind it.
    A `reason` is written beside it first. Raises OSError where there is no room or no permission:
    the file is then where it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = _free_name(folder, file.path.name, at)
    if reason:
        _write_whole(target.with_name(target.name + ".reason.json"), reason)
    try:
        os.rename(file.path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _carry(file.path, target)
    return target


def _was_renamed(found: os.stat_result) -> bool:
    # Writing sets both times; giving a file another name sets only the time of change.
    return found.st_size > 0 and found.st_ctime_ns > found.st_mtime_ns


def _free_name(folder: Path, name: str, at: datetime) -> Path:
    target = folder / _marked(name, "")
    number = 0
    while os.path.lexists(target):
        again = f".{number}" if number else ""
        target = folder / _marked(name, f".{at:%Y%m%dT%H%M%S%f}{again}")
        number += 1
    return target


def _marked(name: str, mark: str) -> str:
    """The name with a mark before its suffix, cut between two letters where it is too long."""
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(suffix)) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    room = _LONGEST_NAME - len(os.fsencode(mark + suffix))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return f"{stem}{mark}{suffix}"


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _carry(source: Path, target: Path) -> None:
    """Move a file to another file system: it is there as a whole before it is gone here."""
    partial = target.with_name(f".{target.name}.part")
    shutil.copy2(source, partial)
    if not stat.S_ISREG(os.lstat(source).st_mode):
        raise OSError(errno.EINVAL, "it is no file any more")
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    source.unlink()
