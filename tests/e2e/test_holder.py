"""One store, two programs: what a command prints does not depend on who holds the store."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "api"]
QUESTIONS = [
    ["sql", "SELECT * FROM twin.stay ORDER BY stay_id"],
    ["sql", "SELECT * FROM twin.stay ORDER BY stay_id", "--json"],
    ["sql", "SELECT control_id, status, reason FROM twin.message ORDER BY 1", "--json"],
    ["sql", "SELECT count(*) FROM kpi.adc('2026-11-01', '2026-11-03')"],
    ["sql", "SELECT * FROM nowhere"],
    ["sql", "SELECT * FROM read_text('/etc/passwd')", "--json"],
    ["kpi", "adc", "--from", "2026-11-01", "--to", "2026-11-03"],
    ["kpi", "adc", "--from", "2026-11-01", "--to", "2026-11-03", "--json"],
    ["kpi", "nonsense"],
    ["quarantine", "list", "--json"],
    ["quarantine", "show", "3"],
    ["quarantine", "show", "999"],
]


def message(number: int, trigger: str = "A01", place: str = "W1^1^A") -> str:
    stamp = "20261101080000+0000"
    return "\r".join(
        (
            f"MSH|^~\\&|PAS|GENERAL|||{stamp}||ADT^{trigger}|{number}|P|2.5.1",
            f"EVN|{trigger}|{stamp}",
            f"PID|1||P{number}^^^GENERAL^MR||Test^Case||19700101|F",
            f"PV1|1|I|{place}^GENERAL{'|' * 16}V{number}^^^GENERAL^VN{'|' * 25}{stamp}",
        )
    )


def wardtwin(*words: str, store: Path, given: str | None = None):
    return subprocess.run(
        [*COMMAND, *words, "--db", str(store)],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        timeout=240,
        start_new_session=True,
    )


class Serving:
    """`wardtwin serve` on a store, with free ports."""

    def __init__(self, store: Path, *words: str):
        ports = ["--mllp-port", "0", "--http-port", "0"]
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--db", str(store), *ports, "--json", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        line = self.process.stdout.readline()
        self.ports = json.loads(line) if line else {}
        return self

    @property
    def mllp_port(self) -> int:
        assert self.ports, self.process.communicate()[1]
        return self.ports["mllp_port"]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=240)
        return self.process.returncode, said

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def sent(port: int, content: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"\x0b" + content.encode() + b"\x1c\r")
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            answer += connection.recv(65_536)
    return answer.decode()


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "hospital.duckdb"
    bad = message(3).replace("ADT^A01", "MDM^T02")
    ran = wardtwin("ingest", "-", store=path, given=f"{message(1)}\r{message(2)}\r{bad}\r")
    assert ran.returncode == 1, ran.stderr
    return path


def test_answers_are_the_same_whoever_holds_the_store(store):
    alone = [wardtwin(*words, store=store) for words in QUESTIONS]
    with Serving(store) as serving:
        assert serving.mllp_port
        held = [wardtwin(*words, store=store) for words in QUESTIONS]
    for words, before, after in zip(QUESTIONS, alone, held, strict=True):
        assert (after.returncode, after.stdout, after.stderr) == (
            before.returncode,
            before.stdout,
            before.stderr,
        ), words
    assert [ran.returncode for ran in alone] == [0, 0, 0, 0, 2, 2, 0, 0, 2, 0, 0, 2]


def test_state_is_the_same_whoever_holds_the_store(store):
    words = ["state", "--at", "2026-11-01T12:00Z", "--json"]
    alone = json.loads(wardtwin(*words, store=store).stdout)
    with Serving(store) as serving:
        assert serving.mllp_port
        assert json.loads(wardtwin(*words, store=store).stdout) == alone
    assert alone["census"] == 2


def test_what_arrives_while_held_is_seen_by_queries_soon(store):
    with Serving(store) as serving:
        wardtwin("sql", "SELECT 1", store=store)
        answer = sent(serving.mllp_port, message(4, place="W9^1^A"))
        assert "MSA|AA|4" in answer
        until = time.monotonic() + 180
        rows = []
        while not rows and time.monotonic() < until:
            ran = wardtwin(
                "sql", "SELECT bed FROM twin.stay WHERE unit = 'W9'", "--json", store=store
            )
            rows = json.loads(ran.stdout)
        assert rows == [{"bed": "A"}]


def test_ingest_while_held_goes_through_the_holder(store, tmp_path):
    files = tmp_path / "messages"
    files.mkdir()
    (files / "some.hl7").write_text("\r".join(message(number) for number in range(1, 51)))
    with Serving(store) as serving:
        first = json.loads(wardtwin("ingest", str(files), "--json", store=store).stdout)
        again = json.loads(wardtwin("ingest", str(files), "--json", store=store).stdout)
        assert serving.end()[0] == 0
    assert (first["messages"], first["accepted"], first["duplicates"]) == (50, 48, 2)
    assert (again["accepted"], again["duplicates"], again["rejected"]) == (0, 50, 0)


def test_the_socket_is_private_and_goes_with_the_server(store):
    path = Path(f"{store}.sock")
    with Serving(store) as serving:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert serving.end(signal.SIGINT)[0] == 0
    assert not path.exists()


def test_nothing_beside_a_store_is_anybody_elses_to_read(store):
    before = os.umask(0o022)
    try:
        with Serving(store) as serving:
            assert wardtwin("ingest", "-", store=store, given=message(4)).returncode == 0
            assert Path(f"{store}.wal").exists()
            files = [path for path in store.parent.rglob("*") if path.is_file()]
            assert [str(path) for path in files if path.stat().st_mode & 0o077] == []
            assert serving.end()[0] == 0
    finally:
        os.umask(before)


def test_the_socket_of_a_killed_server_is_in_nobodys_way(store):
    with Serving(store) as serving:
        serving.end(signal.SIGKILL)
    assert Path(f"{store}.sock").exists()
    assert wardtwin("sql", "SELECT 1", store=store).returncode == 0
    with Serving(store) as serving:
        assert serving.mllp_port


def test_a_long_path_gets_a_socket_elsewhere(tmp_path):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    store = folder / "hospital.duckdb"
    with Serving(store) as serving:
        assert serving.mllp_port
        assert wardtwin("sql", "SELECT 1 AS one", "--json", store=store).stdout
        assert not Path(f"{store}.sock").exists()


def test_a_second_server_is_refused(store):
    with Serving(store), Serving(store) as second:
        assert second.process.wait(timeout=240) == 5
        assert "held by another program" in second.process.stderr.read()


def test_a_port_in_use_is_named(store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for flags in (("--mllp-port", port, "--http-port", "0"), ("--http-port", port)):
            ran = wardtwin("serve", *flags, store=store)
            assert ran.returncode == 4
            assert port in ran.stderr
            assert "Traceback" not in ran.stderr


def test_other_hosts_are_refused(store, tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('[http]\nhost = "0.0.0.0"\n')
    ran = wardtwin("serve", "--config", str(site), store=store)
    assert ran.returncode == 3
    assert "who may come in" in ran.stderr


def test_no_patient_is_in_the_log(store):
    with Serving(store) as serving:
        sent(serving.mllp_port, message(5).replace("Test^Case", "Secretname^Given"))
        sent(serving.mllp_port, message(6).replace("19700101", "Secretname"))
        wardtwin("sql", "SELECT 'Secretname'::INTEGER", store=store)
        status, said = serving.end()
    assert status == 0
    assert "Secretname" not in said
    assert "P5" not in said


def test_a_query_that_runs_away_does_not_stop_the_holder(store, tmp_path):
    site = tmp_path / "site.toml"
    site.write_text("[store]\nquery_timeout_s = 1.5\n")
    runaway = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range*b.range = 7"
    with Serving(store, "--config", str(site)) as serving:
        ran = wardtwin("sql", runaway, store=store)
        assert ran.returncode == 5
        assert "MSA|AA|7" in sent(serving.mllp_port, message(7))
        assert wardtwin("sql", "SELECT 1", store=store).returncode == 0


def test_a_store_held_without_a_socket_is_busy(store):
    code = (
        "import sys; from twin_core import Twin\n"
        f"twin = Twin.open({str(store)!r}); print('up', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        holder.stdout.readline()
        ran = wardtwin("kpi", "adc", store=store)
        holder.stdin.close()
    assert ran.returncode == 5
    assert "End that program" in ran.stderr


def test_streams_are_told_of_an_alert_that_the_command_line_acknowledges(store, tmp_path):
    config = tmp_path / "site.toml"
    config.write_text(
        '[alerts.full]\nkpi = "adm_dis_balance"\nstatistic = "census_after"\nabove = 0.5\n'
    )
    with Serving(store, "--config", str(config)) as serving:
        url = f"{serving.ports['url']}v1/alerts/stream"
        with httpx.stream("GET", url, timeout=120, trust_env=False) as stream:
            happened = (
                json.loads(line.removeprefix("data: "))
                for line in stream.iter_lines()
                if line.startswith("data: ")
            )
            opened = next(happened) or [next(happened)["alert"]]
            noted = ["alerts", "ack", opened[0]["alert_id"], "--by", "Bed desk"]
            assert wardtwin(*noted, store=store).returncode == 0
            told = next(happened)
            assert (told["happened"], told["alert"]["acknowledged_by"]) == (
                "acknowledged",
                "Bed desk",
            )
