"""From raw bytes to receipts: which adapter reads which format, and how receipts cross a pipe."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from adapters.fhir import Release, Scope, take_body
from adapters.fhir import retranslate as retranslate_fhir
from adapters.fhir.client.statements import stated_by
from adapters.files import BATCH, Found
from adapters.hl7v2 import batch_header
from adapters.hl7v2 import translate as translate_hl7
from twin_core.errors import UsageError
from twin_core.events import (
    AnyEvent,
    Envelope,
    Event,
    KeptField,
    NotedFinding,
    Rejection,
    Translation,
)
from twin_core.inbox import Receipt
from twin_core.settings import MAIN_FEED, LimitSettings, Settings

Retranslate = Callable[[str, str, bytes, datetime], tuple[Event, ...] | None]
"""(format, feed, raw bytes, received at) to events, or None to keep the journalled ones."""

DEFAULT_FEED = MAIN_FEED
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
    document: str = ""
    """Digest of the file that is read, where it is one."""
    own: str = ""
    """meta.source of what this twin itself once told: what comes back under it is no news."""

    def receipts(self, found: Found, path: str) -> Iterator[Receipt]:
        """One receipt for a message or a batch envelope at fault; one per resource for a Bundle."""
        origin = f"{path}@{found.offset}"
        if found.format == BATCH:
            if found.faults:
                feed = self.feed or DEFAULT_FEED
                outcome = refused_batch(found, feed)
                yield Receipt(
                    format="hl7v2", feed=feed, raw=found.raw, outcome=outcome, origin=origin
                )
            return
        if found.format == "fhir":
            yield from resources(found.raw, self.scope(), self.settings.limits, origin)
        else:
            feed = self.feed or DEFAULT_FEED
            translated = translated_hl7(
                found.raw, feed=feed, settings=self.settings, received_at=self.received_at
            )
            yield Receipt(
                format="hl7v2", feed=feed, raw=found.raw, outcome=translated, origin=origin
            )

    def scope(self) -> Scope:
        """How a FHIR body from a file is read."""
        fhir = self.settings.fhir
        source = self.settings.sources.get(self.feed or "")
        if source is not None:
            fhir = stated_by(source, fhir)
        return Scope(
            source=self.feed or fhir.source,
            bases=frozenset({source.url} if source is not None else ()),
            release=Release(source.version or "R4") if source is not None else Release.R4,
            told=True,
            settings=fhir,
            received_at=self.received_at,
            document=self.document,
            own=self.own,
        )


def resources(body: bytes, scope: Scope, limits: LimitSettings, origin: str) -> Iterator[Receipt]:
    """A receipt for each resource of a FHIR body."""
    for taken in take_body(body, scope, limits):
        yield Receipt(
            format="fhir",
            feed=scope.source,
            raw=taken.entry.raw,
            outcome=taken.outcome,
            origin=origin,
            document=scope.document,
        )


def refused_batch(found: Found, feed: str) -> Rejection:
    """The reject of a batch envelope that is at fault; its messages are taken all the same."""
    header = batch_header(found.raw)
    return Rejection(
        code="AE",
        faults=found.faults,
        feed=feed,
        sender=f"{header.sending_application}|{header.sending_facility}",
        control_id=header.control_id,
        trigger_event=found.raw[:3].decode("ascii", "replace"),
    )


def retranslated(raw: bytes, format_: str, reader: Reader) -> Translation | Rejection:
    """What a quarantined message, or a quarantined Bundle as a whole, says by the settings of now.

    Raises UsageError for a format that nothing can read again.
    """
    if format_ == "fhir":
        return retranslate_fhir(raw, reader.scope(), reader.settings.limits)
    if format_ == "hl7v2":
        (receipt,) = reader.receipts(Found(raw, 0, format_), "")
        return receipt.outcome
    raise UsageError(f"A message of format {format_} cannot be read again.", do="Send it again.")


def read_anew(settings: Settings) -> Retranslate:
    """How a rebuild reads kept bytes by the settings of now: HL7 v2 only.

    A FHIR resource depends on what came with it (its Bundle, its address), which is not kept, so
    its journalled events stay.
    """

    def events_of(
        format_: str, feed: str, raw: bytes, received_at: datetime
    ) -> tuple[Event, ...] | None:
        if format_ != "hl7v2":
            return None
        outcome = translated_hl7(raw, feed=feed, settings=settings, received_at=received_at)
        return outcome.events if isinstance(outcome, Translation) else None

    return events_of


class _Carried(msgspec.Struct, array_like=True, omit_defaults=True):
    """A receipt on its way through a pipe: what decides its type is spelled out."""

    format: str
    feed: str
    origin: str
    raw: bytes
    envelope: Envelope | None = None
    events: tuple[AnyEvent, ...] = ()
    findings: tuple[NotedFinding, ...] = ()
    rejection: Rejection | None = None
    document: str = ""
    kept: tuple[KeptField, ...] = ()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[_Carried])


def encode_receipts(receipts: list[Receipt]) -> bytes:
    """Receipts as MessagePack, to cross a pipe or the operator's socket."""
    return _ENCODER.encode([_carried(receipt) for receipt in receipts])


def decode_receipts(encoded: bytes) -> list[Receipt]:
    """The inverse of `encode_receipts`."""
    return [_receipt(carried) for carried in _DECODER.decode(encoded)]


def _carried(receipt: Receipt) -> _Carried:
    outcome = receipt.outcome
    named = (receipt.format, receipt.feed, receipt.origin, receipt.raw)
    if isinstance(outcome, Rejection):
        return _Carried(*named, rejection=outcome, document=receipt.document)
    events: tuple[AnyEvent, ...] = outcome.events  # type: ignore[assignment]  # all are AnyEvent
    return _Carried(
        *named,
        outcome.envelope,
        events,
        outcome.findings,
        document=receipt.document,
        kept=outcome.kept,
    )


def _receipt(carried: _Carried) -> Receipt:
    outcome: Translation | Rejection
    if carried.envelope is not None:
        outcome = Translation(
            envelope=carried.envelope,
            events=carried.events,
            findings=carried.findings,
            kept=carried.kept,
        )
    elif carried.rejection is not None:
        outcome = carried.rejection
    else:
        raise UsageError("A receipt holds neither events nor a reject.", do="Send it again.")
    return Receipt(
        format=carried.format,
        feed=carried.feed,
        raw=carried.raw,
        outcome=outcome,
        origin=carried.origin,
        document=carried.document,
    )
