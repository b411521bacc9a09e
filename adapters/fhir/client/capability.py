"""What a FHIR server says it can do: its CapabilityStatement, read tolerantly."""

from typing import Any, NamedTuple

import msgspec

from adapters.fhir.client.faults import Untrustworthy
from adapters.fhir.release import Release

_RELEASES = {"4.0": Release.R4, "4.3": Release.R4B, "4.1": Release.R4B, "5.0": Release.R5}
_OAUTH_URIS = "oauth-uris"


class Kind(NamedTuple):
    """What can be done with one resource type."""

    interactions: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()


class Capability(NamedTuple):
    """What a server can do, as it says itself. Many say too little: nothing is ruled out by it."""

    version: str
    """As stated, such as 4.0.1."""
    release: Release
    software: str
    kinds: dict[str, Kind]
    operations: frozenset[str]
    """Operations of the whole server."""
    address: str
    """The base as the server knows itself, which may be behind a proxy."""
    token_url: str

    def can(self, kind: str, interaction: str) -> bool:
        """Whether an interaction with a type is promised."""
        return interaction in self.kinds.get(kind, Kind()).interactions

    @property
    def exports(self) -> tuple[str, ...]:
        """The levels of Bulk Data export that are promised."""
        found = ["system"] if self.operations & {"export", "system-export"} else []
        for kind, level in (("Patient", "patient"), ("Group", "group")):
            own = self.kinds.get(kind, Kind()).operations
            if own & {"export", f"{level}-export"} or f"{level}-export" in self.operations:
                found.append(level)
        return tuple(found)


def read_capability(body: bytes, name: str, edition: str = "") -> Capability:
    """A CapabilityStatement of source `name`, whose edition may be told better by the settings.

    Raises Untrustworthy for what is none, or of an edition that is not read here.
    """
    try:
        tree: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        tree = None
    if not isinstance(tree, dict) or tree.get("resourceType") != "CapabilityStatement":
        raise Untrustworthy(
            f"The server of source {name} has no CapabilityStatement at its base.",
            do=f"See sources.{name}.url: it is the address before /metadata.",
        )
    version = str(tree.get("fhirVersion", ""))
    release = Release(edition) if edition else _RELEASES.get(version[:3])
    if release is None:
        raise Untrustworthy(
            f"The server of source {name} speaks FHIR {version[:16]!r}.",
            why="R4, R4B and R5 are read.",
            do=f"Set sources.{name}.version if it is one of them all the same.",
        )
    rest = next((one for one in _dicts(tree.get("rest")) if one.get("mode") != "client"), {})
    implementation = tree.get("implementation")
    software = tree.get("software")
    return Capability(
        version=version,
        release=release,
        software=" ".join(_text(software, key) for key in ("name", "version")).strip(),
        kinds={_text(one, "type"): _kind(one) for one in _dicts(rest.get("resource"))},
        operations=_operations(rest),
        address=_text(implementation, "url").rstrip("/"),
        token_url=_token_url(rest.get("security")),
    )


def _kind(told: dict[str, Any]) -> Kind:
    return Kind(
        frozenset(_text(one, "code") for one in _dicts(told.get("interaction"))),
        frozenset(_text(one, "name") for one in _dicts(told.get("searchParam"))),
        _operations(told),
    )


def _operations(told: dict[str, Any]) -> frozenset[str]:
    return frozenset(_text(one, "name").lstrip("$") for one in _dicts(told.get("operation")))


def _token_url(security: object) -> str:
    extensions = security.get("extension") if isinstance(security, dict) else None
    for one in _dicts(extensions):
        if _text(one, "url").endswith(_OAUTH_URIS):
            for inner in _dicts(one.get("extension")):
                if inner.get("url") == "token":
                    return _text(inner, "valueUri")
    return ""


def _dicts(stated: object) -> list[dict[str, Any]]:
    return [one for one in stated if isinstance(one, dict)] if isinstance(stated, list) else []


def _text(stated: object, key: str) -> str:
    found = stated.get(key) if isinstance(stated, dict) else None
    return found if isinstance(found, str) else ""
