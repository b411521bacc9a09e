"""The KPIs as one plan of plain SELECTs, in which what they share is computed once.

As table macros, the building blocks are planned anew wherever a KPI names them: most of the time
a KPI takes over a short window. Unfolded, every building block that is asked for with the same
arguments is a table of its own, made once, and a KPI reads it. The text is that of the catalogue;
only names of parameters and of table macros are replaced, so there is one definition of each KPI.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

from twin_core.kpi.catalogue import PARTS, Buildings, Definition, building_macro

HISTORY = "live_history"
"""Schema of the tables that hold what `history.<table>` gives as known now."""
MADE = "live_part"
"""Schema of the building blocks, one table for each set of arguments."""


class Step(NamedTuple):
    """A table to make, before any step that reads it, and the SELECT it is made of."""

    table: str
    sql: str


class Plan(NamedTuple):
    """How to measure KPIs over one window; instants are the variables of `WINDOW`."""

    history: tuple[str, ...]
    """The tables of `history` that are read."""
    steps: tuple[Step, ...]
    figures: dict[str, str]
    """By KPI the SELECT of its rows."""


class _Macro(NamedTuple):
    parameters: tuple[str, ...]
    body: str


WINDOW = {
    "window_start": "getvariable('window_start')",
    "window_end": "getvariable('window_end')",
    "known_at": "NULL",
}
_SIMPLE = re.compile(r"'(?:[^']|'')*'|\w+|(?:getvariable)?\([^()]*(?:\([^()]*\)[^()]*)*\)")
# `CASE WHEN 'unit' = 'class' THEN error(...) ELSE 'unit' END`: a definition that refuses a word.
_REFUSAL = re.compile(
    r"CASE WHEN '(\w+)' = '(?!\1')\w+'\s+THEN error\(.*?\)\s+ELSE ('\w+') END", re.S
)
_DEFAULTS = {"grain": "'day'", '"by"': "'unit'", "known_at": "NULL"}
_ASKED = ("window_start", "window_end", "grain", '"by"', "known_at")
_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|[A-Za-z_]\w*|:=|\s+|.", re.DOTALL)
_TABLE_MACRO = re.compile(
    r"CREATE OR REPLACE MACRO (kpi_part\.\w+)\(([^)]*)\) AS TABLE\s(.*?)(?:;|\Z)", re.DOTALL
)


def unfold(kpis: Mapping[str, Definition], *, grain: str, by: str) -> Plan:
    """The plan that gives what `kpi.<id>(window_start, window_end, grain, by)` gives for each KPI.

    A KPI that is not defined for the grain or grouping is not in it, nor one without inputs.
    """
    unfolding = _Unfolding(kpis)
    literals = {**WINDOW, "grain": f"'{grain}'", '"by"': f"'{by}'"}
    figures = {
        kpi.id: unfolding.rewritten(_replaced(kpi.sql, literals))
        for kpi in kpis.values()
        if grain in kpi.grain and by in kpi.by and not _has_no_inputs(kpi)
    }
    return Plan(tuple(sorted(unfolding.history)), tuple(unfolding.steps), figures)


def scalar_macros(buildings: Buildings) -> tuple[str, ...]:
    """The statements of the building blocks that install what is no table."""
    found = [building_macro(buildings)]
    for part in PARTS:
        statements = _part(part).split(";")
        found += [one for one in statements if one.strip() and " AS TABLE" not in one]
    return tuple(found)


class _Unfolding:
    """Table macros that have been asked for, each as a step."""

    def __init__(self, kpis: Mapping[str, Definition]) -> None:
        self.history: set[str] = set()
        self.steps: list[Step] = []
        self._made: dict[tuple[str, tuple[str, ...]], str] = {}
        self._macros = _part_macros()
        self._macros |= {f"kpi.{kpi.id}": _Macro(_ASKED, kpi.sql) for kpi in kpis.values()}

    def rewritten(self, sql: str) -> str:
        """SQL with every call of a table macro replaced by the table that holds its rows."""
        tokens = _tokens(sql)
        written: list[str] = []
        at = 0
        while at < len(tokens):
            name = "".join(tokens[at : at + 3])
            if tokens[at + 3 : at + 4] == ["("] and self._is_table(name):
                given, at = _arguments(tokens, at + 4)
                written.append(self._table(name, given))
            else:
                written.append(tokens[at])
                at += 1
        return "".join(written)

    def _is_table(self, name: str) -> bool:
        return name.startswith("history.") or name in self._macros

    def _table(self, name: str, given: Sequence[str]) -> str:
        schema, _, word = name.partition(".")
        if schema == "history":
            self.history.add(word)
            return f"{HISTORY}.{word}"
        macro = self._macros[name]
        arguments = _bound(macro.parameters, given)
        key = (name, tuple(arguments.values()))
        if key not in self._made:
            body = self.rewritten(_replaced(macro.body, arguments))
            self._made[key] = f"{MADE}.{word}_{len(self._made)}"
            self.steps.append(Step(self._made[key], body))
        return self._made[key]


def _has_no_inputs(kpi: Definition) -> bool:
    return "kpi_part.no_figures(" in kpi.sql


def _part(name: str) -> str:
    text = (files("twin_core.kpi") / "parts" / f"{name}.sql").read_text(encoding="utf-8")
    return "".join(_tokens(text))


def _part_macros() -> dict[str, _Macro]:
    found = {}
    for part in PARTS:
        for name, parameters, body in _TABLE_MACRO.findall(_part(part)):
            words = tuple(word.strip() for word in parameters.split(","))
            found[name] = _Macro(words, body.strip())
    return found


def _tokens(sql: str) -> list[str]:
    """Strings, names, white space and signs; comments are left out."""
    return [token for token in _TOKEN.findall(sql) if not token.startswith("--")]


def _replaced(sql: str, values: Mapping[str, str]) -> str:
    """SQL with its parameters replaced; what follows a point is a column of that name."""
    tokens = _tokens(sql)
    for at, token in enumerate(tokens):
        if token in values and tokens[at - 1 : at] != ["."] and not _names_argument(tokens, at):
            tokens[at] = values[token]
    return "".join(tokens)


def _names_argument(tokens: Sequence[str], at: int) -> bool:
    return "".join(tokens[at + 1 : at + 3]).strip().startswith(":=")


def _arguments(tokens: Sequence[str], at: int) -> tuple[list[str], int]:
    """The arguments of a call from behind its bracket, and where it ends."""
    given, depth = [""], 0
    while depth or tokens[at] != ")":
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(tokens[at], 0)
        if tokens[at] == "," and not depth:
            given.append("")
        else:
            given[-1] += tokens[at]
        at += 1
    return [one.strip() for one in given], at + 1


def _bound(parameters: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Which parameter is given what; what is no single word is kept together by brackets."""
    bound = {name: _DEFAULTS[name] for name in parameters if name in _DEFAULTS}
    for position, argument in enumerate(given):
        name, named, value = argument.partition(":=")
        word, text = (name.strip(), value.strip()) if named else (parameters[position], argument)
        if refusal := _REFUSAL.fullmatch(text):
            text = refusal[2]
        bound[word] = text if _SIMPLE.fullmatch(text) else f"({text})"
    return {name: bound[name] for name in parameters}
