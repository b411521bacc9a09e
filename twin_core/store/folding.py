"""Folding what a batch touches: from filed events to versions that end and versions that begin.

Each touched patient, place, encounter and device is folded once per batch, in an order in which
each fold finds what it asks for: people and places first, then encounters, then devices.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import duckdb

from twin_core.events import DeviceStated, EncounterContinued, Event, Statement
from twin_core.identifiers import REFERENCE, Identifier
from twin_core.settings import PrecedenceSettings
from twin_core.store.facts import Fact
from twin_core.store.fold.account import Accounts, fold_accounts
from twin_core.store.fold.appointment import attending, fold_appointment
from twin_core.store.fold.belonging import (
    accounts_named,
    belonging,
    is_known,
    prior_accounts,
)
from twin_core.store.fold.billed import COLUMNS, BilledVisit, row_of, visit_meant
from twin_core.store.fold.by_account import NumberedVisit, Shared, is_of_account, share
from twin_core.store.fold.cancels import OPENINGS
from twin_core.store.fold.care import care_id_of, fold_care, linked_kind
from twin_core.store.fold.device import device_id_of, fold_census, fold_device, fold_directory
from twin_core.store.fold.encounter import (
    asks_for,
    encounter_id_of,
    fold_encounter,
    number_row,
)
from twin_core.store.fold.locations import Path, fold_location, path_at, path_identifier
from twin_core.store.fold.observation import fold_device_events, fold_results
from twin_core.store.fold.observation_stated import fold_stated_results
from twin_core.store.fold.patient import FoldedPeople, fold_people, unnamed
from twin_core.store.fold.records import Key
from twin_core.store.fold.rows import (
    Account,
    EntityRow,
    Note,
    Resolver,
    VisitNamed,
    finding_row,
    plain_account,
)
from twin_core.store.fold.series import MOST_FILLERS, names_too_many
from twin_core.store.messages import Filed
from twin_core.store.nodes import Nodes
from twin_core.store.places import Places, Touched
from twin_core.store.starts import Person, people_in, same_starts
from twin_core.store.subjects import (
    ACCOUNT,
    APPOINTMENT,
    CARE,
    CENSUS,
    DEVICE,
    DEVICE_EVENT,
    DIRECTORY,
    ENCOUNTER,
    LOCATION,
    PATIENT,
    RESULT,
    Subject,
    subject_of,
)
from twin_core.store.tables import BY_NAME, ENTITIES
from twin_core.store.units import (
    Unit,
    Units,
    billed_visits,
    owners_waiting,
    owners_where,
    visits_of,
)

_ENCOUNTER_COLUMNS = tuple(column.name for column in BY_NAME["encounter"].columns)

_KNOWN_AS = "encounter_identifier"
_LOCATED = (("stay", ENCOUNTER), ("device", DEVICE), ("appointment_resource", APPOINTMENT))


class Changes(NamedTuple):
    """What a batch changes: rows that begin with (version number, owner), rows that end."""

    opened: list[tuple[EntityRow, int, int]]
    closed: list[tuple[EntityRow, int]]


_REPORTED = (("observation", RESULT), ("device_event", DEVICE_EVENT))
"""Tables of what devices and laboratories report, with the kind of unit that writes each."""
_CARED = {
    "patient_id": ("procedure", "service_request", "task"),
    "encounter_id": ("procedure", "service_request", "task"),
    "device_id": ("device_metric",),
    "location_id": ("procedure", "schedule"),
}
"""Tables of requests and the like that have a column; few hospitals send any."""
_LINKING = (
    ("slot", "schedule_id"),
    ("task", "focus"),
    ("service_request", "based_on"),
    ("procedure", "requested_by"),
)
"""Which of their tables refer to another of them, and by which column."""


class Folding:
    """Every fold of a store, over remembered families and the journal behind them."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, precedence: PrecedenceSettings
    ) -> None:
        self._connection, self._precedence = connection, precedence
        self.nodes = Nodes(connection)
        self.units = Units(connection, self.nodes)
        self.places = Places(connection)
        self._next_version = _last_version(connection)
        self._opened: list[tuple[EntityRow, int, int]] = []
        self._closed: list[tuple[EntityRow, int]] = []
        self._dirty: dict[str, set[int]] = defaultdict(set)
        self._sighted: list[Identifier] = []
        self._shared: dict[int, Shared] = {}
        self._given: dict[int, list[Fact]] = {}
        self._joined: dict[int, int] = {}
        """Visits that go on another one, by owner, each with the one that it goes on."""
        self._billed: dict[str, list[BilledVisit]] = {}
        self._noted: dict[int, list[Note]] = defaultdict(list)
        self._unnaming: set[int] = set()
        """Nodes of placers' numbers that stand for too many orders to name any."""

    def forget(self) -> None:
        """Drop whatever is remembered and not committed."""
        self.nodes.forget()
        self.units.forget()
        self.places.forget()
        self._unnaming.clear()
        self._next_version = _last_version(self._connection)

    def fold(self, filed: Sequence[Filed]) -> Changes:
        """Add the events of a batch to their families and fold all that they touch."""
        if self.nodes.begin():
            self.units.forget()
        self.units.begin()
        self._opened, self._closed, self._dirty = [], [], defaultdict(set)
        self._learn(filed)
        self._fetch(filed)
        before = self._people_before()
        named_before = self._encounters_before()
        devices_before = self._devices_before()
        accounts_before = self._accounts_before()
        self._unite_and_add(filed)
        self._fold_people(before)
        self._fold_accounts(accounts_before)
        self._fold_places(filed)
        self._follow_renamed(named_before)
        by_account = self._bring_accounts_together()
        told_before = self._visits_told() if by_account else None
        self._fold_encounters()
        if told_before is not None:
            self._follow_accounts(told_before)
        self._fold_appointments()
        self._fold_devices(filed, devices_before)
        self._fold_others()
        self._fold_care()
        return Changes(self._opened, self._closed)

    # --- the steps of a batch ----------------------------------------------------------------

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
            for node in self._tied(subject):
                self._dirty[subject.kind].add(self.nodes.family(node))
        for kind, owners in self._dirty.items():
            self.units.fetch(kind, owners)

    def _people_before(self) -> dict[tuple[str, str], tuple[str, bool]]:
        known: dict[tuple[str, str], tuple[str, bool]] = {}
        for owner in self._dirty[PATIENT]:
            if not self.nodes.is_new(owner):
                unit = self._survivors(owner)
                described = bool(unit.standing())
                known.update({key: (i, described) for key, i in (unit.survivors or {}).items()})
        return known

    def _encounters_before(self) -> dict[int, tuple[str, bool]]:
        return {
            owner: (encounter_id_of(self.nodes.identifiers(owner)), is_known(unit.standing()))
            for owner in self._dirty[ENCOUNTER]
            if not self.nodes.is_new(owner)
            for unit in [self.units.get(owner)]
        }

    def _devices_before(self) -> dict[int, str]:
        return {
            owner: device_id_of(self.nodes.identifiers(owner))
            for owner in self._dirty[DEVICE]
            if not self.nodes.is_new(owner)
        }

    def _accounts_before(self) -> set[str]:
        rows = [row for owner in self._dirty[ACCOUNT] for row, _ in self.units.get(owner).rows]
        return {str(cells[0]) for entity, cells in rows if entity == "account_identifier"}

    def _unite_and_add(self, filed: Sequence[Filed]) -> None:
        for fact, _, subject in filed:
            numbers = self._tied(subject)
            for number in numbers[1:]:
                if subject.kind != RESULT or self._names_an_order(subject.united[1], number):
                    self._unite(subject.kind, numbers[0], number)
            self.units.get(self.nodes.family(numbers[0])).add(fact)
        for one, other in same_starts(self._connection, self.nodes, self._who_is_who()):
            self.units.fetch(ENCOUNTER, (self.nodes.family(one), self.nodes.family(other)))
            self._dirty[ENCOUNTER].update((self.nodes.family(one), self.nodes.family(other)))
            self._unite(ENCOUNTER, one, other)
        for kind, owners in self._dirty.items():
            self._dirty[kind] = {self.nodes.family(owner) for owner in owners}

    def _tied(self, subject: Subject) -> list[int]:
        """The nodes that an event ties together, the one that it is filed under first."""
        numbers = [self.nodes.number(subject.kind, i) for i in subject.united]
        if subject.kind == RESULT and len(numbers) > 1 and numbers[1] in self._unnaming:
            return numbers[:1]
        return numbers

    def _names_an_order(self, placer: Identifier, number: int) -> bool:
        # Of a placer's number that never changes the orders would become one ever larger family.
        family = self.nodes.family(number)
        if len(self.nodes.members(family)) <= MOST_FILLERS:
            return True
        if names_too_many(self.units.get(family).facts, placer):
            self._unnaming.add(number)
            return False
        return True

    def _who_is_who(self) -> dict[Key, Person]:
        known: dict[Key, Person] = {}
        for family in {self.nodes.family(owner) for owner in self._dirty[PATIENT]}:
            if len(self.nodes.members(family)) > 1:
                facts = self.units.get(family).facts
                known.update(people_in(family, facts, self.nodes.identifiers(family)))
        return known

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
        self._closed += gone.rows
        gone.rows = []
        kept.absorb(gone)
        self.units.drop(gone.owner)

    def _fold_people(self, before: dict[tuple[str, str], tuple[str, bool]]) -> None:
        moved: set[str] = set()
        after: dict[tuple[str, str], str] = {}
        undescribed: set[Key] = set()
        for owner in self._dirty[PATIENT]:
            unit = self.units.get(owner)
            folded = self._people(unit)
            unit.survivors = folded.survivors
            after.update(folded.survivors)
            if unit.withdrawn and not unit.standing():
                undescribed.update(folded.survivors)
            self._replace(unit, folded.rows)
        for key, (patient_id, described) in before.items():
            if after.get(key) != patient_id or not described or key in undescribed:
                moved.add(patient_id)
        if moved:
            owners = owners_where(self._connection, "encounter", "patient_id", moved)
            self._refold(ENCOUNTER, owners)
            self._refold(DEVICE, owners_where(self._connection, "device", "patient_id", moved))
            owners = owners_where(self._connection, "appointment_patient", "patient_id", moved)
            self._refold(APPOINTMENT, owners)
            self._refold_reports("patient_id", moved)
            self._refold_waiting("Patient", moved)

    def _fold_accounts(self, ids: set[str]) -> None:
        for owner in self._dirty[ACCOUNT]:
            unit = self.units.get(owner)
            unit.accounts = fold_accounts(unit.facts, self.nodes.identifiers(owner))
            self._replace(unit, unit.accounts.rows)
            numbers = self.nodes.identifiers(owner)
            ids |= {plain_account(i).account_id for i in numbers}
            known = [(ENCOUNTER, i) for i in numbers if i.key in self.nodes.account_visits]
            self.nodes.learn(known)
            self._refold(ENCOUNTER, [self.nodes.number(*one) for one in known])
        if ids:
            self._refold(ENCOUNTER, owners_where(self._connection, "encounter", "account_id", ids))

    def _fold_places(self, filed: Sequence[Filed]) -> None:
        stated = [f.fact for f in filed if f.subject.kind == LOCATION]
        touched = self.places.state([f for f in stated if isinstance(f.event, Statement)])
        left = self._left(touched, filed)
        if touched.location_ids:
            self._refold_waiting("Location", touched.location_ids)
        owners = {self.nodes.number(LOCATION, identifier) for identifier in self._sighted}
        owners |= self._dirty[LOCATION] | self._touched_owners(touched)
        subjects = self.places.subjects_by_path() if owners else {}
        keys = {key for path_keys in subjects.values() for key in path_keys}
        self.nodes.learn([(LOCATION, Identifier(*key, "reference")) for key in keys])
        self.units.fetch(LOCATION, owners)
        for owner in owners:
            self._fold_place(owner, subjects, left)
        if touched.location_ids:
            for entity, kind in _LOCATED:
                ids = touched.location_ids
                self._refold(kind, owners_where(self._connection, entity, "location_id", ids))
            self._refold_care("location_id", touched.location_ids)

    def _touched_owners(self, touched: Touched) -> set[int]:
        wanted = [path_identifier(path) for path in touched.paths]
        wanted += [Identifier(*key, "reference") for key in touched.subjects]
        self.nodes.learn([(LOCATION, identifier) for identifier in wanted])
        return {self.nodes.number(LOCATION, identifier) for identifier in wanted}

    def _left(self, touched: Touched, filed: Sequence[Filed]) -> set[Path]:
        """The places that resources have left and that no message ever named."""
        if not touched.left:
            return set()
        named = {path for f in filed for path in f.subject.places}
        return {path for path in touched.left if not self.places.is_named(path, named)}

    def _fold_place(
        self, owner: int, subjects: dict[Path, list[tuple[str, str]]], left: Set[Path]
    ) -> None:
        unit = self.units.get(owner)
        identifier = self.nodes.identifiers(owner)[0]
        if identifier.type != "path":
            place = self.places.hierarchy.resolve(identifier)
            own = [] if any(place[1:4]) else unit.standing()
            rows = fold_location(own, place[:4], identifier, self.places.hierarchy) if own else []
            self._replace(unit, rows)
            return
        path = path_at(identifier.value)
        references = [Identifier(*key, "reference") for key in subjects.get(path, ())]
        numbers = [self.nodes.number(LOCATION, reference) for reference in references]
        facts = list(unit.standing())
        for resource in self.units.fetch(LOCATION, numbers):
            facts += resource.standing()
        if path in left and not facts:
            self._replace(unit, [])
            return
        facts.sort(key=lambda fact: fact.order)
        self._replace(unit, fold_location(facts, path, None, self.places.hierarchy))

    def _follow_renamed(self, before: dict[int, tuple[str, bool]]) -> None:
        renamed = {
            owner: encounter_id
            for owner, (encounter_id, described) in before.items()
            if not described
            or encounter_id != encounter_id_of(self.nodes.identifiers(self.nodes.family(owner)))
        }
        if renamed:
            owners = owners_where(self._connection, "encounter", "part_of", renamed.values())
            self._refold(ENCOUNTER, owners)
            self._refold(APPOINTMENT, self._appointments_of(renamed))
            self._refold_reports("encounter_id", set(renamed.values()))
            self._refold_waiting("Encounter", set(renamed.values()))

    def _appointments_of(self, visits: Iterable[int]) -> list[int]:
        families = (self.nodes.identifiers(self.nodes.family(visit)) for visit in visits)
        numbers = {i.value for identifiers in families for i in identifiers}
        return owners_where(self._connection, "appointment_patient", "visit_number", numbers)

    def _fold_encounters(self) -> None:
        owners = self._dirty[ENCOUNTER]
        units = self.units.fetch(ENCOUNTER, owners)
        self._fetch_asked(units)
        resolver = self._resolver()
        for unit in units:
            self._replace(unit, self._encounter_rows(unit, resolver))

    def _encounter_rows(self, unit: Unit, resolver: Resolver) -> list[EntityRow]:
        if unit.owner in self._joined:
            return []
        identifiers = self.nodes.identifiers(unit.owner)
        facts = self._facts_of(unit)
        later = [owner for owner in self._joined if self._goes_on(owner) == unit.owner]
        if later:
            followed = (self._facts_of(self.units.get(owner)) for owner in later)
            facts = sorted([*facts, *chain.from_iterable(followed)], key=lambda fact: fact.order)
        rows = fold_encounter(facts, identifiers, resolver, self._precedence)
        if not rows:
            return rows
        encounter_id = encounter_id_of(identifiers)
        for owner in (unit.owner, *later):
            known_at = facts[-1].recorded_at
            notes = self._noted.get(owner, ())
            rows += [finding_row(note, encounter_id, known_at) for note in notes]
        for number in chain.from_iterable(self.nodes.identifiers(owner) for owner in later):
            rows.append(number_row(encounter_id, number))
        return rows

    def _facts_of(self, unit: Unit) -> Sequence[Fact]:
        """A visit's own facts, with those that name only its account."""
        shared = self._shared.get(unit.owner)
        if shared is not None:
            return shared.kept
        if unit.owner in self._given:
            return sorted([*unit.standing(), *self._given[unit.owner]], key=lambda fact: fact.order)
        return unit.standing()

    def _bring_accounts_together(self) -> bool:
        """Share the facts that name only an account among the visits of it that have numbers.

        Whether the batch has anything to do with accounts by which messages name visits.
        """
        self._shared, self._given, self._joined, self._billed = {}, {}, {}, {}
        self._noted = defaultdict(list)
        if not self.nodes.account_visits:
            return False
        named = self._account_visits_touched()
        if not named:
            return False
        resolver = self._resolver()
        owners: set[int] = set()
        fresh, folded = named, -1
        while fresh and len(self._dirty[ENCOUNTER]) > folded:
            folded = len(self._dirty[ENCOUNTER])
            found = self._visits_of_accounts(fresh, resolver)
            self._continuations(found)
            owners |= found
            if len(self._dirty[ENCOUNTER]) > folded:
                fresh = self._account_visits_touched() - named
                named |= fresh
        units = self.units.fetch(ENCOUNTER, self._dirty[ENCOUNTER])
        self._fetch_asked(units)
        visits = self._numbered_visits(units, named, resolver)
        for unit in units:
            if unit.owner in owners and unit.standing() and is_of_account(unit.standing()):
                _, account = belonging(unit.standing(), self._account)
                billed = visits.get(account.account_id, []) if account else []
                shared = share(unit.standing(), billed, self._whose(resolver), unit.owner)
                self._shared[unit.owner] = shared
                self._noted[unit.owner] += shared.notes
                for note in shared.unsure:
                    self._noted[self._later(note.fact)].append(note)
                for owner, facts in shared.given.items():
                    self._given.setdefault(owner, []).extend(facts)
        self._join()
        return True

    def _visits_of_accounts(self, named: set[Identifier], resolver: Resolver) -> set[int]:
        """Owners of the visits that only an account names; all visits of it are folded anew."""
        self.nodes.learn([(ENCOUNTER, account) for account in named])
        owners = {self.nodes.family(self.nodes.number(ENCOUNTER, one)) for one in named}
        self._dirty[ENCOUNTER] |= owners
        ids = {self._account(account).account_id for account in named}
        patients = self._patients_of(self.units.fetch(ENCOUNTER, owners), resolver)
        self._refold(ENCOUNTER, visits_of(self._connection, ids, patients))
        return owners

    def _continuations(self, owners: Iterable[int]) -> None:
        """Fold visits anew that go on under another number, and what those numbers name."""
        numbers = {
            fact.event.successor
            for unit in self.units.fetch(ENCOUNTER, owners)
            for fact in unit.standing()
            if isinstance(fact.event, EncounterContinued)
        }
        if not numbers:
            return
        self.nodes.learn([(ENCOUNTER, number) for number in numbers])
        self._refold(ENCOUNTER, [self.nodes.number(ENCOUNTER, number) for number in numbers])
        values = {number.value for number in numbers}
        holders = owners_where(self._connection, "encounter_identifier", "value", values)
        self._refold(ENCOUNTER, holders)

    def _join(self) -> None:
        """Let visits that go on another one be that one, unless they had begun by themselves."""
        told = [one for shared in self._shared.values() for one in shared.continued]
        for owner, fact in sorted(told, key=lambda one: one[1].order):
            later = self._later(fact)
            facts = self.units.get(later).standing()
            begun = any(isinstance(f.event, OPENINGS) and f.order < fact.order for f in facts)
            if not begun and later not in self._joined and self._goes_on(owner) != later:
                self._joined[later] = owner

    def _later(self, fact: Fact | None) -> int:
        """The owner of the visit under whose number another one goes on, as a fact says."""
        event = fact.event if fact is not None else None
        assert isinstance(event, EncounterContinued)  # noqa: S101  (narrows the type)
        return self.nodes.family(self.nodes.number(ENCOUNTER, event.successor))

    def _goes_on(self, owner: int) -> int:
        """The visit that a visit is part of since it got another number; else itself."""
        while owner in self._joined:
            owner = self._joined[owner]
        return owner

    def _account_visits_touched(self) -> set[Identifier]:
        # Accounts of what this batch changes by which any message names a visit, under each number.
        found: set[Identifier] = set()
        for unit in self.units.fetch(ENCOUNTER, self._dirty[ENCOUNTER]):
            found.update(accounts_named(unit.standing()))
            found.update(prior_accounts(unit.standing()))
            found.update(i for i in self.nodes.identifiers(unit.owner) if i.type == "AN")
        known = [account for account in found if account.key in self.nodes.accounts]
        self.nodes.learn([(ACCOUNT, account) for account in known])
        for account in known:
            family = self.nodes.family(self.nodes.number(ACCOUNT, account))
            found.update(self.nodes.identifiers(family))
        return {account for account in found if account.key in self.nodes.account_visits}

    def _patients_of(self, units: Sequence[Unit], resolver: Resolver) -> set[str]:
        """The patient_ids of everyone whom facts of these encounters name."""
        named = {
            patient
            for unit in units
            for fact in unit.standing()
            for patient in getattr(fact.event, "patient", ())[:1]
        }
        self.nodes.learn([(PATIENT, patient) for patient in named])
        numbers = [self.nodes.number(PATIENT, patient) for patient in named]
        self.units.fetch(PATIENT, {self.nodes.family(number) for number in numbers})
        found = {resolver.patient([patient])[0] for patient in named}
        return {patient_id for patient_id in found if patient_id is not None}

    def _whose(self, resolver: Resolver) -> Callable[[Event], str | None]:
        return lambda event: resolver.patient(getattr(event, "patient", ()))[0]

    def _numbered_visits(
        self, units: Sequence[Unit], named: set[Identifier], resolver: Resolver
    ) -> dict[str, list[NumberedVisit]]:
        """By account_id, the visits of the accounts that have a number of their own."""
        ids = {self._account(account).account_id for account in named}
        found: dict[str, list[NumberedVisit]] = defaultdict(list)
        for unit in units:
            if is_of_account(unit.standing()):
                continue
            _, account = belonging(unit.standing(), self._account)
            if account is None or account.account_id not in ids:
                continue
            identifiers = self.nodes.identifiers(unit.owner)
            for entity, cells in fold_encounter(
                unit.standing(), identifiers, resolver, self._precedence
            ):
                if entity == "encounter":
                    told: dict[str, Any] = dict(zip(_ENCOUNTER_COLUMNS, cells, strict=True))
                    period = told["admitted_at"], told["discharged_at"]
                    visit = NumberedVisit(unit.owner, told["patient_id"], *period)
                    found[account.account_id].append(visit)
        return found

    def _visits_told(self) -> dict[int, BilledVisit | None]:
        """The visits that are about to be folded, as their rows tell them until now."""
        units = self.units.fetch(ENCOUNTER, self._dirty[ENCOUNTER])
        return {unit.owner: self._told(unit) for unit in units}

    def _told(self, unit: Unit) -> BilledVisit | None:
        cells = row_of(unit.rows)
        if cells is None:
            return None
        told: dict[str, Any] = dict(zip(_ENCOUNTER_COLUMNS, cells, strict=True))
        return BilledVisit(unit.owner, *(told[name] for name in COLUMNS))

    def _follow_accounts(self, before: dict[int, BilledVisit | None]) -> None:
        """Fold results and appointments anew whose account may mean another visit now."""
        changed = [
            (unit, told, now)
            for unit in self.units.fetch(ENCOUNTER, before)
            for told, now in [(before[unit.owner], self._told(unit))]
            if told != now
        ]
        units = {unit.owner: unit for unit, _, _ in changed}
        units |= {owner: self.units.get(owner) for owner in self._joined}
        numbers: set[Identifier] = set()
        for unit in units.values():
            numbers.update(accounts_named(unit.standing()), prior_accounts(unit.standing()))
        for owner in self._dirty[ACCOUNT]:
            numbers.update(self.nodes.identifiers(owner))
        named = {number for number in numbers if number.key in self.nodes.account_visits}
        if not named:
            return
        self.nodes.learn([(ACCOUNT, i) for i in named if i.key in self.nodes.accounts])
        visits = {told for _, *both in changed for told in both if told is not None}
        ids = {self._account(number).account_id for number in named}
        ids |= {visit.account_id for visit in visits if visit.account_id is not None}
        visits.update(billed_visits(self._connection, ids))
        own = {self._encounter_named(number) for number in named}
        several = {visit.encounter_id for visit in visits} | own
        if several == own:
            return  # nothing but accounts ever named these visits
        self._refold_reports("encounter_id", several)
        known_as = {i for owner in units for i in self.nodes.identifiers(owner)}
        values = {number.value for number in named | known_as}
        appointments = owners_where(self._connection, "appointment_patient", "visit_number", values)
        self._refold(APPOINTMENT, appointments)

    def _encounter_named(self, number: Identifier) -> str:
        self.nodes.learn([(ENCOUNTER, number)])
        family = self.nodes.family(self.nodes.number(ENCOUNTER, number))
        return encounter_id_of(self.nodes.identifiers(family))

    def _fold_appointments(self) -> None:
        units = self.units.fetch(APPOINTMENT, self._dirty[APPOINTMENT])
        self._fetch_asked(units)
        resolver = self._resolver()
        for unit in units:
            identifiers = self.nodes.identifiers(unit.owner)
            self._replace(unit, fold_appointment(unit.standing(), identifiers, resolver))

    def _fold_devices(self, filed: Sequence[Filed], before: dict[int, str]) -> None:
        reporting = {
            self.nodes.family(self.nodes.number(kind, identifier))
            for _, _, subject in filed
            if subject.kind in (RESULT, DEVICE_EVENT)
            for kind, identifier in subject.asked
            if kind == DEVICE
        }
        # A device that only its reports name is folded once, to be shown at all.
        seen_first = {u.owner for u in self.units.fetch(DEVICE, reporting) if not u.rows}
        devices = self.units.fetch(DEVICE, self._dirty[DEVICE] | seen_first)
        described = {
            device_id_of(self.nodes.identifiers(unit.owner)): bool(unit.standing())
            for unit in devices
            if bool(unit.standing()) != bool(unit.rows)
        }
        self._refold_waiting("Device", [one for one, now in described.items() if now])
        deleted = {one for one, now in described.items() if not now}
        if deleted:
            self._refold_reports("device_id", deleted)
        self._fetch_asked(devices)
        resolver = self._resolver()
        for unit in devices:
            if unit.withdrawn and not unit.standing() and not self._is_reported(unit, reporting):
                self._replace(unit, [])
                continue
            rows = fold_device(unit.standing(), self.nodes.identifiers(unit.owner), resolver)
            self._replace(unit, rows)
        renamed = {
            device_id
            for owner, device_id in before.items()
            if device_id != device_id_of(self.nodes.identifiers(self.nodes.family(owner)))
        }
        if renamed:
            self._refold_reports("device_id", renamed)

    def _is_reported(self, unit: Unit, reporting: Set[int]) -> bool:
        """Whether a device that no source describes any more still reports something."""
        device_id = device_id_of(self.nodes.identifiers(unit.owner))
        return unit.owner in reporting or any(
            owners_where(self._connection, entity, "device_id", [device_id])
            for entity, _ in _REPORTED
        )

    def _fold_others(self) -> None:
        results = self.units.fetch(RESULT, self._dirty[RESULT])
        alarms = self.units.fetch(DEVICE_EVENT, self._dirty[DEVICE_EVENT])
        self._fetch_asked([*results, *alarms])
        resolver = self._resolver()
        for unit in results:
            facts = unit.standing()
            rows = [*fold_results(facts, resolver), *fold_stated_results(facts, resolver)]
            self._replace(unit, rows)
        for unit in alarms:
            self._replace(unit, fold_device_events(unit.facts, resolver))
        for unit in self.units.fetch(DIRECTORY, self._dirty[DIRECTORY]):
            self._replace(unit, fold_directory(unit.standing()))
        for unit in self.units.fetch(CENSUS, self._dirty[CENSUS]):
            self._replace(unit, fold_census(unit.facts))

    def _fold_care(self) -> None:
        if not self._dirty[CARE]:
            return
        units = self.units.fetch(CARE, self._dirty[CARE])
        # What is described first, or deleted, is looked at again by whatever refers to it.
        changed = [u for u in units if bool(u.standing()) != bool(u.rows)]
        subjects = [(u, self.nodes.identifiers(u.owner)[0]) for u in changed]
        for _, subject in subjects:
            kind = linked_kind(subject)
            if kind:
                self._refold_waiting(kind, [care_id_of(subject)])
        gone = [care_id_of(subject) for unit, subject in subjects if unit.rows]
        for entity, column in _LINKING if gone else ():
            self._refold(CARE, owners_where(self._connection, entity, column, gone))
        units = self.units.fetch(CARE, self._dirty[CARE])
        self._fetch_asked(units)
        resolver = self._resolver()
        for unit in units:
            self._replace(unit, fold_care(unit.standing(), resolver))

    # --- what folds ask ----------------------------------------------------------------------

    def _resolver(self) -> Resolver:
        return Resolver(
            self.places.resolve,
            self._patient,
            self._encounter,
            self._location,
            self._device,
            self._account,
            self._visit_of_account,
            self._is_device,
            self._is_cared_for,
        )

    def _is_device(self, identifier: Identifier) -> bool:
        if identifier.type != REFERENCE:
            return True
        owner = self.nodes.family(self.nodes.number(DEVICE, identifier))
        return bool(self.units.fetch(DEVICE, (owner,))[0].standing())

    def _is_cared_for(self, identifier: Identifier) -> bool:
        owner = self.nodes.family(self.nodes.number(CARE, identifier))
        return bool(self.units.fetch(CARE, (owner,))[0].standing())

    def _patient(self, identifiers: Sequence[Identifier]) -> tuple[str | None, bool]:
        if not identifiers:
            return None, False
        owner = self.nodes.family(self.nodes.number(PATIENT, identifiers[0]))
        unit = self._survivors(owner)
        return (unit.survivors or {}).get(identifiers[0].key), bool(unit.standing())

    def _encounter(self, identifier: Identifier) -> tuple[str, bool]:
        owner = self.nodes.family(self.nodes.number(ENCOUNTER, identifier))
        (unit,) = self.units.fetch(ENCOUNTER, (owner,))
        if self.nodes.account_visits and not unit.rows:
            unit = self._what_goes_on(unit)
        described = is_known(unit.standing())
        return encounter_id_of(self.nodes.identifiers(unit.owner)), described

    def _what_goes_on(self, unit: Unit) -> Unit:
        """The visit that goes on under the number of a unit without rows of its own."""
        if unit.owner in self._dirty[ENCOUNTER]:
            return self.units.fetch(ENCOUNTER, (self._goes_on(unit.owner),))[0]
        if not is_known(unit.standing()):
            return unit
        numbers = self.nodes.identifiers(unit.owner)
        values = [number.value for number in numbers]
        for owner in owners_where(self._connection, "encounter_identifier", "value", values):
            self._recall(ENCOUNTER, {owner})
            holder = self.units.get(self.nodes.family(owner))
            known_as = {cells[1:3] for (entity, cells), _ in holder.rows if entity == _KNOWN_AS}
            if any(number.key in known_as for number in numbers):
                return holder
        return unit

    def _visit_of_account(
        self, named: Identifier, patient_id: str | None, at: datetime | None
    ) -> VisitNamed:
        account_id = self._account(named).account_id
        if account_id not in self._billed:
            self._learn_billed([named])
        visits = {visit.owner: visit for visit in self._billed[account_id]}
        number = self.nodes.family(self.nodes.number(ENCOUNTER, named))
        for fact in self.units.fetch(ENCOUNTER, (number,))[0].facts:
            if isinstance(fact.event, EncounterContinued):
                self.nodes.learn([(ENCOUNTER, fact.event.successor)])
                (unit,) = self.units.fetch(ENCOUNTER, (self._later(fact),))
                held = unit if unit.rows else self._what_goes_on(unit)
                told = self._told(held)
                if told is not None and held is not unit:
                    # Of this account the visit was until then.
                    visits[held.owner] = told._replace(to_at=fact.event.occurred_at)
        visit, ambiguous = visit_meant(list(visits.values()), patient_id, at)
        if visit is not None:
            return VisitNamed(visit.encounter_id, True)
        return VisitNamed(*self._encounter(named), ambiguous)

    def _learn_billed(self, named: Iterable[Identifier]) -> None:
        """Look up the visits of accounts, as they are after this batch."""
        ids = {self._account(number).account_id for number in named} - self._billed.keys()
        if not ids:
            return
        self._billed.update({account_id: [] for account_id in ids})
        visits = {
            visit.owner: visit
            for visit in billed_visits(self._connection, ids)
            if self.nodes.family(visit.owner) == visit.owner
        }
        for owner in self._dirty[ENCOUNTER]:
            told = self._told(self.units.fetch(ENCOUNTER, (owner,))[0])
            visits.pop(owner, None)
            if told is not None:
                visits[owner] = told
        for visit in visits.values():
            if visit.account_id in self._billed:
                self._billed[visit.account_id].append(visit)

    def _location(self, reference: Identifier) -> tuple[str, bool]:
        resolved = self.places.hierarchy.resolve(reference)
        return resolved.location_id, resolved.known

    def _device(self, identifier: Identifier) -> str:
        owner = self.nodes.family(self.nodes.number(DEVICE, identifier))
        return device_id_of(self.nodes.identifiers(owner))

    def _account(self, named: Identifier) -> Account:
        if named.key not in self.nodes.accounts:
            return plain_account(named)
        return self._accounts(named).by_number[named.key]

    def _accounts(self, named: Identifier) -> Accounts:
        owner = self.nodes.family(self.nodes.number(ACCOUNT, named))
        (unit,) = self.units.fetch(ACCOUNT, (owner,))
        if unit.accounts is None:
            unit.accounts = fold_accounts(unit.facts, self.nodes.identifiers(owner))
        return unit.accounts

    def _survivors(self, owner: int) -> Unit:
        (unit,) = self.units.fetch(PATIENT, (owner,))
        if unit.survivors is None:
            unit.survivors = self._people(unit).survivors
        return unit

    def _people(self, unit: Unit) -> FoldedPeople:
        facts, identifiers = unit.standing(), self.nodes.identifiers(unit.owner)
        gone = unnamed(facts, identifiers) if unit.withdrawn else frozenset[Key]()
        return fold_people(facts, identifiers, gone)

    def _fetch_asked(self, units: Iterable[Unit]) -> None:
        # Patients and parents that loaded facts name may not be remembered any more.
        asked: dict[str, set[Identifier]] = defaultdict(set)
        for unit in units:
            if unit.kind == DEVICE:
                found = {
                    f.event.patient for f in unit.standing() if isinstance(f.event, DeviceStated)
                }
                asked[PATIENT] |= {patient for patient in found if patient is not None}
            elif unit.kind == APPOINTMENT:
                for one in attending(unit.standing()):
                    asked[PATIENT].add(one.patient[0])
                    if one.visit is not None:
                        asked[ENCOUNTER].add(one.visit)
            elif unit.kind in (RESULT, DEVICE_EVENT, CARE):
                for fact in unit.facts:
                    for kind, identifier in subject_of(fact.event).asked:
                        asked[kind].add(identifier)
            else:
                patients, parents = asks_for(unit.standing())
                asked[PATIENT] |= patients | self._whose_accounts(unit)
                asked[ENCOUNTER] |= parents
        for kind, identifiers in asked.items():
            self.nodes.learn([(kind, identifier) for identifier in identifiers])
            numbers = [self.nodes.number(kind, identifier) for identifier in identifiers]
            self.units.fetch(kind, {self.nodes.family(number) for number in numbers})
        by_account = [i for i in asked.get(ENCOUNTER, ()) if i.type == "AN"]
        if by_account:
            known = [(ACCOUNT, i) for i in by_account if i.key in self.nodes.accounts]
            self.nodes.learn(known)
            self._learn_billed(by_account)

    def _whose_accounts(self, unit: Unit) -> set[Identifier]:
        # To whom the accounts that an encounter's messages name were moved.
        accounts = accounts_named(unit.standing())
        known = [account for account in accounts if account.key in self.nodes.accounts]
        if not known:
            return set()
        self.nodes.learn([(ACCOUNT, account) for account in known])
        moves = [move for account in known for move in self._account(account).moves]
        return {move.patient[0] for move in moves}

    # --- versions ----------------------------------------------------------------------------

    def _refold(self, kind: str, owners: Iterable[int]) -> None:
        found = set(owners)
        self._recall(kind, found)
        self._dirty[kind] |= {self.nodes.family(owner) for owner in found}

    def _refold_reports(self, column: str, ids: set[str]) -> None:
        for entity, kind in _REPORTED:
            self._refold(kind, owners_where(self._connection, entity, column, ids))
        self._refold_care(column, ids)

    def _refold_care(self, column: str, ids: Iterable[str]) -> None:
        if self.nodes.cares:
            for entity in _CARED[column]:
                self._refold(CARE, owners_where(self._connection, entity, column, ids))

    def _refold_waiting(self, kind: str, ids: Collection[str]) -> None:
        """Fold again what found that nobody had described one of these, under the id it had."""
        if not ids:
            return
        for waiting, owners in owners_waiting(self._connection, kind, ids).items():
            self._refold(waiting, owners)

    def _recall(self, kind: str, owners: set[int]) -> None:
        # Owners come from rows; their nodes must be at hand before their facts can be loaded.
        self.nodes.recall(owners)
        self.units.fetch(kind, {self.nodes.family(owner) for owner in owners})

    def _replace(self, unit: Unit, rows: Sequence[EntityRow]) -> None:
        held = unit.rows
        if len(held) == len(rows) and all(
            before[0] == row for before, row in zip(held, rows, strict=True)
        ):
            return
        kept: dict[EntityRow, int] = {}
        if held:
            present = set(rows)
            for row, number in held:
                if row in present:
                    kept[row] = number
                else:
                    self._closed.append((row, number))
        unit.rows = (
            [(row, kept.get(row) or self._number(row, unit)) for row in rows]
            if kept
            else [(row, self._number(row, unit)) for row in rows]
        )

    def _number(self, row: EntityRow, unit: Unit) -> int:
        self._next_version += 1
        self._opened.append((row, self._next_version, unit.owner))
        return self._next_version


def _last_version(connection: duckdb.DuckDBPyConnection) -> int:
    newest = " UNION ALL ".join(
        f"SELECT max(version_no) AS n FROM core.{entity.name}_version" for entity in ENTITIES
    )
    row = connection.execute(f"SELECT coalesce(max(n), 0) FROM ({newest})").fetchone()
    return int(row[0]) if row else 0
