"""Frames between processes arrive whole, whatever happens to either of them."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.frames import read_frame, write_frame
from twin_core.errors import FeedError

ROOT = Path(__file__).parents[2]
WRITES = """
import sys
from api.frames import write_frame
for letter in (b"a", b"b"):
    write_frame(sys.stdout.buffer, letter * 3_000_000)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_process_that_is_stopped_and_goes_on_loses_nothing_of_a_frame(unbuffered: str) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        [sys.executable, "-c", WRITES], stdout=subprocess.PIPE, cwd=ROOT, env=environ
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.read(1) == b"\0"
        for _ in range(3):
            time.sleep(0.2)
            writer.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            writer.send_signal(signal.SIGCONT)
        assert int.from_bytes(writer.stdout.read(3), "big") == 3_000_000
        assert set(writer.stdout.read(3_000_000)) == set(b"a")
        assert set(read_frame(writer.stdout) or b"") == set(b"b")


def test_what_whoever_reads_would_take_for_the_end_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.frames.HEAVIEST_FRAME", 10)
    stream = io.BytesIO()
    write_frame(stream, b"x" * 10)
    with pytest.raises(FeedError, match="at once"):
        write_frame(stream, b"x" * 11)
    stream.seek(0)
    assert [read_frame(stream), read_frame(stream)] == [b"x" * 10, None]
