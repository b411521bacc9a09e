"""Records what commands ask of a store: which operations show patients, and which change it."""

import getpass
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import msgspec

from api.access.doors import Act
from api.audit.touched import (
    Query,
    Told,
    ids_in,
    messages_in,
    patients_of,
    told_by_messages,
    told_by_rows,
)
from twin_core.audit import Access, Actor, Beside, Ledger
from twin_core.errors import TwinError
from twin_core.settings import Settings


class Operation(NamedTuple):
    """How the ledger hears of an operation."""

    act: Act
    administrative: bool = False
    beside: Beside = ""
    """Whom it is about besides those whom its answer names."""
    messages: bool = False
    """Whether its answer lists messages, by whose numbers patients are found."""


RECORDED: dict[str, Operation] = {
    "sql": Operation("execute"),
    "state": Operation("search"),
    "kpi_explain": Operation("search"),
    "message_explain": Operation("read"),
    "quarantine_list": Operation("search", messages=True),
    "quarantine_show": Operation("read", messages=True),
    "quarantine_replay": Operation("update", administrative=True),
    "outbound_show": Operation("read", messages=True),
    "outbound_retry": Operation("update", administrative=True),
    "alerts_ack": Operation("update", administrative=True),
    "source_open_encounters": Operation("search"),
    # Stays one by one, from which a model is calibrated; the patients have numbers of its own.
    "history": Operation("search", beside="all"),
    "deid_publish": Operation("execute", administrative=True, beside="all"),
    "query_keep": Operation("update", administrative=True),
    "query_forget": Operation("delete", administrative=True),
    "alerts_replay": Operation("update", administrative=True),
    "backup": Operation("execute", administrative=True, beside="all"),
    "restore": Operation("execute", administrative=True, beside="all"),
    "store encrypt": Operation("execute", administrative=True),
    "store decrypt": Operation("execute", administrative=True),
    "store rotate-key": Operation("execute", administrative=True),
    "retention_run": Operation("delete", administrative=True),
    "erase_plan": Operation("read", administrative=True),
    "erase": Operation("delete", administrative=True),
    "rebuild": Operation("execute", administrative=True),
    "keys create": Operation("create", administrative=True),
    "keys revoke": Operation("update", administrative=True),
    "serve": Operation("execute", administrative=True),
}
"""Operations that are not here show counts, names of feeds and figures only."""


def local_user() -> Actor:
    """Who runs this program. The operator's socket opens for nobody else."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = ""
    return Actor(id=name or f"uid {os.getuid()}", kind="local")


_OBJECTS = ("kpi", "destination", "path", "query")
"""What was asked for besides patients; a path is that of a release."""
Via = Literal["socket", "cli"]
Answered = Callable[[], Any]


def recorded(
    ledger: Ledger,
    operation: str,
    asked: Mapping[str, Any],
    answered: Answered,
    query: Query,
    *,
    via: Via,
    why: str = "HOPERAT",
) -> Any:
    """The answer of an operation, once the ledger has it. `query` asks the store.

    Raises AuditFailed where it cannot be recorded, and whatever the operation raises.
    """
    kind = RECORDED.get(operation)
    if kind is None:
        return answered()
    told = _Told(operation, kind, asked, via, why)
    if kind.administrative:
        ledger.require()
    try:
        answer = answered()
    except TwinError as error:
        ledger.record(told.access("failed", error.exit_code))
        raise
    ledger.record(told.access("success", 0, answer, query))
    return answer


@contextmanager
def act(ledger: Ledger, operation: str, *, why: str = "HSYSADMIN") -> Iterator[None]:
    """An administrative act of this program, recorded when it has been done or has failed."""
    kind = RECORDED[operation]
    told = _Told(operation, kind, {}, "cli", why)
    ledger.require()
    try:
        yield
    except TwinError as error:
        ledger.record(told.access("failed", error.exit_code))
        raise
    ledger.record(told.access("success", 0))


def served(settings: Settings) -> Access:
    """That a server begins, and a digest of its settings, which tells a changed configuration."""
    shown = settings.model_dump_json(by_alias=True, exclude={"secrets"})
    digest = hashlib.sha256(shown.encode()).hexdigest()[:16]
    return Access(
        who=local_user(),
        act="execute",
        what="serve",
        outcome="success",
        via="cli",
        why="HSYSADMIN",
        objects=(f"settings/{digest}",),
    )


class _Told(NamedTuple):
    operation: str
    kind: Operation
    asked: Mapping[str, Any]
    via: Via
    why: str

    def access(
        self,
        outcome: Literal["success", "failed"],
        status: int,
        answer: Any = None,
        query: Query = lambda sql: [],
    ) -> Access:
        rows = answer.get("rows") if isinstance(answer, dict) else None
        told = Told() if answer is None else self._told(answer, query)
        return Access(
            who=local_user(),
            act=self.kind.act,
            what=self.operation,
            outcome=outcome,
            status=status,
            via=self.via,
            why="HSYSADMIN" if self.kind.administrative else self.why,
            objects=self._objects(),
            patients=tuple(sorted(told.patients)),
            beside=(self.kind.beside or told.beside) if outcome == "success" else "",
            text=str(self.asked.get("sql") or ""),
            rows=len(rows) if isinstance(rows, list) else None,
        )

    def _told(self, answer: Any, query: Query) -> Told:
        if self.asked.get("profile"):
            # Pseudonyms look like ids and lead to nobody here.
            return Told()
        if self.operation == "sql":
            return told_by_rows(str(self.asked.get("sql")), answer["rows"], query)
        shown = msgspec.json.encode(answer)
        numbers = {*self._messages(), *(messages_in(shown) if self.kind.messages else ())}
        spoken = told_by_messages(numbers, query)
        return Told(spoken.patients.union(patients_of(ids_in(shown), query)), spoken.beside)

    def _messages(self) -> list[int]:
        named = self.asked.get("message_ids") or [self.asked.get("message_id")]
        return [int(one) for one in named if one is not None]

    def _objects(self) -> tuple[str, ...]:
        named = [f"message/{one}" for one in self._messages()]
        named += [f"{key}/{self.asked[key]}" for key in _OBJECTS if key in self.asked]
        named += [f"release/{self.asked['profile']}"] if self.asked.get("profile") else []
        return tuple(named)
