"""`wardtwin send` against a receiver on a real socket that goes wrong as it is told."""

import io
import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).parent))

from faulty_receiver import (
    FaultyReceiver,
    about_another,
    accept,
    answer,
    close,
    half_an_answer,
    in_turn,
    late,
    reject,
    reset,
    say,
    silence,
)

from adapters.hl7v2.answers import answers_success, read_acknowledgement
from api.cli import main


def message(control_id: str, enhanced: str = "") -> str:
    return (
        f"MSH|^~\\&|PAS|GENERAL|||20261101080000+0000||ADT^A01|{control_id}|P|2.5.1|||{enhanced}\r"
        "EVN|A01|20261101080000+0000\rPID|1||P1^^^GENERAL^MR\r"
        "PV1|1|I|W1^1^A^GENERAL||||||||||||||||V1^^^GENERAL^VN\r"
    )


class Sent:
    """One use of `wardtwin send`: its exit code and what it said."""

    def __init__(self, folder: Path, port: int, messages: list[str], *more: str) -> None:
        file = folder / "messages.hl7"
        file.write_text("".join(messages), newline="")
        out, err = io.StringIO(), io.StringIO()
        words = ("send", str(file), "--to", f"127.0.0.1:{port}", "--timeout", "0.3", "--json")
        self.status = main((*words, *more), environ={}, out=out, err=err)
        self.out, self.err = out.getvalue(), err.getvalue()

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


def three() -> list[str]:
    return [message(name) for name in ("A1", "A2", "A3")]


def test_every_message_is_sent_in_order_and_answered(tmp_path):
    with FaultyReceiver() as receiver:
        sent = Sent(tmp_path, receiver.port, three())
        assert receiver.control_ids == ["A1", "A2", "A3"]
        assert receiver.received[0].decode() == message("A1").rstrip("\r")
    assert (sent.status, sent.json["answers"]) == (0, {"AA": 3})


def test_rejects_are_findings_with_their_codes(tmp_path):
    with FaultyReceiver([accept(), reject("AE"), reject("AR")]) as receiver:
        sent = Sent(tmp_path, receiver.port, three())
    assert (sent.status, sent.json["answers"]) == (1, {"AA": 1, "AE": 1, "AR": 1})
    [first, second] = sent.json["rejected"]
    assert (first["control_id"], first["code"], first["fault"]) == ("A2", "AE", "PV1^1^44 101")
    assert first["offset"] == len(message("A1"))
    assert second["control_id"] == "A3"


def test_a_late_answer_is_never_the_next_messages(tmp_path):
    with FaultyReceiver([late(), accept(), reject("AE")]) as receiver:
        sent = Sent(tmp_path, receiver.port, three())
        # A1 is sent again on a new connection; what was owed to its first sending comes first.
        assert receiver.control_ids == ["A1", "A1", "A2", "A3"]
    assert sent.json["answers"] == {"AA": 2, "AE": 1}
    assert sent.json["rejected"][0]["control_id"] == "A2"


@pytest.mark.parametrize(
    "fault",
    [
        silence(),
        close(),
        reset(),
        half_an_answer(),
        about_another(),
        say(b"no frame at all"),
        say(b"\x0bHTTP/1.1 400 Bad Request\r\n\x1c\r"),
        say(b"\x0bMSH|^~\\&|X\rMSA|ZZ|A1\r\x1c\r"),
    ],
)
def test_what_is_no_answer_is_none_and_the_message_is_sent_again(tmp_path, fault):
    with FaultyReceiver([fault]) as receiver:
        sent = Sent(tmp_path, receiver.port, [message("A1")])
        assert receiver.control_ids == ["A1", "A1"]
    assert (sent.status, sent.json["answers"]) == (0, {"AA": 1})


def test_no_answer_twice_is_a_feed_that_does_not_work(tmp_path):
    with FaultyReceiver([accept(), silence(), silence()]) as receiver:
        sent = Sent(tmp_path, receiver.port, three())
    assert sent.status == 4
    assert sent.json["sent"] == 1
    assert "did not acknowledge" in sent.err
    assert "was sent twice without an answer" in sent.err
    assert "is sent again" not in sent.err


