"""What a site has agreed on for one feed: trigger events that mean another, fields that are kept.

Both are configured (`feeds.NAME.triggers`, `feeds.NAME.keep`) and cost nothing where they are not.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from adapters.hl7v2.er7 import Message
from twin_core.events import KeptField
from twin_core.settings import FieldPath, TriggerRule

IGNORE = "ignore"
_CLEARED = '""'


class Sent(NamedTuple):
    """A message type and its trigger event, such as ADT and A01; or IGNORE for a trigger."""

    kind: str
    trigger: str


def meant(message: Message, sent: Sent, rules: Sequence[TriggerRule]) -> Sent | None:
    """What a trigger event means on this feed by the first rule that fits; None where none does."""
    for rule in rules:
        if rule.sent in (sent.trigger, f"{sent.kind}^{sent.trigger}") and _holds(message, rule):
            if rule.meant == IGNORE:
                return Sent(sent.kind, IGNORE)
            kind, _, trigger = rule.meant.rpartition("^")
            return Sent(kind or "ADT", trigger)
    return None


OF_A_MOVEMENT = tuple(FieldPath(segment="ZBE", field=number) for number in (3, 7, 8, 9))
"""What IHE PAM says of a movement beside where and when: its end, the responsible medical and
nursing ward, and its nature. They change no stay; who asks for them finds them by the message."""


def kept_fields(message: Message, paths: Sequence[FieldPath]) -> tuple[KeptField, ...]:
    """The fields to keep, component by component, of every segment of their names."""
    wanted: dict[str, list[FieldPath]] = {}
    for path in paths:
        wanted.setdefault(path.segment, []).append(path)
    kept: dict[KeptField, None] = {}
    seen: dict[str, int] = {}
    for line in message.lines:
        name = line[:3]
        if name in wanted:
            seen[name] = seen.get(name, 0) + 1
            for path in wanted[name]:
                kept.update(dict.fromkeys(_kept(message, line, path, seen[name])))
    return tuple(kept)


def _kept(message: Message, line: str, path: FieldPath, sequence: int) -> Iterator[KeptField]:
    fields = line.split(message.delimiters.field)
    if path.segment == "MSH":  # MSH-1 is the separator itself
        fields.insert(1, message.delimiters.field)
    numbers = [path.field] if path.field else range(1, len(fields))
    for number in numbers:
        if number < len(fields) and fields[number]:
            yield from _components(message, fields[number], path, sequence, number)


def _components(
    message: Message, field: str, path: FieldPath, sequence: int, number: int
) -> Iterator[KeptField]:
    if path.segment == "MSH" and number <= 2:
        yield KeptField("MSH", sequence, number, 1, 1, field)
        return
    for repetition, sent in enumerate(field.split(message.delimiters.repetition), 1):
        for component, part in enumerate(sent.split(message.delimiters.component), 1):
            if part and path.component in (0, component):
                text = None if part == _CLEARED else message.text(part)
                yield KeptField(path.segment, sequence, number, component, repetition, text)


def _holds(message: Message, rule: TriggerRule) -> bool:
    if rule.field is None:
        return True
    against = rule.against
    if isinstance(against, FieldPath):
        return _compared(message, rule.field, against, differs=rule.differs)
    return (_text(message, rule.field) == against) is not rule.differs


def _compared(message: Message, one: FieldPath, other: FieldPath, *, differs: bool) -> bool:
    """Whether two fields differ, or are equal, in the components that both of them fill.

    An empty field says nothing that another could differ from; a location without its facility is
    the same location.
    """
    pair = _components_of(message, one), _components_of(message, other)
    filled = [any(parts) for parts in pair]
    if not all(filled):
        return not differs and not any(filled)
    agree = all(a == b for a, b in zip(*pair, strict=False) if a and b)
    return agree is not differs


def _components_of(message: Message, path: FieldPath) -> list[str]:
    """The components of a field as texts, the first subcomponent of each; cleared ones empty."""
    marks = message.delimiters
    parts = (
        part.partition(marks.subcomponent)[0]
        for part in _sent(message, path).split(marks.component)
    )
    return ["" if part == _CLEARED else message.text(part).strip() for part in parts]


def _text(message: Message, path: FieldPath) -> str:
    """A field or component of the first segment of its name and its first repetition, as text."""
    return message.text(_sent(message, path)).strip().rstrip(message.delimiters.component)


def _sent(message: Message, path: FieldPath) -> str:
    """A field or component of the first segment of its name and its first repetition, as sent."""
    fields = message.header if path.segment == "MSH" else message.segment(path.segment)
    at = path.field - (path.segment == "MSH")
    if fields is None or at >= len(fields):
        return ""
    field = message.first_repetition(fields[at])
    if path.component:
        parts = message.components(field)
        field = parts[path.component - 1] if path.component <= len(parts) else ""
    return field
