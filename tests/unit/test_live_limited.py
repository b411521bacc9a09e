"""The live rows without direct identifiers: what they hold, and that they follow the store."""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent))

from simulated_store import StoppedClock, hear

from api.replica import Replica
from twin_core import Twin
from twin_core.deid import Codebook, live, read_keys, rules
from twin_core.deid.live import Limited
from twin_core.deid.releasing import publish
from twin_core.encryption import StoreKey
from twin_core.errors import ConfigurationError, StoreError
from twin_core.settings import DeidSettings, EncryptionSettings, FeedSettings, Settings
from twin_core.store.cipher import is_encrypted
from twin_core.store.tables import ENTITIES

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEYS = DeidSettings(pseudonym_key="ab" * 32, shift_key="cd" * 32, cell=3)
BOOK = Codebook(read_keys(KEYS), shift_weeks=KEYS.shift_weeks)


WINDOW = ("2026-03-02T08:00:00+00:00", "2026-03-02T12:00:00+00:00")


def adt(trigger: str, number: int, unit: str, minute: int, *, birth: str = "19700101") -> bytes:
    stamp = f"2026030208{minute:02}00+0000"
    pv1 = [""] * 46
    pv1[0], pv1[2], pv1[3], pv1[19] = "PV1", "I", f"{unit}^1^{number}^GEN", f"V{number}^^^GEN^VN"
    pv1[44] = stamp if trigger == "A01" else ""
    pv1[45] = stamp if trigger == "A03" else ""
    lines = (
        rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||ADT^{trigger}|{trigger}{number}{minute}|P|2.5.1",
        f"EVN|{trigger}|{stamp}",
        f"PID|1||P{number}^^^GEN^MR||QUISENBERRY^ADA||{birth}|F|||^^^^02138",
        "|".join(pv1),
    )
    return "\r".join(lines).encode()


def merge(into: int, gone: int) -> bytes:
    stamp = "20260302090000+0000"
    lines = (
        rf"MSH|^~\&|PAS|GEN|TWIN|GEN|{stamp}||ADT^A40|M{into}-{gone}|P|2.5.1",
        f"EVN|A40|{stamp}",
        f"PID|1||P{into}^^^GEN^MR||QUISENBERRY^ADA||19700101|F",
        f"MRG|P{gone}^^^GEN^MR",
    )
    return "\r".join(lines).encode()


class Story:
    """One store and copies of the file that follows it, as it was at each stage."""

    def __init__(self, folder: Path, twin: Twin) -> None:
        self.folder, self.twin = folder, twin
        self.limited = Limited(twin._database, twin.settings, twin.clock, ())
        self.sequences: dict[str, tuple[int, int]] = {}

    def keep(self, stage: str, sequence: int) -> None:
        shutil.copy(self.path, self.folder / f"{stage}.duckdb")
        self.sequences[stage] = (sequence, self.twin.sequence())

    @property
    def path(self) -> Path:
        return self.folder / "copy.duckdb"

    def rows(self, stage: str, sql: str):
        return rows(self.folder / f"{stage}.duckdb", sql)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """begun: five patients. followed: a move, a discharge, a patient more, a merge. common: two
    more patients of the rare unit. counted: the same after the codes were counted again."""
    folder = tmp_path_factory.mktemp("live")
    settings = Settings(deid=KEYS, feeds={"adt": FeedSettings(time_zone="UTC")})
    with Twin.open(folder / "h.duckdb", settings=settings, clock=StoppedClock(NOON)) as twin:
        told = Story(folder, twin)
        hear(twin, [adt("A01", n, "MED", n) for n in range(1, 5)])
        hear(twin, [adt("A01", 5, "RARE", 5, birth="19010203")])
        told.keep("begun", told.limited.snapshot(told.path))
        hear(twin, [adt("A02", 1, "ICU", 20), adt("A03", 2, "MED", 21), adt("A01", 6, "MED", 22)])
        hear(twin, [merge(3, 4)])
        told.limited.changes(told.path)
        told.keep("followed", told.limited.changes(told.path))
        publish(twin._database, folder / "release.duckdb", "limited", settings, NOON)
        hear(twin, [adt("A01", n, "RARE", n) for n in (7, 8)])
        told.keep("common", told.limited.changes(told.path))
        told.limited._macros = twin._macros
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(live, "COUNT_AGAIN_S", 0.0)
            patched.setattr(live, "COUNT_SHARE", float("inf"))
            told.keep("counted", told.limited.changes(told.path))
        yield told


def rows(path: Path, sql: str):
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def everything(path: Path):
    shown = [e.name for e in ENTITIES if rules().kept(e.name, "limited")]
    with duckdb.connect(str(path), read_only=True) as connection:
        return {
            name: connection.execute(f'FROM twin."{name}" ORDER BY ALL').fetchall()
            for name in shown
        }


