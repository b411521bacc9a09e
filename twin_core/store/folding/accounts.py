"""Accounts: folded, and visits that messages name by their account alone brought together.

Some systems send PV1-19 in every message and others only PID-18; see `fold.by_account`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twin_core.events import EncounterContinued, Event
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact
from twin_core.store.fold.account import fold_accounts
from twin_core.store.fold.belonging import accounts_named, belonging, prior_accounts
from twin_core.store.fold.billed import BilledVisit
from twin_core.store.fold.by_account import NumberedVisit, is_of_account, share
from twin_core.store.fold.cancels import OPENINGS
from twin_core.store.fold.encounter import fold_encounter
from twin_core.store.fold.rows import Resolver, plain_account
from twin_core.store.fold.telling import encounter_id_of
from twin_core.store.folding.answers import ENCOUNTER_COLUMNS, Answers
from twin_core.store.subjects import ACCOUNT, APPOINTMENT, ENCOUNTER, PATIENT
from twin_core.store.units import Unit, billed_visits, owners_where, visits_of


class AccountFolding(Answers):
    """Accounts of a batch, and the visits that are of them."""

    def _accounts_before(self) -> set[str]:
        rows = [row for owner in self._dirty[ACCOUNT] for row, _ in self.units.get(owner).rows]
        return {str(cells[0]) for entity, cells in rows if entity == "account_identifier"}

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
                    told: dict[str, Any] = dict(zip(ENCOUNTER_COLUMNS, cells, strict=True))
                    period = told["admitted_at"], told["discharged_at"]
                    visit = NumberedVisit(unit.owner, told["patient_id"], *period)
                    found[account.account_id].append(visit)
        return found

    def _visits_told(self) -> dict[int, BilledVisit | None]:
        """The visits that are about to be folded, as their rows tell them until now."""
        units = self.units.fetch(ENCOUNTER, self._dirty[ENCOUNTER])
        return {unit.owner: self._told(unit) for unit in units}

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
        for number in named:
            visits.update(self._gone_on_from(number).values())
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
