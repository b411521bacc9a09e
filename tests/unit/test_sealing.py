"""The key of a store, and what is sealed by keys that follow from it."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from twin_core.clock import SystemClock
from twin_core.encryption import StoreKey, new_sealing, read_key, sealing_of, write_key
from twin_core.errors import ConfigurationError, StoreError, WrongKey
from twin_core.events import Admitted, Envelope, Fault, Rejection, Translation
from twin_core.identifiers import Identifier
from twin_core.inbox import Inbox, Receipt
from twin_core.inbox.contents import copy_sealed, held_in
from twin_core.settings import EncryptionSettings, load

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
PLANTED = "ZQXPLANTED"
KEY, OTHER = StoreKey(bytes(range(32))), StoreKey(bytes(range(1, 33)))
PURPOSE = b"test"


def receipt(control_id: str) -> Receipt:
    person = (Identifier("urn:mrn", PLANTED),)
    event = Admitted(occurred_at=AT, entered_at=AT, encounter=person, patient=person)
    envelope = Envelope(
        feed="main",
        sender="ADT|HOSP",
        control_id=control_id,
        trigger_event="ADT^A01",
        sent_at=AT,
        digest=control_id.encode().ljust(16),
    )
    return Receipt(
        format="hl7v2",
        feed="main",
        raw=f"{control_id}/{PLANTED}".encode(),
        outcome=Translation(envelope=envelope, events=(event,)),
        origin="test",
    )


def rejected() -> Receipt:
    fault = Fault(where="MSH^1^9", code="100", reason="there is no message type")
    outcome = Rejection(code="AR", faults=(fault,), feed="main")
    return Receipt(
        format="hl7v2", feed="main", raw=PLANTED.encode(), outcome=outcome, origin="test"
    )


def filled(path: Path, key: StoreKey | None) -> Inbox:
    inbox = Inbox(path, SystemClock(), key=key)
    inbox.require(0)
    inbox.start()
    inbox.submit([receipt("1"), receipt("2"), rejected()]).result()
    return inbox


def hits(folder: Path) -> int:
    return sum(file.read_bytes().count(PLANTED.encode()) for file in folder.iterdir())


def execute(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql).fetchall()


@pytest.fixture
def sealed(tmp_path: Path):
    inbox = filled(tmp_path / "x.inbox", KEY)
    yield inbox
    inbox.close()


def test_a_sealed_inbox_gives_back_what_an_open_one_does_and_shows_nothing(tmp_path):
    read = {}
    for name, key in (("open", None), ("sealed", KEY)):
        (tmp_path / name).mkdir()
        inbox = filled(tmp_path / name / "x.inbox", key)
        read[name] = [(e.position, e.head, e.raw) for e in inbox.read(0, 10)]
        assert inbox.lags() == {"main": pytest.approx(0, abs=1e6)}
        assert (hits(tmp_path / name) > 0) == (key is None)
        inbox.close()
        again = Inbox(tmp_path / name / "x.inbox", SystemClock(), key=key)
        assert [(e.position, e.head, e.raw) for e in again.read(0, 10)] == read[name]
        again.close()
        assert (hits(tmp_path / name) > 0) == (key is None)
    assert read["open"] == read["sealed"]


def test_what_came_from_a_file_and_then_from_a_sender_is_sealed_too(tmp_path):
    inbox = Inbox(tmp_path / "x.inbox", SystemClock(), key=KEY)
    inbox.require(0)
    inbox.start()
    inbox.submit([receipt("1")], from_file=True).result()
    (answer,) = inbox.submit([receipt("1")]).result()
    inbox.close()
    assert answer.status == "duplicate"
    again = Inbox(tmp_path / "x.inbox", SystemClock(), key=KEY)
    assert [entry.raw for entry in again.read(0, 10)] == [receipt("1").raw]
    again.close()
    assert hits(tmp_path) == 0


@pytest.mark.parametrize(
    ("key", "error", "says"),
    [
        (None, ConfigurationError, "is encrypted, and no key is set"),
        (OTHER, WrongKey, "by another key"),
    ],
)
def test_an_inbox_does_not_open_without_its_key(sealed, key, error, says):
    with pytest.raises(error, match=says) as refused:
        Inbox(sealed.path, SystemClock(), key=key)
    assert not any(k.written() in str(refused.value) for k in (KEY, OTHER))


def test_a_key_does_not_make_an_open_inbox_a_sealed_one(tmp_path):
    filled(tmp_path / "x.inbox", None).close()
    with pytest.raises(StoreError, match="not encrypted, and a key is set"):
        Inbox(tmp_path / "x.inbox", SystemClock(), key=KEY)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE entry SET raw = (SELECT raw FROM entry WHERE position = 2) WHERE position = 1",
        "UPDATE entry SET head = (SELECT head FROM entry WHERE position = 2) WHERE position = 1",
        "UPDATE entry SET raw = head WHERE position = 1",
        "UPDATE entry SET position = position + 10",
        "UPDATE entry SET raw = substr(raw, 1, length(raw) - 1) WHERE position = 1",
        "UPDATE entry SET raw = X'' WHERE position = 1",
        "UPDATE entry SET raw = CAST('plain' AS BLOB) WHERE position = 1",
    ],
)
def test_rows_cannot_be_swapped_moved_or_cut(sealed, tampering):
    execute(sealed.path, tampering)
    with pytest.raises(StoreError, match="was changed"):
        sealed.read(0, 10)


def test_a_copy_under_another_key_holds_the_same(sealed, tmp_path):
    held = held_in(sealed.path, KEY)
    assert {name: table.rows for name, table in held.sums.items()} == {
        "digest": 2,
        "entry": 3,
        "heard": 1,
        "meta": 2,
        "tally": 2,
        **{name: 0 for name in held.sums.keys() - {"digest", "entry", "heard", "meta", "tally"}},
    }
    for n, key in enumerate((OTHER, None)):
        copy_sealed(sealed.path, KEY, tmp_path / str(n), key)
        assert held_in(tmp_path / str(n), key) == held
    execute(sealed.path, "UPDATE entry SET received_us = received_us + 1 WHERE position = 1")
    assert held_in(sealed.path, KEY) != held


def test_a_copy_leaves_out_no_table_that_it_does_not_know(sealed, tmp_path):
    execute(sealed.path, "CREATE TABLE newer (value TEXT)")
    execute(sealed.path, "INSERT INTO newer VALUES ('x')")
    with pytest.raises(StoreError):
        copy_sealed(sealed.path, KEY, tmp_path / "copy", OTHER)


def test_no_nonce_is_used_twice_whoever_writes(tmp_path):
    path = tmp_path / "x.inbox"
    writers = [filled(path, KEY), filled(path, KEY)]
    kept = execute(path, "SELECT head, raw FROM entry WHERE head IS NOT NULL")
    for writer in writers:
        writer.close()
    begun = [value[:25] for row in kept for value in row]
    assert len(begun) > 6
    assert len(set(begun)) == len(begun)


def test_no_nonce_is_used_twice_by_threads():
    seal = sealing_of(new_sealing(KEY, PURPOSE), KEY, PURPOSE, "it")
    sealed: list[bytes] = []
    work = [
        threading.Thread(
            target=lambda: sealed.extend(seal.seal(b"", n, b"c")[:25] for n in range(2_000))
        )
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(set(sealed)) == len(sealed) == 8_000


@given(st.binary(), st.integers(0, 2**63), st.binary(max_size=8), st.data())
def test_a_value_opens_at_its_place_only_and_unchanged_only(plain, position, column, chosen):
    noted = new_sealing(KEY, PURPOSE)
    kept = sealing_of(noted, KEY, PURPOSE, "it").seal(plain, position, column)
    another_opening = sealing_of(noted, KEY, PURPOSE, "it")
    assert another_opening.unseal(kept, position, column) == plain
    at, mask = chosen.draw(st.integers(0, len(kept) - 1)), chosen.draw(st.integers(1, 255))
    changed = kept[:at] + bytes([kept[at] ^ mask]) + kept[at + 1 :]
    for value, place in ((changed, (position, column)), (kept, (position + 1, column))):
        with pytest.raises(StoreError):
            another_opening.unseal(value, *place)
    for other in (sealing_of(new_sealing(KEY, PURPOSE), KEY, PURPOSE, "it"),):
        with pytest.raises(StoreError):
            other.unseal(kept, position, column)


def test_a_key_comes_from_a_file_a_command_or_the_environment(tmp_path):
    path = tmp_path / "key"
    write_key(path, KEY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(EncryptionSettings()) is None
    assert read_key(EncryptionSettings(key_file=path)) == KEY
    assert read_key(EncryptionSettings(key_command=("cat", str(path)))) == KEY
    environ = {"WARDTWIN_ENCRYPTION__KEY": KEY.written()}
    settings = load(None, environ).settings.encryption
    assert read_key(settings) == KEY
    assert KEY.written() not in repr(settings) + repr(KEY) + repr(settings.model_dump(mode="json"))
    with pytest.raises(ConfigurationError, match="exists already"):
        write_key(path, OTHER)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no key at all", "not hexadecimal"),
        ("ab" * 16, "16 bytes where a key has 32"),
        ("ab" * 33, "33 bytes"),
        ("", "0 bytes"),
        ("00" * 32, "not random"),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(text, says):
    with pytest.raises(ConfigurationError, match=says) as refused:
        read_key(EncryptionSettings(key=SecretStr(text)))
    assert not text or text not in str(refused.value)


def test_a_key_with_two_sources_or_open_to_others_or_of_a_failing_command_is_refused(tmp_path):
    path = tmp_path / "key"
    write_key(path, KEY)
    with pytest.raises(ConfigurationError, match="two sources"):
        read_key(EncryptionSettings(key_file=path, key=SecretStr(KEY.written())))
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="mode is 0640"):
        read_key(EncryptionSettings(key_file=path))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_key(EncryptionSettings(key_file=tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="ended with 1"):
        read_key(EncryptionSettings(key_command=("false",)))
    with pytest.raises(ConfigurationError, match="gave no keys"):
        read_key(EncryptionSettings(key_command=(str(tmp_path / "none"),)))


def test_one_key_gives_independent_keys():
    seen = {KEY.database, KEY.fingerprint, KEY.derived(b"a").hex(), KEY.derived(b"b").hex()}
    seen |= {KEY.derived(b"a", b"1").hex(), OTHER.derived(b"a").hex(), KEY.written()}
    assert len(seen) == 7
    with pytest.raises(WrongKey):
        sealing_of(new_sealing(KEY, b"a"), KEY, b"b", "it")
