"""Notifications that a FHIR server sends to the twin, and how it shows who it is."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from twin_core.settings.section import Section

_PROOFS = ("secret", "secret_file", "token", "token_file")


class SubscriptionSettings(Section):
    """A subscription at a FHIR server whose notifications come to `/hooks/NAME`."""

    secret: SecretStr | None = None
    """Key of the signature (HMAC-SHA256 of the body) that every notification carries."""
    secret_file: Path | None = None
    """A file with that key; read for every notification."""
    signature_header: str = "X-Signature"
    """The header that the signature is in, as hexadecimal or base64, `sha256=` before it or not."""
    token: SecretStr | None = None
    """What every notification has in `token_header`, as the subscription tells the server to."""
    token_file: Path | None = None
    """A file with that token; read for every notification."""
    token_header: str = "Authorization"  # noqa: S105  (the name of a header)
    """The header that the token is in, after `Bearer` or by itself."""
    websocket: Literal["", "ping", "token", "token-json"] = ""
    """Ask for notifications over a websocket: `ping` as R4 has it (`bind ID`, `ping ID`); `token`
    as topic-based subscriptions have it ($get-ws-binding-token, `bind-with-token`); `token-json`
    for servers that want that in JSON, as Medplum does."""
    websocket_url: str = Field(default="", pattern=r"^(wss?://.*)?$")
    """The websocket's address, for `ping`; for `token` the server tells it."""
    unproven: bool = False
    """Take notifications from whoever can reach the port, where the server can send neither."""
    id: str = Field(default="", pattern=r"^[A-Za-z0-9\-.]{0,64}$")
    """The Subscription's id at the server, for `$events`; told by its notifications where unset."""

    @model_validator(mode="after")
    def _proof(self) -> Self:
        given = [getattr(self, name) is not None for name in _PROOFS]
        if sum(given[:2]) > 1 or sum(given[2:]) > 1:
            raise ValueError("give a secret or a token either itself or by its file")
        if self.websocket and not self.id:
            raise ValueError("a websocket needs the id of the subscription")
        if (self.websocket == "ping") != bool(self.websocket_url):
            raise ValueError("websocket_url goes with websocket = ping")
        if self.unproven and any(given):
            raise ValueError("unproven goes with neither a secret nor a token")
        if not (self.unproven or any(given) or self.websocket):
            raise ValueError("give a secret, a token or both; or unproven = true")
        return self
