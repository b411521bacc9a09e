"""SMART on FHIR scopes: which interactions with which resource types a token allows.

Version 1 writes `system/Encounter.read`, version 2 `system/Encounter.rs` (SMART App Launch 2.2,
"Scopes for requesting FHIR resources"). A scope that narrows by query (`?category=...`) or to one
patient (`patient/`) grants nothing here, because nothing here would enforce it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

_SCOPE = re.compile(r"(system|user)/([A-Z][A-Za-z]+|\*)\.(\*|read|write|c?r?u?d?s?)", re.ASCII)
_FHIR_SCOPE = re.compile(r"(?:system|user|patient)/", re.ASCII)
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_ID = r"[A-Za-z0-9.-]{1,64}"


class Scope(NamedTuple):
    """What one scope allows: letters of create, read, update, delete, search on a type."""

    kind: str
    """A resource type, or `*`."""
    letters: str


class Interaction(NamedTuple):
    """What a FHIR request does."""

    kind: str
    """The resource type it is about, or `*` where it may be about any."""
    letters: str


def scopes_in(text: str) -> tuple[Scope, ...]:
    """The FHIR scopes of a token's scope claim; others (openid, fhirUser) say nothing here."""
    found = (_SCOPE.fullmatch(word) for word in text.split())
    return tuple(
        Scope(one[2], _V1.get(one[3], one[3])) for one in found if one is not None and one[3]
    )


def names_fhir(text: str) -> bool:
    """Whether a scope claim speaks of FHIR at all, and so decides about it."""
    return any(_FHIR_SCOPE.match(word) for word in text.split())


def allows(scopes: Iterable[Scope], wanted: Interaction) -> bool:
    """Whether the scopes together allow an interaction."""
    held = "".join(scope.letters for scope in scopes if scope.kind in ("*", wanted.kind))
    return set(wanted.letters) <= set(held)


def interaction_of(method: str, path: str, query: str) -> Interaction:
    """What a request below `/fhir/{release}` does; what is not recognised needs everything."""
    parts = [part for part in path.split("/") if part][2:]
    read, kind = method in ("GET", "HEAD"), parts[0] if parts else "*"
    if not kind[:1].isupper() or any(part.startswith("$") for part in parts):
        kind = "*"
    if method == "POST" and parts[-1:] == ["_search"]:
        return Interaction("*" if _reaches_further(query) else kind, "s")
    if read:
        letters = "r" if len(parts) > 1 and re.fullmatch(_ID, parts[1]) else "s"
        return Interaction("*" if _reaches_further(query) else kind, letters)
    if method == "POST":
        # A Bundle may hold anything.
        return Interaction(kind, "c") if len(parts) == 1 else Interaction("*", "cud")
    changing: Mapping[str, str] = {"PUT": "u", "PATCH": "u", "DELETE": "d"}
    return Interaction(kind, changing.get(method, "cruds"))


def _reaches_further(query: str) -> bool:
    """Whether a search tells of other types: inclusions, chains and reverse chains."""
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    return any(
        name.startswith(("_include", "_revinclude", "_has", "_type", "_graphql")) or "." in name
        for name in names
    )
