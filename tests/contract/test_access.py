"""Doors with locks: who gets in, who does not, and that nobody learns why."""

import base64
import json
import re
import sqlite3
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from api.access.control import AccessControl
from api.access.doors import DOORS, KNOWN, OPEN
from api.access.limits import RateLimit
from api.access.roles import PERMISSIONS, ROLE_NAMES, ROLES
from api.access.store import AccessStore, View
from api.app import create_app
from api.roles_page import page
from tests.contract import issuer as issuing
from tests.contract.conftest import HEARD, Caller, StoppedClock, adt
from twin_core.audit import LedgerReader, ledger_path
from twin_core.errors import AuditFailed, UsageError
from twin_core.settings import AccessSettings, FeedSettings, Settings
from twin_core.twin import Twin

ADVERSARIAL = Path(__file__).parents[3] / "shared" / "adversarial" / "cases.json"
STREAMS = {"/v1/deltas", "/v1/alerts/stream"}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Movable:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


class Site:
    """A hospital whose doors have locks: application, provider, clock and keys."""

    def __init__(self, caller, twin, control, issuer, clock):
        self.caller, self.twin, self.control = caller, twin, control
        self.issuer, self.clock = issuer, clock

    def get(self, path, token="", **sent):
        return self.ask("GET", path, token, **sent)

    def ask(self, method, path, token="", headers=None, **sent):
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.caller.http.cookies.clear()
        return self.caller.request(method, path, headers=headers, **sent)

    def key(self, *roles, **scope):
        return self.control.store.create("a test", roles, **scope)[1]

    def entries(self):
        reader = LedgerReader(ledger_path(self.twin.path))
        found = list(reader.entries(newest_first=True))
        reader.close()
        return found

    def visit(self, unit):
        rows = self.twin.query(
            "SELECT encounter_id, patient_id FROM twin.stay WHERE unit = $unit AND to_at IS NULL",
            {"unit": unit},
        )
        return rows[0]["encounter_id"], rows[0]["patient_id"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    clock = Movable()
    issuer = issuing.Issuer(NOON.timestamp())
    access = AccessSettings(
        issuer=issuing.ISSUER,
        audience=issuing.AUDIENCE,
        client_id="board",
        requests_per_minute=100_000,
        failures_per_minute=10_000,
        proxies=("10.0.0.1",),
    )
    settings = Settings(feeds={"adt": FeedSettings(time_zone="UTC")}, access=access)
    path = tmp_path_factory.mktemp("site") / "w.duckdb"
    with Twin.open(path, settings=settings, clock=StoppedClock()) as twin:
        seconds = iter(range(10**9))
        control = AccessControl(
            access,
            path,
            clock=clock,
            fetch=issuer.fetch,
            exchange=lambda url, form: issuer.exchange(url, form),
            monotonic=lambda: float(next(seconds)),
        )
        caller = Caller(create_app(twin, access=control))
        made = Site(caller, twin, control, issuer, clock)
        sender = made.key("interface")
        for raw in (*HEARD, adt("A01", "9", "11:30", "V9", "MED^1^4^GEN")):
            assert made.ask("POST", "/v1/hl7v2", sender, content=raw).status_code == 200
        twin.wait_applied()
        yield made
        caller.close()


def refused(answer, *statuses):
    assert answer.status_code in (statuses or (401,)), answer.text
    if answer.status_code in (401, 403):
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="wardtwin"')
    assert "QUISENBERRY" not in answer.text
    assert "Traceback" not in answer.text
    return answer


def segment(told):
    return base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()


# --- tokens ------------------------------------------------------------------------------------


def test_a_good_token_opens_what_its_roles_say(site):
    for header in ({}, {"kid": "ec-1", "alg": "ES256"}, {"typ": "JWT"}, {"typ": None}):
        assert site.get("/v1/encounters", site.issuer.token(header=header)).status_code == 200
    me = site.get("/v1/access/me", site.issuer.token()).json()
    assert (me["id"], me["kind"], me["roles"]) == ("u-17", "person", ["operations"])
    [entry, *_] = [e for e in site.entries() if e.what == "GET /v1/encounters"]
    assert (entry.who.id, entry.who.roles) == ("u-17", ("operations",))


def _cut(token):
    head, body, signature = token.split(".")
    return {
        "no signature": f"{head}.{body}.",
        "no dots": head + body + signature,
        "other signature": f"{head}.{body}.{signature[:-4]}AAAA",
        "other payload": f"{head}.{segment({'sub': 'root', 'exp': 9e9})}.{signature}",
        "five parts": f"{token}.{head}.{body}",
        "not base64": f"{head}.{body}.{signature}!",
        "not ASCII": f"{head}.{body}.\u00e9",
        "huge": f"{head}.{body}.{'A' * 20_000}",
    }


@pytest.mark.parametrize("way", list(_cut("a.b.c")))
def test_a_tampered_token_opens_nothing(way, site):
    tampered = _cut(site.issuer.token())[way]
    header = {"Authorization": f"Bearer {tampered}".encode()}
    refused(site.ask("GET", "/v1/encounters", headers=header))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": -61},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": 1e400},
        {"nbf": 300},
        {"nbf": "soon"},
        {"iat": 300},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"iss": issuing.ISSUER + "/"},
        {"aud": "https://other.test"},
        {"aud": None},
        {"aud": ["https://other.test"]},
        {"aud": {"x": 1}},
        {"sub": None},
        {"sub": ""},
        {"sub": {"id": 1}},
        {"exp": 1e300},
        {"wardtwin_units": []},
        {"wardtwin_units": [None]},
        {"wardtwin_units": ""},
        {"wardtwin_units": [""]},
        {"wardtwin_units": [1]},
        {"wardtwin_units": {"GEN/ICU": True}},
        {"wardtwin_facilities": True},
    ],
    ids=str,
)
def test_a_token_for_another_time_or_place_opens_nothing(claims, site):
    moved = {
        name: NOON.timestamp() + value
        if name in ("exp", "nbf", "iat") and type(value) is int
        else value
        for name, value in claims.items()
    }
    refused(site.get("/v1/encounters", site.issuer.token(**moved)))


