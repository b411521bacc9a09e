"""The way into the kernel: one function of numbers, kept on disk as machine code."""

from typing import Any

import numpy as np

from twin_core.simulation.kernel import kept
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel.layout import Asked, Books, Plan, Work

is_compiled, ready = kept.is_compiled, kept.ready


def work_for(plan: Plan, patients: int, events: int, stays: int) -> Work:
    """Room for one replication at a time: so many patients and events at once, so many stays."""
    whole = plan.whole[0]
    units, steps = int(whole["units"]), len(plan.steps)
    by_step = np.zeros(steps, lay.STEPS)
    by_unit = np.zeros(units, lay.UNITS)
    by_class = np.zeros(int(whole["classes"]), lay.CLASSES)
    return Work(
        patients=np.zeros(patients, lay.PATIENT),
        heap=np.zeros(events, lay.EVENT),
        far=np.zeros(events, lay.FAR),
        slices=np.zeros(lay.SLICES, "i4"),
        resources=np.zeros(int(whole["resources"]), lay.RESOURCE),
        wards=np.zeros(units, lay.WARD),
        queues=np.zeros(units * int(whole["levels"]), lay.QUEUE),
        sources=np.zeros(len(plan.streams), lay.SOURCE),
        waits=np.zeros(units * units, "i4"),
        seen=np.zeros(4 * units, "i4"),
        free_beds=np.zeros(max(1, int(whole["beds"])), "i4"),
        dirty=np.zeros(int(whole["resources"]), "i4"),
        bins=np.zeros(units * lay.BINS, "i4"),
        steps=by_step,
        units=by_unit,
        classes=by_class,
        step_floats=by_step.view("f8"),
        unit_floats=by_unit.view("f8"),
        class_floats=by_class.view("f8"),
        stays=np.zeros(max(1, stays), lay.STAY),
        now=np.array([0.0, 0.0, 0.0, lay.SLICES_AN_HOUR]),
        counts=np.zeros(lay.COUNTERS, "i8"),
    )


def books_for(plan: Plan, replications: int, samples: int) -> Books:
    """Empty books for some replications."""
    whole = plan.whole[0]
    units, classes = int(whole["units"]), int(whole["classes"])
    return Books(
        steps=np.zeros((replications, len(plan.steps), len(lay.STEP_STATISTICS))),
        units=np.zeros((replications, units, len(lay.UNIT_STATISTICS))),
        classes=np.zeros((replications, classes, len(lay.CLASS_STATISTICS))),
        samples=np.zeros((replications, samples, units), lay.SAMPLE),
        events=np.zeros(replications, "i8"),
    )


def simulate(
    plan: Plan, work: Work, books: Books, asked: Asked, row: int, first: int, last: int
) -> int:
    """Run replications `first` to `last` into rows from `row` on; how many found room."""
    pairs = [_pairs(tables) for tables in (plan, work, books, asked)]
    return kept.call(*(pair.ctypes.data for pair in pairs), row, first, last)


def _pairs(tables: Any) -> Any:
    """The address and the length of every table."""
    pairs = np.empty((len(tables), 2), np.int64)
    for at, (name, kind) in enumerate(lay.TABLES[type(tables)].items()):
        table = getattr(tables, name)
        if table.dtype != np.dtype(kind) or not (table.flags.c_contiguous and table.flags.aligned):
            raise TypeError(f"The table {name} is not laid out as the kernel reads it.")
        pairs[at] = table.ctypes.data, table.size
    return pairs
