"""What the ledger says of one access or one administrative act.

`Access` is what an edge tells the ledger; `Entry` is what the ledger keeps of it. Between the two,
patients become pseudonyms, and texts that may name somebody (a query, a reason) leave the hashed
body for a table beside it, where only a keyed digest of them remains behind.
"""

import re
from datetime import datetime
from typing import Literal

import msgspec

Purpose = Literal["HOPERAT", "TREAT", "BTG", "HRESCH", "HSYSADMIN", "PATRQT", "HLEGAL", "HTEST"]
"""Why, as HL7 v3 ActReason codes: operations, treatment, break-glass, research, administration."""

Act = Literal["read", "search", "create", "update", "delete", "execute", "login", "alert"]
"""What was done, as a FHIR interaction or as close to one as an act of administration comes."""

Outcome = Literal["success", "refused", "failed"]
Beside = Literal["", "unknown", "all"]
"""Patients besides those that an entry names: none, how many is unknown, all of the store."""

_OWN_NUMBERS = re.compile(
    r"(?:erasure|message|settings|simulation)/[0-9a-f-]{1,64}|messages/\d{1,20}-\d{1,20}"
)
_NAMES_OF_THE_SITE = ("destination/", "kpi/", "path/", "release/", "unit/")


def is_typed(named: str, outcome: Outcome) -> bool:
    """Whether the name of an object is somebody's own words, and so may be those of a patient.

    Numbers of our own are not, nor are names from the settings where there was such a thing. What
    was asked for and is not there may be anything, and so may the names of queries. Where releases
    and backups were written stays readable, because an erasure names those that must expire.
    """
    if _OWN_NUMBERS.fullmatch(named):
        return False
    return outcome != "success" or not named.startswith(_NAMES_OF_THE_SITE)


class Actor(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who asked: a person, a client system, an API key, a user of this machine, or nobody known."""

    id: str
    kind: Literal["person", "client", "key", "local", "unknown"]
    name: str = ""
    roles: tuple[str, ...] = ()


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One access as an edge saw it. `patients` are the twin's own patient ids, not yet keyed."""

    who: Actor
    act: Act
    what: str
    """The address or command without values: `GET /v1/encounters/{encounter_id}`, `sql`."""
    outcome: Outcome
    status: int = 0
    """The HTTP status or the exit code."""
    via: Literal["http", "socket", "cli"] = "http"
    address: str = ""
    """Where the request came from."""
    why: str = "HOPERAT"
    objects: tuple[str, ...] = ()
    """What was touched besides patients: `message/12`, `kpi/alos`, `query/Stays`. Where it
    `is_typed`, the ledger keeps the name beside the chain."""
    patients: tuple[str, ...] = ()
    beside: Beside = ""
    """Whom the answer may be about besides `patients`, where it does not name everybody."""
    reason: str = ""
    """A break-glass reason in somebody's own words; kept beside the ledger, like `text`."""
    text: str = ""
    """The query or the full address as sent; kept beside the ledger."""
    rows: int | None = None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One entry of the ledger: what is hashed, number included."""

    seq: int
    at: datetime
    who: Actor
    act: Act
    what: str
    outcome: Outcome
    status: int = 0
    via: str = "http"
    address: str = ""
    why: str = "HOPERAT"
    objects: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    """Pseudonyms, where they are few."""
    patients_digest: str = ""
    """SHA-256 of the pseudonyms, where they are many: the list itself stands in a table."""
    patients_count: int = 0
    beside: Beside = ""
    text_digest: str = ""
    """Keyed digest of the texts beside the ledger; they may be erased, this stays."""
    rows: int | None = None


class Texts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The words of an access that may name somebody, kept on the identified side only."""

    text: str = ""
    reason: str = ""
    objects: tuple[str, ...] = ()
    """The objects that somebody gave a name of their own choice, by that name."""


def counted(patients: int, beside: Beside) -> str:
    """How many patients an access was about, as far as is known: `3`, `3+`, `unknown`, `all`."""
    if beside == "unknown":
        return f"{patients}+" if patients else "unknown"
    return beside or str(patients)
