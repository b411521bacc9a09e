"""API keys, broken glass and people's views, in a small SQLite file beside the store.

A key is 256 random bits, so its SHA-256 is as good as a slow hash of it, and only that is kept.
It is shown once, when it is made: `wtk_<id>_<secret>`.
"""

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from api.access.principal import Principal
from api.access.roles import ROLE_NAMES, ROLES
from twin_core.clock import Clock
from twin_core.encryption import Cells, StoreKey, opened_cells
from twin_core.errors import StoreError, UsageError

_KEY = re.compile(r"wtk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = bytes(32)
_KEYS_OWN = "key:"
"""Before a key's id in the id of its principal."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS api_key (
    id TEXT PRIMARY KEY, name TEXT, digest BLOB, roles TEXT, facilities TEXT, units TEXT,
    created_at TEXT, expires_at TEXT, revoked_at TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS broken_glass (principal TEXT PRIMARY KEY, until TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS view (
    principal TEXT, name TEXT, href TEXT, PRIMARY KEY (principal, name)) WITHOUT ROWID;
"""
KIND = ".access"
MOST_VIEWS = 100
"""Views of one person; who keeps more has to forget one first."""


def access_path(store: Path) -> Path:
    """Where the keys of a store are."""
    return store.with_name(store.name + ".access")


class ApiKey(NamedTuple):
    """What is known of a key, its secret excepted."""

    id: str
    name: str
    roles: list[str]
    facilities: list[str]
    units: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class View(msgspec.Struct, frozen=True, kw_only=True):
    """An address with everything that was asked for, kept under a name."""

    name: str
    href: str


class AccessStore:
    """The file of keys and grants. Every question opens it anew: a revocation counts at once.

    The `key` of the store seals what people called their views, and what they asked for.
    """

    def __init__(self, path: Path, clock: Clock, key: StoreKey | None = None) -> None:
        self.path, self._clock, self._key = path, clock, key

    def create(
        self,
        name: str,
        roles: tuple[str, ...],
        *,
        facilities: tuple[str, ...] = (),
        units: tuple[str, ...] = (),
        expires_at: datetime | None = None,
    ) -> tuple[str, str]:
        """A new key: its id, and the key itself, which cannot be shown again.

        Raises UsageError for a role that does not exist.
        """
        for role in roles:
            if role not in ROLES:
                known = ", ".join(ROLE_NAMES)
                raise UsageError(f"There is no role {role!r}.", do=f"Roles are {known}.")
        if not roles:
            raise UsageError("A key needs a role.", do=f"Roles are {', '.join(ROLE_NAMES)}.")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = (
            key_id,
            name,
            _digest(secret),
            *(json.dumps(words) for words in (roles, facilities, units)),
            _text(self._clock.now()),
            _text(expires_at) if expires_at else None,
            None,
        )
        with self._open() as db:
            db.execute("INSERT INTO api_key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return key_id, f"wtk_{key_id}_{secret}"

    def keys(self) -> list[ApiKey]:
        """Every key there was, the newest last."""
        with self._open() as db:
            rows = db.execute(
                "SELECT id, name, roles, facilities, units, created_at, expires_at, revoked_at"
                " FROM api_key ORDER BY created_at, id"
            ).fetchall()
        return [
            ApiKey(key_id, name, _words(roles), _words(facilities), _words(units), *times)
            for key_id, name, roles, facilities, units, *times in rows
        ]

    def revoke(self, key_id: str) -> None:
        """Let a key open nothing from now on. Raises UsageError where there is no such key."""
        with self._open() as db:
            changed = db.execute(
                "UPDATE api_key SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
                (_text(self._clock.now()), key_id),
            ).rowcount
        if not changed:
            raise UsageError("There is no such key.", do="List them with `wardtwin keys list`.")

    def principal(self, key: str) -> Principal | None:
        """Whom a key stands for, or None for one that opens nothing, whyever that is."""
        parts = _KEY.fullmatch(key)
        key_id, secret = parts.groups() if parts else ("", "")
        row = self._row(key_id)
        # A key that does not exist takes as long as one that is wrong.
        same = hmac.compare_digest(_digest(secret), bytes(row[2]) if row else _NO_DIGEST)
        return self._standing(row) if row is not None and same else None

    def standing(self, principal_id: str) -> Principal | None:
        """Whom the key of somebody who signed in with it stands for now; None once it is over."""
        row = self._row(principal_id.removeprefix(_KEYS_OWN))
        return self._standing(row) if row is not None else None

    def _row(self, key_id: str) -> tuple[Any, ...] | None:
        with self._open() as db:
            rows = db.execute("SELECT * FROM api_key WHERE id = ?", (key_id,)).fetchall()
        return rows[0] if rows else None

    def _standing(self, row: tuple[Any, ...]) -> Principal | None:
        key_id, name, _, roles, facilities, units, _, expires, revoked = row
        late = expires is not None and _text(self._clock.now()) >= expires
        if late or revoked is not None:
            return None
        return Principal(
            id=f"{_KEYS_OWN}{key_id}",
            kind="key",
            name=name,
            roles=tuple(_words(roles)),
            facilities=tuple(_words(facilities)),
            units=tuple(_words(units)),
        )

    def break_glass(self, principal_id: str, until: datetime) -> None:
        """Let somebody read patients until an instant."""
        with self._open() as db:
            db.execute(
                "INSERT OR REPLACE INTO broken_glass VALUES (?, ?)", (principal_id, _text(until))
            )

    def glass_broken_until(self, principal_id: str) -> datetime | None:
        """Until when somebody may read patients because of an emergency, if they may now."""
        if not self.path.exists():
            return None
        with self._open() as db:
            rows = db.execute(
                "SELECT until FROM broken_glass WHERE principal = ?", (principal_id,)
            ).fetchall()
        until = datetime.fromisoformat(rows[0][0]) if rows else None
        return until if until is not None and self._clock.now() < until else None

    def views(self, principal_id: str) -> list[View]:
        """What somebody keeps, by name."""
        if not self.path.exists():
            return []
        with self._open() as db:
            cells, who = self._cells(db), (principal_id,)
            rows = db.execute("SELECT name, href FROM view WHERE principal = ?", who).fetchall()
            told = [
                View(
                    name=str(cells.said("view", "name", who, name)),
                    href=str(cells.said("view", "href", who, href)),
                )
                for name, href in rows
            ]
        return sorted(told, key=lambda view: view.name)

    def keep_view(self, principal_id: str, view: View) -> None:
        """Keep a view in the place of the one of its name. Raises UsageError for one too many."""
        kept = {one.name for one in self.views(principal_id)}
        if view.name not in kept and len(kept) >= MOST_VIEWS:
            raise UsageError(f"Nobody keeps more than {MOST_VIEWS} views.", do="Forget one first.")
        with self._open() as db:
            cells, who = self._cells(db), (principal_id,)
            name = cells.kept("view", "name", who, view.name)
            href = cells.kept("view", "href", who, view.href)
            db.execute("INSERT OR REPLACE INTO view VALUES (?, ?, ?)", (principal_id, name, href))

    def forget_view(self, principal_id: str, name: str) -> None:
        """Forget a view; one that is not kept is forgotten already."""
        with self._open() as db:
            kept = self._cells(db).kept("view", "name", (principal_id,), name)
            db.execute("DELETE FROM view WHERE principal = ? AND name = ?", (principal_id, kept))

    def _cells(self, db: sqlite3.Connection) -> Cells:
        return opened_cells(db, KIND, self._key, f"The file {self.path.name}")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        made = not self.path.exists()
        try:
            db = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
            try:
                if made:
                    self.path.chmod(0o600)
                # A file of an earlier version lacks what came later.
                db.executescript(_SCHEMA)
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise StoreError(f"The keys in {self.path} cannot be used.", why=f"{error}.") from error


def looks_like_a_key(token: str) -> bool:
    """Whether a bearer token is meant as an API key rather than as a provider's token."""
    return token.startswith("wtk_")


def _words(told: str) -> list[str]:
    """Roles or places as they were written: a list, since codes have spaces in them; words parted
    by spaces in a file of an earlier version.
    """
    words: list[str] = json.loads(told) if told.startswith("[") else told.split()
    return words


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
