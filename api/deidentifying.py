"""De-identifying files: what is read from one place passes by the rules into another.

Both formats are read as streams, twice: first to learn who was merged with whom, because a patient
keeps one shift under every number, then to write. Names of files may be names of patients, so a
folder's files are numbered anew.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from adapters.fhir import deidentify as fhir
from adapters.files import Found, Source, find_files, read_messages
from adapters.hl7v2 import deidentify as hl7
from adapters.hl7v2.er7 import read
from adapters.hl7v2.refusal import Refused
from adapters.hl7v2.unit_codes import valid_ucum
from twin_core.deid import Codebook, Keys, Profile, fingerprint
from twin_core.deid.releasing import known_words
from twin_core.errors import FeedError, UsageError
from twin_core.settings import Settings

MARK = "deidentified.json"
"""In a folder: which files were written, and under which keys."""
_ENDINGS = {"hl7": ".hl7", "ndjson": ".ndjson", "json": ".json"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    profile: str
    keys: str
    files: int
    taken: int
    """Messages, resources and Bundles that were written."""
    refused: dict[str, int]
    """How many were not, by reason."""
    dropped: dict[str, int]
    """What was left out of those that were written, by field or element."""


class FileDeidentifier:
    """De-identifies files for one site under one codebook."""

    def __init__(self, settings: Settings, keys: Keys, profile: Profile, now: datetime) -> None:
        self._settings, self._keys, self._profile = settings, keys, profile
        self._limits = settings.limits
        book = Codebook(keys, shift_weeks=settings.deid.shift_weeks)
        known = frozenset(known_words(settings))
        self._fhir_site = fhir.Site(
            book, profile, now, frozenset(settings.deid.code_systems), valid_ucum
        )
        self._hl7_site = hl7.Site(
            book, profile, now, known, frozenset(settings.deid.sending_facilities)
        )
        self._unreadable: Counter[str] = Counter()
        self._taken = 0

    def run(self, source: Path, target: Path) -> Outcome:
        """Read a file or a folder and write what passes to another.

        Raises UsageError where the target cannot be written to, FeedError where nothing is read.
        """
        _check_apart(source, target)
        sources = list(find_files([str(source)]))
        if not sources:
            raise FeedError(f"{source} holds nothing to read.", do="Name messages or resources.")
        merged, people = self._people(sources)
        self._resources = fhir.Deidentifier(self._fhir_site, merged)
        self._messages = hl7.Deidentifier(self._hl7_site, self._limits, people)
        if source.is_dir():
            files = self._folder(sources, target)
        else:
            files = int(self._file(sources[0], target))
        return self._told(files)

    # --- whose -------------------------------------------------------------------------------

    def _people(self, sources: list[Source]) -> tuple[dict[str, str], dict[str, str]]:
        """Who was merged into whom in resources, and which numbers of messages are one person's."""
        if self._profile == "limited":
            return {}, {}
        merged: dict[str, str] = {}

        def groups() -> Iterator[list[str]]:
            for source in sources:
                for found in read_messages(source, self._limits):
                    if found.format == "hl7v2":
                        yield from self._people_of(found)
                    elif b'"replace' in found.raw:
                        merged.update(fhir.survivors(_decoded(found.raw)))

        people = hl7.same_people(groups())
        return merged, people

    def _people_of(self, found: Found) -> Iterator[list[str]]:
        try:
            message = read(found.raw, charset=self._charset, limits=self._limits, lenient=True)
        except Refused:
            return
        yield from hl7.people(message)

    @property
    def _charset(self) -> str:
        return self._settings.feed("adt").charset

    # --- files -------------------------------------------------------------------------------

    def _folder(self, sources: list[Source], target: Path) -> int:
        _cleared(target)
        written: list[str] = []
        for number, source in enumerate(sources, start=1):
            name = _name_of(source, number, set(written))
            if self._file(source, target / name):
                written.append(name)
        mark = {"keys": fingerprint(self._keys), "profile": self._profile, "files": written}
        with _written(target / MARK) as file:
            file.write(msgspec.json.format(msgspec.json.encode(mark)) + b"\n")
        return len(written)

    def _file(self, source: Source, target: Path) -> bool:
        """Whether anything of a file was written."""
        before = self._taken
        with _written(target) as file:
            for found in read_messages(source, self._limits):
                passed = self._passed(found, is_line=source.kind == "ndjson")
                if passed is not None:
                    self._taken += 1
                    file.write(passed)
        if self._taken == before:
            target.unlink()
        return self._taken > before

    def _passed(self, found: Found, *, is_line: bool) -> bytes | None:
        if found.format == "hl7v2":
            return self._messages.message(found.raw, self._charset)
        if found.format != "fhir":
            return None
        try:
            resource = self._resources.resource(_decoded(found.raw))
        except RecursionError:
            resource = None
        if resource is None:
            return None
        encoded = msgspec.json.encode(resource)
        return (encoded if is_line else msgspec.json.format(encoded, indent=2)) + b"\n"

    def _told(self, files: int) -> Outcome:
        refused = self._resources.refused + self._messages.refused
        dropped = self._resources.dropped + self._messages.dropped
        return Outcome(
            profile=self._profile.replace("_", "-"),
            keys=fingerprint(self._keys),
            files=files,
            taken=self._taken,
            refused=dict(refused.most_common()),
            dropped=dict(dropped.most_common()),
        )


def _decoded(raw: bytes) -> Any:
    """What JSON says; nothing where it is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _name_of(source: Source, number: int, taken: set[str]) -> str:
    """A name that says what is inside and nothing else."""
    stem, ending = Path(source.path).stem, _ENDINGS[source.kind or "hl7"]
    kind = stem.partition(".")[0]
    if kind in fhir.TYPES and f"{kind}{ending}" not in taken:
        return f"{kind}{ending}"
    return f"{number:05d}{ending}"


def _check_apart(source: Path, target: Path) -> None:
    if not source.exists():
        raise FeedError(f"{source} does not exist.", do="Name a file or a folder.")
    one, other = source.resolve(), target.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise UsageError(
            f"{target} and {source} lie within each other.", do="Name a folder of its own."
        )
    if source.is_dir() and target.is_file():
        raise UsageError(f"{target} is a file.", do="Name a folder, as what is read is one.")


def _cleared(target: Path) -> None:
    """A folder without what an earlier run wrote, so that old and new keys never meet.

    Raises UsageError where the folder holds anything else.
    """
    target.mkdir(parents=True, exist_ok=True)
    mark = target / MARK
    known = _decoded(mark.read_bytes()) if mark.exists() else None
    names = known.get("files", []) if isinstance(known, dict) else []
    others = {path.name for path in target.iterdir()} - {MARK, *names}
    if others:
        raise UsageError(
            f"{target} holds files that were not written by an earlier run.",
            do="Name an empty folder.",
        )
    for name in [*names, MARK]:
        (target / name).unlink(missing_ok=True)


@contextmanager
def _written(target: Path) -> Iterator[BinaryIO]:
    """A file that is there whole or not at all, and is its owner's."""
    part = target.with_name(f".{target.name}.part")
    try:
        with open(part, "wb", opener=_private) as file:
            yield file
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"{target} cannot be written.", why=error.strerror or "", do="Name another."
        ) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
