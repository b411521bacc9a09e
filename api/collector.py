"""The garbage collector of a process that makes millions of short-lived objects and no cycles."""

import gc

YOUNG_OBJECTS = 50_000
"""New objects between two looks for garbage."""


def calm_collector() -> None:
    """Look for garbage seldom, and never again in what is loaded already."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
