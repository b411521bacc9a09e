"""Moves: a number that was filed under the wrong superior goes to the right one, and keeps itself.

Where the number in MRG differs from the one that holds, it was changed in the same step.
"""

from collections.abc import Sequence

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.identities import (
    ACCOUNT,
    EXTERNAL,
    PATIENT,
    VISIT,
    IdentitySet,
    identity_sets,
    is_another_patient,
    missing,
    sets_without_prior,
    translated,
    unchanged,
    without,
)
from adapters.hl7v2.triggers.reading import Events, Translator
from adapters.hl7v2.triggers.renumberings import account_renumbered
from twin_core.events import AccountMoved, EncounterMoved, Event, PatientIdentifiersMoved


def identifiers_moved(reading: Reading) -> Events:
    """A43: what MRG-1 and PID-3 have in common went from the rest of MRG-1 to the rest of PID-3.

    Where they have nothing in common, all of MRG-1 went to PID-3; where nothing else is in PID-3
    and PID-2, it stands alone from now on.
    """
    return translated(reading, identity_sets(reading), _identifiers)


def accounts_moved(reading: Reading) -> Events:
    """A44: account MRG-3 went from patient MRG-1 to patient PID-3, with its visits."""
    return translated(reading, identity_sets(reading), _account)


def visits_moved(reading: Reading) -> Events:
    """A45: visits PV1-19 went from account MRG-3 to PID-18, and to the patient PID-3.

    Whose the visit is now is said without an MRG too, as some senders have it.
    """
    if reading.message.segment("MRG") is not None:
        sets = identity_sets(reading, of_one_patient=True)
    else:
        sets = sets_without_prior(reading)
    return translated(reading, sets, _visit)


def _identifiers(one: IdentitySet) -> Sequence[Event]:
    present, prior = one.present(PATIENT), one.prior(PATIENT)
    for numbers, level_field in ((prior, PATIENT.prior_field), (present, PATIENT.field)):
        if not numbers:
            raise missing(one, level_field)
    sources = without(prior, present) + one.prior(EXTERNAL)
    moved = without(prior, sources) or prior
    targets = without(present, moved) + without(one.present(EXTERNAL), one.prior(EXTERNAL))
    if not targets and not sources:
        raise unchanged(one, PATIENT)
    event = PatientIdentifiersMoved(
        occurred_at=one.occurred_at(),
        identifiers=moved,
        target=targets[0] if targets else moved[0],
        source=next(iter(without(sources, moved)), None),
    )
    return (event,)


def _account(one: IdentitySet) -> Sequence[Event]:
    patient = one.present(PATIENT)
    if not patient:
        raise missing(one, PATIENT.field)
    named = one.present(ACCOUNT) or one.prior(ACCOUNT)
    if not named:
        raise missing(one, ACCOUNT.prior_field)
    changed = without(one.prior(ACCOUNT), named)
    if one.prior(PATIENT) and not without(one.prior(PATIENT), patient) and not changed:
        raise unchanged(one, PATIENT)
    moved = AccountMoved(
        occurred_at=one.occurred_at(),
        account=named[0],
        patient=patient,
        source=next(iter(one.prior(PATIENT)), None),
    )
    return (*(event for old in changed for event in account_renumbered(one, old)), moved)


def _visit(one: IdentitySet) -> Sequence[Event]:
    named = one.present(VISIT) or one.prior(VISIT)
    if not named:
        detail = "No visit is named (PV1-19, MRG-5); only the patient is recorded."
        one.reading.note("missing_identifier", detail)
        return ()
    account = one.present(ACCOUNT)
    patient = one.present(PATIENT)
    if not account and not patient:
        raise missing(one, PATIENT.field)
    if one.states_prior(PATIENT) and not is_another_patient(one):
        if not account:
            raise missing(one, ACCOUNT.field)
        if account == one.prior(ACCOUNT):
            raise unchanged(one, ACCOUNT)
    moved = EncounterMoved(
        occurred_at=one.occurred_at(),
        entered_at=one.reading.recorded_at,
        encounter=(*named, *without(one.prior(VISIT), named)),
        patient=patient,
        account=next(iter(account), None),
    )
    return (moved,)


TRANSLATORS: dict[str, Translator] = {
    "ADT^A43": identifiers_moved,
    "ADT^A44": accounts_moved,
    "ADT^A45": visits_moved,
}
