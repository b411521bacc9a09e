"""A server that is killed while it takes files from a folder loses no message and doubles none."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twin_core import Twin

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, FILES_PER_ROUND, MESSAGES_PER_FILE = 6, 5, 120
GIVE_UP_S = 120


def admission(number: int) -> bytes:
    return (
        f"MSH|^~\\&|ADT|HOSP|||20261101080500||ADT^A01|{number}|P|2.5\rEVN|A01|20261101080400\r"
        f"PID|1||{number}^^^HOSP^MR||TESTER^ADA\rPV1|1|I|ICU^1^{number}||||||||||||||||V{number}\r"
    ).encode()


def started(store: Path, config: Path) -> subprocess.Popen[str]:
    ports = ["--mllp-port", "0", "--http-port", "0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "api", "serve", "--db", store, "--config", config, *ports, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    assert json.loads(server.stdout.readline())["url"]
    return server


def ended(server: subprocess.Popen[str], how: signal.Signals) -> None:
    with server:
        os.killpg(server.pid, how)


def drop(folder: Path, round_: int, first: int) -> None:
    """Files as senders leave them: some renamed into place, some written where they are."""
    for n in range(FILES_PER_ROUND):
        numbers = range(first + n * MESSAGES_PER_FILE, first + (n + 1) * MESSAGES_PER_FILE)
        content = b"".join(admission(number) for number in numbers)
        name = "same-name.hl7" if n == 0 else f"r{round_}-{n}.hl7"
        if n % 2:
            (folder / name).write_bytes(content)
        else:
            partial = folder / f".{name}.{round_}.part"
            partial.write_bytes(content)
            while (folder / name).exists():
                name = f"again-{round_}-{name}"
            partial.rename(folder / name)


def left(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]


@pytest.mark.slow
def test_kills_while_files_are_taken_lose_and_double_nothing(tmp_path: Path) -> None:
    folder, store, config = tmp_path / "in", tmp_path / "x.duckdb", tmp_path / "site.toml"
    folder.mkdir()
    config.write_text(f'[feeds.night.folder]\npath = "{folder}"\nsettle_s = 0.2\npoll_s = 0.05\n')
    chance, dropped, killed_at_work = random.Random(8), 0, 0
    for round_ in range(ROUNDS):
        server = started(store, config)
        drop(folder, round_, dropped)
        dropped += FILES_PER_ROUND * MESSAGES_PER_FILE
        time.sleep(chance.uniform(0.05, 1.2))
        ended(server, signal.SIGKILL)
        killed_at_work += bool(left(folder))
    assert killed_at_work, "the server was never killed while files were left"
    server = started(store, config)
    give_up_at = time.monotonic() + GIVE_UP_S
    while left(folder) and time.monotonic() < give_up_at:
        time.sleep(0.1)
    ended(server, signal.SIGTERM)
    assert left(folder) == []
    assert not (folder / "error").exists()
    put_away = b"".join(path.read_bytes() for path in (folder / "done").iterdir())
    assert put_away.count(b"MSH|") == dropped
    with Twin.open(store) as twin:
        [counted] = twin.query(
            "SELECT count(*) AS messages, count(DISTINCT control_id) AS distinct_messages,"
            " count(*) FILTER (status <> 'applied') AS others, any_value(feed) AS feed"
            " FROM twin.message"
        )
        [stays] = twin.query("SELECT count(*) AS stays FROM twin.stay")
    assert counted == {
        "messages": dropped,
        "distinct_messages": dropped,
        "others": 0,
        "feed": "night",
    }
    assert stays["stays"] == dropped
