"""What is shown of the sources: how each is doing, what was read of it, how far it is behind.

All of it comes from the settings and the ledger, so that it is the same whoever asks.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from api.sources.ledger import Ledger, Progress, ledger_path
from twin_core.settings import Settings, SourceSettings
from twin_core.twin import Twin

STORE_ID = "SELECT value FROM core.meta WHERE key = 'store_id'"
NOT_CONFIGURED, NEVER = "not configured", "never synced"


def store_id(twin: Twin) -> str:
    """The id that a store's ledger carries."""
    [row] = twin.query(STORE_ID)
    return str(row["value"])


def sources(twin: Twin) -> list[dict[str, Any]]:
    """Every source: what is configured of it, where it stands, and what became of resources."""
    configured = twin.settings.sources
    with _ledger(twin) as ledger:
        stored = {} if ledger is None else {one.name: one for one in ledger.progress()}
        tallies = {} if ledger is None else ledger.tallies()
    return [
        _source(twin, name, configured.get(name), stored.get(name), tallies.get(name, {}))
        for name in sorted({*configured, *stored})
    ]


def unread(settings: Settings) -> list[dict[str, Any]]:
    """Every configured source, where there is no store yet."""
    return [_source(None, name, source, None, {}) for name, source in settings.sources.items()]


def copied_ledger(twin: Twin, folder: Path) -> list[Path]:
    """Copy the ledger into a backup's folder, if there is one; the file that was written."""
    with _ledger(twin) as ledger:
        if ledger is None:
            return []
        return [ledger.copied_into(folder, ledger_path(twin.path).name)]


def _source(
    twin: Twin | None,
    name: str,
    settings: SourceSettings | None,
    progress: Progress | None,
    tallies: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    outcomes: dict[str, int] = {}
    for counted in tallies.values():
        for outcome, number in counted.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + number
    synced_at = None if progress is None else progress.synced_at or None
    return {
        "source": name,
        "url": progress.base if settings is None and progress else settings and settings.url,
        "version": None if progress is None else progress.version or None,
        "method": None if settings is None else settings.method,
        "state": _state(settings, progress),
        "reason": None if progress is None else progress.reason or None,
        "since": None if progress is None else progress.since or None,
        "breaker": "closed" if progress is None else progress.breaker or "closed",
        "synced_at": synced_at,
        "lag_seconds": _lag_seconds(twin, synced_at),
        **{outcome: outcomes.get(outcome, 0) for outcome in OUTCOMES},
        "tallies": {kind: dict(sorted(tallies[kind].items())) for kind in sorted(tallies)},
        "is_read_here": progress is not None and progress.pid == os.getpid(),
    }


OUTCOMES = ("accepted", "duplicate", "rejected", "deleted")


def _state(settings: SourceSettings | None, progress: Progress | None) -> str:
    if settings is None:
        return NOT_CONFIGURED
    return NEVER if progress is None or not progress.state else progress.state


def _lag_seconds(twin: Twin | None, synced_at: str | None) -> float | None:
    """Seconds since the twin was last in step with a source; None where it never was."""
    if synced_at is None or twin is None:
        return None
    return max((twin.clock.now() - datetime.fromisoformat(synced_at)).total_seconds(), 0.0)


@contextmanager
def _ledger(twin: Twin) -> Iterator[Ledger | None]:
    if not ledger_path(twin.path).exists():
        yield None
        return
    ledger = Ledger(ledger_path(twin.path), store_id(twin), twin.key)
    try:
        yield ledger
    finally:
        ledger.close()