@pytest.mark.parametrize(
    "claims",
    [
        *({name: sign * 10**400} for name in ("exp", "nbf", "iat") for sign in (1, -1)),
        {"aud": 5},
        {"aud": True},
        {"aud": {issuing.AUDIENCE: 1}},
        {"aud": [[issuing.AUDIENCE]]},
        {"aud": f"{issuing.AUDIENCE} "},
    ],
    ids=lambda told: str(told)[:40],
)
def test_claims_that_are_no_instants_and_no_audience_are_refused_and_break_nothing(claims, site):
    refused(site.get("/v1/encounters", site.issuer.token(**claims)))


def test_an_audience_may_be_one_of_several(site):
    token = site.issuer.token(aud=["https://other.test", issuing.AUDIENCE])
    assert site.get("/v1/encounters", token).status_code == 200


@pytest.mark.parametrize("kid", ["../../etc/passwd", "https://evil.test/jwks", "' OR 1=1", "k\x00"])
def test_a_key_id_is_only_looked_up(kid, site):
    refused(site.get("/v1/encounters", site.issuer.token(header={"kid": kid})))
    assert {url.partition("/.well")[0].removesuffix("/keys") for url in site.issuer.asked} <= {
        issuing.ISSUER
    }


def test_what_somebody_writes_into_method_and_hops_is_in_no_entry(site, monkeypatch):
    monkeypatch.setattr(site.caller.http._transport, "client", ("10.0.0.1", 5))
    hops = {"X-Forwarded-For": "QUISENBERRY, 10.0.0.1"}
    for method in ("QUISENBERRY", "GET"):
        refused(site.ask(method, "/v1/encounters", "wtk_no", headers=hops), 401, 404, 405)
        entry = site.entries()[0]
        assert "QUISENBERRY" not in f"{entry.what} {entry.address}"
    hops = {"X-Forwarded-For": "203.0.113.7:4711, 10.0.0.1"}
    refused(site.get("/v1/units", "wtk_no", headers=hops))
    assert site.entries()[0].address == "203.0.113.7"


def test_clocks_may_be_a_little_apart(site):
    at = NOON.timestamp()
    for claims in ({"exp": at - 30}, {"nbf": at + 30}, {"iat": at + 30}):
        assert site.get("/v1/encounters", site.issuer.token(**claims)).status_code == 200


EVIL = RSAKey.generate_key(2048)


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil/jwks"},
        {"jku": f"{issuing.ISSUER}/keys"},
        {"x5u": "https://evil/cert"},
        {"jwk": EVIL.as_dict(private=False)},
        {"x5c": ["MIIB"]},
        {"crit": ["x-policy"], "x-policy": "mfa"},
        {"crit": []},
        {"kid": "../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": "unknown"},
        {"kid": "x" * 300},
        {"kid": None},
        {"typ": "secevent+jwt"},
    ],
    ids=lambda header: f"{next(iter(header))}",
)
@pytest.mark.parametrize("theirs", [False, True], ids=["our key", "their key"])
def test_a_token_does_not_bring_its_own_key(header, theirs, site):
    asked = len(site.issuer.asked)
    key = EVIL if theirs else site.issuer.keys["rsa-1"]
    refused(site.get("/v1/encounters", site.issuer.token(header=header, key=key)))
    assert not [url for url in site.issuer.asked[asked:] if "evil" in url]


def unsigned(site, algorithm):
    head = segment({"alg": algorithm, "kid": "rsa-1", "typ": "JWT"})
    return f"{head}.{segment(site.issuer.claims())}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["RS256"]])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_unsigned_tokens_open_nothing(algorithm, signature, site):
    refused(site.get("/v1/encounters", unsigned(site, algorithm) + signature))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(algorithm, site):
    token = site.issuer.token(header={"alg": algorithm}, key=site.issuer.public_pem())
    refused(site.get("/v1/encounters", token))


def test_keys_and_algorithms_belong_together(site):
    head, body, signature = site.issuer.token().split(".")
    for told in ({"alg": "ES256", "kid": "rsa-1"}, {"alg": "RS256", "kid": "ec-1"}):
        refused(site.get("/v1/encounters", f"{segment(told)}.{body}.{signature}"))
    assert head


def test_a_name_that_occurs_twice_makes_no_claim(site):
    head, _, signature = site.issuer.token().split(".")
    raw = json.dumps(site.issuer.claims())[:-1] + ', "exp": 9999999999}'
    body = base64.urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()
    refused(site.get("/v1/encounters", f"{head}.{body}.{signature}"))


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer {good}"), ("Authorization", "Bearer {good}")],
        [("Authorization", "Bearer {good}"), ("Authorization", "Bearer x")],
        [("Authorization", "Basic {good}")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer {good} {good}")],
        [("Authorization", "{good}")],
        [("Authorization", "Bearer null")],
        [("X-Forwarded-User", "root")],
        [("Cookie", "wardtwin={good}")],
        [("Cookie", "__Host-wardtwin={good}")],
    ],
    ids=str,
)
def test_credentials_come_once_and_as_bearer_tokens(headers, site):
    good = site.issuer.token()
    told = [(name, value.format(good=good)) for name, value in headers]
    site.caller.http.cookies.clear()
    refused(site.caller.get("/v1/encounters", headers=told))


