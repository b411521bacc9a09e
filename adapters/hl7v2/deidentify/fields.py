"""What becomes of one repetition of a field: kept in a strict form, moved in time, or nothing.

Every function takes the text of a repetition, what is known of the message, and the field's name
(`PV1-3`), and gives the empty string for what does not pass.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from adapters.hl7v2.codings import CODE_SYSTEMS
from adapters.hl7v2.er7 import Message
from adapters.hl7v2.names import codes_of, codes_of_table
from adapters.hl7v2.unit_codes import UCUM, valid_ucum
from twin_core.deid import Codebook, Profile
from twin_core.deid.nomenclatures import SYSTEMS, is_code, spells_a_number
from twin_core.deid.stated import is_too_old
from twin_core.deid.zips import zip3

CLEARED = '""'
TIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)"
    r"((?:(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,4})?)?)?)?)?)?)?"
    r"([+-](?:0\d|1[0-3])[0-5]\d|[+-]1400)?",
    re.ASCII,
)
_ZEROS = str.maketrans("123456789", "000000000")
_SET = re.compile(r"\d{1,4}", re.ASCII)
_DIGITS = re.compile(r"\d{1,6}", re.ASCII)
_OWN_TRIGGER = re.compile(r"Z\d\d", re.ASCII)
_HEADER_TABLES: dict[str, tuple[str, ...]] = {
    "MSH-9": ("0076", "0003", "0354"),
    "MSH-11": ("0103", "0207"),
    "MSH-12": ("0104", "0399"),
    "MSH-15": ("0155",),
    "MSH-16": ("0155",),
    "MSH-17": ("0399",),
    "EVN-1": ("0003",),
    "ZBE-6": ("0003",),
    "MSA-1": ("0008",),
    "OBX-2": ("0125",),
}
"""By field the tables of its components."""
_NUMBER = re.compile(r"[+-]?\d{1,6}(?:\.\d{1,6})?", re.ASCII)
_PART = re.compile(r"\d{1,2}|\d{1,2}(?:\.\d{1,2}){2,5}", re.ASCII)
_RANGE = re.compile(
    r"[<>]?=?\s?-?\d{1,6}(?:\.\d{1,4})?|-?\d{1,6}(?:\.\d{1,4})?\s?-\s?-?\d{1,6}(?:\.\d{1,4})?",
    re.ASCII,
)
_COMPARATOR = re.compile(r"[<>=]{0,2}")
_SEPARATOR = re.compile(r"[-+/.:]?")
_STATE = re.compile(r"[A-Z]{2}", re.ASCII)
_COUNTRIES = frozenset("US USA CA CAN DE DEU AT AUT CH CHE GB GBR FR FRA NL NLD".split())
_TYPE = re.compile(r"[A-Z]{1,5}", re.ASCII)
_ANNOTATED = re.compile(r"[{}]")


class Site(NamedTuple):
    """What de-identification is asked to do, and what it is told of the site."""

    book: Codebook
    profile: Profile
    now: datetime
    """The instant that ages count to."""
    known: frozenset[str] = frozenset()
    """The site's own codes that name nobody."""
    facilities: frozenset[str] = frozenset()
    """MSH-4 and MSH-6 that pass."""


class Told(NamedTuple):
    """One message at work: how to read it, and how far its patient's instants move."""

    message: Message
    site: Site
    days: int | None
    born: frozenset[str] = frozenset()
    """The birth dates of its patients (PID-7), eight digits each."""

    def parts(self, text: str) -> list[str]:
        """The components of a repetition as texts, escapes undone."""
        return [self.message.text(part).strip() for part in text.split(self._component)]

    def joined(self, parts: list[str]) -> str:
        """Components as ER7, without empty ones at the end."""
        return self._component.join(parts).rstrip(self._component)

    @property
    def _component(self) -> str:
        return self.message.delimiters.component

    def first(self, text: str) -> str:
        """The first component."""
        return self.message.text(text.split(self._component, 1)[0]).strip()

    def subcomponents(self, text: str) -> list[str]:
        """The subcomponents of a component that was not unescaped."""
        return [
            self.message.text(part).strip()
            for part in text.split(self.message.delimiters.subcomponent)
        ]

    def code(self, kind: str, text: str, digits: int = 16) -> str:
        """The pseudonym of a text; nothing for nothing."""
        return self.site.book.code(kind, text)[:digits].upper() if text else ""

    def word(self, kind: str, text: str) -> str:
        """A code of the site: itself where the site names it, else its pseudonym."""
        return text if text in self.site.known else self.code(kind, text, 8)


Passing = Callable[[str, Told, str], str]


def matching(form: "re.Pattern[str]") -> Passing:
    """Passes what has a form."""

    def passed(text: str, told: Told, name: str) -> str:
        first = told.first(text)
        return first if form.fullmatch(first) else ""

    return passed


