"""Answering a search: which resources, on which page, with what they refer to.

Every page of a search is read as of the instant at which its first page was, so that nothing is
missed or doubled while messages go on arriving.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from api.fhir.parameters import Asking, Kind, Unanswerable
from api.fhir.question import Include, Question, parameters_of, references
from api.fhir.versions import as_known, version_at, version_id
from twin_core.kpi.measuring import Query

MOST_INCLUDED = 10_000
_ROUNDS = 5
"""How far `_include:iterate` follows references."""
Key = tuple[str, str]
"""Type and id."""


class Page(NamedTuple):
    """Where a page begins: as known when, after which id or how many, and of how many in all."""

    known_at: datetime
    after: str = ""
    passed: int = 0
    total: int | None = None


class Found(NamedTuple):
    """One page of a search: matches in order, what is included with them, and what follows."""

    matches: tuple[str, ...]
    included: tuple[Key, ...]
    total: int | None
    following: Page | None


def opened(cursor: str) -> Page:
    """The page that a `next` link leads to. Raises Unanswerable for what is none."""
    try:
        version, after, passed, total = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        known_at = version_at(version)
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise Unanswerable("_cursor is that of no `next` link.") from None
    whole = isinstance(passed, int) and isinstance(total, int | None)
    if known_at is None or not isinstance(after, str) or not whole or passed < 0:
        raise Unanswerable("_cursor is that of no `next` link.")
    return Page(known_at, after, passed, total)


def closed(page: Page) -> str:
    """A page as the `_cursor` of a link."""
    place = [version_id(page.known_at), page.after, page.passed, page.total]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def search(query: Query, asked: Question, asking: Asking, page: Page) -> Found:
    """One page of a search."""
    total = _total(query, asked, asking, page)
    if asked.summary == "count" or asked.rows == 0:
        return Found((), (), total, None)
    ids = _ids(query, asked, asking, page)
    matches, more = ids[: asked.rows], len(ids) > asked.rows
    following = page._replace(
        after="" if asked.sort else matches[-1] if matches else "",
        passed=page.passed + len(matches),
        total=total,
    )
    included = _included(query, asked, matches, page)
    return Found(tuple(matches), tuple(included), total, following if more else None)


def _total(query: Query, asked: Question, asking: Asking, page: Page) -> int | None:
    if page.total is not None or (asked.total == "none" and asked.summary != "count"):
        return page.total
    (row,) = query(f"SELECT count(*) AS total FROM ({_chosen(asked)})", _values(asking, page))
    total = row["total"]
    return total if isinstance(total, int) else None


def _chosen(asked: Question) -> str:
    served = asked.served
    every = as_known(served, f"SELECT DISTINCT _id FROM {{{served.main}}}")
    return f"SELECT _id FROM ({every}) WHERE {' AND '.join(asked.conditions) or 'true'}"


def _values(asking: Asking, page: Page, **further: object) -> dict[str, object]:
    return {**asking.bound.values, "known_at": page.known_at, **further}


def _ids(query: Query, asked: Question, asking: Asking, page: Page) -> list[str]:
    """The ids of a page and of one resource more, where there is one."""
    if not asked.sort:
        sql = f"{_chosen(asked)} AND _id > $after ORDER BY _id LIMIT $rows"
        place = {"after": page.after, "rows": asked.rows + 1}
    else:
        sql = f"{_sorted(asked)} LIMIT $rows OFFSET $passed"
        place = {"passed": page.passed, "rows": asked.rows + 1}
    return [str(row["_id"]) for row in query(sql, _values(asking, page, **place))]


_SORTED_BY = {Kind.TOKEN: "code", Kind.STRING: "lower(text)", Kind.DATE: "starts"}


def _sorted(asked: Question) -> str:
    """The chosen ones in order; of several values the first counts, what has none comes last."""
    keys, joins = [], []
    for number, (parameter, downwards) in enumerate(asked.sort):
        first = "max" if downwards else "min"
        column = _SORTED_BY[parameter.kind]
        joins.append(
            f"LEFT JOIN (SELECT _id, {first}({column}) AS key FROM ({parameter.values})"
            f" GROUP BY _id) k{number} ON k{number}._id = c._id"
        )
        keys.append(f"k{number}.key {'DESC' if downwards else 'ASC'} NULLS LAST")
    order = ", ".join(keys)
    return f"SELECT c._id FROM ({_chosen(asked)}) c {' '.join(joins)} ORDER BY {order}, c._id"


def _included(query: Query, asked: Question, matches: Sequence[str], page: Page) -> list[Key]:
    """What is to be sent with the matches: each resource once, and never a match again."""
    here = {(asked.served.type, id_) for id_ in matches}
    found: dict[Key, None] = {}
    newest = set(here)
    for round_ in range(_ROUNDS):
        several = [one for one in asked.includes if round_ == 0 or one.iterate]
        reached = {key for one in several for key in _reached(query, asked, one, newest, page)}
        newest = {key for key in reached if key not in here and key not in found}
        found.update(dict.fromkeys(sorted(newest)))
        if not newest or len(found) > MOST_INCLUDED:
            break
    return list(found)[:MOST_INCLUDED]


def _reached(
    query: Query, asked: Question, include: Include, start: set[Key], page: Page
) -> set[Key]:
    """What one include leads to: along its references, or against them."""
    served = asked.served.others[include.type]
    known = parameters_of(served)
    names = references(served) if include.parameter == "*" else [include.parameter]
    reached: set[Key] = set()
    for name in names:
        held = "target" if include.reverse else "_id"
        kinds = known[name].targets if include.reverse else (include.type,)
        ids = sorted(id_ for kind, id_ in start if kind in kinds)
        if not ids:
            continue
        sql = (
            f"SELECT DISTINCT _id, type, target FROM ({known[name].values})"
            f" WHERE {held} IN (SELECT unnest(from_json($ids, '[\"VARCHAR\"]')))"
            " AND target IS NOT NULL"
        )
        for row in query(sql, {"known_at": page.known_at, "ids": json.dumps(ids)}):
            if include.target in ("", row["type"]) and (
                not include.reverse or (row["type"], row["target"]) in start
            ):
                reached.add(
                    (include.type, row["_id"]) if include.reverse else (row["type"], row["target"])
                )
    return reached
