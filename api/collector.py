"""Garbage, turns and free memory in a process that makes millions of short-lived objects."""

import ctypes
import gc
import sys

import pyarrow as pa

YOUNG_OBJECTS, LOADED_OBJECTS = 50_000, 1_000_000
"""New objects between two looks for garbage; of a load more than a batch has at a time, or each
batch is looked through while it is applied, and nothing of it is ever garbage by then."""

_TRIM, _APART, _HEAPS = -1, -3, -8
_SPARING = ((_HEAPS, 2), (_APART, 128 * 1024), (_TRIM, 1024 * 1024))
"""glibc's M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX, and what they are in a load."""
_KEEPING = ((_APART, 4 * 1024 * 1024), (_TRIM, 4 * 1024 * 1024))


def calm_collector(young: int = YOUNG_OBJECTS) -> None:
    """Look for garbage seldom, and never again in what is loaded already."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, 20, 50)


def begin_to_load() -> None:
    """Make ready for millions of messages in a process that does nothing else."""
    spare_memory()
    calm_collector(LOADED_OBJECTS)


def spare_memory() -> None:
    """Let memory that is free go back to the system, before any thread is begun.

    Else every thread has a heap of its own, and each keeps what its fullest moment took; Arrow has
    heaps besides. Where the C library has no such setting, only Arrow is told.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    _set(_SPARING)


def keep_buffers() -> None:
    """Use freed buffers of up to 4 MiB again: a tenth less work, for some 10 MB more memory."""
    _set(_KEEPING)


def _set(options: tuple[tuple[int, int], ...]) -> None:
    system = ctypes.CDLL(None)
    for what, value in options if hasattr(system, "mallopt") else ():
        system.mallopt(what, value)


def take_short_turns() -> None:
    """Let threads take turns more often than Python has them do.

    In a load one folds, one writes and one receives; whoever comes back from the database or from
    another process waits for its turn.
    """
    sys.setswitchinterval(0.002)
