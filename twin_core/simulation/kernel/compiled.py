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
    return cast(F, _once(numba.njit(**_OPTIONS)(function)))


def inlined(function: F) -> F:
    """Compile into whoever calls it: for what every event goes through."""
    return cast(F, _once(numba.njit(**_OPTIONS, forceinline=True)(function)))


def _once(dispatcher: Any) -> Any:
    """Compile a function for numbers, not for every constant that it is called with."""
    found = dispatcher.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        return found(tuple(map(numba.types.unliteral, args)), kws)

    dispatcher.get_call_template = get_call_template
    return dispatcher
