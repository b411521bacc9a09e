"""The API over TLS: real handshakes, renewed certificates, clients asked for theirs."""

import asyncio
import os
import re
import shutil
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from api.guard import Guard
from api.securing import http_context
from api.serving import serving
from tests.unit.certificates import DAY, NOW, Authority
from twin_core.errors import ConfigurationError
from twin_core.settings import HttpTlsSettings, load


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def hello(scope, receive, send):
    return PlainTextResponse(scope["scheme"])(scope, receive, send)


async def shown(port, trusted):
    """The serial number of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trusted, server_hostname="localhost"
    )
    number = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return number


def serve_and(settings, ask):
    async def served():
        listening = socket.create_server(("127.0.0.1", 0))
        async with serving(Guard(hello), listening, http_context(settings)):
            return await ask(listening.getsockname()[1])

    return asyncio.run(served())


def test_answers_come_over_tls_and_say_so(authority):
    certificate, key = authority.issue("server")
    trusted = ssl.create_default_context(cafile=authority.file)

    async def ask(port):
        async with httpx.AsyncClient(verify=trusted) as client:
            return await client.get(f"https://localhost:{port}/")

    answer = serve_and(HttpTlsSettings(certificate=certificate, key=key), ask)
    assert answer.text == "https"
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_a_renewed_certificate_is_shown_without_a_restart(authority, tmp_path):
    certificate, key = authority.issue("server")
    trusted = ssl.create_default_context(cafile=authority.file)
    settings = HttpTlsSettings(certificate=certificate, key=key)

    def renew(name, **how):
        for file, kept in zip(authority.issue(name, **how), (certificate, key), strict=True):
            shutil.copy(file, kept)
            os.utime(kept, ns=(1, int.from_bytes(name.encode()[-4:]) * 10**6))

    async def ask(port):
        first = await shown(port, trusted)
        renew("next1")
        second = await shown(port, trusted)
        certificate.write_text("half a renewal")
        third = await shown(port, trusted)
        renew("old2", ends_at=NOW - DAY, begins_at=NOW - timedelta(days=9))
        return first, second, third, await shown(port, trusted)

    first, second, third, fourth = serve_and(settings, ask)
    assert first != second
    assert second == third == fourth


def test_clients_show_a_certificate_where_that_is_wanted(authority):
    certificate, key = authority.issue("server")
    mine = authority.issue("client", client=True)
    settings = HttpTlsSettings(certificate=certificate, key=key, client_authority=authority.file)

    async def ask(port):
        trusted = ssl.create_default_context(cafile=authority.file)
        with pytest.raises((httpx.HTTPError, ssl.SSLError)):
            async with httpx.AsyncClient(verify=trusted) as client:
                await client.get(f"https://localhost:{port}/")
        trusted.load_cert_chain(*mine)
        async with httpx.AsyncClient(verify=trusted) as client:
            return (await client.get(f"https://localhost:{port}/")).status_code

    assert serve_and(settings, ask) == 200


def test_plain_http_and_old_tls_are_not_spoken(authority):
    certificate, key = authority.issue("server")

    async def ask(port):
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.HTTPError):
                await client.get(f"http://localhost:{port}/")
        old = ssl.create_default_context(cafile=authority.file)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError, match=r"protocol|alert|reset|^$"):
            await shown(port, old)

    serve_and(HttpTlsSettings(certificate=certificate, key=key, minimum="TLSv1.3"), ask)


def test_files_that_cannot_be_used_are_told_at_start(authority, tmp_path):
    with pytest.raises(ConfigurationError, match=r"http\.tls"):
        http_context(HttpTlsSettings(certificate=tmp_path / "absent.pem"))


@pytest.mark.parametrize(
    ("written", "opens"),
    [
        ('[http]\nhost = "0.0.0.0"\n', False),
        ('[http]\nhost = "0.0.0.0"\n[http.tls]\ncertificate = "c.pem"\n', False),
        ('[http]\nhost = "0.0.0.0"\n[access]\n', False),
        ('[http]\nhost = "0.0.0.0"\n[access]\nproxies = ["10.0.0.1"]\n', True),
        ('[http]\nhost = "10.1.2.3"\n[http.tls]\ncertificate = "c.pem"\n[access]\n', True),
        ("[access]\n", True),
    ],
)
def test_other_machines_are_served_with_locks_and_tls_only(written, opens, tmp_path):
    (tmp_path / "site.toml").write_text(written)
    if opens:
        assert load(tmp_path / "site.toml").settings.access is not None
        return
    with pytest.raises(ConfigurationError, match=r"\[access\]|TLS"):
        load(tmp_path / "site.toml")


def test_the_settings_of_the_how_to_are_usable(tmp_path):
    written = (Path(__file__).parents[2] / "docs/how-to/let-others-in.md").read_text("utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", written, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "site.toml").write_text(block)
        assert load(tmp_path / "site.toml").settings.access.hosts == ("twin.hospital.example",)
