"""Kill the server at random moments and see whether anything acknowledged was lost or doubled.

    python tests/bench/kill_rounds.py --rounds 100 [--encrypted]

Every round starts `wardtwin serve` on the same store, sends admissions over several connections,
kills the server with SIGKILL, and asks the store: every acknowledged message must be there exactly
once, with exactly one stay. Messages without an acknowledgement are sent again in the next round,
as a sending system would, and must not appear twice either. After every kill all files of the store
are searched for the patients' name: with --encrypted none may show it, without one must.
"""

import argparse
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from api.holder import reach  # noqa: E402 - found beside the tests, installed or not

Rows = list[dict[str, object]]
CONNECTIONS = 8
NAME = "Zqxplanted"
"""The family name of every patient."""
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
            f"PID|1||P{name}^^^GENERAL^MR||{NAME}^Case||19700101|F",
            f"PV1|1|I|W1^1^{name}^GENERAL{'|' * 16}{name}^^^GENERAL^VN{'|' * 25}"
            "20261101080000+0000",
        )
    ).encode()


def showing(folder: Path) -> bool:
    """Whether any file of a store shows the patients' name."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return any(NAME.encode() in path.read_bytes() for path in found)


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


def one_round(
    store: Path, prefix: str, again: list[str], chance: random.Random, ask: str
) -> tuple[list["Sender"], Rows]:
    """Serve, answer `ask` about the round before, send, kill; return what the senders saw."""
    server, port = started(store)
    rows = answered(store, ask)
    shares = [again[at::CONNECTIONS] for at in range(CONNECTIONS)]
    senders = [Sender(port, f"{prefix}-{at}", share) for at, share in enumerate(shares)]
    for sender in senders:
        sender.start()
    time.sleep(chance.uniform(0.05, 1.5))
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    if server.stdout:
        server.stdout.close()
    for sender in senders:
        sender.join(timeout=30)
    return senders, rows


def answered(store: Path, query: str) -> Rows:
    """The answer of the server that holds the store, as `wardtwin sql` gets it."""
    holder = reach(store)
    if holder is None:
        raise SystemExit("the server does not answer on its socket")
    try:
        rows: Rows = holder.ask("sql", sql=query)["rows"]
    finally:
        holder.close()
    return rows


def question(rounds: set[int]) -> str:
    """How often each message of some rounds was applied, and how many stays it made."""
    like = " OR ".join(f"name LIKE '{round_name(number)}-%'" for number in rounds) or "false"
    return f"""
        WITH messages AS (
            SELECT control_id AS name, count(*) AS messages
            FROM twin.message WHERE status = 'applied' GROUP BY ALL
        ), stays AS (
            SELECT i.value AS name, count(DISTINCT s.stay_id) AS stays
            FROM twin.encounter_identifier i JOIN twin.stay s USING (encounter_id) GROUP BY ALL
        )
        SELECT name, messages, coalesce(stays, 0) AS stays
        FROM messages LEFT JOIN stays USING (name) WHERE {like}
    """


def round_name(number: int) -> str:
    """The first part of the control ids of a round."""
    return f"R{number:04}"


def faults(acknowledged: set[str], rows: Rows) -> list[str]:
    """What is lost or doubled."""
    found = {str(row["name"]): (row["messages"], row["stays"]) for row in rows}
    lost = [f"lost: {name}" for name in sorted(acknowledged - set(found))]
    wrong = [
        f"{n} messages, {s} stays: {name}" for name, (n, s) in found.items() if (n, s) != (1, 1)
    ]
    return lost + wrong


def main() -> int:
    """Run the rounds; exit 1 where anything was lost, doubled or refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encrypted", action="store_true", help="with a key")
    options = parser.parse_args()
    if options.encrypted:
        os.environ["WARDTWIN_ENCRYPTION__KEY"] = secrets.token_hex(32)
    chance = random.Random(options.seed)
    by_round: dict[int, set[str]] = {}
    again: list[str] = []
    wrong: list[str] = []
    shown = False
    with tempfile.TemporaryDirectory(prefix="wardtwin-kill-") as folder:
        store = Path(folder) / "kill.duckdb"
        # One round more than asked for: its server answers for the last one.
        for number in range(options.rounds + 1):
            shown |= showing(Path(folder))
            # A round's messages may have been sent again, and acknowledged, in the next.
            before = {number - 1, number - 2} & set(by_round)
            senders, rows = one_round(store, round_name(number), again, chance, question(before))
            expected = set().union(*(by_round[earlier] for earlier in before))
            wrong += [f"before round {number}: {line}" for line in faults(expected, rows)]
            wrong += [f"refused: {name}" for sender in senders for name in sender.refused]
            again = [name for sender in senders for name in (*sender.unanswered, *sender.again)]
            by_round.setdefault(number, set())
            for name in (name for sender in senders for name in sender.acknowledged):
                by_round.setdefault(int(name[1:5]), set()).add(name)
    if shown == options.encrypted:
        wrong.append("shown: the name of a patient" if shown else "the name is nowhere to be found")
    for line in wrong[:20]:
        print(line)
    total = sum(len(names) for number, names in by_round.items() if number < options.rounds)
    print(f"{options.rounds} rounds, {total:,} acknowledged, {len(wrong)} lost, doubled or refused")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
