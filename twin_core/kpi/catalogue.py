"""Which KPIs there are, what each one means, and the SQL that installs them in a store.

A KPI is one file `definitions/<id>.sql`: its meaning as TOML in comment lines, then a bare SELECT
over window_start, window_end, grain, "by" and known_at. `parts/*.sql` are the building blocks the
definitions share. Nothing here touches a database: `statements` is text for the store to execute.
"""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from twin_core.errors import ConfigurationError, UsageError

Grain = Literal["hour", "shift", "day", "week", "month", "all"]
By = Literal[
    "hospital", "facility", "building", "unit", "class", "service", "age_band", "arrival_mode"
]
Shape = Literal["rows", "amounts", "ratios", "shares", "snapshots"]
BY_PATIENT: tuple[By, ...] = ("service", "age_band", "arrival_mode")
"""What is told apart by the visit or its patient, in every KPI whose shape knows the visit."""

Subject = Literal["encounter", "appointment", "schedule", "location", "message"]

PARTS = (
    "shown",
    "site",
    "scope",
    "zones",
    "utc_offsets",
    "patients_by",
    "boundaries",
    "periods",
    "midnights",
    "course",
    "stay_pieces",
    "bed_statuses",
    "ed_units",
    "ed_visits",
    "ed_admissions",
    "ed_places",
    "placements",
    "theatre_cases",
    "theatre_bookings",
    "no_figures",
    "places",
    "no_places",
    "bed_segments",
    "bed_steps",
    "bed_time",
    "beds_behind",
    "ed_presences",
    "ed_steps",
    "discharges",
    "ward_moves",
    "presences",
    "departures_behind",
    "bed_departures",
)
"""Building blocks in the order in which they lean on each other."""

RESULT_COLUMNS = {
    "facility": "VARCHAR",
    "unit": "VARCHAR",
    "period_start": "TIMESTAMPTZ",
    "period_end": "TIMESTAMPTZ",
    "stratum": "VARCHAR",
    "statistic": "VARCHAR",
    "numerator": "DOUBLE",
    "denominator": "DOUBLE",
    "value": "DOUBLE",
    "coverage": "DOUBLE",
}
"""What every KPI returns, column by column."""

BEHIND_COLUMNS = {
    "facility": "VARCHAR",
    "unit": "VARCHAR",
    "period_start": "TIMESTAMPTZ",
    "period_end": "TIMESTAMPTZ",
    "stratum": "VARCHAR",
    "statistic": "VARCHAR",
    "subject_type": "VARCHAR",
    "subject_id": "VARCHAR",
    "from_at": "TIMESTAMPTZ",
    "to_at": "TIMESTAMPTZ",
    "numerator": "DOUBLE",
    "denominator": "DOUBLE",
}
"""What the rows behind the figures of every KPI are, column by column."""

STATISTICS = {
    "amounts": ("median", "p90", "mean", "total", "share_within"),
    "shares": ("share", "count"),
    "ratios": ("share", "rate"),
    "snapshots": ("count", "share"),
}
"""What each shape can make of its rule's rows; `rows` names its own."""

_COUNTED = {
    "amounts": ("amount::DOUBLE", "CASE WHEN amount IS NOT NULL THEN 1 END"),
    "shares": ("counted::INTEGER", "CASE WHEN counted IS NOT NULL THEN 1 END"),
    "ratios": ("above::DOUBLE", "below::DOUBLE"),
    "snapshots": ("counted::INTEGER", "CASE WHEN counted IS NOT NULL THEN 1 END"),
}
"""What a row of each shape's rule adds to the numerator and to the denominator."""

Text = Field(min_length=1)


