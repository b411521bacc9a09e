"""Search parameters: from the words of a request to a condition in SQL.

Each parameter's own SQL gives its values; what is asked becomes a condition on them, so that
modifiers and prefixes mean the same for every parameter of a kind. Values travel as bound
parameters, never as text of the SQL.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NamedTuple

from adapters.fhir.reading import ID
from adapters.fhir.times import NoTimeZone, moment, without_zone


class Kind(StrEnum):
    """The kinds of search parameters that FHIR defines and the twin has."""

    TOKEN = "token"  # noqa: S105 - the name of a kind
    STRING = "string"
    DATE = "date"
    REFERENCE = "reference"


class Parameter(NamedTuple):
    """A search parameter and the SQL of its values; see `searchable`."""

    name: str
    kind: Kind
    values: str
    targets: tuple[str, ...] = ()
    """What a reference points at."""
    days: bool = False
    """Its values are days of the calendar, which have no time zone."""


class Unanswerable(Exception):
    """A question that cannot be answered as it was asked; says why, never with what was sent."""

    def __init__(self, reason: str, code: str = "invalid", status: int = 400) -> None:
        super().__init__(reason)
        self.reason, self.code, self.status = reason, code, status


class Bound:
    """Values of a query, each under a name of its own."""

    def __init__(self, **known: object) -> None:
        self.values: dict[str, object] = known

    def add(self, value: object) -> str:
        """Keep a value; what stands for it in the SQL."""
        name = f"asked{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def among(self, values: Collection[str]) -> str:
        """Keep values; the test that something is one of them.

        Of several it is one join: a client may name thousands of visits, and a test for each would
        be made of every row.
        """
        if len(values) == 1:
            return f"= {self.add(*values)}::VARCHAR"
        return (
            f"IN (SELECT unnest(from_json({self.add(json.dumps(list(values)))}, '[\"VARCHAR\"]')))"
        )


class Asking(NamedTuple):
    """What surrounds a question: where values go, whose midnight a day has, this base's address."""

    bound: Bound
    zone: tzinfo
    base: str


MODIFIERS: Mapping[Kind, tuple[str, ...]] = {
    Kind.TOKEN: ("missing", "not"),
    Kind.STRING: ("missing", "exact", "contains"),
    Kind.DATE: ("missing",),
    Kind.REFERENCE: ("missing",),
}
"""Which modifiers each kind of parameter understands; a reference also a type it points at."""


def condition(parameter: Parameter, modifier: str, value: str, asking: Asking) -> str:
    """A condition on `_id` for one parameter of a request: any of its values between commas.

    Raises Unanswerable for a modifier, a prefix or a value that is not understood.
    """
    if modifier == "missing":
        return _missing(parameter, value)
    known = MODIFIERS[parameter.kind] + parameter.targets
    if modifier and modifier not in known:
        told = ", ".join(f":{one}" for one in known)
        raise Unanswerable(f"{parameter.name} understands the modifiers {told}.", "not-supported")
    several = split_unescaped(value, ",")
    tests = _TESTS[parameter.kind](parameter, modifier, several, asking)
    either = " OR ".join(f"({test})" for test in tests)
    chosen = f"_id IN (SELECT _id FROM ({parameter.values}) v WHERE {either})"
    return f"NOT {chosen}" if modifier == "not" else chosen


def _missing(parameter: Parameter, value: str) -> str:
    if value not in ("true", "false"):
        raise Unanswerable(f"{parameter.name}:missing is true or false.")
    column = _HELD[parameter.kind]
    held = f"_id IN (SELECT _id FROM ({parameter.values}) v WHERE v.{column} IS NOT NULL)"
    return f"NOT {held}" if value == "true" else held


_HELD = {Kind.TOKEN: "code", Kind.STRING: "text", Kind.DATE: "starts", Kind.REFERENCE: "target"}


def split_unescaped(value: str, separator: str) -> list[str]:
    """Parts between separators that no backslash stands before."""
    return re.split(rf"(?<!\\){re.escape(separator)}", value)


def unescaped(value: str) -> str:
    """A value as it is meant: `\\,`, `\\|`, `\\$` and `\\\\` without their backslash."""
    return re.sub(r"\\([,|$\\])", r"\1", value)


def _tokens(
    parameter: Parameter, modifier: str, several: Sequence[str], asking: Asking
) -> Iterator[str]:
    codes: dict[str | None, set[str]] = {}
    for value in several:
        parts = split_unescaped(value, "|")
        if len(parts) > 2 or not any(parts):
            raise Unanswerable(f"{parameter.name} is system|code, code, system| or |code.")
        system = unescaped(parts[0]) if len(parts) == 2 else None
        codes.setdefault(system, set()).add(unescaped(parts[-1]))
    for system, asked in codes.items():
        # `system|` is any code of it, whatever else is asked.
        test = "v.code IS NOT NULL" if "" in asked else f"v.code {asking.bound.among(asked)}"
        if system is not None:
            test += f" AND coalesce(v.system, '') = {asking.bound.add(system)}::VARCHAR"
        yield test


