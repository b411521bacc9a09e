"""What each message means: one function per trigger event, one row in a module's `TRANSLATORS`.

Every function takes one message and returns its events, the description of the patient first.
"""

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers import (
    alarms,
    beds,
    cancels,
    doctors,
    leaves,
    links,
    merges,
    movements,
    moves,
    people,
    plans,
    purges,
    renumberings,
    results,
    scheduling,
    slots,
    tracking,
    zbe,
)
from adapters.hl7v2.triggers.reading import Translator

_FAMILIES = (
    movements,
    plans,
    cancels,
    leaves,
    tracking,
    doctors,
    purges,
    zbe,
    beds,
    people,
    merges,
    scheduling,
    slots,
    moves,
    renumberings,
    links,
    results,
    alarms,
)

TRANSLATORS: dict[str, Translator] = {
    trigger_event: translator
    for family in _FAMILIES
    for trigger_event, translator in family.TRANSLATORS.items()
}
"""Translators by message type and trigger event (`ADT^A01`). Any other event that
`codes.TRIGGER_EVENTS` lists is journalled and not applied."""

_UNDEFINED = "chapter 3 defines no such event"
KEPT_BECAUSE: dict[str, str] = {
    "ADT^A19": "a query asks and tells nothing",
    "ADT^A56": _UNDEFINED,
    "ADT^A57": _UNDEFINED,
    "ADT^A58": _UNDEFINED,
    "ADT^A59": _UNDEFINED,
    "ADT^A60": "adverse reactions say nothing of beds or of the course of a visit",
}
"""Why a trigger event has no translator, where the standard itself gives the reason."""


def translator_of(trigger_event: str, reading: Reading) -> Translator | None:
    """What translates a message: what its ZBE says where it has one, else its trigger event."""
    if "ZBE" in reading.message.shape.first and trigger_event.startswith("ADT"):
        stated = zbe.stated_movement(reading, trigger_event)
        if stated is not None:
            return stated
    return TRANSLATORS.get(trigger_event)
