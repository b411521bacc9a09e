"""TLS on a listener: who gets in, who does not, how long anyone may take, and what is renewed."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import ssl
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from certificates import DAY, NOW, Authority
from mllp_peers import Projecting, Recorder, Sender, run, until

from adapters.hl7v2 import MllpListener, framed
from adapters.hl7v2.tls import Certificates
from twin_core.errors import ConfigurationError
from twin_core.settings import FeedSettings, LimitSettings, TlsSettings


def message(control_id, conditions="", body="PID|1||42^^^HOSP^MR||SECRETNAME"):
    header = f"MSH|^~\\&|APP|FAC|||20261101080000+0000||ADT^A28|{control_id}|P|2.5{conditions}"
    return f"{header}\r{body}\r".encode()


class Site:
    """A listener's certificates, an authority for clients, and one for strangers."""

    def __init__(self, folder):
        self.folder = folder
        self.authority = Authority(folder)
        self.strangers = Authority(folder, "Strangers")
        self.certificate, self.key = self.authority.issue("server")

    def tls(self, **how):
        given = {"certificate": self.certificate, "key": self.key}
        return TlsSettings.model_validate(given | how)

    def mutual(self, **how):
        return self.tls(client_authority=self.authority.file, **how)

    def client(self, certificate=None, newest=None):
        context = ssl.create_default_context(cafile=self.authority.file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        if newest is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.set_ciphers("ALL@SECLEVEL=0")
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = newest
        return context


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@contextlib.asynccontextmanager
async def listening(tls, twin=None, **how):
    twin = twin or Recorder(tls=tls, **how.pop("mllp", {}))
    mllp = twin.settings.mllp.model_copy(update={"tls": tls})
    listener = MllpListener(twin, "main", mllp=mllp, **how)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.close()


async def connect(listener, context):
    return await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=context, server_hostname="localhost"
    )


async def heard(listener, context, sent=None):
    """What a client hears before the connection ends, or before the first answer is whole."""
    try:
        reader, writer = await connect(listener, context)
    except (ssl.SSLError, ConnectionError):
        return b""
    try:
        writer.write(framed(sent or message("1")))
        return await reader.readuntil(b"\x1c\r")
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.transport.abort()


def test_messages_are_answered_and_the_client_is_known_by_its_certificate(site):
    async def scenario():
        context = site.client(site.authority.issue("lab-engine", client=True))
        async with listening(site.mutual()) as listener:
            reader, writer = await connect(listener, context)
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            big = "NTE|1||" + "x" * 300_000
            raws = [message(n, body=f"PID|1||42^^^HOSP^MR\r{big}") for n in range(5)]
            writer.write(b"".join(map(framed, raws)))
            for n in range(5):
                assert f"\rMSA|AA|{n}\r".encode() in await reader.readuntil(b"\x1c\r")
            status = listener.status()
            assert [one.client for one in status.open] == ["lab-engine"]
            assert status.certificate_expires_at == NOW + 90 * DAY
            writer.close()
            await until(lambda: listener.status().connections == 0)

    run(scenario())


@pytest.mark.parametrize(
    "who", ["nobody", "a stranger", "an expired client", "a server", "TLS 1.1", "plain text"]
)
def test_whoever_has_no_proper_certificate_is_not_heard(site, who, caplog):
    async def scenario():
        contexts = {
            "nobody": lambda: site.client(),
            "a stranger": lambda: site.client(site.strangers.issue("lab", client=True)),
            "an expired client": lambda: site.client(
                site.authority.issue("old", client=True, ends_at=NOW - DAY)
            ),
            "a server": lambda: site.client((site.certificate, site.key)),
            "TLS 1.1": lambda: site.client(
                site.authority.issue("lab", client=True), ssl.TLSVersion.TLSv1_1
            ),
            "plain text": lambda: None,
        }
        twin = Recorder()
        async with listening(site.mutual(), twin) as listener:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context = contexts[who]()
            if context is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(framed(message("1")))
                with contextlib.suppress(ConnectionError):
                    assert b"MSA" not in await reader.read()
                writer.close()
            else:
                assert await heard(listener, context) == b""
            await until(lambda: listener.status().refused_connections == 1)
            assert twin.receipts == []
            good = site.client(site.authority.issue("lab", client=True))
            assert b"MSA|AA|1" in await heard(listener, good)

    run(scenario())
    assert "SECRETNAME" not in caplog.text
    assert "Traceback" not in caplog.text


