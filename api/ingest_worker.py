"""The translating process of `wardtwin ingest`: an order in, what became of it out, in chunks."""

import signal
import sys
from collections.abc import Iterable, Iterator

import msgspec

from api.collector import begin_to_load, keep_buffers
from api.frames import read_frame, write_frame
from api.ingesting import Order, translated
from api.reading_process import Said
from api.staged_lines import decode_lines, translated_lines
from api.translating import encode_receipts
from twin_core.clock import SystemClock
from twin_core.errors import TwinError
from twin_core.inbox import Beside, FileIntake, Receipt
from twin_core.settings import Settings
from twin_core.store.journal import journalled


def main() -> int:
    """Translate what is ordered; end quietly when nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    begin_to_load()
    frame = read_frame(sys.stdin.buffer)
    if frame is None:
        return 0
    order = msgspec.msgpack.decode(frame, type=Order)
    if order.staged:
        keep_buffers()
    try:
        receipts = _of_lines(order) if order.staged else translated(order)
        for said in _stored(receipts, order.beside) if order.beside else _translated(receipts):
            _say(said)
    except TwinError as error:
        kind = type(error).__name__
        _say(Said(over=True, kind=kind, fault=error.what, why=error.why, do=error.do))
        return 0
    _say(Said(over=True))
    return 0


def _of_lines(order: Order) -> Iterator[tuple[list[Receipt], int]]:
    settings = Settings.model_validate_json(order.settings)
    frames = iter(lambda: read_frame(sys.stdin.buffer), None)
    return translated_lines(map(decode_lines, frames), settings)


def _translated(several: Iterable[tuple[list[Receipt], int]]) -> Iterator[Said]:
    for receipts, bytes_read in several:
        yield Said(receipts=encode_receipts(receipts), bytes_read=bytes_read)


def _stored(several: Iterable[tuple[list[Receipt], int]], beside: Beside) -> Iterator[Said]:
    intake = FileIntake(beside, SystemClock(), journalled)
    try:
        for receipts, bytes_read in several:
            yield Said(stored=intake.take(receipts), bytes_read=bytes_read)
    finally:
        intake.close()


def _say(said: Said) -> None:
    write_frame(sys.stdout.buffer, msgspec.msgpack.encode(said))


if __name__ == "__main__":
    sys.exit(main())