class FrontMatter(BaseModel):
    """What a KPI's file says about it before its SQL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Text
    question: str = Text
    """The question it answers, in a ward manager's words."""
    unit: str = Text
    shape: Shape = "rows"
    """How its SELECT becomes figures: `rows` are the figures themselves, any other is a file of
    `shapes` that says what the SELECT gives."""
    subject: Subject = "encounter"
    """What a row of the SELECT is about: it has a column `<subject>_id`, unless it is `rows`."""
    owes: str = Field("places", pattern=r"[a-z_]+")
    """The building block that lists the groups with a row of their own even where nothing was."""
    target: str = Field("NULL", pattern=r"NULL|[0-9.]+|[a-z_]+")
    """What an amount must not exceed for `share_within`: a number, or a setting of [kpi]."""
    supplied_by: str = ""
    """What gives its inputs, where admissions, transfers and discharges do not; without it the KPI
    has no rows, or rows whose figures are not known."""
    grain: tuple[Grain, ...] = Field(min_length=1)
    by: tuple[By, ...] = Field(min_length=1)
    direction: str = Text
    numerator: str = Text
    denominator: str = Text
    exclusions: tuple[str, ...]
    strata: dict[str, str]
    """Rows beside the headline, whose stratum is NULL."""
    statistics: dict[str, str] = Field(min_length=1)
    counts: dict[str, Literal["p", "u"]] = {}
    """Statistics that count events where the shape does not say so, for their control chart: `p`
    for a share of what is counted, `u` for a rate per exposure."""
    source: str = Field(pattern=r"\(.*\d{4}\)")
    """Where the definition comes from, with its year."""
    caveats: tuple[str, ...] = Field(min_length=1)
    inputs: tuple[str, ...] = Field(min_length=1)
    """The tables it reads."""

    @field_validator("grain")
    @classmethod
    def _shifts_where_hours(cls, grain: tuple[Grain, ...]) -> tuple[Grain, ...]:
        # Shifts are stretches of hours: what can be said of an hour can be said of a shift.
        if "hour" not in grain or "shift" in grain:
            return grain
        after = grain.index("hour") + 1
        return (*grain[:after], "shift", *grain[after:])

    @model_validator(mode="before")
    @classmethod
    def _further_groupings(cls, stated: dict[str, Any]) -> dict[str, Any]:
        # The shapes know the visit behind every row, and so its service and its patient.
        by = stated.get("by")
        if isinstance(by, list) and "unit" in by and "building" not in by:
            # Buildings are made of units.
            at = by.index("unit")
            by = [*by[:at], "building", *by[at:]]
            stated = {**stated, "by": by}
        rows = stated.get("shape", "rows") == "rows"
        if rows or stated.get("subject", "encounter") != "encounter" or not isinstance(by, list):
            return stated
        return {**stated, "by": [*by, *(word for word in BY_PATIENT if word not in by)]}


class Definition(FrontMatter):
    """One KPI: what it means, the SELECT of its file, and the SQL that measures it."""

    id: str
    rule: str
    sql: str
    origin: Literal["built-in", "site"] = "built-in"
    replaces: str = ""
    """The title of the built-in KPI that a site's own takes the place of."""
    behind: str = ""
    """The SQL of the rows behind its figures; empty where nobody wrote any."""


def parse(kpi_id: str, text: str, behind: str = "") -> Definition:
    """The definition in the text of `definitions/<kpi_id>.sql`.

    `behind` is the SELECT of the rows behind it for the shape `rows`; the other shapes have one.
    Raises ConfigurationError where the front matter is not TOML, lacks a key or has one too many.
    """
    front, body = _split(text)
    try:
        stated = tomllib.loads(front)
        front_matter = FrontMatter.model_validate(stated)
        rule = body.strip().rstrip(";")
        return Definition(
            **front_matter.model_dump(),
            id=kpi_id,
            rule=rule,
            sql=_shaped(front_matter, rule),
            behind=_behind(front_matter, rule, behind),
        )
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"KPI {kpi_id}: its front matter is no TOML.", why=str(error)
        ) from None
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(
            f"KPI {kpi_id}: its front matter is incomplete.", why=wrong
        ) from None


@cache
def catalogue() -> dict[str, Definition]:
    """Every KPI by its id, in alphabetical order."""
    folder = files("twin_core.kpi") / "definitions"
    names = sorted(
        file.name.removesuffix(".sql") for file in folder.iterdir() if file.name.endswith(".sql")
    )
    return {
        name: parse(name, (folder / f"{name}.sql").read_text(encoding="utf-8"), _written(name))
        for name in names
    }


def definition(kpi: str | Definition, kpis: Mapping[str, Definition] | None = None) -> Definition:
    """The KPI of this id, among the built-in ones or those given; UsageError lists them."""
    if isinstance(kpi, Definition):
        return kpi
    known = catalogue() if kpis is None else kpis
    try:
        return known[kpi]
    except KeyError:
        raise UsageError(
            f"There is no KPI {kpi!r}.", do="Choose one of: " + ", ".join(known) + "."
        ) from None


Buildings = Mapping[str, Iterable[str]]
"""The units of each building."""


def statements(
    kpis: Mapping[str, Definition] | None = None, buildings: Buildings | None = None
) -> tuple[str, ...]:
    """The SQL that installs every KPI as a table macro `kpi.<id>`, one statement per item.

    Needs schema `core` and the table macros of schema `history`; running it again replaces what
    is there.
    """
    folder = files("twin_core.kpi") / "parts"
    known = catalogue() if kpis is None else kpis
    return (
        # What a site has taken out of its folder goes from its stores, too.
        "DROP SCHEMA IF EXISTS kpi CASCADE",
        "DROP SCHEMA IF EXISTS kpi_rows CASCADE",
        "CREATE SCHEMA kpi",
        "CREATE SCHEMA kpi_rows",
        "CREATE SCHEMA IF NOT EXISTS kpi_part",
        building_macro(buildings or {}),
        *((folder / f"{part}.sql").read_text(encoding="utf-8") for part in PARTS),
        *(statement for kpi in known.values() for statement in macros(kpi)),
    )


