"""Simulations that were asked for, and their answers: a SQLite file beside the store.

What is kept of each is enough to work it out again, to the last bit where the versions are the
same: the whole model, the scenarios, the seed, the run, and what the model was learned from.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from api.beside import BesideStore, Words, instant_text
from api.simulations.answering import digest_of
from api.simulations.asked import BACKTEST, FORECAST, Task
from twin_core.encryption import StoreKey
from twin_core.errors import UsageError

BUSY_S = 10.0
State = Literal["waiting", "running", "done", "failed", "cancelled"]
OVER: tuple[State, ...] = ("done", "failed", "cancelled")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS simulation (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, asked_at TEXT, asked_by TEXT, title TEXT,
    learned TEXT, run TEXT, task BLOB, state TEXT, began_at TEXT, ended_at TEXT,
    reason TEXT DEFAULT '', versions TEXT DEFAULT '{}', digest TEXT DEFAULT '', answer BLOB);
"""
_WORDS = Words(
    use="It keeps the answers of simulations; without it they are asked for again.",
    about="It keeps the answers of simulations that were asked of that one.",
    anew="simulations are asked for again",
)
_COLUMNS = (
    "id", "asked_at", "asked_by", "title", "learned", "run", "state", "began_at", "ended_at",
    "reason", "versions", "digest",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM simulation"  # noqa: S608  (the names above)

_DONE = "state = 'done' AND json_extract(run, '$.kind') = ?"
_FORGET = f"""
DELETE FROM simulation WHERE state NOT IN ('waiting', 'running')
   AND number <= (SELECT max(number) FROM simulation) - ?
   AND number IS NOT (SELECT max(number) FROM simulation WHERE {_DONE})
"""  # noqa: S608  (the words above)


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation that was asked for: by whom and when, how it stands, what it depends on."""

    id: str
    asked_at: datetime
    asked_by: str
    title: str
    """The hospital and the scenarios, by name."""
    state: State
    began_at: datetime | None
    ended_at: datetime | None
    reason: str
    """Why it failed."""
    replications: int
    """As asked for; a half-width may take more."""
    days: float
    seed: int
    learned: dict[str, Any]
    """Where the model comes from: its window of calibration, or where it starts from."""
    versions: dict[str, str]
    digest: str
    """SHA-256 of the answer: the same again means the same to the last bit."""
    kind: str = "simulation"
    """`simulation`; `forecast` of how the hospital stood, with nothing changed; or `backtest`,
    which scores such forecasts of the past."""


def ledger_path(store: Path) -> Path:
    """Where the simulations of a store are kept."""
    return store.with_name(store.name + ".simulations")


class Ledger(BesideStore):
    """The simulations of one store; every method is one transaction, on any thread."""

    def __init__(self, path: Path, store_id: str, key: StoreKey | None) -> None:
        super().__init__(
            path, store_id, key, kind=".simulations", schema=_SCHEMA, words=_WORDS, busy_s=BUSY_S
        )

    def _kept(self, id_: str, column: str, said: object) -> object:
        return self._cells.kept("simulation", column, (id_,), said)

    def _said(self, id_: str, column: str, kept: object) -> Any:
        return self._cells.said("simulation", column, (id_,), kept)

    def ask(self, id_: str, task: Task, title: str, learned: Any, by: str, at: datetime) -> None:
        """A simulation waits for its turn."""
        told = {"asked_by": by, "title": title, "learned": _json(learned), "task": _packed(task)}
        kept = {column: self._kept(id_, column, said) for column, said in told.items()}
        with self._writing() as db:
            db.execute(
                "INSERT INTO simulation (id, asked_at, asked_by, title, learned, run, task, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (
                    id_,
                    instant_text(at),
                    kept["asked_by"],
                    kept["title"],
                    kept["learned"],
                    _json(task.run),
                    kept["task"],
                ),
            )

    def begin(self, id_: str, at: datetime) -> bool:
        """A simulation has its turn; whether it still waited for it."""
        with self._writing() as db:
            changed = db.execute(
                "UPDATE simulation SET state = 'running', began_at = ?"
                " WHERE id = ? AND state = 'waiting'",
                (instant_text(at), id_),
            )
            return changed.rowcount == 1

    def learned(self, id_: str, task: Task, learned: Any) -> None:
        """A simulation has its models, so that it can be done again whatever becomes of the store.

        Asked for again, it is the same.
        """
        packed = self._kept(id_, "task", _packed(task))
        source = self._kept(id_, "learned", _json(learned))
        with self._writing() as db:
            db.execute(
                "UPDATE simulation SET task = ?, run = ?, learned = ? WHERE id = ?",
                (packed, _json(task.run), source, id_),
            )

    def answered(self, id_: str, answer: Any, versions: dict[str, str], at: datetime) -> None:
        """A simulation is done."""
        self._end(id_, "done", "", at, versions, digest_of(answer), _packed(answer))

    def end(self, id_: str, state: State, reason: str, at: datetime) -> bool:
        """A simulation failed or was cancelled; whether it was not over already."""
        return self._end(id_, state, reason, at, {}, "", None)

    def _end(
        self, id_: str, state: State, reason: str, at: datetime, versions: dict[str, str],
        digest: str, answer: bytes | None,
    ) -> bool:  # fmt: skip
        why, found = self._kept(id_, "reason", reason), self._kept(id_, "answer", answer)
        with self._writing() as db:
            changed = db.execute(
                "UPDATE simulation SET state = ?, reason = ?, ended_at = ?, versions = ?,"
                " digest = ?, answer = ? WHERE id = ? AND state IN ('waiting', 'running')",
                (state, why, instant_text(at), _json(versions), digest, found, id_),
            )
            return changed.rowcount == 1

    def end_all(self, reason: str, at: datetime) -> None:
        """Whatever was not over when the server ended can never be."""
        rows = self._read("SELECT id FROM simulation WHERE state IN ('waiting', 'running')")
        for (id_,) in rows:
            self.end(id_, "failed", reason, at)

    def forget(self, keep: int) -> None:
        """Keep the newest ones that are over, all that are not, and the backtest that counts."""
        with self._writing() as db:
            db.execute(_FORGET, (keep, BACKTEST))

    def backtest(self) -> Simulation | None:
        """The newest backtest that was worked out."""
        return self._newest(BACKTEST)

    def forecast(self) -> Simulation | None:
        """The newest forecast from how the hospital stood then, with nothing changed."""
        return self._newest(FORECAST)

    def _newest(self, kind: str) -> Simulation | None:
        rows = self._read(f"{_SELECT} WHERE {_DONE} ORDER BY number DESC LIMIT 1", (kind,))
        return self._simulation(rows[0]) if rows else None

    def waiting(self) -> list[str]:
        """Those that wait for their turn, the first first."""
        rows = self._read("SELECT id FROM simulation WHERE state = 'waiting' ORDER BY number")
        return [id_ for (id_,) in rows]

    def simulations(self, limit: int) -> list[Simulation]:
        """The latest, the newest first."""
        rows = self._read(f"{_SELECT} ORDER BY number DESC LIMIT ?", (limit,))
        return [self._simulation(row) for row in rows]

    def simulation(self, id_: str) -> Simulation | None:
        """One of them."""
        rows = self._read(f"{_SELECT} WHERE id = ?", (id_,))
        return self._simulation(rows[0]) if rows else None

    def _simulation(self, row: tuple[Any, ...]) -> Simulation:
        of = dict(zip(_COLUMNS, row, strict=True))
        for column in ("asked_by", "title", "learned", "reason"):
            of[column] = self._said(of["id"], column, of[column])
        return _simulation(of)

    def task(self, id_: str) -> Task | None:
        """What one of them is asked to do."""
        rows = self._read("SELECT task FROM simulation WHERE id = ?", (id_,))
        return _task(self._said(id_, "task", rows[0][0])) if rows else None

    def answer(self, id_: str) -> dict[str, Any] | None:
        """What one of them found; None while it has no answer."""
        rows = self._read("SELECT answer FROM simulation WHERE id = ?", (id_,))
        if not rows or rows[0][0] is None:
            return None
        packed = self._said(id_, "answer", rows[0][0])
        answer: dict[str, Any] = msgspec.json.decode(zlib.decompress(packed))
        return answer


@contextmanager
def kept(store: Path, key: StoreKey | None) -> Iterator[Ledger]:
    """The simulations of a store for reading, whether or not a server has it open.

    Raises UsageError where none was ever asked for.
    """
    path = ledger_path(store)
    if not path.exists():
        raise UsageError(
            f"No simulation was asked of {store.name}.",
            do="Post one to /v1/simulations of its server.",
        )
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as db:
        [(store_id,)] = db.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchall()
    with closing(Ledger(path, store_id, key)) as ledger:
        yield ledger


def _simulation(of: dict[str, Any]) -> Simulation:
    run = msgspec.json.decode(of["run"])
    return Simulation(
        id=of["id"],
        asked_at=datetime.fromisoformat(of["asked_at"]),
        asked_by=of["asked_by"],
        title=of["title"],
        state=of["state"],
        began_at=_instant(of["began_at"]),
        ended_at=_instant(of["ended_at"]),
        reason=of["reason"],
        replications=run["replications"],
        days=run["hours"] / 24,
        seed=run["seed"],
        learned=msgspec.json.decode(of["learned"]),
        versions=msgspec.json.decode(of["versions"]),
        digest=of["digest"],
        kind=run.get("kind", "simulation"),
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _task(packed: bytes) -> Task:
    return msgspec.json.decode(zlib.decompress(packed), type=Task)


def _packed(content: Any) -> bytes:
    return zlib.compress(msgspec.json.encode(content))


def _json(content: Any) -> str:
    return msgspec.json.encode(content).decode()
