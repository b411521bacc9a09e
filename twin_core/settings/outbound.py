"""Where the twin sends HL7 v2 messages of its own."""

import re
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from twin_core import charsets
from twin_core.settings.section import Section, checked_charset, checked_zone


class ClientTlsSettings(Section):
    """How a connection to a destination is secured: TLS 1.2 or newer, the receiver verified."""

    authority: Path | None = None
    """Who vouches for the receiver, as PEM; the machine's own authorities where unset."""
    certificate: Path | None = None
    """This side's certificate as PEM, for receivers that ask for one."""
    key: Path | None = None
    """The certificate's key as PEM; where unset, it is in the certificate's file."""
    name: str = ""
    """The name in the receiver's certificate, where it is not the host."""


class OutboundSettings(Section):
    """A system that this twin feeds over MLLP, in order, each message until it is acknowledged."""

    host: str
    """Where the receiver listens."""
    port: int = Field(ge=1, le=65535)
    """Its port."""
    form: Literal["normalized", "raw"] = "normalized"
    """normalized: what the twin understood, encoded anew; raw: the bytes as they were received."""
    feeds: tuple[str, ...] = ()
    """Which feeds' messages are sent; all where empty."""
    excluded_feeds: tuple[str, ...] = ()
    """Feeds whose messages are never sent, such as the receiver's own."""
    kinds: tuple[Literal["ADT", "SIU", "ORU"], ...] = ()
    """Message types that are sent: ADT, SIU (appointments), ORU (results). Where empty, ADT, and
    every type of those that are relayed as received."""
    triggers: tuple[str, ...] = ()
    """Trigger events that are sent, as received (A01); all where empty."""
    start: Literal["now", "start"] = Field(default="now", alias="from")
    """Where a new destination begins: with what comes from now on, or with the first message."""
    sending_application: str = "WARDTWIN"
    """MSH-3. Messages that come in under this name are not sent back out (loop guard)."""
    sending_facility: str = ""
    """MSH-4; the facility that the message is about where empty."""
    receiving_application: str = ""
    """MSH-5. What comes in from this application and facility is not sent back to it."""
    receiving_facility: str = ""
    """MSH-6."""
    control_ids: Literal["own", "kept"] = "own"
    """MSH-10: own numbers, unique over all feeds, or those received."""
    version: Literal["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"] = "2.5.1"
    """MSH-12."""
    processing_id: str = "P"
    """MSH-11."""
    mode: Literal["original", "enhanced"] = "original"
    """enhanced: MSH-15 and MSH-16 are AL; a message is delivered when it is committed (CA)."""
    time_zone: str = "UTC"
    """IANA zone of the timestamps, which always carry their offset."""
    charset: str = "UNICODE UTF-8"
    """MSH-18, table 0211. A message with characters it lacks is parked."""
    authorities: dict[str, str] = {}
    """Identifier system URI -> assigning authority, as NAME or NAME&OID&ISO."""
    facilities: dict[str, str] = {}
    """Facility codes of this store -> codes of the receiver."""
    units: dict[str, str] = {}
    """Unit codes of this store -> codes of the receiver."""
    classes: dict[str, str] = {}
    """v3 ActCode -> PV1-2, before the standard's own table."""
    services: dict[str, str] = {}
    """Service codes of this store -> PV1-10."""
    untold: Literal["park", "raw"] = "park"
    """What becomes of a message that cannot be encoded anew: parked, or relayed as received."""
    on_reject: Literal["park", "stop"] = "park"
    """A message that is refused for good: parked and passed, or the destination stops at it."""
    reject_attempts: int = Field(default=5, ge=1)
    """How often a message is sent that is answered AE or CE; AR and CR are final at once."""
    unanswered_attempts: int = Field(default=0, ge=0)
    """How often a message is sent that is never acknowledged; 0 for as long as it takes."""
    ack_timeout_s: float = Field(default=30.0, gt=0)
    """How long an acknowledgement may take before the message is sent again."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    """How long a connection may take to open."""
    retry_first_s: float = Field(default=0.5, gt=0)
    """The first pause before another attempt; each further one is twice as long, with jitter."""
    retry_longest_s: float = Field(default=60.0, gt=0)
    """The longest pause between attempts."""
    tls: ClientTlsSettings | None = None
    """TLS of the connection; plain where unset."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        return checked_zone(zone) or "UTC"

    @field_validator("charset")
    @classmethod
    def _known_charset(cls, charset: str) -> str:
        # Sent as it is written here, so that only the table's own way to write it will do.
        return checked_charset(charset, charset in charsets.BY_NAME)

    @field_validator("triggers")
    @classmethod
    def _trigger_events(cls, triggers: tuple[str, ...]) -> tuple[str, ...]:
        for trigger in triggers:
            if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", trigger, re.ASCII):
                raise ValueError(f"{trigger!r} is no trigger event, such as A01")
        return triggers
