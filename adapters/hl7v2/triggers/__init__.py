"""What each message means: one function per trigger event, one row in a module's `TRANSLATORS`.

Every function takes one message and returns its events, the description of the patient first.
"""

from adapters.hl7v2.triggers import beds, cancels, leaves, merges, movements, people, scheduling
from adapters.hl7v2.triggers.reading import Translator

TRANSLATORS: dict[str, Translator] = {
    trigger_event: translator
    for family in (movements, cancels, leaves, beds, people, merges, scheduling)
    for trigger_event, translator in family.TRANSLATORS.items()
}
"""Translators by message type and trigger event (`ADT^A01`). Any other event that
`codes.TRIGGER_EVENTS` lists is journalled and not applied."""
