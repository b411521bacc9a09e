"""A backup: copies of a store's files at one position, and a manifest that says what they hold.

The manifest is written last, so that a folder without one is no backup. Of an encrypted store the
copies are encrypted by the same key, and the manifest is vouched for by it (HMAC-SHA-256).
"""

import hashlib
import hmac
import os
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from twin_core.encryption import StoreKey, missing_key
from twin_core.errors import StoreError, WrongKey
from twin_core.inbox.contents import Held, Sums, held_in
from twin_core.store.database import connect, get_meta, schema_version
from twin_core.store.opening import inbox_path
from twin_core.store.replacing import replacement
from twin_core.store.sums import differing, table_sums
from twin_core.store.units import last_known_at

MANIFEST = "backup.json"
_FORMAT = 1
_PIECE = 1 << 20
_OF_A_STORE = (
    "", ".wal", ".inbox", ".outbound", ".sources", ".simulations",
    ".audit", ".audit.tip", ".access",
)  # fmt: skip
"""Endings of files that a store leaves, of which none may wait for the new one."""


class FileSum(NamedTuple):
    """One file of a backup."""

    size: int
    """Bytes."""
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    format: int
    made_at: datetime
    store: str
    """The name of the database's file; those of the others begin with it."""
    store_id: str
    schema_version: int
    sequence: int
    """Number of the last batch."""
    position: int
    """Inbox position up to which messages have been applied."""
    key: str
    """Fingerprint of the key that everything is encrypted by; empty where nothing is."""
    tables: Sums
    inbox: Held
    files: dict[str, FileSum]


class _Written(msgspec.Struct):
    manifest: msgspec.Raw
    mac: str


class _Half(NamedTuple):
    store_id: str
    schema_version: int
    sequence: int
    position: int
    tables: Sums


def write_manifest(
    folder: Path,
    store: str,
    key: StoreKey | None,
    made_at: datetime,
    tables: Sums,
    beside: Iterable[Path] = (),
) -> Path:
    """Describe the copies in a folder, which must be closed; the file that was written.

    `tables` are the sums of what was copied: a copy that differs makes no backup, but a StoreError.
    `beside` are copies of further files, whose names begin with that of the store.
    """
    database = folder / store
    half, inbox = _half(database, key), held_in(inbox_path(database), key)
    _compare(half.tables, tables, database.name)
    files = [database, inbox_path(database), *beside]
    manifest = Manifest(
        format=_FORMAT,
        made_at=made_at,
        store=store,
        store_id=half.store_id,
        schema_version=half.schema_version,
        sequence=half.sequence,
        position=half.position,
        key=key.fingerprint if key else "",
        tables=half.tables,
        inbox=inbox,
        files={file.name: _of_file(file) for file in files},
    )
    raw = msgspec.json.encode(manifest)
    written = msgspec.json.encode(_Written(msgspec.Raw(raw), _mac(raw, key)))
    return _put(folder / MANIFEST, msgspec.json.format(written) + b"\n")


