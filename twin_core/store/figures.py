"""Figures that were published without identities, kept in the store as they were published."""

from collections.abc import Sequence
from datetime import datetime

from twin_core.store.database import Database, get_meta, put_meta

COLUMNS = (
    "kpi", "grouping", "facility", "unit", "period_start", "period_end", "statistic", "numerator",
    "denominator", "value", "coverage", "suppressed",
)  # fmt: skip
_UNTIL = "figures_until"
VISITS = "visits"
"""What the count of visits into each unit is called where those of KPIs stand."""


def published_until(database: Database) -> datetime | None:
    """The end of the last week that was published; None where none was."""
    told = get_meta(database.cursor(), _UNTIL)
    return datetime.fromisoformat(told) if told else None


def add_figures(
    database: Database, rows: Sequence[Sequence[object]], until: datetime | None = None
) -> None:
    """Add rows of `COLUMNS`, in one transaction; they are the last word on weeks up to `until`.

    Without it they tell by themselves how far they go. Nobody else may write the store meanwhile.
    """
    marks = ", ".join("?" * len(COLUMNS))
    with database.transaction() as connection:
        for row in rows:
            connection.execute(f"INSERT INTO core.published_figure VALUES ({marks})", row)
        if until is not None:
            connection.execute("DELETE FROM core.meta WHERE key = ?", [_UNTIL])
            put_meta(connection, _UNTIL, until.isoformat())
