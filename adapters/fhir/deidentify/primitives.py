"""What becomes of a primitive: kept in a strict form, moved in time, or nothing.

Every function takes a value of JSON and a case, and gives None for what does not pass.
"""

import re
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from tomllib import loads
from typing import Any

from adapters.fhir.deidentify.case import Case, Json
from twin_core.deid.nomenclatures import SYSTEMS, spells_a_number
from twin_core.deid.stated import LARGEST, is_too_old
from twin_core.deid.zips import zip3

_DECIMALS = 6
_OF_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:\.\d{1,9})?)?"
_OFFSET = r"Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00)"
_TIME = re.compile(rf"(\d{{4}})(?:-(\d\d)(?:-(\d\d)(T{_OF_CLOCK}(?:{_OFFSET})?)?)?)?", re.ASCII)
_CLOCK = re.compile(_OF_CLOCK, re.ASCII)
_MINUTES = len("10:15")
_DAY = len("2026-03-02")
_OF_DAY = re.compile(r"T(\d\d):(\d\d)((?::[\d.]+)?)(Z|([+-])\d\d:(\d\d))?", re.ASCII)
_ZEROS = str.maketrans("123456789", "000000000")
_MIME = re.compile(
    r"(?:application|audio|image|text|video)/(?:pdf|json|xml|html|plain|rtf|png|jpeg|gif|tiff|"
    r"svg\+xml|dicom|fhir\+json|fhir\+xml|hl7-v2|hl7-cda\+xml|octet-stream|mpeg|mp4|wav)",
    re.ASCII,
)
_SAMPLE = r"(?:[EUL]|-?\d{1,6}(?:\.\d{1,6})?)"
_SAMPLES = re.compile(f"{_SAMPLE}(?: {_SAMPLE})*", re.ASCII)
_LANGUAGES = SYSTEMS.known["urn:ietf:bcp:47"].codes
_PROFILES = (
    "http://hl7.org/fhir/StructureDefinition/",
    "http://hl7.org/fhir/us/core/StructureDefinition/",
)
_FEW = 1000
_TOGETHER = 3
_STATE_NAMES = frozenset(
    "Alabama Alaska Arizona Arkansas California Colorado Connecticut Delaware Florida Georgia"
    " Hawaii Idaho Illinois Indiana Iowa Kansas Kentucky Louisiana Maine Maryland Massachusetts"
    " Michigan Minnesota Mississippi Missouri Montana Nebraska Nevada Ohio Oklahoma Oregon"
    " Pennsylvania Tennessee Texas Utah Vermont Virginia Washington Wisconsin Wyoming".split()
)
_STATES = _STATE_NAMES | frozenset(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM"
    " NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR".split()
)
_COUNTRIES = frozenset("US USA CA CAN DE DEU AT AUT CH CHE GB GBR FR FRA NL NLD".split())
_UNIT_WORDS = frozenset(
    "year years month months week weeks day days hour hours minute minutes second seconds mmHg"
    " beats/minute beats/min breaths/minute breaths/min bpm degC degF cm kg lb g mg mcg mL"
    " percent score".split()
)


@cache
def words() -> dict[str, frozenset[str]]:
    """The closed lists of words: codes of FHIR's required bindings, events of the day, profiles."""
    text = (files("adapters.fhir.deidentify") / "words.toml").read_text("utf-8")
    return {name: frozenset(told.split()) for name, told in loads(text).items()}


WORDS = words()["words"]


def word(value: Json, case: Case) -> Json:
    """A code of a required binding."""
    return value if type(value) is str and value in WORDS else None


def number(value: Json, case: Case) -> Json:
    """A number of at most six digits before the point, six after it: longer ones may be
    somebody's, and a truth value is none."""
    if type(value) not in (int, float) or not -LARGEST < value < LARGEST:
        return None
    return value if type(value) is int else round(value, _DECIMALS)


def few(value: Json, case: Case) -> Json:
    """A whole number that counts or ranks, of at most three digits."""
    return value if type(value) is int and 0 <= value < _FEW else None


def order(value: Json, case: Case) -> Json:
    """The place in a birth of two or three: births of more are so few that they tell who it is."""
    return value if type(value) is int and 0 < value <= _TOGETHER else None


def flag(value: Json, case: Case) -> Json:
    """True or false."""
    return value if type(value) is bool else None


def time(value: Json, case: Case) -> Json:
    """An instant or a date, moved by the patient's weeks and in the form that it had.

    In whole hours where it is moved; nothing of a year that tells an age over 89. A year or a month
    alone is not moved: no whole weeks lead from it to another, and as it is, beside what was moved,
    it would tell by how much.
    """
    if type(value) is not str or case.days is None or not _TIME.fullmatch(value):
        return None
    if case.site.profile == "limited":
        return _shifted(value[:_DAY], _whole(value[_DAY:]), 0)
    if is_too_old(int(value[:4]), case.site.now.year):
        return None
    if case.site.profile == "safe_harbor":
        return value[:4] if _moved(value[:_DAY], 0) else None
    if len(value) < _DAY:
        return None
    of_day, back = _whole_hour(_whole(value[_DAY:]))
    return _shifted(value[:_DAY], of_day, case.days + back)


@lru_cache(maxsize=50_000)
def _whole(of_day: str) -> str:
    """A time of the day as FHIR wants it: to the second, with an offset; without one, nothing."""
    found = _OF_DAY.fullmatch(of_day)
    if found is None or found[4] is None:
        return ""
    return of_day if found[3] else f"T{found[1]}:{found[2]}:00{found[4]}"


