"""The twin's identity folds against a world that lives through the same events.

First the folds by themselves over many histories, then whole stores in any order of arrival.
"""

import hashlib
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from adt_histories import RESOLVER, fact
from adt_oracle import Message
from identity_histories import ACCOUNTS, LAST, PATIENTS, histories, hours
from identity_oracle import World

from twin_core import Twin
from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    EncounterEvent,
    Envelope,
    Translation,
)
from twin_core.identifiers import Identifier
from twin_core.inbox import Receipt
from twin_core.settings import PrecedenceSettings
from twin_core.store.fold.account import fold_accounts
from twin_core.store.fold.encounter import fold_encounter
from twin_core.store.fold.patient import fold_people
from twin_core.store.tables import BY_NAME

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]
Row = dict[str, object]
Numbers = frozenset[Identifier]


class Tables:
    """Rows by table, however they were come by, and what they say in the world's words."""

    def __init__(self, rows: dict[str, list[Row]]) -> None:
        self.rows = rows
        self.people = self._numbers("patient")
        self.accounts = self._numbers("account")

    def records(self) -> dict[Numbers, Numbers | None]:
        """Every patient record by its numbers, and the record that it was merged into."""
        return {
            self.people[row["patient_id"]]: self.people.get(row["merged_into"])
            for row in self.rows["patient"]
        }

    def visits(self) -> dict[Numbers, tuple[Numbers, tuple[Numbers, object] | None]]:
        """Every visit by its numbers: whose it is, its account's numbers and the present one."""
        names = self._numbers("encounter")
        return {
            names[row["encounter_id"]]: (
                self.people[row["patient_id"]],
                (self._account(row), row["account"]) if row["account_id"] else None,
            )
            for row in self.rows["encounter"]
        }

    def linked(self, at: datetime) -> set[frozenset[Numbers]]:
        """The pairs of persons who are linked at an instant."""
        return {
            frozenset((self.people[row["patient_id"]], self.people[row["linked_patient_id"]]))
            for row in self.rows["patient_link"]
            if row["from_at"] <= at and (row["to_at"] is None or at < row["to_at"])
        }

    def in_dispute(self) -> set[Numbers]:
        """The persons with a finding about their sex."""
        return {
            self.people[row["subject"]]
            for row in self.rows["fold_finding"]
            if row["kind"] == "demographics_clash"
        }

    def _account(self, row: Row) -> Numbers:
        number = Identifier("urn:account", str(row["account"]), "AN")
        known = self.accounts.get(row["account_id"], frozenset((number,)))
        return known

    def _numbers(self, entity: str) -> dict[object, Numbers]:
        found: dict[object, set[Identifier]] = defaultdict(set)
        for row in self.rows[f"{entity}_identifier"]:
            found[row[f"{entity}_id"]].add(
                Identifier(str(row["system"]), str(row["value"]), str(row["type"]))
            )
        return {entity_id: frozenset(numbers) for entity_id, numbers in found.items()}


def compare(tables: Tables, world: World) -> None:
    """The tables say what has become of the world."""
    for numbers, into in tables.records().items():
        holder = world.people.holder(min(numbers, key=lambda n: n.key))
        survivor = world.people.now(min(numbers, key=lambda n: n.key))
        assert numbers == holder.numbers
        assert into == (None if survivor is holder else survivor.numbers)
    assert tables.visits() == {
        frozenset(visit.numbers): (world.owner(visit), world.billed(visit))
        for visit in world.visits
        if visit.known
    }
    for n in range(LAST + 1):
        assert tables.linked(hours(n + 0.5)) == world.linked(hours(n + 0.5))
    assert tables.in_dispute() == world.in_dispute()


