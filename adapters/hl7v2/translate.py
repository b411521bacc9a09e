"""One HL7 v2 message in, its events or the reason for refusing it out."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from adapters.hl7v2.codes import ACKNOWLEDGEMENTS, TRIGGER_EVENTS, VERSIONS
from adapters.hl7v2.conventions import Conventions, NamedEvent
from adapters.hl7v2.er7 import SPARE_FIELDS, Message, read
from adapters.hl7v2.fields import CLEARED, Reading, person
from adapters.hl7v2.header import Header, peek
from adapters.hl7v2.quirks import IGNORE, Sent, kept_fields, meant
from adapters.hl7v2.refusal import (
    REQUIRED_FIELD,
    TOO_LONG,
    UNSUPPORTED_EVENT,
    UNSUPPORTED_MESSAGE,
    UNSUPPORTED_PROCESSING_ID,
    UNSUPPORTED_VERSION,
    Refused,
    envelope_fault,
)
from adapters.hl7v2.triggers import translator_of
from adapters.hl7v2.triggers.reading import described
from adapters.hl7v2.validate import message_profile, validate
from twin_core.events import Envelope, Event, Fault, Rejection, Translation
from twin_core.settings import FeedSettings, LimitSettings

_LONGEST_CONTROL_ID = 255
_LONGEST_EVENT = 20
_KNOWN_EVENTS = 200
_KNOWN_FEEDS = 64


class FeedTranslator:
    """Translates the messages of one feed; it remembers the feed's places and authorities."""

    def __init__(self, feed: str, settings: FeedSettings, limits: LimitSettings) -> None:
        self.conventions = Conventions(feed, settings, limits)
        if settings.profile is not None:
            message_profile(settings.profile)  # told now, and not with the first message

    def translate(self, raw: bytes, received_at: datetime) -> Translation | Rejection:
        """The events of one message, or why it cannot be applied."""
        conventions = self.conventions
        try:
            message = read(
                raw,
                charset=conventions.settings.charset,
                limits=conventions.limits,
                lenient=conventions.lenient,
            )
            translation = _translation(message, conventions, received_at)
        except Refused as refusal:
            return rejection(raw, conventions.feed, refusal.answer, refusal.faults)
        if conventions.settings.strictness == "strict":
            return _judged(raw, translation, conventions.settings.profile)
        return translation

    def is_for(self, settings: FeedSettings, limits: LimitSettings) -> bool:
        """Whether it was made for these settings."""
        known = self.conventions
        same = known.settings is settings or known.settings == settings
        return same and (known.limits is limits or known.limits == limits)


_translators: dict[str, FeedTranslator] = {}


def translate(
    raw: bytes,
    *,
    feed: str,
    settings: FeedSettings,
    limits: LimitSettings,
    received_at: datetime,
) -> Translation | Rejection:
    """The events of one HL7 v2 message, or why it cannot be applied; it never raises.

    `received_at` stands in for a missing MSH-7 and is what clock skew is measured against.
    """
    translator = _translators.get(feed)
    if translator is None or not translator.is_for(settings, limits):
        if len(_translators) >= _KNOWN_FEEDS:
            _translators.clear()
        translator = _translators[feed] = FeedTranslator(feed, settings, limits)
    return translator.translate(raw, received_at)


def rejection(raw: bytes, feed: str, answer: str, faults: Sequence[Fault]) -> Rejection:
    """A reject of these bytes, with as much of their envelope as can be read."""
    header = peek(raw) or Header()
    return Rejection(
        code=answer,
        faults=tuple(faults),
        feed=feed,
        sender=f"{header.sending_application}|{header.sending_facility}",
        control_id=header.control_id,
        trigger_event=header.trigger_event,
    )


