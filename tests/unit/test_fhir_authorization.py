"""Who the twin is at a FHIR server: signed assertions, secrets, tokens that end at bad moments."""

import asyncio
import base64
import json
import logging
import ssl
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
import uvicorn
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

sys.path.insert(0, str(Path(__file__).parent))

from certificates import Authority
from fhir_peer import Peer, listening, met, settings

from adapters.fhir.client.faults import SourceError, Unauthorized, Unreachable
from adapters.fhir.client.search import Search
from adapters.fhir.client.server import FhirServer, http_client, tls_context
from twin_core.errors import ConfigurationError, TwinError
from twin_core.settings import LimitSettings

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  (refused)
EC = ec.generate_private_key(ec.SECP384R1())
SECRET = "correct:horse battery&staple"  # noqa: S105  (a test's)


def pem(key, form=serialization.PrivateFormat.PKCS8):
    return key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    ).decode()


def number(value, length):
    return base64.urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()


def rsa_jwk(key, **more):
    own = key.private_numbers()
    public = own.public_numbers
    names = {"n": public.n, "e": public.e, "d": own.d, "p": own.p, "q": own.q}
    numbers = {name: number(value, 256) for name, value in names.items()}
    return {"kty": "RSA", "alg": "RS384", **numbers, **more}


def ec_jwk(key, **more):
    own = key.private_numbers()
    names = {"x": own.public_numbers.x, "y": own.public_numbers.y, "d": own.private_value}
    numbers = {name: number(value, 48) for name, value in names.items()}
    return {"kty": "EC", "crv": "P-384", **numbers, **more}


def by_key(text, **more):
    auth = {"method": "private_key", "client_id": "twin", "private_key": text, **more}
    return settings(auth=auth)


def read_all(peer, source):
    async def reading():
        async with met(peer, source) as server:
            got = []
            async for step in Search(server, "Patient").passed(None):
                got += [one.id for one in step.entries]
            return got, server.authorization.renewals

    return asyncio.run(reading())


@pytest.fixture
def peer():
    peer = Peer()
    peer.people(10)
    peer.tokens = 0
    return peer


def part(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def checked(token, key):
    """Header and claims of an assertion whose signature is right."""
    head, claims, signature = token.split(".")
    signed = f"{head}.{claims}".encode()
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(raw, signed, padding.PKCS1v15(), hashes.SHA384())
    else:
        assert len(raw) == 96
        r, s = int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big")
        key.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))
    return part(head), part(claims)


