"""An explanation as lines for a terminal of 80 columns, or of any other width."""

import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from adapters.disclosure import Word
from adapters.hl7v2.explain import ExplainedField, ExplainedMessage, ExplainedSegment, Mark, Part
from api.explaining import (
    CHANGED,
    ENDED,
    NOT_KEPT,
    ChangedRow,
    Explanation,
    ToldEvent,
    Verdict,
    together_words,
)

PLAIN, HEAD, FAULT, FINDING, FAINT = "", "1", "1;31", "33", "2"

_NAME_WIDTH = 27
_WORD_WIDTH = 26


class Line(NamedTuple):
    """A line and how it is styled where there are colours."""

    text: str
    style: str = PLAIN


def explanation_lines(explanation: Explanation, width: int = 80) -> Iterator[Line]:
    """Everything an explanation says, for a person to read from top to bottom."""
    yield from _head(explanation, width)
    if explanation.content is not None:
        yield from _content(explanation.content, width)
    if not explanation.kept:
        yield from _wrapped(NOT_KEPT, width, style=FAINT)
    yield from _became(explanation, width)
    yield from _findings(explanation, width)
    yield from _changes(explanation, width)
    if not explanation.phi:
        yield Line("")
        yield Line("x, X and 9 stand for letters and digits that are not shown.", FAINT)


def _head(explanation: Explanation, width: int) -> Iterator[Line]:
    content, message = explanation.content, explanation.message
    trigger = content.trigger_event if content else (message.trigger_event if message else "")
    name = content.trigger_name if content else ""
    yield Line(" ".join(part for part in (_printable(trigger or "No message"), name) if part), HEAD)
    if message is not None:
        sender = _printable(f"{message.sender}, control id {message.control_id}")
        yield from _wrapped(f"message {message.message_id} of feed {message.feed}: {sender}", width)
        received = f"received {_instant(message.received_at)}: {message.status} ({message.code})"
        yield Line(received, FAULT if message.status == "quarantined" else PLAIN)
    if explanation.verdict is not None:
        yield from _verdict(explanation.verdict, again=message is not None, width=width)


def _verdict(verdict: Verdict, *, again: bool, width: int) -> Iterator[Line]:
    when = "read again with the settings of now, it is" if again else "by these settings it is"
    style = FAULT if verdict.status == "rejected" else PLAIN
    yield Line(f"{when} {verdict.status} ({verdict.code})", style)
    for fault in verdict.faults:
        text = f"{fault.where}, code {fault.code}: {fault.reason}"
        yield from _wrapped(text, width, indent=2, style=FAULT)


# --- the message ---------------------------------------------------------------------------------


def _content(content: ExplainedMessage, width: int) -> Iterator[Line]:
    other = content.named_by != content.version
    if other:
        stated = _printable(content.version) or "none"
        yield Line(f"names of version {content.named_by} (MSH-12 says {stated})", FAINT)
    for mark in content.marks:
        yield from _mark(mark, width, indent=0)
    for segment in content.segments:
        yield Line("")
        yield from _segment(segment, width)
    if content.cut:
        yield Line("")
        yield Line("The message goes on; it is too long to be shown here as a whole.", FINDING)


def _segment(segment: ExplainedSegment, width: int) -> Iterator[Line]:
    several = f" ({segment.sequence})" if segment.sequence > 1 else ""
    title = f"{segment.segment or 'line'} {segment.name or 'Segment not in the standard'}{several}"
    yield Line(f"{title:<{width - 10}}{f'line {segment.line}':>10}", HEAD)
    for mark in segment.marks:
        yield from _mark(mark, width)
    for field in segment.fields:
        yield from _field(field, width)


def _field(field: ExplainedField, width: int) -> Iterator[Line]:
    style = _style_of(field.marks)
    for one in field.repetitions or (Part(number=1, value=field.value),):
        label = f"{field.number}" if one.number == 1 else f"~{one.number}"
        named = (field.name, field.datatype) if one.number == 1 else ("", "")
        value = one.value if one.value or one.number > 1 else "(empty)"
        yield from _row(label, *named, value, width, style)
        if len(one.parts) > 1 or any(part.parts for part in one.parts):
            for part in one.parts:
                yield from _part(f".{part.number}", part, width)
    for mark in field.marks:
        yield from _mark(mark, width)