def _translation(message: Message, conventions: Conventions, received_at: datetime) -> Translation:
    header = message.header
    control_id = _control_id(message, conventions)
    named = conventions.events.get(header[8]) if message.is_standard else None
    sent, event, name, quirk = named or _event(message, conventions)
    processing_id = header[10] if header[10] == "P" else message.code(header[10]) or "P"
    if processing_id not in conventions.processing_ids:
        raise envelope_fault(
            "MSH^1^11",
            UNSUPPORTED_PROCESSING_ID,
            "Messages with this processing id are not taken here; send P for production, "
            "or allow the id in the feed's processing_ids.",
        )
    unknown_version = header[11] not in VERSIONS and _unknown_version(message, conventions)
    reading = Reading(message, conventions, received_at)
    events = _events(reading, event)
    _note_future(reading, events)
    if unknown_version:
        reading.note("unsupported_version", "MSH-12 names no version of HL7 v2.")
    if quirk is not None or (event is None and sent.kind not in ACKNOWLEDGEMENTS):
        _note_event(reading, sent, event)
    if processing_id != "P":
        reading.note("test_message", "The message is not marked as production (MSH-11).")
    sequence = header[12]
    has_movement = "ZBE" in message.shape.first
    paths = conventions.kept_of_movements if has_movement else conventions.kept_paths
    return Translation(
        envelope=Envelope(
            feed=conventions.feed,
            sender=reading.sender.name,
            control_id=control_id,
            trigger_event=name,
            sent_at=reading.sent_at,
            sequence=_sequence(sequence) if sequence else 0,
            digest=_digest(message),
        ),
        events=events,
        findings=tuple(reading.notes.values()) if reading.notes else (),
        kept=kept_fields(message, paths) if paths else (),
    )


def _unknown_version(message: Message, conventions: Conventions) -> bool:
    """Whether MSH-12 names a version that HL7 v2 never had; only a lenient feed goes on then."""
    version = message.code(message.header[11])
    if not version or version == CLEARED or version in VERSIONS:
        return False
    if not conventions.lenient:
        raise envelope_fault(
            "MSH^1^12",
            UNSUPPORTED_VERSION,
            "MSH-12 names no version of HL7 v2; send one of table 0104, such as 2.5.1.",
        )
    return True


def _note_future(reading: Reading, events: Sequence[Event]) -> None:
    """Note an event that is dated ahead of both its message and the receipt of it."""
    for event in events:
        if event.occurred_at > reading.latest:
            reading.note_future("What happened")
            return


def _control_id(message: Message, conventions: Conventions) -> str:
    """MSH-10. A lenient feed's message without one is named by its content."""
    control_id = message.header[9]
    if control_id.isalnum() and len(control_id) <= _LONGEST_CONTROL_ID:
        return control_id
    control_id = message.text(control_id).strip()
    if not control_id or control_id == CLEARED:
        if conventions.lenient:
            return f"unnamed-{_digest(message).hex()}"
        raise envelope_fault(
            "MSH^1^10", REQUIRED_FIELD, "The message has no control id; send one in MSH-10."
        )
    if len(control_id) > _LONGEST_CONTROL_ID:
        reason = f"The control id is longer than {_LONGEST_CONTROL_ID} characters."
        raise envelope_fault("MSH^1^10", TOO_LONG, reason)
    return control_id


def _event(message: Message, conventions: Conventions) -> NamedEvent:
    """What MSH-9 names, and what it is read as; remembered where nothing else of a message says."""
    sent = _event_sent(message, conventions)
    rules = conventions.trigger_rules
    quirk = meant(message, sent, rules) if rules else None
    event = _event_taken(quirk or sent, conventions)
    found = (sent, event, f"{sent.kind}^{sent.trigger}"[:_LONGEST_EVENT], quirk)
    named = message.header[8]
    is_whole = all(message.components(message.first_repetition(named))[:2])
    if is_whole and message.is_standard and not rules and len(conventions.events) < _KNOWN_EVENTS:
        conventions.events[named] = found
    return found


def _event_sent(message: Message, conventions: Conventions) -> Sent:
    """MSH-9 as (`ADT`, `A01`); the event from EVN-1 where version 2.2 left it out."""
    named = message.header[8]
    kind, trigger = message.components(message.first_repetition(named))[:2]
    if not trigger:
        evn = message.segment("EVN")
        trigger = message.code(evn[1]) if evn is not None else ""
        if not kind and trigger and conventions.lenient:
            kind = "ADT"
    if not kind:
        raise envelope_fault("MSH^1^9", REQUIRED_FIELD, "The message has no type in MSH-9.")
    return Sent(kind, trigger.upper())


