"""What a destination is sent for a message of the journal: bytes and control id, or why nothing."""

import ssl
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from adapters.hl7v2.answers import control_id_of
from adapters.hl7v2.conversation import tls_context
from adapters.hl7v2.retell import Dialect, Said, Untellable, retell
from api.outbound.journal import Journalled
from twin_core.errors import ConfigurationError, FeedError
from twin_core.settings import OutboundSettings

EXCLUDED, ECHO, UNAPPLIED, OTHER_KIND = "excluded", "echo", "unapplied", "other_kind"
"""Why a message is passed over, and counted: feed or trigger not asked for; it came from the
receiver or from this very sender; it is in quarantine (a replay brings it back), or was about an
erased patient; it is of a kind
that was not asked for, or that is never told: FHIR, and alarms where the bytes are not relayed."""
ADT = "ADT"
ALARMS = frozenset({"ORU^R40", "ORU^R41", "ORU^R42"})
GONE = "The bytes as received are not kept any more."


class Letter(NamedTuple):
    """One message on its way to a destination."""

    message: Journalled
    raw: bytes
    control_id: str
    """MSH-10 as an acknowledgement will repeat it."""


def passed_over(message: Journalled, settings: OutboundSettings) -> str:
    """Why a destination is not sent a message; empty where it is."""
    if message.format != "hl7v2":
        return OTHER_KIND
    if message.status in ("quarantined", "erased"):
        return UNAPPLIED
    if settings.feeds and message.feed not in settings.feeds:
        return EXCLUDED
    trigger = (message.trigger_event or "").partition("^")[2]
    if message.feed in settings.excluded_feeds:
        return EXCLUDED
    if settings.triggers and trigger not in settings.triggers:
        return EXCLUDED
    if _echoes(message.sender or "", settings):
        return ECHO
    return "" if _asked_for(message.trigger_event or "", settings) else OTHER_KIND


def _asked_for(trigger_event: str, settings: OutboundSettings) -> bool:
    """Whether a destination is sent messages of this kind."""
    kind = trigger_event.partition("^")[0]
    if settings.form == "raw" or settings.untold == "raw":
        return not settings.kinds or kind in settings.kinds
    # What is never told would fill a list of parked messages that nobody could work through.
    return kind in (settings.kinds or (ADT,)) and trigger_event not in ALARMS


def _echoes(sender: str, settings: OutboundSettings) -> bool:
    """Whether a message came from the receiver itself, or went out from here before."""
    application, _, facility = sender.partition("|")
    names = [(settings.receiving_application, settings.receiving_facility)]
    if settings.form == "normalized":
        names.append((settings.sending_application, settings.sending_facility))
    return any(name and application == name and (not at or facility == at) for name, at in names)


class Writer:
    """Writes one destination's messages."""

    def __init__(self, name: str, settings: OutboundSettings, store_id: str) -> None:
        self._settings = settings
        # Unique also where several twins, or one made anew, feed the same receiver.
        self._series = store_id[:6]
        enhanced = "AL" if settings.mode == "enhanced" else ""
        self._dialect = Dialect(
            application=settings.sending_application,
            facility=settings.sending_facility,
            receiving_application=settings.receiving_application,
            receiving_facility=settings.receiving_facility,
            zone=ZoneInfo(settings.time_zone),
            version=settings.version,
            processing_id=settings.processing_id,
            charset=settings.charset,
            accept_ack=enhanced,
            application_ack=enhanced,
            authorities=settings.authorities,
            facilities=settings.facilities,
            units=settings.units,
            classes=settings.classes,
            services=settings.services,
        )

    def control_id(self, message: Journalled) -> str:
        """MSH-10 of a message encoded anew: the same however often it is sent."""
        if self._settings.control_ids == "kept" and message.control_id:
            return message.control_id
        return f"{self._series}-{message.message_id}"

    def letter(self, message: Journalled, said: Said | None, raw: bytes | None) -> Letter:
        """What is sent for a message; Untellable, with the reason, where nothing can be."""
        if self._settings.form == "normalized" and said is not None:
            control_id = self.control_id(message)
            try:
                raw = retell(said, self._dialect, control_id)
                return Letter(message, raw, control_id_of(raw))
            except Untellable:
                if self._settings.untold == "park":
                    raise
        if raw is None:
            raise Untellable(GONE)
        return Letter(message, raw, control_id_of(raw))


def secured(name: str, settings: OutboundSettings) -> ssl.SSLContext | None:
    """TLS of a destination. ConfigurationError where a file of its settings is unusable."""
    if settings.tls is None:
        return None
    try:
        return tls_context(*tls_files(settings))
    except FeedError as error:
        raise ConfigurationError(
            f"The setting outbound.{name}.tls is not usable.", why=error.why, do=error.do
        ) from error


def tls_files(settings: OutboundSettings) -> tuple[str | None, str | None, str | None]:
    """Authority, certificate and key of a destination, as paths."""
    tls = settings.tls
    if tls is None:
        return None, None, None
    return _path(tls.authority), _path(tls.certificate), _path(tls.key)


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
