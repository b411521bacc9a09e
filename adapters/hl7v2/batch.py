"""The answer to a batch: a batch of the acknowledgements of its messages (chapter 2.10.3.3).

Of the ways the standard gives to answer a batch, all messages are acknowledged in the response
batch. What is wrong with an envelope itself is told in the comment of the response's own trailer.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from adapters.hl7v2.acknowledge import Echo, escaped
from adapters.hl7v2.header import Header
from twin_core.events import Fault

_STARTS = (b"FHS", b"BHS")
_LEAD = re.compile(rb"[ \t\r\n\x0b]*(?:\xef\xbb\xbf)?[ \t\r\n\x0b]*")
_TRAILER = re.compile(rb"[\r\n\x1c][FB]TS(?:[^A-Za-z0-9\s][^\r\n]*)?[\s\x1c]*\Z")
_LONGEST_TRAILER = 4096
_OWN_NAME = "WARDTWIN"


class Acknowledged(NamedTuple):
    """One part of a batch in its order: an envelope segment, or the answer to a message."""

    envelope: bytes = b""
    """FHS, BHS, BTS or FTS as sent (a trailer behind its header); empty for a message."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the envelope."""
    answer: bytes = b""
    """The acknowledgement of the message."""


def is_batch(raw: bytes) -> bool:
    """Whether these bytes begin with a file or batch header."""
    lead = _LEAD.match(raw)
    return raw.startswith(_STARTS, lead.end() if lead else 0)


def ends_as_batch(raw: bytes) -> bool:
    """Whether these bytes, all there are, end with a trailer: headers may be left out."""
    return _TRAILER.search(raw[-_LONGEST_TRAILER:]) is not None


def batch_header(segment: bytes) -> Header:
    """FHS or BHS: who sends to whom, and as `control_id` the batch's own (FHS-11, BHS-11)."""
    line = segment.partition(b"\r")[0].decode("iso8859-1")
    if len(line) < len("BHS|^") or line[3].isalnum():
        return Header()
    fields = line.split(line[3], 12) + [""] * 13
    marks = fields[1].ljust(4, "\x00")[:4]
    return Header(
        field=line[3],
        component=marks[0],
        repetition=marks[1],
        escape=marks[2],
        subcomponent=marks[3],
        sending_application=fields[2],
        sending_facility=fields[3],
        receiving_application=fields[4],
        receiving_facility=fields[5],
        control_id=fields[10],
    )


def acknowledge_batch(parts: Iterable[Acknowledged], *, now: datetime, ack_id: str) -> bytes:
    """The response batch to the parts of a batch file, envelope by envelope.

    It mirrors the envelopes that were sent; messages outside BHS and BTS get a BHS of their own.
    BHS-12 (FHS-12) is the control id of the batch (file) it answers.
    """
    answering = _Answering(now, ack_id)
    lines = [line for part in parts for line in answering.part(part)]
    return b"".join((*lines, *answering.end()))


class _Answering:
    """The response so far: which envelopes are open and what they hold."""

    def __init__(self, now: datetime, ack_id: str) -> None:
        self._now, self._ack_id = now, ack_id
        self._file = self._batch = False
        self._answers = self._batches = self._numbered = 0

    def part(self, part: Acknowledged) -> Iterator[bytes]:
        name = part.envelope.rpartition(b"\r")[2][:3]
        if part.answer:
            if not self._batch:
                yield self._opened(b"BHS", b"")
            self._answers += 1
            yield part.answer
        elif name in _STARTS and part.faults:
            yield from self._batch_ended(part.faults) if name == b"BHS" else self.end(part.faults)
        elif name == b"FHS":
            yield from self.end()
            yield self._opened(name, part.envelope)
        elif name == b"BHS":
            yield from self._batch_ended()
            yield self._opened(name, part.envelope)
        elif name == b"BTS":
            if not self._batch:
                yield self._opened(b"BHS", b"")
            yield from self._batch_ended(part.faults)
        else:
            yield from self.end(part.faults, told=True)

    def end(self, faults: tuple[Fault, ...] = (), *, told: bool = False) -> Iterator[bytes]:
        """Whatever is open ends; `told` where the file itself said that it ends."""
        yield from self._batch_ended()
        if self._file or told:
            if not self._file:
                yield self._opened(b"FHS", b"")
            self._file = False
            yield _trailer(b"FTS", self._batches, faults)
            self._batches = 0

    def _batch_ended(self, faults: tuple[Fault, ...] = ()) -> Iterator[bytes]:
        if self._batch:
            self._batch = False
            self._batches += 1
            yield _trailer(b"BTS", self._answers, faults)

    def _opened(self, name: bytes, sent: bytes) -> bytes:
        if name == b"FHS":
            self._file, self._batches = True, 0
        else:
            self._batch, self._answers = True, 0
        self._numbered += 1
        header = batch_header(sent)
        echo = Echo(header, ascii_only=False)
        fields = [
            f"{name.decode()}|^~\\&",
            echo.routing(header.receiving_application) or _OWN_NAME,
            echo.routing(header.receiving_facility),
            echo.routing(header.sending_application),
            echo.routing(header.sending_facility),
            f"{self._now:%Y%m%d%H%M%S%z}",
            "",
            "",
            "",
            escaped(f"{self._ack_id}.{self._numbered}"),
            echo.text(header.control_id),
        ]
        return "|".join(fields).rstrip("|").encode("iso8859-1", "replace") + b"\r"


def _trailer(name: bytes, count: int, faults: tuple[Fault, ...]) -> bytes:
    comment = escaped(" ".join(f"{fault.where}: {fault.reason}" for fault in faults))
    told = f"|{count}|{comment}".rstrip("|").encode("iso8859-1", "replace")
    return name + told + b"\r"