def time(text: str, told: Told, name: str) -> str:
    """A timestamp, moved by the patient's weeks and in whole hours where it is moved.

    Nothing of a year that tells an age over 89, and nothing of a year or a month alone where
    instants move: no whole weeks lead from it to another, and as it is it would tell by how much.
    """
    said = told.first(text)
    found = TIME.fullmatch(said)
    if found is None or told.days is None:
        return ""
    day = "".join(part or "" for part in found.group(1, 2, 3))
    if told.site.profile == "limited":
        return _shifted(day, said[len(day) :], 0)
    if is_too_old(int(found[1]), told.site.now.year):
        return ""
    if told.site.profile == "safe_harbor":
        return found[1] if _moved(day, 0) else ""
    if found[3] is None:
        return ""
    of_day, back = _whole_hour(found[4] or "", found[5] or "")
    return _shifted(day, of_day + (found[5] or ""), told.days + back)


def _shifted(day: str, rest: str, days: int) -> str:
    moved = _moved(day, days)
    return moved and moved + rest


@lru_cache(maxsize=50_000)
def _whole_hour(of_day: str, offset: str) -> tuple[str, int]:
    """HHMM[SS[.S]] cut to the whole hour, of UTC where it has an offset so that instants keep
    their order, as long as it was; and how many days earlier that is."""
    if len(of_day) <= len("HH"):
        return of_day, 0
    hour, minute = int(of_day[:2]), int(of_day[2:4])
    ahead = int(offset[-2:] or 0)
    whole = (60 - ahead) % 60 if offset[:1] == "-" else ahead % 60
    hour -= minute < whole
    told = f"{hour % 24 if hour < 0 else hour:02}{whole:02}{of_day[4:].translate(_ZEROS)}"
    return told, int(hour < 0)


@lru_cache(maxsize=50_000)
def _moved(day: str, days: int) -> str:
    try:
        at = date(int(day[:4]), int(day[4:6] or 1), int(day[6:8] or 1))
        return date.fromordinal(at.toordinal() - days).strftime("%Y%m%d")[: len(day)]
    except ValueError:
        return ""


def span(text: str, told: Told, name: str) -> str:
    """The start and the end of a timing (TQ.4, TQ.5)."""
    parts = [*text.split(told.message.delimiters.component), "", "", "", "", ""]
    return told.joined(["", "", "", time(parts[3], told, name), time(parts[4], told, name)])


def table(text: str, told: Told, name: str) -> str:
    """A code of the field's table."""
    said = told.first(text)
    if len(said) == 1 and said.isascii() and said.isalnum():
        return said
    return said if said in told.site.known or said.upper() in codes_of(name) else ""


def coded(text: str, told: Told, name: str) -> str:
    """A coded element: of a nomenclature as it is, of the site as a pseudonym; never its text."""
    parts = [*told.parts(text), *[""] * 6]
    kept = [*_coding(parts[0], parts[2], told), *_coding(parts[3], parts[5], told)]
    return told.joined(kept)


def _coding(code: str, system: str, told: Told) -> tuple[str, str, str]:
    uri = CODE_SYSTEMS.get(system.upper(), "")
    if code and uri == UCUM and is_unit(code):
        return code, "", system
    if code and uri and is_code(uri, code):
        return code, "", system
    return told.word("code", code), "", "L" if code else ""


def word(text: str, told: Told, name: str) -> str:
    """A code of the site or of the field's table."""
    return table(text, told, name) or told.word(name, told.first(text))


def identifier(text: str, told: Told, name: str) -> str:
    """CX: a pseudonym of the number, of its authority, and its type."""
    raw = [*text.split(told.message.delimiters.component), *[""] * 5]
    number = told.message.text(raw[0]).strip()
    if number == CLEARED:
        return CLEARED
    authority = told.subcomponents(raw[3])[0]
    kind = told.message.text(raw[4]).strip()
    kind = kind if _TYPE.fullmatch(kind) and kind in codes_of("CX.5") else ""
    if not number:
        return ""
    return told.joined(
        [told.code("identifier", number), "", "", told.word("authority", authority), kind]
    )


def entity(text: str, told: Told, name: str) -> str:
    """EI: a pseudonym of the number and of who gave it."""
    parts = [*told.parts(text), ""]
    return told.joined([told.code("entity", parts[0]), told.word("authority", parts[1])])


def person(text: str, told: Told, name: str) -> str:
    """XCN: a pseudonym of the number of a member of staff; no name, and nothing where none."""
    if told.site.profile == "safe_harbor":
        return ""
    return told.code("person", told.first(text))


def place(text: str, told: Told, name: str) -> str:
    """PL: unit and facility as the site's words, room and bed as pseudonyms of the whole place."""
    raw = [*text.split(told.message.delimiters.component), *[""] * 5]
    unit, room, bed, facility = (told.subcomponents(part)[0] for part in raw[:4])
    within = f"{facility}/{unit}"
    return told.joined(
        [
            told.word("unit", unit),
            told.code("room", f"{within}/{room}", 6) if room else "",
            told.code("bed", f"{within}/{room}/{bed}", 6) if bed else "",
            told.word("facility", facility),
        ]
    )