def building_macro(buildings: Buildings) -> str:
    """The SQL that installs `kpi_part.building_of(unit)`, NULL for a unit in no building.

    The table is part of the macro, so that it costs nothing where nobody asks for buildings.
    """
    pairs = ", ".join(
        f"{_literal(unit)}: {_literal(building)}"
        for building, units in sorted(buildings.items())
        for unit in units
    )
    known = f"MAP {{{pairs}}}[place]" if pairs else "NULL::VARCHAR"
    return f"CREATE OR REPLACE MACRO kpi_part.building_of(place) AS {known}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def macros(kpi: Definition) -> tuple[str, ...]:
    """The SQL that installs one KPI: its figures, and the rows behind them where there are any."""
    return (_macro(kpi), _behind_macro(kpi)) if kpi.behind else (_macro(kpi),)


def trial_macro(kpi: Definition) -> str:
    """The SQL that installs what a KPI's own SELECT gives, as `kpi.trial`, to look at it."""
    return f"{_head('kpi', 'trial')}\nFROM (\n{kpi.rule}\n)"


def _shaped(kpi: FrontMatter, rule: str) -> str:
    if kpi.shape == "rows":
        return rule
    shape = (files("twin_core.kpi") / "shapes" / f"{kpi.shape}.sql").read_text(encoding="utf-8")
    statistics = ", ".join(f"'{name}'" for name in kpi.statistics)
    target = f"kpi_part.setting('{kpi.target}')::DOUBLE" if kpi.target.islower() else kpi.target
    filling = {"owes": kpi.owes, "statistics": statistics, "target": target}
    filling |= {**_grouping(kpi), "rule": rule}
    for slot, text in filling.items():
        shape = shape.replace(f"{{{slot}}}", text)
    return shape.strip()


def _grouping(kpi: FrontMatter) -> dict[str, str]:
    """What a row of a rule is grouped by beside its place: its class, or what its visit is."""
    by_class = 'kpi_part.group_class("by", class::VARCHAR)'
    if kpi.subject != "encounter":
        return {"in_class": by_class, "described": ""}
    return {
        "in_class": "CASE WHEN kpi_part.by_patient(\"by\") THEN coalesce(described_as, 'unknown')"
        f" ELSE {by_class} END",
        "described": 'LEFT JOIN kpi_part.patients_by("by", known_at)'
        " ON described_id = rule.encounter_id",
    }


def _behind(kpi: FrontMatter, rule: str, written: str) -> str:
    if kpi.shape == "rows":
        return written.strip()
    form = "snapshots" if kpi.shape == "snapshots" else "events"
    above, below = _COUNTED[kpi.shape]
    text = (files("twin_core.kpi") / "behind" / f"{form}.sql").read_text(encoding="utf-8")
    filling = {"subject": kpi.subject, "numerator": above, "denominator": below}
    filling |= {**_grouping(kpi), "rule": rule}
    for slot, words in filling.items():
        text = text.replace(f"{{{slot}}}", words)
    return text.strip()


def _written(kpi_id: str) -> str:
    file = files("twin_core.kpi") / "behind" / f"{kpi_id}.sql"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _split(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    front = [line for line in lines if line.startswith("--")]
    leading = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return (
        "\n".join(line.removeprefix("--").removeprefix(" ") for line in front[:leading]),
        "\n".join(lines[leading:]),
    )


def _macro(kpi: Definition) -> str:
    columns = ", ".join(f"{name}::{kind} AS {name}" for name, kind in RESULT_COLUMNS.items())
    return f"{_head('kpi', kpi.id)}\nSELECT {columns}\nFROM (\n{kpi.sql}\n)"


def _behind_macro(kpi: Definition) -> str:
    stated = {
        "facility": "kpi_part.shown(in_facility)",
        "unit": "kpi_part.shown(in_unit)",
        "stratum": "nullif(concat_ws('/', nullif(in_class, '*'), nullif(kind, '')), '')",
    }
    columns = ", ".join(
        f"{stated.get(name, name)}::{kind} AS {name}" for name, kind in BEHIND_COLUMNS.items()
    )
    return f"{_head('kpi_rows', kpi.id)}\nSELECT {columns}\nFROM (\n{kpi.behind}\n)"


def _head(schema: str, name: str) -> str:
    return (
        f"CREATE OR REPLACE MACRO {schema}.{name}(window_start, window_end, grain := 'day', "
        f"\"by\" := 'unit', known_at := NULL) AS TABLE"
    )