def test_every_hostile_case_of_this_group_has_its_test():
    cases = Path(__file__).parents[2] / "../shared/adversarial/cases.json"
    if not cases.exists():
        pytest.skip("the cases are kept beside the project")
    known = {
        "plain_to_tls_port": "plain text",
        "expired_client_cert": "an expired client",
        "tls10_tls11": "TLS 1.1",
        "cert_cn_not_in_allow_list": "clients that are not named",
    }
    listed = json.loads(cases.read_text())["cases"]
    hostile = {step for case in listed if case["group"] == "mllps" for step in case["steps"]}
    assert hostile <= known.keys()


def test_only_clients_that_are_named_are_heard(site):
    async def scenario():
        async with listening(site.mutual(clients=("pas",))) as listener:
            for name, answer in (("pas", b"MSA|AA|1"), ("lab", b"")):
                context = site.client(site.authority.issue(name, client=True))
                assert answer in await heard(listener, context)
                assert bool(answer) is (listener.status().refused_connections == 0)
            assert listener.status().refused_connections == 1

    run(scenario())


def test_a_client_that_is_not_named_is_told_by_the_name_it_came_with(site, caplog):
    async def scenario():
        async with listening(site.mutual(clients=("pas",))) as listener:
            for name in ("lab", "x\n\x1b[2J\u202e"):
                made = site.authority.issue(name, client=True)
                assert await heard(listener, site.client(made)) == b""
            await until(lambda: listener.status().refused_connections == 2)

    run(scenario())
    assert "the name in its certificate, 'lab', is not among" in caplog.text
    assert r"'x\n\x1b[2J\u202e'" in caplog.text
    assert "\x1b" not in caplog.text


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("expired", "certificate has expired"),
        ("future", "certificate is not yet valid"),
        ("stranger", "unable to get local issuer certificate"),
        ("gone", "ConnectionResetError"),
    ],
)
def test_why_a_handshake_failed_is_told(site, who, words, caplog):
    async def scenario():
        issue, end = site.authority.issue, NOW - DAY
        made = {
            "expired": lambda: issue("old", client=True, ends_at=end),
            "future": lambda: issue("new", client=True, begins_at=NOW + DAY),
            "stranger": lambda: site.strangers.issue("lab", client=True),
        }
        async with listening(site.mutual()) as listener:
            if who in made:
                assert await heard(listener, site.client(made[who]())) == b""
            else:
                _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                await until(lambda: listener.status().handshakes == 1)
                writer.close()
            await until(lambda: listener.status().refused_connections == 1)

    run(scenario())
    [told] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert words in told


def test_tls_1_2_is_spoken_unless_it_is_too_old_for_the_site(site):
    async def scenario():
        for minimum, answer in (("TLSv1.2", b"MSA|AA|1"), ("TLSv1.3", b"")):
            async with listening(site.tls(minimum=minimum)) as listener:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    context = site.client(newest=ssl.TLSVersion.TLSv1_2)
                assert answer in await heard(listener, context)
                assert bool(answer) is (listener.status().refused_connections == 0)

    run(scenario())


