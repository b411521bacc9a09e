"""How much risk a release leaves: measured on the release itself, and said plainly.

Equivalence classes are rows that agree in every quasi-identifier. k is the size of the smallest,
l the fewest different sensitive values in one (Sweeney 2002; Machanavajjhala et al. 2007). Stay
sequences are what a patient's path through units looks like to someone who knows it.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from twin_core.deid.publish import RARE
from twin_core.errors import UsageError
from twin_core.store.release import read_release

USUAL = (
    "sex",
    "age_years",
    "postal_code",
    "class",
    "admitted_weekday",
    "admitted_year",
    "birth_date",
)
"""Quasi-identifiers that are taken where none are named, as far as a release has them."""
SENSITIVE = ("service", "disposition")


class Classes(msgspec.Struct, frozen=True, kw_only=True):
    """What some quasi-identifiers do to the visits of a release."""

    quasi_identifiers: tuple[str, ...]
    visits: int
    classes: int
    k: int
    l: int  # noqa: E741 - its name in the literature
    sensitive: str
    unique_share: float
    """Visits that are alone in their class."""
    small_share: float
    """Visits in classes of fewer than the release's cell."""
    mean_risk: float
    """The mean chance that somebody who knows them and one visit finds it: classes over visits."""


class Sequences(msgspec.Struct, frozen=True, kw_only=True):
    """How many patients are told apart by their path alone."""

    patients: int
    unique_by_units: float
    unique_by_units_and_lengths: float
    unique_by_instants: float


class RiskReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is left to learn from a release, and what was held back."""

    profile: str
    cell: int
    classes: Classes
    sequences: Sequences
    dropped_columns: int
    suppressed: dict[str, int]
    """Values that became "(rare)" or 000, by column."""
    hidden_cells: int
    published_cells: int
    residual: tuple[str, ...]


def measured(path: Path, quasi_identifiers: Sequence[str] = ()) -> RiskReport:
    """The risk of a release. Raises UsageError for a quasi-identifier that it has not got."""
    told = {str(r["key"]): str(r["value"]) for r in read_release(path, "FROM deid.release")}
    cell = int(told["cell"])
    classes = _classes(path, quasi_identifiers, cell)
    sequences = _sequences(path)
    [cells] = read_release(
        path,
        "SELECT count(*) FILTER (WHERE visits IS NULL) AS hidden, count(visits) AS told"
        " FROM deid.visits_by_unit_and_week",
    )
    [dropped] = read_release(path, "SELECT count(*) AS n FROM deid.dropped")
    return RiskReport(
        profile=told["profile"],
        cell=cell,
        classes=classes,
        sequences=sequences,
        dropped_columns=_number(dropped["n"]),
        suppressed=_suppressed(path),
        hidden_cells=_number(cells["hidden"]),
        published_cells=_number(cells["told"]),
        residual=tuple(_residual(told, classes, sequences)),
    )


def _classes(path: Path, asked: Sequence[str], cell: int) -> Classes:
    present = _columns(path, "encounter") | _columns(path, "patient")
    if unknown := [name for name in asked if name not in present]:
        raise UsageError(
            f"The release has no column {', '.join(unknown)}.",
            do=f"Choose among {', '.join(sorted(present))}.",
        )
    quasi = tuple(asked) or tuple(name for name in USUAL if name in present)
    sensitive = next((name for name in SENSITIVE if name in present), "status")
    named = ", ".join(f'"{name}"' for name in quasi)
    [found] = read_release(
        path,
        f"""WITH visit AS (
            SELECT e.*, p.* EXCLUDE (patient_id)
            FROM twin.encounter e LEFT JOIN twin.patient p ON p.patient_id = e.patient_id
        ), class AS (
            SELECT count(*) AS n, count(DISTINCT coalesce("{sensitive}", '')) AS kinds
            FROM visit GROUP BY {named}
        )
        SELECT coalesce(sum(n), 0) AS visits, count(*) AS classes, coalesce(min(n), 0) AS k,
               coalesce(min(kinds), 0) AS l,
               coalesce(sum(n) FILTER (WHERE n = 1), 0) AS alone,
               coalesce(sum(n) FILTER (WHERE n < {cell}), 0) AS small FROM class""",
    )
    visits, classes = _number(found["visits"]), _number(found["classes"])
    return Classes(
        quasi_identifiers=quasi,
        visits=visits,
        classes=classes,
        k=_number(found["k"]),
        l=_number(found["l"]),
        sensitive=sensitive,
        unique_share=_share(found["alone"], visits),
        small_share=_share(found["small"], visits),
        mean_risk=_share(classes, visits),
    )


def _sequences(path: Path) -> Sequences:
    columns = _columns(path, "stay")
    length = next((name for name in ("hours", "length_band") if name in columns), None)
    length_sql = f'"{length}"' if length else "date_sub('hour', from_at, to_at)"
    at = "from_at" if "from_at" in columns else "from_year"
    [found] = read_release(
        path,
        f"""WITH way AS (
            SELECT patient_id, list(coalesce(unit, '') ORDER BY {at}, stay_id) AS units,
                   list({length_sql} ORDER BY {at}, stay_id) AS lengths,
                   list({at} ORDER BY {at}, stay_id) AS instants
            FROM twin.stay WHERE patient_id IS NOT NULL GROUP BY patient_id
        )
        SELECT count(*) AS patients,
               count(*) FILTER (WHERE by_units = 1) AS by_units,
               count(*) FILTER (WHERE by_lengths = 1) AS by_lengths,
               count(*) FILTER (WHERE by_instants = 1) AS by_instants
        FROM (SELECT count(*) OVER (PARTITION BY units) AS by_units,
                     count(*) OVER (PARTITION BY units, lengths) AS by_lengths,
                     count(*) OVER (PARTITION BY units, instants) AS by_instants FROM way)""",
    )
    patients = _number(found["patients"])
    return Sequences(
        patients=patients,
        unique_by_units=_share(found["by_units"], patients),
        unique_by_units_and_lengths=_share(found["by_lengths"], patients),
        unique_by_instants=_share(found["by_instants"], patients),
    )


def _suppressed(path: Path) -> dict[str, int]:
    """How often a value was held back for being rare, by column."""
    columns = read_release(
        path,
        "SELECT table_name, column_name FROM duckdb_columns()"
        " WHERE schema_name = 'twin' AND data_type = 'VARCHAR' ORDER BY ALL",
    )
    if not columns:
        return {}
    counts = " UNION ALL ".join(
        f"SELECT '{c['table_name']}.{c['column_name']}' AS name, count(*) AS n"
        f' FROM twin."{c["table_name"]}" WHERE "{c["column_name"]}" = \'{_held_back(c)}\''
        for c in columns
    )
    return {
        str(row["name"]): _number(row["n"])
        for row in read_release(path, f"FROM ({counts}) WHERE n > 0 ORDER BY name")
    }


def _held_back(column: dict[str, object]) -> str:
    return "000" if column["column_name"] == "postal_code" else RARE


def _residual(told: dict[str, str], classes: Classes, sequences: Sequences) -> list[str]:
    """What a reader of the release could still do, in words."""
    found = [
        f"Who knows {', '.join(classes.quasi_identifiers)} of a patient finds the visit with a"
        f" chance of {classes.mean_risk:.0%} on average, and for certain in"
        f" {classes.unique_share:.0%} of visits.",
        f"{classes.small_share:.0%} of visits share these with fewer than {told['cell']} visits.",
        f"Who knows a patient's units and hours of stay tells"
        f" {sequences.unique_by_units_and_lengths:.0%} of patients apart from all others.",
    ]
    if classes.l < 2:
        found.append(
            f"In some classes every visit has the same {classes.sensitive}: who knows that somebody"
            " is in one knows it without finding the visit."
        )
    found.append(_OF_PROFILE[told["profile"]])
    if told.get("precision") == "exact":
        found.append("Instants are exact to the second: nearly every patient is unique by them.")
    found.append("Pseudonyms are as safe as their keys: whoever has the keys knows everybody.")
    return found


_OF_PROFILE = {
    "limited": "Dates are real: who knows when somebody was in hospital can find the visit. Give it"
    " only under a data-use agreement.",
    "shifted": "All instants of a patient move together: who knows one of them knows all. Who knows"
    " the cut-off can rule out some weeks for the newest visits.",
    "safe-harbor": "The identifiers that 45 CFR 164.514(b)(2) lists are gone; the path through the"
    " units and the lengths of stay are not among them.",
}


def _columns(path: Path, table: str) -> set[str]:
    rows = read_release(
        path,
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'twin'"
        f" AND table_name = '{table}' AND column_name NOT LIKE '%\\_id' ESCAPE '\\'",
    )
    return {str(row["column_name"]) for row in rows}


def _share(part: object, whole: int) -> float:
    return round(_number(part) / whole, 4) if whole else 0.0


def _number(count: object) -> int:
    return int(str(count))
