"""What is particular about one HL7 v2 feed, and the folder it may watch."""

from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from twin_core import charsets
from twin_core.settings.listeners import TlsSettings
from twin_core.settings.section import Section, Strictness, checked_charset, checked_zone
from twin_core.settings.triggers import FieldPath, TriggerRule

AppointmentStatus = Literal[
    "proposed",
    "pending",
    "booked",
    "arrived",
    "fulfilled",
    "cancelled",
    "noshow",
    "entered-in-error",
    "checked-in",
    "waitlist",
]


MAIN_FEED = "adt"
"""The feed of the main listener, and of messages that arrive without a feed's name."""


class FolderSettings(Section):
    """A folder whose files become messages of the feed while `wardtwin serve` runs."""

    path: Path
    """The folder. Its sub-folders, links and names that begin with a dot are left alone."""
    pattern: str = "*"
    """Names of files to take, with `*`, `?` and `[...]`."""
    done: Path = Path("done")
    """Where files go whose every message was taken; below `path` unless absolute."""
    error: Path = Path("error")
    """Where files go of which something was refused, each with a `.reason.json` beside it."""
    settle_s: float = Field(default=2.0, ge=0)
    """How long a file must not have changed; one that was renamed into place is taken at once."""
    poll_s: float = Field(default=1.0, gt=0)
    """How often to look."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.path in (self.path / self.done, self.path / self.error):
            raise ValueError("done and error must be other folders than path")
        return self


class FeedSettings(Section):
    """What is particular about one HL7 v2 feed."""

    port: int | None = Field(default=None, ge=0, le=65535)
    """Port of a listener of its own, 0 for a free one; without it only `adt` listens."""
    host: str | None = None
    """The address to listen on, where it is not that of [mllp]."""
    connections: int | None = Field(default=None, ge=1)
    """How many may be open at once, where it is not as in [mllp]."""
    frame_timeout_s: float | None = Field(default=None, gt=0)
    """As in [mllp], for this feed."""
    idle_timeout_s: float | None = Field(default=None, gt=0)
    """As in [mllp], for this feed."""
    tls: TlsSettings | None = None
    acknowledgement: Literal["standard", "immediate"] = "standard"
    """standard: answers that follow a CA wait until the message is applied; immediate: none do."""
    silent_after_minutes: float | None = Field(default=None, gt=0)
    """A longer silence is a warning; learned from the feed's own weeks where unset."""
    time_zone: str | None = None
    """IANA zone of timestamps without an offset; UTC with a finding where unset."""
    charset: str = "utf-8"
    """For messages whose MSH-18 is empty."""
    peers: tuple[str, ...] = ()
    """Addresses or CIDR networks that may connect; loopback only where empty."""
    processing_ids: tuple[str, ...] = ("P",)
    """MSH-11 values accepted; others (T training, D debugging) are answered AR."""
    facility: str = ""
    """Facility for locations without one; MSH-4 where empty."""
    facilities: dict[str, str] = {}
    """Facility codes as sent -> codes of this store."""
    units: dict[str, str] = {}
    """Unit codes as sent -> codes of this store."""
    classes: dict[str, str] = {}
    """PV1-2 as sent -> v3 ActCode, before the standard's own table."""
    services: dict[str, str] = {}
    """PV1-10 as sent -> service codes of this store."""
    appointment_statuses: dict[str, AppointmentStatus] = {}
    """SCH-25 as sent -> FHIR Appointment.status, before the standard's own table."""
    authorities: dict[str, str] = {}
    """Assigning authority (namespace or OID) -> identifier system URI."""
    systems: dict[str, str] = {}
    """Identifier type (CX.5, such as MR or VN) -> identifier system URI, without an authority."""
    beds: dict[str, str] = {}
    """PL as sent (`UNIT^ROOM^BED`) -> `facility/unit/room/bed` or `unit/room/bed`, before units."""
    triggers: dict[str, str] = {}
    """Event as sent, perhaps with a condition (`A08 PV1-6!=PV1-3`) -> event meant, or `ignore`."""
    keep: tuple[str, ...] = ()
    """Fields to keep in `twin.message_field`: `ZPV`, `ZPV-3`, `ZBE-7.10`."""
    folder: FolderSettings | None = None
    """A watched folder; see [feeds.NAME.folder]."""
    strictness: Strictness = "standard"
    """lenient: all that can be understood; standard: as it is meant; strict: as HL7 writes it."""
    profile: Path | None = None
    """For strict: a message profile, as `hl7apy_profile_parser` makes it, in place of HL7's own."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        return checked_zone(zone)

    @field_validator("charset")
    @classmethod
    def _known_charset(cls, charset: str) -> str:
        return checked_charset(charset, charsets.is_known(charset))

    @field_validator("peers")
    @classmethod
    def _networks(cls, peers: tuple[str, ...]) -> tuple[str, ...]:
        for peer in peers:
            try:
                ip_network(peer, strict=False)
            except ValueError:
                raise ValueError(
                    f"{peer!r} is no address or network, such as 10.1.2.3 or 10.1.0.0/16"
                ) from None
        return peers

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for sent, place in self.beds.items():
            if not 1 <= len(sent.split("^")) <= 4 or len(place.split("/")) not in (3, 4):
                raise ValueError(f"beds: {sent!r} -> {place!r} is not 'U^R^B' -> 'unit/room/bed'")
        if self.profile is not None and self.strictness != "strict":
            raise ValueError("profile: only a strict feed is judged by a profile")
        # Parsed here too, so that what is unusable is told before the first message.
        _ = self.trigger_rules, self.kept_paths
        return self

    @cached_property
    def trigger_rules(self) -> tuple[TriggerRule, ...]:
        """The rows of `triggers`, in the order in which they are tried."""
        return tuple(TriggerRule.parse(sent, meant) for sent, meant in self.triggers.items())

    @cached_property
    def kept_paths(self) -> tuple[FieldPath, ...]:
        """The fields of `keep`."""
        return tuple(FieldPath.parse(text) for text in self.keep)
