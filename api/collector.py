"""Garbage and turns in a process that makes millions of short-lived objects and no cycles."""

import gc
import sys

YOUNG_OBJECTS, LOADED_OBJECTS = 50_000, 1_000_000
"""New objects between two looks for garbage; of a load more than a batch has at a time, or each
batch is looked through while it is applied, and nothing of it is ever garbage by then."""


def calm_collector(young: int = YOUNG_OBJECTS) -> None:
    """Look for garbage seldom, and never again in what is loaded already."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, 20, 50)


def take_short_turns() -> None:
    """Let threads take turns more often than Python has them do.

    In a load one folds, one writes and one receives; whoever comes back from the database or from
    another process waits for its turn.
    """
    sys.setswitchinterval(0.002)
