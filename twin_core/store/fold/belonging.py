"""Whose an encounter is and to which account it belongs: what was said last, moves included.

A message says whose visit it is about. Moving an account (A44) says so of every visit that belongs
to it at that instant, whenever those visits' messages arrive.
"""

from collections.abc import Callable, Sequence

from twin_core.events import (
    ClassChanged,
    EncounterContinued,
    EncounterMoved,
    EncounterRenumbered,
    EncountersMerged,
)
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact
from twin_core.store.fold.records import Key
from twin_core.store.fold.rows import Account

NAMING_ONLY = (EncountersMerged, EncounterRenumbered, EncounterMoved, EncounterContinued)
"""Events that say how a visit is named and whose it is; by themselves they make no visit known."""


def is_known(facts: Sequence[Fact]) -> bool:
    """Whether anything but names was told of an encounter."""
    return any(not isinstance(fact.event, NAMING_ONLY) for fact in facts)


def last_named(facts: Sequence[Fact]) -> Sequence[Identifier]:
    """The patient that an encounter's own facts name last."""
    for fact in reversed(facts):
        named: tuple[Identifier, ...] = getattr(fact.event, "patient", ())
        if named:
            return named
    return ()


def accounts_named(facts: Sequence[Fact]) -> dict[Identifier, None]:
    """The accounts that an encounter's facts name, each once, the one named last at the end.

    A visit that goes on under another number leaves the account that says so (A06, A07).
    """
    named: dict[Identifier, None] = {}
    left: dict[Identifier, None] = {}
    for fact in facts:
        account = getattr(fact.event, "account", None)
        if account is not None:
            if isinstance(fact.event, EncounterContinued):
                left[account] = None
                continue
            named.pop(account, None)
            named[account] = None
    return {**{account: None for account in left if account not in named}, **named}


def prior_accounts(facts: Sequence[Fact]) -> list[Identifier]:
    """The accounts that an encounter had before it got its number (A06, A07)."""
    told = [fact.event for fact in facts if isinstance(fact.event, ClassChanged)]
    return [event.prior_account for event in told if event.prior_account is not None]


def belonging(
    facts: Sequence[Fact], resolve: Callable[[Identifier], Account]
) -> tuple[Sequence[Identifier], Account | None]:
    """The patient and the account of an encounter, from its facts in order."""
    accounts = {named.key: resolve(named) for named in accounts_named(facts)}
    if not accounts:
        return last_named(facts), None
    if not any(account.moves for account in accounts.values()):
        return last_named(facts), list(accounts.values())[-1]
    moves = [
        (move.order, key, move.patient) for key, held in accounts.items() for move in held.moves
    ]
    said = [(fact.order, _account_key(fact), getattr(fact.event, "patient", ())) for fact in facts]
    patient: Sequence[Identifier] = ()
    present: Key | None = None
    for is_move, (_, key, named) in sorted(
        [(False, one) for one in said] + [(True, one) for one in moves], key=lambda one: one[1][0]
    ):
        if is_move and key != present:
            continue
        present = key or present
        patient = named or patient
    return patient, accounts[present] if present else None


def _account_key(fact: Fact) -> Key | None:
    if isinstance(fact.event, EncounterContinued):
        return None
    account: Identifier | None = getattr(fact.event, "account", None)
    return account.key if account is not None else None
