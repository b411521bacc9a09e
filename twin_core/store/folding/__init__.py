"""Folding what a batch touches: from filed events to versions that end and versions that begin.

Each touched patient, place, encounter and device is folded once per batch, in an order in which
each fold finds what it asks for: people and places first, then encounters, then devices.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from twin_core.identifiers import Identifier
from twin_core.store.fold.belonging import is_known
from twin_core.store.fold.device import device_id_of
from twin_core.store.fold.encounter import fold_encounter
from twin_core.store.fold.locations import Path, path_identifier
from twin_core.store.fold.records import Key
from twin_core.store.fold.rows import EntityRow, Resolver, finding_row
from twin_core.store.fold.series import MOST_FILLERS, names_too_many
from twin_core.store.fold.telling import encounter_id_of, number_row
from twin_core.store.folding.accounts import AccountFolding
from twin_core.store.folding.batch import Changes
from twin_core.store.folding.locations import LocationFolding
from twin_core.store.folding.reports import ReportFolding
from twin_core.store.messages import Filed
from twin_core.store.starts import Person, people_in, same_starts
from twin_core.store.subjects import (
    APPOINTMENT,
    DEVICE,
    ENCOUNTER,
    LOCATION,
    PATIENT,
    RESULT,
    Subject,
)
from twin_core.store.units import Unit, owners_where

__all__ = ["Changes", "Folding"]


class Folding(LocationFolding, ReportFolding, AccountFolding):
    """Every fold of a store, over remembered families and the journal behind them."""

    def fold(self, filed: Sequence[Filed]) -> Changes:
        """Add the events of a batch to their families and fold all that they touch."""
        kept = self.nodes.begin()
        if kept is not None:
            self.units.keep(kept)
        self.units.begin()
        self._opened, self._closed, self._dirty = [], [], defaultdict(set)
        self._ended = set()
        self._learn(filed)
        self._fetch(filed)
        before = self._people_before()
        named_before = self._encounters_before()
        devices_before = self._devices_before()
        accounts_before = self._accounts_before()
        named = self._unite_and_add(filed)
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
        self.units.told_of([self.nodes.family(node) for node in named])
        nodes = self.nodes
        touched = self._ended.union(*self._dirty.values())
        touched.update([owner for _, _, owner in self._opened])
        return Changes(
            self._opened,
            self._closed,
            named,
            nodes.created,
            nodes.regroupings(),
            nodes.first_new,
            touched,
        )

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
        family, unite, first_new = self.nodes.family, self.nodes.unite, self.nodes.first_new
        self._numbers = [self._tied(subject) for _, _, subject in filed]
        for (_, _, subject), numbers in zip(filed, self._numbers, strict=True):
            if len(numbers) > 1 and subject.kind != RESULT and min(numbers) >= first_new:
                # Of names that nobody used before there is nothing to bring together.
                for number in numbers[1:]:
                    unite(numbers[0], number)
            self._dirty[subject.kind].update([family(node) for node in numbers])
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

    def _unite_and_add(self, filed: Sequence[Filed]) -> list[int]:
        """Tie together what events tie; the node that each event is filed under."""
        family, unit_of = self.nodes.family, self.units.get
        for (fact, _, subject), numbers in zip(filed, self._numbers, strict=True):
            for number in numbers[1:]:
                if number in self._unnaming:
                    continue
                if subject.kind != RESULT or self._names_an_order(subject.united[1], number):
                    self._unite(subject.kind, numbers[0], number)
            unit_of(family(numbers[0])).add(fact)
        self.units.complete({self.nodes.family(owner) for owner in self._dirty[PATIENT]})
        who_is_who = self._who_is_who() if self.nodes.starts else {}
        # Asked only where there is anybody: in a load the question waits for the batch before.
        alike = same_starts(self._connection, self.nodes, who_is_who) if who_is_who else ()
        for one, other in alike:
            self.units.fetch(ENCOUNTER, (self.nodes.family(one), self.nodes.family(other)))
            self._dirty[ENCOUNTER].update((self.nodes.family(one), self.nodes.family(other)))
            self._unite(ENCOUNTER, one, other)
        for kind, owners in self._dirty.items():
            self._dirty[kind] = {self.nodes.family(owner) for owner in owners}
        return [numbers[0] for numbers in self._numbers]

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
        self._ended.add(gone.owner)
        gone.rows = []
        kept.absorb(gone)
        self.units.drop(gone.owner)

    def _fold_people(self, before: dict[tuple[str, str], tuple[str, bool]]) -> None:
        moved: set[str] = set()
        after: dict[tuple[str, str], str] = {}
        undescribed: set[Key] = set()
        for owner in self._dirty[PATIENT]:
            unit = self.units.get(owner)
            if unit.survivors is not None and not unit.has_news:
                after.update(unit.survivors)
                continue
            folded = self._people(unit)
            unit.survivors, unit.has_news = folded.survivors, False
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
        if not self._joined and not self._noted and not self._shared and not self._given:
            # Nothing of the batch is about accounts, as hardly ever anything is.
            identifiers = self.nodes.identifiers(unit.owner)
            return fold_encounter(unit.standing(), identifiers, resolver, self._precedence)
        return self._rows_with_accounts(unit, resolver)

    def _rows_with_accounts(self, unit: Unit, resolver: Resolver) -> list[EntityRow]:
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
