"""Who may use the API and the board, once more than this machine can reach them."""

from ipaddress import ip_network
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from twin_core.settings.section import Section, is_loopback

RoleName = Literal[
    "viewer", "operations", "interface", "analyst", "researcher", "auditor", "administrator"
]


class AccessSettings(Section):
    """Who may use the API and the board; without this section, only this machine is served."""

    hosts: tuple[str, ...] = ()
    """Names by which browsers and clients reach the server, besides those of this machine."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies that end TLS; their X-Forwarded-For is believed."""
    issuer: str = ""
    """The identity provider, exactly as tokens name it (`iss`); API keys alone where empty."""
    audience: str = ""
    """What tokens must be meant for (`aud`)."""
    jwks_url: str = ""
    """Where its keys are; found by OpenID discovery where empty."""
    client_id: str = ""
    """The client by which people sign in (code flow with PKCE); API keys alone where empty."""
    client_secret: SecretStr | None = None
    """Its secret, where it is a confidential client."""
    scope: str = "openid profile"
    """What is asked for when people sign in."""
    roles_claim: str = "roles"
    """The claim that holds roles; `realm_access.roles` reaches into an object."""
    roles: dict[str, RoleName] = {}
    """The provider's roles or groups -> roles of the twin; the same names where empty."""
    facilities_claim: str = "wardtwin_facilities"
    """The claim that limits rows to facilities."""
    units_claim: str = "wardtwin_units"
    """The claim that limits rows to units: `FACILITY/UNIT`, or a unit of every facility."""
    skew_seconds: float = Field(default=60.0, ge=0, le=300)
    """How far clocks may be apart."""
    session_minutes: float = Field(default=480.0, gt=0)
    """How long somebody stays signed in."""
    break_glass_minutes: float = Field(default=60.0, gt=0)
    """How long broken glass stays open."""
    requests_per_minute: int = Field(default=1_200, ge=1)
    """Requests of one principal, and of one address."""
    failures_per_minute: int = Field(default=30, ge=1)
    """Refused sign-ins and tokens of one address."""

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _protected(cls, address: str) -> str:
        url = urlsplit(address)
        local = url.scheme == "http" and is_loopback(url.hostname or "")
        if address and not (url.scheme == "https" and url.hostname) and not local:
            raise ValueError(f"{address!r} is no https URL")
        return address

    @field_validator("proxies")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(f"{proxy!r} is no address or network") from None
        return proxies

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.issuer and not self.audience:
            raise ValueError("issuer needs audience: a token for another service is not for this")
        if (self.jwks_url or self.client_id) and not self.issuer:
            raise ValueError("jwks_url and client_id need issuer")
        return self
