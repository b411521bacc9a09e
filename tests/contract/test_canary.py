"""The canary: a word that exists nowhere else, planted wherever a sender can write, and looked for
wherever somebody without the right to see patients can read.

Nothing is encrypted here, so that a hit is a hit. What is looked through: releases of every profile
(bytes and rows), de-identified files, acknowledgements, logs, metrics, error answers, KPIs, what
the command line prints. Three things are no hits: the envelope that an acknowledgement must repeat
(MSH), the id under which a FHIR sender is told that its resource was stored, and the codes of units
that figures by unit are of.
"""

import copy
import io
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from api.app import create_app
from api.cli import main
from api.routes.fhir import fhir_router
from tests.contract.conftest import Caller
from twin_core.audit import ledger_path
from twin_core.deid.live import Limited
from twin_core.deid.rules import PROFILES
from twin_core.settings import DeidSettings, FeedSettings, Settings
from twin_core.store.saved import SavedQuery
from twin_core.twin import Twin

ROOT = Path(__file__).parents[2]
CANARY = re.compile(r"cnry\d{5}q|qzn[a-j]{5}", re.IGNORECASE)
LOCATION = re.compile(r'"location":"[^"]*"')
"""Where a resource was stored, which its sender is told with the id that it gave."""
SETTINGS = Settings(
    feeds={"adt": FeedSettings(time_zone="UTC")},
    deid=DeidSettings(pseudonym_key="ab" * 32, shift_key="cd" * 32, shift_weeks=4),
)
CLEAN = (
    (
        r"MSH|^~\&|PAS|GEN|TWIN|GEN|20260302081530+0000||ADT^A01^ADT_A01|{n}|P|2.5.1",
        "EVN|A01|20260302081530+0000",
        "PID|1||P{n}^^^GEN^MR||DOE^JANE||19700101|F",
        "PD1",
        "NK1|1",
        "PV1|1|I|MED^1^A^GEN||||||||||||||||V{n}^^^GEN^VN||||||||||||||||||||||||"
        "|20260302081000+0000",
        "PV2",
        "AL1|1",
        "DG1|1",
        "IN1|1",
        "GT1|1",
        "ZPI|1",
    ),
    (
        r"MSH|^~\&|LAB|GEN|TWIN|GEN|20260302091530+0000||ORU^R01^ORU_R01|{n}|P|2.5.1",
        "PID|1||P{n}^^^GEN^MR||DOE^JANE||19700101|F",
        "PV1|1|I|MED^1^A^GEN||||||||||||||||V{n}^^^GEN^VN",
        "ORC|RE|O{n}|F{n}",
        "OBR|1|O{n}|F{n}|718-7^Hb^LN|||20260302090000+0000||||||||||||||||||F",
        "OBX|1|NM|718-7^Hb^LN||13.5|g/dL|12-16|N|||F|||20260302090000+0000",
        "NTE|1",
        "OBX|2|ST|X^Y^L||a||||||F",
    ),
    (
        r"MSH|^~\&|RIS|GEN|TWIN|GEN|20260302091530+0000||SIU^S12^SIU_S12|{n}|P|2.5.1",
        "SCH|A{n}^RIS|B{n}^RIS||||ROUTINE|FOLLOWUP||30|MIN|^^30^20260401090000+0000|||||||||||||"
        "|BOOKED",
        "PID|1||P{n}^^^GEN^MR||DOE^JANE||19700101|F",
        "RGS|1",
        "AIS|1||CT^Scan^L|20260401090000+0000",
        "AIL|1||RAD^1^^GEN",
        "AIP|1||D1^HOUSE",
    ),
)
LIVE, FIGURES = "live", "aggregates"
"""The files of the live profiles, beside the releases."""
MAY = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLACES = "SELECT DISTINCT facility, unit, room, bed, name FROM twin.location"
"""Where somebody may put a word that everybody reads: a place is nobody's name."""
FIELDS = 24
"""Fields of a segment that are planted; PV1 and PID to the last."""


def canary(number: int) -> str:
    return f"Cnry{number:05d}q"


NAMED = (str.lower, str.upper, str.title)


def name(number: int) -> str:
    """The same in letters only: what a name in a coded field looks like."""
    return "qzn" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:05d}")


