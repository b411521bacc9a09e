"""What is told and to whom: a journalled message, and how one receiving system is spoken to."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from twin_core.events import Event


class Untellable(Exception):
    """A message that cannot be told in HL7 v2, and why. The reason holds no patient's details."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A journalled message: what was received, and the events it became."""

    trigger_event: str
    """As received: `ADT^A01`."""
    sender: str
    """MSH-3|MSH-4 as received."""
    sent_at: datetime
    sequence: int = 0
    events: tuple[Event, ...] = ()


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How one receiving system is spoken to; the maps turn the twin's codes into that system's."""

    application: str = "WARDTWIN"
    facility: str = ""
    """MSH-4; where empty, the facility that the message is about."""
    receiving_application: str = ""
    receiving_facility: str = ""
    zone: ZoneInfo = ZoneInfo("UTC")
    version: str = "2.5.1"
    processing_id: str = "P"
    charset: str = "UNICODE UTF-8"
    accept_ack: str = ""
    """MSH-15, table 0155; empty for original mode."""
    application_ack: str = ""
    """MSH-16."""
    authorities: Mapping[str, str] = {}
    """Identifier system URI -> assigning authority, `NAME` or `NAME&OID&ISO`."""
    facilities: Mapping[str, str] = {}
    units: Mapping[str, str] = {}
    classes: Mapping[str, str] = {}
    """v3 ActCode -> PV1-2."""
    services: Mapping[str, str] = {}

    def has(self, version: str) -> bool:
        """Whether the receiver's version of HL7 v2 is this one or a later one."""
        return _numbers(self.version) >= _numbers(version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
