"""A FHIR server: its answers to one who is authorized, and what it can do."""

import json
import logging
import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import httpx

from adapters.fhir.client.authorization import Authorization, Endpoint
from adapters.fhir.client.capability import Capability, read_capability
from adapters.fhir.client.faults import Unauthorized, Untrustworthy
from adapters.fhir.client.manners import (
    USER_AGENT,
    Manners,
    Reply,
    clock_of,
    moved_to,
    origin,
    refused,
    resolved,
)
from adapters.fhir.client.world import World
from adapters.fhir.release import Release
from twin_core.errors import ConfigurationError
from twin_core.settings import LimitSettings, SourceSettings, is_loopback

LOG = logging.getLogger("wardtwin.sources")
FHIR_JSON = "application/fhir+json"
ACCEPT = f"{FHIR_JSON}, application/json;q=0.9"
_REDIRECTS = 5
_SMART_CONFIGURATION = "/.well-known/smart-configuration"

Parameters = list[tuple[str, str]]


class FhirServer:
    """One configured source: ask it by address below its base, or by what its links say."""

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        limits: LimitSettings,
        http: httpx.AsyncClient,
        world: World,
    ) -> None:
        self.name, self.settings, self.limits, self.world = name, settings, limits, world
        self.base = settings.url
        self.manners = Manners(name, settings, http, world)
        where = f"sources.{name}.auth"
        self.authorization = Authorization(where, settings.auth, self.manners, self._endpoint)
        self._shown_to = frozenset(map(origin, (settings.url, *settings.other_origins)))
        self._capability: Capability | None = None
        self._etag = ""

    def address(self, path: str, parameters: Parameters | None = None) -> str:
        """An address below the base."""
        # FHIR writes colons, commas and bars in parameters; quoting them confuses some servers.
        query = urlencode(parameters or [], safe=":,|$/")
        return f"{self.base}/{path}".rstrip("/") + (f"?{query}" if query else "")

    def export_address(self, path: str, parameters: Parameters) -> str:
        """As `address`, of an operation whose parameters hold whole searches."""
        query = urlencode(parameters, safe=":,")
        return f"{self.base}/{path}" + (f"?{query}" if query else "")

    async def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """An answer of any status but those of trouble that passes; a 401 only when a new token
        does not help either. Redirects are followed; credentials stay with those they are for."""
        asked = {"Accept": ACCEPT, **(headers or {})}
        renewed = False
        for _ in range(_REDIRECTS):
            shown = await self.credentials(url)
            reply = await self.manners.ask(
                method, url, headers={**asked, **shown}, most_bytes=self.limits.body_bytes
            )
            if reply.status == 401 and not renewed and shown and self.authorization.refuse(shown):
                renewed = True
                continue
            target = moved_to(reply)
            if target is None:
                return reply
            self.require_safe(target)
            url = target
        raise Untrustworthy(f"The server of source {self.name} redirects in circles.")

    async def fetch(self, url: str, what: str, headers: Mapping[str, str] | None = None) -> Reply:
        """An answer of status 200; raises Declined, Lost or Unauthorized for a refusal."""
        reply = await self.ask(url, headers=headers)
        if reply.status != 200:
            raise refused(self.name, reply, what)
        return reply

    async def credentials(self, url: str) -> dict[str, str]:
        """The headers that authorize a request to an address; none for those of others."""
        return await self.authorization.headers() if origin(url) in self._shown_to else {}

    def may_be_shown(self, url: str) -> bool:
        """Whether an address may see the credentials."""
        return origin(url) in self._shown_to

    def require_safe(self, url: str) -> None:
        """Refuse to go from a secured server to an unsecured address."""
        if self.base.startswith("https:") and not url.startswith("https:"):
            raise Untrustworthy(
                f"The server of source {self.name} leads to an address without TLS.",
                do="What belongs to patients must not travel there.",
            )

    async def capability(self) -> Capability:
        """What the server says it can do; asked once."""
        return self._capability or (await self.capability_now())[0]

    async def capability_now(self) -> tuple[Capability, datetime | None]:
        """What the server says it can do, asked anew unless it says that nothing has changed; and
        what its clock shows."""
        validator = {"If-None-Match": self._etag} if self._etag and self._capability else {}
        address = self.address("metadata")
        reply = await self.ask(address, headers=validator)
        if reply.status != 304 or self._capability is None:
            if reply.status != 200:
                raise refused(self.name, reply, "its CapabilityStatement")
            self._capability = read_capability(reply.body, self.name, self.settings.version)
            self._etag = reply.headers.get("etag", "")
        return self._capability, clock_of(reply)

    async def release(self) -> Release:
        """The edition of FHIR that its resources are read by."""
        return (await self.capability()).release

    async def _endpoint(self) -> Endpoint:
        """The token endpoint, from the SMART configuration, else from the CapabilityStatement."""
        found = await self._smart_endpoint() or await self._stated_endpoint()
        if found is None or not found.url.startswith(("https://", "http://")):
            raise Unauthorized(
                f"The server of source {self.name} names no token endpoint.",
                why="It has neither .well-known/smart-configuration nor OAuth addresses.",
                do=f"Set sources.{self.name}.auth.token_url.",
            )
        self.require_safe(found.url)
        return found

    async def _smart_endpoint(self) -> Endpoint | None:
        reply = await self._unauthorized(f"{self.base}{_SMART_CONFIGURATION}")
        tree = _json(reply.body) if reply is not None else {}
        url, methods = tree.get("token_endpoint"), tree.get("token_endpoint_auth_methods_supported")
        if not isinstance(url, str) or not url:
            return None
        known = tuple(map(str, methods)) if isinstance(methods, list) else ()
        return Endpoint(resolved(f"{self.base}/", url), known)

    async def _stated_endpoint(self) -> Endpoint | None:
        reply = await self._unauthorized(self.address("metadata"))
        if reply is None:
            return None
        url = read_capability(reply.body, self.name, self.settings.version).token_url
        return Endpoint(url) if url else None

    async def _unauthorized(self, url: str) -> Reply | None:
        for _ in range(_REDIRECTS):
            reply = await self.manners.ask(
                "GET",
                url,
                headers={"Accept": "application/json"},
                most_bytes=self.limits.body_bytes,
            )
            target = moved_to(reply)
            if target is None:
                return reply if reply.status == 200 else None
            self.require_safe(target)
            url = target
        return None


