"""Bearer tokens of an identity provider: JWTs verified as RFC 8725 wants it.

Only asymmetric signatures count. The key is found by `kid` among those that the configured issuer
publishes and nowhere else: a token that brings its own key, or the address of one, is refused.
Verification of the signature itself is joserfc's, which is told the one algorithm to accept.
"""

import json
import logging
import re
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from api.access.principal import Principal
from api.access.roles import ROLE_NAMES
from api.access.scopes import names_fhir, scopes_in
from twin_core.clock import Clock
from twin_core.errors import ConfigurationError
from twin_core.settings import AccessSettings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
HEAVIEST_TOKEN = 16 * 1024
FRESH = timedelta(minutes=10)
"""How long published keys are used before they are asked for again."""
PATIENCE = timedelta(seconds=30)
"""How soon after the last time an unknown key may make us ask again."""
KEPT = timedelta(hours=24)
"""How long keys are used while their publisher does not answer."""
_FORBIDDEN_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "zip", "enc", "b64"})
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_SMALLEST_RSA_BITS = 2048
LONGEST_SUBJECT = 255
"""Characters of `sub` (OpenID Connect Core 1.0, section 2)."""
LONGEST_S = 366 * 24 * 3600.0
"""What is good for longer than this is meant to be good for ever."""
_LAST = 10**15
"""No instant is as many seconds from 1970."""
_ABSENT: Any = object()
_PART = re.compile(r"[A-Za-z0-9_-]+")

Fetch = Callable[[str], bytes]
"""The body behind a URL. Raises OSError."""
log = logging.getLogger(__name__)


class Refused(Exception):
    """A token that opens nothing; why is for the server's log only."""


class Unreachable(Exception):
    """The issuer's keys cannot be had now."""


class _Keys(NamedTuple):
    by_id: Mapping[str, RSAKey | ECKey]
    at: datetime


class Published:
    """The keys that an issuer publishes, asked for again when they are old or one is unknown."""

    def __init__(self, settings: AccessSettings, fetch: Fetch, clock: Clock) -> None:
        self._settings, self._fetch, self._clock = settings, fetch, clock
        self._keys: _Keys | None = None
        self._asked_at: datetime | None = None
        self._lock = threading.Lock()

    def key(self, key_id: str | None) -> RSAKey | ECKey:
        """The key of an id; the only one there is, where a token names none.

        Raises Refused where there is no such key, Unreachable where no keys are at hand.
        """
        with self._lock:
            now = self._clock.now()
            keys = self._keys
            if keys is None or now - keys.at > FRESH or not _has(keys, key_id):
                keys = self._renewed(now)
            if key_id is None and len(keys.by_id) == 1:
                return next(iter(keys.by_id.values()))
            if key_id is None or key_id not in keys.by_id:
                raise Refused("no key of that id is published")
            return keys.by_id[key_id]

    def renewed(self, key_id: str | None, key: RSAKey | ECKey) -> RSAKey | ECKey | None:
        """Another key under the id of one that does not fit, where the issuer has published one.

        Some issuers give a new key the id of the old one, or none. They are asked no sooner than
        for an unknown id. Raises what `key` does.
        """
        with self._lock:
            self._renewed(self._clock.now())
        again = self.key(key_id)
        return None if again.thumbprint() == key.thumbprint() else again

    def document(self) -> Mapping[str, Any]:
        """The issuer's discovery document. Raises Unreachable."""
        issuer = self._settings.issuer.rstrip("/")
        told = self._got(f"{issuer}/.well-known/openid-configuration")
        if not isinstance(told, dict) or str(told.get("issuer", "")).rstrip("/") != issuer:
            raise Unreachable("the discovery document is another issuer's")
        return told

    def _renewed(self, now: datetime) -> _Keys:
        if self._asked_at is not None and now - self._asked_at < PATIENCE:
            if self._keys is None:
                raise Unreachable("the keys could not be had a moment ago")
            return self._keys
        self._asked_at = now
        try:
            self._keys = _Keys(_usable(self._got(self._address())), now)
        except Unreachable as error:
            if self._keys is None or now - self._keys.at > KEPT:
                raise
            log.warning("the issuer's keys could not be renewed: %s", error)
        return self._keys

    def _address(self) -> str:
        if self._settings.jwks_url:
            return self._settings.jwks_url
        address = self.document().get("jwks_uri")
        if not isinstance(address, str) or urlsplit(address).scheme not in ("https", "http"):
            raise Unreachable("the discovery document names no keys")
        return address

    def _got(self, url: str) -> Any:
        try:
            return json.loads(self._fetch(url))
        except (OSError, ValueError, RecursionError) as error:
            raise Unreachable(type(error).__name__) from error


