"""Figures counted once more, in plain Python, from nothing but the rows behind them."""

from math import fsum, isclose

from twin_core.kpi.catalogue import definition
from twin_core.kpi.measuring import KpiRow
from twin_core.kpi.tracing import RowBehind

BY_THE_CLOCK = {("adc", "mean"), ("adm_dis_balance", "net"), ("feed_fresh", "seconds_since_last")}
"""Their denominator is counted from the calendar, not from rows."""
QUANTILES = {"median": 0.5, "p90": 0.9}


def assert_adds_up(kpi_id: str, figures: list[KpiRow], rows: list[RowBehind], target) -> None:
    """Every figure is what its own rows make, and no row belongs to no figure."""
    of_a_figure = set()
    for figure in figures:
        own = [n for n, row in enumerate(rows) if belongs(row, figure)]
        of_a_figure.update(own)
        made = figure_of(kpi_id, figure.statistic, [rows[n] for n in own], target)
        for name, number in made.items():
            told = getattr(figure, name)
            if told is not None and number is not None:
                assert isclose(told, number, rel_tol=1e-9, abs_tol=1e-9), (figure, name, number)
    # A stratum without anybody is no figure, so its beds may stand alone.
    assert not [row for n, row in enumerate(rows) if n not in of_a_figure and row.numerator]


def belongs(row: RowBehind, figure: KpiRow) -> bool:
    """Whether a row counts for a figure."""
    same = ("facility", "unit", "stratum", "period_start", "period_end")
    return row.statistic in (None, figure.statistic) and all(
        getattr(row, name) == getattr(figure, name) for name in same
    )


def figure_of(
    kpi_id: str, statistic: str, rows: list[RowBehind], target
) -> dict[str, float | None]:
    """Numerator, denominator and value from rows; nothing where rows cannot tell."""
    amounts = [row.numerator for row in rows if row.numerator is not None]
    above = fsum(amounts)
    below = fsum(row.denominator for row in rows if row.denominator is not None)
    shape = definition(kpi_id).shape
    if statistic in QUANTILES:
        return {"denominator": below, "value": quantile(amounts, QUANTILES[statistic])}
    if statistic == "share_within":
        within = sum(amount <= target for amount in amounts)
        return {"numerator": within, "denominator": below, "value": share(within, below)}
    if statistic == "peak_at":
        return {"numerator": above, "denominator": below}
    if (kpi_id, statistic) in BY_THE_CLOCK:
        return {"numerator": above}
    scale = 100 if definition(kpi_id).unit == "%" or statistic.startswith("share") else 1
    value = scale * above / below if below > 0 else None
    if shape != "rows" and statistic in {"count", "total"}:
        value = above
    elif kpi_id == "dq_reconcile" and statistic == "difference":
        value = above
    elif kpi_id == "feed_fresh":
        value = share(above, below)
    elif kpi_id == "adm_dis_balance":
        value = above
    return {"numerator": above, "denominator": below, "value": value}


def share(above: float, below: float) -> float | None:
    """A part of a whole, in %."""
    return 100 * above / below if below else None


def quantile(amounts: list[float], at: float) -> float | None:
    """The quantile of amounts, between two of them by their distance."""
    if not amounts:
        return None
    ordered = sorted(amounts)
    place = at * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
