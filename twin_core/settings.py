"""What a site may set, with defaults that are safe on a laptop and strict in a hospital.

Settings are layered: built-in default < TOML file < environment < command-line flags. The
environment variable for `[http] port` is `WARDTWIN_HTTP__PORT`: section and key are joined by two
underscores. `load` returns the settings and, for every value that is not a default, where it
came from.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from ipaddress import IPv6Address, ip_address, ip_network
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from twin_core import charsets
from twin_core.errors import ConfigurationError

PREFIX = "WARDTWIN_"
Strictness = Literal["lenient", "standard", "strict"]
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


class Section(BaseModel):
    """A table of settings: frozen, and refusing keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(Section):
    """Where the store is and how it is written."""

    path: Path = Path("wardtwin.duckdb")
    """The DuckDB file; its inbox is beside it, with `.inbox` behind the name."""
    memory_limit: str = "256MB"
    """What DuckDB may use in the writing process."""
    commit_window_ms: float = 2.0
    """How long the inbox gathers messages for one durable commit."""
    query_timeout_s: float = 30.0
    """How long an analyst's query may run before it is stopped."""
    query_rows: int = 100_000
    """How many rows an analyst's query may answer with; the rest is cut off."""


class TlsSettings(Section):
    """TLS on an MLLP listener: PEM files, which are read again when they change."""

    certificate: Path
    """The listener's certificate, and the chain that leads to its authority."""
    key: Path | None = None
    """Its private key, without a password; in the certificate's file where unset."""
    client_authority: Path | None = None
    """Authorities of client certificates; where set, a sender must show one of theirs."""
    clients: tuple[str, ...] = ()
    """Common names of the client certificates that may connect; any where empty."""
    minimum: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    """The oldest version of TLS that is spoken."""

    @model_validator(mode="after")
    def _names_need_an_authority(self) -> "TlsSettings":
        if self.clients and self.client_authority is None:
            raise ValueError("clients needs client_authority, which vouches for their names")
        return self

    def named_files(self) -> list[tuple[str, Path]]:
        """The files by the name of their setting."""
        named = {
            "certificate": self.certificate,
            "key": self.key,
            "client_authority": self.client_authority,
        }
        return [(name, path) for name, path in named.items() if path is not None]

    def files(self) -> list[Path]:
        """Every file that is named."""
        return [path for _, path in self.named_files()]


class MllpSettings(Section):
    """The main MLLP listener, of feed `adt`. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    """The address to listen on; any but this machine's own needs the feed's `peers`."""
    port: int = Field(default=2575, ge=0, le=65535)
    """0 takes a free one."""
    frame_timeout_s: float = 30.0
    """From the first byte of a frame to its last; a slower sender is disconnected."""
    idle_timeout_s: float = 3600.0
    """A connection that is silent for longer is closed."""
    connections: int = 256
    """How many may be open at once."""
    tls: TlsSettings | None = None


class HttpSettings(Section):
    """The API and the board. Only loopback is served until access control exists."""

    host: str = "127.0.0.1"
    """The address to listen on; one of this machine's own."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes a free one."""

    @field_validator("host")
    @classmethod
    def _this_machine(cls, host: str) -> str:
        if not is_loopback(host):
            raise ValueError(
                f"http.host is {host}, which other machines can reach; set it to 127.0.0.1 and "
                "reach it through a tunnel, until access control exists"
            )
        return host


class LimitSettings(Section):
    """What a message may weigh; checked before anything is split or parsed."""

    frame_bytes: int = 4 * 1024 * 1024
    """One HL7 v2 message, or one FHIR resource."""
    segments: int = 5_000
    """Per message."""
    fields: int = 1_000
    """Per segment."""
    repetitions: int = 1_000
    """Per field."""
    field_bytes: int = 512 * 1024
    """One field with all its repetitions."""
    body_bytes: int = 32 * 1024 * 1024
    """One HTTP body, or one JSON document in a file."""
    bundle_entries: int = 20_000
    """Per Bundle."""
    json_depth: int = 64
    """How deep objects and arrays may be nested."""


class FieldPath(NamedTuple):
    """A place in a message as the standard writes it: `ZPV`, `ZPV-3`, `PV1-3.1`."""

    segment: str
    field: int = 0
    """0 stands for every field."""
    component: int = 0
    """0 stands for every component."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The path that a text names. Raises ValueError for any other text."""
        found = _FIELD_PATH.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no field, such as ZPV, ZPV-3 or PV1-3.1")
        return cls(found[1], int(found[2] or 0), int(found[3] or 0))