def planted_messages() -> Iterator[tuple[str, bytes]]:
    """(segment, message): one for each field, with a canary in every component and repetition."""
    number = 0
    for clean in CLEAN:
        for at, line in enumerate(clean):
            segment = line[:3]
            for field in range(1, 53 if segment in ("PID", "PV1") else FIELDS):
                if segment == "MSH" and field < 3:
                    continue
                number += 1
                word = canary(number)
                stated = [*line.split("|"), *[""] * 60]
                place = field - (segment == "MSH")
                kept = stated[place].split("^")[0]
                stated[place] = f"{kept}^{word}^{word}&{word}^{word}~{word}^{word}^^{word}^^{word}"
                lines = [*clean[:at], "|".join(stated).rstrip("|"), *clean[at + 1 :]]
                yield segment, "\r".join(lines).format(n=number).encode() + b"\r"
                number += 1
                stated[place] = name(number).upper()
                lines = [*clean[:at], "|".join(stated).rstrip("|"), *clean[at + 1 :]]
                yield segment, "\r".join(lines).format(n=number).encode() + b"\r"


def planted_resources() -> Iterator[dict[str, Any]]:
    """A copy of each resource for each of its strings, with a canary there, and further ones in
    extensions, contained resources, displays and narratives."""
    number = 50_000
    bundle = json.loads((ROOT / "fixtures/deid/input/bundle.json").read_text())
    for entry in bundle["entry"]:
        clean = entry["resource"]
        clean.pop("modifierExtension", None)
        for path in strings(clean):
            number += 1
            copied = copy.deepcopy(clean)
            put(copied, path, canary(number))
            copied.setdefault("extension", []).append(
                {"url": f"http://x.example/{canary(number)}", "valueString": canary(number)}
            )
            copied["contained"] = [
                {"resourceType": "Organization", "id": canary(number), "name": canary(number)}
            ]
            copied["text"] = {"status": "generated", "div": f"<div>{canary(number)}</div>"}
            copied[f"_{path[0]}"] = {"id": canary(number)}
            copied[canary(number)] = canary(number)
            yield copied
            if path[-1] in ("code", "language", "status", "when"):
                named = copy.deepcopy(clean)
                put(named, path, NAMED[number % len(NAMED)](name(number)))
                yield named


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str) and path != ("resourceType",):
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from strings(inner, (*path, at))


def put(value: Any, path: tuple[Any, ...], word: str) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = word


class Spring:
    """A clock that stands some weeks after what is told, so that it can be published."""

    def now(self) -> datetime:
        return MAY


class Heard:
    """Everything that was answered and said while the canaries were sent."""

    def __init__(self) -> None:
        self.places: set[str] = set()
        self.figures = 0
        self.acks: list[tuple[str, str]] = []
        self.answers: list[tuple[str, str]] = []


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Heard, Path, str]:
    folder = tmp_path_factory.mktemp("canary")
    said, stream = Heard(), io.StringIO()
    handler = logging.StreamHandler(stream)
    # The test's own client tells what it asks of the twin; what the twin says is meant here.
    handler.addFilter(lambda record: record.name not in ("httpx", "httpcore"))
    logging.getLogger().addHandler(handler)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    twin = Twin.open(folder / "hospital.duckdb", settings=SETTINGS, clock=Spring())
    caller = Caller(create_app(twin, fhir_router=fhir_router(twin)))
    try:
        for segment, raw in list(planted_messages())[::2]:
            answer = caller.post("/v1/hl7v2", content=raw)
            said.acks.append((segment, answer.text))
        for resource in list(planted_resources())[::8]:
            request = {"method": "POST", "url": resource["resourceType"]}
            entry = {"resource": resource, "request": request}
            batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
            answer = caller.post("/fhir/R4", json=batch)
            said.answers.append(("/fhir", answer.text))
        twin.wait_applied()
        for path in (
            "/metrics",
            "/health/ready",
            "/health/live",
            "/v1/kpis/alos?by=hospital",
            "/v1/feeds",
            "/v1/kpis",
            f"/no/such/{'page'}",
            "/v1/state?at=x",
            "/v1/simulations",
            "/v1/sql/releases",
            "/v1/sql/schema?release=limited",
            "/next",
            "/kpis",
            "/alerts",
        ):
            said.answers.append((path, caller.get(path).text))
        # Asked for by name: the ledger hears of it.
        caller.get(f"/fhir/R4/Patient?family={canary(1)}")
        twin.save_query(
            SavedQuery(
                name="mine",
                owner="somebody",
                shared=True,
                release=None,
                sql=f"SELECT '{canary(1)}'",
                about=canary(2),
                saved_at=MAY,
            )
        )
        live = Limited(twin._database, twin.settings, twin.clock, ())
        live.snapshot(folder / f"{LIVE}.duckdb")
        twin.aggregates().snapshot(folder / f"{FIGURES}.duckdb")
        said.figures = len(twin.query("FROM core.published_figure"))
        for profile in PROFILES:
            twin.publish(folder / f"{profile}.duckdb", profile, cut_off=MAY)
        said.places = {
            word for row in twin.query(PLACES) for word in CANARY.findall(str(row.values()))
        }
    finally:
        caller.close()
        twin.close()
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(level)
    return said, folder, stream.getvalue()