def http_client(name: str, settings: SourceSettings, version: str) -> httpx.AsyncClient:
    """Connections to one server: TLS verified, redirects not followed, no settings from elsewhere.

    Raises ConfigurationError for files that cannot be used.
    """
    return httpx.AsyncClient(
        verify=tls_context(name, settings),
        timeout=httpx.Timeout(settings.timeout_s, connect=min(10.0, settings.timeout_s), pool=None),
        limits=httpx.Limits(
            max_connections=settings.concurrency + 1,
            max_keepalive_connections=settings.concurrency,
        ),
        headers={"User-Agent": USER_AGENT.format(version=version)},
        proxy=settings.proxy or None,
        follow_redirects=False,
        trust_env=False,
    )


def is_secured(settings: SourceSettings) -> bool:
    """Whether nobody on the way reads along: TLS, or a server on this machine."""
    url = httpx.URL(settings.url)
    return url.scheme == "https" or is_loopback(url.host)


def tls_context(name: str, settings: SourceSettings) -> ssl.SSLContext:
    """How connections are secured: TLS 1.2 or newer, the server verified, with a certificate of
    one's own where one is set. Raises ConfigurationError for files that cannot be used."""
    tls = settings.tls
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls is None:
        return context
    for key, path in (("authority", tls.authority), ("certificate", tls.certificate)):
        if path is None:
            continue
        try:
            if key == "authority":
                context = ssl.create_default_context(cafile=str(path))
                context.minimum_version = ssl.TLSVersion.TLSv1_2
            else:
                # A key with a password would be asked for on a terminal.
                context.load_cert_chain(path, tls.key, password="")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The setting sources.{name}.tls.{key} is not usable.",
                why=f"{path}: {_reason(error)}.",
                do="Give PEM files that this user may read; a key has no password.",
            ) from error
    return context


def _reason(error: Exception) -> str:
    said = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    return str(said or type(error).__name__)


def _json(body: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(body)
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}
