"""Watched folders on a real disk: when a file is whole, what becomes of it, and where it goes."""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.files.watch import WatchedFolder, is_unchanged, set_aside
from api.exposition import exposition
from api.feeds import Feeds
from api.metrics_of_feeds import of_feeds
from api.watching import FolderFeed, folder_feeds
from twin_core import Twin
from twin_core.errors import ConfigurationError
from twin_core.settings import FolderSettings, Settings

AT = datetime(2026, 11, 1, 8, 5, 2, tzinfo=UTC)
LONG_AGO_NS = 1_700_000_000_000_000_000


def admission(number: int, name: str = "TESTER^ADA") -> bytes:
    return (
        f"MSH|^~\\&|ADT|HOSP|||20261101080500||ADT^A01|{number}|P|2.5\rEVN|A01|20261101080400\r"
        f"PID|1||{number}^^^HOSP^MR||{name}\rPV1|1|I|ICU^1^{number}||||||||||||||||V{number}\r"
    ).encode()


BROKEN = admission(9, "SECRET^NAME").replace(b"PID|", b"PXX|")


def written(path: Path, content: bytes = b"MSH|", modified_ns: int = 0) -> Path:
    path.write_bytes(content)
    if modified_ns:
        # Setting times looks like a rename; writing the last byte again does not.
        os.utime(path, ns=(modified_ns, modified_ns))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def gives_leases(folder: Path) -> bool:
    probe = written(folder / ".probe")
    try:
        with probe.open("rb") as opened:
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except (AttributeError, OSError):
        return False
    finally:
        probe.unlink()
    return True


# --- when a file is whole --------------------------------------------------------------------


def names(watched: WatchedFolder, now: float) -> list[str]:
    return [file.path.name for file in watched.look(now).whole]


def test_a_file_is_whole_when_it_has_not_changed_for_a_while(folder: Path) -> None:
    watched = WatchedFolder(FolderSettings(path=folder, settle_s=2))
    file = written(folder / "a.hl7", b"MSH|half")
    assert names(watched, 0.0) == names(watched, 1.9) == []
    file.write_bytes(b"MSH|half and the other half")
    assert names(watched, 2.1) == names(watched, 4.0) == []
    assert names(watched, 4.2) == ["a.hl7"]
    assert watched.look(4.2).waiting == 0


def test_a_file_that_was_renamed_into_place_is_whole_at_once(folder: Path) -> None:
    watched = WatchedFolder(FolderSettings(path=folder, settle_s=60))
    partial = written(folder / ".a.part", admission(1), LONG_AGO_NS)
    assert names(watched, 0.0) == []
    partial.rename(folder / "a.hl7")
    assert names(watched, 0.0) == ["a.hl7"]


def test_a_file_that_is_open_for_writing_is_never_whole(folder: Path) -> None:
    if not gives_leases(folder):
        pytest.skip("this file system gives no leases")
    watched = WatchedFolder(FolderSettings(path=folder, settle_s=0))
    with (folder / "a.hl7").open("wb") as writer:
        writer.write(admission(1))
        writer.flush()
        assert names(watched, 0.0) == names(watched, 1e6) == []
        assert watched.look(1e6).waiting == 1
    assert names(watched, 1e6) == ["a.hl7"]


def test_files_come_in_the_order_in_which_they_were_written(folder: Path) -> None:
    for name, later in (("a", 3), ("b", 1), ("d", 2), ("c", 2)):
        written(folder / name, modified_ns=LONG_AGO_NS + later)
    watched = WatchedFolder(FolderSettings(path=folder))
    assert names(watched, 0.0) == ["b", "c", "d", "a"]


def test_links_folders_dots_and_other_names_are_left_alone(folder: Path) -> None:
    outside = written(folder.parent / "outside.hl7", modified_ns=LONG_AGO_NS)
    (folder / "link.hl7").symlink_to(outside)
    (folder / "broken.hl7").symlink_to(folder / "nowhere")
    (folder / "sub.hl7").mkdir()
    os.mkfifo(folder / "pipe.hl7")
    for name in (".hidden.hl7", "notes.txt", "a.HL7", "a.hl7"):
        written(folder / name, modified_ns=LONG_AGO_NS)
    watched = WatchedFolder(FolderSettings(path=folder, pattern="*.hl7"))
    assert names(watched, 0.0) == ["a.hl7"]


def test_a_file_that_changes_after_it_was_whole_is_noticed(folder: Path) -> None:
    watched = WatchedFolder(FolderSettings(path=folder))
    file = written(folder / "a", modified_ns=LONG_AGO_NS)
    [whole] = watched.look(0.0).whole
    assert is_unchanged(whole)
    with file.open("ab") as more:
        more.write(b"x")
    assert not is_unchanged(whole)
    file.unlink()
    assert not is_unchanged(whole)


