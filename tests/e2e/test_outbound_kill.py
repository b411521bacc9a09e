"""A twin that feeds another is killed at any moment, and so is the other: both end up the same."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from adapters.hl7v2.encode import Sender, encode
from api.holder import reach
from twin_core.simulation.demonstration import Demonstration
from twin_core.simulation.model import load_hospital

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 3, 26, tzinfo=UTC)
HEAD = 700
SAME = ("encounter", "stay", "patient", "patient_identifier", "encounter_identifier")


def messages() -> list[bytes]:
    """Some hundreds of messages of a hospital's life: admissions, swaps, merges, cancels."""
    model = load_hospital("riverside")
    sender = Sender(
        application="PAS",
        facility=model.code,
        zone=model.zone,
        patient_authority=model.patient_numbers,
        visit_authority=model.visit_numbers,
    )
    days = Demonstration(model, Random(5), START, START + timedelta(days=1))
    facts = [fact for fact, _ in zip(days.facts(), range(HEAD), strict=False)]
    return [encode(fact, sender=sender, control_id=f"C{n}") for n, fact in enumerate(facts)]


class Served:
    """`wardtwin serve` on one store and one port, killed and started again at will."""

    def __init__(self, store: Path, *settings: str) -> None:
        self.store = store
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = store.with_suffix(".toml")
        self.config.write_text("\n".join(settings))
        self.start()

    def start(self) -> None:
        words = ["serve", "--db", str(self.store), "--config", str(self.config), "--json"]
        ports = ["--mllp-port", str(self.port), "--http-port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api", *words, *ports],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line, self.process.wait()
        assert json.loads(line)["mllp_port"] == self.port

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)
        self.process.wait(60)
        self.process.stdout.close()
        wait_until(lambda: not self.listening())

    def listening(self) -> bool:
        """Whether the port answers: a listener outlives its killed server for a moment."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, operation: str, **asked: object) -> object:
        holder = reach(self.store)
        assert holder is not None
        try:
            return holder.ask(operation, **asked)
        finally:
            holder.close()


def wait_until(true, timeout_s: float = 240.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.02)


class Source(threading.Thread):
    """Sends every message until it is acknowledged, as a patient administration system would."""

    def __init__(self, port: int, raws: list[bytes]) -> None:
        super().__init__(daemon=True)
        self.port, self.raws, self.acknowledged = port, raws, 0

    def run(self) -> None:
        while self.acknowledged < len(self.raws):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                    self._send(connection)
            except OSError:
                time.sleep(0.05)

    def _send(self, connection: socket.socket) -> None:
        while self.acknowledged < len(self.raws):
            connection.sendall(b"\x0b" + self.raws[self.acknowledged] + b"\x1c\r")
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                part = connection.recv(65_536)
                if not part:
                    return
                answer += part
            assert b"MSA|AA|" in answer
            self.acknowledged += 1


@pytest.mark.slow
def test_a_twin_fed_by_one_that_is_killed_is_the_same(tmp_path):
    chance = random.Random(7)
    there = Served(tmp_path / "there.duckdb")
    here = Served(
        tmp_path / "here.duckdb",
        "[outbound.there]",
        'host = "127.0.0.1"',
        f"port = {there.port}",
        'from = "start"',
        "retry_first_s = 0.05",
        "retry_longest_s = 0.2",
    )
    try:
        source = Source(here.port, messages())
        source.start()
        for victim in (here, here, there, here):
            before = source.acknowledged
            wait_until(lambda before=before: source.acknowledged > before or not source.is_alive())
            time.sleep(chance.uniform(0.1, 0.6))
            victim.kill()
            victim.start()
        source.join(120)
        assert source.acknowledged == len(source.raws)

        def delivered() -> bool:
            [shown] = here.ask("outbound_list")
            assert shown["parked"] == 0, here.ask("outbound_show", destination="there")
            return shown["behind"] == 0 and shown["tallies"].get("delivered", 0) > 0

        def applied() -> bool:
            return count(here) == count(there) == len(source.raws)

        wait_until(applied)
        wait_until(delivered)
        for table in SAME:
            sql = f"SELECT * FROM twin.{table} ORDER BY ALL"
            mine, theirs = (served.ask("sql", sql=sql)["rows"] for served in (here, there))
            assert mine
            assert mine == theirs, table
    finally:
        for served in (here, there):
            if served.process.poll() is None:
                served.end(signal.SIGTERM)


def count(served: Served) -> int:
    """How many messages were applied; fewer than were sent while some are still on their way."""
    [row] = served.ask("sql", sql="SELECT count(*) AS n FROM twin.message")["rows"]
    return int(row["n"])
