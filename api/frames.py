"""Frames between a process and its helper processes: four bytes of length, then the content.

One format on every pipe, so that either side can stop at any moment and the other sees either a
whole frame or the end.
"""

import socket
from typing import IO

from twin_core.errors import FeedError

HEAVIEST_FRAME = 256 * 1024 * 1024
_LENGTH_BYTES = 4


def write_frame(stream: IO[bytes], content: bytes) -> None:
    """Send one frame and flush it. Raises FeedError for one that nobody would take."""
    if len(content) > HEAVIEST_FRAME:
        # Whoever reads takes it for the end, and what comes after it for nothing.
        raise FeedError(f"More than {HEAVIEST_FRAME:,} bytes cannot be handed over at once.")
    for part in (len(content).to_bytes(_LENGTH_BYTES, "big"), content):
        left = memoryview(part)
        while left:
            # Streams without a buffer, as PYTHONUNBUFFERED makes them, write a part only where the
            # process is stopped and goes on, as with a machine that sleeps.
            left = left[stream.write(left) :]
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """The next frame, or None where the other side ended or broke off."""
    header = _exactly(stream, _LENGTH_BYTES)
    if header is None:
        return None
    length = int.from_bytes(header, "big")
    return None if length > HEAVIEST_FRAME else _exactly(stream, length)


def receive_frame(connection: socket.socket) -> bytearray | None:
    """The next frame from a socket, or None where the other side ended or broke off.

    The system waits for the whole of it: a pipe gives 64 KiB at a time, and for each of them a
    thread has to wait for its turn anew.
    """
    header = _received(connection, _LENGTH_BYTES)
    if header is None:
        return None
    length = int.from_bytes(header, "big")
    return None if length > HEAVIEST_FRAME else _received(connection, length)


def _received(connection: socket.socket, length: int) -> bytearray | None:
    content = bytearray(length)
    missing = memoryview(content)
    while missing:
        count = connection.recv_into(missing, len(missing), socket.MSG_WAITALL)
        if not count:
            return None
        missing = missing[count:]
    return content


def _exactly(stream: IO[bytes], length: int) -> bytes | None:
    parts, missing = [], length
    while missing:
        part = stream.read(missing)
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