def address(text: str, told: Told, name: str) -> str:
    """XAD: state, three digits of a US ZIP code, country."""
    parts = [*told.parts(text), *[""] * 6]
    state, postal_code, country = parts[3], parts[4], parts[5]
    country = country if country in _COUNTRIES else ""
    domestic = not parts[5] or parts[5].upper() in ("US", "USA")
    told_zip = (zip3(postal_code) or "") if domestic else ""
    state = state if domestic and _STATE.fullmatch(state) and state in _STATES else ""
    return told.joined(["", "", "", state, told_zip, country])


def birth(text: str, told: Told, name: str) -> str:
    """The year of birth, of people who cannot be older than 89."""
    found = TIME.fullmatch(told.first(text))
    if found is None or is_too_old(int(found[1]), told.site.now.year):
        return ""
    return found[1]


def alias(text: str, told: Told, name: str) -> str:
    """No name: HL7 table 0200 has S for a coded pseudo-name that ensures anonymity."""
    return told.joined(["", "", "", "", "", "", "S"])


def system(text: str, told: Told, name: str) -> str:
    """HD of an application."""
    return told.word("system", told.first(text))


def facility(text: str, told: Told, name: str) -> str:
    """HD of a facility."""
    said = told.first(text)
    return said if said in told.site.facilities else told.word("facility", said)


def control(text: str, told: Told, name: str) -> str:
    """The id of a message."""
    return told.code("control", told.message.text(text).strip(), 20)


def form(text: str, told: Told, name: str) -> str:
    """The fixed words of a header, component by component, each of its table."""
    tables = _HEADER_TABLES[name]
    kept = [
        part if part in codes_of_table(number) or _is_also(part, number) else ""
        for part, number in zip(told.parts(text), tables, strict=False)
    ]
    return told.joined(kept)


def _is_also(part: str, table: str) -> bool:
    """A trigger of a site's own in the form that the standard leaves for them (2.11), or a country
    in two letters."""
    if table == "0399":
        return part in SYSTEMS.known["urn:iso:std:iso:3166"].codes
    return table == "0003" and _OWN_TRIGGER.fullmatch(part) is not None


_UNIT_WORDS = frozenset(
    "mmHg bpm mg/dl g/dl K/uL M/uL x10E3/uL x10E6/uL mEq/L MEQ/L MG/DL G/DL MMOL/L U/L IU/L fL FL"
    " pg PG sec seconds min years year yrs days kg/m2 ng/ml ug/dl mcg/dL cells/uL /HPF /LPF".split()
)
"""What senders write for units that UCUM writes in another way."""


def is_unit(text: str) -> bool:
    """Whether it is a unit of UCUM without words or numbers of somebody's own."""
    if text in _UNIT_WORDS:
        return True
    if _ANNOTATED.search(text) or not text:
        return False
    return not spells_a_number(text) and valid_ucum(text)


def unit(text: str, told: Told, name: str) -> str:
    """A unit of UCUM by its first coding that is one."""
    parts = [*told.parts(text), *[""] * 6]
    return next((part for part in (parts[0], parts[3]) if is_unit(part)), "")


def numeric(text: str, told: Told) -> str:
    """A number of at most six digits before the point: longer ones may be somebody's."""
    said = told.message.text(text).strip()
    return said if _NUMBER.fullmatch(said) else ""


def structured(text: str, told: Told) -> str:
    """SN: comparator, number, separator, number."""
    parts = [*told.parts(text), *[""] * 4]
    return told.joined(
        [
            parts[0] if _COMPARATOR.fullmatch(parts[0]) else "",
            parts[1] if _NUMBER.fullmatch(parts[1]) else "",
            parts[2] if _SEPARATOR.fullmatch(parts[2]) else "",
            parts[3] if _NUMBER.fullmatch(parts[3]) else "",
        ]
    )


_STATES = frozenset(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM"
    " NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR".split()
)

PASSING: dict[str, Passing] = {
    "set": matching(_SET),
    "digits": matching(_DIGITS),
    "order": matching(re.compile("[123]", re.ASCII)),
    "part": matching(_PART),
    "range": matching(_RANGE),
    "flag": matching(re.compile("[YN]|0|1")),
    "status": matching(re.compile("[A-Z]", re.ASCII)),
    "time": time,
    "span": span,
    "table": table,
    "code": coded,
    "word": word,
    "id": identifier,
    "entity": entity,
    "person": person,
    "place": place,
    "zip": address,
    "birth": birth,
    "alias": alias,
    "system": system,
    "facility": facility,
    "control": control,
    "form": form,
    "unit": unit,
}
"""By the word of the rules; `value` is of a whole OBX."""
