"""Who the twin is at a FHIR server: nobody, a token, or a client that asks for tokens.

A token is renewed before it ends, and at once when the server refuses it, even in the middle of
paging. However many requests need one, it is asked for once.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

from adapters.fhir.client.assertion import assertion, signing_key
from adapters.fhir.client.faults import Unauthorized
from adapters.fhir.client.manners import Manners, Reply, refused
from adapters.fhir.client.secrets import secret
from twin_core.errors import ConfigurationError
from twin_core.settings import AuthorizationSettings

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_S = 300.0
"""How long a token is trusted whose lifetime is not said."""
EARLY_S = 60.0
"""A token is renewed so long before it ends, or a fifth of its lifetime if that is shorter."""
_MOST_BYTES = 256 * 1024

Discover = Callable[[], Awaitable["Endpoint"]]


class Endpoint:
    """A token endpoint, and how it wants a client's secret."""

    def __init__(self, url: str, methods: tuple[str, ...] = ()) -> None:
        self.url, self.methods = url, methods

    @property
    def wants_basic(self) -> bool:
        """Whether the secret belongs into the Authorization header (RFC 6749, 2.3.1)."""
        return not self.methods or "client_secret_basic" in self.methods


class Authorization:
    """The Authorization header of requests to one server."""

    def __init__(
        self,
        where: str,
        settings: AuthorizationSettings | None,
        manners: Manners,
        discover: Discover,
    ) -> None:
        self._where, self._settings, self._manners = where, settings, manners
        self._discover = discover
        self._renewing = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0
        self.renewals = 0

    async def headers(self) -> dict[str, str]:
        """What a request needs to be accepted; a token that ends soon is renewed first.

        Raises Unauthorized where the token endpoint refuses, ConfigurationError for secrets that
        cannot be used, and what asking raises.
        """
        if self._settings is None:
            return {}
        if not self._is_good():
            async with self._renewing:
                if not self._is_good():
                    await self._renew(self._settings)
        return {"Authorization": f"Bearer {self._token}"}

    def refuse(self, headers: Mapping[str, str]) -> bool:
        """The server refused these headers; whether others may do better."""
        if self._settings is None:
            return False
        if headers.get("Authorization") == f"Bearer {self._token}":
            self._good_until = 0.0
            if self._settings.token is not None:
                return False
        return True

    def hidden(self, text: str) -> str:
        """A text without the token in it."""
        return text.replace(self._token, "********") if self._token else text

    def _is_good(self) -> bool:
        return bool(self._token) and self._manners.world.monotonic() < self._good_until

    async def _renew(self, settings: AuthorizationSettings) -> None:
        if settings.method == "token":
            self._token = secret(f"{self._where}.token", settings.token, settings.token_file)
            if not _is_plain(self._token):
                raise ConfigurationError(
                    f"The setting {self._where}.token is no token.", why="It has blanks in it."
                )
            self._good_until = float("inf")
            return
        began = self._manners.world.monotonic()
        granted = await self._granted(settings)
        self._token, lifetime_s = _token(granted, self._where)
        # Counted from before the request, and from no clock that can be set.
        self._good_until = began + lifetime_s - min(EARLY_S, lifetime_s / 5)
        self.renewals += 1

    async def _granted(self, settings: AuthorizationSettings) -> Reply:
        endpoint = Endpoint(settings.token_url) if settings.token_url else await self._discover()
        fields = {"grant_type": "client_credentials"}
        fields |= {"scope": settings.scope} if settings.scope else {}
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if settings.method == "private_key":
            fields |= {
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self._assertion(settings, endpoint.url),
            }
        else:
            own = secret(
                f"{self._where}.client_secret", settings.client_secret, settings.client_secret_file
            )
            if endpoint.wants_basic:
                headers["Authorization"] = _basic(settings.client_id, own)
            else:
                fields |= {"client_id": settings.client_id, "client_secret": own}
        reply = await self._manners.ask(
            "POST",
            endpoint.url,
            headers=headers,
            content=urlencode(fields).encode("ascii"),
            most_bytes=_MOST_BYTES,
        )
        if reply.status != 200:
            why = refused(self._manners.name, reply, "").why
            raise Unauthorized(
                f"The token endpoint of source {self._manners.name} gives no token.",
                why=why,
                do=f"See {self._where}: client_id, scope and its credential.",
            )
        return reply

    def _assertion(self, settings: AuthorizationSettings, audience: str) -> str:
        where, world = f"{self._where}.private_key", self._manners.world
        text = secret(where, settings.private_key, settings.private_key_file)
        key = signing_key(where, text, key_id=settings.key_id, algorithm=settings.algorithm)
        return assertion(
            key,
            client_id=settings.client_id,
            audience=audience,
            now=world.clock.now(),
            chance=world.chance,
            key_set_url=settings.key_set_url,
        )


def _token(granted: Reply, where: str) -> tuple[str, float]:
    try:
        tree: Any = json.loads(granted.body)
        token, kind = tree["access_token"], tree.get("token_type", "bearer")
        lifetime_s = float(tree.get("expires_in") or LIFETIME_S)
    except (ValueError, KeyError, TypeError, AttributeError):
        token, kind, lifetime_s = "", "", 0.0
    if (
        not isinstance(token, str)
        or not _is_plain(token)
        or str(kind).lower() != "bearer"
        or lifetime_s <= 0
    ):
        raise Unauthorized("The token endpoint answered with no bearer token.", do=f"See {where}.")
    return token, lifetime_s


def _is_plain(token: str) -> bool:
    return bool(token) and all("!" <= character <= "~" for character in token)


def _basic(client_id: str, own: str) -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(own)}"
    return f"Basic {base64.b64encode(pair.encode('ascii')).decode('ascii')}"