def folded(said: Sequence[Message]) -> Tables:
    """Every fold by itself: one family of people, one of accounts, and each visit."""
    facts = sorted(map(fact, said))
    about = {kind: [f for f in facts if isinstance(f.event, kind)] for kind in (_ACCOUNTS, _VISITS)}
    people = fold_people(
        [f for f in facts if not isinstance(f.event, _ACCOUNTS + _VISITS)], PATIENTS
    )
    accounts = fold_accounts(about[_ACCOUNTS], ACCOUNTS)
    resolver = RESOLVER._replace(
        patient=lambda named: (people.survivors[named[0].key], True),
        account=lambda named: accounts.by_number[named.key],
    )
    rows = [*people.rows, *accounts.rows]
    for visit in World(said).visits:
        own = [f for f in about[_VISITS] if set(f.event.encounter) & visit.numbers]
        numbers = sorted(visit.numbers, key=lambda n: n.key)
        rows += fold_encounter(own, numbers, resolver, PrecedenceSettings())
    tables: dict[str, list[Row]] = defaultdict(list)
    for entity, cells in rows:
        names = [column.name for column in BY_NAME[entity].columns]
        tables[entity].append(dict(zip(names, cells, strict=True)))
    return Tables(tables)


_ACCOUNTS = (AccountsMerged, AccountRenumbered, AccountMoved)
_VISITS = (EncounterEvent,)


def drawn(said: Sequence[Message]) -> str:
    """The messages in order, one line each, to read a failing example by."""
    return "\n".join(
        f"{f.order[0]:%d %H:%M} #{f.message_id} {f.event}" for f in sorted(map(fact, said))
    )


@settings(max_examples=300, deadline=None, suppress_health_check=QUIET)
@given(histories("people", longest=12))
def test_who_is_who_is_what_became_of_the_world(said: list[Message]) -> None:
    note(drawn(said))
    compare(folded(said), World(said))


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(histories("visits accounts"))
def test_whose_is_what_is_what_became_of_the_world(said: list[Message]) -> None:
    note(drawn(said))
    compare(folded(said), World(said))


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(histories())
def test_who_is_who_and_whose_is_what_is_what_became_of_the_world(said: list[Message]) -> None:
    note(drawn(said))
    compare(folded(said), World(said))


# --- a hospital on disk ------------------------------------------------------------------------


def receipts(said: Sequence[Message]) -> list[Receipt]:
    """The messages as an inbox receives them, each with all of its events."""
    by_control: dict[int, list[Message]] = defaultdict(list)
    for message in said:
        by_control[message.control].append(message)
    return [_receipt(control, messages) for control, messages in by_control.items()]


def _receipt(control: int, messages: Sequence[Message]) -> Receipt:
    envelope = Envelope(
        feed="adt",
        sender="ADT",
        control_id=str(control),
        trigger_event="ADT",
        sent_at=messages[0].sent_at,
        digest=hashlib.sha256(repr(messages).encode()).digest()[:16],
    )
    outcome = Translation(envelope=envelope, events=tuple(m.event for m in messages))
    return Receipt(format="hl7v2", feed="adt", raw=b"", outcome=outcome, origin="test")


TABLES = (
    "patient",
    "patient_identifier",
    "patient_link",
    "account_identifier",
    "encounter",
    "encounter_identifier",
    "stay",
)


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=QUIET,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink whole hospitals takes long
)
@given(histories(), st.integers(0, 10_000))
def test_a_hospital_on_disk_is_that_world_in_any_order_of_arrival(
    tmp_path_factory: pytest.TempPathFactory, said: list[Message], seed: int
) -> None:
    note(drawn(said))
    chance = random.Random(seed)
    sent = receipts(said)
    sent += chance.sample(sent, k=len(sent) // 3)
    chance.shuffle(sent)
    path = tmp_path_factory.mktemp("identity") / "one.duckdb"
    while sent:
        with Twin.open(path) as twin:  # between openings nothing is remembered
            for _ in range(chance.randint(1, 4)):
                count = chance.randint(1, 8)
                group, sent = sent[:count], sent[count:]
                if group:
                    twin.receive(group)
                    twin.wait_applied()
    with Twin.open(path) as twin:
        rows = {name: twin.query(f"FROM twin.{name}") for name in TABLES}
        rows["fold_finding"] = twin.query("FROM twin.finding")
    compare(Tables(rows), World(said))
    people = {row["encounter_id"]: row["patient_id"] for row in rows["encounter"]}
    assert all(stay["patient_id"] == people[stay["encounter_id"]] for stay in rows["stay"])
