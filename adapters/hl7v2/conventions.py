"""What is particular about one feed, made ready once for every message of it.

The same few hundred beds, authorities and hours recur in all messages of a feed; what they stand
for is remembered here.
"""

from typing import Any, Generic, TypeVar

from adapters.hl7v2.codings import Terms, Vocabulary
from adapters.hl7v2.er7 import Message
from adapters.hl7v2.quirks import OF_A_MOVEMENT, Sent
from adapters.hl7v2.timestamps import Calendar
from twin_core.identifiers import NOWHERE, Place
from twin_core.settings import FeedSettings, LimitSettings

Key = TypeVar("Key")
Meaning = TypeVar("Meaning")

NamedEvent = tuple[Sent, str | None, str, Sent | None]
"""The event that MSH-9 names, the one it is read as (None: it is kept and not applied), its name,
and what a rule of the feed takes it for, if any does."""

_REMEMBERED = 20_000
_SENDERS = 64
_OID_CHARACTERS = frozenset("0123456789.")


class Sender:
    """One sender of a feed (MSH-3 and MSH-4), and what fields that it repeats have meant.

    What is remembered is as true of the sender's next message: it does not hang on escapes, on
    delimiters or on anything else in the message.
    """

    __slots__ = (
        "entities",
        "facility",
        "name",
        "numbers",
        "patients",
        "resources",
        "results",
        "vocabulary",
    )

    def __init__(self, name: str, facility: str) -> None:
        self.name = name
        """`MSH-3|MSH-4`, which gives control ids meaning."""
        self.facility = facility
        """The facility of whatever does not name one."""
        self.patients: dict[str, tuple[str, str]] = {}
        """System and type of a patient's identifiers, by what follows the number in a CX."""
        self.numbers: dict[tuple[str, str], tuple[str, str]] = {}
        """The same of numbers of accounts and visits (CX), by the usual type and the rest."""
        self.entities: dict[tuple[str, str], str] = {}
        """System of numbers of appointments (EI), by whose numbers they are and the rest."""
        self.resources: dict[str, Any] = {}
        """What appointments need, by group, trigger and the segment up to its times."""
        self.results: dict[tuple[str, ...], Any] = {}
        """What results are of, by the fields of an OBX but its value and its time."""
        self.vocabulary: Vocabulary | None = None
        """The terms of its results, once there were any."""


