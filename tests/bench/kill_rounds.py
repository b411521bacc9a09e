"""Kill the server at random moments and see whether anything acknowledged was lost or doubled.

    python tests/bench/kill_rounds.py --rounds 100

Every round starts `wardtwin serve` on the same store, sends admissions over several connections,
kills the server with SIGKILL, and asks the store: every acknowledged message must be there exactly
once, with exactly one stay. Messages without an acknowledgement are sent again in the next round,
as a sending system would, and must not appear twice either.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 8
MLLP = [sys.executable, "-m", "api"]
PORTS = ["--mllp-port", "0", "--http-port", "0"]


class Sender(threading.Thread):
    """One connection: sends admissions one after the other and notes what was acknowledged."""

    def __init__(self, port: int, prefix: str, again: list[str]) -> None:
        super().__init__(daemon=True)
        self.port, self.prefix, self.again = port, prefix, again
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []
        self.refused: list[str] = []

    def run(self) -> None:
        """Send until the server is gone."""
        number = 0
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                while True:
                    if self.again:
                        name = self.again.pop()
                    else:
                        name = f"{self.prefix}-{number:06}"
                        number += 1
                    self.unanswered.append(name)
                    connection.sendall(b"\x0b" + admission(name) + b"\x1c\r")
                    answer = received(connection)
                    if not answer:
                        return
                    self.unanswered.pop()
                    if f"MSA|AA|{name}".encode() in answer:
                        self.acknowledged.append(name)
                    else:
                        self.refused.append(name)
        except OSError:
            return


def admission(name: str) -> bytes:
    """An A01 whose control id, visit number and patient number are all `name`."""
    return "\r".join(
        (
            f"MSH|^~\\&|PAS|GENERAL|||20261101080000+0000||ADT^A01|{name}|P|2.5.1",
            "EVN|A01|20261101080000+0000",
            f"PID|1||P{name}^^^GENERAL^MR||Test^Case||19700101|F",
            f"PV1|1|I|W1^1^{name}^GENERAL{'|' * 16}{name}^^^GENERAL^VN{'|' * 25}"
            "20261101080000+0000",
        )
    ).encode()


def received(connection: socket.socket) -> bytes:
    """One acknowledgement; empty when the server is gone."""
    answer = b""
    while not answer.endswith(b"\x1c\r"):
        part = connection.recv(65_536)
        if not part:
            return b""
        answer += part
    return answer


def started(store: Path) -> tuple[subprocess.Popen[str], int]:
    """A server on the store, and its MLLP port."""
    server = subprocess.Popen(
        [*MLLP, "serve", "--db", str(store), *PORTS, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    line = server.stdout.readline() if server.stdout else ""
    if not line:
        raise SystemExit(f"the server did not start; it ended with {server.wait()}")
    return server, json.loads(line)["mllp_port"]


def asked(store: Path, query: str) -> list[dict[str, object]]:
    """The answer to a query, as a user gets it."""
    answer = subprocess.run(
        [*MLLP, "sql", query, "--db", str(store), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise SystemExit(f"the store does not answer: {answer.stderr}")
    rows: list[dict[str, object]] = json.loads(answer.stdout)
    return rows


def one_round(store: Path, number: int, again: list[str], chance: random.Random) -> list[Sender]:
    """Serve, send, kill; return what the senders saw."""
    server, port = started(store)
    shares = [again[at::CONNECTIONS] for at in range(CONNECTIONS)]
    senders = [Sender(port, f"R{number:04}-{at}", share) for at, share in enumerate(shares)]
    for sender in senders:
        sender.start()
    time.sleep(chance.uniform(0.05, 1.5))
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    if server.stdout:
        server.stdout.close()
    for sender in senders:
        sender.join(timeout=30)
    return senders


def faults(store: Path, round_number: int, acknowledged: set[str]) -> list[str]:
    """What is missing or doubled among the messages of one round."""
    like = f"R{round_number:04}-%"
    messages = counts(
        asked(
            store,
            f"SELECT control_id AS name, count(*) AS n FROM twin.message "
            f"WHERE control_id LIKE '{like}' AND status = 'applied' GROUP BY ALL",
        )
    )
    stays = counts(
        asked(
            store,
            "SELECT i.value AS name, count(DISTINCT s.stay_id) AS n "
            "FROM twin.encounter_identifier i "
            f"JOIN twin.stay s USING (encounter_id) WHERE i.value LIKE '{like}' GROUP BY ALL",
        )
    )
    lost = [f"lost: {name}" for name in sorted(acknowledged) if messages[name] == 0]
    doubled = [f"doubled: {name}" for name, n in messages.items() if n > 1]
    stayless = [f"{stays[n]} stays: {n}" for n in sorted(acknowledged) if stays[n] != 1]
    return lost + doubled + stayless


def counts(rows: list[dict[str, object]]) -> "Counter[str]":
    """Rows of (name, n) as counts."""
    return Counter({str(row["name"]): int(str(row["n"])) for row in rows})


def main() -> int:
    """Run the rounds; exit 1 where anything was lost, doubled or refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    total, found, by_round, again = 0, 0, dict[int, set[str]](), list[str]()
    with tempfile.TemporaryDirectory(prefix="wardtwin-kill-") as folder:
        store = Path(folder) / "kill.duckdb"
        for number in range(options.rounds):
            senders = one_round(store, number, again, chance)
            again = [name for s in senders for name in (*s.unanswered, *s.again)]
            for name in (name for sender in senders for name in sender.acknowledged):
                by_round.setdefault(int(name[1:5]), set()).add(name)
                total += 1
            wrong = [f"refused: {name}" for sender in senders for name in sender.refused]
            for asked_round in {number, max(number - 1, 0)}:
                wrong += faults(store, asked_round, by_round.get(asked_round, set()))
            found += len(wrong)
            for line in wrong[:10]:
                print(f"round {number}: {line}")
    print(f"{options.rounds} rounds, {total:,} acknowledged, {found} lost, doubled or refused")
    return 1 if found or not total else 0


if __name__ == "__main__":
    sys.exit(main())
