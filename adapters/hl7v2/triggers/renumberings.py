"""Changes of an identifier: the old number and the new one both name what they named."""

from collections.abc import Callable, Sequence

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.identities import (
    ACCOUNT,
    ALTERNATE,
    ALTERNATE_VISIT,
    EXTERNAL,
    PATIENT,
    VISIT,
    IdentitySet,
    Level,
    counterpart,
    identity_sets,
    missing,
    new_and_old,
    translated,
    unchanged,
)
from adapters.hl7v2.triggers.reading import Events, Translator
from twin_core.events import (
    AccountRenumbered,
    EncounterRenumbered,
    Event,
    PatientRenumbered,
)
from twin_core.identifiers import Identifier


def _patient(one: IdentitySet, level: Level) -> Sequence[Event]:
    if not one.present(PATIENT):
        raise missing(one, PATIENT.field)
    present, old = new_and_old(one, level)
    return [
        PatientRenumbered(
            occurred_at=one.occurred_at(), source=number, target=counterpart(number, present)
        )
        for number in old
    ]


def _account(one: IdentitySet, level: Level) -> Sequence[Event]:
    _, old = new_and_old(one, level)
    return [event for number in old for event in account_renumbered(one, number)]


def _visit(one: IdentitySet, level: Level) -> Sequence[Event]:
    (present,), old = new_and_old(one, level)
    main = one.present(VISIT)
    return [_renumbered(one, *dict.fromkeys((*main, present, number))) for number in old]


def account_renumbered(one: IdentitySet, old: Identifier) -> tuple[Event, Event]:
    """An account's new number in PID-18, and that of a visit which only its account names."""
    (new,) = one.present(ACCOUNT)
    changed = AccountRenumbered(occurred_at=one.occurred_at(), source=old, target=new)
    return changed, _renumbered(one, new, old)


def _renumbered(one: IdentitySet, *encounter: Identifier) -> EncounterRenumbered:
    return EncounterRenumbered(
        occurred_at=one.occurred_at(),
        entered_at=one.reading.recorded_at,
        encounter=encounter,
        patient=one.present(PATIENT),
        account=next(iter(one.present(ACCOUNT)), None),
    )


def _renumbering(
    level: Level, meaning: Callable[[IdentitySet, Level], Sequence[Event]], rule: str
) -> Translator:
    def renumbered(reading: Reading) -> Events:
        def told(one: IdentitySet) -> Sequence[Event]:
            events = meaning(one, level)
            if not events:
                raise unchanged(one, level)
            return events

        # A number that changes belongs to the record that PID-3 names.
        levels = (level,) if level in (EXTERNAL, ALTERNATE) else ()
        return translated(reading, identity_sets(reading), told, *levels)

    renumbered.__doc__ = rule
    return renumbered


TRANSLATORS: dict[str, Translator] = {
    "ADT^A46": _renumbering(EXTERNAL, _patient, "A46: external id MRG-4 became PID-2."),
    "ADT^A47": _renumbering(PATIENT, _patient, "A47: identifiers MRG-1 became PID-3."),
    "ADT^A48": _renumbering(ALTERNATE, _patient, "A48: alternate id MRG-2 became PID-4."),
    "ADT^A49": _renumbering(ACCOUNT, _account, "A49: account number MRG-3 became PID-18."),
    "ADT^A50": _renumbering(VISIT, _visit, "A50: visit number MRG-5 became PV1-19."),
    "ADT^A51": _renumbering(
        ALTERNATE_VISIT, _visit, "A51: alternate visit id MRG-6 became PV1-50."
    ),
}
