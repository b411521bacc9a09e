"""HL7 v2 in, de-identified HL7 v2 out, message by message.

What passes is in `rules.toml`. A message whose instants are of nobody, or of two people whose
weeks differ, is refused in every profile that moves instants.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from tomllib import loads
from typing import Any

from adapters.hl7v2.deidentify import fields as f
from adapters.hl7v2.deidentify.fields import CLEARED, PASSING, Site, Told
from adapters.hl7v2.er7 import Message, read
from adapters.hl7v2.refusal import Refused
from twin_core.deid.stated import Meaning, meaning, most
from twin_core.identifiers import UNIDENTIFYING_TYPES
from twin_core.settings import LimitSettings

__all__ = ["Deidentifier", "Site", "people", "same_people"]

_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)
_OBSERVED_AT = frozenset({"OBX-14", "OBX-19"})
_DATES = frozenset({"TS", "DTM", "DT"})


@cache
def rules() -> dict[str, dict[int, str]]:
    """By segment and field the word of what passes."""
    told: dict[str, Any] = loads(
        (files("adapters.hl7v2.deidentify") / "rules.toml").read_text("utf-8")
    )
    return {name: {int(n): word for n, word in row.items()} for name, row in told.items()}


class Deidentifier:
    """De-identifies messages for one site; remembers what it dropped, never what it was."""

    def __init__(
        self, site: Site, limits: LimitSettings, patients: Mapping[str, str] | None = None
    ) -> None:
        """`patients` leads from the identifiers of one person to the one that stands for all."""
        self.site, self._limits, self._patients = site, limits, dict(patients or {})
        self.dropped: Counter[str] = Counter()
        """How often each field was dropped, as in `PID-5`, and each segment."""
        self.refused: Counter[str] = Counter()
        """How often a message was refused, by reason."""

    def message(self, raw: bytes, charset: str = "utf-8") -> bytes | None:
        """What of a message passes, as ASCII; None where it is refused."""
        try:
            message = read(raw, charset=charset, limits=self._limits, lenient=True)
            told = Told(message, self.site, self._days(message), _born(message))
        except Refused as refusal:
            # Its reason may quote the message.
            code = refusal.faults[0].code if refusal.faults else ""
            self.refused[f"It is no HL7 v2 message (table 0357: {code})."] += 1
            return None
        except _Nobody as nobody:
            self.refused[str(nobody)] += 1
            return None
        kept = [line for line in self._segments(told) if line]
        return ("\r".join(kept) + "\r").encode("ascii", "replace")

    def _days(self, message: Message) -> int | None:
        if self.site.profile == "limited":
            return 0
        weeks = {
            self.site.book.weeks(self._patients.get(keys[0], keys[0]))
            for keys in people(message)
            if keys
        }
        if not weeks:
            raise _Nobody("No patient is named by whose weeks its instants could be moved.")
        if len(weeks) > 1 and self.site.profile == "shifted":
            raise _Nobody("Two people are named whose instants move by different weeks.")
        return 7 * weeks.pop()

    def _segments(self, told: Told) -> Iterator[str]:
        for line in told.message.lines:
            name = line[:3]
            known = rules().get(name)
            if known is None:
                if name:
                    self.dropped[name if _SEGMENT.fullmatch(name) else "(other)"] += 1
                continue
            yield self._segment(line, name, known, told)

    def _segment(self, line: str, name: str, known: dict[int, str], told: Told) -> str:
        delimiters = told.message.delimiters
        stated = line.split(delimiters.field)
        if name == "MSH":
            # MSH-1 is the field separator itself.
            stated.insert(1, delimiters.field)
        kept = [name]
        for number in range(1, len(stated)):
            text = stated[number]
            word = known.get(number)
            if not text or text == CLEARED:
                kept.append(text)
            elif name == "MSH" and number <= 2:
                kept.append(text)
            elif word is None:
                self.dropped[f"{name}-{number}"] += 1
                kept.append("")
            else:
                kept.append(self._field(text, word, f"{name}-{number}", stated, told))
        if name == "MSH":
            del kept[1]
        return delimiters.field.join(kept).rstrip(delimiters.field)

    def _field(self, text: str, word: str, name: str, stated: list[str], told: Told) -> str:
        delimiters = told.message.delimiters
        repetitions = text.split(delimiters.repetition)
        if name in _OBSERVED_AT and _meant(stated, told) == "birth":
            # It may be the day of birth; a year that stays would tell by how much others move.
            if self.site.profile == "shifted":
                self.dropped[name] += 1
                return ""
            word = "birth"
        if word == "value":
            passed = [_value(one, stated, told) for one in repetitions]
        else:
            passing = PASSING[word]
            passed = [passing(one, told, name) for one in repetitions]
        kept = [one for one in passed if one and _is_plain(one, told)]
        if len(kept) < len([one for one in repetitions if one]):
            self.dropped[name] += 1
        return delimiters.repetition.join(kept)


class _Nobody(Exception):
    """Nobody's instants, or those of two people."""


