"""Which files a path stands for, and what kind of messages each holds."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from twin_core.errors import FeedError

Kind = Literal["hl7", "ndjson", "json"]
"""How a file is split: HL7 v2 at MSH segments, one resource per line, or one JSON document."""

STANDARD_INPUT = "-"
SNIFFED_BYTES = 65_536

KINDS_BY_SUFFIX: dict[str, Kind] = {
    ".hl7": "hl7",
    ".er7": "hl7",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
}
"""Suffixes that say what is inside; `.txt` and no suffix are looked into."""

SNIFFED_SUFFIXES = frozenset({"", ".txt"})
_HL7_STARTS = (b"MSH", b"FHS", b"BHS", b"\x0bMSH")


class Source(NamedTuple):
    """One file to read: its path (`-` for standard input) and how it is split.

    The kind of standard input is None until its first bytes are seen.
    """

    path: str
    kind: Kind | None
    size: int


def find_files(paths: Sequence[str], kind: Kind | None = None) -> Iterator[Source]:
    """The files that `paths` stand for: folders recursively in name order, `-` as it is.

    A file that is named is always read. In a folder, files that hold no messages (by suffix, or
    by their first bytes where there is none) are passed over. Raises FeedError for a path that
    does not exist or cannot be read.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            yield Source(path, kind, 0)
        elif os.path.isdir(path):
            yield from _in_folder(Path(path), kind)
        else:
            yield _named(Path(path), kind)


def sniff(start: bytes) -> Kind | None:
    """What the first bytes of a file look like; None for nothing that could be a message."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"[")):
        first_line = text.split(b"\n", 1)[0].rstrip()
        return "ndjson" if first_line.endswith(b"}") and len(first_line) > 2 else "json"
    lines = text.replace(b"\r", b"\n").split(b"\n")
    if any(line.startswith(_HL7_STARTS) for line in lines):
        return "hl7"
    return None


def _in_folder(folder: Path, kind: Kind | None) -> Iterator[Source]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(folder, error) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _in_folder(Path(entry.path), kind)
        elif entry.is_file():
            path = Path(entry.path)
            found = kind or KINDS_BY_SUFFIX.get(path.suffix.lower())
            if found is None and path.suffix.lower() in SNIFFED_SUFFIXES:
                found = sniff(_first_bytes(path))
            if found is not None:
                yield Source(entry.path, found, entry.stat().st_size)


def _named(path: Path, kind: Kind | None) -> Source:
    start = _first_bytes(path)
    chosen = kind or KINDS_BY_SUFFIX.get(path.suffix.lower()) or sniff(start) or "hl7"
    return Source(str(path), chosen, path.stat().st_size)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SNIFFED_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> FeedError:
    return FeedError(
        f"{path} cannot be read.",
        why=f"{error.strerror or type(error).__name__}.",
        do="Check the path and its permissions.",
    )
