"""The hospital's places: Location resources, beds seen in messages, and their operational history.

A Location resolves to (facility, unit, room, bed) by a configured identifier, else by its path of
`partOf` references, never by a display name. A place that only messages named is a location too.
"""

from collections.abc import Sequence
from datetime import datetime

from twin_core.events import BedStatusChanged, LocationStated, Statement, Withdrawn
from twin_core.identifiers import PLACE_SYSTEM, Identifier, Place, content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import EntityRow, ResolvedPlace, finding_row, text, unresolved
from twin_core.store.fold.stated import latest_statements
from twin_core.store.fold.withdrawn import standing

PATH_SYSTEM = PLACE_SYSTEM
_LEVEL = {"bd": "bed", "ro": "room", "wa": "unit", "si": "facility"}
_UNIT_KINDS = ("wa", "area", "wi", "lvl", "bu")
_DEEPEST = 12

Key = tuple[str, str]
Path = tuple[str, str, str, str]


def path_identifier(path: Path) -> Identifier:
    """The identifier that a place named in messages has: its path."""
    if any("/" in part for part in path):
        facility, unit, room, bed = (part.replace("/", "%2F") for part in path)
        path = (facility, unit, room, bed)
    return Identifier(PATH_SYSTEM, "/".join(path), "path")


def path_at(value: str) -> Path:
    """The path that a `path_identifier` has as its value."""
    facility, unit, room, bed = (part.replace("%2F", "/") for part in value.split("/"))
    return (facility, unit, room, bed)


def location_id_of(path: Path) -> str:
    """The stable id of the location at a path."""
    return content_id("l", PATH_SYSTEM, path_identifier(path).value)


class Hierarchy:
    """Every Location resource as last stated, and the places they resolve to."""

    def __init__(self) -> None:
        self._stated: dict[Key, Fact] = {}
        self._deleted: dict[Key, list[Fact]] = {}
        """Of a resource that was ever deleted, what was heard from shortly before on."""
        self._alias: dict[Key, Key] | None = None
        self._resolved: dict[Key, ResolvedPlace] = {}

    def state(self, fact: Fact) -> bool:
        """Take in a statement or a deletion; whether another statement counts now."""
        event = fact.event
        assert isinstance(event, Statement)  # noqa: S101  (narrows the type)
        key = event.subject.key
        before = self._stated.get(key)
        if isinstance(event, Withdrawn):
            self._deleted.setdefault(key, [before] if before is not None else [])
        heard = self._deleted.get(key)
        if heard is not None:
            heard.append(fact)
            heard = standing(heard)
        else:
            heard = [fact] if before is None else [before, fact]
        latest = latest_statements(heard)
        after = latest[-1] if latest else None
        if after is before:
            return False
        if after is None:
            del self._stated[key]
        else:
            self._stated[key] = after
        self._alias = None
        self._resolved.clear()
        return True

    def subjects(self) -> list[Key]:
        """The keys of all resources."""
        return list(self._stated)

    def resolve(self, reference: Identifier) -> ResolvedPlace:
        """Where a reference or a business identifier of a Location leads."""
        key = self._aliased(reference)
        found = self._resolved.get(key)
        if found is None:
            found = self._resolved[key] = self._resolve(key)
        return found

    def latest(self, key: Key) -> LocationStated | None:
        """What was last stated of a resource."""
        fact = self._stated.get(key)
        return _stated(fact) if fact else None

    def _aliased(self, reference: Identifier) -> Key:
        """The resource that a reference or a business identifier names."""
        if self._alias is None:
            self._alias = {
                identifier.key: key
                for key, fact in sorted(self._stated.items(), key=lambda held: held[1].order)
                for identifier in _stated(fact).identifiers
            }
        return self._alias.get(reference.key, reference.key)

    def _resolve(self, key: Key) -> ResolvedPlace:
        own = content_id("l", *key)
        if key not in self._stated:
            return ResolvedPlace("", "", "", "", own, known=False)
        event = _stated(self._stated[key])
        place = event.place if event.place else self._path(key)
        path = (place.facility, place.unit, place.room, place.bed)
        return ResolvedPlace(*path, location_id_of(path) if any(path[1:]) else own)

    def _path(self, key: Key) -> Place:
        parts: dict[str, str] = {}
        unit_rank = len(_UNIT_KINDS)
        at: Key | None = key
        for _ in range(_DEEPEST):
            fact = self._stated.get(at) if at else None
            if fact is None:
                break
            event = _stated(fact)
            level, code = _LEVEL.get(event.kind), _code(event)
            if event.kind in _UNIT_KINDS and _UNIT_KINDS.index(event.kind) < unit_rank:
                parts["unit"], unit_rank = code, _UNIT_KINDS.index(event.kind)
            elif level and level not in parts:
                parts[level] = code
            if event.place.facility:
                parts.setdefault("facility", event.place.facility)
            parent = event.part_of
            at = self._aliased(parent) if parent else None
        if unit_rank == _UNIT_KINDS.index("bu") and "bed" not in parts:
            parts.pop("unit")
        levels = ("facility", "unit", "room", "bed")
        facility, unit, room, bed = (parts.get(level, "") for level in levels)
        return Place(facility, unit, room, bed)