@pytest.mark.parametrize("name", ["access_token", "token", "ACCESS_TOKEN", "api_key"])
def test_a_token_in_the_address_opens_nothing_and_is_kept_nowhere(name, site):
    good = site.issuer.token()
    refused(site.get(f"/v1/encounters?{name}={good}"))
    refused(site.get(f"/v1/encounters?{name}={good}", good))
    reader = LedgerReader(ledger_path(site.twin.path))
    kept = [reader.texts(entry) for entry in reader.entries()]
    reader.close()
    assert good not in repr(kept)


def test_keys_are_rotated_without_a_restart(site):
    site.clock.at += timedelta(minutes=1)
    site.issuer.publish("rsa-2", RSAKey.generate_key(2048))
    token = site.issuer.token(header={"kid": "rsa-2"}, exp=NOON.timestamp() + 9_000)
    assert site.get("/v1/encounters", token).status_code == 200
    asked = len(site.issuer.asked)
    for _ in range(5):
        refused(site.get("/v1/encounters", site.issuer.token(header={"kid": "never"})))
    assert len(site.issuer.asked) - asked <= 2, "unknown keys make us ask again and again"
    del site.issuer.keys["rsa-2"]
    site.clock.at += timedelta(minutes=11)
    refused(site.get("/v1/encounters", token))


def test_a_new_key_under_the_id_of_the_old_one_is_taken_within_a_minute(site):
    """An issuer that has one key may give its successor the same id."""
    site.clock.at += timedelta(minutes=1)
    site.issuer.publish("same", RSAKey.generate_key(2048))
    late = {"header": {"kid": "same"}, "exp": NOON.timestamp() + 9_000}
    old = site.issuer.token(**late)
    assert site.get("/v1/encounters", old).status_code == 200
    site.issuer.publish("same", RSAKey.generate_key(2048))
    refused(site.get("/v1/encounters", site.issuer.token(**late)))
    site.clock.at += timedelta(seconds=31)
    asked = len(site.issuer.asked)
    assert site.get("/v1/encounters", site.issuer.token(**late)).status_code == 200
    for _ in range(5):
        refused(site.get("/v1/encounters", old))
    assert len(site.issuer.asked) - asked <= 2, "forged tokens make us ask again and again"
    del site.issuer.keys["same"]


def test_weak_and_strange_keys_are_not_used(site):
    site.clock.at += timedelta(minutes=1)
    site.issuer.publish("p521", ECKey.generate_key("P-521"))
    token = site.issuer.token(header={"kid": "p521", "alg": "ES512"}, exp=NOON.timestamp() + 9_000)
    assert site.get("/v1/encounters", token).status_code == 200
    with pytest.warns(UserWarning, match="2048"):
        weak = RSAKey.generate_key(1024)
    site.issuer.publish("weak", weak)
    site.clock.at += timedelta(minutes=1)
    token = site.issuer.token(header={"kid": "weak"}, exp=NOON.timestamp() + 9_000)
    del site.issuer.keys["weak"]
    refused(site.get("/v1/encounters", token))


def test_a_provider_that_is_down_does_not_shut_the_door_at_once(site):
    late = {"exp": NOON.timestamp() + 90_000}
    assert site.get("/v1/encounters", site.issuer.token(**late)).status_code == 200
    site.issuer.down = True
    try:
        site.clock.at += timedelta(minutes=20)
        assert site.get("/v1/encounters", site.issuer.token(**late)).status_code == 200
    finally:
        site.issuer.down = False


def test_a_stranger_who_is_refused_at_once_is_in_the_ledger_until_there_are_too_many(
    site, monkeypatch
):
    monkeypatch.setattr(site.control, "requests", RateLimit(5, lambda: 0.0))
    before = len(site.entries())
    assert site.ask("TRACE", "/").status_code == 405
    [entry] = site.entries()[: len(site.entries()) - before]
    assert (entry.status, entry.outcome) == (405, "refused")
    for _ in range(20):
        assert site.ask("TRACE", "/").status_code == 405
    assert len(site.entries()) - before == 5


@pytest.mark.skipif(not ADVERSARIAL.exists(), reason="the adversarial cases are not here")
def test_the_shared_hostile_tokens(site):
    """F014 asks for no WWW-Authenticate with its 403; RFC 6750 (3) demands one, so it is there."""
    cases = json.loads(ADVERSARIAL.read_text())["cases"]
    seen = 0
    for case in cases:
        if case.get("group") != "auth":
            continue
        told = case["request"]["token"]
        path, expected = case["request"]["path"], case["expect"]["status"]
        if "token_endpoint" in told:
            # Tokens are the provider's to give; this server has no such endpoint.
            assert site.ask("POST", "/token", data={"grant_type": "x"}).status_code == 401
            continue
        before = len(site.entries())
        method, token = told.get("method", "GET"), ""
        at = site.clock.at.timestamp()
        claims = {"exp": at + 300, "iat": at - 5, "scope": told.get("scope", "system/*.rs")}
        if told.get("alg") == "HS256":
            token = site.issuer.token(header={"alg": "HS256"}, key=site.issuer.public_pem())
        elif told:
            header = {**told.get("header", {}), **{k: told[k] for k in ("kid",) if k in told}}
            if "nbf" in told:
                claims["nbf"] = at + int(told["nbf"].strip("+s"))
            if "iss" in told:
                claims["iss"] = told["iss"]
            token = site.issuer.token(header=header, **claims)
        answer = refused(site.ask(method, path.partition("?")[0], token), *expected)
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert len(site.entries()) == before + 1
        seen += 1
    assert seen >= 8


