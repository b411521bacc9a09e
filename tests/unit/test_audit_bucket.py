"""Checkpoints in a bucket: what it keeps is never replaced, and a lost answer loses nothing."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from api.audit.opening import UrlKeeper, put_by_http
from tests.unit.ledgers import KEYS, access, ledger
from twin_core.audit import verified
from twin_core.errors import StoreError


class Bucket(BaseHTTPRequestHandler):
    """PUT as S3 and RFC 9110 have it: `If-None-Match: *` is refused where the name is taken."""

    def do_PUT(self) -> None:
        bucket = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.partition("?")[0].rpartition("/")[2]
        status = bucket.statuses.pop(0) if bucket.statuses else 0
        if not status and self.headers["If-None-Match"] == "*" and name in bucket.kept:
            status = 412
        if status in (0, 999):
            bucket.kept[name] = body.decode()
        if status == 999:
            # It is kept, and the answer is lost.
            self.close_connection = True
            return
        self.send_response(status or 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture
def bucket():
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        server.kept, server.statuses = {}, []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def keeper(bucket):
    return UrlKeeper(f"http://127.0.0.1:{bucket.server_port}/audit/?X-Sig=1", put_by_http)


def test_what_a_bucket_keeps_is_never_replaced(bucket, keeper):
    keeper.keep("5e1d-000000000007.checkpoint", "first\n")
    keeper.keep("5e1d-000000000007.checkpoint", "another\n")
    keeper.keep("5e1d-000000000007.checkpoint", "another\n")
    assert bucket.kept.pop("5e1d-000000000007.checkpoint") == "first\n"
    [(name, note)] = bucket.kept.items()
    assert note == "another\n"
    assert name.startswith("5e1d-000000000007.")
    assert name.endswith(".checkpoint")


def test_an_answer_that_was_lost_is_no_loss(bucket, keeper):
    bucket.statuses = [999]
    with pytest.raises(StoreError, match="could not be kept"):
        keeper.keep("a.checkpoint", "note\n")
    keeper.keep("a.checkpoint", "note\n")
    assert bucket.kept["a.checkpoint"] == "note\n"
    assert set(bucket.kept.values()) == {"note\n"}


@pytest.mark.parametrize(("status", "said"), [(409, "tried again"), (403, "403"), (501, "501")])
def test_what_is_not_kept_is_said_without_the_secret_of_the_url(bucket, keeper, status, said):
    bucket.statuses = [status]
    with pytest.raises(StoreError, match=said) as raised:
        keeper.keep("a.checkpoint", "note\n")
    assert "X-Sig" not in f"{raised.value} {raised.value.why}"
    assert bucket.kept == {}


def test_a_ledger_that_was_cut_and_went_on_disagrees_with_its_bucket(tmp_path, bucket, keeper):
    path = tmp_path / "w.duckdb.audit"
    with ledger(path, keepers=[keeper]) as book:
        book.record(access())
        book.record(access())
    whole = path.read_bytes()
    assert [note.splitlines()[1] for note in bucket.kept.values()] == ["2"]
    with ledger(path, keepers=[keeper]) as book:
        book.record(access())
    # Put back as it was, with what remembers its end, and written on: other entries, signed.
    path.write_bytes(whole)
    path.with_name(path.name + ".tip").unlink()
    with ledger(path, keepers=[keeper]) as book:
        book.record(access(outcome="refused"))
    findings = verified(path, keys=KEYS, notes=list(bucket.kept.values())).findings
    assert "re-chaining" in {found.kind for found in findings}
    assert len(bucket.kept) >= 3
