"""Signing in with an identity provider: OpenID Connect's code flow with PKCE (RFC 7636, S256)."""

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from api.access.control import AccessControl
from api.access.principal import Principal
from api.access.tokens import Refused, Unreachable, principal_of

LOGIN_COOKIE = "wardtwin-login"
BEGUN_LASTS = timedelta(minutes=10)
MOST_BEGUN = 1_000


class _Begun(NamedTuple):
    verifier: str
    nonce: str
    back: str
    redirect: str
    until: datetime


class Provider:
    """The sign-ins that have begun at this server."""

    def __init__(self, control: AccessControl) -> None:
        self._control = control
        self._begun: OrderedDict[str, _Begun] = OrderedDict()

    def begin(self, back: str, redirect: str) -> tuple[str, str]:
        """Where to send somebody, and the state by which they are known when they come back.

        Raises Unreachable where the provider does not say where.
        """
        settings = self._control.settings
        address = self._control.published.document().get("authorization_endpoint")
        if not isinstance(address, str):
            raise Unreachable("the provider names no place to sign in")
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        until = self._control.clock.now() + BEGUN_LASTS
        self._begun[state] = _Begun(verifier, nonce, back, redirect, until)
        while len(self._begun) > MOST_BEGUN:
            self._begun.popitem(last=False)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        asked = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect,
            "scope": settings.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}", state

    def finish(self, state: str, cookie: str, code: str) -> tuple[Principal, str]:
        """Who has signed in, and where they wanted to go. Raises Refused or Unreachable."""
        begun = self._begun.pop(state, None)
        same = hmac.compare_digest(state.encode(), cookie.encode("utf-8", "replace"))
        if begun is None or not same or self._control.clock.now() >= begun.until or not code:
            raise Refused("a sign-in that did not begin here")
        verifier = self._control.verifier
        if verifier is None:
            raise Refused("no provider is configured")
        claims = verifier.claims(self._token(begun, code), self._control.settings.client_id)
        nonce = str(claims.get("nonce", ""))
        if not hmac.compare_digest(nonce.encode("utf-8", "replace"), begun.nonce.encode()):
            raise Refused("another sign-in's token")
        return principal_of(claims, self._control.settings), begun.back

    def _token(self, begun: _Begun, code: str) -> str:
        settings = self._control.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun.redirect,
            "client_id": settings.client_id,
            "code_verifier": begun.verifier,
        }
        if settings.client_secret is not None:
            form["client_secret"] = settings.client_secret.get_secret_value()
        address = self._control.published.document().get("token_endpoint")
        if not isinstance(address, str):
            raise Unreachable("the provider names no token endpoint")
        try:
            told = json.loads(self._control.exchange(address, form))
        except (OSError, ValueError) as error:
            raise Unreachable(type(error).__name__) from error
        token = told.get("id_token") if isinstance(told, dict) else None
        if not isinstance(token, str):
            raise Refused("no identity token")
        return token