@pytest.mark.parametrize("name", ["x" * 251 + ".hl7", "ü" * 127, "x." + "y" * 253])
def test_a_name_as_long_as_names_may_be_is_put_away_with_its_reason(
    folder: Path, name: str
) -> None:
    watched = WatchedFolder(FolderSettings(path=folder))
    for n in range(3):
        written(folder / name, b"%d" % n, LONG_AGO_NS)
        [whole] = watched.look(0.0).whole
        put = set_aside(whole, watched.error, AT, b"why")
        assert put.read_bytes() == b"%d" % n
        assert put.with_name(put.name + ".reason.json").read_bytes() == b"why"
        assert name.startswith(put.name[:100])
    assert len(list(watched.error.iterdir())) == 6


def test_names_that_are_taken_are_never_written_over(folder: Path) -> None:
    watched = WatchedFolder(FolderSettings(path=folder))
    places = set()
    for n in range(3):
        written(folder / "day.tar.hl7", b"%d" % n, LONG_AGO_NS)
        [whole] = watched.look(0.0).whole
        places.add(set_aside(whole, watched.done, AT))
    assert {place.read_bytes() for place in places} == {b"0", b"1", b"2"}
    assert sorted(place.name for place in places) == [
        "day.tar.20261101T080502000000.1.hl7",
        "day.tar.20261101T080502000000.hl7",
        "day.tar.hl7",
    ]
    assert list(folder.iterdir()) == [folder / "done"]


# --- what becomes of its messages ------------------------------------------------------------


@pytest.fixture
def twin(tmp_path: Path):
    with Twin.open(tmp_path / "twin.duckdb") as opened:
        yield opened


def feed_of(twin: Twin, folder: Path, **settings: object) -> FolderFeed:
    return FolderFeed(twin, "lab", FolderSettings(path=folder, settle_s=0, **settings))


def ids(twin: Twin) -> list[str]:
    rows = twin.query("SELECT control_id FROM twin.message ORDER BY message_id")
    return [str(row["control_id"]) for row in rows]


def test_a_file_is_taken_and_put_away(twin: Twin, folder: Path) -> None:
    written(folder / "b.hl7", admission(2) + admission(3), LONG_AGO_NS + 1)
    written(folder / "a.hl7", admission(1), LONG_AGO_NS)
    feed = feed_of(twin, folder)
    feed.look(0.0)
    assert ids(twin) == ["1", "2", "3"]
    assert sorted(path.name for path in (folder / "done").iterdir()) == ["a.hl7", "b.hl7"]
    status = feed.status()
    assert (status.done, status.error, status.waiting, status.trouble) == (2, 0, 0, "")
    assert {tally.feed for tally in twin.tallies()} == {"lab"}


def test_the_same_file_again_changes_nothing(twin: Twin, folder: Path) -> None:
    feed = feed_of(twin, folder)
    for _ in range(2):
        written(folder / "a.hl7", admission(1), LONG_AGO_NS)
        feed.look(0.0)
    assert ids(twin) == ["1"]
    assert len(list((folder / "done").iterdir())) == 2


def test_a_file_with_a_reject_goes_to_error_with_the_reason(twin: Twin, folder: Path) -> None:
    content = b"BHS|^~\\&|ADT|HOSP\r" + admission(1) + BROKEN + b"BTS|3\r"
    written(folder / "a.hl7", content, LONG_AGO_NS)
    feed_of(twin, folder).look(0.0)
    assert (folder / "error" / "a.hl7").read_bytes() == content
    said = (folder / "error" / "a.hl7.reason.json").read_text()
    told = json.loads(said)
    assert (told["messages"], told["accepted"], told["rejected"]) == (3, 1, 2)
    assert [(r["where"], r["table_0357"]) for r in told["reasons"]] == [
        ("PID^1", "100"),
        ("BTS^1^1", "100"),
    ]
    assert told["reasons"][0]["origin"] == f"offset {content.index(BROKEN)}"
    assert "SECRET" not in said
    twin.wait_applied()
    assert len(twin.quarantined(10)) == 2


@pytest.mark.parametrize("content", [b"", b"\r\n \r\n"])
def test_a_file_without_messages_goes_to_error(twin: Twin, folder: Path, content: bytes) -> None:
    written(folder / "a.hl7", content, LONG_AGO_NS)
    feed_of(twin, folder).look(0.0)
    told = json.loads((folder / "error" / "a.hl7.reason.json").read_text())
    assert told["why"] == "The file holds no message."


def test_a_folder_that_is_not_there_is_waited_for(twin: Twin, folder: Path) -> None:
    feed = feed_of(twin, folder / "mount")
    feed.look(0.0)
    assert "No such file" in feed.trouble
    (folder / "mount").mkdir()
    written(folder / "mount" / "a.hl7", admission(1), LONG_AGO_NS)
    feed.look(1.0)
    assert (feed.trouble, ids(twin)) == ("", ["1"])


