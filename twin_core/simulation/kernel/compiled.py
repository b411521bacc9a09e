"""How functions of the kernel are compiled: for the kernel only, without the interpreter.

Only the way in (`entry`) is kept on disk and can be called from Python; what it calls is part of
it, which spares the wrappers of every function.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    # Every array outlives the call and none is made inside, so references need no counting.
    "_nrt": False,
}


def compiled(function: F) -> F:
    """Compile for the kernel, without liberties in floating point."""
    return cast(F, numba.njit(**_OPTIONS)(function))


def inlined(function: F) -> F:
    """Compile into whoever calls it: for what is small and called everywhere."""
    return cast(F, numba.njit(**_OPTIONS, forceinline=True)(function))
