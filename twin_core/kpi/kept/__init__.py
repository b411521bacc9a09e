"""The board's KPIs kept up to date: what each visit and bed adds to them, summed when asked for.

The table macros count a KPI from the store, whatever the window; here the ten KPIs of the board are
counted from contributions that are worked out again only for the visits and beds a batch touched.
Both give the same numbers, which tests hold. `records` are the rows it is made of, `held` those of
a store, `course`, `emergency` and `spells` what follows from them for one visit, `beds` for one
bed, `ledger` keeps the contributions, `sums` adds them up over a window, `following` follows a
store.
"""

from twin_core.kpi.kept.following import KeptKpis, Measured
from twin_core.kpi.kept.ledger import Site
from twin_core.kpi.kept.sums import COUNTED, Counted

__all__ = ["COUNTED", "Counted", "KeptKpis", "Measured", "Site"]