_FIELD_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:-([1-9]\d{0,2})(?:\.([1-9]\d{0,2}))?)?", re.ASCII)
_CONDITION = re.compile(r"([A-Z0-9^]+)(?:\s+([A-Z0-9.-]+)\s*(?:(!?=)\s*(.*))?)?", re.ASCII)
_TRIGGER = re.compile(r"(?:[A-Z]{3}\^)?[A-Z][A-Z0-9]{2}", re.ASCII)


class TriggerRule(NamedTuple):
    """One row of a feed's `triggers`: an event as sent, where it applies, and what is meant."""

    sent: str
    meant: str
    """`A02`, `ADT^A02`, or `ignore`."""
    field: FieldPath | None = None
    against: FieldPath | str = ""
    """What the field is compared with: another field, or a text."""
    differs: bool = True
    """Whether the rule applies where they differ, rather than where they are equal."""

    @classmethod
    def parse(cls, key: str, meant: str) -> Self:
        """A row of the table. Raises ValueError for one that says nothing usable."""
        found = _CONDITION.fullmatch(key.strip())
        if found is None or not _TRIGGER.fullmatch(found[1]):
            raise ValueError(
                f"{key!r} is no trigger event, such as 'A08', 'ADT^A08', 'A08 PV1-2=N' or "
                "'A08 PV1-6!=PV1-3'"
            )
        if meant != "ignore" and not _TRIGGER.fullmatch(meant):
            raise ValueError(f"{meant!r} is no trigger event, such as 'A02', and not 'ignore'")
        if found[2] is None:
            return cls(found[1], meant)
        field, other = FieldPath.parse(found[2]), (found[4] or "").strip()
        if not field.field:
            raise ValueError(f"{key!r} names a segment; name a field of it")
        against: FieldPath | str = other
        if re.fullmatch(r"[A-Z][A-Z0-9]{2}-\d[\d.]*", other):
            against = FieldPath.parse(other)
        return cls(found[1], meant, field, against, found[3] != "=")


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
        return _checked_zone(zone)

    @field_validator("charset")
    @classmethod
    def _known_charset(cls, charset: str) -> str:
        return _checked_charset(charset, charsets.is_known(charset))

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


_UNCONFIGURED = FeedSettings()
MAIN_FEED = "adt"
"""The feed of the main listener, and of messages that arrive without a feed's name."""


