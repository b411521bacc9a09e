"""From raw bytes to receipts: which adapter reads which format, and how receipts cross a pipe."""

from datetime import datetime

import msgspec

from adapters.hl7v2 import translate as translate_hl7
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