def people(message: Message) -> list[list[str]]:
    """The people of a message: the identifiers of each PID and of the MRG that belongs to it.

    An identifier is `authority|number`; those that many people share are left out.
    """
    found: list[list[str]] = []
    for line in message.lines:
        if line.startswith("PID"):
            stated = message.fields(line)
            found.append(
                [*_keys(message, stated[3]), *_keys(message, stated[2]), *_keys(message, stated[4])]
            )
        elif line.startswith("MRG") and found:
            found[-1] += _keys(message, message.fields(line)[1])
    return [keys for keys in found if keys]


def same_people(groups: "Iterator[list[str]]") -> dict[str, str]:
    """From every identifier to the one that stands for its person, whatever the order was."""
    leader: dict[str, str] = {}

    def found(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for keys in groups:
        first = found(keys[0])
        for key in keys[1:]:
            one, other = sorted((first, found(key)))
            leader[other] = first = one
    return {key: found(key) for key in leader}


def _keys(message: Message, field: str) -> list[str]:
    keys = []
    for repetition in field.split(message.delimiters.repetition):
        parts = message.components(repetition)
        number = message.text(parts[0]).strip()
        kind = message.text(parts[4]).strip()
        if number and number != CLEARED and kind not in UNIDENTIFYING_TYPES:
            authority = parts[3].partition(message.delimiters.subcomponent)[0]
            keys.append(f"{message.text(authority).strip()}|{number}")
    return keys


def _born(message: Message) -> frozenset[str]:
    """The birth dates that a message states (PID-7)."""
    stated = (message.fields(line)[7] for line in message.lines if line.startswith("PID"))
    return frozenset(one[:8] for one in stated if len(one) >= len("YYYYMMDD"))


def _meant(stated: list[str], told: Told) -> Meaning | None:
    """What OBX-3 says that the value is."""
    parts = [*told.parts(stated[3] if len(stated) > 3 else ""), *[""] * 5]
    return meaning((parts[0], parts[3]), (parts[1], parts[4]))


def _value(text: str, stated: list[str], told: Told) -> str:
    """OBX-5 by OBX-2; ages over 89 are told as 90, birth dates as PID-7 is."""
    kind, said = told.first(stated[2]) if len(stated) > 2 else "", _meant(stated, told)
    if said == "identifier":
        return ""
    if kind in _DATES and (said == "birth" or told.first(text)[:8] in told.born):
        return f.birth(text, told, "OBX-5")
    if said == "birth":
        return f.birth(text, told, "OBX-5") if kind in ("NM", "ST") else ""
    if kind in ("NM", "ST"):
        return _capped(f.numeric(text, told), said, stated, told)
    if kind == "SN":
        return _capped_structured(f.structured(text, told), said, stated, told)
    if kind in ("CE", "CWE", "CNE", "CF"):
        return f.coded(text, told, "OBX-5")
    return f.time(text, told, "OBX-5") if kind in _DATES else ""


def _greatest(said: Meaning | None, stated: list[str], told: Told) -> int | None:
    """The greatest age in the unit of OBX-6; None where the number is no age."""
    unit = told.first(stated[6]) if len(stated) > 6 else ""
    return most(unit, is_age=said == "age")


def _capped(number: str, said: Meaning | None, stated: list[str], told: Told) -> str:
    greatest = _greatest(said, stated, told) if number else None
    return str(greatest) if greatest is not None and float(number) >= greatest else number


def _capped_structured(text: str, said: Meaning | None, stated: list[str], told: Told) -> str:
    """SN: both numbers; nothing where the truth is below one that is not told."""
    parts = told.parts(text)
    kept = [
        one if at % 2 == 0 else _capped(one, said, stated, told) for at, one in enumerate(parts)
    ]
    return "" if kept != parts and "<" in parts[0] else told.joined(kept)


def _is_plain(text: str, told: Told) -> bool:
    """Whether what passed has no delimiter in it that it did not have as a field."""
    delimiters = told.message.delimiters
    return not any(
        mark in text
        for mark in (delimiters.field, delimiters.repetition, delimiters.escape)
        if mark and mark != "\x00"
    )
