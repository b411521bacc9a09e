"""A ledger for tests: fixed keys, and a clock that moves a second whenever it is asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from twin_core.audit import Access, Actor, AuditKeys, Ledger

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEYS = AuditKeys(b"s" * 32, b"n" * 32)
NURSE = Actor(id="n7", kind="person", name="Ward 3", roles=("operations",))


class Ticking:
    """A clock that moves one second whenever it is asked."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


def access(**said) -> Access:
    told = {"who": NURSE, "act": "read", "what": "GET /v1/encounters/{encounter_id}"}
    return Access(**{**told, "outcome": "success", "status": 200, "address": "10.1.2.3", **said})


def ledger(path: Path, **how) -> Ledger:
    return Ledger(path, KEYS, Ticking(), **how)
