"""Batch envelopes (HL7 v2 chapter 2.10.3): are all messages there that the sender counted?

A file is `[FHS] {[BHS] messages [BTS]} [FTS]`: every part is optional and a batch may be empty.
BTS-1 counts the messages of its batch and FTS-1 the batches of its file; both may be left out. A
header without its trailer is the mark of a file that was cut short, so it is a fault here. The
messages inside are taken whatever their envelope says.
"""

from typing import NamedTuple

from twin_core.events import Fault

HEADERS = (b"FHS", b"BHS")
SEGMENTS = (*HEADERS, b"BTS", b"FTS")

_SEQUENCE, _DATA_TYPE = "100", "102"
"""HL7 table 0357."""
_LONGEST_COUNT = 9


class Envelope(NamedTuple):
    """One envelope segment in its place, or a header whose trailer is missing."""

    raw: bytes
    """The header and the trailer that ends it, as far as they were sent."""
    offset: int
    faults: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """FHS, BHS, BTS or FTS: the last segment of it."""
        return self.raw.rpartition(b"\r")[2][:3].decode("ascii")


class _Opened(NamedTuple):
    raw: bytes
    offset: int
    number: int


class Batches:
    """Counts what a file holds against what its envelopes say, in file order."""

    def __init__(self) -> None:
        self._file: _Opened | None = None
        self._batch: _Opened | None = None
        self._files = self._batches = self._messages = 0
        self._in_file = 0
        """Batches of this file so far, the one at hand included."""
        self._loose = False
        """Whether there were messages outside BHS and BTS since the last trailer."""

    def message(self) -> None:
        """A message was found."""
        self._messages += 1
        if self._batch is None:
            self._loose = True

    def segment(self, raw: bytes, offset: int) -> list[Envelope]:
        """What follows from an envelope segment: itself, after headers that it shows unended."""
        return _RULES[raw[:3]](self, raw, offset)

    def end(self) -> list[Envelope]:
        """What is missing at the end of the file."""
        return self._unended_batch() + self._unended_file()

    def _file_begins(self, raw: bytes, offset: int) -> list[Envelope]:
        unended = self.end()
        self._files += 1
        self._file, self._in_file = _Opened(raw, offset, self._files), 0
        self._messages, self._loose = 0, False
        return [*unended, Envelope(raw, offset)]

    def _batch_begins(self, raw: bytes, offset: int) -> list[Envelope]:
        unended = self._unended_batch()
        self._batches += 1
        self._in_file += 1 + self._loose
        self._batch, self._messages, self._loose = _Opened(raw, offset, self._batches), 0, False
        return [*unended, Envelope(raw, offset)]

    def _batch_ends(self, raw: bytes, offset: int) -> list[Envelope]:
        if self._batch is None:
            self._batches += 1
            self._in_file += 1
        number = self._batches
        faults = _counted(raw, f"BTS^{number}^1", self._messages, "message", ())
        if self._batch is None and not self._loose:
            faults = (*faults, _fault(f"BTS^{number}", "The batch ends without having begun."))
        ended = Envelope(_joined(self._batch, raw), offset, faults)
        self._batch, self._messages, self._loose = None, 0, False
        return [ended]

    def _file_ends(self, raw: bytes, offset: int) -> list[Envelope]:
        unended = self._unended_batch()
        held = self._in_file + self._loose
        # A file without any batch envelope is one batch by the grammar, and none by the letter.
        also = (0,) if self._loose and not self._in_file else (1,) if not held else ()
        number = self._file.number if self._file else self._files + 1
        faults = _counted(raw, f"FTS^{number}^1", held, "batch", also)
        if self._file is None:
            faults = (*faults, _fault(f"FTS^{number}", "The file ends without having begun (FHS)."))
        ended = Envelope(_joined(self._file, raw), offset, faults)
        self._file, self._in_file, self._messages, self._loose = None, 0, 0, False
        return [*unended, ended]

    def _unended_batch(self) -> list[Envelope]:
        return self._unended("_batch", "BHS", "BTS", "batch")

    def _unended_file(self) -> list[Envelope]:
        return self._unended("_file", "FHS", "FTS", "file")

    def _unended(self, held: str, header: str, trailer: str, what: str) -> list[Envelope]:
        opened: _Opened | None = getattr(self, held)
        if opened is None:
            return []
        setattr(self, held, None)
        reason = f"The {what} has no {trailer}; it may have been cut short. Send it whole."
        fault = _fault(f"{header}^{opened.number}", reason)
        return [Envelope(opened.raw, opened.offset, (fault,))]


_RULES = {
    b"FHS": Batches._file_begins,
    b"BHS": Batches._batch_begins,
    b"BTS": Batches._batch_ends,
    b"FTS": Batches._file_ends,
}


def _counted(
    trailer: bytes, where: str, found: int, what: str, also: tuple[int, ...]
) -> tuple[Fault, ...]:
    """The fault of a trailer's count, if there is one; an empty count counts nothing."""
    told = trailer[4:].partition(trailer[3:4])[0].strip() if len(trailer) > 4 else b""
    if not told or told == b'""':
        return ()
    if not told.isdigit() or len(told) > _LONGEST_COUNT:
        reason = f"The count is not a number; {_plural(found, what)} found."
        return (Fault(where=where, code=_DATA_TYPE, reason=reason),)
    if int(told) == found or int(told) in also:
        return ()
    return (_fault(where, f"The count is {int(told)}, but {_plural(found, what)} found."),)


def _plural(found: int, what: str) -> str:
    plural = {"message": "messages", "batch": "batches"}[what]
    return f"1 {what} was" if found == 1 else f"{found} {plural} were"


def _fault(where: str, reason: str) -> Fault:
    return Fault(where=where, code=_SEQUENCE, reason=reason)


def _joined(opened: _Opened | None, trailer: bytes) -> bytes:
    return trailer if opened is None else opened.raw + b"\r" + trailer
