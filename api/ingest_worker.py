"""The translating process of `wardtwin ingest`: an order in, chunks of receipts out."""

import signal
import sys

import msgspec

from api.collector import LOADED_OBJECTS, calm_collector
from api.frames import read_frame, write_frame
from api.ingesting import Order, Said, translated_chunks
from twin_core.errors import FeedError


def main() -> int:
    """Translate what is ordered; end quietly when nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    order = read_frame(sys.stdin.buffer)
    if order is None:
        return 0
    calm_collector(LOADED_OBJECTS)
    try:
        for chunk in translated_chunks(msgspec.msgpack.decode(order, type=Order)):
            _say(Said(chunk=chunk))
    except FeedError as error:
        _say(Said(fault=error.what, why=error.why, do=error.do))
        return 0
    _say(Said())
    return 0


def _say(said: Said) -> None:
    write_frame(sys.stdout.buffer, msgspec.msgpack.encode(said))


if __name__ == "__main__":
    sys.exit(main())
