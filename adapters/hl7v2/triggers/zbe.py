"""Movements as IHE PAM states them: segment ZBE names the movement and what becomes of it.

ZBE-1 names the movement, ZBE-2 is when it happened, ZBE-4 whether it is inserted, updated or
cancelled, and ZBE-6 which trigger event it had been. What ZBE says is preferred to what the trigger
event would have had to leave to inference.
"""

from adapters.hl7v2.fields import CLEARED, Reading, Segment
from adapters.hl7v2.refusal import (
    REQUIRED_FIELD,
    TABLE_VALUE,
    UNSUPPORTED_EVENT,
    content_fault,
    envelope_fault,
)
from adapters.hl7v2.timestamps import within_unit
from adapters.hl7v2.triggers import doctors, leaves, movements, plans, tracking
from adapters.hl7v2.triggers.cancels import CANCELLED_BY
from adapters.hl7v2.triggers.cancels import TRANSLATORS as CANCELS
from adapters.hl7v2.triggers.reading import Events, Translator
from twin_core.events import Movement

RESTATED = "ADT^Z99"
"""The trigger event by which IHE PAM corrects or cancels a movement, also a historic one."""

_FAMILIES = (movements, plans, leaves, tracking, doctors)
_STATED: dict[str, Translator] = {
    trigger_event: translator
    for family in _FAMILIES
    for trigger_event, translator in family.TRANSLATORS.items()
    if trigger_event in CANCELLED_BY
}
_INSERT, _UPDATE, _CANCEL = "INSERT", "UPDATE", "CANCEL"
_ACTIONS = {"": _INSERT, _INSERT: _INSERT, _UPDATE: _UPDATE, _CANCEL: _CANCEL, "DELETE": _CANCEL}


def restated(reading: Reading) -> Events:
    """Z99: the movement ZBE-1, which had been ZBE-6, is inserted, updated or cancelled (ZBE-4)."""
    if "ZBE" not in reading.message.shape.first:
        # Without its movement it is some other site's Z99.
        reason = "Z99 is taken only as IHE PAM has it; send the movement in a ZBE segment."
        raise envelope_fault("MSH^1^9", UNSUPPORTED_EVENT, reason)
    translator = stated_movement(reading, RESTATED)
    return translator(reading) if translator else ()


def stated_movement(reading: Reading, trigger_event: str) -> Translator | None:
    """What translates a message with a ZBE segment; the reading learns which movement it states.

    Refused is a Z99 that does not say which movement of which kind it is about. None where the
    message is about no movement (A08, A31) and its ZBE corrects none.
    """
    zbe = reading.segment("ZBE")
    action = _ACTIONS.get(reading.message.code(zbe[4]).upper())
    if action is None:
        reading.note("unknown_code", "ZBE-4 is none of INSERT, UPDATE, CANCEL.")
        action = _INSERT
    translator = _translator(reading, zbe, trigger_event, action)
    identifiers = _identifiers(reading, zbe[1])
    if translator is None:
        return None
    if identifiers:
        reading.movement = Movement(identifiers=identifiers, corrects=action == _UPDATE)
    elif trigger_event == RESTATED:
        raise content_fault("ZBE^1^1", REQUIRED_FIELD, "No movement is named; send ZBE-1.")
    started = reading.moment(zbe[2], "ZBE^1^2")  # start of the movement
    if started is not None:
        reading.event_at = within_unit(started, reading.recorded_at)
    return translator


def _translator(
    reading: Reading, zbe: Segment, trigger_event: str, action: str
) -> Translator | None:
    if trigger_event in CANCELS:
        return CANCELS[trigger_event]
    kind = trigger_event
    if action != _INSERT or trigger_event == RESTATED:
        original = reading.message.code(zbe[6]).upper()  # original trigger event
        kind = f"ADT^{original.rpartition('^')[2]}" if original else trigger_event
    if kind in CANCELS:
        return CANCELS[kind]
    if kind in _STATED:
        return CANCELLED_BY[kind] if action == _CANCEL else _STATED[kind]
    if trigger_event != RESTATED:
        return None
    if kind == RESTATED:
        reason = "The kind of the movement is not named; send its trigger event in ZBE-6."
        raise content_fault("ZBE^1^6", REQUIRED_FIELD, reason)
    raise content_fault("ZBE^1^6", TABLE_VALUE, "ZBE-6 is no trigger event of a movement.")


def _identifiers(reading: Reading, field: str) -> tuple[str, ...]:
    """The ids of a movement (EI), each with whoever assigned it."""
    message = reading.message
    found = []
    for sent in field.split(message.delimiters.repetition):
        number, *issuer = message.components(sent)[:4]
        value = message.text(number).strip()
        if value and value != CLEARED:
            authority = message.delimiters.subcomponent.join(issuer)
            named = authority if any(issuer) else ""
            found.append(f"{reading.conventions.system(message, named, 'movement')}|{value}")
    return tuple(found)


TRANSLATORS: dict[str, Translator] = {RESTATED: restated}
