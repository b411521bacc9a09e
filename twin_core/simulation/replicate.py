"""Replications of a hospital's flow, on threads here or on any `concurrent.futures.Executor`.

A replication is a function of the model, the seed and its number, so that results are the same
to the last bit for any number of workers and any division into chunks.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from twin_core.errors import UsageError
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel.layout import Books, Plan
from twin_core.simulation.kernel.planning import plan_of
from twin_core.simulation.results import Results

Advance = Callable[[int], None]
"""Told how many replications are done."""
MOST_HOURS, MOST_REPLICATIONS, MOST_SAMPLES = 1e8, 10_000_000, 1_000_000_000
"""Beyond these no computer has room for the answer, or the time."""
_CHUNKS_PER_WORKER = 4
_ROOM = 1024


@dataclass(frozen=True)
class Run:
    """What a run of a model asks for.

    `hour_of_week` is when it begins, in hours after Monday 00:00; statistics begin after
    `warm_up_hours`; the census of every unit is sampled every `sample_hours`, from the start on
    (0: never); `stays` keeps one row for every stay.
    """

    hours: float
    replications: int = 20
    seed: int = 0
    hour_of_week: float = 0.0
    warm_up_hours: float = 0.0
    sample_hours: float = 1.0
    stays: bool = False
    first: int = 0
    """The number of the first replication: those before it were run already."""

    def __post_init__(self) -> None:
        if not (self.hours > 0 and self.replications > 0 and self.sample_hours >= 0):
            raise UsageError("A run has a length, and one replication or more.")
        if self.hours > MOST_HOURS or self.replications > MOST_REPLICATIONS:
            raise UsageError(
                "No run is that long.",
                why=f"It would be {self.replications:,} replications of {self.hours:g} h.",
                do=f"At most {MOST_REPLICATIONS:,} of {MOST_HOURS:g} h.",
            )
        if not 0 <= self.warm_up_hours < self.hours:
            raise UsageError("A warm-up ends before the run does.")
        if not (0 <= self.first and 0 <= self.seed < 2**63):
            raise UsageError(
                "A seed is a whole number from 0 to 2^63-1; replications are numbered from 0."
            )

    @property
    def samples(self) -> int:
        """How often the census is sampled in a replication."""
        return int(self.hours / self.sample_hours + 1e-9) + 1 if self.sample_hours else 0


class Chunk(NamedTuple):
    """The books of some replications in a row, and their stays."""

    books: Books
    stays: lay.Records


def simulate(
    model: FlowModel, run: Run, *, executor: Executor | None = None, advance: Advance | None = None
) -> Results:
    """Run a model; on `executor`, or on one thread for every processor.

    Raises UsageError for a run whose census there is no room to keep.
    """
    if (kept := run.samples * run.replications * len(model.units)) > MOST_SAMPLES:
        raise UsageError(
            "There is no room for so long a census.",
            why=f"{kept:,} numbers would be kept, of every unit at {run.samples:,} instants "
            f"of {run.replications:,} replications.",
            do="Ask for fewer replications, or a shorter time.",
        )
    plan = plan_of(model, run.hours, run.hour_of_week)
    workers = os.cpu_count() or 1
    if executor is not None:
        return _simulate(model, run, plan, executor, workers, advance)
    with ThreadPoolExecutor(workers) as threads:
        return _simulate(model, run, plan, threads, workers, advance)


def _simulate(
    model: FlowModel,
    run: Run,
    plan: Plan,
    executor: Executor,
    workers: int,
    advance: Advance | None,
) -> Results:
    waiting: list[Future[Chunk]] = [
        executor.submit(run_chunk, plan, run, first, last)
        for first, last in _divided(run, workers * _CHUNKS_PER_WORKER)
    ]
    chunks, done = [], 0
    try:
        for future in waiting:
            chunks.append(future.result())
            done += len(chunks[-1].books.events)
            if advance is not None:
                advance(done)
    finally:
        for future in waiting:
            future.cancel()
    tables = zip(*(chunk.books for chunk in chunks), strict=True)
    books = Books(*(np.concatenate(table) for table in tables))
    return Results(model, run, plan, books, np.concatenate([chunk.stays for chunk in chunks]))


def grown(
    results: Results,
    replications: int,
    *,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> Results:
    """The same run with so many replications in all: those there are, and the next ones."""
    missing = replications - results.run.replications
    if missing <= 0:
        return results
    run = replace(results.run, first=results.run.first + results.run.replications)
    more = simulate(
        results.model, replace(run, replications=missing), executor=executor, advance=advance
    )
    books = Books(*(np.concatenate(pair) for pair in zip(results.books, more.books, strict=True)))
    return Results(
        results.model,
        replace(results.run, replications=replications),
        results.plan,
        books,
        np.concatenate([results.rows, more.rows]),
    )


def _divided(run: Run, chunks: int) -> Iterator[tuple[int, int]]:
    size = max(1, -(-run.replications // chunks))
    after = run.first + run.replications
    for first in range(run.first, after, size):
        yield first, min(first + size, after)


def run_chunk(plan: Plan, run: Run, first: int, last: int) -> Chunk:
    """Run replications `first` to `last`: what a worker does, wherever it is.

    A replication that finds no room for its patients or stays is run again with twice as much.
    """
    # Only here is the kernel needed: whoever only describes models does not wait for it.
    from twin_core.simulation.kernel.entry import books_for, ready, simulate, work_for

    ready()
    plan = Plan(*(np.require(table, requirements=["C", "A"]) for table in plan))
    books = books_for(plan, last - first, run.samples)
    asked = np.zeros(1, lay.RUN)
    asked[0] = (run.seed, run.hours, run.warm_up_hours, run.sample_hours, run.samples, run.stays)
    room, stay_room = _ROOM + 2 * len(plan.present), _ROOM if run.stays else 1
    stays: list[lay.Records] = []
    done = first
    while done < last:
        work = work_for(plan, room, 4 * room, stay_room)
        done += simulate(plan, work, books, lay.Asked(asked), done - first, done, last)
        stays.append(work.stays[: work.counts[lay.STAYS]].copy())
        if done < last and work.counts[lay.FULL] == 1:
            room *= 2
        stay_room *= 2 if run.stays else 1
    return Chunk(books, np.concatenate(stays))
