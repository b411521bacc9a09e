"""Opening the ledger of a store, with its keys and those who keep its checkpoints."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from twin_core.audit import (
    AuditKeys,
    Cadence,
    FolderKeeper,
    Keeper,
    Ledger,
    copy_ledger,
    keys_of,
    ledger_path,
)
from twin_core.clock import Clock, SystemClock
from twin_core.encryption import StoreKey
from twin_core.errors import ConfigurationError, StoreError
from twin_core.settings import AuditSettings

PUT_TIMEOUT_S = 10.0
IF_ABSENT = {"If-None-Match": "*"}
"""Asks a bucket to keep what it has under a name (RFC 9110 13.1.2)."""
_TAKEN, _AT_ONCE = 412, 409
"""The name has an object; another PUT of it is under way, which is to be tried again."""
Put = Callable[[str, bytes, Mapping[str, str]], int]
"""Sends bytes to a URL by PUT, with headers; the status that came back. Raises OSError where
nothing did."""


class UrlKeeper:
    """A bucket (a presigned or otherwise open URL) or another host that takes PUT.

    It is asked never to replace what it has: a keeper that heeds `If-None-Match` cannot be made to
    forget by this server, whoever holds it.
    """

    def __init__(self, base: str, put: Put) -> None:
        self.name, self._put = base, put

    def keep(self, file_name: str, note: str) -> None:
        """Put the note under its name, before the query where the URL has one.

        What is there already stays. It may be this very note, whose answer was lost, or another of
        this size, and then both are kept: the second name says what it holds, so that only the same
        note can be there.
        """
        if not self._kept(file_name, note):
            digest = hashlib.sha256(note.encode()).hexdigest()[:12]
            stem, mark, ending = file_name.rpartition(".")
            self._kept(f"{stem}.{digest}{mark}{ending}" if stem else f"{ending}.{digest}", note)

    def _kept(self, file_name: str, note: str) -> bool:
        """Whether it was kept now; False where the name is taken. Raises StoreError."""
        address, mark, query = self.name.partition("?")
        url = f"{address.rstrip('/')}/{file_name}{mark}{query}"
        try:
            status = self._put(url, note.encode(), IF_ABSENT)
        except OSError as error:
            raise _not_kept(address, str(error)) from error
        if status == _TAKEN:
            return False
        if not 200 <= status < 300:
            why = f"It answered with status {status}."
            raise _not_kept(address, why if status != _AT_ONCE else f"{why} It is tried again.")
        return True


def put_by_http(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """PUT over HTTP, following no redirect."""
    try:
        answer = httpx.put(
            url, content=body, headers=dict(headers), timeout=PUT_TIMEOUT_S, trust_env=False
        )
    except httpx.HTTPError as error:
        # Its words may hold the URL, and a presigned URL is a secret.
        raise ConnectionError(type(error).__name__) from error
    return answer.status_code


def keepers_of(settings: AuditSettings, put: Put = put_by_http) -> Sequence[Keeper]:
    """Those who keep checkpoints, as the settings name them."""
    return [
        UrlKeeper(place, put) if "://" in place else FolderKeeper(Path(place))
        for place in settings.checkpoints
    ]


def keys_path(settings: AuditSettings, store: Path) -> Path:
    """Where the keys of a store's ledger are."""
    return settings.keys or store.with_name(store.name + ".audit.keys")


def audit_keys(settings: AuditSettings, store: Path) -> AuditKeys:
    """The keys of a store's ledger; made with the ledger where there is none yet.

    Raises ConfigurationError where a ledger exists and its keys do not.
    """
    path = keys_path(settings, store)
    if not path.exists() and ledger_path(store).exists():
        raise ConfigurationError(
            f"The audit keys {path} are missing.",
            why=f"{ledger_path(store).name} was begun with them, and only they continue it.",
            do="Restore them, or move the ledger away to begin another.",
        )
    return keys_of(path, make=True)


def open_ledger(
    settings: AuditSettings,
    store: Path,
    key: StoreKey | None,
    *,
    clock: Clock | None = None,
    put: Put = put_by_http,
) -> Ledger:
    """The ledger of a store, for writing. Its clock is the machine's, whatever a demo's shows.

    `key` is that of the store, by which texts are sealed. Raises ConfigurationError for unusable
    keys, AuditFailed for an unusable file, WrongKey for one that another key sealed.
    """
    return Ledger(
        ledger_path(store),
        audit_keys(settings, store),
        clock or SystemClock(),
        key=key,
        keepers=keepers_of(settings, put),
        cadence=Cadence(settings.checkpoint_entries, settings.checkpoint_seconds),
    )


def _not_kept(address: str, why: str) -> StoreError:
    return StoreError(f"A checkpoint could not be kept at {address}.", why=why)


def copied_accesses(store: Path, folder: Path) -> list[Path]:
    """Copy the ledger of accesses into a backup's folder, without its keys; the file written.

    The copy is not named as a ledger is, so that the backup can be opened: it begins a ledger of
    its own, and what was seen in the store is verified by `wardtwin audit verify --ledger`.
    """
    source = ledger_path(store)
    copy = folder / (source.name + ".copy")
    if not source.exists():
        return []
    if copy.exists():
        raise StoreError(f"{copy} exists already.", do="Choose an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    copy_ledger(source, copy)
    return [copy]
