"""The hospital's map while batches are applied: resources, paths seen, what a change touches."""

from collections.abc import Iterable, Sequence, Set

import msgspec

from twin_core.events import AnyEvent, Event, Statement
from twin_core.identifiers import Identifier, Place
from twin_core.store.committed import Committed
from twin_core.store.facts import Fact
from twin_core.store.fold.locations import (
    Hierarchy,
    Path,
    location_id_of,
    parent_path,
    path_at,
    path_identifier,
)
from twin_core.store.fold.rows import ResolvedPlace
from twin_core.store.subjects import path_of, subject_of
from twin_core.store.units import latest_location_facts

REMEMBERED_PLACES = 50_000
_EVENT = msgspec.json.Decoder[Event](AnyEvent)


class Touched:
    """What a batch of Location statements changed: places to fold again, and ids now elsewhere."""

    def __init__(self) -> None:
        self.paths: set[Path] = set()
        self.subjects: set[tuple[str, str]] = set()
        self.location_ids: set[str] = set()
        self.left: set[Path] = set()
        """Paths to which no resource leads any more."""


class Places:
    """Every Location resource and every path that a message has named."""

    def __init__(self, committed: Committed) -> None:
        self._committed = committed
        self.forget()

    def forget(self) -> None:
        """Read the map back from the journal."""
        self.hierarchy = Hierarchy()
        connection = self._committed.settled()
        for fact in latest_location_facts(connection):
            self.hierarchy.state(fact)
        rows = connection.execute(
            "SELECT DISTINCT coalesce(facility, ''), coalesce(unit, ''), coalesce(room, ''),"
            " coalesce(bed, '') FROM core.location_version WHERE known_to = 'infinity'"
        ).fetchall()
        named = {path_identifier(path).value for path in rows if any(path[1:])}
        # A resource may lead to a bed in a room that no message has named yet.
        self._known = {value for value in named if _within(named, value)}
        self._cache: dict[Place, ResolvedPlace] = {}

    def resolve(self, place: Place) -> ResolvedPlace:
        """Where a place is: its own path, or where its reference leads."""
        found = self._cache.get(place)
        if found is None:
            if len(self._cache) > REMEMBERED_PLACES:
                self._cache.clear()
            found = self._cache[place] = self._resolve(place)
        return found

    def unseen(self, paths: Iterable[Path]) -> list[Path]:
        """Paths named for the first time, with the rooms and units around them."""
        fresh: list[Path] = []
        for path in paths:
            at: Path | None = path
            while at is not None:
                value = path_identifier(at).value
                if value in self._known:
                    break
                self._known.add(value)
                fresh.append(at)
                at = parent_path(at)
        return fresh

    def state(self, facts: Sequence[Fact]) -> Touched:
        """Take in Location statements and say what they change."""
        touched = Touched()
        if not facts:
            return touched
        before = self._resolutions()
        stated = {fact.event.subject.key for fact in facts if isinstance(fact.event, Statement)}
        for fact in facts:
            self.hierarchy.state(fact)
        self._cache.clear()
        after = self._resolutions()
        for key in {**before, **after}:
            place, earlier = after.get(key), before.get(key)
            if place == earlier and key not in stated:
                continue
            touched.subjects.add(key)
            touched.paths |= {resolved[:4] for resolved in (place, earlier) if resolved}
            if place != earlier:
                # Before anyone described it, a reference led to an id of its own.
                unknown = Hierarchy().resolve(Identifier(*key)).location_id
                touched.location_ids |= {earlier.location_id if earlier else unknown, unknown}
        touched.paths = {path for path in touched.paths if any(path[1:])}
        touched.left = touched.paths - {place[:4] for place in after.values()}
        return touched

    def is_named(self, path: Path, named: Iterable[Path]) -> bool:
        """Whether a message shows a place to exist: one of those `named`, or one journalled.

        A place that none shows is forgotten, so that the next one to name it makes it known.
        """
        if any(_is_at(other, path) for other in named) or self._journalled(path):
            return True
        self._known.discard(path_identifier(path).value)
        return False

    def _journalled(self, path: Path) -> bool:
        # Places are written as arrays, so that what names a place begins with its parts.
        parts = path[: 1 + max(n for n, part in enumerate(path) if part)]
        begins = msgspec.json.encode(parts)[:-1].decode() + ","
        found = (
            self._committed.settled()
            .execute(
                "SELECT payload FROM core.event WHERE event <> 'LocationStated'"
                " AND contains(payload, ?)",
                [begins],
            )
            .fetchall()
        )
        return any(
            _is_at(other, path)
            for (payload,) in found
            for other in subject_of(_EVENT.decode(payload)).places
        )

    def subjects_at(self, path: Path) -> list[tuple[str, str]]:
        """Keys of the resources that resolve to a path."""
        return [key for key, place in self._resolutions().items() if place[:4] == path]

    def subjects_by_path(self) -> dict[Path, list[tuple[str, str]]]:
        """Keys of all resources by the path they resolve to."""
        found: dict[Path, list[tuple[str, str]]] = {}
        for key, place in self._resolutions().items():
            found.setdefault(place[:4], []).append(key)
        return found

    def _resolutions(self) -> dict[tuple[str, str], ResolvedPlace]:
        hierarchy = self.hierarchy
        return {key: hierarchy.resolve(Identifier(*key)) for key in hierarchy.subjects()}

    def _resolve(self, place: Place) -> ResolvedPlace:
        path = path_of(place)
        if path is not None:
            return ResolvedPlace(*path, location_id_of(path))
        if place.reference is not None:
            return self.hierarchy.resolve(place.reference)
        return ResolvedPlace(place.facility, "", "", "", "", known=False)


def _is_at(other: Path, path: Path) -> bool:
    """Whether a place is another one or around it."""
    at: Path | None = other
    while at is not None and at != path:
        at = parent_path(at)
    return at is not None


def _within(named: Set[str], value: str) -> bool:
    """Whether every place around a place is among those named."""
    around = parent_path(path_at(value))
    while around is not None:
        if path_identifier(around).value not in named:
            return False
        around = parent_path(around)
    return True