_FOLDED = "strip_accents(lower({}))"


def _string(parameter: Parameter, modifier: str, value: str, asking: Asking) -> str:
    asked = asking.bound.add(unescaped(value)) + "::VARCHAR"
    if modifier == "exact":
        return f"v.text = {asked}"
    test = "contains" if modifier == "contains" else "starts_with"
    return f"{test}({_FOLDED.format('v.text')}, {_FOLDED.format(asked)})"


_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d{4}.*)")
_DATE_TESTS = {
    "eq": "v.starts >= {low} AND v.ends < {high}",
    "ne": "NOT (v.starts >= {low} AND v.ends < {high})",
    "gt": "v.ends >= {high}",
    "lt": "v.starts < {low}",
    "ge": "v.ends >= {low}",
    "le": "v.starts < {high}",
    "sa": "v.starts >= {high}",
    "eb": "v.ends < {low}",
    "ap": "v.starts < {high} AND v.ends >= {low}",
}
"""Prefix -> how the values, from `starts` to `ends`, lie against what was asked, [low, high)."""


def _date(parameter: Parameter, modifier: str, value: str, asking: Asking) -> str:
    matched = _PREFIXED.fullmatch(value)
    if matched is None:
        raise Unanswerable(f"{parameter.name} is a date or an instant, with or without a prefix.")
    prefix, told = matched[1] or "eq", matched[2]
    low, high = span(told, UTC if parameter.days else asking.zone, parameter.name)
    if prefix == "ap":
        slack = max((high - low) / 2, timedelta(hours=12))
        low, high = low - slack, high + slack
    test = _DATE_TESTS[prefix]
    for edge, at in (("{low}", low), ("{high}", high)):
        if edge in test:
            test = test.replace(edge, asking.bound.add(at))
    return f"v.starts IS NOT NULL AND {test}"


_MINUTE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(Z|[+-]\d\d:\d\d)?")
_FRACTION = re.compile(r"\.(\d+)")


def span(told: str, zone: tzinfo, name: str) -> tuple[datetime, datetime]:
    """What a date or an instant covers, half-open, as exact as it was written.

    Raises Unanswerable for what is neither.
    """
    told = told.replace(" ", "+")  # a plus sign that the caller did not encode
    minute = _MINUTE.fullmatch(told)
    written = f"{minute[1]}:00{minute[2] or ''}" if minute else told
    try:
        found = moment(written, zone)
    except NoTimeZone:
        found = without_zone(written, zone)
    except ValueError:
        raise Unanswerable(f"{name} has no date or instant that FHIR knows.") from None
    if found.precision != "second":
        return found.at, found.until
    return found.at, found.at + (timedelta(minutes=1) if minute else _exactness(told))


def _exactness(told: str) -> timedelta:
    fraction = _FRACTION.search(told)
    digits = min(len(fraction[1]), 6) if fraction else 0
    return timedelta(microseconds=10 ** (6 - digits))


_TARGET = re.compile(r"(?:(https?://.+)/)?([A-Z][A-Za-z]+)/([^/]+)(?:/_history/[^/]+)?")


def _references(
    parameter: Parameter, modifier: str, several: Sequence[str], asking: Asking
) -> Iterator[str]:
    targets: dict[str, set[str]] = {}
    for value in several:
        told = unescaped(value)
        matched = _TARGET.fullmatch(told)
        base, kind, id_ = matched.groups() if matched else ("", modifier, told)
        if base and base != asking.base:
            yield "false"  # what another server holds is nothing that the twin refers to
            continue
        if not ID.fullmatch(id_):
            raise Unanswerable(f"{parameter.name} is Type/id, an id, or an address at this base.")
        targets.setdefault(kind, set()).add(id_)
    for kind, asked in targets.items():
        test = f"v.target {asking.bound.among(asked)}"
        yield f"{test} AND v.type = {asking.bound.add(kind)}::VARCHAR" if kind else test


def _each(test: Callable[[Parameter, str, str, Asking], str]) -> "_Tests":
    """The tests of a kind of which each value is tested by itself."""

    def tests(
        parameter: Parameter, modifier: str, several: Sequence[str], asking: Asking
    ) -> Iterator[str]:
        return (test(parameter, modifier, one, asking) for one in several)

    return tests


_Tests = Callable[[Parameter, str, Sequence[str], Asking], Iterator[str]]
_TESTS: Mapping[Kind, _Tests] = {
    Kind.TOKEN: _tokens,
    Kind.STRING: _each(_string),
    Kind.DATE: _each(_date),
    Kind.REFERENCE: _references,
}


def listed(names: Iterable[str]) -> str:
    """Names as a reader is told of them."""
    return ", ".join(sorted(names)) or "none"
