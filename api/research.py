"""Questions in SQL to rows without identities: each profile has a killable process of its own.

A profile is a release, by its name in `deid.releases`; `limited`, the live rows without direct
identifiers, which follow the store; or `aggregates`, the key figures that were published. Only
files that say of themselves that they are a release are asked, so that a path set wrongly never
opens the identified store to analysts.
"""

import threading
from collections.abc import Callable, Mapping
from os import stat_result
from pathlib import Path
from typing import NamedTuple, Protocol

from api.access.principal import Principal
from api.replica import Followed, Replica
from api.sidecar import Rows, Sidecar, Stream
from twin_core import Twin
from twin_core.deid import has_keys
from twin_core.errors import StoreError, UsageError
from twin_core.settings import Settings, StoreSettings

AGGREGATES = "aggregates"
"""The live profile of published key figures, without any row of a person."""
LIMITED = "limited"
"""The live profile, unless a release has this name."""
REAL_DATES = "sql:limited"
"""The permission for rows with real dates."""
_OF_ITSELF = "SELECT key, value FROM deid.release ORDER BY key"


class Live(Protocol):
    """A copy without identities that follows an open store."""

    def query(self, sql: str) -> Rows:
        """The rows of one SELECT."""
        ...

    def arrow(self, sql: str) -> Stream:
        """The same rows as an Arrow IPC stream."""
        ...

    def close(self) -> None:
        """End its process and remove it."""
        ...


class _File(NamedTuple):
    """Which file a release was when it was asked what it is."""

    inode: int
    changed_ns: int
    size: int


class ResearchDesk:
    """Answers SQL over the releases that the settings name and over live profiles, by name."""

    def __init__(
        self,
        releases: Mapping[str, Path],
        limits: StoreSettings,
        live: Mapping[str, Live] | None = None,
    ) -> None:
        self._releases, self._limits = dict(releases), limits
        self._live = {name: one for name, one in (live or {}).items() if name not in releases}
        self._sidecars: dict[str, Sidecar] = {}
        self._known: dict[str, tuple[_File, dict[str, str]]] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """What may be asked: releases and live profiles."""
        return sorted({*self._releases, *self._live})

    def is_live(self, name: str) -> bool:
        """Whether a profile follows the store."""
        return name in self._live

    def chosen(self, name: str | None) -> str:
        """Which profile is meant: the only release where none is named, else the live one.

        Raises UsageError where there is no such profile, and where several may be meant.
        """
        if not self.names:
            raise UsageError(
                "There is no release to ask.",
                do="Publish one with `wardtwin deid publish` and name its file in deid.releases.",
            )
        if name is None and len(self._releases) == 1:
            return next(iter(self._releases))
        if name is None and not self._releases:
            return LIMITED
        if name is None or name not in self.names:
            raise UsageError(
                "There is no such release.", do=f"Name one of: {', '.join(self.names)}."
            )
        return name

    def described(self, name: str) -> dict[str, str]:
        """What a release says of itself: its profile, its keys' fingerprint, its cut-off.

        It is asked once for each file. Raises UsageError where there is no release of that name,
        StoreError where its file is none.
        """
        if self.is_live(name):
            return {"profile": name, "live": "true"}
        file = self._file(name)
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[0] == file:
            return known[1]
        try:
            rows = self._ask(name, _OF_ITSELF, file).rows
        except UsageError as error:
            raise StoreError(
                f"The file of the release {name} is no de-identified release.",
                do="Make one with `wardtwin deid publish`.",
            ) from error
        told = {str(row["key"]): str(row["value"]) for row in rows}
        with self._lock:
            self._known[name] = (file, told)
        return told

    def query(self, name: str | None, sql: str) -> Rows:
        """The rows of one SELECT over a profile, chosen as `chosen` says.

        Raises UsageError for an unknown release or a statement that is refused, QueryFailed for one
        that ran out of time or memory, StoreError where the file is no release.
        """
        chosen = self.chosen(name)
        if chosen in self._live:
            return self._live[chosen].query(sql)
        self.described(chosen)
        return self._ask(chosen, sql, self._file(chosen))

    def arrow(self, name: str | None, sql: str) -> Stream:
        """The same rows as an Arrow IPC stream, with the types that DuckDB has them in."""
        chosen = self.chosen(name)
        if chosen in self._live:
            return self._live[chosen].arrow(sql)
        self.described(chosen)
        file = self._file(chosen)
        return self._sidecar(chosen).arrow(self._releases[chosen], sql, opened=hash(file))

    def close(self) -> None:
        """End the processes."""
        for sidecar in self._sidecars.values():
            sidecar.close()
        for live in self._live.values():
            live.close()

    def _file(self, name: str) -> _File:
        try:
            found: stat_result = self._releases[self.chosen(name)].stat()
        except OSError as error:
            raise StoreError(
                f"The file of the release {name} cannot be read.", why=error.strerror or ""
            ) from error
        return _File(found.st_ino, found.st_mtime_ns, found.st_size)

    def _ask(self, name: str, sql: str, file: _File) -> Rows:
        # A release is never changed, only replaced: another file is opened again.
        return self._sidecar(name).query(self._releases[name], sql, opened=hash(file))

    def _sidecar(self, name: str) -> Sidecar:
        with self._lock:
            return self._sidecars.setdefault(name, Sidecar(self._limits))


def research_desk(twin: Twin) -> ResearchDesk:
    """The desk of an open store: its releases, and its live profiles where the site has keys."""
    settings = twin.settings
    profiles: tuple[Followed, ...] = ("limited", "aggregates") if has_live(settings) else ()
    live: dict[str, Live] = {profile: Replica(twin, profile) for profile in profiles}
    return ResearchDesk(settings.deid.releases, settings.store, live)


def has_live(settings: Settings) -> bool:
    """Whether live rows without identities are offered: the site has keys and wants them."""
    return settings.deid.live and has_keys(settings.deid)


class Unopened(UsageError):
    """A profile that the caller's role does not open."""


def opened(desk: ResearchDesk, name: str | None, who: Principal) -> str:
    """The profile that is meant, as `ResearchDesk.chosen` says; the only one that the caller may
    ask, where they name none and may not ask that.

    Raises Unopened where the caller may not ask it.
    """
    chosen = desk.chosen(name)
    if desk.described(chosen).get("profile") == "limited" and not who.may(REAL_DATES):
        others = openable(desk, who) if name is None else []
        if len(others) == 1:
            return others[0]
        raise Unopened(f"{chosen} has real dates; your role does not open it.")
    return chosen


def openable(desk: ResearchDesk, who: Principal) -> list[str]:
    """The profiles that a caller may ask, releases first.

    A release whose file cannot be read is among them.
    """
    names = sorted(desk.names, key=lambda name: (desk.is_live(name), name))
    return [name for name in names if who.may(REAL_DATES) or not _has_dates(desk, name)]


def _has_dates(desk: ResearchDesk, name: str) -> bool:
    try:
        return desk.described(name).get("profile") == "limited"
    except StoreError:
        return False


class SqlDesk(NamedTuple):
    """What the user of this machine asks in SQL: the identified store, or a profile by name."""

    identified: Callable[[str], Rows]
    research: ResearchDesk

    def ask(self, sql: str, profile: str | None = None) -> Rows:
        """The rows of one SELECT; see `ResearchDesk.query` for a profile."""
        return self.research.query(profile, sql) if profile else self.identified(sql)
