"""What is shown of the destinations: how each is doing, what it was sent, what is parked.

All of it comes from the ledger and the journal, so that it is the same whoever asks, whether or
not a server is running.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from api.outbound.dispatch import opened_ledger
from api.outbound.journal import behind
from api.outbound.ledger import Ledger, Progress, ledger_path
from api.outbound.line import DELIVERED
from twin_core.errors import UsageError
from twin_core.settings import OutboundSettings
from twin_core.twin import Twin

NOT_RUNNING, NOT_CONFIGURED, NOT_BEGUN = "not running", "not configured", "not begun"
PARKED_SHOWN = 1_000


def destinations(twin: Twin) -> list[dict[str, Any]]:
    """Every destination: where it stands, what became of messages, how far it is behind."""
    configured = twin.settings.outbound
    with _ledger(twin) as ledger:
        stored = {} if ledger is None else {p.name: p for p in ledger.progress()}
        tallies = {} if ledger is None else ledger.tallies()
    return [
        _destination(twin, name, configured.get(name), stored.get(name), tallies.get(name, {}))
        for name in sorted({*configured, *stored})
    ]


def destination(twin: Twin, name: str, limit: int = PARKED_SHOWN) -> dict[str, Any]:
    """One destination with the messages parked for it. UsageError where there is none."""
    for shown in destinations(twin):
        if shown["destination"] == name:
            with _ledger(twin) as ledger:
                parked = [] if ledger is None else ledger.parked(name, limit)
            return {**shown, "parked_messages": [message._asdict() for message in parked]}
    raise _unknown(twin, name)


def retry(twin: Twin, name: str, message_ids: list[int]) -> dict[str, Any]:
    """Ask for another try of parked messages, and let a stopped destination go on."""
    with _ledger(twin) as ledger:
        if ledger is None or name not in {progress.name for progress in ledger.progress()}:
            raise _unknown(twin, name)
        return {"destination": name, "to_be_retried": ledger.ask_again(name, message_ids)}


def parked_before(twin: Twin, before: datetime) -> tuple[int, str | None]:
    """How many messages were parked before an instant for any destination, and since when."""
    with _ledger(twin) as ledger:
        return (0, None) if ledger is None else ledger.parked_before(before)


def give_up(twin: Twin, before: datetime) -> int:
    """Forget the messages that were parked before an instant; how many there were."""
    with _ledger(twin) as ledger:
        return 0 if ledger is None else ledger.give_up(before)


def copied_ledger(twin: Twin, folder: Path) -> list[Path]:
    """Copy the ledger into a backup's folder, if there is one; the file that was written."""
    with _ledger(twin) as ledger:
        if ledger is None:
            return []
        return [ledger.copied_into(folder, ledger_path(twin.path).name)]


def _destination(
    twin: Twin,
    name: str,
    settings: OutboundSettings | None,
    progress: Progress | None,
    tallies: Mapping[str, int],
) -> dict[str, Any]:
    waiting, oldest = (0, None) if progress is None else behind(twin, progress.position)
    return {
        "destination": name,
        "to": None if settings is None else f"{settings.host}:{settings.port}",
        "form": None if settings is None else settings.form,
        "state": _state(settings, progress),
        "reason": None if progress is None else progress.reason or None,
        "since": None if progress is None else progress.since or None,
        "delivered": tallies.get(DELIVERED, 0),
        "rejected": tallies.get("rejected", 0),
        "parked": tallies.get("parked", 0),
        "behind": waiting,
        "lag_seconds": _lag_seconds(twin, oldest),
        "delivered_at": None if progress is None else progress.delivered_at or None,
        "tallies": dict(sorted(tallies.items())),
    }


def _state(settings: OutboundSettings | None, progress: Progress | None) -> str:
    if settings is None:
        return NOT_CONFIGURED
    if progress is None:
        return NOT_BEGUN
    # What another process wrote down of itself may be what it was doing when it was killed.
    return progress.state if progress.pid == os.getpid() else NOT_RUNNING


def _lag_seconds(twin: Twin, oldest: datetime | None) -> float:
    return 0.0 if oldest is None else max((twin.clock.now() - oldest).total_seconds(), 0.0)


@contextmanager
def _ledger(twin: Twin) -> Iterator[Ledger | None]:
    """The store's ledger, if destinations were ever fed."""
    if not ledger_path(twin.path).exists():
        yield None
        return
    ledger = opened_ledger(twin)
    try:
        yield ledger
    finally:
        ledger.close()


def _unknown(twin: Twin, name: str) -> UsageError:
    known = ", ".join(sorted(twin.settings.outbound)) or "none"
    return UsageError(
        f"There is no destination {name}.",
        why=f"Configured are: {known}.",
        do="See `wardtwin outbound list`, and docs/how-to/feed-another-system.md.",
    )
