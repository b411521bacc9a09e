"""The way into the kernel: compiled once for one signature, and loaded from disk ever after."""

import threading
from hashlib import blake2b
from importlib import resources
from typing import Any

import numba
import numpy as np

from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel import reference
from twin_core.simulation.kernel.layout import Books, Plan, Records, Work
from twin_core.simulation.kernel.loop import replicate

_reference: Any = reference.by_reference


def _sources() -> int:
    """A number that changes with any line of the kernel.

    Numba watches only the file of the function it loads from disk; this makes it watch all.
    """
    digest = blake2b(digest_size=6)
    for file in sorted(resources.files(__package__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return int.from_bytes(digest.digest(), "little")


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
        step_floats=_floats(by_step),
        unit_floats=_floats(by_unit),
        class_floats=_floats(by_class),
        stays=np.zeros(max(1, stays), lay.STAY),
        now=np.zeros(4, "f8"),
        counts=np.zeros(lay.COUNTERS, "i8"),
    )


def _floats(records: Any) -> Any:
    return records.view("f8").reshape(len(records), -1)


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


def _table(kind: Any, dimensions: int = 1) -> Any:
    scalar = numba.from_dtype(np.dtype(kind))
    return numba.types.Array(scalar, dimensions, "C", aligned=True)


def _tuple(kind: Any, fields: list[Any]) -> Any:
    make: Any = numba.types.NamedTuple
    return make(fields, kind)


def _types() -> tuple[Any, ...]:
    """The one signature, from the layout."""
    plan = {
        "lengths": lay.LENGTH, "points": lay.POINT, "units": lay.UNIT, "steps": lay.STEP,
        "edges": lay.EDGE, "needs": lay.NEED, "balks": lay.BALK, "others": "i4",
        "pools": lay.SPAN, "leaves": "f8", "streams": lay.STREAM, "rates": "f8",
        "thins": lay.THIN, "slots": lay.SLOT, "changes": lay.CHANGE, "present": lay.PRESENT,
        "cleaned": "i4", "whole": lay.WHOLE,
    }  # fmt: skip
    work = {
        "patients": lay.PATIENT, "heap": lay.EVENT, "resources": lay.RESOURCE, "wards": lay.WARD,
        "queues": lay.QUEUE, "sources": lay.SOURCE, "waits": "i4", "seen": "i4",
        "free_beds": "i4", "dirty": "i4", "bins": "i4", "steps": lay.STEPS, "units": lay.UNITS,
        "classes": lay.CLASSES, "step_floats": "f8", "unit_floats": "f8", "class_floats": "f8",
        "stays": lay.STAY, "now": "f8", "counts": "i8",
    }  # fmt: skip
    flat = {"step_floats", "unit_floats", "class_floats"}
    books = {"steps": "f8", "units": "f8", "classes": "f8", "samples": lay.SAMPLE}
    return (
        _tuple(Plan, [_table(plan[name]) for name in Plan._fields]),
        _tuple(Work, [_table(work[name], 2 if name in flat else 1) for name in Work._fields]),
        _tuple(Books, [*(_table(books[name], 3) for name in books), _table("i8")]),
        _table(lay.RUN),
        numba.int64,
        numba.int64,
        numba.int64,
    )


def _build(sources: int) -> Any:
    # A captured number is part of what the compiled code is known by on disk.
    def simulate(
        m: Plan, w: Work, books: Books, run: Records, row: int, first: int, last: int
    ) -> int:
        """Run replications `first` to `last` into rows from `row` on; how many found room."""
        if sources == 0:
            return 0
        plan, work, all_books = _reference(m), _reference(w), _reference(books)
        for n in range(first, last):
            replicate(plan, work, all_books, run[0], row + n - first, n)
            if w.counts[lay.FULL] != 0:
                return n - first
        return last - first

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
    return numba.njit(cache=True, **options)(simulate)


simulate = _build(_sources())
"""The kernel; it is loaded from disk, or compiled, by `ready`, or when it is first called."""
_loading = threading.Lock()


def is_compiled() -> bool:
    """Whether the disk has the kernel compiled for this machine, from these very sources."""
    # Numba has no public word for this; a release without these names fails its test.
    cache = simulate._cache
    key = cache._index_key(_signature(), simulate.targetctx.codegen())
    return key in cache._cache_file._load_index()


def ready() -> None:
    """Load the kernel from disk, or compile it there, for its one signature."""
    with _loading:
        if not simulate.signatures:
            simulate.compile(_signature())
            simulate.disable_compile()


def _signature() -> Any:
    return numba.int64(*_types())
