"""What folds ask about others: who a patient is now, which visit, device or place is meant.

Whatever is asked for must be at hand before a fold asks: `_fetch_asked` fetches it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from twin_core.events import DeviceStated, EncounterContinued
from twin_core.identifiers import REFERENCE, Identifier
from twin_core.store.facts import Fact
from twin_core.store.fold.account import Accounts, fold_accounts
from twin_core.store.fold.appointment import attending
from twin_core.store.fold.belonging import accounts_named, is_known
from twin_core.store.fold.billed import COLUMNS, BilledVisit, row_of, visit_meant
from twin_core.store.fold.device import device_id_of
from twin_core.store.fold.encounter import asks_for
from twin_core.store.fold.patient import FoldedPeople, fold_people, unnamed
from twin_core.store.fold.records import Key
from twin_core.store.fold.rows import Account, Resolver, VisitNamed, plain_account
from twin_core.store.fold.telling import encounter_id_of
from twin_core.store.folding.batch import Batch
from twin_core.store.subjects import (
    ACCOUNT,
    APPOINTMENT,
    CARE,
    DEVICE,
    DEVICE_EVENT,
    ENCOUNTER,
    PATIENT,
    RESULT,
    subject_of,
)
from twin_core.store.tables import BY_NAME
from twin_core.store.units import Unit, billed_visits, owners_where

ENCOUNTER_COLUMNS = tuple(column.name for column in BY_NAME["encounter"].columns)
_KNOWN_AS = "encounter_identifier"


class Answers(Batch):
    """Answers to what the folds of a batch ask (`Resolver`)."""

    def _resolver(self) -> Resolver:
        return Resolver(
            self.places.resolve,
            self._patients_once(),
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

    def _patients_once(self) -> Callable[[Sequence[Identifier]], tuple[str | None, bool]]:
        """`_patient`, asked once for each: people are folded before whoever asks for them."""
        answered: dict[Key, tuple[str | None, bool]] = {}

        def patient(identifiers: Sequence[Identifier]) -> tuple[str | None, bool]:
            if not identifiers:
                return None, False
            key = identifiers[0].key
            found = answered.get(key)
            if found is None:
                found = answered[key] = self._patient(identifiers)
            return found

        return patient

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

    def _visit_of_account(
        self, named: Identifier, patient_id: str | None, at: datetime | None
    ) -> VisitNamed:
        account_id = self._account(named).account_id
        if account_id not in self._billed:
            self._learn_billed([named])
        visits = {visit.owner: visit for visit in self._billed[account_id]}
        visits |= self._gone_on_from(named)
        visit, ambiguous = visit_meant(list(visits.values()), patient_id, at)
        if visit is not None:
            return VisitNamed(visit.encounter_id, True)
        return VisitNamed(*self._encounter(named), ambiguous)

    def _gone_on_from(self, named: Identifier) -> dict[int, BilledVisit]:
        """Visits that were of an account until they went on under another number, by owner."""
        number = self.nodes.family(self.nodes.number(ENCOUNTER, named))
        visits: dict[int, BilledVisit] = {}
        for fact in self.units.fetch(ENCOUNTER, (number,))[0].facts:
            if isinstance(fact.event, EncounterContinued):
                self.nodes.learn([(ENCOUNTER, fact.event.successor)])
                (unit,) = self.units.fetch(ENCOUNTER, (self._later(fact),))
                held = unit if unit.rows else self._what_goes_on(unit)
                told = self._told(held)
                if told is not None and held is not unit:
                    visits[held.owner] = told._replace(to_at=fact.event.occurred_at)
        return visits

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

    def _told(self, unit: Unit) -> BilledVisit | None:
        cells = row_of(unit.rows)
        if cells is None:
            return None
        told: dict[str, Any] = dict(zip(ENCOUNTER_COLUMNS, cells, strict=True))
        return BilledVisit(unit.owner, *(told[name] for name in COLUMNS))

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
                asked[PATIENT] |= patients
                asked[ENCOUNTER] |= parents
                if self.nodes.accounts:
                    asked[PATIENT] |= self._whose_accounts(unit)
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
