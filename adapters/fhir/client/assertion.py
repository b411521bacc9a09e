"""A signed assertion of who the client is: `private_key_jwt` with RS384 or ES384.

SMART Backend Services (HL7 SMART App Launch, "Client Authentication: Asymmetric"; RFC 7523): a JWT
whose issuer and subject are the client, whose audience is the token endpoint, that holds for no
more than five minutes, with an id that is never used twice.
"""

import base64
import json
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from twin_core.errors import ConfigurationError

VALID_FOR = timedelta(minutes=4)
"""Five are the most that servers must accept; their clocks may be behind this one."""
LEAST_RSA_BITS = 2048
_COORDINATE_BYTES = 48

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class SigningKey(NamedTuple):
    """A private key with the algorithm it signs by and the name the server knows it by."""

    key: PrivateKey
    algorithm: str
    """RS384 or ES384."""
    key_id: str


def signing_key(where: str, text: str, *, key_id: str = "", algorithm: str = "") -> SigningKey:
    """A private key from PEM, a JWK, or the fitting key of a JWK set.

    Raises ConfigurationError, naming the setting and no part of the key, for what cannot sign.
    """
    try:
        key, own_id = _from_jwk(text, key_id) if text.startswith("{") else (_from_pem(text), "")
    except (ValueError, TypeError, LookupError, AttributeError, UnsupportedAlgorithm):
        # The parsers' own words may repeat what they could not read.
        why = "It is no private key in PEM, JWK or JWK set, or needs a password."
        raise _unusable(where, why) from None
    told = _algorithm(where, key)
    if algorithm and algorithm != told:
        raise _unusable(where, f"It signs by {told}, and algorithm is {algorithm}.")
    return SigningKey(key, told, key_id or own_id)


def assertion(
    signing: SigningKey,
    *,
    client_id: str,
    audience: str,
    now: datetime,
    chance: Random,
    key_set_url: str = "",
) -> str:
    """The assertion for one request to the token endpoint `audience`."""
    header = {"alg": signing.algorithm, "typ": "JWT"}
    header |= {"kid": signing.key_id} if signing.key_id else {}
    header |= {"jku": key_set_url} if key_set_url else {}
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "exp": int((now + VALID_FOR).timestamp()),
        "iat": int(now.timestamp()),
        "jti": f"{chance.getrandbits(128):032x}",
    }
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{_encoded(_signature(signing.key, signed.encode()))}"


def _signature(key: PrivateKey, signed: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), hashes.SHA384())
    # JWS wants the two numbers of the signature side by side, not in DER (RFC 7518, 3.4).
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")


def _algorithm(where: str, key: object) -> str:
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA_BITS:
        return "RS384"
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return "ES384"
    raise _unusable(where, f"It is neither RSA of {LEAST_RSA_BITS} bits or more nor EC P-384.")


def _from_pem(text: str) -> Any:
    # In an environment variable, line ends are often written as \n.
    pem = text.replace("\\n", "\n").encode("ascii")
    return serialization.load_pem_private_key(pem, password=None)


def _from_jwk(text: str, key_id: str) -> tuple[Any, str]:
    tree = json.loads(text)
    candidates = tree["keys"] if "keys" in tree else [tree]
    private = [one for one in candidates if "d" in one]
    fitting = [one for one in private if one.get("kid") == key_id] if key_id else private
    # One key alone may be known to the server by another name than its own.
    chosen = fitting or private[:1] if len(private) == 1 else fitting
    return _from_numbers(chosen[0]), str(chosen[0].get("kid", ""))


def _from_numbers(jwk: dict[str, str]) -> Any:
    if jwk["kty"] == "EC" and jwk["crv"] == "P-384":
        point = ec.EllipticCurvePublicNumbers(_int(jwk["x"]), _int(jwk["y"]), ec.SECP384R1())
        return ec.EllipticCurvePrivateNumbers(_int(jwk["d"]), point).private_key()
    if jwk["kty"] != "RSA":
        raise ValueError
    n, e, d = (_int(jwk[name]) for name in ("n", "e", "d"))
    p, q = (
        (_int(jwk["p"]), _int(jwk["q"])) if "p" in jwk else rsa.rsa_recover_prime_factors(n, e, d)
    )
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(e, n),
    ).private_key()


def _int(text: str) -> int:
    padded = text + "=" * (-len(text) % 4)
    return int.from_bytes(base64.urlsafe_b64decode(padded), "big")


def _part(content: dict[str, Any]) -> str:
    return _encoded(json.dumps(content, separators=(",", ":")).encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _unusable(where: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The setting {where} is not usable.",
        why=why,
        do="Give an RSA key of 2048 bits or more (RS384), or an EC P-384 key (ES384).",
    )
