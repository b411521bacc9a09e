"""Many feeds in one server: real processes, real sockets, one twin."""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from certificates import DAY, NOW, Authority

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "api"]
SITE = """
[feeds.adt]
time_zone = "UTC"
[feeds.lab]
port = 0
time_zone = "UTC"
connections = 2
[feeds.pas2]
port = 0
time_zone = "UTC"
acknowledgement = "immediate"
"""


def message(control, trigger, at, place, *, visit="V1", accept="", application=""):
    stamp = f"20261101{at.replace(':', '')}00+0000"
    return "\r".join(
        (
            f"MSH|^~\\&|PAS|GENERAL|||{stamp}||ADT^{trigger}|{control}|P|2.5.1|||"
            f"{accept}|{application}",
            f"EVN|{trigger}|{stamp}",
            f"PID|1||P{visit}^^^GENERAL^MR||Test^Case||19700101|F",
            f"PV1|1|I|{place}^GENERAL{'|' * 16}{visit}^^^GENERAL^VN{'|' * 25}"
            + (stamp if trigger == "A01" else "")
            + (f"|{stamp}" if trigger == "A03" else ""),
        )
    )


def wardtwin(*words, store):
    return subprocess.run(
        [*COMMAND, *words, "--db", str(store)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )


@contextlib.contextmanager
def serving(folder, site=SITE, *words):
    """`wardtwin serve` with the settings given; what it announced, and the process."""
    (folder / "site.toml").write_text(site)
    ports = ["--mllp-port", "0", "--http-port", "0"]
    given = ["--db", str(folder / "h.duckdb"), "--config", str(folder / "site.toml"), "--json"]
    process = subprocess.Popen(
        [*COMMAND, "serve", *given, *ports, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        yield json.loads(line) if line else {}, process
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


class Sender:
    """One connection to a feed."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._heard = b""

    def send(self, *contents):
        self._socket.sendall(b"".join(b"\x0b" + c.encode() + b"\x1c\r" for c in contents))

    def hear(self):
        """Code and control id of the next answer."""
        while b"\x1c\r" not in self._heard:
            received = self._socket.recv(65_536)
            if not received:
                raise ConnectionError("closed")
            self._heard += received
        answer, _, self._heard = self._heard.partition(b"\x1c\r")
        return re.search(r"\rMSA\|(..)\|([^\r|]*)", answer.decode()).groups()

    def ask(self, content):
        self.send(content)
        return self.hear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()


def rows(store, query):
    return json.loads(wardtwin("sql", query, "--json", store=store).stdout)


def eventually(question, wanted):
    until = time.monotonic() + 180
    while (answer := question()) != wanted and time.monotonic() < until:
        time.sleep(0.2)
    assert answer == wanted


def test_every_feed_listens_and_all_of_them_make_one_twin(tmp_path):
    store = tmp_path / "h.duckdb"
    with serving(tmp_path) as (said, _):
        ports = said["feeds"]
        assert ports["adt"] == said["mllp_port"]
        assert len(set(ports.values())) == 3
        # One patient's course over three feeds and four connections, in no order of time.
        course = [
            ("lab", message("3", "A03", "12:00", "W2^1^A")),
            ("adt", message("1", "A01", "08:00", "W1^1^A")),
            ("pas2", message("2", "A02", "10:00", "W2^1^A")),
            ("adt", message("4", "A01", "09:00", "W1^1^B", visit="V2")),
        ]
        for feed, content in course:
            with Sender(ports[feed]) as sender:
                assert sender.ask(content)[0] == "AA"
        stays = "SELECT unit, hour(from_at) AS f, hour(to_at) AS t FROM twin.stay ORDER BY ALL"
        wanted = [
            {"unit": "W1", "f": 8, "t": 10},
            {"unit": "W1", "f": 9, "t": None},
            {"unit": "W2", "f": 10, "t": 12},
        ]
        eventually(lambda: rows(store, stays), wanted)
        by_feed = "SELECT feed, count(*) AS n FROM twin.message GROUP BY feed ORDER BY feed"
        counted = [{"feed": f, "n": n} for f, n in (("adt", 2), ("lab", 1), ("pas2", 1))]
        assert rows(store, by_feed) == counted


def test_every_way_of_spreading_a_patient_over_connections_gives_the_same_twin(tmp_path):
    course = (("A01", "08:00", "W1^1^A"), ("A02", "10:00", "W2^1^A"), ("A03", "12:00", "W2^1^A"))
    orders = list(itertools.permutations(range(3)))
    with serving(tmp_path) as (said, _):
        with Sender(said["mllp_port"]) as one, Sender(said["mllp_port"]) as two:
            for case, order in enumerate(orders):
                for turn, step in enumerate(order):
                    trigger, at, place = course[step]
                    content = message(f"{case}.{step}", trigger, at, place, visit=f"V{case}")
                    assert (one, two)[turn % 2].ask(content) == ("AA", f"{case}.{step}")
        stays = (
            "SELECT count(DISTINCT encounter_id) AS encounters, count(*) AS stays,"
            " count(*) FILTER (hour(from_at) = 8 AND hour(to_at) = 10) AS first,"
            " count(*) FILTER (hour(from_at) = 10 AND hour(to_at) = 12) AS second FROM twin.stay"
        )
        n = len(orders)
        wanted = [{"encounters": n, "stays": 2 * n, "first": n, "second": n}]
        eventually(lambda: rows(tmp_path / "h.duckdb", stays), wanted)


def test_a_deferred_answer_says_that_the_message_can_be_seen(tmp_path):
    store = tmp_path / "h.duckdb"
    with serving(tmp_path) as (said, _), Sender(said["mllp_port"]) as sender:
        asked = message("1", "A01", "08:00", "W1^1^A", accept="AL", application="AL")
        assert sender.ask(asked) == ("CA", "1")
        assert sender.hear() == ("AA", "1")
        state = json.loads(
            wardtwin("state", "--at", "2026-11-01T09:00Z", "--json", store=store).stdout
        )
        assert state["census"] == 1
        # Sent again it is answered as the first time, and at once: it has been applied.
        assert (sender.ask(asked), sender.hear()) == (("CA", "1"), ("AA", "1"))
        with Sender(said["feeds"]["pas2"]) as immediate:
            assert immediate.ask(asked.replace("|1|P|", "|2|P|")) == ("CA", "2")
            assert immediate.hear() == ("AA", "2")


def test_what_is_still_deferred_when_the_server_stops_is_answered_first(tmp_path):
    with serving(tmp_path) as (said, process), Sender(said["mllp_port"]) as sender:
        numbers = range(200)
        for n in numbers:
            sender.send(message(n, "A01", "08:00", f"W1^{n}^A", visit=f"V{n}", accept="AL",
                                application="AL"))  # fmt: skip
        heard = [sender.hear() for _ in numbers]
        process.send_signal(signal.SIGTERM)
        while len(heard) < 2 * len(numbers):
            heard.append(sender.hear())
    assert sorted(heard) == sorted((code, str(n)) for n in numbers for code in ("AA", "CA"))


def test_the_listening_process_is_started_again_on_the_same_ports(tmp_path):
    with serving(tmp_path) as (said, process):
        with Sender(said["feeds"]["lab"]) as sender:
            assert sender.ask(message("1", "A01", "08:00", "W1^1^A"))[0] == "AA"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("this system does not list a process's children")
        pids = [int(pid) for pid in children.read_text().split()]
        [listening] = [
            pid for pid in pids if b"api.intake" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(listening, signal.SIGKILL)
        asked = message("2", "A01", "08:00", "W1^2^A", visit="V2", accept="AL", application="AL")
        until = time.monotonic() + 180
        heard = None
        while heard is None and time.monotonic() < until:
            with contextlib.suppress(OSError), Sender(said["feeds"]["lab"]) as sender:
                heard = sender.ask(asked), sender.hear()
            time.sleep(0.2)
        assert heard == (("CA", "2"), ("AA", "2"))


def test_feeds_are_listed_with_their_connections_and_rejects(tmp_path):
    store = tmp_path / "h.duckdb"
    with serving(tmp_path) as (said, _), Sender(said["feeds"]["lab"]) as sender:
        good = message("1", "A01", "08:00", "W1^1^A")
        assert [sender.ask(m)[0] for m in (good, good, good.replace("PID|1||", "PID|1||~"))] == [
            "AA",
            "AA",
            "AA",
        ]
        assert sender.ask(message("2", "A01", "25:00", "W1^1^A"))[0] == "AE"

        def seen():
            listed = json.loads(wardtwin("feed", "list", "--json", store=store).stdout)
            lab = next(feed for feed in listed if feed["feed"] == "lab")
            return lab["listener"]["received"], lab

        eventually(lambda: seen()[0], 4)
        _, lab = seen()
        assert (lab["accepted"], lab["duplicates"], lab["rejected"]) == (2, 1, 1)
        assert lab["address"].endswith(f":{said['feeds']['lab']}")
        assert lab["listener"]["rejects"] == {"102": 1}
        [connection] = lab["listener"]["open"]
        assert (connection["messages"], connection["outstanding"]) == (4, 0)
        shown = wardtwin("feed", "list", store=store)
        assert shown.returncode == 0
        assert all(name in shown.stdout for name in ("adt", "lab", "pas2", "learning", "<= "))
        metrics = urllib.request.urlopen(f"{said['url']}metrics", timeout=120).read().decode()  # noqa: S310
        assert 'wardtwin_feed_received_total{feed="lab"} 4' in metrics
    # Without a server the store still tells what it has counted.
    alone = json.loads(wardtwin("feed", "list", "--json", store=store).stdout)
    assert [(f["feed"], f["accepted"], f["listener"]) for f in alone if f["accepted"]] == [
        ("lab", 2, None)
    ]


def test_a_feed_with_client_certificates_and_what_the_doctor_says_of_them(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", ends_at=NOW + 10 * DAY)
    tls = (
        f'[feeds.lab.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
        f'client_authority = "{authority.file}"\n'
    )
    store, site = tmp_path / "h.duckdb", tmp_path / "site.toml"
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(*authority.issue("lab", client=True))
    with serving(tmp_path, SITE + tls) as (said, _):
        with socket.create_connection(("127.0.0.1", said["feeds"]["lab"]), timeout=120) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                content = message("1", "A01", "08:00", "W1^1^A").encode()
                secured.sendall(b"\x0b" + content + b"\x1c\r")
                assert b"MSA|AA|1" in secured.recv(65_536)
        doctor = wardtwin("doctor", "--config", str(site), "--json", store=store)
        checks = {check["check"]: check for check in json.loads(doctor.stdout)}
        assert doctor.returncode == 1
        assert checks["tls lab"]["verdict"] == "warn"
        assert "renew it" in checks["tls lab"]["said"]
    certificate.write_text("no certificate")
    doctor = wardtwin("doctor", "--config", str(site), "--json", store=store)
    checks = {check["check"]: check for check in json.loads(doctor.stdout)}
    assert checks["tls lab"]["verdict"] == "fail"
    assert checks["pas2 port"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("site", "status", "told"),
    [
        (
            "[feeds.a]\nport = 7001\n[feeds.b]\nport = 7001\n",
            3,
            "feed a and feed b both listen",
        ),
        ("[mllp]\nport = 7002\n[feeds.b]\nport = 7002\n", 3, "feed adt and feed b both listen"),
        (
            '[feeds.b]\nport = 7003\nhost = "0.0.0.0"\n[feeds.c]\nport = 7003\n',
            3,
            "feed b and feed c",
        ),
        ('[feeds.b]\nport = 0\nhost = "0.0.0.0"\n', 3, "feeds.b.peers"),
        ('[feeds.b]\nport = 0\npeers = ["ward-pc"]\n', 3, "feeds.b.peers"),
        ('[mllp.tls]\ncertificate = "none.pem"\n', 3, "mllp.tls.certificate"),
    ],
)
def test_listeners_that_cannot_be_are_refused_at_the_start(tmp_path, site, status, told):
    (tmp_path / "site.toml").write_text(site)
    flags = ["--config", str(tmp_path / "site.toml"), "--http-port", "0"]
    if "[mllp]\n" not in site:
        flags += ["--mllp-port", "0"]
    ran = wardtwin("serve", *flags, store=tmp_path / "h.duckdb")
    assert (ran.returncode, told in ran.stderr) == (status, True), ran.stderr
    assert "Traceback" not in ran.stderr
