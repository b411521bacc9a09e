"""NDJSON that is staged and then applied gives the twin that reading it gives, killed or not."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.files import find_files, read_messages
from api.ingesting import Order, digest_of, handover_of, ingest, translated_chunks
from api.staging import drop, stage, staged, staged_chunks
from api.translating import decode_receipts
from twin_core import Twin
from twin_core.errors import FeedError, StoreError
from twin_core.settings import Settings
from twin_core.store.staging import Staging

ROOT = Path(__file__).resolve().parents[2]
PAIRS = ROOT / "fixtures" / "fhir"
NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
SETTINGS = Settings()
TABLES = """
patient encounter encounter_status stay observation appointment procedure task slot location device
directory message finding
""".split()
NEVER_ALIKE = {"found_at", "received_at", "batch_no", "origin", "replayed_at"}


def mixed(copies=3):
    """Lines of every kind of resource, of a Bundle, of nonsense and of what comes twice."""
    pairs = [path for path in sorted(PAIRS.glob("*.json")) if ".events." not in path.name]
    for copy in range(copies):
        for path in pairs:
            resource = json.loads(path.read_bytes())
            resource["id"] = f"{resource['id']}-{copy}"
            yield json.dumps(resource).encode()
        yield b'{"resourceType": "Encounter", "id": "x", "status": "nonsense"}'
        yield b"no JSON at all"
        yield b""
        yield json.dumps({"resourceType": "Patient", "id": "p1", "gender": "female"}).encode()
    history = (PAIRS / "deletions" / "history.json").read_bytes()
    yield json.dumps(json.loads(history)).encode()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mixed.ndjson"
    path.write_bytes(b"\n".join(mixed()) + b"\n")
    return path


def take(twin, chunks):
    for chunk in chunks:
        twin.submit(decode_receipts(chunk.receipts), from_file=True).result()
    twin.wait_applied()


def told(twin):
    """Every table, without what says when and in which batch it came."""
    found = {}
    for table in TABLES:
        rows = twin.query(f"FROM twin.{table}")
        plain = [{k: v for k, v in row.items() if k not in NEVER_ALIKE} for row in rows]
        found[table] = sorted(map(repr, plain))
    return found


def made_durable(twin, file):
    sources = tuple(find_files([str(file)]))
    return stage(
        twin.staging(), sources, feed="", settings=SETTINGS, received_at=NOW, report=lambda *_: None
    )


def test_what_is_staged_gives_what_reading_the_file_gives(tmp_path, file):
    order = Order(
        sources=tuple(find_files([str(file)])),
        feed=None,
        settings=SETTINGS.model_dump_json(by_alias=True, exclude={"secrets"}),
        received_at=NOW,
    )
    with Twin.open(tmp_path / "read.duckdb", settings=SETTINGS) as twin:
        take(twin, translated_chunks(order))
        one_by_one = told(twin)
    with Twin.open(tmp_path / "staged.duckdb", settings=SETTINGS) as twin:
        lines = made_durable(twin, file)
        assert lines == sum(1 for line in file.read_bytes().splitlines() if line.strip())
        assert made_durable(twin, file) == 0
        take(twin, staged_chunks(twin.staging(), SETTINGS))
        assert told(twin) == one_by_one
        # Applied once more, as after a crash before it was forgotten, nothing changes.
        take(twin, staged_chunks(twin.staging(), SETTINGS))
        assert told(twin) == one_by_one
        drop(twin.staging(), twin.staging().files())
        assert twin.query("SELECT count(*) AS n FROM core.staged") == [{"n": 0}]
    assert any(one_by_one["observation"])
    assert any("quarantined" in row for row in one_by_one["message"])


class Applying:
    """The store of a command that loads."""

    room = 2**24

    def __init__(self, twin):
        self.handover = lambda: handover_of(twin)
        self.position = twin.position


def applied(twin, during=lambda: None):
    """What an ingest says of all that is staged; another process translates it."""
    order = Order(sources=(), feed=None, settings="", received_at=NOW)
    desk = Applying(twin)
    several = staged(desk, twin.staging(), SETTINGS)
    return ingest(desk, order, lambda *_: during(), several)


@pytest.fixture
def in_another_process(monkeypatch):
    """One process translates, a few lines at a time."""
    monkeypatch.setattr("api.staging.WORTH_A_PROCESS", 1)
    monkeypatch.setattr("api.staging.CHUNK_MESSAGES", 20)


@pytest.mark.usefixtures("in_another_process")
def test_another_process_makes_durable_what_it_translates(tmp_path, file):
    with Twin.open(tmp_path / "here.duckdb", settings=SETTINGS) as twin:
        made_durable(twin, file)
        take(twin, staged_chunks(twin.staging(), SETTINGS))
        here = told(twin)
    with Twin.open(tmp_path / "there.duckdb", settings=SETTINGS) as twin:
        made_durable(twin, file)
        first, again = applied(twin), applied(twin)
        assert told(twin) == here
        assert first.accepted > again.accepted == 0
        assert first.messages == again.messages


@pytest.mark.usefixtures("in_another_process")
def test_applying_tells_how_many_lines_are_done(tmp_path, file):
    told = []
    order = Order(sources=(), feed=None, settings="", received_at=NOW)
    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as twin:
        lines = made_durable(twin, file)
        several = staged(Applying(twin), twin.staging(), SETTINGS)
        ingest(Applying(twin), order, lambda done, _: told.append(done), several)
    # The last is of files, of which there are none.
    assert told[:-1] == [*range(20, lines, 20), lines]


@pytest.mark.usefixtures("in_another_process")
def test_where_the_other_process_is_killed_the_rest_is_applied_the_next_time(tmp_path, file):
    file.write_bytes(b"\n".join(mixed(copies=100)) + b"\n")

    def kill():
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
        for child in map(int, children.split()):
            if b"ingest_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)

    with Twin.open(tmp_path / "here.duckdb", settings=SETTINGS) as twin:
        made_durable(twin, file)
        take(twin, staged_chunks(twin.staging(), SETTINGS))
        here = told(twin)
    with Twin.open(tmp_path / "there.duckdb", settings=SETTINGS) as twin:
        made_durable(twin, file)
        with pytest.raises(FeedError, match="ended before it was done"):
            applied(twin, during=kill)
        assert applied(twin).accepted > 0
        assert {table: len(rows) for table, rows in told(twin).items()} == {
            table: len(rows) for table, rows in here.items()
        }
        for table in ("encounter", "stay", "patient", "observation"):
            assert told(twin)[table] == here[table]


@pytest.mark.usefixtures("in_another_process")
def test_what_cannot_be_read_for_the_other_process_is_said(tmp_path, file, monkeypatch):
    read = Staging.read

    def broken(staging, held, first, *most):
        if first:
            raise StoreError("The store cannot be read.")
        return read(staging, held, first, *most)

    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as twin:
        made_durable(twin, file)
        with monkeypatch.context() as once:
            once.setattr(Staging, "read", broken)
            with pytest.raises(StoreError, match="cannot be read"):
                applied(twin)
        assert applied(twin).accepted > 0


@pytest.mark.usefixtures("in_another_process")
def test_large_lines_are_handed_over_a_few_at_a_time(tmp_path, monkeypatch):
    path, one = tmp_path / "large.ndjson", json.loads((PAIRS / "observation.r4.json").read_bytes())
    large = [{**one, "id": f"o{n}", "note": [{"text": "x" * 50_000}]} for n in range(20)]
    path.write_text("\n".join(map(json.dumps, large)) + "\n")
    monkeypatch.setattr("api.staging.CHUNK_BYTES", 100_000)
    monkeypatch.setattr("api.frames.HEAVIEST_FRAME", 300_000)
    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as twin:
        made_durable(twin, path)
        assert applied(twin).accepted == 20


def test_staging_goes_on_behind_what_is_durable(tmp_path, file):
    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as twin:
        (source,) = find_files([str(file)])
        lines = list(read_messages(source))
        begun = twin.staging().begin(digest_of(source), "", str(file), NOW)
        twin.staging().add(begun, [one.offset for one in lines[:7]], [one.raw for one in lines[:7]])
        assert made_durable(twin, file) == len(lines) - 7
        held = twin.query("SELECT at_byte, raw FROM core.staged ORDER BY line")
        assert [(row["at_byte"], row["raw"]) for row in held] == [
            (one.offset, one.raw) for one in lines
        ]


def test_what_is_staged_outlives_its_file_and_a_rebuild(tmp_path, file):
    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as twin:
        lines = made_durable(twin, file)
        file.unlink()
        twin.rebuild()
        (held,) = twin.staging().files()
        assert (held.staged, held.complete) == (lines, True)
    with Twin.open(tmp_path / "twin.duckdb", settings=SETTINGS) as twin:
        take(twin, staged_chunks(twin.staging(), SETTINGS))
        assert twin.query("SELECT count(*) AS n FROM twin.slot") == [{"n": 3}]


def test_the_command_stages_applies_and_forgets(tmp_path, file):
    store = tmp_path / "twin.duckdb"
    command = [sys.executable, "-m", "api", "ingest", "--stage", str(file), "--db", str(store)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "lines staged in" in done.stdout
    assert "6 rejected" in done.stdout
    with Twin.open(store, settings=SETTINGS) as twin:
        assert twin.staging().files() == []
        assert twin.query("SELECT count(*) AS n FROM twin.slot") == [{"n": 3}]


def test_who_interrupts_while_the_other_process_begins_reads_nothing_of_it():
    script = (
        "import os, signal, time\n"
        "from api.reading_process import ReadingProcess\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\n"
        "with ReadingProcess():\n"
        "    for _ in range(20):\n"
        "        time.sleep(0.02)\n"
        "        os.killpg(0, signal.SIGINT)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, start_new_session=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_ends_staging_with_advice_and_it_goes_on_where_it_was(tmp_path):
    path = tmp_path / "many.ndjson"
    one = {"resourceType": "Patient", "meta": {"versionId": "1"}, "language": "x" * 3_000}
    with path.open("w") as lines:
        for number in range(6_000):
            lines.write(json.dumps({**one, "id": f"p{number}"}) + "\n")
    store = tmp_path / "twin.duckdb"
    command = [sys.executable, "-m", "api", "ingest", "--stage", str(path), "--db", str(store)]
    full = f"ulimit -f {path.stat().st_size * 3 // 4096}; exec {shlex.join(command)}"
    refused = subprocess.run(
        ["bash", "-c", full], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == StoreError.exit_code
    assert refused.stderr.startswith("error: The store takes in no more"), refused.stderr
    assert "Make room" in refused.stderr
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "6,000 messages" in done.stdout, done.stderr
    staged_anew = int(done.stdout.split(" ")[0].replace(",", ""))
    assert 0 < staged_anew < 6_000


def test_only_ndjson_is_staged(tmp_path):
    (tmp_path / "a.hl7").write_bytes(b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\r")
    command = [sys.executable, "-m", "api", "ingest", "--stage", str(tmp_path / "a.hl7")]
    store = ["--db", str(tmp_path / "t.duckdb")]
    done = subprocess.run([*command, *store], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be staged" in done.stderr


def test_killed_and_run_again_nothing_is_lost_or_doubled(tmp_path):
    path = tmp_path / "many.ndjson"
    one = json.loads((PAIRS / "observation.r4.json").read_bytes())
    count = 30_000
    with path.open("w") as lines:
        for number in range(count):
            lines.write(json.dumps({**one, "id": f"o{number}"}) + "\n")
    store = tmp_path / "twin.duckdb"
    command = [sys.executable, "-m", "api", "ingest", "--stage", str(path), "--db", str(store)]
    for wait in (2.5, 4.0):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=-3)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
    with Twin.open(store, settings=SETTINGS) as twin:
        for file in twin.staging().files():
            held = twin.query(
                "SELECT count(*) AS n, count(DISTINCT line) AS d, max(line) AS last"
                f" FROM core.staged WHERE file_no = {file.file_no}"
            )
            last = file.staged - 1 if file.staged else None
            assert held == [{"n": file.staged, "d": file.staged, "last": last}]
        made_durable(twin, path)
        asked = "SELECT count(*) AS n, count(DISTINCT at_byte) AS d FROM core.staged"
        assert twin.query(asked) == [{"n": count, "d": count}]