def fold_location(
    facts: Sequence[Fact], path: Path, own: Identifier | None, hierarchy: Hierarchy
) -> list[EntityRow]:
    """One location from its statements and bed statuses; `path` is where it is, `own` its resource.

    Facts are in order. A location without any fact was named in a message and exists.
    """
    location_id = location_id_of(path) if any(path[1:]) else None
    if own is not None and location_id is None:
        location_id = hierarchy.resolve(own).location_id
    if location_id is None:
        return []
    statements = latest_statements(facts)
    latest = _stated(statements[-1]) if statements else None
    history = _history(facts)
    operational, staffed = (history[-1][1], history[-1][2]) if history else (None, None)
    parent = _parent(path, latest, hierarchy)
    kind = latest.kind if latest and latest.kind else _kind(path)
    name = text(latest.name) if latest else None
    place = tuple(text(part) for part in path)
    row = (location_id, kind, *place, name, parent, operational, staffed)
    rows: list[EntityRow] = [("location", row)]
    ends = [at for at, _, _ in history[1:]]
    for (at, status, open_), end in zip(history, [*ends, None], strict=False):
        if end is None or at is None or end > at:
            rows.append(("location_status", (location_id, status, open_, at, end)))
    for fact in statements:
        event = _stated(fact)
        for i in (event.subject, *event.identifiers):
            rows.append(("location_identifier", (location_id, i.system, i.value, text(i.type))))
        around = hierarchy.resolve(event.part_of) if event.part_of is not None else None
        if around is not None and not around.known:
            note = unresolved(fact, "Location", around.location_id)
            rows.append(finding_row(note, location_id, fact.recorded_at))
    return list(dict.fromkeys(rows))


_Change = tuple[datetime | None, str | None, bool | None]


def _history(facts: Sequence[Fact]) -> list[_Change]:
    # A bed that is first stated as active was there before anyone said so: its history begins
    # with None, for always. Whether it was dirty or closed then, nobody knows.
    active = _first_active(facts)
    operational: str | None = None
    changes: list[_Change] = [(None, None, True)] if active else []
    for fact in facts:
        event = fact.event
        if isinstance(event, BedStatusChanged):
            operational = event.operational_status or operational
        elif isinstance(event, LocationStated):
            operational = event.operational_status or operational
            if _is_bed(event):
                active = event.status in ("", "active")
        staffed = None if active is None else active and operational != "C"
        if (operational or staffed is not None) and (
            not changes or changes[-1][1:] != (operational, staffed)
        ):
            changes.append((event.occurred_at, operational, staffed))
    return changes


def _first_active(facts: Sequence[Fact]) -> bool | None:
    for fact in facts:
        event = fact.event
        if isinstance(event, LocationStated) and _is_bed(event):
            return True if event.status in ("", "active") else None
    return None


def _is_bed(event: LocationStated) -> bool:
    return event.kind == "bd" or bool(event.place.bed)


def _parent(path: Path, latest: LocationStated | None, hierarchy: Hierarchy) -> str | None:
    if latest is not None and latest.part_of is not None:
        return hierarchy.resolve(latest.part_of).location_id
    above = parent_path(path)
    return location_id_of(above) if above else None


def parent_path(path: Path) -> Path | None:
    """The place around a place: the room of a bed, the unit of a room; None above a unit."""
    facility, unit, room, bed = path
    if bed:
        return (facility, unit, room, "") if room else (facility, unit, "", "")
    return (facility, unit, "", "") if room else None


def _kind(path: Path) -> str:
    _, _, room, bed = path
    return "bd" if bed else "ro" if room else "wa"


def _code(event: LocationStated) -> str:
    for identifier in event.identifiers:
        if identifier.type != "reference":
            return identifier.value
    return ""


def _stated(fact: Fact) -> LocationStated:
    event = fact.event
    assert isinstance(event, LocationStated)  # noqa: S101  (narrows the type)
    return event
