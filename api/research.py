"""Questions in SQL to de-identified releases: each release has a killable process of its own.

Only files that say of themselves that they are a release are asked, so that a path set wrongly
never opens the identified store to analysts.
"""

from collections.abc import Mapping
from pathlib import Path

from api.sidecar import Rows, Sidecar
from twin_core.errors import StoreError, UsageError
from twin_core.settings import StoreSettings

_OF_ITSELF = "SELECT key, value FROM deid.release ORDER BY key"


class ResearchDesk:
    """Answers SELECTs over the releases of `deid.releases`, by their names."""

    def __init__(self, releases: Mapping[str, Path], limits: StoreSettings) -> None:
        self._releases = dict(releases)
        self._limits = limits
        self._sidecars: dict[str, Sidecar] = {}

    @property
    def names(self) -> list[str]:
        """The releases that may be asked."""
        return sorted(self._releases)

    def described(self, name: str) -> dict[str, str]:
        """What a release says of itself: its profile, its keys' fingerprint, its cut-off.

        Raises UsageError where there is no release of that name, StoreError where its file is none.
        """
        try:
            rows = self._ask(name, _OF_ITSELF).rows
        except UsageError as error:
            raise StoreError(
                f"The file of the release {name} is no de-identified release.",
                do="Make one with `wardtwin deid publish`.",
            ) from error
        return {row["key"]: row["value"] for row in rows}

    def query(self, name: str | None, sql: str) -> Rows:
        """The rows of one SELECT over a release; the only one there is where none is named.

        Raises UsageError for an unknown release or a statement that is refused, QueryFailed for one
        that ran out of time or memory, StoreError where the file is no release.
        """
        chosen = self._chosen(name)
        self.described(chosen)
        return self._ask(chosen, sql)

    def close(self) -> None:
        """End the processes."""
        for sidecar in self._sidecars.values():
            sidecar.close()

    def _chosen(self, name: str | None) -> str:
        if not self._releases:
            raise UsageError(
                "There is no release to ask.",
                do="Publish one with `wardtwin deid publish` and name its file in deid.releases.",
            )
        if name is None and len(self._releases) == 1:
            return next(iter(self._releases))
        if name is None or name not in self._releases:
            raise UsageError(
                "There is no such release.", do=f"Name one of: {', '.join(self.names)}."
            )
        return name

    def _ask(self, name: str, sql: str) -> Rows:
        path = self._releases[self._chosen(name)]
        try:
            # A release is never changed, only replaced: another file is opened again.
            opened = path.stat().st_mtime_ns
        except OSError as error:
            raise StoreError(
                f"The file of the release {name} cannot be read.", why=error.strerror or ""
            ) from error
        if name not in self._sidecars:
            self._sidecars[name] = Sidecar(self._limits)
        return self._sidecars[name].query(path, sql, opened=opened)
