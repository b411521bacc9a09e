"""Where a command puts its question: to the program that holds the store, else to the store.

Both desks answer the same questions with the same functions, so nothing a command prints tells
them apart.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from api.audit.opening import open_ledger
from api.audit.operating import RECORDED, recorded
from api.audit.touched import Query
from api.collector import spare_memory, take_short_turns
from api.commands import Call
from api.holder import reach
from api.ingesting import Handover, handover_of
from api.operations import OPERATIONS
from api.research import research_desk
from api.sidecar import Sidecar
from api.translating import decode_receipts
from twin_core import Twin
from twin_core.errors import StoreBusy, StoreError
from twin_core.inbox import Answer
from twin_core.settings import Settings
from twin_core.store.staging import Staging

LOADING_MEMORY = "96MB"
"""DuckDB's memory where a command takes messages in and the site has set none."""
FULL_DISK_S = 60.0
"""How long a command waits for a store that can apply nothing, as on a full disk."""
LOADING_ROOM = 64 * 1024 * 1024
"""Bytes of messages and of their rows that may wait to be applied there: enough for the batch that
is written, the one that is folded and the next."""
PATIENCE_S = 10.0
"""How long a command waits for another short command, or for a server that is starting."""

_PAUSE_S = 0.1


class Desk(Protocol):
    """Answers questions about one store and takes messages in for it."""

    @property
    def room(self) -> int:
        """Bytes of encoded receipts that may be taken in and not applied."""
        ...

    def ask(self, operation: str, **asked: Any) -> Any:
        """The answer to an operation, as plain JSON values."""
        ...

    def settings(self) -> Settings:
        """The settings by which messages are read."""
        ...

    def submit(self, receipts: bytes, *, from_file: bool = True) -> "Future[list[Answer]]":
        """Take encoded receipts in; those from files are kept there until they are applied."""
        ...

    def handover(self) -> Handover | None:
        """How another process may make receipts of files durable; None where it may not."""
        ...

    def position(self) -> int:
        """How far what was taken in has been applied."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class OwnDesk:
    """The store, opened by this very process."""

    room = LOADING_ROOM

    def __init__(self, call: Call, *, create: bool) -> None:
        self._path, self._settings = call.path, call.settings
        settings = _for_loading(call.settings) if create else call.settings
        if create:
            spare_memory()
        twin = Twin.open(call.path, settings=settings, create=create)
        if create:
            twin.load()
            take_short_turns()
        self._twin: Twin | None = twin
        self._key = twin.key
        self._failing_since: float | None = None

    def ask(self, operation: str, **asked: Any) -> Any:
        """As `Desk.ask`; SQL runs after this process has let go of the store."""
        if operation == "sql" and asked.get("profile"):
            answer = self._recorded(operation, asked, lambda: self._researched(**asked), _nobody)
        elif operation == "sql":
            self.close()
            with Sidecar(
                self._settings.store, key=self._key.database if self._key else None
            ) as sidecar:
                answer = self._recorded(
                    operation,
                    asked,
                    lambda: sidecar.query(self._path, asked["sql"])._asdict(),
                    lambda sql: sidecar.query(self._path, sql).rows,
                )
        else:
            answer = self._recorded(
                operation,
                asked,
                lambda: OPERATIONS[operation](self._open, asked),
                lambda sql: self._open.query(sql),
            )
        return msgspec.json.decode(msgspec.json.encode(answer))

    def _researched(self, sql: str, profile: str) -> dict[str, Any]:
        research = research_desk(self._open)
        try:
            return research.query(profile, sql)._asdict()
        finally:
            research.close()

    def _recorded(
        self, operation: str, asked: dict[str, Any], answered: Callable[[], Any], query: Query
    ) -> Any:
        if operation not in RECORDED:
            return answered()
        with open_ledger(self._settings.audit, self._path, self._key) as ledger:
            why = self._settings.audit.purpose
            return recorded(ledger, operation, asked, answered, query, via="cli", why=why)

    def settings(self) -> Settings:
        """The settings of this process."""
        return self._settings

    def submit(self, receipts: bytes, *, from_file: bool = True) -> "Future[list[Answer]]":
        """As `Twin.submit`."""
        return self._open.submit(decode_receipts(receipts), from_file=from_file)

    def handover(self) -> Handover | None:
        """As `Twin.beside` and `Twin.carry`."""
        return handover_of(self._open)

    def staging(self) -> Staging:
        """As `Twin.staging`."""
        return self._open.staging()

    def position(self) -> int:
        """As `Twin.position`. Raises StoreError where nothing could be applied for long."""
        failure, now = self._open.failure(), time.monotonic()
        if failure is None:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > FULL_DISK_S:
            raise StoreError(
                "What was read cannot be applied.",
                why=failure,
                do="Make room on the disk of the store and run the command again:"
                " it goes on where it was.",
            )
        return self._open.position()

    def close(self) -> None:
        """Close the store."""
        if self._twin is not None:
            self._twin.close()
            self._twin = None

    @property
    def _open(self) -> Twin:
        if self._twin is None:
            raise StoreBusy("The store was closed for a query.", do="Open it again.")
        return self._twin


def _for_loading(settings: Settings) -> Settings:
    """With a smaller cache than for questions, unless the site has set one."""
    if "memory_limit" in settings.store.model_fields_set:
        return settings
    store = settings.store.model_copy(update={"memory_limit": LOADING_MEMORY})
    return settings.model_copy(update={"store": store})


def _nobody(sql: str) -> list[dict[str, object]]:
    return []


@contextmanager
def desk(call: Call, *, create: bool = False) -> Iterator[Desk]:
    """The holder of the store where one answers, else the store itself.

    A store that is held by a program without a socket is waited for: it is most often another
    short command. Raises StoreBusy when it stays held.
    """
    found = _found(call, create=create)
    try:
        yield found
    finally:
        found.close()


def _found(call: Call, *, create: bool) -> Desk:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        holder = reach(call.path, call.environ)
        if holder is not None:
            return holder
        try:
            return OwnDesk(call, create=create)
        except StoreBusy as busy:
            if time.monotonic() >= give_up_at:
                raise StoreBusy(
                    busy.what,
                    why="The program that holds it does not answer other programs.",
                    do="End that program, or wait until it is done, and try again.",
                ) from busy
        time.sleep(_PAUSE_S)
