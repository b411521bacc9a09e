"""MLLP framing: a message between VT and FS CR, cut out of whatever arrives.

- A frame ends at FS. The CR after it may be missing; a line feed may stand there too.
- FS in the middle of a frame, followed by anything that cannot follow a frame, is content: the
  frame goes on to its real end and the reader refuses it. Two messages are never merged, and one
  is never cut in two.
- Bytes outside frames are dropped and counted.
"""

from enum import Enum

VT, FS, CR, LF = 0x0B, 0x1C, 0x0D, 0x0A
_START, _END = bytes((VT,)), bytes((FS,))
_LAST, _BETWEEN = bytes((FS, CR)), bytes((FS, CR, VT))
_AFTER_END = frozenset((CR, LF, VT))


def framed(message: bytes) -> bytes:
    """The message as one MLLP frame."""
    return b"\x0b" + message + b"\x1c\r"


class Progress(Enum):
    """Why there is no whole frame yet."""

    OUTSIDE = "between frames"
    INSIDE = "within a frame"
    MAYBE_ENDED = "FS has come, what follows it has not"
    OVERSIZE = "the frame is longer than allowed"


class FrameDecoder:
    """Cuts one byte stream into frames, however it is chunked. Bounded by `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._inside = False
        self._seen = 0
        self.dropped = 0
        """Bytes outside frames, line ends not counted."""
        self.progress = Progress.OUTSIDE

    def feed(self, received: bytes | memoryview) -> None:
        """Take what has arrived."""
        self._buffer += received

    def next_frame(self) -> bytes | None:
        """The next whole frame's content, or None; `progress` then says why not."""
        if not self._inside and not self._find_start():
            self.progress = Progress.OUTSIDE
            return None
        while (end := self._buffer.find(_END, self._seen)) >= 0 and end <= self._limit:
            if end + 1 == len(self._buffer):
                self._seen = end
                self.progress = Progress.MAYBE_ENDED
                return None
            if self._buffer[end + 1] in _AFTER_END:
                return self._cut(end)
            self._seen = end + 1
        if (end if end >= 0 else len(self._buffer)) > self._limit:
            self.progress = Progress.OVERSIZE
            return None
        self._seen = len(self._buffer)
        self.progress = Progress.INSIDE
        return None

    def next_frames(self, most: int) -> list[bytes]:
        """The content of the frames that are whole, no more than so many; see `next_frame`."""
        frames = self._all_at_once()
        if frames is None or len(frames) > most:
            frames = []
            while len(frames) < most and (frame := self.next_frame()) is not None:
                frames.append(frame)
            return frames
        self._buffer.clear()
        self.progress = Progress.OUTSIDE
        return frames

    def settle(self) -> bytes | None:
        """The frame whose FS is the last byte so far: nothing follows, so it has ended."""
        if self.progress is not Progress.MAYBE_ENDED:
            return None
        return self._cut(len(self._buffer) - 1)

    def give_up(self, keep: int) -> bytes:
        """Drop everything, and return the start of the frame that was being read."""
        head = bytes(self._buffer[:keep]) if self._inside else b""
        self.dropped += len(self._buffer)
        self._buffer.clear()
        self._inside = False
        self._seen = 0
        self.progress = Progress.OUTSIDE
        return head

    @property
    def pending(self) -> int:
        """Bytes held that are not part of a frame handed out."""
        return len(self._buffer)

    def _all_at_once(self) -> list[bytes] | None:
        """All that is held, where it is whole frames one right after the other, as it mostly is."""
        held = self._buffer
        if self._inside or not (held.startswith(_START) and held.endswith(_LAST)):
            return None
        content = bytes(held[1:-2])
        frames = content.split(_BETWEEN)
        plain = content.count(_END) == len(frames) - 1 and max(map(len, frames)) <= self._limit
        return frames if plain else None

    def _find_start(self) -> bool:
        start = self._buffer.find(_START)
        outside = self._buffer if start < 0 else self._buffer[:start]
        if outside:
            self.dropped += len(outside) - outside.count(CR) - outside.count(LF)
        if start < 0:
            self._buffer.clear()
            return False
        del self._buffer[: start + 1]
        self._inside, self._seen = True, 0
        return True

    def _cut(self, end: int) -> bytes:
        frame = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._inside, self._seen = False, 0
        self.progress = Progress.OUTSIDE
        return frame
