"""Files beside a store that are sealed piece by piece, however their writing and their key end."""

import json
import stat
from datetime import UTC, datetime

import pytest

from adapters.files import find_files
from api.ingesting import SMALL_BYTES, Order, chunks_of
from api.translating import decode_receipts
from twin_core.encryption import Files, StoreKey, Unsealable
from twin_core.settings import Settings

FILES = Files.of(StoreKey(bytes(range(32))))
OPEN = Files()


def written(path, *pieces, files=FILES):
    with files.continued(path, 0) as file:
        for piece in pieces:
            file.write(piece)
        return file.settled()


def read(path, files=FILES):
    with files.opened(path) as file:
        return file.read()


@pytest.mark.parametrize("files", [FILES, OPEN])
def test_a_file_goes_on_behind_what_was_written_whole(files, tmp_path):
    path = tmp_path / "x"
    assert files.size(path) == 0
    assert written(path, b"Quixworthy, ", b"", b"Zephyrine", files=files) == 21
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files.size(path) == 21
    with files.continued(path, 21) as file:
        file.write(b" and more")
    assert read(path, files) == b"Quixworthy, Zephyrine and more"
    assert (b"Quixworthy" in path.read_bytes()) == (files is OPEN)
    with files.opened(path) as file:
        assert (file.read(3), file.readline(4), file.read(1)) == (b"Qui", b"xwor", b"t")


def test_a_piece_that_was_cut_off_is_written_again(tmp_path):
    path = tmp_path / "x"
    written(path, b"first", b"second")
    whole = path.read_bytes()
    second = len(whole) // 2
    for cut in range(second, len(whole)):
        path.write_bytes(whole[:cut])
        assert FILES.size(path) == 5
        with FILES.continued(path, 5) as file:
            file.write(b"2nd")
        assert read(path) == b"first2nd", cut


def test_what_was_changed_or_sealed_by_another_key_does_not_open(tmp_path):
    path = tmp_path / "x"
    written(path, b"first", b"other")
    whole = path.read_bytes()
    half = len(whole) // 2
    swapped = whole[half:] + whole[:half]
    for changed in (swapped, whole[:-1], whole[:40] + b"!" + whole[41:], b"{}", whole[half:]):
        path.write_bytes(changed)
        with pytest.raises(Unsealable):
            read(path)
    path.write_bytes(whole)
    assert FILES.opens(path)
    with pytest.raises(Unsealable):
        read(path, Files.of(StoreKey(bytes(32))))
    assert not Files.of(StoreKey(bytes(32))).opens(path)
    assert not FILES.opens(tmp_path / "absent")


@pytest.mark.parametrize("least", [1, SMALL_BYTES], ids=["here", "in another process"])
def test_sealed_files_are_ingested(least, tmp_path):
    path = tmp_path / "x.ndjson"
    lines = [
        json.dumps({"resourceType": "Patient", "id": f"p{n}"}).encode()
        for n in range(3 + least // 30)
    ]
    written(path, *(line + b"\n" for line in lines[:2]), b"\n".join(lines[2:]))
    order = Order(
        sources=tuple(find_files([str(path)], "ndjson")),
        feed="main",
        settings=Settings().model_dump_json(by_alias=True, exclude={"secrets"}),
        received_at=datetime(2026, 3, 2, tzinfo=UTC),
        sealed_by=FILES.secret,
    )
    receipts = [one for chunk in chunks_of(order) for one in decode_receipts(chunk.receipts)]
    assert [one.raw for one in receipts] == lines