def _shifted(day: str, of_day: str, days: int) -> str | None:
    moved = _moved(day, days)
    return moved and moved + of_day


@lru_cache(maxsize=50_000)
def _whole_hour(of_day: str) -> tuple[str, int]:
    """A time of the day cut to the whole hour of UTC, and how many days earlier that is.

    Of UTC, so that two instants keep their order whatever offsets they are told with.
    """
    found = _OF_DAY.fullmatch(of_day)
    if found is None:
        return of_day, 0
    hour, minute = int(found[1]), int(found[2])
    ahead = int(found[6] or 0)
    whole = (60 - ahead) % 60 if found[5] == "-" else ahead
    hour -= minute < whole
    told = f"T{hour % 24 if hour < 0 else hour:02}:{whole:02}{found[3].translate(_ZEROS)}"
    return told + (found[4] or ""), int(hour < 0)


@lru_cache(maxsize=50_000)
def _moved(day: str, days: int) -> str | None:
    """A date so many days earlier; one of another precision only stays where it is."""
    found = _TIME.fullmatch(day)
    if found is None:
        return None
    year, month, of_month = found.group(1, 2, 3)
    try:
        told = date(int(year), int(month or 1), int(of_month or 1))
        return date.fromordinal(told.toordinal() - days).isoformat()[: len(day)]
    except ValueError:
        return None


def instant(value: Json, case: Case) -> Json:
    """An instant, which FHIR wants to the second: nothing where only years are told."""
    told = None if case.site.profile == "safe_harbor" else time(value, case)
    return told if told and len(told) > _DAY else None


def day(value: Json, case: Case) -> Json:
    """A date, which has no time of the day in FHIR."""
    return time(value[:_DAY], case) if type(value) is str else None


def clock(value: Json, case: Case) -> Json:
    """A time of the day."""
    if case.site.profile == "safe_harbor":
        return None
    if type(value) is not str or not _CLOCK.fullmatch(value):
        return None
    whole = value if len(value) > _MINUTES else f"{value}:00"
    return whole[:2] + whole[2:].translate(_ZEROS) if case.site.profile == "shifted" else whole


def birth(value: Json, case: Case) -> Json:
    """The year of birth, of people who cannot be older than 89 (45 CFR 164.514(b)(2)(i)(C))."""
    if type(value) is not str or not _TIME.fullmatch(value) or not _moved(value[:_DAY], 0):
        return None
    return None if is_too_old(int(value[:4]), case.site.now.year) else value[:4]


def postal(value: Json, case: Case) -> Json:
    """Three digits of a US ZIP code."""
    return zip3(value) if type(value) is str else None


def state(value: Json, case: Case) -> Json:
    """A US state, by its code or its name."""
    return value if type(value) is str and value in _STATES else None


def country(value: Json, case: Case) -> Json:
    """The code of a country."""
    return value if type(value) is str and value in _COUNTRIES else None


def language(value: Json, case: Case) -> Json:
    """A language tag."""
    return value if type(value) is str and value in _LANGUAGES else None


def mime(value: Json, case: Case) -> Json:
    """A media type."""
    return value if type(value) is str and _MIME.fullmatch(value) else None


def samples(value: Json, case: Case) -> Json:
    """Numbers of a series, a blank between them."""
    return value if type(value) is str and _SAMPLES.fullmatch(value) else None


def when(value: Json, case: Case) -> Json:
    """An event of the day (EventTiming), such as ACM or MORN.early."""
    return value if type(value) is str and value in words()["when"] else None


def profile(value: Json, case: Case) -> Json:
    """The canonical of one of the profiles of FHIR and US Core, without a version."""
    if type(value) is not str:
        return None
    base, _, name = value.rpartition("/")
    return value if f"{base}/" in _PROFILES and name in words()["profiles"] else None


def unit(value: Json, case: Case) -> Json:
    """A unit of UCUM, or the word for one."""
    if type(value) is not str:
        return None
    return value if value in _UNIT_WORDS or is_unit(value, case) else None


_ANNOTATION = re.compile(r"\{([^{}]*)\}")
_COUNTED = frozenset("score beats breaths count cells RBC nominal ratio INR ph pH #".split())


def is_unit(text: str, case: Case) -> bool:
    """Whether it is a unit of UCUM, without numbers or words of somebody's own in it.

    UCUM takes any number for a unit, and any text in braces.
    """
    if any(note not in _COUNTED for note in _ANNOTATION.findall(text)):
        return False
    bare = _ANNOTATION.sub("", text)
    if bare in ("", "1"):
        return True
    return not spells_a_number(bare) and case.site.is_unit(bare)


def birthsex(value: Json, case: Case) -> Json:
    """A code of the US Core birth sex extension."""
    return value if value in ("F", "M", "UNK", "OTH") else None


def drop(value: Json, case: Case) -> Json:
    """Nothing."""
    return None


PRIMITIVES: dict[str, Any] = {
    "word": word,
    "number": number,
    "few": few,
    "order": order,
    "flag": flag,
    "time": time,
    "instant": instant,
    "date": day,
    "clock": clock,
    "birth": birth,
    "zip": postal,
    "state": state,
    "country": country,
    "language": language,
    "mime": mime,
    "samples": samples,
    "when": when,
    "profile": profile,
    "unit": unit,
    "birthsex": birthsex,
    "drop": drop,
}