def test_the_canaries_arrived(heard: tuple[Heard, Path, str]) -> None:
    said, folder, _ = heard
    accepted = [text for _, text in said.acks if "|AA|" in text]
    assert len(accepted) > len(said.acks) / 2
    assert any('"201' in text for _, text in said.answers)
    assert CANARY.search((folder / "hospital.duckdb").read_bytes().decode("latin-1"))


def test_no_canary_in_any_release(heard: tuple[Heard, Path, str]) -> None:
    said, folder, _ = heard
    assert said.figures > 0, "nothing was published"
    for profile in (*PROFILES, LIVE, FIGURES):
        path = folder / f"{profile}.duckdb"
        assert not CANARY.search(path.read_bytes().decode("latin-1")), profile
        with duckdb.connect(str(path), read_only=True) as connection:
            tables = connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables()"
            ).fetchall()
            for schema, table in tables:
                # Strings are compressed in the file.
                rows = connection.execute(f'FROM {schema}."{table}"').fetchall()
                found = [row for row in rows if CANARY.search(str(row))]
                assert not found, (profile, schema, table, found[:3])
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert left == []


def test_no_canary_in_the_chain_of_the_ledger(heard: tuple[Heard, Path, str]) -> None:
    """What was asked for stands beside the chain, where it can be removed; never in it."""
    _, folder, _ = heard
    with closing(sqlite3.connect(ledger_path(folder / "hospital.duckdb"))) as ledger:
        entries = ledger.execute("SELECT body FROM entry").fetchall()
        pseudonyms = ledger.execute("SELECT * FROM patients").fetchall()
        texts = ledger.execute("SELECT said FROM texts").fetchall()
    assert entries
    assert not CANARY.search(repr(entries))
    assert not CANARY.search(repr(pseudonyms))
    assert CANARY.search(repr(texts)), "the test would not notice"


def test_no_canary_in_acknowledgements(heard: tuple[Heard, Path, str]) -> None:
    said, _, _ = heard
    hits = [(segment, text) for segment, text in said.acks if CANARY.search(text)]
    assert [hit for hit in hits if hit[0] != "MSH"] == []


def test_no_canary_in_answers_and_logs(heard: tuple[Heard, Path, str]) -> None:
    said, _, logged = heard
    answers = [(path, LOCATION.sub("", text)) for path, text in said.answers]
    hits = [(path, word) for path, text in answers for word in CANARY.findall(text)]
    assert [hit for hit in hits if hit[0] != "/next" or hit[1] not in said.places] == []
    assert not CANARY.search(logged)


def test_no_canary_in_deidentified_files(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    messages = [raw for _, raw in planted_messages()]
    (source / f"{canary(1)}.hl7").write_bytes(b"".join(messages))
    resources = list(planted_resources())
    lines = "".join(json.dumps(resource) + "\n" for resource in resources)
    (source / f"{canary(2)}.ndjson").write_text(lines)
    for profile in PROFILES:
        target, out = tmp_path / profile, io.StringIO()
        words = ["deid", "run", "--profile", profile.replace("_", "-"), str(source), str(target)]
        main([*words, "--json"], environ={}, out=out, err=out)
        told = json.loads(out.getvalue())
        assert told["taken"] > 0.9 * (len(messages) + len(resources))
        assert not CANARY.search(out.getvalue())
        for path in target.iterdir():
            assert not CANARY.search(path.name)
            found = CANARY.findall(path.read_text())
            assert found == [], (profile, path.name, found[:10])