def test_rows_follow_the_store_and_are_those_of_a_release(story):
    assert story.rows("begun", "SELECT count(*) FROM twin.encounter") == [(5,)]
    assert everything(story.folder / "followed.duckdb") == everything(
        story.folder / "release.duckdb"
    )
    assert all(told == applied for told, applied in story.sequences.values())
    known = story.rows("counted", "SELECT known_at FROM core.batch")
    latest = story.twin.query("SELECT max(known_at) AS at FROM core.batch")
    assert known == [(latest[0]["at"],)]


def test_a_merge_is_told_under_the_survivors_pseudonym_only(story):
    asked = "SELECT patient_id, count(*) FROM twin.encounter GROUP BY ALL HAVING count(*) > 1"
    assert story.rows("begun", asked) == []
    [kept] = story.twin.query(
        "SELECT patient_id FROM twin.encounter GROUP BY patient_id HAVING count(*) > 1"
    )
    survivor = "p" + BOOK.code("p", str(kept["patient_id"]))
    assert story.rows("followed", asked) == [(survivor, 2)]
    merged = "SELECT merged_into FROM twin.patient WHERE merged_into IS NOT NULL"
    assert story.rows("followed", merged) == [(survivor,)]
    assert story.rows("followed", "SELECT count(DISTINCT patient_id) FROM twin.stay") == [(5,)]


@pytest.mark.parametrize("stage", ["begun", "followed"])
def test_what_points_at_somebody_is_not_in_the_file(story, stage):
    path = story.folder / f"{stage}.duckdb"
    text = path.read_bytes().decode("latin-1") + repr(everything(path))
    ids = [row["patient_id"] for row in story.twin.query("SELECT patient_id FROM twin.patient")]
    for word in ("QUISENBERRY", "ADA", "02138", "RARE", "1901-02-03", *map(str, ids)):
        assert word not in text
    assert story.rows(stage, "SELECT DISTINCT unit FROM twin.stay WHERE unit > '' ORDER BY unit")[
        0
    ] == ("(rare)",)
    assert rows(path, "SELECT min(birth_date) FROM twin.patient")[0][0].year == 1936
    assert rows(path, "SELECT min(from_at) FROM twin.stay")[0][0].minute == 1


def test_a_code_that_becomes_common_shows_with_the_next_count(story):
    of = "SELECT count(*) FROM twin.stay WHERE room IS NOT NULL AND unit = '{}'"
    assert story.rows("common", of.format("(rare)")) == [(4,)]
    assert story.rows("counted", of.format("(rare)")) == [(1,)]
    assert story.rows("counted", of.format("RARE")) == [(3,)]


def test_kpis_and_comments_are_there(story):
    start, end = WINDOW
    told = story.rows(
        "counted",
        f"SELECT value FROM kpi.adc('{start}', '{end}', grain := 'all', \"by\" := 'hospital')"
        " WHERE stratum IS NULL",
    )
    same = story.twin.kpi("adc", start, end, grain="all", by="hospital")
    assert told == [(row.value,) for row in same if row.stratum is None]
    comments = story.rows(
        "counted", "SELECT comment FROM duckdb_columns() WHERE schema_name = 'twin'"
    )
    assert len(comments) > 50
    assert all(comment for (comment,) in comments)


def test_without_keys_there_is_nothing_live(story):
    with pytest.raises(ConfigurationError):
        Limited(story.twin._database, Settings(), story.twin.clock, ())


def test_a_file_that_cannot_follow_is_left_as_it_was(story):
    path = story.folder / "broken.duckdb"
    shutil.copy(story.folder / "followed.duckdb", path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE deid.word")
    with pytest.raises(StoreError, match="cannot follow"):
        story.limited.changes(path)
    asked = "SELECT count(*) FROM twin.stay"
    assert rows(path, asked) == story.rows("followed", asked)


def test_beside_an_encrypted_store_it_is_encrypted_too(tmp_path, monkeypatch):
    monkeypatch.setattr("twin_core.twin.known_kpis", lambda folder: {})
    key = EncryptionSettings(key=SecretStr(StoreKey(bytes(range(32))).written()))
    settings = Settings(deid=KEYS, encryption=key, feeds={"adt": FeedSettings(time_zone="UTC")})
    with Twin.open(tmp_path / "h.duckdb", settings=settings, clock=StoppedClock(NOON)) as twin:
        replica = Replica(twin, "limited")
        try:
            asked = "SELECT count(*) AS n FROM twin.encounter"
            assert replica.query(asked).rows == [{"n": 0}]
            hear(twin, [adt("A01", 1, "MED", 1)])
            replica._renewed_at = float("-inf")
            assert replica.query(asked).rows == [{"n": 1}]
            assert is_encrypted(replica._copy)
        finally:
            replica.close()