KEYS = {
    "RSA as PKCS 8": (RSA, pem(RSA), "RS384", ""),
    "RSA as PKCS 1": (RSA, pem(RSA, serialization.PrivateFormat.TraditionalOpenSSL), "RS384", ""),
    "RSA on one line": (RSA, pem(RSA).replace("\n", "\\n"), "RS384", ""),
    "EC": (EC, pem(EC), "ES384", ""),
    "RSA as JWK": (RSA, json.dumps(rsa_jwk(RSA, kid="r1")), "RS384", "r1"),
    "EC as JWK": (EC, json.dumps(ec_jwk(EC, kid="e1")), "ES384", "e1"),
    "JWK set": (
        EC,
        json.dumps({"keys": [rsa_jwk(RSA, kid="r1"), ec_jwk(EC, kid="e1")]}),
        "ES384",
        "e1",
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_an_assertion_says_who_to_whom_and_for_how_long(peer, name):
    key, text, algorithm, key_id = KEYS[name]
    more = {"key_id": key_id} if name == "JWK set" else {}
    read_all(peer, by_key(text, **more))
    [(headers, form)] = peer.token_requests
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert form["grant_type"] == "client_credentials"
    assert form["scope"] == "system/*.read"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    header, claims = checked(form["client_assertion"], key)
    assert (header["alg"], header["typ"], header.get("kid", "")) == (algorithm, "JWT", key_id)
    assert claims["iss"] == claims["sub"] == "twin"
    assert claims["aud"] == "http://peer.test/fhir/token"
    assert 0 < claims["exp"] - peer.time.now().timestamp() <= 300
    assert len(claims["jti"]) >= 32


def test_no_assertion_is_sent_twice(peer):
    peer.token_uses = 2
    read_all(peer, by_key(pem(EC)))
    ids = [checked(form["client_assertion"], EC)[1]["jti"] for _, form in peer.token_requests]
    assert len(ids) == len(set(ids)) > 1


UNUSABLE = {
    "no key": ("nonsense", {}),
    "short RSA": (pem(SHORT), {}),
    "other curve": (pem(ec.generate_private_key(ec.SECP256R1())), {}),
    "public JWK": (json.dumps({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}), {}),
    "other algorithm": (pem(EC), {"algorithm": "RS384"}),
    "other key id": (
        json.dumps({"keys": [rsa_jwk(RSA, kid="a"), ec_jwk(EC, kid="b")]}),
        {"key_id": "c"},
    ),
    "damaged JWK": ('{"kty": "RSA", "d": 7}', {}),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_cannot_sign_is_named_and_not_shown(peer, name):
    text, more = UNUSABLE[name]
    with pytest.raises(ConfigurationError, match=r"sources\.pas\.auth\.private_key") as raised:
        read_all(peer, by_key(text, **more))
    said = str(raised.value) + repr(raised.value.__cause__)
    assert not any(line in said for line in text.split("\n") if len(line) > 8)
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_keys_come_from_files_and_are_read_again_when_they_change(peer, tmp_path):
    file = tmp_path / "key.pem"
    file.write_text(pem(RSA))
    source = settings(auth={"method": "private_key", "client_id": "twin", "private_key_file": file})
    peer.on_page[2] = lambda: (file.write_text(pem(EC)), setattr(peer, "tokens", 99))
    read_all(peer, source)
    checked(peer.token_requests[0][1]["client_assertion"], RSA)
    checked(peer.token_requests[1][1]["client_assertion"], EC)


def test_a_token_is_renewed_in_the_middle_of_paging(peer):
    peer.token_uses = 2
    got, renewals = read_all(peer, by_key(pem(EC)))
    assert got == [f"p{n}" for n in range(10)]
    assert renewals == 2


def test_a_token_is_renewed_before_it_ends(peer):
    peer.expires_in = 120
    for page in (2, 3, 4):
        peer.on_page[page] = lambda: setattr(peer.time, "at", peer.time.at + timedelta(seconds=50))
    _, renewals = read_all(peer, by_key(pem(EC)))
    assert renewals == 2
    assert 401 not in [status for status, _, _ in peer.answers]
    assert all(count <= 3 for count in peer.used.values())


def test_a_short_token_is_used_all_the_same(peer):
    peer.expires_in = 10
    assert read_all(peer, by_key(pem(EC)))[1] == 1


def test_many_requests_ask_for_one_token(peer):
    async def asking():
        async with met(peer, by_key(pem(EC), **{})) as server:
            address = server.address("Patient/p1")
            await asyncio.gather(*(server.ask(address) for _ in range(8)))

    asyncio.run(asking())
    assert len(peer.token_requests) == 1


def test_a_server_that_refuses_every_token_is_not_asked_for_ever(peer):
    peer.on_page[1] = lambda: None
    peer.unauthorized = lambda request: peer.outcome(401, "login")
    with pytest.raises(Unauthorized, match="401"):
        read_all(peer, by_key(pem(EC)))
    assert len(peer.token_requests) == 2


@pytest.mark.parametrize("methods", [None, ["client_secret_basic"], ["client_secret_post"]])
def test_a_secret_is_shown_as_the_token_endpoint_wants_it(peer, methods):
    told = {"token_endpoint": "http://peer.test/fhir/token"}
    told |= {"token_endpoint_auth_methods_supported": methods} if methods else {}
    peer.answers = [(200, {}, json.dumps(told).encode())]
    auth = {"method": "client_secret", "client_id": "twin", "client_secret": SECRET}
    assert len(read_all(peer, settings(auth=auth))[0]) == 10
    [(headers, form)] = peer.token_requests
    if methods == ["client_secret_post"]:
        assert (form["client_id"], form["client_secret"]) == ("twin", SECRET)
        assert "authorization" not in headers
    else:
        shown = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
        assert list(map(unquote_plus, shown.split(":"))) == ["twin", SECRET]


def test_the_token_endpoint_is_found_in_the_capability_statement(peer):
    uris = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [{"url": "token", "valueUri": "http://peer.test/fhir/token"}],
    }
    statement = peer.metadata()
    statement["rest"][0]["security"] = {"extension": [uris]}
    peer.answers = [(404, {}, b""), (200, {}, json.dumps(statement).encode())]
    assert len(read_all(peer, by_key(pem(EC)))[0]) == 10


def test_a_server_without_a_token_endpoint_is_told_so(peer):
    peer.answers = [(404, {}, b""), (404, {}, b"")]
    with pytest.raises(Unauthorized, match=r"auth\.token_url"):
        read_all(peer, by_key(pem(EC)))


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"access_token": 7},
        {"access_token": "a b"},
        {"access_token": "x", "token_type": "mac"},
        {"access_token": "x", "expires_in": "soon"},
    ],
)
def test_an_answer_without_a_token_is_no_token(peer, body):
    peer.token_answer = (200, body)
    with pytest.raises(Unauthorized):
        read_all(peer, by_key(pem(EC)))