def test_a_file_that_cannot_be_put_away_is_not_read_again(twin: Twin, folder: Path) -> None:
    written(folder / "done", b"in the way")
    written(folder / "a.hl7", admission(1), LONG_AGO_NS)
    feed = feed_of(twin, folder, pattern="*.hl7")
    feed.look(0.0)
    feed.look(1.0)
    assert "cannot be put into" in feed.trouble
    assert feed.status().waiting == 1
    [tally] = twin.tallies()
    assert (tally.outcome, tally.messages) == ("accepted", 1)
    (folder / "done").unlink()
    feed.look(2.0)
    assert (feed.trouble, feed.files["done"]) == ("", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_a_file_that_cannot_be_read_stays_and_is_told_of(twin: Twin, folder: Path) -> None:
    written(folder / "a.hl7", admission(1), LONG_AGO_NS).chmod(0)
    written(folder / "b.hl7", admission(2), LONG_AGO_NS)
    feed = feed_of(twin, folder)
    feed.look(0.0)
    assert "Permission denied" in feed.trouble
    assert ids(twin) == ["2"]
    (folder / "a.hl7").chmod(0o600)
    feed.look(1.0)
    assert ids(twin) == ["2", "1"]


def test_a_full_disk_is_waited_for(twin: Twin, folder: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no full device here")
    written(folder / "a.hl7", BROKEN, LONG_AGO_NS)
    (folder / "error").mkdir()
    # The reason cannot be written, because what it is written to is always full.
    (folder / "error" / ".a.hl7.reason.json.part").symlink_to(full)
    feed = feed_of(twin, folder)
    feed.look(0.0)
    assert "No space left" in feed.trouble
    assert (folder / "a.hl7").exists()
    (folder / "error" / ".a.hl7.reason.json.part").unlink()
    feed.look(1.0)
    assert (feed.trouble, feed.files["error"]) == ("", 1)


def test_what_grows_while_it_is_read_is_not_put_away(twin: Twin, folder: Path) -> None:
    first, second = admission(1), admission(2)
    file = written(folder / "a.hl7", first + second[:40], LONG_AGO_NS)
    feed = feed_of(twin, folder)
    [whole] = feed.folder.look(0.0).whole
    with file.open("ab") as late:
        late.write(second[40:])
    feed._take(whole)  # it was seen whole before the rest came
    assert file.exists()
    assert ids(twin) == []
    feed.look(1.0)
    assert ids(twin) == ["1", "2"]


def test_folders_are_measured(twin: Twin, folder: Path) -> None:
    written(folder / "a.hl7", admission(1), LONG_AGO_NS)
    feed = feed_of(twin, folder)
    feed.look(0.0)
    feeds = Feeds(twin, folders=lambda: {feed.feed: feed.status()})
    text = exposition(of_feeds(feeds.reports(), AT))
    assert 'wardtwin_folder_files_total{feed="lab",outcome="done"} 1\n' in text
    assert 'wardtwin_folder_waiting_files{feed="lab"} 0\n' in text
    assert 'wardtwin_folder_ok{feed="lab"} 1\n' in text


def test_rejects_of_a_folder_are_counted_by_reason_and_wait_in_quarantine(
    twin: Twin, folder: Path
) -> None:
    unnamed = admission(2).replace(b"PID|1||", b"PID|1|")
    written(folder / "a.hl7", admission(1) + unnamed, LONG_AGO_NS)
    written(folder / "b.hl7", b"\x89PNG\r\n" + b"\x1c\rx\r" * 50, LONG_AGO_NS)
    feed = feed_of(twin, folder)
    feed.look(0.0)
    [report] = Feeds(twin, folders=lambda: {"lab": feed.status()}).reports()
    assert report.quarantined == 2
    text = exposition(of_feeds([report], AT))
    assert 'wardtwin_feed_rejects_total{feed="lab",code="101"} 1\n' in text
    assert 'wardtwin_feed_rejects_total{feed="lab",code="100"} 1\n' in text
    assert 'wardtwin_feed_quarantined{feed="lab"} 2\n' in text


def test_what_is_wrong_with_a_folder_is_a_warning_of_its_feed(twin: Twin, folder: Path) -> None:
    feed = feed_of(twin, folder / "nowhere")
    feed.look(0.0)
    settings = Settings.model_validate({"feeds": {"lab": {"folder": {"path": str(folder)}}}})
    twin.settings = settings
    [report] = Feeds(twin, folders=lambda: {"lab": feed.status()}).reports()
    assert report.warnings == ("the folder cannot be read: No such file or directory",)


def test_two_feeds_may_not_watch_one_folder(twin: Twin, folder: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    feeds = {
        "a": {"folder": {"path": str(folder)}},
        "b": {"folder": {"path": str(link)}},
    }
    with pytest.raises(ConfigurationError, match="same folder"):
        folder_feeds(twin, Settings.model_validate({"feeds": feeds}))


def test_done_must_be_another_folder(folder: Path) -> None:
    with pytest.raises(ValueError, match="other folders"):
        FolderSettings(path=folder, done=folder)