def _event_taken(event: Sent, conventions: Conventions) -> str | None:
    """The event as `ADT^A01`; None for one that is kept and not applied."""
    kind, trigger = event
    if trigger == IGNORE:
        return None
    if kind in ACKNOWLEDGEMENTS:
        return None
    known = TRIGGER_EVENTS.get(kind)
    if known is not None and trigger in known:
        return f"{kind}^{trigger}"
    if conventions.lenient:
        return None
    if known is None:
        taken = ", ".join(TRIGGER_EVENTS)
        reason = f"Of message types only {taken} are taken; route others elsewhere."
        raise envelope_fault("MSH^1^9", UNSUPPORTED_MESSAGE, reason)
    reason = f"The trigger event in MSH-9 is none that {kind} messages have here."
    raise envelope_fault("MSH^1^9", UNSUPPORTED_EVENT, reason)


def _events(reading: Reading, event: str | None) -> tuple[Event, ...]:
    if event is None:
        return ()
    try:
        translator = translator_of(event, reading)
        return () if translator is None else translator(reading)
    except Refused as refusal:
        if not reading.conventions.lenient:
            raise
        return _understood(reading, refusal)


def _understood(reading: Reading, refusal: Refused) -> tuple[Event, ...]:
    """What a lenient feed takes of a message that is at fault: who it is about, if it says so."""
    for fault in refusal.faults:
        reading.note("not_understood", f"{fault.where}: {fault.reason}")
    try:
        return (described(reading, person(reading, reading.pid())),)
    except Refused:
        return ()


def _note_event(reading: Reading, sent: Sent, event: str | None) -> None:
    name = f"{sent.kind}^{sent.trigger}"
    if event is not None:
        reading.note("site_trigger", f"{name} is read as {event}, as this feed is set (triggers).")
    elif sent.trigger in TRIGGER_EVENTS.get(sent.kind, ()):
        reading.note("ignored_trigger", f"{name} is ignored, as this feed is set (triggers).")
    else:
        reading.note("unsupported_event", f"{name[:20]} is kept; nothing here applies it.")


def _sequence(field: str) -> int:
    """MSH-13 as a number that a database can hold; 0 where it is none."""
    digits = field.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else 0


def _digest(message: Message) -> bytes:
    """What the message says, whenever and in whatever line ends it was sent.

    Of results without a time MSH-7 is the time: the same value at another one is another result.
    """
    separator = message.delimiters.field
    header = message.lines[0].split(separator, 13)
    if len(header) > 12:
        header[12] = ""  # MSH-13 and MSH-7 differ when a message is sent again
    if len(header) > 6 and not (message.header[8].startswith("ORU") and not _says_when(message)):
        header[6] = ""
    # As many empty fields follow as `Message.fields` adds: digests of long ago must hold.
    text = separator.join(header) + separator * SPARE_FIELDS + message.after_header()
    return hashlib.sha256(text.encode()).digest()[:16]


def _says_when(message: Message) -> bool:
    """Whether results have a time of their own (OBR-7, OBR-22 or OBX-14)."""
    separator = message.delimiters.field
    for name, last, fields in (("OBR", 22, (7, 22)), ("OBX", 14, (14,))):
        for of, line in zip(message.shape.names, message.lines, strict=True):
            if of == name:
                sent = line.split(separator, last + 1)
                for at in fields:
                    if at < len(sent) and sent[at].strip(' "'):
                        return True
    return False


def _judged(raw: bytes, translation: Translation, profile: Path | None) -> Translation | Rejection:
    """A strict feed's translation, unless the standard (or its profile) objects to the message."""
    faults = validate(raw, "strict", profile)
    if not faults:
        return translation
    return rejection(raw, translation.envelope.feed, "AE", faults)
