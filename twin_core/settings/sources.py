"""FHIR servers that the twin reads: where each is, what is wanted of it, who the twin is there."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from twin_core.settings.outbound import ClientTlsSettings
from twin_core.settings.section import Section, Strictness
from twin_core.settings.subscription import SubscriptionSettings

SOURCE_TYPES = (
    "Organization",
    "Location",
    "HealthcareService",
    "Practitioner",
    "PractitionerRole",
    "Patient",
    "Device",
    "DeviceMetric",
    "Schedule",
    "Slot",
    "Appointment",
    "Encounter",
    "ServiceRequest",
    "Procedure",
    "Task",
    "Observation",
)
"""What is read of a FHIR server where a site does not choose: places and people first."""

SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""A source's name: it becomes the feed of what it states."""


class AuthorizationSettings(Section):
    """How the twin shows a FHIR server, or its token endpoint, who it is."""

    method: Literal["token", "client_secret", "private_key"]
    """A fixed token; OAuth client credentials with a secret; or SMART Backend Services with a
    signed assertion (`private_key_jwt`)."""
    client_id: str = ""
    """What the server knows the twin as; needed for all but a fixed token."""
    scope: str = "system/*.read"
    """What is asked for, as the server writes scopes; `system/*.rs` in SMART 2."""
    token_url: str = ""
    """The token endpoint; found from the server where unset."""
    token: SecretStr | None = None
    """The fixed token."""
    token_file: Path | None = None
    """A file with the fixed token; read again when the server refuses the last one."""
    client_secret: SecretStr | None = None
    """The client's secret."""
    client_secret_file: Path | None = None
    """A file with the client's secret."""
    private_key: SecretStr | None = None
    """The private key as PEM, JWK or JWK set."""
    private_key_file: Path | None = None
    """A file with the private key; read again for every token."""
    key_id: str = ""
    """`kid` of the key at the server; that of the JWK where unset."""
    key_set_url: str = ""
    """Address of the public keys (`jku`), for servers that were told it."""
    algorithm: Literal["", "RS384", "ES384"] = ""
    """How assertions are signed; told from the key where unset."""

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        needed = {"token": "token", "client_secret": "client_secret", "private_key": "private_key"}
        for method, name in needed.items():
            given = [getattr(self, key) is not None for key in (name, f"{name}_file")]
            if method == self.method and sum(given) != 1:
                raise ValueError(f"method {method} needs either {name} or {name}_file")
            if method != self.method and any(given):
                raise ValueError(f"method {self.method} has no use for {name}")
        if self.method != "token" and not self.client_id:
            raise ValueError(f"method {self.method} needs client_id")
        return self


class SourceSettings(Section):
    """A FHIR server that the twin keeps in step with."""

    url: str
    """The server's base, such as `https://fhir.example.org/r4`."""
    version: Literal["", "R4", "R4B", "R5"] = ""
    """The edition it speaks; found from its `/metadata` where unset."""
    types: tuple[str, ...] = SOURCE_TYPES
    """Resource types to read; those that the server does not have are passed over."""
    filters: dict[str, str] = {}
    """Type -> search that narrows it, such as `status=in-progress`; `_typeFilter` of an export."""
    includes: dict[str, tuple[str, ...]] = {}
    """Type -> `_include` values of its search, such as `Encounter:subject`."""
    facility: str = ""
    """Facility of what names no organization; that of `[fhir]` where unset."""
    strictness: Strictness = "lenient"
    """How what it states is judged, as in `[fhir]`. Lenient, because nobody there is told of a
    refusal: a wrong code becomes a finding, and the visit is known all the same."""
    method: Literal["search", "bulk", "bulk then search"] = "search"
    """How changes are found: by search; by a Bulk Data export each time; or by one export first."""
    export: str = "system"
    """What is exported: `system`, `patient`, or `group/ID`."""
    since: str = ""
    """The first sync takes only what changed from this instant on; everything where unset."""
    interval_s: float = Field(default=60.0, ge=0)
    """Seconds between syncs of a running server; 0 for only when asked."""
    page_size: int = Field(default=200, ge=1, le=10_000)
    """`_count` of searches."""
    overlap_s: float = Field(default=120.0, ge=0)
    """How far before the last change each search begins again, for changes that appear late."""
    deletes: tuple[Literal["history", "_deleted", "read"], ...] = ("history", "_deleted", "read")
    """How deletes are found, the first that the server supports; `read` asks for open encounters
    one by one."""
    verify_s: float = Field(default=3600.0, gt=0)
    """Seconds between two reads of an open encounter, where deletes are found by `read`."""
    requests_per_second: float = Field(default=10.0, ge=0)
    """At most so many requests; 0 for no limit of our own."""
    concurrency: int = Field(default=2, ge=1, le=16)
    """Requests at a time."""
    timeout_s: float = Field(default=60.0, gt=0)
    """How long an answer may stay away."""
    attempts: int = Field(default=5, ge=1)
    """How often a request is sent that is not answered, or answered with 429 or 5xx."""
    longest_pause_s: float = Field(default=300.0, gt=0)
    """The longest pause that a server may ask for by Retry-After or RateLimit."""
    export_timeout_s: float = Field(default=6 * 3600.0, gt=0)
    """How long an export may take before it is given up."""
    breaker_failures: int = Field(default=5, ge=1)
    """After so many failures in a row the server is left alone."""
    breaker_rest_s: float = Field(default=60.0, gt=0)
    """For how long at first; twice as long each time it goes on failing."""
    other_origins: tuple[str, ...] = ()
    """Other origins (`https://host:port`) that may be shown this server's credentials."""
    proxy: str = ""
    """HTTP proxy to reach it through."""
    subscription: SubscriptionSettings | None = None
    """Notifications that the server sends to `/hooks/NAME`; none where unset."""
    auth: AuthorizationSettings | None = None
    """Who the twin is there; nobody where unset."""
    tls: ClientTlsSettings | None = None
    """How the connection is secured beyond the machine's own authorities; mutual TLS."""

    @field_validator("url")
    @classmethod
    def _base(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a base begins with http:// or https:// and a host")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError("a base has no query, fragment or password; see [sources.NAME.auth]")
        return url.rstrip("/")

    @field_validator("types")
    @classmethod
    def _type_names(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for kind in types:
            if not re.fullmatch(r"[A-Z][A-Za-z]+", kind, re.ASCII):
                raise ValueError(f"{kind!r} is no resource type, such as Encounter")
        if len(set(types)) != len(types) or not types:
            raise ValueError("name each resource type once, and at least one")
        return types

    @field_validator("export")
    @classmethod
    def _export_level(cls, export: str) -> str:
        if not re.fullmatch(r"system|patient|group/[A-Za-z0-9\-.]{1,64}", export, re.ASCII):
            raise ValueError("an export is of `system`, `patient` or `group/ID`")
        return export

    @field_validator("since")
    @classmethod
    def _instant(cls, since: str) -> str:
        pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
        if since and not re.fullmatch(pattern, since, re.ASCII):
            raise ValueError("an instant is written as 2026-11-01T00:00:00Z")
        return since

    @field_validator("other_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
                raise ValueError(f"{origin!r} is no origin, such as https://files.example.org")
        return origins

    @model_validator(mode="after")
    def _of_types_that_are_read(self) -> Self:
        for name in ("filters", "includes"):
            for kind in getattr(self, name):
                if kind not in self.types:
                    raise ValueError(f"{name}: {kind} is not among the types that are read")
        return self
