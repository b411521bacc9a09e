"""How functions of the kernel are compiled: cached on disk, without the interpreter."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile on first use and keep it on disk; without liberties in floating point."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: F) -> F:
    """Compile into whoever calls it: for what is small and called everywhere."""
    jit = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
    return cast(F, jit(function))