class Conventions:
    """How one feed names places, authorities, classes and times."""

    def __init__(self, feed: str, settings: FeedSettings, limits: LimitSettings) -> None:
        self.feed = feed
        self.settings = settings
        self.limits = limits
        self.calendar = Calendar(settings.time_zone)
        self.processing_ids = frozenset(settings.processing_ids)
        self.trigger_rules = settings.trigger_rules
        self.kept_paths = settings.kept_paths
        self.kept_of_movements = (*settings.kept_paths, *OF_A_MOVEMENT)
        """The fields to keep of a message, and of one that names a movement (ZBE)."""
        self.lenient = settings.strictness == "lenient"
        self._beds = {tuple(_padded(sent)): place for sent, place in settings.beds.items()}
        self.terms = Terms(settings.authorities)
        self.events: dict[str, NamedEvent] = {}
        """What MSH-9 as sent names, read once."""
        self._places: dict[tuple[str, str], Place] = {}
        self._systems: dict[str, str] = {}
        self.meanings: dict[tuple[str, str], Any] = {}
        """What fields that recur meant before, by what they are and how they were sent."""
        self.timings: dict[str, Any] = {}
        """When resources are needed, by the segment from its times on."""
        self.appointments: dict[tuple[str, ...], Any] = {}
        """What fields of SCH and TQ1 that recur together said of an appointment."""
        self.births: dict[str, str] = {}
        """Dates of birth as ISO text, by how they were sent."""
        self.groups: dict[Any, Any] = {}
        """Groups of services and resources, by their RGS as sent and what the event does."""
        self.visits: dict[tuple[str, ...], Any] = {}
        """What fields of PV1 that recur together said of a visit."""
        self._senders: dict[tuple[str, str], Sender] = {}

    def sender(self, message: Message) -> Sender:
        """Who sent the message."""
        header = message.header
        key = (header[2], header[3])
        known = self._senders.get(key) if message.is_standard else None
        if known is not None:
            return known
        name = f"{message.text(key[0])}|{message.text(key[1])}"
        sender = Sender(name, self.facility(message))
        if message.is_standard and "\\" not in name and "\\" not in "".join(key):
            remembered(self._senders, key, sender, _SENDERS)
        return sender

    def remember(self, message: Message, of: str, field: str, meaning: Meaning) -> Meaning:
        """Remember what a field means, if it will mean the same in every message of the feed."""
        if message.is_standard and "\\" not in field:
            remembered(self.meanings, (of, field), meaning, _REMEMBERED)
        return meaning

    def place(self, message: Message, location: str) -> Place:
        """The place that a PL field names; NOWHERE where it names none."""
        if not location or location == '""':
            return NOWHERE
        if not message.is_standard or "\\" in location:
            return self._read_place(message, location)
        key = (location, message.header[3])
        place = self._places.get(key)
        if place is None:
            place = self._read_place(message, location)
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            self._places[key] = place
        return place

    def facility(self, message: Message) -> str:
        """The facility of whatever does not name one: the feed's, else the sender's (MSH-4)."""
        if self.settings.facility:
            return self.settings.facility
        sent = message.code(message.header[3])
        return self.settings.facilities.get(sent, sent)

    def system(self, message: Message, authority: str, identifier_type: str) -> str:
        """The identifier system that an assigning authority (HD) stands for.

        Without an authority it is the feed's system for that type of identifier, else the sender's
        own numbering of it.
        """
        system = self._issued_by(message, authority) if authority else ""
        if system:
            return system
        system = self.settings.systems.get(identifier_type, "")
        if system:
            return system
        sender = message.code(message.header[3]) or message.code(message.header[2]) or self.feed
        return f"urn:wardtwin:sender:{sender}:{identifier_type}"

    def _issued_by(self, message: Message, authority: str) -> str:
        if not message.is_standard or "\\" in authority:
            return self._read_system(message, authority)
        system = self._systems.get(authority)
        if system is None:
            system = self._read_system(message, authority)
            if len(self._systems) >= _REMEMBERED:
                self._systems.clear()
            self._systems[authority] = system
        return system

    def _read_place(self, message: Message, location: str) -> Place:
        parts = message.components(message.first_repetition(location))
        unit, room, bed = (_named(message, part) for part in parts[:3])
        if not (unit or room or bed):
            return NOWHERE
        facility = _named(message, parts[3])
        settings = self.settings
        if self._beds:
            sent = (unit, room, bed, facility)
            mapped = self._beds.get(sent) or self._beds.get((unit, room, bed, ""))
            if mapped:
                *named, unit, room, bed = mapped.split("/")
                own = settings.facilities.get(facility, facility) or self.facility(message)
                return Place(named[0] if named else own, unit, room, bed)
        return Place(
            settings.facilities.get(facility, facility) or self.facility(message),
            settings.units.get(unit, unit),
            room,
            bed,
        )

    def _read_system(self, message: Message, authority: str) -> str:
        parts = authority.split(message.delimiters.subcomponent)
        namespace, universal, kind = (
            "" if part == '""' else message.text(part).strip() for part in (*parts, "", "")[:3]
        )
        authorities = self.settings.authorities
        for name in (namespace, universal):
            if name and name in authorities:
                return authorities[name]
        if universal and (kind == "ISO" or (not kind and _OID_CHARACTERS.issuperset(universal))):
            return f"urn:oid:{universal}"
        if universal and kind == "URI":
            return universal
        name = namespace or universal
        return f"urn:wardtwin:authority:{name}" if name else ""


class Lately(Generic[Key, Meaning]):
    """What was read lately: at least the last `most` of it, and at most twice as much."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._new: dict[Key, Meaning] = {}
        self._old: dict[Key, Meaning] = {}

    def get(self, key: Key) -> Meaning | None:
        """What a key meant; who is asked for again is not forgotten."""
        found = self._new.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: Key, meaning: Meaning) -> None:
        """Remember what a key means."""
        if len(self._new) >= self._most:
            self._old, self._new = self._new, {}
        self._new[key] = meaning


def remembered(known: dict[Key, Meaning], key: Key, meaning: Meaning, most: int = 5_000) -> Meaning:
    """Remember what something means; a full memory begins anew."""
    if len(known) >= most:
        known.clear()
    known[key] = meaning
    return meaning


def _padded(sent: str) -> list[str]:
    """A location as a feed's `beds` name it: unit, room, bed and facility."""
    parts = [part.strip() for part in sent.split("^")]
    return parts + [""] * (4 - len(parts))


def _named(message: Message, part: str) -> str:
    """A code of a location: its first subcomponent (HD: the namespace), else the second."""
    for name in part.split(message.delimiters.subcomponent)[:2]:
        if name and name != '""':
            return message.text(name).strip()
    return ""
