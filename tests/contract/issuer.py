"""An identity provider for tests: it publishes keys, signs tokens, and counts who asks."""

import base64
import hmac
import json
import secrets
from typing import Any

from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

ISSUER, AUDIENCE = "https://id.hospital.test", "https://twin.hospital.test"


class Issuer:
    """Keys by id, and the documents that publish them."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.keys: dict[str, Any] = {}
        self.asked: list[str] = []
        self.down = False
        self.publish("rsa-1", RSAKey.generate_key(2048))
        self.publish("ec-1", ECKey.generate_key("P-256"))

    def publish(self, key_id: str, key: Any) -> None:
        self.keys[key_id] = key

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.down:
            raise ConnectionError("no route")
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return json.dumps(
                {
                    "issuer": ISSUER,
                    "jwks_uri": f"{ISSUER}/keys",
                    "authorization_endpoint": f"{ISSUER}/authorize",
                    "token_endpoint": f"{ISSUER}/token",
                }
            ).encode()
        assert url == f"{ISSUER}/keys", url
        published = [
            {**key.as_dict(private=False), "kid": key_id, "use": "sig"}
            for key_id, key in self.keys.items()
        ]
        return json.dumps({"keys": published}).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        told = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u-17",
            "name": "Night Desk",
            "iat": self.now - 5,
            "exp": self.now + 300,
            "jti": secrets.token_hex(4),
            "roles": ["operations"],
        }
        told |= changed
        return {name: value for name, value in told.items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        told = {"alg": "RS256", "kid": "rsa-1", "typ": "at+jwt", **(header or {})}
        told = {name: value for name, value in told.items() if value is not None}
        signing = key or self.keys.get(str(told.get("kid")), self.keys["rsa-1"])
        signed = (
            f"{part(json.dumps(told).encode())}.{part(json.dumps(self.claims(**claims)).encode())}"
        )
        if isinstance(signing, bytes):
            digest = hmac.digest(signing, signed.encode(), f"sha{told['alg'][2:]}")
            return f"{signed}.{part(digest)}"
        # Signed under a plain header, so that the library has no say in what a forger writes.
        algorithm = JWSRegistry.algorithms[told["alg"]]
        return f"{signed}.{part(algorithm.sign(signed.encode(), signing))}"

    def public_pem(self) -> bytes:
        """The public key as a shared secret, which is how RS256 is confused with HS256."""
        return self.keys["rsa-1"].as_pem(private=False)


def part(raw: bytes) -> str:
    """A part of a compact token."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
