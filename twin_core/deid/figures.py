"""Published figures in a file that leaves the store: as a table, and as KPIs that can be called.

What may be published is decided in `twin_core.kpi.disclosure`; here it is copied as it was.
"""

from collections.abc import Iterable, Iterator

from twin_core.deid.publish import Step
from twin_core.store.figures import VISITS

SOURCE = "suppressed aggregates of whole weeks"
MEANING = "Key figures of whole weeks, without small cells; published once, and never changed"
COLUMN_MEANINGS = {
    "kpi": "Which KPI, as `wardtwin kpi ID --explain` says; visits are those that came into a unit",
    "grouping": "unit or hospital",
    "facility": "Facility code; NULL for the hospital",
    "unit": "Unit code; NULL for the hospital",
    "period_start": "Local Monday midnight",
    "period_end": "The next one",
    "statistic": "As in the KPI",
    "numerator": "Rounded to fives; NULL where hidden or not known",
    "denominator": "Rounded to fives; NULL where hidden or not known",
    "value": "Of the rounded counts, or rounded itself; NULL where hidden or not known",
    "coverage": "Share of the needed inputs that are known, rounded to tenths",
    "suppressed": "Whether the figure is hidden, for a small cell or to protect one",
}


def figure_steps(to: str, *, facilities: bool = True) -> Iterator[Step]:
    """The published figures in the file `to`, with what each column means."""
    facility = "facility" if facilities else "NULL::VARCHAR"
    yield (
        f"CREATE TABLE {to}.deid.figure AS SELECT * REPLACE ({facility} AS facility)"
        " FROM wardtwin.core.published_figure ORDER BY ALL",
        (),
    )
    yield f"COMMENT ON TABLE {to}.deid.figure IS '{MEANING}'", ()
    for column, meaning in COLUMN_MEANINGS.items():
        yield f"COMMENT ON COLUMN {to}.deid.figure.{column} IS '{meaning}'", ()


def cube_step(to: str, *, facilities: bool = True) -> Step:
    """Visits by unit and week as they were published, NULL where they are hidden; a week goes by
    the date of its Monday."""
    facility = "coalesce(facility || '/', '') || " if facilities else ""
    return (
        f"CREATE TABLE {to}.deid.visits_by_unit_and_week AS SELECT"
        f" CASE WHEN grouping = 'hospital' THEN '(all)' ELSE {facility}unit END AS unit,"
        f" strftime(timezone({_ZONE}, period_start), '%Y-%m-%d') AS week, value::BIGINT AS visits"
        f" FROM wardtwin.core.published_figure WHERE kpi = '{VISITS}' ORDER BY ALL",
        (),
    )


_ZONE = (
    "(SELECT CASE WHEN count(DISTINCT time_zone) = 1 THEN min(time_zone) ELSE 'UTC' END"
    " FROM wardtwin.core.facility)"
)


def figure_macros(kpis: Iterable[str]) -> list[str]:
    """KPIs as table macros over published figures: the weeks that a window touches, whole."""
    return [
        "CREATE SCHEMA IF NOT EXISTS kpi",
        *(
            f"CREATE MACRO kpi.{kpi}(window_start, window_end, grain := 'week', \"by\" := 'unit',"
            " known_at := NULL) AS TABLE SELECT facility, unit, period_start, period_end,"
            " NULL::VARCHAR AS stratum, statistic, numerator, denominator, value, coverage,"
            f" suppressed, '{SOURCE}' AS source FROM deid.figure"
            f" WHERE kpi = '{kpi}' AND grouping = \"by\""
            " AND period_end > window_start::TIMESTAMPTZ AND period_start < window_end::TIMESTAMPTZ"
            for kpi in kpis
        ),
    ]
