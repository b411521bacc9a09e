"""A search as it was asked: conditions on the resources, and words about the answer."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from api.fhir.parameters import (
    MODIFIERS,
    Asking,
    Kind,
    Parameter,
    Unanswerable,
    condition,
    listed,
    split_unescaped,
)
from api.fhir.served import Served
from api.fhir.versions import as_known, changes

USUAL_COUNT = 50
MOST_COUNT = 1000
_IGNORED = frozenset({"_format", "_pretty", "_cursor"})
_RESULT = frozenset(
    {"_count", "_sort", "_summary", "_total", "_elements", "_include", "_revinclude"}
)
COMMON = ("_id", "_lastUpdated")
Asked = Sequence[tuple[str, str]]


class Include(NamedTuple):
    """A word of `_include` or `_revinclude`: whose parameter, which one, pointing at what."""

    type: str
    parameter: str
    """Name of a reference parameter, or `*` for all of them."""
    target: str
    iterate: bool
    reverse: bool


class Question(NamedTuple):
    """A search of one resource type."""

    served: Served
    conditions: tuple[str, ...]
    """SQL on `_id`; values are bound in `asking`."""
    sort: tuple[tuple[Parameter, bool], ...]
    """Parameters to sort by, and whether downwards."""
    rows: int
    """Resources on a page."""
    total: str
    summary: str
    elements: frozenset[str]
    includes: tuple[Include, ...]
    used: tuple[tuple[str, str], ...]
    """What of the request was understood, to be told in the link to itself."""
    unknown: tuple[str, ...]
    """Names of parameters that were not understood."""


def common_parameters(served: Served) -> dict[str, Parameter]:
    """The parameters that every type has, as this one has them."""
    ids = f"SELECT _id, '' AS system, _id AS code FROM {{{served.main}}}"
    at = (
        f"SELECT _id, max(changed_at) AS starts, max(changed_at) AS ends FROM ({changes(served)})"
        " WHERE changed_at <= $known_at GROUP BY _id"
    )
    return {
        "_id": Parameter("_id", Kind.TOKEN, ids),
        "_lastUpdated": Parameter("_lastUpdated", Kind.DATE, at),
    }


def parameters_of(served: Served) -> dict[str, Parameter]:
    """Every parameter of a type, ready to be asked as of `$known_at`."""
    own = {
        name: one._replace(values=as_known(served, one.values))
        for name, one in served.parameters.items()
    }
    return {**common_parameters_known(served), **own}


def common_parameters_known(served: Served) -> dict[str, Parameter]:
    """`common_parameters` as of `$known_at`."""
    return {
        name: one._replace(values=as_known(served, one.values))
        for name, one in common_parameters(served).items()
    }


def question(served: Served, asked: Asked, asking: Asking) -> Question:
    """Read a search. Raises Unanswerable for what is understood but wrong."""
    parameters = parameters_of(served)
    conditions, used, unknown = [], [], []
    words: dict[str, list[str]] = {}
    for name, value in asked:
        if name in _IGNORED:
            continue
        plain = name.partition(":")[0]
        if plain in _RESULT:
            words.setdefault(name, []).append(value)
            used.append((name, value))
        elif not value:
            unknown.append(name)
        elif plain.partition(".")[0] in parameters or plain == "_has":
            conditions.append(_condition(served, name, value, asking))
            used.append((name, value))
        else:
            unknown.append(name)
    return Question(
        served,
        tuple(conditions),
        tuple(_sort(parameters, words.get("_sort", ()))),
        _count(words.get("_count", ())),
        _one_of("_total", words.get("_total", ()), ("accurate", "estimate", "none")),
        _one_of("_summary", words.get("_summary", ()), ("false", "count", "data")),
        frozenset(part for value in words.get("_elements", ()) for part in value.split(",")),
        tuple(_includes(words, served)),
        tuple(used),
        tuple(dict.fromkeys(unknown)),
    )


def _condition(served: Served, name: str, value: str, asking: Asking) -> str:
    """A condition on the resource itself, or through references on what it points at, or on what
    points at it (`_has`). Raises Unanswerable for a parameter that the type does not have."""
    first, dot, rest = name.partition(".")
    plain, _, modifier = first.partition(":")
    if plain == "_has":
        return _pointed_at(served, name, value, asking)
    parameters = parameters_of(served)
    if plain not in parameters:
        several = listed(parameters)
        raise Unanswerable(f"{served.type} is searched by {several}.", "not-supported")
    parameter = parameters[plain]
    if not dot:
        return condition(parameter, modifier, value, asking)
    if parameter.kind is not Kind.REFERENCE or modifier not in ("", *parameter.targets):
        raise Unanswerable(f"{plain} points at no such resource.", "not-supported")
    targets = (
        [modifier] if modifier else [kind for kind in parameter.targets if kind in served.others]
    )
    asked_of, _, further = rest.partition(":")
    chains = []
    for kind in targets:
        known = parameters_of(served.others[kind])
        if asked_of in known:
            target = condition(known[asked_of], further, value, asking)
            meant = f"SELECT _id FROM ({_all_of(served.others[kind])}) WHERE {target}"
            chains.append(f"(v.type = '{kind}' AND v.target IN ({meant}))")
    if not chains:
        raise Unanswerable(f"What {plain} points at is not searched by that.", "not-supported")
    return f"_id IN (SELECT _id FROM ({parameter.values}) v WHERE {' OR '.join(chains)})"


_HAS = re.compile(r"_has:([A-Za-z]+):([A-Za-z-]+):(.+)")


def _pointed_at(served: Served, name: str, value: str, asking: Asking) -> str:
    """`_has:Observation:patient:code`: some Observation whose patient this is has the code."""
    matched = _HAS.fullmatch(name)
    other = served.others.get(matched[1]) if matched else None
    pointing = parameters_of(other).get(matched[2]) if matched and other else None
    if matched is None or other is None or pointing is None or served.type not in pointing.targets:
        reason = "_has is _has:Type:reference:parameter, of a reference to what is searched."
        raise Unanswerable(reason, "not-supported")
    meant = (
        f"SELECT _id FROM ({_all_of(other)}) WHERE {_condition(other, matched[3], value, asking)}"
    )
    return (
        f"_id IN (SELECT v.target FROM ({pointing.values}) v"
        f" WHERE v.type = '{served.type}' AND v._id IN ({meant}))"
    )


def _all_of(served: Served) -> str:
    return as_known(served, f"SELECT DISTINCT _id FROM {{{served.main}}}")


def _sort(
    parameters: Mapping[str, Parameter], words: Iterable[str]
) -> Iterator[tuple[Parameter, bool]]:
    for word in (part for value in words for part in value.split(",") if part):
        name, downwards = word.removeprefix("-"), word.startswith("-")
        if name not in parameters or parameters[name].kind is Kind.REFERENCE:
            sortable = listed(n for n, p in parameters.items() if p.kind is not Kind.REFERENCE)
            raise Unanswerable(f"_sort knows {sortable}.", "not-supported")
        yield parameters[name], downwards


def _count(words: Sequence[str]) -> int:
    if not words:
        return USUAL_COUNT
    if not words[-1].isascii() or not words[-1].isdecimal():
        raise Unanswerable("_count is a number of resources.")
    return min(int(words[-1][:9]), MOST_COUNT)


def _one_of(name: str, words: Sequence[str], known: Sequence[str]) -> str:
    if not words:
        return known[0]
    if words[-1] not in known:
        raise Unanswerable(f"{name} is {listed(known)}.", "not-supported")
    return words[-1]


def _includes(words: Mapping[str, Sequence[str]], own: Served) -> Iterator[Include]:
    for name in words:
        plain, _, modifier = name.partition(":")
        if plain in ("_include", "_revinclude"):
            if modifier not in ("", "iterate"):
                raise Unanswerable(f"{plain} understands the modifier :iterate.", "not-supported")
            for value in words[name]:
                yield _include(plain, value, own, iterate=bool(modifier))


def _include(name: str, value: str, own: Served, *, iterate: bool) -> Include:
    kind, _, rest = value.partition(":")
    if kind == "*" and name == "_include":
        kind = own.type
    parameter, _, target = rest.partition(":")
    parameter = parameter or "*"
    served = own.others.get(kind)
    if served is None or (parameter != "*" and parameter not in references(served)):
        raise Unanswerable(f"{name} is Type:parameter, of a reference parameter.", "not-supported")
    return Include(kind, parameter, target, iterate, name == "_revinclude")


def references(served: Served) -> list[str]:
    """The reference parameters of a type."""
    own = served.parameters
    return [name for name, one in own.items() if one.kind is Kind.REFERENCE]


def modifiers_of(parameter: Parameter) -> tuple[str, ...]:
    """The modifiers that a parameter understands."""
    return (*MODIFIERS[parameter.kind], *parameter.targets)


def words_of(value: str) -> list[str]:
    """The alternatives of a value."""
    return split_unescaped(value, ",")
