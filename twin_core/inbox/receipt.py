"""What goes into the inbox, what is answered, and what comes out of it."""

from datetime import datetime

import msgspec

from twin_core.events import (
    AnyEvent,
    Envelope,
    Fault,
    KeptField,
    NotedFinding,
    Rejection,
    Translation,
)

ACCEPTED, DUPLICATE, REJECTED = "accepted", "duplicate", "rejected"


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message or resource as it arrived, with what its adapter made of it."""

    format: str
    """`hl7v2`, `fhir` or `census`."""
    feed: str
    raw: bytes
    outcome: Translation | Rejection
    origin: str
    """Connection or file and offset; never a patient's details."""
    document: str = ""
    """Digest of the file it was read from, where there was one."""


class EncodedReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt in the shape the inbox keeps, with what decides on it; see `encoded`.

    Of a document or a resource without versions more decides: those come as `Receipt`.
    """

    format: str
    feed: str
    raw: bytes
    code: str
    """AA of what was understood, AE or AR of a reject."""
    sender: str
    control_id: str
    digest: bytes
    head: bytes


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a receipt, known once it is durable."""

    status: str
    """accepted, duplicate or rejected."""
    code: str
    """AA, AE or AR; a duplicate is answered as the first time."""
    position: int | None = None
    """Its message_id; a duplicate has that of the first."""
    reused_control_id: bool = False
    """The sender used this control id before, for another body."""


_REUSED = NotedFinding(
    kind="reused_control_id", detail="The sender has used this control id for another message."
)


class Head(msgspec.Struct, kw_only=True, omit_defaults=True, array_like=True):
    """A receipt without its raw bytes, in the shape the inbox keeps."""

    format: str
    feed: str
    origin: str
    code: str
    envelope: Envelope | None = None
    events: tuple[AnyEvent, ...] = ()
    findings: tuple[NotedFinding, ...] = ()
    faults: tuple[Fault, ...] = ()
    sender: str = ""
    control_id: str = ""
    trigger_event: str = ""
    kept: tuple[KeptField, ...] = ()


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A durable receipt, as the projector reads it back."""

    position: int
    received_at: datetime
    head: Head
    raw: bytes
    replay_of: int | None


class _Named(msgspec.Struct, array_like=True):
    # As much of a head as says whose it is.
    format: str
    feed: str


_ENCODER = msgspec.msgpack.Encoder()
_NAMED = msgspec.msgpack.Decoder(_Named)
_DECODER = msgspec.msgpack.Decoder(Head)


def head_of(receipt: Receipt, reused_control_id: bool) -> Head:
    """The receipt without its raw bytes."""
    outcome, of = receipt.outcome, (receipt.format, receipt.feed, receipt.origin)
    if isinstance(outcome, Rejection):
        return _rejected(*of, outcome)
    findings = (*outcome.findings, _REUSED) if reused_control_id else outcome.findings
    return _accepted(*of, outcome, findings)


def _rejected(format_: str, feed: str, origin: str, outcome: Rejection) -> Head:
    return Head(
        format=format_,
        feed=feed,
        origin=origin,
        code=outcome.code,
        faults=outcome.faults,
        sender=outcome.sender,
        control_id=outcome.control_id,
        trigger_event=outcome.trigger_event,
    )


def _accepted(
    format_: str,
    feed: str,
    origin: str,
    outcome: Translation,
    findings: tuple[NotedFinding, ...],
) -> Head:
    return Head(
        format=format_,
        feed=feed,
        origin=origin,
        code="AA",
        envelope=outcome.envelope,
        events=outcome.events,  # type: ignore[arg-type]  # every Event subclass is in AnyEvent
        findings=findings,
        kept=outcome.kept,
    )


def encoded_head(receipt: Receipt | EncodedReceipt, reused_control_id: bool) -> bytes:
    """The receipt without its raw bytes as MessagePack, as the inbox keeps it."""
    if isinstance(receipt, EncodedReceipt):
        if not reused_control_id:
            return receipt.head
        receipt = opened(receipt)
    return _ENCODER.encode(head_of(receipt, reused_control_id))


def encoded(
    format_: str, feed: str, origin: str, raw: bytes, outcome: Translation | Rejection
) -> EncodedReceipt:
    """A receipt as it is kept, encoded by who has just made out what it says.

    All of it is at hand for that processor then. The thread that writes would have to fetch it part
    by part, which takes three times as long, and to let go of it part by part.
    """
    if isinstance(outcome, Rejection):
        head = _ENCODER.encode(_rejected(format_, feed, origin, outcome))
        return EncodedReceipt(format_, feed, raw, outcome.code, "", "", b"", head)
    envelope = outcome.envelope
    head = _ENCODER.encode(_accepted(format_, feed, origin, outcome, outcome.findings))
    sender, control_id, digest = envelope.sender, envelope.control_id, envelope.digest
    return EncodedReceipt(format_, feed, raw, "AA", sender, control_id, digest, head)


def faults_of(receipt: Receipt | EncodedReceipt) -> tuple[Fault, ...]:
    """Why a message is rejected; nothing where it is not."""
    if isinstance(receipt, EncodedReceipt):
        return () if receipt.code == "AA" else decode_head(receipt.head).faults
    return receipt.outcome.faults if isinstance(receipt.outcome, Rejection) else ()


def opened(receipt: Receipt | EncodedReceipt) -> Receipt:
    """The inverse of `encoded`."""
    if isinstance(receipt, Receipt):
        return receipt
    head = _DECODER.decode(receipt.head)
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
        outcome = Translation(
            envelope=head.envelope, events=head.events, findings=head.findings, kept=head.kept
        )
    return Receipt(
        format=receipt.format,
        feed=receipt.feed,
        raw=receipt.raw,
        outcome=outcome,
        origin=head.origin,
    )


def feed_of(encoded: bytes) -> str:
    """The feed of an encoded head, without the rest of it."""
    return _NAMED.decode(encoded).feed


def decode_head(encoded: bytes) -> Head:
    """The inverse of `encoded_head`."""
    return _DECODER.decode(encoded)
