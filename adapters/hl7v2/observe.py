"""What a message is made of, whatever it means: for judging a sample before its feed goes live.

Only codes and structure are looked at, never who a message is about.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from adapters.hl7v2.charsets import CODECS
from adapters.hl7v2.codes import ACT_CODES, CLASSES
from adapters.hl7v2.er7 import Message, read
from adapters.hl7v2.refusal import Refused
from twin_core.settings import FeedSettings, LimitSettings

_LONGEST_CODE = 40
_READ = frozenset({"ZBE"})
"""Z segments of IHE profiles, which are read like the standard's own."""
_CLEARED = '""'
_VERSION = re.compile(r"2(?:\.\d){1,2}", re.ASCII)
_CHARSET = re.compile("|".join(re.escape(name) for name in CODECS))
_PROCESSING_ID = re.compile(r"[A-Z]", re.ASCII)
_TRIGGER_EVENT = re.compile(r"[FB]HS|[A-Z]{3}(?:\^[A-Z]\d\d)?", re.ASCII)
_ENDS = ((b"\r\n", "CR LF"), (b"\n", "LF"), (b"\r", "CR"))


class Sent(NamedTuple):
    """A code that a message sends where a feed may have a map: the map's name, and the code."""

    setting: str
    code: str
    is_mapped: bool


class Observed(NamedTuple):
    """The structure of one message."""

    version: str
    charset: str
    processing_id: str
    line_end: str
    codes: frozenset[Sent]
    site_fields: dict[str, bool]
    """Fields of Z segments that are filled (`ZPV-3`), and whether they are read or kept."""


def observe(raw: bytes, settings: FeedSettings, limits: LimitSettings) -> Observed | None:
    """The structure of a message; None where the bytes are none."""
    try:
        message = read(raw, charset=settings.charset, limits=limits, lenient=True)
    except Refused:
        return None
    header = message.header
    return Observed(
        version=_known(message.code(header[11]), _VERSION),
        charset=_known(message.code(header[17]), _CHARSET),
        processing_id=_known(message.code(header[10]), _PROCESSING_ID),
        line_end=next((name for end, name in _ENDS if end in raw), "none"),
        codes=frozenset(_codes(message, settings)),
        site_fields=_site_fields(message, settings),
    )


def trigger_event_shown(trigger_event: str) -> str:
    """A trigger event that may be shown: where MSH-9 holds something else, it may be anything."""
    return _known(trigger_event.rstrip("^"), _TRIGGER_EVENT)


def _known(text: str, pattern: re.Pattern[str]) -> str:
    return "(none)" if not text else text if pattern.fullmatch(text) else "(other)"


def _codes(message: Message, settings: FeedSettings) -> Iterator[Sent]:
    pv1, pid = message.segment("PV1"), message.segment("PID")
    if pv1 is not None:
        yield from _code(message, "classes", pv1[2], {**settings.classes, **_STANDARD_CLASSES})
        yield from _code(message, "services", pv1[10], settings.services)
        for location in (pv1[3], pv1[6]):
            yield from _location(message, location, settings)
        yield from _authorities(message, pv1[19], "VN", settings)
    if pid is not None:
        yield from _authorities(message, pid[3], "MR", settings)
        yield from _authorities(message, pid[18], "AN", settings)


_STANDARD_CLASSES = dict.fromkeys([*CLASSES, *ACT_CODES], "")


def _code(message: Message, setting: str, field: str, known: dict[str, str]) -> Iterator[Sent]:
    code = message.code(field)
    if code and code != _CLEARED:
        yield Sent(setting, code[:_LONGEST_CODE], code in known)


def _location(message: Message, field: str, settings: FeedSettings) -> Iterator[Sent]:
    parts = message.components(message.first_repetition(field))
    named = [_first(message, part) for part in parts[:4]]
    unit, room, bed, facility = named
    if unit and unit != _CLEARED:
        yield Sent("units", unit, unit in settings.units)
    if facility:
        yield Sent("facilities", facility, facility in settings.facilities)
    if bed:
        sent = f"{unit}^{room}^{bed}"
        known = sent in settings.beds or f"{sent}^{facility}" in settings.beds
        yield Sent("beds", sent, known)


def _authorities(message: Message, field: str, kind: str, settings: FeedSettings) -> Iterator[Sent]:
    if not field or field == _CLEARED:
        return
    for sent in field.split(message.delimiters.repetition):
        parts = message.components(sent)
        if not parts[0]:
            continue
        names = [message.text(name) for name in parts[3].split(message.delimiters.subcomponent)]
        if any(names[:2]):
            known = any(name in settings.authorities for name in names[:2])
            yield Sent("authorities", next(filter(None, names))[:_LONGEST_CODE], known)
        else:
            kind = message.text(parts[4]).strip()[:_LONGEST_CODE] or kind
            yield Sent("systems", kind, kind in settings.systems)


def _first(message: Message, part: str) -> str:
    return message.text(part.partition(message.delimiters.subcomponent)[0]).strip()[:_LONGEST_CODE]


def _site_fields(message: Message, settings: FeedSettings) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for line in message.lines:
        if line.startswith("Z"):
            name = line[:3]
            for number, field in enumerate(line.split(message.delimiters.field)[1:], 1):
                if field:
                    found[f"{name}-{number}"] = name in _READ or any(
                        path.segment == name and path.field in (0, number)
                        for path in settings.kept_paths
                    )
    return found