def test_peers_are_checked_before_the_handshake(site):
    async def scenario():
        feed = FeedSettings(peers=("10.0.0.0/8",))
        async with listening(site.tls(), feed_settings=feed) as listener:
            assert await heard(listener, site.client()) == b""
            status = listener.status()
            assert (status.refused_connections, status.handshakes) == (1, 0)

    run(scenario())


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_handshake_that_does_not_go_on_is_ended_and_counts_until_then(site, sent):
    async def scenario():
        mllp = {"frame_timeout_s": 0.6, "connections": 2}
        async with listening(site.tls(), mllp=mllp) as listener:
            stalled = []
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(sent)
                stalled.append((reader, writer))
            await until(lambda: listener.status().handshakes == 2)
            assert await heard(listener, site.client()) == b""
            assert listener.status().refused_connections == 1
            for reader, writer in stalled:
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
            status = listener.status()
            assert (status.handshakes, status.refused_connections) == (0, 3)
            assert b"MSA|AA|1" in await heard(listener, site.client())

    run(scenario())


def test_a_handshake_byte_by_byte_has_the_same_deadline(site):
    async def scenario():
        async with listening(site.tls(), mllp={"frame_timeout_s": 0.6}) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            hello = b"\x16\x03\x01\x40\x00\x01" + bytes(60)

            async def drip():
                with contextlib.suppress(ConnectionError):
                    for n in range(len(hello)):
                        writer.write(hello[n : n + 1])
                        await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            started = asyncio.get_running_loop().time()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            assert asyncio.get_running_loop().time() - started < 2.5
            await dripping
            writer.close()

    run(scenario())


def test_deadlines_and_limits_hold_within_tls_too(site):
    async def scenario():
        limits = LimitSettings(frame_bytes=5_000)
        mllp = {"frame_timeout_s": 0.5, "idle_timeout_s": 0.5}
        async with listening(site.tls(), mllp=mllp, limits=limits) as listener:
            for sent in (b"", b"\x0bMSH|^~\\&|half", b"GET / HTTP/1.1\r\n\r\n"):
                reader, writer = await connect(listener, site.client())
                writer.write(sent)
                assert await reader.read() == b""
                writer.close()
            long = message("9", body="PID|1||" + "A" * 100_000)
            assert b"MSA|AR|9" in await heard(listener, site.client(), long)
            await until(lambda: listener.status().connections == 0)

    run(scenario())


def test_a_deferred_answer_comes_over_the_same_secured_connection(site):
    async def scenario():
        twin = Projecting()
        async with listening(site.tls(), twin) as listener:
            listener.applied(0)
            sender = Sender(*await connect(listener, site.client()))
            sender.send(message("1", "|||AL|AL"))
            await until(lambda: sender.answers)
            listener.applied(1)
            await until(lambda: len(sender.answers) == 2)
            assert sender.codes() == [(b"CA", b"1"), (b"AA", b"1")]
            sender.send(message("2", "|||AL|AL"))
            await until(lambda: len(sender.answers) == 3)
            sender.writer.close()
            await until(lambda: listener.status().connections == 0)
            assert listener.status().undelivered == 1

    run(scenario())


def test_a_client_that_never_reads_its_answers_is_disconnected(site, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("adapters.hl7v2.connection.LINGER_S", 0.6)
    monkeypatch.setattr("adapters.hl7v2.tls.FAREWELL_S", 60)

    async def scenario():
        async with listening(site.tls(), mllp={"frame_timeout_s": 0.5}) as listener:
            _, writer = await connect(listener, site.client())
            writer.transport.pause_reading()
            await until(lambda: listener._connections)
            [connection] = listener._connections
            size = connection.transport.get_write_buffer_size
            ends = (connection.transport, socket.SO_SNDBUF), (writer.transport, socket.SO_RCVBUF)
            for transport, buffer in ends:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 4096)
            while listener.status().connections and size() <= 512 * 1024:
                writer.write(framed(message("X" * 250)) * 100)
                await asyncio.sleep(0.02)
            await until(lambda: listener.status().connections == 0)
            writer.transport.abort()

    run(scenario())
    assert caplog.text.count("its answers are not read") == 1


def test_closing_ends_handshakes_too(site):
    async def scenario():
        async with listening(site.tls()) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            await until(lambda: listener.status().handshakes == 1)
        writer.close()

    run(scenario())


