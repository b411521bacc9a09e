"""What `stated` knows of observations, as SQL over a row `r` of `twin.observation`."""

from collections.abc import Iterable

from twin_core.deid.stated import (
    AGE_TEXT,
    BIRTH_TEXT,
    LARGEST,
    OLDEST,
    PER_YEAR,
    SHORTER,
    WORDS,
    codes_that_mean,
)

_DATE = "[0-9]{4}-[0-9]{2}"
_DIGITS = "[0-9]{7}"


def is_birth() -> str:
    """Whether the code of a row, or its text, asks for a birth date."""
    return f"({_coded(codes_that_mean('birth'))} OR {_worded(BIRTH_TEXT)})"


def is_age() -> str:
    """Whether it asks for an age."""
    return f"({_coded(codes_that_mean('age'))} OR {_worded(AGE_TEXT)})"


def names_somebody() -> str:
    """Whether its value would be a birth date or a number of somebody's."""
    return f"({is_birth()} OR {_coded(codes_that_mean('identifier'))})"


def oldest() -> str:
    """The greatest age in the unit of a row; NULL where its number is none."""
    units = " ".join(
        f"WHEN r.unit = '{code}' OR lower(r.unit) IN ({_listed(_words(code))})"
        f" THEN {int(OLDEST * per_year)}"
        for code, per_year in PER_YEAR.items()
    )
    years = f"{is_age()} AND lower(coalesce(r.unit, '')) NOT IN ({_listed(sorted(SHORTER))})"
    return f"CASE {units} WHEN {years} THEN {OLDEST} END"


def number(said: str) -> str:
    """A number with ages ended at 90; NULL of a birth date, of somebody's number, of seven digits,
    and of an age that is said to be below one that is not told."""
    return (
        f"CASE WHEN {names_somebody()} OR abs({said}) >= {LARGEST} THEN NULL"
        f" WHEN {said} >= {oldest()} THEN CASE WHEN starts_with(coalesce(r.comparator, ''), '<')"
        f" THEN NULL ELSE {oldest()} END ELSE {said} END"
    )


def is_telling(said: str, *, dates_pass: bool) -> str:
    """Whether a value as text would tell an age, a birth date, a number of somebody's or, where
    instants move, a date."""
    hidden = [names_somebody(), is_age(), f"regexp_matches({said}, '{_DIGITS}')"]
    hidden.append(f"coalesce(r.value_number >= {oldest()}, false)")
    if not dates_pass:
        hidden.append("coalesce(r.value_type IN ('dateTime', 'Period', 'time'), false)")
        hidden.append(f"regexp_matches({said}, '{_DATE}')")
    return " OR ".join(hidden)


def _coded(codes: Iterable[str]) -> str:
    return f"coalesce(r.code IN ({_listed(codes)}), false)"


def _worded(text: str) -> str:
    asked = (
        f"regexp_matches(coalesce(r.{column}, ''), {_quoted(text)})"
        for column in ("code", "display")
    )
    return " OR ".join(asked)


def _words(code: str) -> list[str]:
    return [word for word, unit in WORDS.items() if unit == code]


def _listed(words: Iterable[str]) -> str:
    return ", ".join(map(_quoted, words))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