def test_nobody_there(tmp_path):
    with FaultyReceiver() as receiver:
        free = receiver.port
    assert Sent(tmp_path, free, three()).status == 4


def test_the_application_answer_follows_the_commit(tmp_path):
    with FaultyReceiver([in_turn(accept("CA"), reject("AE"))]) as receiver:
        sent = Sent(tmp_path, receiver.port, [message("A1", "AL|AL")])
    assert (sent.status, sent.json["answers"]) == (1, {"CA": 1, "AE": 1})


def test_a_message_that_asks_for_no_answer_gets_none(tmp_path):
    with FaultyReceiver([silence()]) as receiver:
        sent = Sent(tmp_path, receiver.port, [message("A1", "NE|NE")])
    assert (sent.status, sent.json["answers"]) == (0, {"none": 1})


@pytest.mark.parametrize("words", ["here", "here:0", "here:x", ":1", "here:70000"])
def test_an_address_is_host_and_port(tmp_path, words):
    out, err = io.StringIO(), io.StringIO()
    assert main(("send", "x.hl7", "--to", words), environ={}, out=out, err=err) == 2
    assert "HOST:PORT" in err.getvalue()


def test_an_acknowledgement_in_other_delimiters_is_read():
    raw = b"MSH$%*!@$A$B$C$D$2026$$ACK$1$P$2.3\nMSA$ae$A!F!1%x$text\nERR$$PID%1%3$102%Bad"
    read = read_acknowledgement(raw)
    assert read is not None
    assert (read.code, read.control_id, read.fault) == (
        "AE",
        "A$1",
        "PID%1%3 102".replace("%", "^"),
    )
    assert read_acknowledgement(answer("AA", "x")[1:-2]).code == "AA"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ("", True),
        ("AL|NE", True),
        ("NE|AL", True),
        ("NE|NE", False),
        ("ER|NE", False),
        ("SU", True),
    ],
)
def test_who_asks_for_no_answer_expects_none(conditions, expected):
    assert answers_success(message("1", conditions).encode()) is expected


# --- TLS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """A folder with an authority, a receiver's certificate and a sender's, as PEM."""
    folder = tmp_path_factory.mktemp("certificates")
    key, authority = issued(folder, "authority")
    for name in ("receiver", "sender"):
        issued(folder, name, key, authority)
    issued(folder, "stranger")
    return folder


def issued(folder: Path, name: str, by_key=None, by=None):
    """Write a certificate and its key; its own issuer where no other is given."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signing = by_key or key
    identifier = x509.SubjectKeyIdentifier.from_public_key(signing.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.example")]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False
        )
        .sign(signing, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, *plain))
    return key, certificate


def mutual(certificates: Path) -> ssl.SSLContext:
    """A receiver that asks for a certificate of the authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "receiver.pem", certificates / "receiver.key")
    context.load_verify_locations(certificates / "authority.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize(
    ("authority", "name", "shown", "status"),
    [
        ("authority", "receiver.example", "sender", 0),
        ("stranger", "receiver.example", "sender", 4),
        ("authority", "other.example", "sender", 4),
        ("authority", "receiver.example", "stranger", 4),
        ("authority", "receiver.example", "", 4),
    ],
)
def test_tls_knows_the_receiver_and_shows_who_sends(
    tmp_path, certificates, authority, name, shown, status
):
    words = ["--tls-authority", str(certificates / f"{authority}.pem"), "--tls-name", name]
    if shown:
        words += ["--tls-certificate", str(certificates / f"{shown}.pem")]
        words += ["--tls-key", str(certificates / f"{shown}.key")]
    with FaultyReceiver(tls=mutual(certificates)) as receiver:
        sent = Sent(tmp_path, receiver.port, [message("A1")], *words)
        assert sent.status == status, sent.err
        assert bool(receiver.received) is (status == 0)


def test_a_plain_listener_is_not_spoken_to_in_tls(tmp_path, certificates):
    with FaultyReceiver() as receiver:
        words = ("--tls-authority", str(certificates / "authority.pem"))
        sent = Sent(tmp_path, receiver.port, [message("A1")], *words)
    assert sent.status == 4
    assert "No connection" in sent.err