# --- scopes, roles, rows -----------------------------------------------------------------------

FHIR = "/fhir/R4"


@pytest.mark.parametrize(
    ("scope", "method", "path", "opens"),
    [
        ("system/Encounter.rs", "GET", "/Encounter/e1", True),
        ("system/Encounter.rs", "GET", "/Encounter?_count=1", True),
        ("system/Encounter.read", "GET", "/Encounter?_count=1", True),
        ("user/*.rs", "GET", "/Patient/p1", True),
        ("system/*.cruds openid", "GET", "/Encounter?_include=Encounter:subject", True),
        ("system/*.read", "GET", "/Encounter/e1/_history", True),
        ("system/Encounter.s", "POST", "/Encounter/_search", True),
        ("system/Encounter.r", "GET", "/Encounter?_count=1", False),
        ("system/Encounter.s", "GET", "/Encounter/e1", False),
        ("system/Encounter.rs", "GET", "/Patient/p1", False),
        ("system/Encounter.rs", "GET", "/Encounter?_include=Encounter:subject", False),
        ("system/Encounter.rs", "GET", "/Encounter?_revinclude=Observation:encounter", False),
        ("system/Encounter.rs", "GET", "/Encounter?subject.name=x", False),
        ("system/Encounter.rs", "GET", "/Patient?_has:Encounter:subject:status=x", False),
        ("system/Encounter.rs", "POST", "/Encounter", False),
        ("system/Encounter.rs", "PUT", "/Encounter/e1", False),
        ("system/Encounter.rs", "DELETE", "/Encounter/e1", False),
        ("system/Encounter.rs", "POST", "", False),
        ("system/Encounter.cruds", "POST", "", False),
        ("system/Encounter.rs", "GET", "/$export", False),
        ("system/Encounter.sr", "GET", "/Encounter/e1", False),
        ("system/Encounter.rs?category=x", "GET", "/Encounter/e1", False),
        ("system/encounter.rs", "GET", "/Encounter/e1", False),
        ("patient/Encounter.rs", "GET", "/Encounter/e1", False),
        ("system/Encounter.", "GET", "/Encounter/e1", False),
        ("system/EncounterX.rs", "GET", "/Encounter/e1", False),
        ("xsystem/Encounter.rs", "GET", "/Encounter/e1", False),
        ("launch/patient", "GET", "/Encounter/e1", False),
    ],
)
def test_smart_scopes_open_what_they_say(scope, method, path, opens, site):
    at = site.clock.at.timestamp()
    token = site.issuer.token(scope=scope, roles=[], exp=at + 60, iat=at - 1)
    answer = site.ask(method, FHIR + path, token, data={} if "_search" in path else None)
    if opens:
        assert answer.status_code not in (401, 403), answer.text
    else:
        refused(answer, 403)
        assert answer.json()["issue"][0]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("form", "opens"),
    [
        ({"status": "finished"}, True),
        ({"_include": "Encounter:patient"}, False),
        ({"patient.family": "quis"}, False),
        ({"_has:Observation:encounter:code": "x"}, False),
    ],
)
def test_a_form_asks_for_no_more_than_the_token_allows(form, opens, site):
    at = site.clock.at.timestamp()
    token = site.issuer.token(scope="system/Encounter.rs", roles=[], exp=at + 60, iat=at - 1)
    answer = site.ask("POST", f"{FHIR}/Encounter/_search", token, data=form)
    if opens:
        assert answer.status_code == 200, answer.text
    else:
        refused(answer, 403)


def test_a_batch_reads_what_its_sender_may_read_and_every_read_is_recorded(site):
    visit, patient = site.visit("ICU")
    asked = [f"Encounter/{visit}", f"Patient/{patient}", "Encounter?status=in-progress"]
    entries = [{"request": {"method": "GET", "url": url}} for url in asked]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    at = site.clock.at.timestamp()

    def told(scope):
        token = site.issuer.token(scope=scope, roles=[], exp=at + 60, iat=at - 1)
        headers = {"Content-Type": "application/fhir+json"}
        answer = site.ask("POST", FHIR, token, headers, json=bundle)
        assert answer.status_code == 200, answer.text
        return [one["response"]["status"][:3] for one in answer.json()["entry"]]

    before = len(site.entries())
    assert told("system/*.cud system/Encounter.r") == ["200", "403", "403"]
    assert told("system/*.cruds") == ["200", "200", "200"]
    recorded = site.entries()[: len(site.entries()) - before]
    reads = [one for one in recorded if one.what.startswith("GET /fhir/")]
    assert [one.outcome for one in reads].count("refused") == 2
    assert len(reads) == 6
    assert any(one.patients for one in reads)