def _part(label: str, part: Part, width: int) -> Iterator[Line]:
    yield from _row(label, f"  {part.name}", part.datatype, part.value, width, PLAIN)
    for leaf in part.parts:
        yield from _part(f"{label}.{leaf.number}", leaf, width)


def _row(
    label: str, name: str, datatype: str, value: str, width: int, style: str
) -> Iterator[Line]:
    shown = (
        name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )
    start = f"  {label:>4} {shown:<{_NAME_WIDTH}}  {datatype[:4]:<4} "
    value = _printable(value)
    room = max(width - len(start), 20)
    for at in range(0, max(len(value), 1), room):
        lead = start if at == 0 else " " * len(start)
        yield Line((lead + value[at : at + room]).rstrip(), style)


def _mark(mark: Mark, width: int, indent: int = 7) -> Iterator[Line]:
    if mark.kind == "fault":
        text = f"!! {mark.where}, code {mark.code}: {mark.reason}"
        yield from _wrapped(text, width, indent=indent, style=FAULT)
    else:
        yield from _wrapped(f"?? {mark.code}: {mark.reason}", width, indent=indent, style=FINDING)


def _style_of(marks: Iterable[Mark]) -> str:
    kinds = {mark.kind for mark in marks}
    return FAULT if "fault" in kinds else FINDING if kinds else PLAIN


# --- what it became ------------------------------------------------------------------------------


def _became(explanation: Explanation, width: int) -> Iterator[Line]:
    yield Line("")
    would = explanation.verdict is not None and explanation.message is not None
    yield Line("What it would become" if would else "What it became", HEAD)
    if not explanation.events:
        rejected = explanation.faults or (explanation.verdict and explanation.verdict.faults)
        why = "it is rejected" if rejected else "it is kept, and changes nothing"
        yield Line(f"  No event: {why}.")
    for number, event in enumerate(explanation.events, start=1):
        yield from _event(number, event, width)


def _event(number: int, event: ToldEvent, width: int) -> Iterator[Line]:
    yield from _wrapped(f"{number} {event.kind}: {event.meaning}", width, indent=2)
    for word in event.says:
        yield from _word(word, width)


def _word(word: Word, width: int) -> Iterator[Line]:
    value = "(cleared)" if word.value is None else _printable(word.value)
    yield from _wrapped(f"{word.name:<{_WORD_WIDTH}} {value}", width, indent=6)


def _findings(explanation: Explanation, width: int) -> Iterator[Line]:
    if explanation.findings:
        yield Line("")
        yield Line("What was odd", HEAD)
    for finding in explanation.findings:
        text = f"{finding.kind}: {finding.detail or finding.subject or ''}"
        yield from _wrapped(text, width, indent=2, style=FINDING)


# --- what it changed -----------------------------------------------------------------------------


def _changes(explanation: Explanation, width: int) -> Iterator[Line]:
    if explanation.message is None or explanation.known_at is None:
        return
    yield Line("")
    yield Line(f"What it changed, known since {_instant(explanation.known_at)}", HEAD)
    if not explanation.changes:
        yield Line("  No row.")
    if explanation.together_with:
        text = together_words(explanation.together_with)
        yield from _wrapped(text, width, indent=2, style=FINDING)
    for row in explanation.changes:
        yield from _changed(row, width)


def _changed(row: ChangedRow, width: int) -> Iterator[Line]:
    yield Line(f"  {row.table} {row.key} {row.what}")
    for change in row.columns:
        before, after = (_printable(side) for side in (change.before or "", change.after or ""))
        if row.what == CHANGED:
            value = f"{before or '(none)'} -> {after or '(none)'}"
        else:
            value = before if row.what == ENDED else after
        if value:
            text = f"{change.column:<{_WORD_WIDTH}} {value}"
            yield from _wrapped(text, width, indent=6)


# --- words ---------------------------------------------------------------------------------------


def _wrapped(text: str, width: int, *, indent: int = 0, style: str = PLAIN) -> Iterator[Line]:
    lead = " " * indent
    lines = textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=lead + "  ")
    for line in lines or [lead]:
        yield Line(line, style)


def _instant(at: datetime | None) -> str:
    return "at an unknown time" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _printable(text: str) -> str:
    """The text on one line and moving no cursor, whatever a message put into it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
