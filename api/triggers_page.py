"""The page docs/reference/triggers.md, written from the translators and the events themselves.

`python -m api.triggers_page > docs/reference/triggers.md` writes it; a test holds it to the code.
"""

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from adapters.hl7v2.codes import TRIGGER_EVENTS
from adapters.hl7v2.names import trigger_name
from adapters.hl7v2.triggers import KEPT_BECAUSE, TRANSLATORS
from twin_core.events import Event, PatientDescribed
from twin_core.store import subjects
from twin_core.store.facts import DESCRIPTION, RANKS

_HEAD = """# Trigger events

What the twin does with every HL7 v2 trigger event that it takes. This page is written from the
code: `python -m api.triggers_page > docs/reference/triggers.md`.

A message of any other type or trigger event is answered AR, with code 200 or 201 of table 0357, and
kept in quarantine. A trigger event marked *kept* is acknowledged (AA) and kept with status
`journalled`: it changes nothing in the twin. Every event of a message with a PID comes with a
`PatientDescribed`, which is not repeated below; only what devices alone measured comes without it.
More: [how ADT messages are read](../explanation/adt-semantics.md), and
[how results are](../explanation/results.md).
"""
_EVENTS = """## Events

The words that messages are translated into, in the order in which they are folded where several
happen at one instant, and what each is filed under.

| Event | Meaning | Filed under |
|---|---|---|"""
_KEPT = "*kept*: received and acknowledged; changes nothing"
_TRIGGERS = re.compile(r"\b[A-Z]\d\d\b")
_OWN = "adapters.hl7v2"
_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)
_PLAIN: dict[Any, Any] = {
    datetime: _INSTANT,
    str: "x",
    bytes: b"x",
    int: 1,
    float: 1.0,
    bool: True,
    types.NoneType: None,
}


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *_sections(), *_event_section()]) + "\n"


def events_of(translator: Callable[..., Any]) -> tuple[type[Event], ...]:
    """The kinds of events that a translator may answer with, the description of a person aside."""
    found: dict[type[Event], None] = {}
    _collect(translator, found, set())
    return tuple(kind for kind in found if kind is not PatientDescribed)


def does(translator: Callable[..., Any], trigger: str) -> str:
    """What a translator's docstring says it does, on one line; raises ValueError without one."""
    told = inspect.getdoc(_function(translator))
    if not told:
        raise ValueError(f"The translator of {trigger} has no docstring to put on the page.")
    first = " ".join(told.split("\n\n")[0].split())
    about, colon, rest = first.partition(": ")
    said = rest if colon and trigger in _TRIGGERS.findall(about) else first
    return (said[:1].upper() + said[1:]).replace("|", "\\|")


def filed_under(kind: type[Event]) -> str:
    """What an event is filed under: patient, encounter, location, ..."""
    names = {
        value: name.lower()
        for name, value in vars(subjects).items()
        if name.isupper() and isinstance(value, str) and len(value) == 1
    }
    return names[subjects.subject_of(_sample(kind)).kind]


def _sections() -> Iterator[str]:
    for message_type, triggers in TRIGGER_EVENTS.items():
        yield f"## {message_type}\n"
        yield "| Trigger | Name in the standard | What the twin does | Events |\n|---|---|---|---|"
        for trigger in sorted(triggers):
            yield _row(f"{message_type}^{trigger}", trigger)
        yield ""


def _row(trigger_event: str, trigger: str) -> str:
    translator = TRANSLATORS.get(trigger_event)
    name = trigger_name(trigger_event)
    if translator is None:
        why = KEPT_BECAUSE.get(trigger_event)
        return f"| {trigger} | {name} | {_KEPT}{f': {why}' if why else ''} | |"
    events = ", ".join(f"`{kind.__name__}`" for kind in events_of(translator)) or "none"
    return f"| {trigger} | {name} | {does(translator, trigger)} | {events} |"


def _event_section() -> Iterator[str]:
    yield _EVENTS
    named: dict[type[Event], None] = {PatientDescribed: None}
    for translator in TRANSLATORS.values():
        named.update(dict.fromkeys(events_of(translator)))
    for kind in sorted(named, key=lambda kind: (RANKS.get(kind, DESCRIPTION), kind.__name__)):
        meaning = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
        yield f"| `{kind.__name__}` | {meaning} | {filed_under(kind)} |"


def _function(translator: Any) -> Any:
    return translator.func if isinstance(translator, partial) else translator


def _collect(part: Any, found: dict[type[Event], None], seen: set[int]) -> None:
    """Follow what a function names, as far as the translators' own modules reach."""
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, type) and issubclass(part, Event) and part is not Event:
        found[part] = None
    elif isinstance(part, type) and part.__module__.startswith(_OWN):
        for method in vars(part).values():
            _collect(method, found, seen)
    elif isinstance(part, partial):
        for inner in (part.func, *part.args, *part.keywords.values()):
            _collect(inner, found, seen)
    elif isinstance(part, dict):
        for inner in part.values():
            _collect(inner, found, seen)
    elif isinstance(part, types.FunctionType) and part.__module__.startswith(_OWN):
        for inner in _named_by(part, part.__code__):
            _collect(inner, found, seen)


def _named_by(function: types.FunctionType, code: types.CodeType) -> Iterator[Any]:
    yield from (cell.cell_contents for cell in function.__closure__ or ())
    yield from (function.__globals__[n] for n in code.co_names if n in function.__globals__)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from (function.__globals__.get(name) for name in constant.co_names)


def _sample(kind: Any) -> Any:
    """Some value of a type: enough of an event to ask how it is filed."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _sample(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin in (tuple, list):
        return origin([_sample(arguments[0])])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return kind(**{field.name: _sample(field.type) for field in fields if field.required})
    annotations = inspect.get_annotations(kind, eval_str=True)
    return kind(*(_sample(annotations[name]) for name in annotations))


if __name__ == "__main__":
    sys.stdout.write(page())
