"""KPIs that a hospital adds or overrides: one SQL file each, in a folder of its own.

A file has the same front matter as those of `definitions` and is judged before any store runs it:
its words, the columns of its SELECT, and that it only reads.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path

from twin_core.errors import ConfigurationError, QueryFailed
from twin_core.kpi.catalogue import (
    RESULT_COLUMNS,
    STATISTICS,
    Definition,
    catalogue,
    macros,
    parse,
    statements,
    trial_macro,
)
from twin_core.settings import KpiSettings
from twin_core.store.trial import Trial

_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_THING = r"[^\W\d_]+(?:[ -][^\W\d_]+)*"
_UNIT = re.compile(rf"%|{_THING}(?:(?:/| per )(?:\d+ )?{_THING})?")
"""Percent, or what is counted or measured, perhaps per so many of something else."""
_SPELT = {
    **dict.fromkeys(("percent", "per cent", "pct", "percentage"), "%"),
    **dict.fromkeys(("second", "seconds", "sec", "secs"), "s"),
    **dict.fromkeys(("minute", "minutes", "mins"), "min"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs"), "h"),
    **dict.fromkeys(("d", "day"), "days"),
}
"""Other spellings of units: figures of one unit are charted, coded and read side by side."""
_LONGEST_UNIT = 40
_PERCENT = {"share", "share_within"}
"""Statistics that the shapes give times 100."""
_NULL = {"INTEGER", '"NULL"'}
"""How DuckDB describes a column that is NULL throughout."""
_NUMBER = re.compile(r"(TINY|SMALL|BIG|HUGE|UTINY|USMALL|UBIG|UHUGE|U)?INT(EGER)?|DOUBLE|FLOAT|DEC")
_INSTANT = {"TIMESTAMP WITH TIME ZONE"}
_PLACE = {"facility": "text", "unit": "text", "class": "text", "stratum": "text"}
_EVENT = {**_PLACE, "happened_at": "instant"}
RULE_COLUMNS: dict[str, dict[str, str]] = {
    "amounts": {**_EVENT, "amount": "number"},
    "shares": {**_EVENT, "counted": "truth"},
    "ratios": {**_EVENT, "above": "number", "below": "number"},
    "snapshots": {**_PLACE, "from_at": "instant", "to_at": "instant", "counted": "truth"},
}
"""What the SELECT of each shape gives besides the id of its subject; `rows` gives the figures."""
_KINDS = {"VARCHAR": "text", "TIMESTAMPTZ": "instant", "DOUBLE": "number"}
_FITS: dict[str, Callable[[str], bool]] = {
    "text": lambda kind: kind in {"VARCHAR", *_NULL},
    "instant": lambda kind: kind in _INSTANT,
    "number": lambda kind: kind in _NULL or _NUMBER.match(kind) is not None,
    "truth": lambda kind: kind in {"BOOLEAN", *_NULL},
}
_WANTED = {
    "text": "text (VARCHAR)",
    "instant": "an instant (TIMESTAMPTZ)",
    "number": "a number",
    "truth": "true or false (BOOLEAN)",
}


def known_kpis(folder: Path | None) -> dict[str, Definition]:
    """Every KPI by its id: the built-in ones, and over them those of a site's folder.

    Reads the files and their front matter; `judge` runs them. Raises ConfigurationError naming the
    file and what is wrong with it.
    """
    known = dict(catalogue())
    for file in _files(folder):
        known[file.stem] = _defined(file, known.get(file.stem))
    return dict(sorted(known.items()))


def judge(kpis: Mapping[str, Definition], folder: Path | None) -> None:
    """Try a site's KPIs on an empty store.

    Raises ConfigurationError naming the first file that does more than read, whose SELECT has other
    columns than its shape, or that fails for one of its grains and groupings.
    """
    own = [kpi for kpi in kpis.values() if kpi.origin == "site"]
    if not own or folder is None:
        return
    with Trial(statements(catalogue())) as trial:
        for kpi in own:
            refuse = partial(_fault, folder / f"{kpi.id}.sql")
            try:
                _tried(trial, kpi, refuse)
            except QueryFailed as failed:
                raise refuse(failed.what) from None


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        return sorted(file for file in folder.iterdir() if file.suffix == ".sql")
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be read.",
            why=error.strerror or "",
            do="Make it, or correct [kpi] folder.",
        ) from None


def _defined(file: Path, built_in: Definition | None) -> Definition:
    if not _ID.fullmatch(file.stem):
        raise _fault(file, "A KPI's id is small letters, digits and underscores.")
    try:
        kpi = parse(file.stem, file.read_text(encoding="utf-8"))
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error.what}", why=error.why) from None
    except OSError as error:
        raise _fault(file, error.strerror or "It cannot be read.") from None
    except UnicodeDecodeError:
        raise _fault(file, "It is not UTF-8.") from None
    for fault in _faults(kpi):
        raise _fault(file, fault)
    replaces = "" if built_in is None else built_in.title
    return kpi.model_copy(update={"origin": "site", "replaces": replaces})


def _faults(kpi: Definition) -> Iterator[str]:
    """What is wrong with its words."""
    if (usual := _SPELT.get(kpi.unit.lower())) is not None:
        yield f"Its unit {kpi.unit!r} is written {usual} here."
    elif len(kpi.unit) > _LONGEST_UNIT or not _UNIT.fullmatch(kpi.unit):
        yield f"Its unit {kpi.unit!r} is none: write %, min, patients, or falls per 1000 bed-days."
    elif set(kpi.statistics) <= _PERCENT and kpi.shape != "rows" and kpi.unit != "%":
        yield "Its unit is %: what it has are shares in percent."
    offered = STATISTICS.get(kpi.shape)
    for statistic in kpi.statistics:
        if not _WORD.fullmatch(statistic):
            yield f"The statistic {statistic!r} is no word of small letters."
        if offered is not None and statistic not in offered:
            yield f"The shape {kpi.shape} has no statistic {statistic}, but {', '.join(offered)}."
    if kpi.target.islower() and kpi.target not in KpiSettings.model_fields:
        yield f"Its target {kpi.target} is no setting of [kpi]."


def _tried(trial: Trial, kpi: Definition, refuse: Callable[[str], ConfigurationError]) -> None:
    for sql in (kpi.rule, kpi.sql):
        trial.permit(sql)
    trial.install(trial_macro(kpi))
    found = trial.columns(f"FROM kpi.trial({_WINDOW})")
    wanted = RULE_COLUMNS.get(kpi.shape)
    if wanted is None:
        wanted = {name: _KINDS[kind] for name, kind in RESULT_COLUMNS.items()}
    else:
        wanted = {f"{kpi.subject}_id": "id", **wanted}
    for name, kind in wanted.items():
        if name not in found:
            raise refuse(f"Its SELECT lacks the column {name}.")
        if kind != "id" and not _FITS[kind](found[name]):
            raise refuse(f"Its column {name} is {found[name]}, not {_WANTED[kind]}.")
    for statement in macros(kpi):
        trial.install(statement)
    schemas = ("kpi", "kpi_rows") if kpi.behind else ("kpi",)
    asked = {*product(kpi.grain[:1], kpi.by), *product(kpi.grain, kpi.by[:1])}
    for schema, (grain, by) in product(schemas, sorted(asked)):
        trial.run(f"FROM {schema}.{kpi.id}({_WINDOW}, grain := '{grain}', \"by\" := '{by}')")


_WINDOW = "TIMESTAMPTZ '2026-03-01 00:00:00+00', TIMESTAMPTZ '2026-03-03 00:00:00+00'"


def _fault(file: Path, said: str) -> ConfigurationError:
    return ConfigurationError(f"{file}: {said}", do="Correct the file, or take it away.")