def test_no_secret_is_ever_said(peer, caplog):
    caplog.set_level(logging.DEBUG)
    said = []
    fixed = "fixed-token-of-this-site"
    sources = [
        settings(auth={"method": "token", "token": fixed}),
        settings(auth={"method": "client_secret", "client_id": "twin", "client_secret": SECRET}),
        by_key(pem(EC)),
    ]
    peer.token_answer = (400, {"error": "invalid_client", "error_description": f"bad {SECRET}"})
    for source in sources:
        with pytest.raises(TwinError) as raised:
            read_all(peer, source)
        said += [str(raised.value), repr(raised.value), repr(source), source.model_dump_json()]
    said.append(caplog.text)
    assert "invalid_client" in said[4]
    for secret in (fixed, SECRET, pem(EC).split("\n")[1]):
        assert not any(secret in text for text in said)


def test_credentials_stay_with_whom_they_are_for(peer):
    peer.tokens = None
    source = settings(
        auth={"method": "token", "token": "abc"}, other_origins=("http://files.test:81",)
    )

    async def asking():
        async with met(peer, source) as server:
            at = "http://other.test/fhir/Patient"
            peer.answers = [(302, {"Location": at}, b""), (200, {}, b"{}")]
            await server.ask(server.address("Patient"))
            await server.ask("http://files.test:81/x")
            return [headers.get("authorization") for headers in peer.headers]

    assert asyncio.run(asking()) == ["Bearer abc", None, "Bearer abc"]


def test_a_secured_server_does_not_lead_to_an_unsecured_address():
    peer = Peer(base="https://peer.test/fhir")
    peer.answers = [(302, {"Location": "http://peer.test/fhir/Patient"}, b"")]

    async def asking():
        async with met(peer, settings(url="https://peer.test/fhir")) as server:
            await server.ask(server.address("Patient"))

    with pytest.raises(SourceError, match="without TLS"):
        asyncio.run(asking())
    assert len(peer.asked) == 1


def test_a_server_that_wants_a_client_certificate_gets_it(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    own, own_key = authority.issue("twin", client=True)
    peer = Peer()
    peer.people(1)
    config = uvicorn.Config(
        peer.app,
        log_level=100,
        log_config=None,
        lifespan="off",
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        ssl_ca_certs=str(authority.file),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    tables = {
        "none": {"authority": authority.file},
        "ours": {"authority": authority.file, "certificate": own, "key": own_key},
        "another authority": {"certificate": own, "key": own_key},
    }

    async def asking(base, tls):
        source = settings(url=base, attempts=1, tls=tls)
        async with http_client("pas", source, "1") as http:
            server = FhirServer("pas", source, LimitSettings(), http, peer.time.world())
            return (await server.ask(server.address("Patient/p0"))).status

    with listening(config) as address:
        base = address.replace("http://127.0.0.1", "https://localhost") + "/fhir"
        peer.base = peer.known_as = base
        assert asyncio.run(asking(base, tables["ours"])) == 200
        for name in ("none", "another authority"):
            with pytest.raises(Unreachable):
                asyncio.run(asking(base, tables[name]))
    with pytest.raises(ConfigurationError, match=r"sources\.pas\.tls\.certificate"):
        tls_context("pas", settings(tls={"certificate": tmp_path / "none.pem"}))
