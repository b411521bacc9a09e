"""The allow-list of `rules.toml`: what each profile makes of every column of schema `twin`."""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple, get_args

Profile = Literal["limited", "shifted", "safe_harbor"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
Treatment = Literal[
    "keep",
    "code",
    "measured",
    "said",
    "pseudonym",
    "spot",
    "shift",
    "year",
    "capped",
    "zip3",
    "drop",
]
TREATMENTS: tuple[Treatment, ...] = get_args(Treatment)


class ColumnRule(NamedTuple):
    """What becomes of one column: an action, what it works with, and the reason for it."""

    table: str
    column: str
    action: str
    word: str
    """The kind of a pseudonym, or the words that a code is held against."""
    reason: str


class Words(NamedTuple):
    """Codes of one kind: those that always pass, and where the patients of others are counted."""

    known: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]


class TableRules(NamedTuple):
    """The rules of one table: whose rows they are, which profiles have it, what is derived."""

    name: str
    of: str | None
    """The column that leads to the patient: patient_id or encounter_id; None: no patient's."""
    profiles: tuple[Profile, ...]
    derived: tuple[tuple[str, ...], ...]
    columns: tuple[ColumnRule, ...]


class Unlisted(NamedTuple):
    """A column of the store that no rule names, and that is therefore dropped."""

    table: str
    column: str


class Rules(NamedTuple):
    """The whole list."""

    actions: Mapping[str, tuple[Treatment, ...]]
    words: Mapping[str, Words]
    tables: Mapping[str, TableRules]
    kpis: tuple[str, ...]
    """KPIs that a shift by whole weeks leaves as they are."""
    published: tuple[str, ...]
    """KPIs whose figures are published as suppressed aggregates."""
    digest: str

    def treatment(self, rule: ColumnRule, profile: Profile) -> Treatment:
        """What a profile makes of a column."""
        if profile not in self.tables[rule.table].profiles:
            return "drop"
        return self.actions[rule.action][PROFILES.index(profile)]

    def kept(self, table: str, profile: Profile) -> list[tuple[ColumnRule, Treatment]]:
        """The columns of a table that a profile has, in order; none of a table it has not."""
        every = ((rule, self.treatment(rule, profile)) for rule in self.tables[table].columns)
        return [(rule, treatment) for rule, treatment in every if treatment != "drop"]

    def unlisted(self, columns: Iterable[tuple[str, str]]) -> list[Unlisted]:
        """Which of a store's (table, column) no rule names."""
        listed = {(rule.table, rule.column) for rule in self.every()}
        return [Unlisted(*column) for column in columns if column not in listed]

    def every(self) -> Iterator[ColumnRule]:
        """Every rule of every table."""
        for table in self.tables.values():
            yield from table.columns


@cache
def rules() -> Rules:
    """The list as installed. Raises ValueError for a line that says something unknown."""
    text = (files("twin_core.deid") / "rules.toml").read_text("utf-8")
    return read_rules(text)


def read_rules(text: str) -> Rules:
    """The list of a text like `rules.toml`. Raises ValueError for a line that says what is none."""
    told: dict[str, Any] = tomllib.loads(text)
    actions = {name: tuple(row) for name, row in told.pop("actions").items()}
    words = {name: _words(row) for name, row in told.pop("words").items()}
    kpis = told.pop("kpis")
    kept, published = tuple(kpis["kept"]), tuple(kpis.get("published", ()))
    tables = {name: _table(name, row) for name, row in told.items()}
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    found = Rules(actions, words, tables, kept, published, digest)
    for name, row in actions.items():
        if len(row) != len(PROFILES) or set(row) - set(TREATMENTS):
            raise ValueError(f"rules.toml: action {name} is {row}")
    for rule in found.every():
        if rule.action not in actions or not rule.reason:
            raise ValueError(f"rules.toml: {rule.table}.{rule.column} has no action or no reason")
        if {"code", "measured", "said"} & set(actions[rule.action]) and rule.word not in words:
            raise ValueError(f"rules.toml: {rule.table}.{rule.column} is held against no words")
    return found


def _words(row: Mapping[str, Any]) -> Words:
    columns = tuple(tuple(name.split(".")) for name in row.get("columns", ()))
    return Words(tuple(row.get("known", ())), columns)


def _table(name: str, row: dict[str, Any]) -> TableRules:
    of, profiles = row.pop("of", None), tuple(row.pop("profiles", PROFILES))
    derived = tuple(tuple(line.split()) for line in row.pop("derived", ()))
    columns = tuple(_column(name, column, line) for column, line in row.items())
    return TableRules(name, of, profiles, derived, columns)


def _column(table: str, column: str, line: list[str]) -> ColumnRule:
    action, _, word = line[0].partition(" ")
    return ColumnRule(table, column, action, word, line[1] if len(line) > 1 else "")
