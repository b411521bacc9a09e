"""From raw bytes to receipts: which adapter reads which format, and how receipts cross a pipe."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from adapters.fhir import Release, Scope, take_body
from adapters.files import Found
from adapters.hl7v2.translate import translate as translate_hl7
from twin_core.errors import UsageError
from twin_core.events import Rejection, Translation
from twin_core.inbox import Receipt
from twin_core.inbox.receipt import decode_head, encode_head
from twin_core.settings import Settings

DEFAULT_FEED = "adt"
"""Feed of HL7 v2 messages that arrive without a name: by MLLP, over HTTP or from files."""


def translated_hl7(
    raw: bytes, *, feed: str, settings: Settings, received_at: datetime
) -> Translation | Rejection:
    """What one HL7 v2 message says."""
    return translate_hl7(
        raw,
        feed=feed,
        settings=settings.feed(feed),
        limits=settings.limits,
        received_at=received_at,
    )


class Reader(NamedTuple):
    """Reads whatever files hold: by which settings, under which feed's name, and when."""

    settings: Settings
    feed: str | None
    """Feed of HL7 v2 messages and source of FHIR resources; None for the defaults."""
    received_at: datetime

    def receipts(self, found: Found, path: str) -> Iterator[Receipt]:
        """One receipt for a message; one per resource for a Bundle."""
        origin = f"{path}@{found.offset}"
        if found.format == "fhir":
            scope = self._scope()
            for taken in take_body(found.raw, scope, self.settings.limits):
                yield Receipt(
                    format="fhir",
                    feed=scope.source,
                    raw=taken.entry.raw,
                    outcome=taken.outcome,
                    origin=origin,
                )
        else:
            feed = self.feed or DEFAULT_FEED
            outcome = translated_hl7(
                found.raw, feed=feed, settings=self.settings, received_at=self.received_at
            )
            yield Receipt(format="hl7v2", feed=feed, raw=found.raw, outcome=outcome, origin=origin)

    def _scope(self) -> Scope:
        fhir = self.settings.fhir
        return Scope(
            source=self.feed or fhir.source,
            release=Release.R4,
            told=True,
            settings=fhir,
            received_at=self.received_at,
        )


def retranslated(raw: bytes, format_: str, reader: Reader) -> Translation | Rejection:
    """What a quarantined message says by the settings of now.

    Raises UsageError for a document that turns out to hold several resources.
    """
    receipts = list(reader.receipts(Found(raw, 0, format_), ""))
    if len(receipts) == 1:
        return receipts[0].outcome
    raise UsageError(
        "The message holds several resources, which cannot take the place of one.",
        do="Send them again, or read their file again with `wardtwin ingest`.",
    )


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])


def encode_receipts(receipts: list[Receipt]) -> bytes:
    """Receipts as MessagePack, to cross a pipe or the operator's socket."""
    return _ENCODER.encode([(encode_head(r, False), r.raw) for r in receipts])


def decode_receipts(encoded: bytes) -> list[Receipt]:
    """The inverse of `encode_receipts`."""
    return [_receipt(head, raw) for head, raw in _DECODER.decode(encoded)]


def _receipt(encoded: bytes, raw: bytes) -> Receipt:
    head = decode_head(encoded)
    outcome: Translation | Rejection
    if head.envelope is None:
        outcome = Rejection(
            code=head.code,
            faults=head.faults,
            feed=head.feed,
            sender=head.sender,
            control_id=head.control_id,
            trigger_event=head.trigger_event,
        )
    else:
        outcome = Translation(envelope=head.envelope, events=head.events, findings=head.findings)
    return Receipt(format=head.format, feed=head.feed, raw=raw, outcome=outcome, origin=head.origin)
