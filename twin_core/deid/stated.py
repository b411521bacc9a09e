"""What an observation's code says that its value is: an age, a birth date, somebody's number.

Ages over 89 are told as 90 and birth dates follow the patient's own (45 CFR 164.514(b)(2)(i)(C)),
wherever a sender states them; numbers that people are known by pass nowhere.
"""

import re
from functools import lru_cache
from typing import Literal

from twin_core.deid.nomenclatures import SYSTEMS

Meaning = Literal["age", "birth", "identifier"]
MAX_AGE = 89
OLDEST = MAX_AGE + 1
"""Ages from here on are told as this one."""
LARGEST = 10**6
"""Numbers from here on have seven digits and may be somebody's."""
BIRTH_TEXT = (
    r"(?i)\b(?:(?:date|day|year) of birth|birth ?(?:date|day|year)|dob|d\.o\.b|geburtsdatum"
    r"|geburtstag|geburtsjahr)\b"
)
"""Texts of codes that ask for a birth date, as Python and RE2 read them."""
AGE_TEXT = (
    r"(?i)^\s*(?:(?:patient|current|chronological|reported|stated|estimated|calculated)(?:'s)? )*"
    r"(?:age|alter)(?: in years| \(years\)| at [a-z ]+)?\s*$"
)
_BIRTH, _AGE = re.compile(BIRTH_TEXT), re.compile(AGE_TEXT)
PER_YEAR = {"a": 1.0, "mo": 12.0, "wk": 52.18, "d": 365.25}
"""UCUM codes of time in which an age is stated, and how many of them are a year."""
WORDS = {
    **dict.fromkeys(("y", "yr", "yrs", "year", "years", "jahr", "jahre"), "a"),
    **dict.fromkeys(("mos", "month", "months"), "mo"),
    **dict.fromkeys(("wks", "week", "weeks"), "wk"),
    **dict.fromkeys(("day", "days"), "d"),
}
SHORTER = frozenset("h hr hrs hour hours min minute minutes s sec second seconds".split())
"""Units in which nobody over 89 is stated."""


@lru_cache(maxsize=20_000)
def meaning(codes: tuple[str, ...], texts: tuple[str, ...] = ()) -> Meaning | None:
    """By the codes of an observation, of whatever system, and by what their texts say."""
    for code in codes:
        found = SYSTEMS.meanings.get(code)
        if found is not None:
            return found
    if any(_BIRTH.search(text) for text in (*codes, *texts)):
        return "birth"
    return "age" if any(_AGE.match(text) for text in (*codes, *texts)) else None


def codes_that_mean(one: Meaning) -> list[str]:
    """The codes of the nomenclatures that mean it."""
    return sorted(code for code, found in SYSTEMS.meanings.items() if found == one)


def most(unit: str, *, is_age: bool) -> int | None:
    """The greatest number that is told in a unit of ages; None where it is no such unit.

    What a code calls an age is one in years, unless its unit says that it is of a newborn.
    """
    bare = unit.strip().rstrip(".")
    name = WORDS.get(bare.lower(), bare.lower() if is_age else bare)
    per_year = PER_YEAR.get(name)
    if per_year is None:
        return OLDEST if is_age and name not in SHORTER else None
    return int(OLDEST * per_year)


def is_too_old(year: int, now: int) -> bool:
    """Whether a date of that year tells that its patient is over 89."""
    return now - year > MAX_AGE