def test_a_renewed_certificate_holds_from_the_next_connection_on(site):
    async def scenario():
        async with listening(site.tls()) as listener:
            old, _ = await connect(listener, site.client()), None
            renewed_until = NOW + 200 * DAY
            # Half of a renewal: the key does not fit yet, so what was good stays in use.
            fresh = site.authority.issue("renewed", ends_at=renewed_until)
            _replace(fresh[0], site.certificate)
            assert b"MSA|AA|1" in await heard(listener, site.client())
            assert listener.status().certificate_expires_at == NOW + 90 * DAY
            _replace(fresh[1], site.key)
            reader, writer = await connect(listener, site.client())
            assert listener.status().certificate_expires_at == renewed_until
            assert writer.get_extra_info("peercert")["subject"] == ((("commonName", "renewed"),),)
            for _, connected in ((reader, writer), old):
                connected.write(framed(message("1")))
                connected.close()

    run(scenario())


class Hands:
    """A clock that shows what it is set to."""

    def __init__(self):
        self.shown = NOW

    def now(self):
        return self.shown


@pytest.mark.parametrize(("days", "words"), [(-1, "senders are turned away"), (90, "holds until")])
def test_a_start_tells_whether_the_certificate_still_holds(site, caplog, days, words):
    caplog.set_level("INFO", logger="wardtwin.mllp")
    certificate, key = site.authority.issue("own", ends_at=NOW + days * DAY)

    async def scenario():
        async with listening(site.tls(certificate=certificate, key=key)):
            pass

    run(scenario())
    told = [record for record in caplog.records if words in record.getMessage()]
    assert [record.levelname for record in told] == ["ERROR" if days < 0 else "INFO"]


@pytest.mark.parametrize("who", ["expired", "not yet valid"])
def test_a_renewal_that_nobody_would_accept_leaves_the_good_one_in_use(site, who, caplog):
    clock = Hands()
    held = Certificates("mllp.tls", site.tls(), clock)
    good = held.context()
    when = {
        "expired": {"ends_at": NOW - DAY},
        "not yet valid": {"begins_at": NOW + DAY, "ends_at": NOW + 300 * DAY},
    }
    certificate, key = site.authority.issue("renewed", **when[who])
    _replace(certificate, site.certificate)
    _replace(key, site.key)
    for _ in range(3):
        assert held.context() is good
    assert held.expires_at == NOW + 90 * DAY
    [told] = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert "not valid now" in told
    clock.shown = NOW + DAY
    assert (held.context() is good) is (who == "expired")
    assert held.expires_at == NOW + (90 if who == "expired" else 300) * DAY


def _replace(source, target):
    source.replace(target)
    os.utime(target, ns=(1, target.stat().st_mtime_ns + 1))


@pytest.mark.parametrize(
    "broken",
    ["missing", "a folder", "no PEM", "another's key", "a key with a password", "no key",
     "no authority", "an empty authority"],
)  # fmt: skip
def test_files_that_cannot_be_used_are_a_matter_of_configuration(site, broken):
    (site.folder / "empty.pem").write_text("")
    (site.folder / "noise.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    _, locked = site.authority.issue("locked", password=b"hush")
    _, another = site.authority.issue("another")
    how = {
        "missing": {"certificate": site.folder / "none.pem"},
        "a folder": {"certificate": site.folder},
        "no PEM": {"certificate": site.folder / "noise.pem"},
        "another's key": {"key": another},
        "a key with a password": {"key": locked},
        "no key": {"key": None},
        "no authority": {"client_authority": site.folder / "none.pem"},
        "an empty authority": {"client_authority": site.folder / "empty.pem"},
    }
    with pytest.raises(ConfigurationError, match=r"mllp\.tls\.") as caught:
        MllpListener(Recorder(tls=site.tls(**how[broken])), "main")
    assert caught.value.do


def test_names_of_clients_need_an_authority(site):
    with pytest.raises(ValueError, match="client_authority"):
        site.tls(clients=("lab",))