class FacilitySettings(Section):
    """What the KPIs must know of a facility."""

    time_zone: str = "UTC"
    """IANA zone in which its days begin and end."""
    name: str = ""
    """Shown on the board."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        return _checked_zone(zone) or "UTC"


class FhirSettings(Section):
    """How posted FHIR resources are judged and read."""

    strictness: Strictness = "standard"
    """lenient: fast path only; standard: also judged when the fast path objects; strict: all."""
    source: str = "fhir"
    """Name of the source for resources posted without one (`?source=` or meta.source)."""
    facility: str = ""
    """Facility of locations and encounters that do not name an organization."""
    bed_system: str = ""
    """Identifier system whose values are `facility/unit/room/bed`, where the site has one."""


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
        return _checked_zone(zone) or "UTC"

    @field_validator("charset")
    @classmethod
    def _known_charset(cls, charset: str) -> str:
        # Sent as it is written here, so that only the table's own way to write it will do.
        return _checked_charset(charset, charset in charsets.BY_NAME)

    @field_validator("triggers")
    @classmethod
    def _trigger_events(cls, triggers: tuple[str, ...]) -> tuple[str, ...]:
        for trigger in triggers:
            if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", trigger, re.ASCII):
                raise ValueError(f"{trigger!r} is no trigger event, such as A01")
        return triggers


class PrecedenceSettings(Section):
    """Which kind of source wins per field group where two describe one encounter or person."""

    movement: tuple[str, ...] = ("hl7v2", "fhir")
    """Where a patient is, and from when to when."""
    status: tuple[str, ...] = ("hl7v2", "fhir")
    """Planned, arrived, in progress, finished."""
    class_: tuple[str, ...] = Field(default=("hl7v2", "fhir"), alias="class")
    """Inpatient, emergency, outpatient."""
    demographics: tuple[str, ...] = ("latest",)
    """`latest`: whoever spoke last, per field; else kinds of source in order."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class KpiSettings(Section):
    """What the KPIs must know of a site that no message says."""

    folder: Path | None = None
    """Where the site keeps KPIs of its own, one SQL file each; none where not given."""
    died: tuple[str, ...] = ("20", "40", "41", "42", "exp")
    """Discharge dispositions (PV1-36, dischargeDisposition) of patients who died."""
    transferred_out: tuple[str, ...] = ("02", "05", "other-hcf")
    """Dispositions of patients who went on to another hospital."""
    left_unseen: tuple[str, ...] = ("LWBS", "LWOBS", "LWOT")
    """Dispositions of patients who left an ED before a provider had seen them."""
    left_against_advice: tuple[str, ...] = ("07", "AMA", "aadvice")
    """Dispositions of patients who left against advice."""
    psychiatric_services: tuple[str, ...] = ("PSY", "PSYCH")
    """Hospital services (PV1-10) whose patients are shown apart in ED times."""
    specialties: dict[str, tuple[str, ...]] = {}
    """Unit -> the hospital services it treats; a unit that is not listed treats all."""
    theatres: tuple[str, ...] = ()
    """Units that are operating theatres; their rooms are the theatres' rooms."""
    theatre_hours: tuple[str, str] = ("08:00", "17:00")
    """When theatres open and close, in local time, from Monday to Friday."""
    first_case_grace_minutes: float = 0.0
    """A first case that starts no later than this is on time."""
    turnover_cap_minutes: float = 90.0
    """A longer gap between two operations was not turnover."""
    bed_request_target_minutes: float = 240.0
    """How long a patient may wait from the bed request to the bed."""
    shifts: tuple[str, ...] = ("07:00", "15:00", "23:00")
    """When shifts begin, in local time; each lasts until the next."""
    reside_code: str = ""
    """Code of the observation (OBX-3) that says whether a patient meets the criteria to reside."""
    not_residing_values: tuple[str, ...] = ("N", "no", "false", "NCTR")
    """Its values that mean the patient no longer does."""

    @field_validator("shifts")
    @classmethod
    def _times_of_a_day(cls, shifts: tuple[str, ...]) -> tuple[str, ...]:
        well_formed = all(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", shift) for shift in shifts)
        if not shifts or not well_formed or list(shifts) != sorted(set(shifts)):
            raise ValueError("shifts are times of a day like 07:00, from early to late")
        return shifts

    def rows(self) -> list[tuple[str, str, str]]:
        """The settings as (name, key, value); a list has one row per item, its key is empty."""
        rows = []
        for name, setting in self.model_dump(exclude={"folder"}).items():
            if isinstance(setting, dict):
                rows += [(name, key, item) for key, items in setting.items() for item in items]
            else:
                items = setting if isinstance(setting, tuple) else (str(setting),)
                rows += [(name, "", item) for item in items]
        return sorted(rows)


class SecretSettings(Section):
    """Secrets; shown as stars wherever settings are shown."""

    api_token: SecretStr | None = None
    """Reserved for access control."""


_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104  (compared with, never bound)
_LOCAL = "127.0.0.1"


class Settings(Section):
    """Everything a site may set."""

    store: StoreSettings = StoreSettings()
    mllp: MllpSettings = MllpSettings()
    http: HttpSettings = HttpSettings()
    limits: LimitSettings = LimitSettings()
    fhir: FhirSettings = FhirSettings()
    precedence: PrecedenceSettings = PrecedenceSettings()
    kpi: KpiSettings = KpiSettings()
    secrets: SecretSettings = SecretSettings()
    feeds: dict[str, FeedSettings] = {}
    facilities: dict[str, FacilitySettings] = {}
    outbound: dict[str, OutboundSettings] = {}

    def feed(self, name: str) -> FeedSettings:
        """The settings of a feed; one that is not configured has the defaults."""
        return self.feeds.get(name, _UNCONFIGURED)

    def listeners(self) -> dict[str, MllpSettings]:
        """How each feed that has a listener listens, by its name; the main feed first."""
        names = [MAIN_FEED, *sorted(self.feeds.keys() - {MAIN_FEED})]
        return {
            name: self._listener(self.feed(name))
            for name in names
            if name == MAIN_FEED or self.feed(name).port is not None
        }

    def _listener(self, feed: FeedSettings) -> MllpSettings:
        own = {name: getattr(feed, name) for name in MllpSettings.model_fields}
        return self.mllp.model_copy(update={k: v for k, v in own.items() if v is not None})

    @model_validator(mode="after")
    def _one_listener_per_port(self) -> "Settings":
        bound = [
            (f"{'mllp' if name == MAIN_FEED else f'feeds.{name}'}.port", f"feed {name}", mllp)
            for name, mllp in self.listeners().items()
        ]
        for (_, one, at), (key, other, there) in combinations(bound, 2):
            if _collide(at, there):
                raise ValueError(f"{key}: {one} and {other} both listen on port {at.port}")
        for key, feed, at in bound:
            if _collide(self.http, at):
                raise ValueError(f"http.port, {key}: the board and {feed} share port {at.port}")
        return self

    @model_validator(mode="after")
    def _peers_where_others_reach(self) -> "Settings":
        for name, mllp in self.listeners().items():
            if not self.feed(name).peers and not is_loopback(mllp.host):
                raise ValueError(
                    f"feeds.{name}.peers: feed {name} listens on {mllp.host}, and without a list "
                    "of peers only this machine may connect; set it, or listen on 127.0.0.1"
                )
        return self

    @model_validator(mode="after")
    def _one_feed_per_folder(self) -> "Settings":
        owners: dict[str, str] = {}
        for name, feed in self.feeds.items():
            if feed.folder is None:
                continue
            owner = owners.setdefault(os.path.normpath(feed.folder.path), name)
            if owner != name:
                raise ValueError(
                    f"feeds.{name}.folder.path: the feeds {owner} and {name} watch the same folder"
                )
        return self

    @model_validator(mode="after")
    def _feeds_that_exist(self) -> "Settings":
        known = {MAIN_FEED, *self.feeds}
        for name, outbound in self.outbound.items():
            for key in ("feeds", "excluded_feeds"):
                for feed in getattr(outbound, key):
                    if feed not in known:
                        raise ValueError(
                            f"outbound.{name}.{key}: there is no [feeds.{feed}]; "
                            f"configured are {', '.join(sorted(known))}"
                        )
        return self


class Loaded(BaseModel):
    """Settings with the origin of every value that is not a default (`http.port` -> `flag`)."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    origins: dict[str, str]


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Settings from a TOML file, an environment and flags (`{"http.port": 8081}`), in that order.

    Raises ConfigurationError naming the key, the origin and what is wrong with it.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers: list[tuple[str, Mapping[tuple[str, ...], Any]]] = []
    if file is not None:
        layers.append((f"file {file}", _flatten(_read_toml(file))))
    layers.append(("environment", _from_environ(environ or {})))
    layers.append(("flag", {tuple(k.split(".")): v for k, v in (flags or {}).items()}))
    for origin, values in layers:
        for path, setting in values.items():
            _put(merged, path, setting)
            origins[".".join(path)] = origin
    try:
        return Loaded(settings=Settings.model_validate(merged), origins=origins)
    except ValidationError as error:
        raise _explained(error, origins) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on a host."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _collide(one: MllpSettings | HttpSettings, other: MllpSettings | HttpSettings) -> bool:
    """Whether two cannot listen at the same time; port 0 is always a free one."""
    hosts = {_LOCAL if host == "localhost" else host for host in (one.host, other.host)}
    same_host = len(hosts) == 1 or bool(_EVERY_ADDRESS & hosts)
    return one.port == other.port != 0 and same_host


def _checked_charset(charset: str, is_known: bool) -> str:
    if not is_known:
        raise ValueError(
            f"{charset!r} is no character set of HL7 table 0211 known here, such as "
            "UNICODE UTF-8, 8859/1 or ASCII"
        )
    return charset


def _checked_zone(zone: str | None) -> str | None:
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone!r} is no IANA time zone, such as Europe/Berlin") from None
    return zone


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"The settings file {file} cannot be read.", why=error.strerror or str(error)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML.", why=str(error)) from error


def _flatten(table: Mapping[str, Any], at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for key, setting in table.items():
        # An empty table says something, too: [feeds.lab] configures a feed by its name alone.
        if isinstance(setting, dict) and setting:
            flat.update(_flatten(setting, (*at, key)))
        else:
            flat[(*at, key)] = setting
    return flat


def _from_environ(environ: Mapping[str, str]) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, text in environ.items():
        if name.startswith(PREFIX) and "__" in name:
            path = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
            found[path] = text.split(",") if text and _is_list(path) else text
    return found


_LISTS = {
    "peers",
    "clients",
    "processing_ids",
    "keep",
    "movement",
    "status",
    "class",
    "demographics",
    "feeds",
    "excluded_feeds",
    "triggers",
    *(name for name, field in KpiSettings.model_fields.items() if isinstance(field.default, tuple)),
}


def _is_list(path: tuple[str, ...]) -> bool:
    return path[-1] in _LISTS


def _put(table: dict[str, Any], path: tuple[str, ...], setting: Any) -> None:
    for key in path[:-1]:
        below = table.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigurationError(f"The setting {'.'.join(path)} is below a plain value.")
        table = below
    table[path[-1]] = setting


def _explained(error: ValidationError, origins: Mapping[str, str]) -> ConfigurationError:
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in problem["loc"])
        said = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{key} (from {_origin(key, origins)}): {said}" if key else said)
    return ConfigurationError(
        "The settings are not usable.",
        why="; ".join(problems) + ".",
        do="See docs/reference/settings.md.",
    )


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Where a key was set; a section that does not exist came from wherever a key of it was."""
    return next((o for k, o in origins.items() if f"{k}.".startswith(f"{key}.")), "default")
