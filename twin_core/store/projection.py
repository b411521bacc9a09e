"""One batch of the inbox into the database: messages, events, and new versions of what is true.

Everything of a batch is one transaction, its inbox position included, so that a crash leaves
either all of it or none of it. Folding happens once per touched entity and batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from twin_core.events import DeviceStated, LocationStated
from twin_core.identifiers import Identifier
from twin_core.inbox import Entry
from twin_core.settings import PrecedenceSettings
from twin_core.store import writing
from twin_core.store.database import Database
from twin_core.store.fold.device import fold_census, fold_device, fold_directory
from twin_core.store.fold.encounter import asks_for, encounter_id_of, fold_encounter
from twin_core.store.fold.locations import Path, fold_location, path_identifier
from twin_core.store.fold.patient import fold_people
from twin_core.store.fold.rows import EntityRow, Resolver
from twin_core.store.messages import (
    Filed,
    event_row,
    filed_events,
    finding_rows,
    message_row,
)
from twin_core.store.nodes import Nodes
from twin_core.store.places import Places, Touched
from twin_core.store.starts import same_starts
from twin_core.store.subjects import CENSUS, DEVICE, DIRECTORY, ENCOUNTER, LOCATION, PATIENT
from twin_core.store.tables import ENTITIES
from twin_core.store.units import Unit, Units, last_known_at, owners_where

_MICROSECOND = timedelta(microseconds=1)


class BatchApplied(NamedTuple):
    """What a batch changed, for those who show the present."""

    sequence: int
    known_at: datetime
    messages: int
    units: frozenset[tuple[str, str]]
    encounters: frozenset[str]
    locations: frozenset[str]


class Projection:
    """Applies batches of durable entries to the database, in order, exactly once each."""

    def __init__(self, database: Database, precedence: PrecedenceSettings) -> None:
        self._database, self._connection = database, database.connection
        self._precedence = precedence
        self.nodes = Nodes(self._connection)
        self.units = Units(self._connection, self.nodes)
        self.places = Places(self._connection)
        self.batch_no, self.position, self.known_at = last_known_at(self._connection)
        self._next_version = self._next_event = 0
        self._read_counters()

    def apply(self, entries: Sequence[Entry]) -> BatchApplied:
        """Apply entries as one transaction. On any error nothing of it is kept."""
        try:
            with self._database.transaction():
                return self._apply(entries)
        except BaseException:
            self._forget()
            raise

    # --- the steps of a batch ----------------------------------------------------------------

    def _apply(self, entries: Sequence[Entry]) -> BatchApplied:
        if self.nodes.begin():
            self.units.forget()
        self.units.begin()
        self._opened: list[tuple[EntityRow, int, int]] = []
        self._closed: list[tuple[EntityRow, int]] = []
        self._dirty: dict[str, set[int]] = defaultdict(set)
        filed = filed_events(entries)
        self._learn(filed)
        self._fetch(filed)
        before = self._people_before()
        named_before = self._encounters_before()
        self._unite_and_add(filed)
        self._fold_people(before)
        self._fold_places(filed)
        self._follow_renamed(named_before)
        self._fold_encounters()
        self._fold_others()
        return self._write(entries, filed)

    def _learn(self, filed: Sequence[Filed]) -> None:
        wanted: list[tuple[str, Identifier]] = []
        paths: set[Path] = set()
        for _, _, subject in filed:
            wanted += [(subject.kind, identifier) for identifier in subject.united]
            wanted += subject.asked
            paths.update(subject.places)
        self._sighted = [path_identifier(path) for path in self.places.unseen(paths)]
        wanted += [(LOCATION, identifier) for identifier in self._sighted]
        self.nodes.learn(wanted)

    def _fetch(self, filed: Sequence[Filed]) -> None:
        for _, _, subject in filed:
            for identifier in subject.united:
                node = self.nodes.number(subject.kind, identifier)
                self._dirty[subject.kind].add(self.nodes.family(node))
        for kind, owners in self._dirty.items():
            self.units.fetch(kind, owners)

    def _people_before(self) -> dict[tuple[str, str], tuple[str, bool]]:
        known: dict[tuple[str, str], tuple[str, bool]] = {}
        for owner in self._dirty[PATIENT]:
            if not self.nodes.is_new(owner):
                unit = self._survivors(owner)
                described = bool(unit.facts)
                known.update({key: (i, described) for key, i in (unit.survivors or {}).items()})
        return known

    def _encounters_before(self) -> dict[int, tuple[str, bool]]:
        return {
            owner: (encounter_id_of(self.nodes.identifiers(owner)), bool(unit.facts))
            for owner in self._dirty[ENCOUNTER]
            if not self.nodes.is_new(owner)
            for unit in [self.units.get(owner)]
        }

    def _unite_and_add(self, filed: Sequence[Filed]) -> None:
        for fact, _, subject in filed:
            numbers = [self.nodes.number(subject.kind, i) for i in subject.united]
            for number in numbers[1:]:
                self._unite(subject.kind, numbers[0], number)
            self.units.get(self.nodes.family(numbers[0])).add(fact)
        for one, other in same_starts(self._connection, self.nodes, self._dirty[PATIENT]):
            self.units.fetch(ENCOUNTER, (self.nodes.family(one), self.nodes.family(other)))
            self._dirty[ENCOUNTER].update((self.nodes.family(one), self.nodes.family(other)))
            self._unite(ENCOUNTER, one, other)
        for kind, owners in self._dirty.items():
            self._dirty[kind] = {self.nodes.family(owner) for owner in owners}

    def _unite(self, kind: str, one: int, other: int) -> None:
        families = self.nodes.family(one), self.nodes.family(other)
        if families[0] == families[1]:
            return
        units = self.units.fetch(kind, families)
        united = self.nodes.unite(one, other)
        if united is None:
            return
        kept, gone = (units if units[0].owner == united[0] else units[::-1])[:2]
        # Rows of the absorbed family carry its number: they end here, and the fold of the whole
        # opens whatever of them still holds.
        self._closed += list(gone.rows.items())
        gone.rows = {}
        kept.absorb(gone)
        self.units.drop(gone.owner)

    def _fold_people(self, before: dict[tuple[str, str], tuple[str, bool]]) -> None:
        moved: set[str] = set()
        after: dict[tuple[str, str], str] = {}
        for owner in self._dirty[PATIENT]:
            unit = self.units.get(owner)
            folded = fold_people(unit.facts, self.nodes.identifiers(owner))
            unit.survivors = folded.survivors
            after.update(folded.survivors)
            self._replace(unit, folded.rows)
        for key, (patient_id, described) in before.items():
            if after.get(key) != patient_id or not described:
                moved.add(patient_id)
        if moved:
            owners = owners_where(self._connection, "encounter", "patient_id", moved)
            self._refold(ENCOUNTER, owners)
            self._refold(DEVICE, owners_where(self._connection, "device", "patient_id", moved))

    def _fold_places(self, filed: Sequence[Filed]) -> None:
        stated = [f.fact for f in filed if isinstance(f.fact.event, LocationStated)]
        touched = self.places.state(stated)
        owners = {self.nodes.number(LOCATION, identifier) for identifier in self._sighted}
        owners |= self._dirty[LOCATION] | self._touched_owners(touched)
        subjects = self.places.subjects_by_path() if owners else {}
        keys = {key for path_keys in subjects.values() for key in path_keys}
        self.nodes.learn([(LOCATION, Identifier(*key, "reference")) for key in keys])
        self.units.fetch(LOCATION, owners)
        for owner in owners:
            self._fold_place(owner, subjects)
        if touched.location_ids:
            for entity, kind in (("stay", ENCOUNTER), ("device", DEVICE)):
                ids = touched.location_ids
                self._refold(kind, owners_where(self._connection, entity, "location_id", ids))

    def _touched_owners(self, touched: Touched) -> set[int]:
        wanted = [path_identifier(path) for path in touched.paths]
        self.places.unseen(touched.paths)
        wanted += [Identifier(*key, "reference") for key in touched.subjects]
        self.nodes.learn([(LOCATION, identifier) for identifier in wanted])
        return {self.nodes.number(LOCATION, identifier) for identifier in wanted}

    def _fold_place(self, owner: int, subjects: dict[Path, list[tuple[str, str]]]) -> None:
        unit = self.units.get(owner)
        identifier = self.nodes.identifiers(owner)[0]
        if identifier.type != "path":
            place = self.places.hierarchy.resolve(identifier)
            own = [] if any(place[1:4]) else unit.facts
            rows = fold_location(own, place[:4], identifier, self.places.hierarchy) if own else []
            self._replace(unit, rows)
            return
        path = _path_of(identifier)
        references = [Identifier(*key, "reference") for key in subjects.get(path, ())]
        numbers = [self.nodes.number(LOCATION, reference) for reference in references]
        facts = list(unit.facts)
        for resource in self.units.fetch(LOCATION, numbers):
            facts += resource.facts
        facts.sort(key=lambda fact: fact.order)
        self._replace(unit, fold_location(facts, path, None, self.places.hierarchy))

    def _follow_renamed(self, before: dict[int, tuple[str, bool]]) -> None:
        renamed = {
            encounter_id
            for owner, (encounter_id, described) in before.items()
            if not described
            or encounter_id != encounter_id_of(self.nodes.identifiers(self.nodes.family(owner)))
        }
        if renamed:
            owners = owners_where(self._connection, "encounter", "part_of", renamed)
            self._refold(ENCOUNTER, owners)

    def _fold_encounters(self) -> None:
        owners = self._dirty[ENCOUNTER]
        units = self.units.fetch(ENCOUNTER, owners)
        self._fetch_asked(units)
        resolver = self._resolver()
        for unit in units:
            identifiers = self.nodes.identifiers(unit.owner)
            self._replace(unit, fold_encounter(unit.facts, identifiers, resolver, self._precedence))

    def _fold_others(self) -> None:
        devices = self.units.fetch(DEVICE, self._dirty[DEVICE])
        self._fetch_asked(devices)
        resolver = self._resolver()
        for unit in devices:
            rows = fold_device(unit.facts, self.nodes.identifiers(unit.owner), resolver)
            self._replace(unit, rows)
        for unit in self.units.fetch(DIRECTORY, self._dirty[DIRECTORY]):
            self._replace(unit, fold_directory(unit.facts))
        for unit in self.units.fetch(CENSUS, self._dirty[CENSUS]):
            self._replace(unit, fold_census(unit.facts))

    # --- what folds ask ----------------------------------------------------------------------

    def _resolver(self) -> Resolver:
        return Resolver(self.places.resolve, self._patient, self._encounter, self._location)

    def _patient(self, identifiers: Sequence[Identifier]) -> tuple[str | None, bool]:
        if not identifiers:
            return None, False
        owner = self.nodes.family(self.nodes.number(PATIENT, identifiers[0]))
        unit = self._survivors(owner)
        return (unit.survivors or {}).get(identifiers[0].key), bool(unit.facts)

    def _encounter(self, identifier: Identifier) -> tuple[str, bool]:
        owner = self.nodes.family(self.nodes.number(ENCOUNTER, identifier))
        described = bool(self.units.fetch(ENCOUNTER, (owner,))[0].facts)
        return encounter_id_of(self.nodes.identifiers(owner)), described

    def _location(self, reference: Identifier) -> tuple[str, bool]:
        resolved = self.places.hierarchy.resolve(reference)
        return resolved.location_id, resolved.known

    def _survivors(self, owner: int) -> Unit:
        (unit,) = self.units.fetch(PATIENT, (owner,))
        if unit.survivors is None:
            unit.survivors = fold_people(unit.facts, self.nodes.identifiers(owner)).survivors
        return unit

    def _fetch_asked(self, units: Iterable[Unit]) -> None:
        # Patients and parents that loaded facts name may not be remembered any more.
        asked: dict[str, set[Identifier]] = defaultdict(set)
        for unit in units:
            if unit.kind == DEVICE:
                found = {f.event.patient for f in unit.facts if isinstance(f.event, DeviceStated)}
                asked[PATIENT] |= {patient for patient in found if patient is not None}
            else:
                patients, parents = asks_for(unit.facts)
                asked[PATIENT] |= patients
                asked[ENCOUNTER] |= parents
        for kind, identifiers in asked.items():
            self.nodes.learn([(kind, identifier) for identifier in identifiers])
            numbers = [self.nodes.number(kind, identifier) for identifier in identifiers]
            self.units.fetch(kind, {self.nodes.family(number) for number in numbers})

    # --- versions ----------------------------------------------------------------------------

    def _refold(self, kind: str, owners: Iterable[int]) -> None:
        found = set(owners)
        self._recall(kind, found)
        self._dirty[kind] |= {self.nodes.family(owner) for owner in found}

    def _recall(self, kind: str, owners: set[int]) -> None:
        # Owners come from rows; their nodes must be at hand before their facts can be loaded.
        self.nodes.recall(owners)
        self.units.fetch(kind, {self.nodes.family(owner) for owner in owners})

    def _replace(self, unit: Unit, rows: Sequence[EntityRow]) -> None:
        held, present = unit.rows, set(rows)
        for row in [row for row in held if row not in present]:
            self._closed.append((row, held.pop(row)))
        for row in rows:
            if row not in held:
                self._next_version += 1
                held[row] = self._next_version
                self._opened.append((row, self._next_version, unit.owner))

    def _write(self, entries: Sequence[Entry], filed: Sequence[Filed]) -> BatchApplied:
        connection, nodes = self._connection, self.nodes
        batch_no = self.batch_no + 1
        latest = max(entry.received_at for entry in entries)
        known_at = latest if self.known_at is None else max(latest, self.known_at + _MICROSECOND)
        self._write_messages(entries, batch_no)
        events = [
            event_row(f, self._next_event + n, nodes.number(f.subject.kind, f.subject.united[0]))
            for n, f in enumerate(filed, 1)
        ]
        writing.insert(connection, "event", writing.EVENT, events)
        writing.insert(connection, "node", writing.NODE, nodes.created)
        writing.regroup(connection, nodes.regroupings())
        writing.close_versions(connection, [(row[0], n) for row, n in self._closed], known_at)
        writing.open_versions(connection, self._opened, known_at)
        position = entries[-1].position
        writing.insert(
            connection,
            "batch",
            writing.BATCH,
            [(batch_no, position, known_at, len(entries))],
        )
        self._next_event += len(events)
        self.batch_no, self.position, self.known_at = batch_no, position, known_at
        return self._applied(batch_no, known_at, len(entries))

    def _write_messages(self, entries: Sequence[Entry], batch_no: int) -> None:
        connection = self._connection
        replays = [message_row(e, batch_no) for e in entries if e.replay_of]
        if replays:
            numbers = ", ".join(str(row[0]) for row in replays)
            connection.execute(f"DELETE FROM core.message WHERE message_id IN ({numbers})")
        fresh = [message_row(e, batch_no) for e in entries if not e.replay_of]
        writing.insert(connection, "message", writing.MESSAGE, [*fresh, *replays])
        raws = [(e.position, e.raw) for e in entries if not e.replay_of]
        writing.insert(connection, "raw", writing.RAW, raws)
        findings = [row for entry in entries for row in finding_rows(entry)]
        writing.insert(connection, "message_finding", writing.MESSAGE_FINDING, findings)

    def _applied(self, sequence: int, known_at: datetime, messages: int) -> BatchApplied:
        units, encounters, locations = set(), set(), set()
        for name, values in [row for row, *_ in self._opened] + [row for row, _ in self._closed]:
            if name == "stay":
                units.add((str(values[3] or ""), str(values[4] or "")))
            elif name.startswith("encounter"):
                encounters.add(str(values[0]))
            elif name == "location":
                locations.add(str(values[0]))
                units.add((str(values[2] or ""), str(values[3] or "")))
        changed = (frozenset(units), frozenset(encounters), frozenset(locations))
        return BatchApplied(sequence, known_at, messages, *changed)

    # --- counters ----------------------------------------------------------------------------

    def _forget(self) -> None:
        self.nodes.forget()
        self.units.forget()
        self.places.forget()
        self._read_counters()

    def _read_counters(self) -> None:
        self.batch_no, self.position, self.known_at = last_known_at(self._connection)
        newest = " UNION ALL ".join(
            f"SELECT max(version_no) AS n FROM core.{entity.name}_version" for entity in ENTITIES
        )
        self._next_version = self._one(f"SELECT coalesce(max(n), 0) FROM ({newest})")
        self._next_event = self._one("SELECT coalesce(max(event_no), 0) FROM core.event")

    def _one(self, sql: str) -> int:
        row = self._connection.execute(sql).fetchone()
        return int(row[0]) if row else 0


def _path_of(identifier: Identifier) -> Path:
    facility, unit, room, bed = (part.replace("%2F", "/") for part in identifier.value.split("/"))
    return (facility, unit, room, bed)