def _signed_by(key: RSAKey | ECKey, token: str, algorithm: str) -> bytes:
    """What a token says, where the key has signed it. Raises Refused."""
    try:
        return jws.deserialize_compact(token, key, algorithms=[algorithm]).payload
    except (JoseError, ValueError, TypeError) as error:
        raise Refused(f"the signature does not hold: {type(error).__name__}") from error


class TokenVerifier:
    """Turns a bearer token of the configured issuer into who it speaks for."""

    def __init__(self, settings: AccessSettings, published: Published, clock: Clock) -> None:
        if not settings.issuer or not settings.audience:
            raise ConfigurationError("access.issuer needs access.audience.")
        self._settings, self._published, self._clock = settings, published, clock

    def principal(self, token: str) -> Principal:
        """Who a token speaks for. Raises Refused or Unreachable."""
        claims = self.claims(token, self._settings.audience)
        return principal_of(claims, self._settings)

    def claims(self, token: str, audience: str) -> Mapping[str, Any]:
        """The claims of a token for an audience, once everything about it has been verified.

        Raises Refused or Unreachable.
        """
        header = _header(token)
        key = self._published.key(header.get("kid"))
        _check_match(header["alg"], key)
        try:
            payload = _signed_by(key, token, header["alg"])
        except Refused:
            again = self._published.renewed(header.get("kid"), key)
            if again is None:
                raise
            _check_match(header["alg"], again)
            payload = _signed_by(again, token, header["alg"])
        claims = _object(payload)
        self._check(claims, audience)
        return claims

    def _check(self, claims: Mapping[str, Any], audience: str) -> None:
        if claims.get("iss") != self._settings.issuer:
            raise Refused("another issuer")
        meant = claims.get("aud")
        if audience not in (meant if isinstance(meant, list) else [meant]):
            raise Refused("another audience")
        now, skew = self._clock.now().timestamp(), self._settings.skew_seconds
        expires, begins, issued = (_instant(claims, name) for name in ("exp", "nbf", "iat"))
        if expires is None or not now - skew < expires < now + LONGEST_S:
            raise Refused("expired, or never to expire")
        if begins is not None and now < begins - skew:
            raise Refused("not valid yet")
        if issued is not None and now < issued - skew:
            raise Refused("issued in the future")


def _has(keys: _Keys, key_id: str | None) -> bool:
    return key_id is None or key_id in keys.by_id