def read_manifest(folder: Path, key: StoreKey | None) -> Manifest:
    """What a folder says that it holds.

    Raises StoreError where it is no backup, or half of one; ConfigurationError or WrongKey where
    the key is not that of the backup.
    """
    try:
        written = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Written)
        manifest = msgspec.json.decode(written.manifest, type=Manifest)
    except FileNotFoundError:
        raise StoreError(
            f"{folder} is no whole backup.",
            why=f"It has no {MANIFEST}, which is written last.",
            do="Name a folder that `wardtwin backup` has written to its end.",
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{folder / MANIFEST} cannot be read.", why=f"{error}.") from None
    if manifest.format > _FORMAT:
        raise StoreError(f"A newer wardtwin made the backup {folder}.", do="Restore it with that.")
    _check_key(folder, manifest, key)
    if key and not hmac.compare_digest(_mac(msgspec.json.encode(manifest), key), written.mac):
        raise StoreError(f"{folder / MANIFEST} was changed.", do="Restore another backup.")
    return manifest


def restore(folder: Path, path: Path, key: StoreKey | None) -> Manifest:
    """Make a new store of a backup, and compare it with what was backed up before it is in place.

    Raises StoreError for half a backup, a damaged one, and a place that is taken.
    """
    manifest = read_manifest(folder, key)
    _check_files(folder, manifest)
    names = {name: path.name + name.removeprefix(manifest.store) for name in manifest.files}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacement(path) as fresh:
        _check_free(path, names.values())
        for name, new_name in names.items():
            _copy(folder / name, fresh.folder / new_name, manifest.files[name])
        _check_copy(fresh.folder / path.name, manifest, key)
        _check_free(path, names.values())
        fresh.finish()
    return manifest


def _check_key(folder: Path, manifest: Manifest, key: StoreKey | None) -> None:
    if manifest.key and key is None:
        raise missing_key(f"The backup {folder}")
    if key is not None and not manifest.key:
        raise StoreError(
            f"The backup {folder} is not encrypted, and a key is set.",
            do="Restore it without a key, then run `wardtwin store encrypt`.",
        )
    if key is not None and key.fingerprint != manifest.key:
        raise WrongKey(
            f"The backup {folder} is encrypted by another key.",
            why=f"Its fingerprint is {manifest.key}, that of the key set {key.fingerprint}.",
            do="Set the key that was in use when it was made; see [encryption].",
        )


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Both halves, and all that was copied with them, as they were written."""
    for name, told in manifest.files.items():
        file = folder / name
        if Path(name).name != name or not name.startswith(manifest.store):
            raise StoreError(f"{folder / MANIFEST} names a file elsewhere.")
        if not file.is_file():
            raise StoreError(
                f"{folder} is half a backup.", why=f"{name} is missing.", do="Restore another."
            )
        if file.stat().st_size != told.size:
            raise StoreError(f"{file} is not what was backed up.", do="Restore another backup.")
    halves = {manifest.store, inbox_path(Path(manifest.store)).name}
    if not halves <= manifest.files.keys():
        raise StoreError(f"{folder} is half a backup.", why="A store has a database and an inbox.")


def _check_free(path: Path, names: Iterable[str]) -> None:
    of_a_store = (path.name + suffix for suffix in _OF_A_STORE)
    for name in sorted({*names, *of_a_store}):
        taken = path.with_name(name)
        if taken.exists():
            raise StoreError(
                f"{taken} exists already.",
                why="A restore makes a new store and replaces none.",
                do="Name another place, or move what is there away.",
            )


def _copy(source: Path, target: Path, told: FileSum) -> None:
    digest = hashlib.sha256()
    try:
        with source.open("rb") as file, target.open("xb") as made:
            target.chmod(0o600)
            while piece := file.read(_PIECE):
                digest.update(piece)
                made.write(piece)
    except OSError as error:
        raise StoreError(f"{source} cannot be copied.", why=error.strerror or "") from error
    if digest.hexdigest() != told.sha256:
        raise StoreError(f"{source} is not what was backed up.", do="Restore another backup.")


def _check_copy(database: Path, manifest: Manifest, key: StoreKey | None) -> None:
    half, inbox = _half(database, key), held_in(inbox_path(database), key)
    _compare(half.tables, manifest.tables, database.name)
    _compare(inbox.sums, manifest.inbox.sums, inbox_path(database).name)
    belong = half.store_id == inbox.store_id == manifest.store_id
    covered = inbox.pruned_to <= half.position <= inbox.high
    if not (belong and covered and half.position == manifest.position):
        raise StoreError(
            "The halves of the backup do not belong together.", do="Restore another backup."
        )


def _half(database: Path, key: StoreKey | None) -> _Half:
    """What the database in a file, open nowhere, holds."""
    connection = connect(database, key=key.database if key else None, read_only=True)
    with closing(connection):
        _, position, _ = last_known_at(connection)
        row = connection.execute("SELECT max(batch_no) FROM core.batch").fetchone()
        return _Half(
            get_meta(connection, "store_id") or "",
            schema_version(connection),
            int(row[0] or 0) if row else 0,
            position,
            table_sums(connection),
        )


def _compare(found: Sums, told: Sums, name: str) -> None:
    if different := differing(found, told):
        raise StoreError(
            f"The copy {name} differs from what was copied.",
            why=f"Different are: {', '.join(different)}.",
            do="Check the disk and try again.",
        )


def _of_file(path: Path) -> FileSum:
    with path.open("rb") as file:
        return FileSum(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _mac(manifest: bytes, key: StoreKey | None) -> str:
    return hmac.digest(key.derived(b"backup"), manifest, "sha256").hex() if key else ""


def _put(path: Path, text: bytes) -> Path:
    beside = path.with_name(f".{path.name}.part")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    return path