def test_what_a_known_sender_sends_in_is_recorded_before_it_is_acknowledged(site, monkeypatch):
    key = site.key("interface")
    raw = adt("A08", "71", "11:55", "V2", "ICU^1^1^GEN")
    sent = {"Content-Type": "application/fhir+json"}
    patient = b'{"resourceType": "Patient", "id": "zq7", "gender": "male"}'
    for method, path, body, headers in (
        ("POST", "/v1/hl7v2", raw, {}),
        ("POST", "/v1/hl7v2", raw.replace(b"PID|", b"PXX|").replace(b"|71|", b"|72|"), {}),
        ("POST", "/v1/hl7v2", b"BHS|^~\\&\r" + raw.replace(b"|71|", b"|73|") + b"\rBTS|1", {}),
        ("PUT", f"{FHIR}/Patient/zq7", patient, sent),
        ("DELETE", f"{FHIR}/Patient/zq7", b"", {}),
    ):
        site.ask(method, path, key, content=body, headers=headers)
    found = site.entries()[4::-1]
    assert [(one.act, one.outcome, one.rows) for one in found] == [
        ("create", "success", 1),
        ("create", "refused", 1),
        ("create", "success", 1),
        ("update", "success", 1),
        ("delete", "success", 1),
    ]
    assert {(one.who.kind, one.who.roles) for one in found} == {("key", ("interface",))}
    numbers = [int(one.objects[0].removeprefix("message/")) for one in found]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    site.twin.wait_applied()
    [row] = site.twin.query(
        f"SELECT trigger_event FROM twin.message WHERE message_id = {numbers[0]}"
    )
    assert row["trigger_event"] == "ADT^A08"
    refused(site.ask("POST", "/v1/hl7v2", site.key("viewer"), content=raw), 403)
    assert site.entries()[0].outcome == "refused"

    def full(access):
        failed = Future()
        failed.set_exception(AuditFailed("The disk is full."))
        return failed

    # What is durable is acknowledged: a sender is not held up, and the server's log says it.
    monkeypatch.setattr(site.caller.app.state.ledger, "append", full)
    assert site.ask("POST", "/v1/hl7v2", key, content=raw).status_code == 200
    assert site.get("/v1/encounters", site.key("operations")).status_code == 503


def test_a_scope_of_fhir_does_not_open_anything_else(site):
    at = site.clock.at.timestamp()
    token = site.issuer.token(scope="system/*.cruds", roles=[], exp=at + 60, iat=at - 1)
    for path in ("/v1/encounters", "/v1/state", "/metrics", "/docs"):
        refused(site.get(path, token), 403)


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_role_opens_exactly_its_doors(role, site):
    key = site.key(role)
    for door in DOORS["GET"]:
        path = re.sub(r"{(\w+)(:path)?}", "x", door.address)
        if door.address in STREAMS or "fhir" in path or "login" in path:
            continue
        answer = site.get(path, key)
        may = door.permission in (OPEN, KNOWN) or door.permission in ROLES[role]
        assert (answer.status_code != 403) == may, (path, answer.status_code)
        assert answer.status_code != 401


def test_every_door_wants_a_permission_that_somebody_has():
    given = {permission for permissions in ROLES.values() for permission in permissions}
    for doors in DOORS.values():
        for door in doors:
            assert door.permission in {OPEN, KNOWN} | PERMISSIONS.keys(), door
            assert door.permission in {OPEN, KNOWN} | given, door
    assert given <= PERMISSIONS.keys()


def test_nobody_gets_in_without_a_credential(site):
    for method, doors in DOORS.items():
        for door in doors:
            if door.permission == OPEN or door.address in STREAMS:
                continue
            path = re.sub(r"{(\w+)(:path)?}", "x", door.address)
            refused(site.ask(method, path))
    refused(site.get("/nowhere"))
    assert site.get("/nowhere", site.key("viewer")).status_code == 404
    for path in ("/health/live", "/fhir/R4/metadata", "/static/board.css", "/login"):
        assert site.get(path).status_code == 200


def test_names_of_patients_are_a_permission_of_their_own(site):
    path = "/v1/messages/1/explain"
    assert "QUISENBERRY" not in site.get(path, site.key("operations")).text
    refused(site.get(f"{path}?phi=show", site.key("operations")), 403)
    assert "QUISENBERRY" in site.get(f"{path}?phi=show", site.key("interface")).text


def test_a_viewer_sees_beds_and_no_visits(site):
    encounter_id, patient_id = site.visit("ICU")
    seen = site.get("/v1/state", site.key("operations")).text
    masked = site.get("/v1/state", site.key("viewer")).text
    assert encounter_id in seen
    assert encounter_id not in masked
    assert patient_id not in masked
    assert len(seen) == len(masked)
    for path in ("/", "/v1/board", "/units/GEN/ICU"):
        assert encounter_id[:7] in site.get(path, site.key("operations")).text
        assert encounter_id[:7] not in site.get(path, site.key("viewer")).text
    once, again = (site.get("/v1/board", site.key("viewer")).json()["units"] for _ in range(2))
    assert once == again, "aliases last as long as the server"


def test_rows_of_other_units_are_not_there(site):
    icu, med = site.visit("ICU"), site.visit("MED")
    key = site.key("operations", units=("GEN/ICU",))
    for path in (
        f"/v1/encounters/{icu[0]}",
        "/v1/units/GEN/ICU",
        "/v1/encounters?facility=GEN&unit=ICU",
        f"/v1/observations?encounter_id={icu[0]}",
        f"{FHIR}/Encounter/{icu[0]}",
        "/v1/units",
        "/v1/kpis",
    ):
        answer = site.get(path, key)
        assert answer.status_code == 200, (path, answer.text)
        assert med[0] not in answer.text
    unknown = site.get("/v1/encounters/e" + "0" * 24, key)
    hidden = site.get(f"/v1/encounters/{med[0]}", key)
    assert (
        (hidden.status_code, hidden.text)
        == (unknown.status_code, unknown.text)
        == (
            404,
            unknown.text,
        )
    )
    for path in (f"{FHIR}/Encounter/{med[0]}", f"{FHIR}/Patient/{med[1]}", "/v1/units/GEN/MED"):
        refused(site.get(path, key), 404)
    for path in ("/v1/messages", "/v1/quarantine", "/v1/kpis/alos/rows"):
        refused(site.get(path, key), 403)
    everywhere = site.key("operations", units=("ICU",))
    for path in (f"/v1/encounters/{icu[0]}", "/v1/units/GEN/ICU"):
        assert site.get(path, everywhere).status_code == 200, path
    refused(site.get(f"/v1/encounters/{med[0]}", everywhere), 404)
    at = site.clock.at.timestamp()
    claims = {"scope": "user/Encounter.rs", "roles": [], "exp": at + 60, "iat": at - 1}
    token = site.issuer.token(**claims, wardtwin_units=["GEN/ICU"])
    assert site.get(f"{FHIR}/Encounter/{icu[0]}", token).status_code == 200
    refused(site.get(f"{FHIR}/Encounter/{med[0]}", token), 404)
    whole = site.key("operations", facilities=("GEN",))
    assert site.get("/v1/encounters?facility=GEN", whole).status_code == 200