def _header(token: str) -> dict[str, Any]:
    """The header, where it may be believed so far. Raises Refused."""
    parts = token.split(".")
    if len(token) > HEAVIEST_TOKEN or len(parts) != 3 or not all(map(_PART.fullmatch, parts)):
        raise Refused("no signed token")
    try:
        header = _object(urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except ValueError as error:
        raise Refused("no header") from error
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in ALGORITHMS:
        raise Refused("an algorithm that is not allowed")
    if _FORBIDDEN_HEADERS & header.keys():
        raise Refused("a header that brings a key or a condition of its own")
    if key_id is not None and (not isinstance(key_id, str) or not 0 < len(key_id) <= 256):
        raise Refused("no key id")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Refused("no access token")
    return header


def _object(raw: bytes) -> dict[str, Any]:
    """A JSON object whose names occur once. Raises Refused."""
    try:
        told = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refused("no JSON object") from error
    if not isinstance(told, dict):
        raise Refused("no JSON object")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    told = claims[name]
    if isinstance(told, bool) or not isinstance(told, int | float) or not abs(told) < _LAST:
        raise Refused(f"{name} is no instant")
    return float(told)


def _check_match(algorithm: str, key: RSAKey | ECKey) -> None:
    """An algorithm and a key that do not belong together are an attack, not an accident."""
    if isinstance(key, RSAKey) != (algorithm[:2] in ("RS", "PS")):
        raise Refused("another kind of key")
    told = key.as_dict(private=False)
    if isinstance(key, ECKey) and told.get("crv") != _CURVES.get(algorithm):
        raise Refused("another curve")
    if told.get("alg", algorithm) != algorithm:
        raise Refused("the key is for another algorithm")


def _usable(told: Any) -> dict[str, RSAKey | ECKey]:
    """The public signing keys of a JWKS by id; what is none of these is left out."""
    listed = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        raise Unreachable("no set of keys")
    usable: dict[str, RSAKey | ECKey] = {}
    for one in listed:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        public = {name: value for name, value in one.items() if name not in _PRIVATE}
        try:
            key = _imported(public)
        except (JoseError, ValueError, KeyError, TypeError):
            continue
        if key is not None:
            usable[str(one.get("kid", ""))] = key
    if not usable:
        raise Unreachable("no usable key is published")
    return usable


def _imported(public: dict[str, Any]) -> RSAKey | ECKey | None:
    if public.get("kty") == "EC":
        return ECKey.import_key(public)
    if public.get("kty") != "RSA":
        return None
    key = RSAKey.import_key(public)
    return key if key.public_key.key_size >= _SMALLEST_RSA_BITS else None


_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "key_ops"})


def principal_of(claims: Mapping[str, Any], settings: AccessSettings) -> Principal:
    """Who verified claims speak for. Raises Refused where they name nobody."""
    subject = claims.get("sub") or claims.get("client_id") or claims.get("azp")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise Refused("nobody is named")
    if not subject.isprintable():
        raise Refused("the name of nobody")
    scope = claims.get("scope") or claims.get("scp") or ""
    text = " ".join(map(str, scope)) if isinstance(scope, list) else str(scope)
    client = claims.get("client_id") in (None, subject) and "email" not in claims
    name = claims.get("name") or claims.get("preferred_username") or ""
    return Principal(
        id=subject,
        kind="client" if client and not name else "person",
        name=name if isinstance(name, str) else "",
        roles=_roles(claims, settings),
        scopes=scopes_in(text),
        fhir_by_scope=names_fhir(text),
        facilities=_held_to(claims, settings.facilities_claim),
        units=_held_to(claims, settings.units_claim),
    )


def _roles(claims: Mapping[str, Any], settings: AccessSettings) -> tuple[str, ...]:
    told = _words(claims, settings.roles_claim)
    mapped = (settings.roles.get(word, word if not settings.roles else "") for word in told)
    return tuple(sorted({role for role in mapped if role in ROLE_NAMES}))


def _held_to(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The places that a claim holds somebody to; none where there is no such claim.

    A list, or a text that is one place: codes have spaces in them, so a text is not parted.
    Raises Refused for a claim that names no place: it is meant as a limit, and is not read as none.
    """
    told = _claim(claims, path)
    if told is _ABSENT:
        return ()
    places = [told] if isinstance(told, str) else told
    if not isinstance(places, list) or not places:
        raise Refused(f"{path} names no place")
    if not all(isinstance(place, str) and place.strip() for place in places):
        raise Refused(f"{path} names what is no place")
    return tuple(places)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim, which may be nested: `realm_access.roles`."""
    told: Any = claims
    for name in path.split("."):
        if not isinstance(told, dict) or name not in told:
            return _ABSENT
        told = told[name]
    return told


def _words(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The words of a claim."""
    told = _claim(claims, path)
    if isinstance(told, str):
        return tuple(told.split())
    return tuple(map(str, told)) if isinstance(told, Sequence) else ()
