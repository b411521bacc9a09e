"""Accounts: which numbers are one account, which were merged, and whose an account became.

Only accounts that an identity event names are folded; any other is just its number. Encounters ask
here for the accounts that their messages name.
"""

from collections.abc import Sequence
from typing import NamedTuple

from twin_core.events import AccountMoved, AccountRenumbered, AccountsMerged
from twin_core.identifiers import Identifier, content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.records import Key, Records
from twin_core.store.fold.rows import (
    Account,
    AccountMove,
    EntityRow,
    Note,
    canonical,
    finding_row,
    text,
)


class Accounts(NamedTuple):
    """Rows of a family of accounts, and what each number of it stands for."""

    rows: list[EntityRow]
    by_number: dict[Key, Account]


def fold_accounts(facts: Sequence[Fact], identifiers: Sequence[Identifier]) -> Accounts:
    """The accounts of one family, given its facts in order and every number in it."""
    records = Records(identifiers)
    moves: dict[Key, list[AccountMove]] = {i.key: [] for i in identifiers}
    notes: list[Note] = []
    for fact in facts:
        event = fact.event
        if isinstance(event, AccountMoved):
            # Whatever had become one account by then moves, and nothing that becomes so later.
            moved = records.survivor(event.account.key)
            for key in moves:
                if records.survivor(key) == moved:
                    moves[key].append(AccountMove(fact.order, event.patient))
        elif isinstance(event, AccountRenumbered):
            records.unite(event.target.key, event.source.key)
        elif isinstance(event, AccountsMerged):
            if not records.merge(event.source.key, event.target.key):
                notes.append(Note("merge_of_one_record", fact, "both numbers are one account"))
    by_number = {
        key: Account(*known_as, moves[key]) for key, known_as in _known_as(records, facts).items()
    }
    rows = [_row(by_number[i.key].account_id, i) for i in sorted(identifiers, key=_key)]
    for note in notes:
        subject = by_number[min(by_number)].account_id
        rows.append(finding_row(note, subject, facts[-1].recorded_at))
    return Accounts(rows, by_number)


def _known_as(records: Records, facts: Sequence[Fact]) -> dict[Key, tuple[str, str]]:
    """The account_id and the present number of the account that each number stands for."""
    present = {record: canonical(members) for record, members in records.members().items()}
    ids = {record: content_id("b", i.system, i.value) for record, i in present.items()}
    for fact in facts:
        if isinstance(fact.event, AccountRenumbered):
            present[records.record(fact.event.target.key)] = fact.event.target
    known_as = {}
    for key in records.identifiers:
        record = records.survivor(key)
        known_as[key] = (ids[record], present[record].value)
    return known_as


def _row(account_id: str, number: Identifier) -> EntityRow:
    cells = (account_id, number.system, number.value, text(number.type))
    return ("account_identifier", cells)


def _key(identifier: Identifier) -> Key:
    return identifier.key