def test_broken_glass_opens_an_hour_and_is_asked_about(site, caplog):
    visit, _ = site.visit("MED")
    key = site.key("operations", units=("GEN/ICU",))
    assert site.get(f"/v1/encounters/{visit}", key).status_code == 404
    silent = [{"reason": "    "}, {"reason": "\u3164" * 9}, {"reason": "..."}]
    for wrong in ({}, {"reason": ""}, {"reason": 3}, {"reason": "x" * 3_000}, [], *silent):
        assert site.ask("POST", "/v1/break-glass", key, json=wrong).status_code == 400
    refused(
        site.ask("POST", "/v1/break-glass", site.key("viewer"), json={"reason": "why not"}), 403
    )
    reason = "resuscitation of QUISENBERRY in the ED"
    answer = site.ask("POST", "/v1/break-glass", key, json={"reason": reason, "patient": "x"})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["expires_s"], told["alert"], told["purposeOfUse"]) == (3600, True, "BTG")
    assert "glass broken" in caplog.text
    assert "QUISENBERRY" not in caplog.text + answer.text
    assert site.get(f"/v1/encounters/{visit}", key).status_code == 200
    entry, alert, *_ = site.entries()
    assert (entry.why, alert.why, alert.act) == ("BTG", "BTG", "alert")
    reader = LedgerReader(ledger_path(site.twin.path))
    assert reader.texts(alert).reason == reason
    reader.close()
    refused(site.ask("POST", "/v1/messages/1/replay", key), 404, 405)
    site.clock.at += timedelta(minutes=61)
    assert site.get(f"/v1/encounters/{visit}", key).status_code == 404


# --- keys --------------------------------------------------------------------------------------


def test_keys_are_kept_by_their_hashes_and_end_at_once(site):
    key_id, key = site.control.store.create("ward", ("viewer",))
    raw = site.control.store.path.read_bytes()
    # The secret may have an underline of its own.
    secret = key.removeprefix(f"wtk_{key_id}_")
    assert secret.encode() not in raw
    assert site.get("/v1/units", key).status_code == 200
    wrong = [
        key[:-1] + ("A" if key[-1] != "A" else "B"),
        f"wtk_{'0' * 12}_{secret}",
        f"wtk_{key_id}_",
        f"wtk_{key_id}' OR '1'='1_{secret}",
        key.upper(),
        key + "x",
    ]
    answers = {refused(site.get("/v1/units", one)).text for one in wrong}
    site.control.store.revoke(key_id)
    answers.add(refused(site.get("/v1/units", key)).text)
    late = site.control.store.create("l", ("viewer",), expires_at=site.clock.at)[1]
    answers.add(refused(site.get("/v1/units", late)).text)
    assert len(answers) == 1, "an answer tells one failure from another"


def test_a_session_ends_with_the_key_that_it_was_opened_with(site):
    for end in ("revoked", "expired", "narrowed"):
        key_id, key = site.control.store.create(
            "ward", ("operations",), expires_at=site.clock.at + timedelta(minutes=5)
        )
        site.caller.http.cookies.clear()
        site.caller.post("http://localhost/login", data={"key": key, "next": "/"})
        assert site.caller.get("http://localhost/v1/encounters").status_code == 200
        before = site.clock.at
        if end == "revoked":
            site.control.store.revoke(key_id)
        elif end == "expired":
            site.clock.at += timedelta(minutes=5)
        else:
            with closing(sqlite3.connect(site.control.store.path)) as db:
                db.execute("UPDATE api_key SET roles = '[]' WHERE id = ?", (key_id,))
                db.commit()
        refused(
            site.caller.get("http://localhost/v1/encounters"), 403 if end == "narrowed" else 401
        )
        site.clock.at = before


def test_a_code_with_a_space_in_it_is_one_place(site):
    key = site.key("operations", units=("GEN/MED Annex", "GEN/IC U"), facilities=("NO SUCH",))
    assert site.get("/v1/access/me", key).json()["units"] == ["GEN/MED Annex", "GEN/IC U"]
    assert site.get("/v1/encounters", key).json()["encounters"] == []
    listed = next(one for one in site.control.store.keys() if "GEN/IC U" in one.units)
    assert listed.facilities == ["NO SUCH"]
    at = site.clock.at.timestamp()
    claims = {"roles": ["operations"], "exp": at + 60, "iat": at - 1}
    token = site.issuer.token(**claims, wardtwin_units="GEN/MED Annex")
    assert site.get("/v1/encounters", token).json()["encounters"] == []


