"""The way in as the compiler sees it: addresses of tables, and which replications to run."""

from typing import Any

import numba

from twin_core.simulation.kernel.layout import FULL, Asked, Books, Plan, Work
from twin_core.simulation.kernel.loop import replicate
from twin_core.simulation.kernel.reference import Reference, at

_plan_at, _work_at = at(Reference(Plan)), at(Reference(Work))
_books_at, _asked_at = at(Reference(Books)), at(Reference(Asked))


def way_in(plan: Any, work: Any, books: Any, asked: Any, row: int, first: int, last: int) -> int:
    """Run replications `first` to `last` into rows from `row` on; how many found room."""
    m, w, to, run = _plan_at(plan), _work_at(work), _books_at(books), _asked_at(asked)
    for n in range(first, last):
        replicate(m, w, to, run.run[0], row + n - first, n)
        if w.counts[FULL] != 0:
            return n - first
    return last - first


SIGNATURE = numba.int64(*[numba.int64] * 7)
