"""Merges of persons, patients, accounts and visits: MRG names what becomes part of PID or PV1."""

from collections.abc import Callable, Sequence

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.identities import (
    ACCOUNT,
    ALTERNATE,
    EXTERNAL,
    PATIENT,
    VISIT,
    Identifiers,
    IdentitySet,
    Level,
    counterpart,
    identity_sets,
    is_another_patient,
    missing,
    new_and_old,
    translated,
    unchanged,
    without,
)
from adapters.hl7v2.triggers.reading import Events, Translator
from twin_core.events import AccountMoved, AccountsMerged, EncountersMerged, Event, PatientsMerged
from twin_core.identifiers import Identifier

_Meaning = Callable[[IdentitySet], Sequence[Event]]


def patients_merged(reading: Reading) -> Events:
    """A40, A34: MRG-1 of every set was merged into the PID-3 before it."""
    return translated(reading, identity_sets(reading), _changing(PATIENT, _patients))


def persons_merged(reading: Reading) -> Events:
    """A30, A39: as A40, and the prior external number MRG-4 into PID-2."""
    return translated(reading, identity_sets(reading), _changing(PATIENT, _persons), EXTERNAL)


def accounts_merged(reading: Reading) -> Events:
    """A41, A35: account MRG-3 was merged into PID-18, and follows PID-3 from another MRG-1."""
    return translated(reading, identity_sets(reading), _changing(ACCOUNT, _moved_accounts))


def visits_merged(reading: Reading) -> Events:
    """A42: visit MRG-5 was merged into PV1-19."""
    return translated(reading, identity_sets(reading), _changing(VISIT, _visits))


def patients_and_accounts_merged(reading: Reading) -> Events:
    """A36: patient MRG-1 and account MRG-3 were merged."""
    return translated(reading, identity_sets(reading), _patient_and_account)


def anything_merged(reading: Reading) -> Events:
    """A18: whatever of patient, account and visit has a prior number in MRG was merged."""
    return translated(reading, identity_sets(reading), _anything)


def _changing(level: Level, meaning: _Meaning) -> _Meaning:
    def told(one: IdentitySet) -> Sequence[Event]:
        events = meaning(one)
        if not events:
            raise unchanged(one, level)
        return events

    return told


def _anything(one: IdentitySet) -> list[Event]:
    return _wherever_stated(one, (PATIENT, _patients), (ACCOUNT, _accounts), (VISIT, _visits))


def _patient_and_account(one: IdentitySet) -> list[Event]:
    return _wherever_stated(one, (PATIENT, _patients), (ACCOUNT, _accounts))


def _wherever_stated(one: IdentitySet, *levels: tuple[Level, _Meaning]) -> list[Event]:
    # The numbers above the one that is merged are repeated in MRG: a level may stay as it was.
    stated = [(level, merges) for level, merges in levels if one.states_prior(level)]
    if not stated:
        raise missing(one, levels[0][0].prior_field)
    events = [event for _, merges in stated for event in merges(one)]
    if not events:
        raise unchanged(one, stated[0][0])
    return events


def _patients(one: IdentitySet) -> list[Event]:
    if not one.present(PATIENT):
        raise missing(one, PATIENT.field)
    prior = next(filter(None, map(one.prior, (PATIENT, EXTERNAL, ALTERNATE))), ())
    if not prior:
        raise missing(one, PATIENT.prior_field)
    return _into(one, prior, one.present(PATIENT))


def _persons(one: IdentitySet) -> list[Event]:
    external = one.present(EXTERNAL)
    merges = _into(one, one.prior(EXTERNAL), external) if external else []
    if not merges or one.states_prior(PATIENT):
        merges += _patients(one)
    return merges


def _into(one: IdentitySet, prior: Identifiers, present: Identifiers) -> list[Event]:
    return [
        PatientsMerged(
            occurred_at=one.occurred_at(), source=source, target=counterpart(source, present)
        )
        for source in without(prior, present)
    ]


def _moved_accounts(one: IdentitySet) -> list[Event]:
    merges = _accounts(one)
    if not (merges and is_another_patient(one) and one.present(PATIENT)):
        return merges
    moved = AccountMoved(
        occurred_at=one.occurred_at(),
        account=one.prior(ACCOUNT)[0],
        patient=one.present(PATIENT),
        source=one.prior(PATIENT)[0],
    )
    return [moved, *merges]


def _accounts(one: IdentitySet) -> list[Event]:
    (target,), old = new_and_old(one, ACCOUNT)
    merges: list[Event] = []
    for source in old:
        merges.append(AccountsMerged(occurred_at=one.occurred_at(), source=source, target=target))
        # Where visits are named by nothing but their account, two names of one account name one.
        merges.append(_one_visit(one, target, source))
    return merges


def _visits(one: IdentitySet) -> list[Event]:
    (target,), old = new_and_old(one, VISIT)
    return [_one_visit(one, target, source) for source in old]


def _one_visit(one: IdentitySet, *encounter: Identifier) -> EncountersMerged:
    return EncountersMerged(
        occurred_at=one.occurred_at(),
        entered_at=one.reading.recorded_at,
        encounter=encounter,
        patient=one.present(PATIENT),
        account=next(iter(one.present(ACCOUNT)), None),
    )


TRANSLATORS: dict[str, Translator] = {
    "ADT^A18": anything_merged,
    "ADT^A30": persons_merged,
    "ADT^A34": patients_merged,
    "ADT^A35": accounts_merged,
    "ADT^A36": patients_and_accounts_merged,
    "ADT^A39": persons_merged,
    "ADT^A40": patients_merged,
    "ADT^A41": accounts_merged,
    "ADT^A42": visits_merged,
}