@pytest.mark.parametrize(
    "claims",
    [
        *(
            {"aud": odd}
            for odd in (5, True, 1.5, {issuing.AUDIENCE: 1}, [[issuing.AUDIENCE]], None)
        ),
        *({"sub": odd} for odd in ("a\n\x00b", "a\ud800", "x" * 256, 7, ["a"], "a\u202eb")),
    ],
    ids=str,
)
def test_a_claim_of_another_kind_opens_nothing(claims, site):
    refused(site.get("/v1/encounters", site.issuer.token(**claims)))


# --- browsers ----------------------------------------------------------------------------------


def sign_in(site, *roles, secure=False, back="/kpis"):
    site.caller.http.cookies.clear()
    base = {"base_url": "https://localhost"} if secure else {}
    key = site.key(*roles)
    answer = site.caller.post(
        f"{'https' if secure else 'http'}://localhost/login", data={"key": key, "next": back}
    )
    assert base is not None
    return answer


def test_a_browser_is_shown_where_to_sign_in(site):
    answer = site.get("/kpis", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/kpis")
    form = site.get("/login?next=/kpis").text
    assert 'name="key"' in form
    assert "/login/provider?next=/kpis" in form
    for evil in ("//evil.test", "https://evil.test", "/\\evil.test", "javascript:alert(1)"):
        assert "evil" not in site.caller.get("/login", params={"next": evil}).text
        assert sign_in(site, "viewer", back=evil).headers["Location"] == "/"


@pytest.mark.parametrize("secure", [False, True])
def test_a_session_is_a_cookie_that_nobody_else_gets(secure, site):
    answer = sign_in(site, "viewer", secure=secure)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/kpis")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert ("Secure" in cookie) == cookie.startswith("__Host-") == secure
    value = cookie.partition("=")[2].partition(";")[0]
    assert len(value) >= 43
    scheme = "https" if secure else "http"
    assert site.caller.get(f"{scheme}://localhost/kpis").status_code == 200
    site.clock.at += timedelta(hours=9)
    site.caller.http.cookies.clear()
    headers = {"Cookie": cookie.partition(";")[0]}
    refused(site.caller.get(f"{scheme}://localhost/v1/kpis", headers=headers))


def test_a_wrong_key_does_not_sign_in(site):
    answer = site.ask("POST", "/login", data={"key": "wtk_x", "next": "/"})
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert site.entries()[0].act == "login"
    assert site.entries()[0].outcome == "refused"


def test_a_form_from_elsewhere_changes_nothing(site):
    sign_in(site, "interface")
    path = "/quarantine/1/replay"
    for sent in ({}, {"csrf": "x"}, {"csrf": ""}):
        assert site.caller.post(path, data=sent).status_code == 403
    assert site.caller.post(path, headers={"Origin": "https://evil.test"}).status_code == 403
    assert site.caller.post("/v1/quarantine/1/replay").status_code == 403
    cookie = site.caller.http.cookies["wardtwin"]
    session = site.control.sessions.find(cookie)
    told = {"X-CSRF-Token": session.csrf}
    assert site.caller.post("/v1/quarantine/1/replay", headers=told).status_code == 409
    assert site.caller.post(path, data={"csrf": session.csrf}).status_code in (303, 400, 409)
    assert site.caller.post("/logout", data={"csrf": session.csrf}).status_code == 303
    assert site.control.sessions.find(cookie) is None


def test_who_may_not_see_the_board_lands_where_they_may(site):
    for role, lands in (("viewer", "/"), ("researcher", "/sql"), ("auditor", "/audit")):
        assert sign_in(site, role, back="/").headers["Location"] == lands
    assert sign_in(site, "researcher", back="/nowhere").headers["Location"] == "/nowhere"
    asked = site.get("/kpis?by=unit", headers={"Accept": "text/html"})
    assert asked.headers["Location"] == "/login?next=/kpis%3Fby%3Dunit"
    secret = site.get("/kpis?token=x", headers={"Accept": "text/html"})
    assert "x" not in secret.headers.get("Location", "").partition("next=")[2].replace("/kpis", "")


def test_views_belong_to_who_keeps_them(site):
    mine, other = site.key("viewer"), site.key("viewer")
    path = "/v1/views/ICU / free"
    assert site.ask("PUT", path, mine, json={"href": "/?find=ICU&show=free"}).status_code == 200
    again = site.ask("PUT", path, mine, json={"href": "/?find=ICU"})
    assert again.json() == {"name": "ICU / free", "href": "/?find=ICU"}
    assert site.ask("GET", "/v1/views", mine).json() == [again.json()]
    assert site.ask("GET", "/v1/views", other).json() == []
    assert site.ask("DELETE", path, other).status_code == 204
    assert site.ask("GET", "/v1/views", mine).json() == [again.json()]
    for href in ("https://evil.test", "//evil.test", "/\\evil.test", "x", "/" + "a" * 2_000, "/\n"):
        assert site.ask("PUT", "/v1/views/x", mine, json={"href": href}).status_code == 400
    assert site.ask("PUT", "/v1/views/x", mine, content=b"{").status_code == 400
    assert site.ask("DELETE", path, mine).status_code == 204
    assert site.ask("GET", "/v1/views", mine).json() == []
    for number in range(100):
        site.control.store.keep_view("somebody", View(name=str(number), href="/"))
    with pytest.raises(UsageError, match="100 views"):
        site.control.store.keep_view("somebody", View(name="one more", href="/"))
    site.control.store.keep_view("somebody", View(name="7", href="/kpis"))
    refused(site.get("/v1/views"))


def test_a_file_of_keys_of_an_earlier_version_takes_views(tmp_path):
    path = tmp_path / "x.access"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE broken_glass (principal TEXT PRIMARY KEY, until TEXT)")
    store = AccessStore(path, Movable())
    store.keep_view("a", View(name="n", href="/"))
    assert [view.name for view in store.views("a")] == ["n"]


def test_signing_in_at_the_provider(site):
    """OpenID Connect's code flow with PKCE, and what goes wrong with it."""
    import hashlib
    from urllib.parse import parse_qs, urlsplit

    def begin():
        site.caller.http.cookies.clear()
        answer = site.caller.get("/login/provider?next=/kpis")
        asked = {n: v[0] for n, v in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
        assert answer.headers["Location"].startswith(f"{issuing.ISSUER}/authorize?")
        assert (asked["code_challenge_method"], asked["client_id"]) == ("S256", "board")
        return asked

    def exchange(asked, **claims):
        at = site.clock.at.timestamp()

        def answered(url, form):
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            assert challenge == asked["code_challenge"]
            told = {"aud": "board", "nonce": asked["nonce"], "exp": at + 60, "iat": at}
            token = site.issuer.token(header={"typ": "JWT"}, **{**told, **claims})
            return json.dumps({"id_token": token}).encode()

        site.issuer.exchange = answered

    asked = begin()
    exchange(asked)
    answer = site.caller.get("/login/callback", params={"state": asked["state"], "code": "c"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/kpis")
    assert site.caller.get("/v1/access/me").json()["id"] == "u-17"
    again = site.caller.get("/login/callback", params={"state": asked["state"], "code": "c"})
    assert again.status_code == 401
    for claims in ({"nonce": "x"}, {"aud": "other"}, {"iss": "https://evil.test"}):
        asked = begin()
        exchange(asked, **claims)
        wrong = site.caller.get("/login/callback", params={"state": asked["state"], "code": "c"})
        assert wrong.status_code == 401
    asked = begin()
    exchange(asked)
    site.caller.http.cookies.clear()
    stolen = site.caller.get("/login/callback", params={"state": asked["state"], "code": "c"})
    assert stolen.status_code == 401


def test_security_headers_are_on_every_answer(site):
    for answer in (
        site.get("/login"),
        site.get("/v1/units"),
        site.get("/kpis", site.key("viewer")),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "no-store" in answer.headers["Cache-Control"]


def test_the_page_of_roles_is_the_table(site):
    shown = (Path(__file__).parents[2] / "docs/reference/roles.md").read_text("utf-8")
    assert shown == page()


def test_parameters_in_a_body_reach_no_further_than_in_the_address(site):
    at = site.clock.at.timestamp()
    token = site.issuer.token(scope="system/Encounter.rs", roles=[], exp=at + 60, iat=at - 1)
    path = f"{FHIR}/Encounter/_search"
    assert site.ask("POST", path, token, data={"_count": "1"}).status_code == 200
    for reaching in ({"_include": "Encounter:subject"}, {"subject.name": "x"}):
        refused(site.ask("POST", path, token, data=reaching), 403)


def test_auditors_read_the_ledger_and_nobody_else(site):
    _, patient_id = site.visit("ICU")
    auditor = site.key("auditor")
    site.get("/v1/units/GEN/ICU", site.key("operations"))
    found = site.get(f"/v1/audit?patient={patient_id}&limit=1", auditor).json()
    assert [entry["what"] for entry in found] == ["GET /v1/units/{facility}/{unit:path}"]
    shown = site.get("/v1/audit", auditor).text
    assert patient_id not in shown
    assert "QUISENBERRY" not in shown
    assert site.entries()[0].what == "GET /v1/audit"
    for role in set(ROLE_NAMES) - {"auditor", "administrator"}:
        refused(site.get("/v1/audit", site.key(role)), 403)


def test_where_tokens_come_from_is_told_to_anybody(site):
    told = site.get(f"{FHIR}/.well-known/smart-configuration").json()
    assert told["token_endpoint"] == f"{issuing.ISSUER}/token"
    assert "permission-v2" in told["capabilities"]
    assert site.get("/fhir/R9/.well-known/smart-configuration").status_code == 404


def test_who_asks_too_often_waits(tmp_path):
    clock, now = Movable(), [0.0]
    access = AccessSettings(requests_per_minute=5, failures_per_minute=3)
    control = AccessControl(access, tmp_path / "w.duckdb", clock=clock, monotonic=lambda: now[0])
    assert [control.requests.wait_s("a") for _ in range(6)] == [0, 0, 0, 0, 0, 12]
    assert control.requests.wait_s("b") == 0
    now[0] += 12
    assert [control.requests.wait_s("a") for _ in range(2)] == [0, 12]
    assert control.failures.is_spent("x") == 0
    for _ in range(3):
        control.failures.wait_s("x")
    assert control.failures.is_spent("x") == 20


def test_too_many_failures_are_answered_429_before_anything_is_looked_at(site, monkeypatch):
    monkeypatch.setattr(site.control, "failures", RateLimit(1, lambda: 0.0))
    monkeypatch.setattr(site.caller.http._transport, "client", ("10.0.0.1", 5))
    headers = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.0.0.1"}
    refused(site.get("/v1/units", "wtk_no", headers=headers))
    last = site.entries()[0]
    assert last.address == "203.0.113.9", "the last hop that is no proxy of ours"
    answer = site.get("/v1/units", site.key("viewer"), headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert site.entries()[0] == last, "refusing the impatient does not fill the ledger"
    others = {"X-Forwarded-For": "203.0.113.10"}
    assert site.get("/v1/units", site.key("viewer"), headers=others).status_code == 200
